// SPDX-License-Identifier: BSL-1.0
#include "dry_run.hpp"

#include "failure.hpp"
#include "record_mapper.hpp"

#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <chrono>
#include <cstdio>
#include <map>

namespace replay {

namespace {

using bulkhead::kafka::ConfPtr;
using bulkhead::kafka::Destroy;
using bulkhead::kafka::ListPtr;
using bulkhead::kafka::MessagePtr;
using Handle = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;

constexpr int patience_ms = 30'000;

Handle reader(const Options& options, const std::string& brokers) {
    ConfPtr conf{rd_kafka_conf_new()};
    bulkhead::kafka::set_property(*conf, "bootstrap.servers", brokers);
    bulkhead::kafka::set_property(*conf, "log_level", "0");
    for (const auto& [key, value] : options.kafka) bulkhead::kafka::set_property(*conf, key, value);
    bulkhead::kafka::set_property(*conf, "group.id", options.group + ".dry-run"); // never joined
    bulkhead::kafka::set_property(*conf, "enable.auto.commit", "false");
    bulkhead::kafka::set_property(*conf, "enable.partition.eof", "true"); // or the end may be a transaction's marker
    char error[512] = {};
    Handle handle{rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), error, sizeof error)};
    if (!handle) throw UsageError{std::string{"Kafka consumer: "} + error};
    static_cast<void>(conf.release()); // the consumer owns it now
    rd_kafka_poll_set_consumer(handle.get());
    return handle;
}

} // namespace

DryRun dry_run(const Options& options, const std::string& brokers, const std::vector<PartitionEnd>& ends,
               const std::function<void(const std::string&)>& told, const std::function<bool()>& interrupted) {
    const auto client = reader(options, brokers);
    std::map<std::pair<std::string, std::int32_t>, std::int64_t> left; // partitions that are not at their end
    const ListPtr list{rd_kafka_topic_partition_list_new(static_cast<int>(ends.size()))};
    for (const auto& end : ends) {
        if (end.begin >= end.end) continue;
        rd_kafka_topic_partition_list_add(list.get(), end.topic.c_str(), end.partition)->offset = end.begin;
        left[{end.topic, end.partition}] = end.end;
    }
    rd_kafka_assign(client.get(), list.get());

    DryRun found;
    RecordMapper mapper{options, nullptr};
    bulkhead::Batch batch;
    const auto began = std::chrono::steady_clock::now();
    auto heard = began;
    while (!left.empty() && !interrupted()) {
        const MessagePtr message{rd_kafka_consumer_poll(client.get(), 100)};
        const auto now = std::chrono::steady_clock::now();
        if (!message) {
            if (now - heard > std::chrono::milliseconds{patience_ms})
                throw Failure{"no record in 30 s, and " + std::to_string(left.size()) +
                                  " partitions are not at their end",
                              exit_kafka};
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            left.erase({rd_kafka_topic_name(message->rkt), message->partition});
            continue;
        }
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue; // it goes on by itself, or the patience ends
        heard = now;
        const std::string topic = rd_kafka_topic_name(message->rkt);
        const auto partition = left.find({topic, message->partition});
        if (partition == left.end() || message->offset >= partition->second) continue; // newer than the start
        ++found.consumed;
        bulkhead::Record record;
        record.topic = topic;
        record.partition = message->partition;
        record.offset = message->offset;
        rd_kafka_timestamp_type_t type{};
        record.timestamp_ms = rd_kafka_message_timestamp(message.get(), &type);
        if (message->key != nullptr) record.key = {static_cast<const char*>(message->key), message->key_len};
        if (message->payload == nullptr) {
            ++found.without_payload;
        } else {
            record.payload = {static_cast<const char*>(message->payload), message->len};
            batch.clear();
            try {
                mapper(record, batch);
                found.documents += batch.operations();
                found.bytes += batch.body().size();
            } catch (const std::exception& wrong) {
                ++found.invalid;
                told("invalid event: " + topic + "-" + std::to_string(record.partition) + " at offset " +
                     std::to_string(record.offset) + ": " + wrong.what());
            }
        }
        if (message->offset + 1 >= partition->second) left.erase(partition);
    }
    found.seconds = std::chrono::duration<double>{std::chrono::steady_clock::now() - began}.count();
    found.complete = left.empty();
    rd_kafka_assign(client.get(), nullptr);
    return found;
}

std::string DryRun::to_json() const {
    char seconds_text[32] = {};
    std::snprintf(seconds_text, sizeof seconds_text, "%.3f", seconds);
    return std::string{"{\"dry_run\":true,\"complete\":"} + (complete ? "true" : "false") +
           ",\"consumed\":" + std::to_string(consumed) + ",\"documents\":" + std::to_string(documents) +
           ",\"bytes\":" + std::to_string(bytes) + ",\"invalid\":" + std::to_string(invalid) +
           ",\"without_payload\":" + std::to_string(without_payload) + ",\"seconds\":" + seconds_text + "}";
}

} // namespace replay
