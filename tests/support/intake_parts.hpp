// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support/catch.hpp"

#include <bulkhead/detail/intake/bulk.hpp>

#include <chrono>
#include <cstddef>
#include <string>

/// What the tests of the intake's parts share.
namespace bulkhead_test {

using TimePoint = std::chrono::steady_clock::time_point;

/// A batch of operations that carry this ticket and about so many bytes each.
inline bulkhead::detail::BulkBatch batch_of(std::size_t operations, bulkhead::Ticket ticket = {},
                                            std::size_t bytes = 64) {
    bulkhead::detail::BulkBatch batch;
    const auto source = "{\"m\":\"" + std::string(bytes, 'x') + "\"}";
    for (std::size_t i = 0; i < operations; ++i) REQUIRE_FALSE(batch.append({.index = "logs", .source = source}));
    for (auto& entry : batch.entries()) entry.ticket = ticket;
    return batch;
}

} // namespace bulkhead_test
