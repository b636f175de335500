// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <cstdint>

namespace bulkhead::inline v1::kafka::detail {

/// The result of a commit: the worst of its partitions, in this order.
enum class CommitFate : std::uint8_t {
    committed, ///< all of it, or nothing was new
    stale,     ///< the group has moved on without us: these offsets are their new owner's business
    again,     ///< the coordinator, or the way to it: they stay stored and go with the next commit
    refused,   ///< refused, and not by a passing trouble, e.g. for want of a permission: as `again`, but an operator is
               ///< needed
};

/// The fate, and the error that stands for it.
struct CommitResult {
    CommitFate fate = CommitFate::committed;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
};

[[nodiscard]] inline CommitFate fate_of(rd_kafka_resp_err_t error) noexcept {
    switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__NO_OFFSET: // nothing was new
        return CommitFate::committed;
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST: return CommitFate::stale;
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: // for a moment after a topic was made, or its leader moved
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__RETRY: return CommitFate::again;
    default: return CommitFate::refused;
    }
}

/// `error` is about the whole commit; a partition may have been refused all the same. `offsets` may be null.
[[nodiscard]] inline CommitResult judge_commit(rd_kafka_resp_err_t error,
                                               const rd_kafka_topic_partition_list_t* offsets) noexcept {
    CommitResult worst{fate_of(error), error};
    for (int i = 0; offsets != nullptr && i < offsets->cnt; ++i) {
        const auto one = offsets->elems[i].err;
        if (fate_of(one) > worst.fate) worst = {fate_of(one), one};
    }
    return worst;
}

} // namespace bulkhead::inline v1::kafka::detail
