// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/failure_class.hpp>
#include <bulkhead/histogram.hpp>
#include <bulkhead/settlement.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::inline v1 {

/// Why the indexer is, or is not, sending. It ends by itself when the cause does.
enum class Health : std::uint8_t {
    ok,
    backing_off,   ///< the endpoint as a whole fails or pushes back (no connection, 429, 5xx, no item of a request was
                   ///< taken for lack of capacity); probed with backoff
    unauthorized,  ///< 401, 403 or 407 for whole requests, or no item of one was allowed; probed with backoff, nothing
                   ///< is thrown away
    misconfigured, ///< 404, 405, 406, 415, a redirect, …: the URL is not that of a bulk endpoint; probed with backoff
    flooded,      ///< most of what is sent is refused for good: nothing more becomes a dead letter; probed with backoff
    sink_failing, ///< the dead-letter sink fails, or hangs with so much that nothing is sent until it has taken it;
                  ///< after an error it is tried again with backoff
};

/// How many states there are.
inline constexpr std::size_t health_count = 6;

/// Its name as in the documentation.
[[nodiscard]] constexpr std::string_view to_string(Health health) noexcept {
    constexpr std::string_view names[] = {"ok",      "backing_off", "unauthorized", "misconfigured",
                                          "flooded", "sink_failing"};
    return names[static_cast<std::size_t>(health)];
}

/// The latest failure of one type.
struct FailureSample {
    std::string type;         ///< the server's error type, or the name of a `bulkhead::errc`
    std::string reason;       ///< one sample, one line of at most 1 KiB; may quote a document: treat as sensitive
    std::uint16_t status = 0; ///< the status at the operation's position, or of the whole answer
    std::uint64_t count = 0;  ///< how many operations, or whole requests, failed in this way
    std::string index{};      ///< the index of the sample's operation, where the server blocks operations for now
};

/// A snapshot of the indexer's counters, taken under its lock, so that at every instant
///
///     offered  == accepted + refused()
///     accepted == settled() + pending
///     settle_time.count() == settled()
///     request_failures.total() == failed_requests
///
/// Counters only grow. Gauges (`pending`, `buffered_bytes`, `in_flight`, `sealed_batches`) return to 0 when idle, but
/// for `buffered_bytes`, which includes the spare buffers, and the limits.
struct Stats {
    // What callers handed in.
    /// Operations handed in.
    std::uint64_t offered = 0;
    /// Of these: to be settled exactly once.
    std::uint64_t accepted = 0;
    /// Not accepted: the budget was used up.
    std::uint64_t refused_full = 0;
    /// Not accepted: the indexer was closing or closed.
    std::uint64_t refused_closed = 0;
    /// Not accepted: malformed.
    std::uint64_t refused_invalid = 0;
    /// Not accepted: larger than `max_operation_bytes` or the budget.
    std::uint64_t refused_too_large = 0;

    /// Of `accepted`: a newline stood inside a string of the source, which JSON does not allow, and has become a space.
    std::uint64_t altered = 0;

    // How accepted operations ended.
    /// Operations that ended as `Outcome::indexed`.
    std::uint64_t indexed = 0;
    /// Operations that ended as `Outcome::superseded`.
    std::uint64_t superseded = 0;
    /// Operations that ended as `Outcome::rejected`.
    std::uint64_t rejected = 0;
    /// Operations that ended as `Outcome::dead_lettered`.
    std::uint64_t dead_lettered = 0;
    /// Operations that ended as `Outcome::dropped`.
    std::uint64_t dropped = 0;
    /// Operations that ended as `Outcome::undelivered`.
    std::uint64_t undelivered = 0;
    /// Operations that ended as `Outcome::unknown`.
    std::uint64_t unknown = 0;
    std::uint64_t redirected = 0; ///< of `indexed`: stored in the failure store
    std::uint64_t unobserved = 0; ///< settlements whose subscription was gone, or a close came to its deadline first
    /// With `Ordering::per_id`: settled operations of which an attempt was sent and not answered, and that have no
    /// external version. Should the server still apply that attempt later, it may undo a newer operation of the same
    /// id.
    std::uint64_t order_uncertain = 0;

