// SPDX-License-Identifier: BSL-1.0
// The code of docs/recipes.md, and of the README, run against a server of its own.
#include "../tested_service/check.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/metrics.hpp>
#include <bulkhead/sinks/file_sink.hpp>
#include <bulkhead/sinks/index_sink.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdio>
#include <fstream>
#include <mutex>
#include <set>

#include <unistd.h>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;
using bulkhead::test::BulkServer;
using bulkhead::test::CannedAnswer;

struct TemporaryFile {
    std::string path = "/tmp/bulkhead-recipes-" + std::to_string(::getpid());
    ~TemporaryFile() { std::remove(path.c_str()); }
};

struct Order {
    std::string id;
    std::string country;
    std::string json;
    std::uint64_t number = 0;
};
const Order order{"A1", "se", R"({"state":"paid"})", 1};

void many_indices() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{}};
    const auto index = "orders-" + order.country;
    indexer->enqueue({.index = index, .id = order.id, .source = order.json});
    indexer->enqueue({.action = Action::create, .index = "audit", .source = R"({"what":"order"})"});
    indexer.close(10s);
    check(server.count("orders-se") == 1 && server.count("audit") == 1, "each has its own");
}

void several_at_once() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{}};
    Batch batch; // keep it, and call clear(): warm, it allocates nothing
    const auto wrong_order = batch.append({.index = "orders", .id = order.id, .source = order.json});
    const auto wrong_line = batch.append({.index = "lines"}, boost::json::value{{"order", order.id}, {"pieces", 3}});
    if (!wrong_order && !wrong_line) indexer->enqueue(batch); // both, or neither
    indexer.close(10s);
    check(server.count("orders") == 1 && server.count("lines") == 1, "both");
}

void without_asio() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{.index = "lines"}};
    indexer->enqueue({.source = R"({"line":"one"})"});
    if (const auto error = indexer.flush(10s)) std::cerr << "not all has settled yet: " << error.message() << '\n';
    const CloseReport report = indexer.close(10s);
    check(report.drained && server.count("lines") == 1, "stored");
}

void why_invalid() {
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{}, IndexerOptions{}};
    Batch scratch;
    if (const auto wrong = scratch.append({.index = "Orders", .source = order.json}))
        std::cerr << wrong->message() << '\n';

    indexer->enqueue({.index = "orders", .source = "no object"});
    for (const auto& failure : indexer->stats().failures)
        if (failure.type == to_string(errc::invalid_operation)) std::cerr << failure.reason << '\n';
    check(indexer->stats().refused_invalid == 1 && !indexer->stats().failures.empty(), "counted, with its reason");
}

void upserts() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{.index = "orders"}};
    indexer->enqueue({.action = Action::update,
                      .id = order.id,
                      .retry_on_conflict = 3,
                      .source = R"({"doc":{"state":"paid"},"doc_as_upsert":true})"});
    indexer.close(10s);
    check(server.source("orders", "A1") == R"({"state":"paid"})", "stored");
}

void ordering() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()},
                                             IndexerOptions{.index = "orders", .ordering = Ordering::per_id}};
    indexer->enqueue({.id = "A1", .source = R"({"state":"paid"})"});
    indexer->enqueue({.id = "A1", .source = R"({"state":"sent"})"}); // travels when the first has settled

    const std::int64_t version = 1'732'600'000'000; // a clock's or a sequence's: higher is newer
    indexer->enqueue({.id = "A2", .version = version, .source = R"({"state":"paid"})"});
    indexer.close(10s);
    check(server.source("orders", "A1") == R"({"state":"sent"})", "the last one");
    check(server.count("orders") == 2, "both");
}

void how_each_ended() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{.index = "orders"}};
    std::set<std::uint64_t> stored;
    const auto subscription = indexer.subscribe([&stored](std::span<const Settlement> settlements) {
        for (const auto& one : settlements) {
            if (durable(one.outcome))
                stored.insert(one.key);
            else
                std::cerr << one.failure->id().value_or("") << ": " << to_string(one.outcome) << ", "
                          << one.failure->type << '\n';
        }
    });
    const auto admission = indexer->try_enqueue({.id = order.id, .source = order.json}, subscription.ticket(7));
    if (admission != Admission::accepted) std::cerr << "not taken, and nobody will be told\n";
    indexer.close(10s);
    check(stored == std::set<std::uint64_t>{7}, "told");
}

void dead_letters_in_a_file() {
    BulkServer server;
    const TemporaryFile file;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{.index = "orders"},
                                             FileSink{{.path = file.path}}};
    indexer->enqueue({.source = R"({"state":broken})"}); // no JSON, which only the server sees
    indexer.close(10s);
    check(indexer->stats().dead_lettered == 1, "kept");
}

void dead_letters_in_a_function() {
    BulkServer server;
    std::vector<std::string> kept;
    StandaloneIndexer<HttpTransport> indexer{
        HttpOptions{.url = server.url()}, IndexerOptions{.index = "orders"},
        CallbackSink{[&kept](std::span<const DeadLetter> letters) { // on the indexer's thread: it must not block
            for (const auto& letter : letters) kept.emplace_back(letter.source);
            return error_code{}; // an error instead: all of them are offered again
        }}};
    indexer->enqueue({.source = R"({"state":broken})"});
    indexer.close(10s);
    check(kept == std::vector<std::string>{R"({"state":broken})"}, "kept");
}

