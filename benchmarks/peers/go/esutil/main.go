// SPDX-License-Identifier: BSL-1.0
package main

import (
	"bytes"
	"context"
	"log"
	"time"

	"bulkhead/peers/harness"

	"github.com/elastic/go-elasticsearch/v9"
	"github.com/elastic/go-elasticsearch/v9/esutil"
)

func main() {
	task := harness.Read()
	client, err := elasticsearch.NewClient(elasticsearch.Config{
		Addresses: []string{task.URL}, Transport: harness.Transport(), CompressRequestBody: task.Gzip})
	harness.Must(err)
	indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{
		Client: client, Index: "logs", NumWorkers: task.Workers, FlushBytes: task.BatchBytes, FlushInterval: time.Second,
		OnError: func(_ context.Context, err error) { log.Print(err) }})
	harness.Must(err)
	ctx := context.Background()
	task.Send(func(document []byte) error {
		return indexer.Add(ctx, esutil.BulkIndexerItem{Action: "create", Body: bytes.NewReader(document)})
	})
	harness.Must(indexer.Close(ctx))
	stats := indexer.Stats()
	task.Report("go-esutil", int64(stats.NumFlushed), int64(stats.NumFailed))
}
