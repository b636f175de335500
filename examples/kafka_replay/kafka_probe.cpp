// SPDX-License-Identifier: BSL-1.0
#include "kafka_probe.hpp"

#include "failure.hpp"
#include "kafka_setting.hpp"

#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>

#include <librdkafka/rdkafka.h>

namespace replay {

namespace {

using bulkhead::kafka::ConfPtr;
using bulkhead::kafka::Destroy;
using bulkhead::kafka::ListPtr;
using bulkhead::kafka::MessagePtr;
using Handle = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;

/// What the brokers last complained about; a timeout alone would not say why.
struct LastError {
    std::string text;
    static void note(rd_kafka_t*, int, const char* reason, void* self) { static_cast<LastError*>(self)->text = reason; }
};

Handle make_handle(const std::string& brokers, const std::string& group,
                   const std::vector<std::pair<std::string, std::string>>& settings, LastError& last,
                   const std::vector<std::pair<std::string, std::string>>& fixed = {}) {
    std::array<char, 512> error{};
    ConfPtr conf{rd_kafka_conf_new()};
    const auto set = [&](const std::string& key, const std::string& value) { set_property(conf.get(), key, value); };
    set("bootstrap.servers", brokers);
    set("group.id", group);
    set("log_level", "0");
    for (const auto& [key, value] : settings) {
        // Nobody here joins the group, and a member's own name would be taken for that member come back.
        if (key != "group.instance.id") set(key, value);
    }
    for (const auto& [key, value] : fixed) set(key, value);
    rd_kafka_conf_set_opaque(conf.get(), &last);
    rd_kafka_conf_set_error_cb(conf.get(), &LastError::note);
    Handle handle{rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), error.data(), error.size())};
    if (!handle) throw UsageError{std::string{"Kafka consumer: "} + error.data()};
    static_cast<void>(conf.release()); // the consumer owns it now
    return handle;
}

int count_partitions(rd_kafka_t* handle, const std::string& brokers, const std::string& name, int timeout_ms,
                     LastError& last) {
    const rd_kafka_metadata_t* metadata = nullptr;
    // Of all topics: to ask for one by name may create it.
    auto error = rd_kafka_metadata(handle, 1, nullptr, &metadata, timeout_ms);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_poll(handle, 0);
        throw Failure{"no Kafka broker can be reached at " + brokers + ": " +
                          (last.text.empty() ? std::string{rd_kafka_err2str(error)} : last.text),
                      exit_kafka};
    }
    int partitions = 0;
    for (int i = 0; i < metadata->topic_cnt; ++i) { // NOLINT: C array
        if (metadata->topics[i].topic != name) continue;
        error = metadata->topics[i].err;
        partitions = metadata->topics[i].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        (error == RD_KAFKA_RESP_ERR_NO_ERROR && partitions == 0))
        throw Failure{"topic " + name + " does not exist at " + brokers, exit_kafka};
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        throw Failure{"topic " + name + " at " + brokers + ": " + rd_kafka_err2str(error), exit_kafka};
    return partitions;
}

ListPtr list_of(const std::vector<PartitionEnd>& partitions,
                const std::function<std::int64_t(const PartitionEnd&)>& offset_of) {
    ListPtr list{rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size()))};
    for (const auto& p : partitions)
        rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition)->offset = offset_of(p);
    return list;
}

} // namespace

std::vector<PartitionEnd> probe_topics(const std::string& brokers, const std::string& group,
                                       const std::vector<std::string>& topics,
                                       const std::vector<std::pair<std::string, std::string>>& settings,
                                       std::chrono::milliseconds timeout) {
    LastError last;
    const auto handle = make_handle(brokers, group, settings, last);
    const auto timeout_ms = static_cast<int>(timeout.count());
    std::vector<PartitionEnd> ends;
    for (const auto& topic : topics) {
        const int partitions = count_partitions(handle.get(), brokers, topic, timeout_ms, last);
        for (std::int32_t partition = 0; partition < partitions; ++partition) {
            PartitionEnd end{topic, partition};
            const auto error = rd_kafka_query_watermark_offsets(handle.get(), topic.c_str(), partition, &end.first,
                                                                &end.end, timeout_ms);
            end.begin = end.first;
            if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
                throw Failure{"topic " + topic + " partition " + std::to_string(partition) + " at " + brokers + ": " +
                                  rd_kafka_err2str(error),
                              exit_kafka};
            ends.push_back(std::move(end));
        }
    }
    const ListPtr committed{rd_kafka_topic_partition_list_new(static_cast<int>(ends.size()))};
    for (const auto& end : ends) rd_kafka_topic_partition_list_add(committed.get(), end.topic.c_str(), end.partition);
    const auto error = rd_kafka_committed(handle.get(), committed.get(), timeout_ms);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        throw Failure{"consumer group " + group + " at " + brokers + ": " + rd_kafka_err2str(error), exit_kafka};
    for (auto& end : ends) {
        const auto* const known = rd_kafka_topic_partition_list_find(committed.get(), end.topic.c_str(), end.partition);
        if (known == nullptr) continue;
        if (known->offset > end.end) {
            end.stale = known->offset; // the consumer begins at the first offset
        } else {
            end.begin = std::max(end.begin, known->offset);
        }
    }
    return ends;
}

