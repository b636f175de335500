// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/source.hpp>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::test {

/// librdkafka's mock cluster: Kafka brokers inside this process, on loopback, with consumer groups. For tests and
/// demos of a service that reads from Kafka. Link librdkafka.
///
/// What it cannot do, so that it is not mistaken for a fault of the service: the first join of a group takes about
/// 3 s; `session.timeout.ms` must be at least 3000; each partition keeps only its latest 5 MiB of message sets, counted
/// as they are stored, compressed (hence `partitions_for`); there is no log compaction and no transaction marker.
///
/// Errors are thrown as `std::runtime_error`. Not thread-safe, but consumers may run on any thread.
class MockKafka {
public:
    /// Starts so many brokers. Throws `std::runtime_error`.
    explicit MockKafka(int brokers = 1) {
        std::array<char, 512> error{};
        std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)> conf{rd_kafka_conf_new(),
                                                                                &rd_kafka_conf_destroy};
        for (const auto& [key, value] :
             std::initializer_list<std::pair<const char*, const char*>>{{"log_level", "0"},
                                                                        {"linger.ms", "100"},
                                                                        {"compression.codec", "lz4"},
                                                                        {"batch.num.messages", "10000"},
                                                                        {"batch.size", "4000000"},
                                                                        {"message.max.bytes", "8000000"},
                                                                        {"queue.buffering.max.messages", "1000000"},
                                                                        {"queue.buffering.max.kbytes", "262144"}}) {
            if (rd_kafka_conf_set(conf.get(), key, value, error.data(), error.size()) != RD_KAFKA_CONF_OK)
                throw std::runtime_error{"mock Kafka: " + std::string{error.data()}};
        }
        rd_kafka_conf_set_opaque(conf.get(), this);
        rd_kafka_conf_set_dr_msg_cb(conf.get(), [](rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
            if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) static_cast<MockKafka*>(self)->refused(message->err);
        });
        producer_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), error.data(), error.size());
        if (producer_ == nullptr) throw std::runtime_error{"mock Kafka: " + std::string{error.data()}};
        conf.release(); // NOLINT: the producer owns it now
        cluster_ = rd_kafka_mock_cluster_new(producer_, brokers);
        if (cluster_ == nullptr) {
            rd_kafka_destroy(producer_);
            throw std::runtime_error{"mock Kafka: the cluster cannot be started"};
        }
        rd_kafka_brokers_add(producer_, rd_kafka_mock_cluster_bootstraps(cluster_));
    }
    ~MockKafka() {
        rd_kafka_purge(producer_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        for (const auto& [name, topic] : topics_) rd_kafka_topic_destroy(topic);
        rd_kafka_mock_cluster_destroy(cluster_);
        rd_kafka_destroy(producer_);
    }
    MockKafka(const MockKafka&) = delete;
    MockKafka& operator=(const MockKafka&) = delete;

    /// For `bootstrap.servers`.
    [[nodiscard]] std::string bootstrap_servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }

    /// Throws `std::runtime_error`.
    void create_topic(const std::string& topic, int partitions) {
        if (const auto error = rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1))
            throw std::runtime_error{"mock Kafka: topic " + topic + ": " + rd_kafka_err2str(error)};
        partitions_[topic] = partitions;
    }

    /// How many partitions hold so many bytes of payload, even when nothing compresses.
    [[nodiscard]] static int partitions_for(std::uint64_t total_bytes) noexcept {
        constexpr std::uint64_t bytes_each = std::uint64_t{4} << 20;
        return static_cast<int>(std::max<std::uint64_t>(1, (total_bytes + bytes_each - 1) / bytes_each));
    }

    /// Copies the record and sends it in the background; blocks only while much is under way. No payload: a tombstone.
    /// No timestamp (0): now.
    void produce(const std::string& topic, std::int32_t partition, std::optional<std::string_view> key,
                 std::optional<std::string_view> payload, std::int64_t timestamp_ms = 0,
                 std::span<const RecordHeader> headers = {}) {
        fields_.clear();
        names_.clear(); // the last one may have thrown
        add(RD_KAFKA_VTYPE_RKT).u.rkt = handle(topic);
        add(RD_KAFKA_VTYPE_PARTITION).u.i32 = partition;
        add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
        add(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = timestamp_ms;
        if (key) add(RD_KAFKA_VTYPE_KEY).u.mem = memory(*key);
        if (payload) add(RD_KAFKA_VTYPE_VALUE).u.mem = memory(*payload);
        for (const auto& header : headers) {
            names_.emplace_back(header.name);
            auto& field = add(RD_KAFKA_VTYPE_HEADER).u.header;
            field.name = nullptr; // set below: `names_` may move its strings while it grows
            field.val = header.value ? header.value->data() : nullptr;
            field.size = header.value ? static_cast<ssize_t>(header.value->size()) : 0;
        }
        for (std::size_t i = 0; i < names_.size(); ++i)
            fields_[fields_.size() - names_.size() + i].u.header.name = names_[i].c_str();
        for (;;) {
            auto* const error = rd_kafka_produceva(producer_, fields_.data(), fields_.size());
            if (error == nullptr) break;
            const auto code = rd_kafka_error_code(error);
            rd_kafka_error_destroy(error);
            if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                throw std::runtime_error{"mock Kafka: produce: " + std::string{rd_kafka_err2str(code)}};
            rd_kafka_poll(producer_, 10);
        }
        if ((++produced_ & 0xfffU) == 0) rd_kafka_poll(producer_, 0);
    }

    /// Waits until everything produced is in the brokers' logs.
    void flush() {
        const auto error = rd_kafka_flush(producer_, 60'000);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR || refused_ > 0)
            throw std::runtime_error{"mock Kafka: " + std::to_string(refused_) + " records refused: " +
                                     rd_kafka_err2str(error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : last_refusal_)};
    }

    /// How many records of the topic can be read: the sum over its partitions of the end minus the beginning.
    [[nodiscard]] std::int64_t readable(const std::string& topic) {
        std::int64_t sum = 0;
        for (int partition = 0; partition < partitions_.at(topic); ++partition) {
            const auto [low, high] = watermarks(topic, partition);
            sum += high - low;
        }
        return sum;
    }
    /// The partition's first offset and the one after its last.
    [[nodiscard]] std::pair<std::int64_t, std::int64_t> watermarks(const std::string& topic, std::int32_t partition) {
        std::int64_t low = 0;
        std::int64_t high = 0;
        if (const auto error =
                rd_kafka_query_watermark_offsets(producer_, topic.c_str(), partition, &low, &high, 10'000))
            throw std::runtime_error{"mock Kafka: watermarks of " + topic + ": " + rd_kafka_err2str(error)};
        return {low, high};
    }

    /// What the group has committed for this partition.
    [[nodiscard]] std::optional<std::int64_t> committed(const std::string& group, const std::string& topic,
                                                        std::int32_t partition) const {
        std::array<char, 512> error{};
        auto* const conf = rd_kafka_conf_new();
        rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap_servers().c_str(), error.data(), error.size());
        rd_kafka_conf_set(conf, "group.id", group.c_str(), error.data(), error.size());
        rd_kafka_conf_set(conf, "log_level", "0", error.data(), error.size());
        auto* const reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error.data(), error.size());
        if (reader == nullptr) {
            rd_kafka_conf_destroy(conf);
            throw std::runtime_error{"mock Kafka: " + std::string{error.data()}};
        }
        auto* const list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(list, topic.c_str(), partition);
        const auto failed = rd_kafka_committed(reader, list, 10'000);
        const auto offset = list->elems[0].offset;
        rd_kafka_topic_partition_list_destroy(list);
        rd_kafka_destroy(reader);
        if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw std::runtime_error{"mock Kafka: committed: " + std::string{rd_kafka_err2str(failed)}};
        return offset < 0 ? std::nullopt : std::optional{offset};
    }

    /// For faults: `rd_kafka_mock_push_request_errors` and its like.
    [[nodiscard]] rd_kafka_mock_cluster_t* cluster() noexcept { return cluster_; }
    /// The client that `produce` uses.
    [[nodiscard]] rd_kafka_t* producer() noexcept { return producer_; }

private:
    void refused(rd_kafka_resp_err_t error) noexcept {
        ++refused_;
        last_refusal_ = error;
    }
    rd_kafka_vu_t& add(rd_kafka_vtype_t type) {
        fields_.emplace_back();
        fields_.back().vtype = type;
        return fields_.back();
    }
    using Memory = decltype(rd_kafka_vu_t{}.u.mem);
    static Memory memory(std::string_view bytes) noexcept {
        // librdkafka takes a pointer to mutable bytes, and copies them. An empty view may have a null pointer, which
        // would mean a tombstone.
        Memory m{};
        m.ptr = const_cast<char*>(bytes.data() == nullptr ? "" : bytes.data()); // NOLINT
        m.size = bytes.size();
        return m;
    }
    rd_kafka_topic_t* handle(const std::string& topic) {
        auto& known = topics_[topic];
        if (known == nullptr) known = rd_kafka_topic_new(producer_, topic.c_str(), nullptr);
        if (known == nullptr) throw std::runtime_error{"mock Kafka: topic " + topic + " cannot be opened"};
        return known;
    }

    rd_kafka_t* producer_ = nullptr;
    rd_kafka_mock_cluster_t* cluster_ = nullptr;
    std::map<std::string, rd_kafka_topic_t*> topics_;
    std::map<std::string, int> partitions_;
    std::vector<rd_kafka_vu_t> fields_;
    std::vector<std::string> names_;
    std::uint64_t produced_ = 0;
    std::uint64_t refused_ = 0;
    rd_kafka_resp_err_t last_refusal_ = RD_KAFKA_RESP_ERR_NO_ERROR;
};

} // namespace bulkhead::inline v1::test
