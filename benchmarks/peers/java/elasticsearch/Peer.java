// SPDX-License-Identifier: BSL-1.0

import co.elastic.clients.elasticsearch.ElasticsearchAsyncClient;
import co.elastic.clients.elasticsearch._helpers.bulk.BulkIngester;
import co.elastic.clients.elasticsearch._helpers.bulk.BulkListener;
import co.elastic.clients.elasticsearch.core.BulkRequest;
import co.elastic.clients.elasticsearch.core.BulkResponse;
import co.elastic.clients.util.BinaryData;

import java.util.List;
import java.util.concurrent.TimeUnit;

/** The client's BulkIngester, limited by bytes and time alone. */
public final class Peer {
    public static void main(String[] arguments) throws Exception {
        final Task task = new Task(arguments);
        final boolean legacy = "1".equals(System.getenv("LEGACY_TRANSPORT")); // as before version 9
        final ElasticsearchAsyncClient client = ElasticsearchAsyncClient.of(settings ->
            settings.host("http://127.0.0.1:" + task.port).useCompression(task.gzip).useLegacyTransport(legacy));
        final BulkIngester<Void> ingester = BulkIngester.of(settings -> {
            settings.client(client).maxOperations(-1).maxSize(task.batchBytes).flushInterval(1, TimeUnit.SECONDS)
                .listener(new Counter(task));
            return task.workers == 0 ? settings : settings.maxConcurrentRequests(task.workers);
        });
        task.send(document -> ingester.add(operation -> operation.create(
            create -> create.index("logs").document(BinaryData.of(document, "application/json")))));
        ingester.close();
        task.report(legacy ? "java-elasticsearch-legacy" : "java-elasticsearch");
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
