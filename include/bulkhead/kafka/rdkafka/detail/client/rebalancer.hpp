// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/detail/client/client_events.hpp>
#include <bulkhead/kafka/rdkafka/detail/commit/offset_committer.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cstring>

namespace bulkhead::inline v1::kafka::detail {

/// Follows the group's rebalances, eager or cooperative: changes the client's assignment and notifies the listener.
class Rebalancer {
public:
    Rebalancer(ClientEvents& events, OffsetCommitter& commits) noexcept : events_{events}, commits_{commits} {}
    Rebalancer(const Rebalancer&) = delete;
    Rebalancer& operator=(const Rebalancer&) = delete;

    /// The client's callback.
    void rebalance(rd_kafka_t* rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list) {
        const auto* const protocol = rd_kafka_rebalance_protocol(rk);
        const bool cooperative = protocol != nullptr && std::strcmp(protocol, "COOPERATIVE") == 0;
        switch (what) {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
            assigned_ = true;
            assign(rk, *list, cooperative); // first, so that the source can pause partitions
            return events_.call([&](ClientListener& listener) { listener.on_assigned(*list); });
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
            events_.call([&](ClientListener& listener) {
                rd_kafka_assignment_lost(rk) != 0 ? listener.on_lost(*list) : listener.on_revoked(*list);
            });
            commits_.forget(*list);
            if (cooperative) return report(ErrorPtr{rd_kafka_incremental_unassign(rk, list)});
            break;
        default:
            events_.error(what, rd_kafka_err2str(what));
            events_.call([&](ClientListener& listener) { listener.on_lost(*list); });
            commits_.forget(*list);
        }
        rd_kafka_assign(rk, nullptr);
    }
    /// Whether there was an assignment, be it nothing. Any thread.
    [[nodiscard]] bool was_assigned() const noexcept { return assigned_; }

private:
    void assign(rd_kafka_t* rk, const rd_kafka_topic_partition_list_t& list, bool cooperative) noexcept {
        if (cooperative) return report(ErrorPtr{rd_kafka_incremental_assign(rk, &list)});
        if (const auto failed = rd_kafka_assign(rk, &list)) events_.error(failed, rd_kafka_err2str(failed));
    }
    void report(const ErrorPtr& error) noexcept {
        if (error) events_.error(rd_kafka_error_code(error.get()), rd_kafka_error_string(error.get()));
    }

    ClientEvents& events_;
    OffsetCommitter& commits_;
    std::atomic<bool> assigned_{false};
};

} // namespace bulkhead::inline v1::kafka::detail
