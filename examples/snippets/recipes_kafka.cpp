// SPDX-License-Identifier: BSL-1.0
// The Kafka code of docs/recipes.md, run against a broker and a server of its own.
#include "../tested_service/check.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/kafka/mappers.hpp>
#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/test/mock_kafka.hpp>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;

/// Drives it until all is settled.
template <class Driver>
void drive(Driver& driver, std::uint64_t records) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (driver.stats().source.settled < records) {
        check(driver.poll_once(10ms), "the driver goes on");
        check(std::chrono::steady_clock::now() < deadline, "in time");
    }
    const auto report = driver.close(30s);
    check(report.drained && report.committed, "closed cleanly");
}

/// Each record becomes what it is: an order goes to the index of its topic, a heartbeat nowhere.
Mapped by_topic(const Record& record, Batch& out) {
    if (record.payload->find("\"heartbeat\"") != std::string_view::npos) return Mapped::skip;
    const auto id = record_id(record);
    const auto wrong = out.append({.action = Action::create,
                                   .index = record.topic,
                                   .id = id,
                                   .on_conflict = OnConflict::already_there,
                                   .source = *record.payload});
    return wrong ? Mapped::invalid : Mapped::operations;
}

void many_topics() {
    test::MockKafka broker;
    test::BulkServer server;
    broker.create_topic("orders", 1);
    broker.create_topic("refunds", 1);
    broker.produce("orders", 0, "A1", R"({"state":"paid"})");
    broker.produce("orders", 0, "A1", R"({"kind":"heartbeat"})");
    broker.produce("refunds", 0, "A1", R"({"state":"back"})");
    broker.flush();
    const auto brokers = broker.bootstrap_servers();
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()},
                                             IndexerOptions{.retry = {.max_age = unlimited}}};
    kafka::Driver driver{*indexer, by_topic, {.brokers = brokers, .group = "shop", .topics = {"orders", "refunds"}}};
    drive(driver, 3);
    check(server.count("orders") == 1 && server.count("refunds") == 1, "each in its own");
}

void dead_letters_in_a_topic() {
    test::MockKafka broker;
    test::BulkServer server;
    broker.create_topic("orders", 1);
    broker.create_topic("orders.dead", 1);
    broker.produce("orders", 0, "A1", R"({"state":)");
    broker.flush();
    const auto brokers = broker.bootstrap_servers();
    const auto url = server.url();

    asio::io_context context;
    auto work = asio::make_work_guard(context);
    std::thread thread{[&context] { context.run(); }};
    const KafkaDeadLetters letters;
    {
        BulkIndexer<HttpTransport> indexer{
            context.get_executor(), HttpTransport{context.get_executor(), {.url = url}},
            IndexerOptions{.flush_interval = 50ms, .retry = {.max_age = unlimited}},
            letters.sink(context.get_executor())}; // what the server refuses goes to the source that asks for it …
        kafka::Driver driver{
            indexer,
            by_topic,
            {.brokers = brokers, .group = "shop", .topics = {"orders"}, .dead_letter_topic = "orders.dead"},
            {.on_invalid = OnInvalid::dead_letter, .dead_letters = letters}}; // … and on to the topic, with its offset
        drive(driver, 1);
        check(driver.stats().source.dead_letters == 1, "kept");
    }
    work.reset();
    thread.join();
}

void latest_state_of_each_key() {
    test::MockKafka broker;
    test::BulkServer server;
    broker.create_topic("customers", 1);
    broker.produce("customers", 0, "C1", R"({"city":"Ume"})");
    broker.produce("customers", 0, "C1", R"({"city":"Boden"})");
    broker.flush();
    const auto brokers = broker.bootstrap_servers();
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()},
                                             IndexerOptions{.retry = {.max_age = unlimited}}};
    kafka::Driver driver{*indexer,
                         KeyedDocuments{"customers"}, // a tombstone deletes
                         {.brokers = brokers, .group = "shop", .topics = {"customers"}}};
    drive(driver, 2);
    check(server.source("customers", "C1") == R"({"city":"Boden"})", "the newest");
}

} // namespace

int main() {
    return run_cases({
        {"many topics", many_topics},
        {"dead letters in a topic", dead_letters_in_a_topic},
        {"latest state of each key", latest_state_of_each_key},
    });
}
