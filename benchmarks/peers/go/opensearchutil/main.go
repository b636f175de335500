// SPDX-License-Identifier: BSL-1.0
package main

import (
	"bytes"
	"context"
	"log"
	"time"

	"bulkhead/peers/harness"

	"github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
	"github.com/opensearch-project/opensearch-go/v4/opensearchutil"
)

func main() {
	task := harness.Read()
	client, err := opensearchapi.NewClient(opensearchapi.Config{Client: opensearch.Config{
		Addresses: []string{task.URL}, Transport: harness.Transport(), CompressRequestBody: task.Gzip}})
	harness.Must(err)
	indexer, err := opensearchutil.NewBulkIndexer(opensearchutil.BulkIndexerConfig{
		Client: client, Index: "logs", NumWorkers: task.Workers, FlushBytes: task.BatchBytes, FlushInterval: time.Second,
		OnError: func(_ context.Context, err error) { log.Print(err) }})
	harness.Must(err)
	ctx := context.Background()
	task.Send(func(document []byte) error {
		return indexer.Add(ctx, opensearchutil.BulkIndexerItem{Action: "create", Body: bytes.NewReader(document)})
	})
	harness.Must(indexer.Close(ctx))
	stats := indexer.Stats()
	task.Report("go-opensearchutil", int64(stats.NumFlushed), int64(stats.NumFailed))
}
