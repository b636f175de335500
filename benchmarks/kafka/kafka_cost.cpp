// SPDX-License-Identifier: BSL-1.0
//
// What `kafka::Driver` and `KafkaSource` add to librdkafka: reads a topic to its end, once by a bare loop that only
// counts bytes, once through source, mapper, indexer and offsets to a transport that says at once that all is stored.
// Prints a line of JSON with the CPU of the whole process for each record.
//
//     kafka_cost bare|driver BROKERS TOPIC GROUP RECORDS

#include "../obliging_transport.hpp"
#include "../passthrough.hpp"

#include <bulkhead/kafka/rdkafka.hpp>
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
};

/// As little as a consumer can do; configured as the driver configures its own.
std::uint64_t bare(const Arguments& arguments) {
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
    return bytes == 0 ? 0 : read;
}

std::uint64_t driver(const Arguments& arguments) {
    bulkhead::StandaloneIndexer<ObligingTransport> indexer{0, bulkhead::IndexerOptions{.index = "logs"}};
    bulkhead::kafka::Driver driver{*indexer,
                                   Passthrough{},
                                   {.brokers = arguments.brokers,
                                    .group = arguments.group,
                                    .topics = {arguments.topic},
                                    .config = {{"auto.offset.reset", "earliest"}}}};
    while (driver.source().stats().consumed < arguments.records && driver.poll_once(100ms)) {
    }
    const auto report = driver.close(30s);
    if (!report.drained || !report.committed) throw std::runtime_error{"not all settled and committed"};
    return report.stats.source.settled;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 6) return std::fputs("usage: kafka_cost bare|driver BROKERS TOPIC GROUP RECORDS\n", stderr), 2;
    try {
        const Arguments arguments{argv[2], argv[3], argv[4], std::stoull(argv[5])};
        const std::string_view how = argv[1];
        const auto read = how == "bare" ? bare(arguments) : driver(arguments);
        std::printf("{\"records\":%llu,\"cpu_us\":%.4f}\n", static_cast<unsigned long long>(read),
                    cpu_seconds() / double(read) * 1e6);
        return read == arguments.records ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "kafka_cost: %s\n", error.what());
        return 1;
    }
}