void dead_letters_in_an_index() {
    BulkServer server;
    const auto url = server.url();
    asio::io_context context;
    IndexSink<HttpTransport> sink{context.get_executor(), HttpTransport{context.get_executor(), {.url = url}},
                                  IndexerOptions{.index = "dead-orders"}};
    BulkIndexer<HttpTransport> indexer{context.get_executor(), HttpTransport{context.get_executor(), {.url = url}},
                                       IndexerOptions{.index = "orders"}, std::move(sink)};
    indexer.enqueue({.source = R"({"state":broken})"});
    indexer.async_close(10s, [](error_code, const CloseReport&) {});
    context.run();
    check(indexer.stats().dead_lettered == 1 && server.count("dead-orders") == 1, "kept");
}

/// Waits for room where the caller can wait: a coroutine, without blocking its thread.
asio::awaitable<void> import(BulkIndexer<HttpTransport>& indexer, std::vector<std::string> lines) {
    for (const auto& line : lines) {
        const Operation operation{.source = line};
        co_await indexer.async_enqueue(operation, asio::use_awaitable);
    }
}

void back_pressure() {
    BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{
        HttpOptions{.url = server.url()},
        IndexerOptions{.index = "lines", .flush_interval = 10ms, .max_buffered_operations = 2}};
    const std::string line = "{}";
    std::uint64_t shed = 0;

    // Shed load: the caller decides at once.
    if (indexer->try_enqueue({.source = line}) == Admission::full) ++shed;

    // Or wait, for no longer than the caller can.
    const auto admission = indexer->enqueue_wait({.source = line}, 500ms);
    if (admission == Admission::full) ++shed;

    asio::co_spawn(indexer.get_executor(), import(*indexer, std::vector<std::string>(100, line)), asio::detached);
    while (indexer->stats().accepted < 102) std::this_thread::yield();
    indexer.close(10s);
    check(shed == 0 && server.count("lines") == 102, "all");
}

void shutdown() {
    BulkServer server;
    const auto other = server.url();
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = "http://127.0.0.1:9"},
                                             IndexerOptions{.index = "orders"}};
    indexer->enqueue({.source = order.json});
    const auto report = indexer.close(200ms);
    if (!report.drained) {
        std::cerr << report.stats.undelivered << " not sent, " << report.stats.unknown << " perhaps\n";
        std::ofstream left{"/dev/null"}; // your file, for `curl --data-binary @left.ndjson …/_bulk`
        for (const auto& batch : report.undelivered) left << batch->body();
    }
    check(report.stats.undelivered == 1, "handed back");

    StandaloneIndexer<HttpTransport> next{HttpOptions{.url = other}, IndexerOptions{.index = "orders"}};
    for (const auto& batch : report.undelivered) next->enqueue(*batch);
    next.close(10s);
    check(server.count("orders") == 1, "stored by another");
}

void rotation() {
    BulkServer server;
    const auto url = server.url();
    const TemporaryFile secret;
    const auto& path = secret.path;
    std::ofstream{path} << "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";
    HttpOptions http{.url = url};
    http.credentials = Credentials::api_key(SecretSource::file(path));
    StandaloneIndexer<HttpTransport> indexer{http, IndexerOptions{.index = "orders"}};
    indexer->enqueue({.source = order.json});
    indexer.close(10s);
    check(server.count("orders") == 1, "stored");
}

struct Printer {
    void operator()(const Metric& metric, std::string_view label, double value) const {
        std::cerr << metric.name << (label.empty() ? "" : ".") << label << ' ' << value << ' ' << metric.unit << '\n';
    }
    void operator()(const Metric& metric, const Histogram& durations) const {
        std::cerr << metric.name << " p99 " << durations.quantile(0.99) / 1us << " us, " << durations.count() << '\n';
    }
};

void what_to_watch() {
    BulkServer server;
    server.misbehave([](const auto&) { return CannedAnswer{.status = 503}; });
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()},
                                             IndexerOptions{.index = "orders", .flush_interval = 10ms}};
    indexer->enqueue({.source = order.json});
    while (indexer->stats().health == Health::ok) std::this_thread::yield();
    const auto stats = indexer->stats();
    if (stats.health != Health::ok) std::cerr << to_string(stats.health) << ": " << stats.health_detail << '\n';
    for (const auto& failure : stats.failures) std::cerr << failure.count << " times " << failure.type << '\n';
    for_each_metric(stats, Printer{});
    check(stats.pending == 1, "nothing is given up");
    server.misbehave({});
    indexer.close(10s);
    check(server.count("orders") == 1, "stored");
}

/// The loop that everybody writes first, in its place.
void from_a_loop_of_your_own() {
    BulkServer server;
    const auto url = server.url();
    const std::vector<std::string> documents(2500, R"({"n":1})");

    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = url},
                                             IndexerOptions{.index = "lines", .duplicates = Duplicates::client_id}};
    for (const auto& document : documents)
        if (indexer->enqueue_wait({.source = document}, 30s) != Admission::accepted) std::cerr << "not taken\n";
    const auto report = indexer.close(60s);
    std::cout << report.stats.indexed + report.stats.superseded << " of " << documents.size() << " stored\n";
    check(server.count("lines") == 2500, "all");
}

} // namespace

int main() {
    return run_cases({
        {"many indices", many_indices},
        {"several at once", several_at_once},
        {"without Asio", without_asio},
        {"why invalid", why_invalid},
        {"upserts", upserts},
        {"ordering", ordering},
        {"how each ended", how_each_ended},
        {"dead letters in a file", dead_letters_in_a_file},
        {"dead letters in a function", dead_letters_in_a_function},
        {"dead letters in an index", dead_letters_in_an_index},
        {"back-pressure", back_pressure},
        {"shutdown", shutdown},
        {"rotation", rotation},
        {"what to watch", what_to_watch},
        {"from a loop of your own", from_a_loop_of_your_own},
    });
}
