// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/client_events.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/partition_list.hpp>
#include <bulkhead/kafka/rdkafka/detail/commit/commit_result.hpp>
#include <bulkhead/kafka/rdkafka/detail/commit/exact_commits.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <new>
#include <string_view>
#include <system_error>

namespace bulkhead::inline v1::kafka::detail {

/// Stores offsets with the client, which commits them in the background, and commits explicitly what must not wait or
/// may be lower than the group's offset. On the thread that polls the client.
class OffsetCommitter {
public:
    explicit OffsetCommitter(ClientEvents& events) noexcept : events_{events} {}
    OffsetCommitter(const OffsetCommitter&) = delete;
    OffsetCommitter& operator=(const OffsetCommitter&) = delete;

    /// Before anything else. The handle is the owner's.
    void attach(rd_kafka_t* rk) noexcept { rk_ = rk; }

    error_code store(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        const auto list = list_of(topic, partition);
        list->elems[0].offset = next;
        const auto error = error_of(rd_kafka_offsets_store(rk_, list.get()), *list);
        if (!error) exact_.stored(topic, partition, next);
        return error;
    }
    /// Stores first: otherwise librdkafka would commit what was stored before, which is higher.
    error_code set(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        if (const auto error = store(topic, partition, next)) return error;
        try {
            exact_.want(topic, partition, next);
        } catch (const std::bad_alloc&) {
            return std::make_error_code(std::errc::not_enough_memory);
        }
        return {};
    }
    /// Sends the explicit commits that are due. Never waits. Only assigned partitions are in the list, and the
    /// coordinator refuses a generation that is over.
    void send_exact() noexcept {
        if (exact_.empty() || !exact_.due(std::chrono::steady_clock::now())) return;
        const auto list = exact_list();
        if (const auto failed = rd_kafka_commit(rk_, list.get(), 1)) settle_exact(failed, list.get());
    }
    /// Commits what is stored and waits for the coordinator's answer, at most so long; repeats it while the trouble may
    /// pass. True when all of it is committed, or when there was nothing to commit.
    bool commit_stored(std::chrono::milliseconds timeout) noexcept {
        using namespace std::chrono_literals;
        const auto deadline =
            bulkhead::detail::saturating_add<std::chrono::steady_clock>(std::chrono::steady_clock::now(), timeout);
        for (;;) {
            auto result = commit_once(deadline, nullptr);
            if (const auto list = exact_list()) {
                const auto exact = commit_once(deadline, list.get());
                if (exact.fate > result.fate) result = exact;
            }
            events_.call([&](ClientListener& listener) { listener.on_commit(result); });
            if (result.fate != CommitFate::again) return result.fate == CommitFate::committed;
            const auto left =
                std::chrono::floor<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            if (left <= 0ms) return false;
            const QueuePtr silent{rd_kafka_queue_new(rk_)};
            rd_kafka_queue_poll_callback(silent.get(), static_cast<int>(std::min(left, 50ms).count()));
        }
    }
    /// The client's callback: a commit in the background, or one of `send_exact`, was answered. `offsets` may be null.
    void answered(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* offsets) noexcept {
        settle_exact(error, offsets);
        events_.call([&](ClientListener& listener) { listener.on_commit(judge_commit(error, offsets)); });
    }
    /// These partitions are gone: nothing is committed explicitly for them any more.
    void forget(const rd_kafka_topic_partition_list_t& gone) noexcept {
        for (const auto& p : span_of(gone)) exact_.forget(p.topic, p.partition);
    }

private:
    void settle_exact(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* offsets) noexcept {
        if (offsets == nullptr || exact_.empty()) return;
        const auto now = std::chrono::steady_clock::now();
        for (const auto& one : span_of(*offsets)) {
            const auto failed = error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : one.err;
            exact_.answered(one.topic, one.partition, one.offset, fate_of(failed), now);
        }
    }
    /// What is to be committed although the group's offset may be higher; null when there is nothing.
    [[nodiscard]] ListPtr exact_list() noexcept {
        ListPtr list;
        if (exact_.empty()) return list;
        list.reset(rd_kafka_topic_partition_list_new(1));
        exact_.send([&](const ExactCommits::Wanted& one) {
            rd_kafka_topic_partition_list_add(list.get(), one.topic.c_str(), one.partition)->offset = one.next;
        });
        return list;
    }
    [[nodiscard]] CommitResult commit_once(std::chrono::steady_clock::time_point deadline,
                                           const rd_kafka_topic_partition_list_t* list) noexcept {
        const QueuePtr queue{rd_kafka_queue_new(rk_)}; // once it is gone no answer comes
        CommitResult result{CommitFate::again, RD_KAFKA_RESP_ERR__TIMED_OUT};
        struct Waiting {
            CommitResult& result;
            OffsetCommitter& self;
        } waiting{result, *this};
        const auto on_answer = [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* offsets,
                                  void* opaque) {
            auto& to = *static_cast<Waiting*>(opaque);
            to.result = judge_commit(error, offsets);
            to.self.settle_exact(error, offsets);
        };
        if (const auto failed = rd_kafka_commit_queue(rk_, list, queue.get(), on_answer, &waiting))
            return judge_commit(failed, nullptr);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        rd_kafka_queue_poll_callback(queue.get(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        return result;
    }

    ClientEvents& events_;
    rd_kafka_t* rk_ = nullptr;
    ExactCommits exact_;
};

} // namespace bulkhead::inline v1::kafka::detail
