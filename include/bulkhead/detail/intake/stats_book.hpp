// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/intake/open_batch.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/stats.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

namespace bulkhead::inline v1::detail {

/// How operations ended, to be counted in one step.
struct Tally {
    std::uint64_t by_outcome[outcome_count] = {};
    std::uint64_t redirected = 0;
    std::chrono::nanoseconds age{}; ///< since their batch was opened
    [[nodiscard]] std::uint64_t& operator[](Outcome outcome) noexcept {
        return by_outcome[static_cast<std::size_t>(outcome)];
    }
    [[nodiscard]] std::uint64_t total() const noexcept {
        std::uint64_t sum = 0;
        for (const auto n : by_outcome) sum += n;
        return sum;
    }
};

/// The counters. Each function is one event, so that the identities of `Stats` hold after every call but `offer`, which
/// one of `accept`, `refuse` and `withdraw` follows.
class StatsBook {
public:
    explicit StatsBook(const IndexerOptions& options) {
        stats_.in_flight_limit = options.max_in_flight;
        stats_.batch_bytes_limit = options.max_batch_bytes;
        stats_.buffered_bytes_limit = options.max_buffered_bytes;
    }
    [[nodiscard]] Stats& stats() noexcept { return stats_; }
    [[nodiscard]] const Stats& stats() const noexcept { return stats_; }

    void offer(std::uint64_t operations) noexcept { stats_.offered += operations; }
    /// The offer is made again later, and counts then.
    void withdraw(std::uint64_t operations) noexcept { stats_.offered -= operations; }
    /// Whether the time of one of the next offers shall be measured: about once in 256 operations.
    bool accept(std::uint64_t operations) noexcept {
        constexpr std::uint64_t measured_every = 256;
        const auto before = stats_.accepted;
        stats_.accepted += operations;
        stats_.pending += operations;
        return before / measured_every != stats_.accepted / measured_every;
    }
    void refuse(Admission why, std::uint64_t operations) noexcept {
        switch (why) {
        case Admission::full: stats_.refused_full += operations; break;
        case Admission::closed: stats_.refused_closed += operations; break;
        case Admission::too_large: stats_.refused_too_large += operations; break;
        default: stats_.refused_invalid += operations; break;
        }
    }
    void seal(SealReason why) noexcept {
        switch (why) {
        case SealReason::bytes: ++stats_.sealed_by_bytes; break;
        case SealReason::count: ++stats_.sealed_by_count; break;
        case SealReason::interval: ++stats_.sealed_by_interval; break;
        case SealReason::flush: ++stats_.sealed_by_flush; break;
        case SealReason::none: break;
        }
    }
    void settle(const Tally& tally) noexcept {
        stats_.indexed += tally.by_outcome[static_cast<std::size_t>(Outcome::indexed)];
        stats_.superseded += tally.by_outcome[static_cast<std::size_t>(Outcome::superseded)];
        stats_.rejected += tally.by_outcome[static_cast<std::size_t>(Outcome::rejected)];
        stats_.dead_lettered += tally.by_outcome[static_cast<std::size_t>(Outcome::dead_lettered)];
        stats_.dropped += tally.by_outcome[static_cast<std::size_t>(Outcome::dropped)];
        stats_.undelivered += tally.by_outcome[static_cast<std::size_t>(Outcome::undelivered)];
        stats_.unknown += tally.by_outcome[static_cast<std::size_t>(Outcome::unknown)];
        stats_.redirected += tally.redirected;
        const auto settled = tally.total();
        stats_.pending -= settled;
        stats_.settle_time.record(tally.age, settled);
    }

    /// Counts operations that met a kind of failure, and keeps one sample of it.
    void note_failure(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count,
                      std::string_view index = {}) noexcept {
        stats_.operation_failures.add(classify(type, status), count);
        sample_failure(type, reason, status, count, index);
    }
    /// The same for a request that failed as a whole.
    void note_failed_request(std::string_view type, std::string_view reason, std::uint16_t status) noexcept {
        ++stats_.failed_requests;
        stats_.request_failures.add(classify(type, status), 1);
        sample_failure(type, reason, status, 1, {});
    }

private:
    void sample_failure(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count,
                        std::string_view index) noexcept {
        try {
            if (count != 0) sample(type, reason, status, count, index);
        } catch (const std::bad_alloc&) { // a sample is not worth failing for
        }
    }
    void sample(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count,
                std::string_view index) {
        constexpr std::size_t most = 16;
        auto& samples = stats_.failures;
        auto sample = std::find_if(samples.begin(), samples.end(), [&](const auto& s) { return s.type == type; });
        if (sample == samples.end()) {
            if (samples.size() == most) { // the rarest makes way
                sample = std::min_element(samples.begin(), samples.end(),
                                          [](const auto& a, const auto& b) { return a.count < b.count; });
                *sample = {};
            } else {
                sample = samples.emplace(samples.end());
            }
            sample->type = type;
        }
        sample->reason = reason.substr(0, 1024);
        sample->index = index;
        sample->status = status;
        sample->count += count;
    }

    Stats stats_;
};

} // namespace bulkhead::inline v1::detail
