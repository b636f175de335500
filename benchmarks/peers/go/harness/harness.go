// SPDX-License-Identifier: BSL-1.0

// Package harness reads what a peer is asked to do, hands it the documents, and reports.
package harness

import (
	"bytes"
	"encoding/json"
	"log"
	"math/bits"
	"net/http"
	"os"
	"strconv"
	"time"

	"syscall"
)

// Task is what the command line and the environment ask for.
type Task struct {
	URL        string
	Count      int
	BatchBytes int
	Workers    int // 0: as many as the client takes by itself
	Gzip       bool

	documents [][]byte
	timed     bool
	times     histogram
	began     time.Time
	cpuBefore float64
}

type report struct {
	Peer    string   `json:"peer"`
	Docs    int      `json:"docs"`
	Wall    float64  `json:"wall_s"`
	CPU     float64  `json:"cpu_s"`
	RSS     int64    `json:"rss_kb"`
	Indexed int64    `json:"indexed"`
	Failed  int64    `json:"failed"`
	Add     *summary `json:"add_us,omitempty"`
}

type summary struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Must ends the program when there is an error.
func Must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func number(text string, otherwise int) int {
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	Must(err)
	return value
}

// Read loads the documents, so that this is over before the clock starts.
func Read() *Task {
	if len(os.Args) != 4 {
		log.Fatalf("usage: %s PORT DOCUMENTS DOCUMENT_BYTES", os.Args[0])
	}
	task := &Task{
		URL:        "http://127.0.0.1:" + os.Args[1],
		Count:      number(os.Args[2], 0),
		BatchBytes: number(os.Getenv("BATCH_BYTES"), 5<<20),
		Workers:    number(os.Getenv("WORKERS"), 0),
		Gzip:       os.Getenv("GZIP") == "1",
		timed:      os.Getenv("LAT") == "1",
	}
	if name := os.Getenv("DOCS_FILE"); name != "" {
		text, err := os.ReadFile(name)
		Must(err)
		task.documents = bytes.Split(bytes.TrimSpace(text), []byte{'\n'})
	} else {
		filler := bytes.Repeat([]byte{'x'}, number(os.Args[3], 400)-8)
		task.documents = [][]byte{[]byte(`{"m":"` + string(filler) + `"}`)}
	}
	return task
}

// Transport keeps a connection for each worker: by default Go closes all but two between requests.
func Transport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return transport
}

func cpuSeconds() (float64, int64) {
	var usage syscall.Rusage
	Must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9, usage.Maxrss
}

// Send hands every document to add, and starts the clock.
func (t *Task) Send(add func(document []byte) error) {
	t.cpuBefore, _ = cpuSeconds()
	t.began = time.Now()
	last := t.began
	next := 0
	for range t.Count {
		Must(add(t.documents[next]))
		if next++; next == len(t.documents) {
			next = 0
		}
		if t.timed {
			now := time.Now()
			t.times.add(now.Sub(last))
			last = now
		}
	}
}

// Report stops the clock; indexed and failed are -1 for a client that does not count.
func (t *Task) Report(peer string, indexed, failed int64) {
	wall := time.Since(t.began).Seconds()
	cpu, rss := cpuSeconds()
	line := report{
		Peer: peer, Docs: t.Count, Wall: wall, CPU: cpu - t.cpuBefore, RSS: rss, Indexed: indexed, Failed: failed,
	}
	if t.timed {
		line.Add = t.times.summary()
	}
	Must(json.NewEncoder(os.Stdout).Encode(line))
}

// histogram counts durations in buckets some 6 % wide.
type histogram struct {
	buckets [1024]int
	count   int
	longest time.Duration
}

const perDoubling = 16

func (h *histogram) add(d time.Duration) {
	bucket := int(d)
	if d >= perDoubling {
		shift := bits.Len64(uint64(d)) - 5
		bucket = (shift+1)*perDoubling + int(d>>shift) - perDoubling
	}
	h.buckets[bucket]++
	h.count++
	h.longest = max(h.longest, d)
}

func (h *histogram) quantile(share float64) float64 {
	left := int(share * float64(h.count))
	for bucket, count := range h.buckets {
		if left -= count; left < 0 {
			if bucket < perDoubling {
				return float64(bucket) / 1e3
			}
			shift := bucket/perDoubling - 1
			return float64((bucket%perDoubling+perDoubling+1)<<shift) / 1e3
		}
	}
	return float64(h.longest) / 1e3
}

func (h *histogram) summary() *summary {
	return &summary{h.quantile(0.5), h.quantile(0.99), h.quantile(0.999), float64(h.longest) / 1e3}
}