    // What is under way.
    std::uint64_t pending = 0;        ///< accepted and not settled
    std::uint64_t buffered_bytes = 0; ///< what counts against `max_buffered_bytes`
    /// The most that `buffered_bytes` ever was.
    std::uint64_t peak_buffered_bytes = 0;
    std::uint64_t buffered_bytes_limit = 0; ///< `max_buffered_bytes`
    std::uint64_t in_flight = 0;            ///< bulk requests
    std::uint64_t in_flight_limit = 0;      ///< at most `max_in_flight`, fewer while the endpoint pushes back
    std::uint64_t batch_bytes_limit = 0;    ///< at most `max_batch_bytes`, less after the endpoint has answered 413
    std::uint64_t sealed_batches = 0;       ///< waiting to be sent, retries included
    std::uint64_t waiting_for_id = 0;       ///< operations that wait for an earlier one of the same id
    /// Operations that were not allowed when they were last answered (`Verdict::environment`): they are tried again.
    std::uint64_t waiting_for_environment = 0;
    std::uint64_t dead_letters_waiting = 0; ///< operations refused for good that the sink has not acknowledged yet
    /// How long ago the oldest pending operation's batch was opened; zero when nothing is pending. (Time is read once a
    /// batch: an operation is at most `flush_interval` younger than its batch.)
    std::chrono::nanoseconds oldest_pending{};
    /// The same of the oldest operation that waits for the dead-letter sink.
    std::chrono::nanoseconds oldest_dead_letter{};

    // What travelled.
    std::uint64_t requests = 0;           ///< bulk requests sent, retries included
    std::uint64_t failed_requests = 0;    ///< of these: failed as a whole
    std::uint64_t malformed_answers = 0;  ///< of these: a success status with a body that proves nothing
    std::uint64_t request_bytes = 0;      ///< bodies, uncompressed
    std::uint64_t retried_operations = 0; ///< operations that were put back to be sent again
    /// Batches closed by `max_batch_operations`.
    std::uint64_t sealed_by_count = 0;
    /// Batches closed by `max_batch_bytes`, or by the budget.
    std::uint64_t sealed_by_bytes = 0;
    /// Batches closed by `flush_interval`.
    std::uint64_t sealed_by_interval = 0;
    std::uint64_t sealed_by_flush = 0; ///< an explicit flush, or close

    // How long it took.
    /// Calls of the enqueue functions that took operations, lock and copy included: about one for 256 operations is
    /// measured.
    Histogram append_time;
    /// From when a batch was opened until it was sent for the first time: once a batch.
    Histogram queue_time;
    /// From when a request was sent until its answer was there, or it had failed: once a request, unless a close gave
    /// it up.
    Histogram request_time;
    /// From when an operation's batch was opened until the operation was settled: every operation.
    Histogram settle_time;

    // What went wrong.
    /// Requests that failed as a whole, by class.
    FailureCounts request_failures;
    /// What operations met, by class: one that is tried again and fails again counts twice.
    FailureCounts operation_failures;

    /// Why the indexer is, or is not, sending.
    Health health = Health::ok;
    /// For people, and fit for a log: what was last wrong with the endpoint, as the network, TLS or the dead-letter
    /// sink put it; of a server's answer its error's type, never its reason. It stays when `health` is ok again.
    std::string health_detail;

    /// The most frequent failures by type, one sample each, at most 16.
    std::vector<FailureSample> failures;

    /// Operations that were not accepted.
    [[nodiscard]] std::uint64_t refused() const noexcept {
        return refused_full + refused_closed + refused_invalid + refused_too_large;
    }
    /// Operations that have ended.
    [[nodiscard]] std::uint64_t settled() const noexcept {
        return indexed + superseded + rejected + dead_lettered + dropped + undelivered + unknown;
    }
};

} // namespace bulkhead::inline v1
