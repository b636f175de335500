// SPDX-License-Identifier: BSL-1.0
// Copies a Kafka topic into an index, at least once, until Ctrl-C or SIGTERM. Arguments: brokers, topic, URL.
#include <bulkhead/bulkhead.hpp>
#include <bulkhead/kafka/rdkafka/driver.hpp>

#include <csignal>
#include <iostream>

namespace {
std::sig_atomic_t volatile interrupted = 0;
}

int main(int argc, char** argv) {
    using namespace bulkhead;
    if (argc != 4) return std::cerr << "usage: kafka_to_logs BROKERS TOPIC URL\n", 2;
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { interrupted = 1; });

    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = argv[3]},
                                             IndexerOptions{.retry = {.max_age = unlimited}}};
    const auto mapper = [id = std::string{}](const Record& record, Batch& out) mutable {
        id.assign(record.topic).append("-").append(std::to_string(record.partition)).append("-");
        id.append(std::to_string(record.offset)); // the same for a redelivered record, which is then already there
        const auto wrong = out.append({.action = Action::create,
                                       .index = "logs",
                                       .id = id,
                                       .on_conflict = OnConflict::already_there,
                                       .source = *record.payload});
        return wrong ? Mapped::invalid : Mapped::operations;
    };
    kafka::Driver driver{*indexer, mapper, {.brokers = argv[1], .group = "kafka_to_logs", .topics = {argv[2]}}};
    while (!interrupted && driver.poll_once(std::chrono::milliseconds{100})) {
    }
    const auto report = driver.close(std::chrono::seconds{30});
    std::cout << report.stats.source.consumed << " records, " << indexer->stats().indexed << " indexed; "
              << (report.drained && report.committed ? "all committed" : "the rest will be delivered again") << '\n';
    return driver.source().stopped() || driver.fatal() ? 1 : 0;
}
