// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "latency.hpp"

#include <bulkhead/batch.hpp>
#include <bulkhead/operation.hpp>
#include <bulkhead/options.hpp>

#include <chrono>
#include <utility>

namespace replay {

/// An indexer as a `KafkaSource` sees it, every call of `try_enqueue` timed. One thread, the source's.
template <class Indexer>
class TimedIndexer {
public:
    /// The indexer must outlive this.
    explicit TimedIndexer(Indexer& indexer) : indexer_{indexer} {}

    [[nodiscard]] bulkhead::Admission try_enqueue(const bulkhead::Batch& scratch, bulkhead::Ticket ticket) noexcept {
        const auto begin = std::chrono::steady_clock::now();
        const auto admission = indexer_.try_enqueue(scratch, ticket);
        const auto end = std::chrono::steady_clock::now();
        latencies_.record(static_cast<std::uint64_t>(std::chrono::nanoseconds{end - begin}.count()));
        if (first_ == std::chrono::steady_clock::time_point{}) first_ = begin;
        return admission;
    }
    [[nodiscard]] const Latencies& latencies() const noexcept { return latencies_; }
    /// When the first document was handed over; the clock's epoch when there was none.
    [[nodiscard]] std::chrono::steady_clock::time_point first() const noexcept { return first_; }

    template <class Executor, class Observer>
    [[nodiscard]] auto subscribe(Executor executor, Observer observer) {
        return indexer_.subscribe(std::move(executor), std::move(observer));
    }
    void flush() noexcept { indexer_.flush(); }
    [[nodiscard]] const bulkhead::IndexerOptions& options() const noexcept { return indexer_.options(); }
    [[nodiscard]] auto get_executor() const noexcept { return indexer_.get_executor(); }
    [[nodiscard]] bool running_in_this_thread() const noexcept { return indexer_.running_in_this_thread(); }

private:
    Indexer& indexer_;
    Latencies latencies_;
    std::chrono::steady_clock::time_point first_{};
};

} // namespace replay