std::vector<CommittedOffset> committed_offsets(rd_kafka_t* client, const std::vector<PartitionEnd>& partitions,
                                               std::chrono::milliseconds timeout) {
    const auto list = list_of(partitions, [](const PartitionEnd&) { return RD_KAFKA_OFFSET_INVALID; });
    std::vector<CommittedOffset> found;
    if (rd_kafka_committed(client, list.get(), static_cast<int>(timeout.count())) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return found;
    for (int i = 0; i < list->cnt; ++i) {
        const auto& one = list->elems[i]; // NOLINT: C array
        if (one.err == RD_KAFKA_RESP_ERR_NO_ERROR && one.offset >= 0)
            found.push_back({one.topic, one.partition, one.offset});
    }
    return found;
}

std::vector<CommittedOffset> committed_offsets(const std::string& brokers, const std::string& group,
                                               const std::vector<PartitionEnd>& partitions,
                                               const std::vector<std::pair<std::string, std::string>>& settings,
                                               std::chrono::milliseconds timeout) {
    LastError last;
    return committed_offsets(make_handle(brokers, group, settings, last).get(), partitions, timeout);
}

std::vector<PartitionEnd> without_records(const std::string& brokers, const std::string& group,
                                          const std::vector<PartitionEnd>& partitions,
                                          const std::vector<std::pair<std::string, std::string>>& settings,
                                          std::chrono::milliseconds timeout) {
    LastError last;
    const auto reader = make_handle(brokers, group, settings, last,
                                    {{"enable.auto.commit", "false"},
                                     {"enable.partition.eof", "true"},
                                     {"auto.offset.reset", "earliest"},
                                     {"queued.max.messages.kbytes", "64"}});
    rd_kafka_poll_set_consumer(reader.get());
    const auto list = list_of(partitions, [](const PartitionEnd& p) { return p.begin; });
    auto asked = partitions;
    std::vector<PartitionEnd> empty;
    if (rd_kafka_assign(reader.get(), list.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) return empty;
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!asked.empty() && std::chrono::steady_clock::now() < deadline) {
        const MessagePtr message{rd_kafka_consumer_poll(reader.get(), 100)};
        if (!message) continue;
        const bool at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (!at_end && message->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue; // it goes on by itself
        const auto one = std::find_if(asked.begin(), asked.end(), [&](const PartitionEnd& p) {
            return p.partition == message->partition && p.topic == rd_kafka_topic_name(message->rkt);
        });
        if (one == asked.end()) continue;
        if (at_end || message->offset >= one->end) empty.push_back(*one);
        asked.erase(one);
    }
    rd_kafka_assign(reader.get(), nullptr);
    return empty;
}

void start_at(const std::string& brokers, const std::string& group, std::vector<PartitionEnd>& ends, const Start& start,
              const std::vector<std::pair<std::string, std::string>>& settings, std::chrono::milliseconds timeout) {
    for (auto& end : ends) {
        if (start.kind == Start::Kind::beginning) end.begin = end.first;
        if (start.kind == Start::Kind::end) end.begin = end.end;
    }
    if (start.kind != Start::Kind::timestamp) return;
    LastError last;
    const auto handle = make_handle(brokers, group, settings, last);
    const auto list = list_of(ends, [&](const PartitionEnd&) { return start.timestamp_ms; });
    const auto fail = [&](const std::string& where, rd_kafka_resp_err_t error) {
        throw Failure{"--from: the brokers at " + brokers + " do not say which offset of " + where +
                          " it is: " + rd_kafka_err2str(error),
                      exit_kafka};
    };
    const auto failed = rd_kafka_offsets_for_times(handle.get(), list.get(), static_cast<int>(timeout.count()));
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) fail("any partition", failed);
    for (auto& end : ends) {
        const auto* const found = rd_kafka_topic_partition_list_find(list.get(), end.topic.c_str(), end.partition);
        // Without an answer there is no offset either, and that must not be taken for "all records are older".
        if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR) fail(end.topic + "-" + std::to_string(end.partition), found->err);
        end.begin = found->offset >= 0 ? found->offset : end.end;
    }
}

void move_group(const std::string& brokers, const std::string& group, const std::vector<PartitionEnd>& ends,
                const std::vector<std::pair<std::string, std::string>>& settings, std::chrono::milliseconds timeout) {
    LastError last;
    const auto handle = make_handle(brokers, group, settings, last);
    const auto list = list_of(ends, [](const PartitionEnd& end) { return end.begin; });
    // Not rd_kafka_commit, which waits for as long as the brokers are away.
    const bulkhead::kafka::QueuePtr queue{rd_kafka_queue_new(handle.get())};
    auto error = RD_KAFKA_RESP_ERR__TIMED_OUT;
    const auto failed = rd_kafka_commit_queue(
        handle.get(), list.get(), queue.get(),
        [](rd_kafka_t*, rd_kafka_resp_err_t result, rd_kafka_topic_partition_list_t* offsets, void* answer) {
            for (int i = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && offsets != nullptr && i < offsets->cnt; ++i)
                result = offsets->elems[i].err; // NOLINT: C array
            *static_cast<rd_kafka_resp_err_t*>(answer) = result;
        },
        &error);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) {
        error = failed;
    } else {
        rd_kafka_queue_poll_callback(queue.get(), static_cast<int>(timeout.count()));
    }
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
        error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION)
        throw Failure{"--from: consumer group " + group + " has members; stop them first, or take another --group"};
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        throw Failure{"--from: consumer group " + group + " at " + brokers + ": " + rd_kafka_err2str(error),
                      exit_kafka};
}

} // namespace replay
