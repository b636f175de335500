// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/detail/client/client_events.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/partition_list.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace bulkhead::inline v1::kafka::detail {

/// Requests the offsets that the group has committed, and hands the answers to the listener. Never waits.
class GroupOffsets {
public:
    GroupOffsets(rd_kafka_t* rk, std::string group)
        : rk_{rk}, group_{std::move(group)}, answers_{rd_kafka_queue_new(rk)} {}

    /// For these partitions. `generation` comes back with the answer.
    void request(const rd_kafka_topic_partition_list_t& list, std::uint64_t generation) noexcept {
        if (list.cnt == 0) return;
        const ListPtr names{rd_kafka_topic_partition_list_new(list.cnt)};
        for (const auto& p : span_of(list)) rd_kafka_topic_partition_list_add(names.get(), p.topic, p.partition);
        using Request =
            std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t, Destroy<rd_kafka_ListConsumerGroupOffsets_destroy>>;
        using AdminOptions = std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
        const Request request{rd_kafka_ListConsumerGroupOffsets_new(group_.c_str(), names.get())};
        const AdminOptions options{rd_kafka_AdminOptions_new(rk_, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)};
        if (!request || !options) return;
        rd_kafka_AdminOptions_set_opaque(options.get(), reinterpret_cast<void*>(generation)); // NOLINT: never followed
        auto* only = request.get();
        rd_kafka_ListConsumerGroupOffsets(rk_, &only, 1, options.get(), answers_.get());
    }
    /// Calls the listener with the answers that have come.
    void serve(ClientEvents& events) noexcept {
        using EventPtr = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
        while (const EventPtr event{rd_kafka_queue_poll(answers_.get(), 0)}) {
            const auto* const result = rd_kafka_event_ListConsumerGroupOffsets_result(event.get());
            if (result == nullptr || rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
            std::size_t count = 0;
            const auto* const* const groups = rd_kafka_ListConsumerGroupOffsets_result_groups(result, &count);
            if (count != 1) continue;
            const auto* const list = rd_kafka_group_result_partitions(groups[0]);
            if (list == nullptr) continue;
            const auto generation = reinterpret_cast<std::uintptr_t>(rd_kafka_event_opaque(event.get())); // NOLINT
            events.call([&](ClientListener& listener) {
                for (const auto& p : span_of(*list))
                    if (p.err == RD_KAFKA_RESP_ERR_NO_ERROR) listener.on_committed(generation, p);
            });
        }
    }

private:
    rd_kafka_t* rk_;
    std::string group_;
    QueuePtr answers_;
};

} // namespace bulkhead::inline v1::kafka::detail
