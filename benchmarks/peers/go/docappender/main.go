// SPDX-License-Identifier: BSL-1.0

// go-docappender counts through OpenTelemetry alone, which is off; its Close tells whether
// a flush has failed, but not whether documents were refused.
package main

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"time"

	"bulkhead/peers/harness"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-docappender/v2"
)

func main() {
	task := harness.Read()
	address, err := url.Parse(task.URL)
	harness.Must(err)
	client, err := elastictransport.New(
		elastictransport.Config{URLs: []*url.URL{address}, Transport: harness.Transport()})
	harness.Must(err)
	config := docappender.Config{
		FlushBytes: task.BatchBytes, FlushInterval: time.Second, MaxRequests: task.Workers}
	if task.Gzip {
		config.CompressionLevel = -1 // gzip's default, 6
		if os.Getenv("GZIP_LEVEL") == "1" {
			config.CompressionLevel = 1
		}
	}
	appender, err := docappender.New(client, config)
	harness.Must(err)
	ctx := context.Background()
	task.Send(func(document []byte) error { return appender.Add(ctx, "logs", bytes.NewReader(document)) })
	harness.Must(appender.Close(ctx))
	task.Report("go-docappender", -1, -1)
}
