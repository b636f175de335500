// SPDX-License-Identifier: BSL-1.0
//
// What `kafka::Driver` and `KafkaSource` add to librdkafka: reads a topic to its end, once by a bare loop that only
// counts bytes, once through source, mapper, indexer and offsets to a transport that says at once that all is stored.
// Prints a line of JSON with the CPU of the whole process for each record, and, but for the bare loop, the bytes that
// came from the brokers. With a latency of a bulk and a number of records a second, the transport takes its time.
//
//     kafka_cost bare|driver BROKERS TOPIC GROUP RECORDS [LATENCY_MS RECORDS_A_SECOND]

#include "../obliging_transport.hpp"
#include "../passthrough.hpp"
#include "slow_transport.hpp"

#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/standalone_indexer.hpp>

#include <sys/resource.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

using namespace std::chrono_literals;

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Arguments {
    std::string brokers, topic, group;
    std::uint64_t records = 0;
    SlowTransport::Speed speed{};
};
struct Result {
    std::uint64_t read = 0;
    std::uint64_t bytes_received = 0;
    double seconds = 0; ///< from the first record to the last
};

/// As little as a consumer can do; configured as the driver configures its own.
Result bare(const Arguments& arguments) {
    auto* const configuration = rd_kafka_conf_new();
    char problem[512]; // NOLINT: librdkafka's way
    const auto set = [&](const char* name, const std::string& value) {
        if (rd_kafka_conf_set(configuration, name, value.c_str(), problem, sizeof problem) != RD_KAFKA_CONF_OK)
            throw std::runtime_error{problem};
    };
    set("bootstrap.servers", arguments.brokers);
    set("group.id", arguments.group);
    set("auto.offset.reset", "earliest");
    set("enable.auto.offset.store", "false");
    set("queued.max.messages.kbytes", "16384");
    auto* const client = rd_kafka_new(RD_KAFKA_CONSUMER, configuration, problem, sizeof problem);
    if (client == nullptr) throw std::runtime_error{problem};
    rd_kafka_poll_set_consumer(client);
    auto* const topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, arguments.topic.c_str(), RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    std::uint64_t read = 0;
    std::uint64_t bytes = 0;
    while (read < arguments.records) {
        auto* const message = rd_kafka_consumer_poll(client, 100);
        if (message == nullptr) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            ++read;
            bytes += message->len;
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return {bytes == 0 ? 0 : read};
}

template <class Transport, class Argument>
Result driver(const Arguments& arguments, Argument transport, bulkhead::IndexerOptions options) {
    bulkhead::StandaloneIndexer<Transport> indexer{transport, options};
    bulkhead::kafka::Driver driver{*indexer,
                                   Passthrough{},
                                   {.brokers = arguments.brokers,
                                    .group = arguments.group,
                                    .topics = {arguments.topic},
                                    .config = {{"auto.offset.reset", "earliest"}, {"statistics.interval.ms", "1000"}}}};
    using Clock = std::chrono::steady_clock;
    while (driver.source().stats().consumed == 0 && driver.poll_once(100ms)) {
    }
    const auto began = Clock::now();
    while (driver.source().stats().consumed < arguments.records && driver.poll_once(100ms)) {
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    const auto soon = Clock::now() + 1100ms; // the last statistics
    while (Clock::now() < soon) driver.poll_once(10ms);
    const auto report = driver.close(60s);
    if (!report.drained || !report.committed) throw std::runtime_error{"not all settled and committed"};
    return {report.stats.source.settled, report.stats.bytes_received, took.count()};
}
Result driver(const Arguments& arguments) {
    bulkhead::IndexerOptions options{.index = "logs", .retry = {.max_age = bulkhead::unlimited}};
    if (arguments.speed.operations_a_second == 0) return driver<ObligingTransport>(arguments, 0, options);
    options.max_in_flight = 1024; // so that latency alone does not slow it down: only the budget does
    return driver<SlowTransport>(arguments, arguments.speed, options);
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 6 && argc != 8)
        return std::fputs("usage: kafka_cost bare|driver BROKERS TOPIC GROUP RECORDS [LATENCY_MS RECORDS_A_SECOND]\n",
                          stderr),
               2;
    try {
        Arguments arguments{argv[2], argv[3], argv[4], std::stoull(argv[5])};
        if (argc == 8) arguments.speed = {std::chrono::milliseconds{std::stoll(argv[6])}, std::stod(argv[7])};
        const std::string_view how = argv[1];
        const auto [read, received, seconds] = how == "bare" ? bare(arguments) : driver(arguments);
        std::printf("{\"records\":%llu,\"cpu_us\":%.4f,\"seconds\":%.3f,\"bytes_received\":%llu}\n",
                    static_cast<unsigned long long>(read), cpu_seconds() / double(read) * 1e6, seconds,
                    static_cast<unsigned long long>(received));
        return read == arguments.records ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "kafka_cost: %s\n", error.what());
        return 1;
    }
}
