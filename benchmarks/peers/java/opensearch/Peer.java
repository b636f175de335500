// SPDX-License-Identifier: BSL-1.0

import org.apache.hc.core5.http.HttpHost;
import org.opensearch.client.opensearch.OpenSearchAsyncClient;
import org.opensearch.client.opensearch._helpers.bulk.BulkIngester;
import org.opensearch.client.opensearch._helpers.bulk.BulkListener;
import org.opensearch.client.opensearch.core.BulkRequest;
import org.opensearch.client.opensearch.core.BulkResponse;
import org.opensearch.client.transport.httpclient5.ApacheHttpClient5TransportBuilder;
import org.opensearch.client.util.BinaryData;

import java.util.List;
import java.util.concurrent.TimeUnit;

/** The client's BulkIngester, limited by bytes and time alone. */
public final class Peer {
    public static void main(String[] arguments) throws Exception {
        final Task task = new Task(arguments);
        final OpenSearchAsyncClient client = new OpenSearchAsyncClient(ApacheHttpClient5TransportBuilder
            .builder(new HttpHost("http", "127.0.0.1", task.port)).setCompressionEnabled(task.gzip).build());
        final BulkIngester<Void> ingester = BulkIngester.of(settings -> {
            settings.client(client).maxOperations(-1).maxSize(task.batchBytes).flushInterval(1, TimeUnit.SECONDS)
                .listener(new Counter(task));
            return task.workers == 0 ? settings : settings.maxConcurrentRequests(task.workers);
        });
        task.send(document -> ingester.add(operation -> operation.create(
            create -> create.index("logs").document(BinaryData.of(document, "application/json")))));
        ingester.close();
        task.report("java-opensearch");
    }

    private record Counter(Task task) implements BulkListener<Void> {
        @Override public void beforeBulk(long number, BulkRequest request, List<Void> contexts) {}

        @Override public void afterBulk(long number, BulkRequest request, List<Void> contexts, BulkResponse answer) {
            for (final var item : answer.items()) (item.error() == null ? task.indexed : task.failed).increment();
        }

        @Override public void afterBulk(long number, BulkRequest request, List<Void> contexts, Throwable problem) {
            task.failed.add(request.operations().size());
            System.err.println(problem);
        }
    }
}
