// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/stats.hpp>

#include <memory>
#include <vector>

namespace bulkhead::inline v1 {

/// What `async_close` reports.
struct CloseReport {
    Stats stats;          ///< the final counters
    bool drained = false; ///< nothing had to be given up at the deadline
    /// The operations that settled as `undelivered` because of the close, handed back: certainly not applied, byte for
    /// byte as they were accepted. Give them to another indexer (`enqueue(*batch)`), or keep `batch->body()` for later.
    /// So are those that grew too old and still waited for the dead-letter sink (`IndexerOptions::expired_to_sink`).
    /// What may have been applied (`unknown`) is not here. Every close of an indexer reports the same batches. Their
    /// bytes were counted in the indexer's budget, and are freed with the last report.
    std::vector<std::shared_ptr<const Batch>> undelivered{};
};

} // namespace bulkhead::inline v1
