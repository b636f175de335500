// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/intake/accumulator.hpp>
#include <bulkhead/detail/intake/offer.hpp>
#include <bulkhead/detail/intake/room_event.hpp>
#include <bulkhead/detail/util/lock_briefly.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/indexer_event.hpp>
#include <bulkhead/options.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace bulkhead::inline v1::detail {

/// What producers and the strand share: an `Accumulator` and wake-ups, guarded by one mutex. Each function locks, asks
/// its parts, and unlocks; it is thread-safe and short. No Asio, no I/O. Time comes from `Clock`, read once a batch.
///
/// The budget is moved along with the bytes: a bulk that is taken out stays charged until `settle` or `release`.
template <class Clock>
class Intake {
public:
    using time_point = typename Clock::time_point;
    using bulk_type = Bulk<time_point>;
    using Dropped = DroppedTickets;
    using IfFull = detail::IfFull;
    using Offered = detail::Offered;

    explicit Intake(const IndexerOptions& options)
        : options_{options}, reports_refusals_{bool{options.on_event}}, accumulator_{options} {
        options_.on_event = nullptr; // the strand's; what it holds is destroyed with the strand
    }

    // ---- For producers ----

    /// Appends one prepared operation to the open batch, or refuses it; then nothing has changed but the counters.
    [[nodiscard]] Offered offer(const Prepared& op, Ticket ticket, IfFull if_full = IfFull::refuse) {
        const auto lock = lock_briefly(mutex_);
        book().offer(1);
        if (closed_) return refuse(Admission::closed, 1);
        try {
            const auto* prefix = accumulator_.open().prefix(op.action, op.index);
            if (prefix == nullptr) return invalid(check_index_name(op.index)->message(), 1);
            const auto bytes = op.bytes(*prefix);
            if (bytes > options_.max_operation_bytes) return refuse(Admission::too_large, 1);
            return place({bytes, 1}, if_full, [&] {
                accumulator_.open().append(op, *prefix, ticket);
                if (op.entry.altered) ++book().stats().altered;
            });
        } catch (const std::bad_alloc&) { // before it was taken
            return refuse(Admission::full, 1);
        }
    }
    /// The same for a caller's scratch, all or nothing; every operation in it carries the ticket.
    [[nodiscard]] Offered offer(const Batch& scratch, Ticket ticket, IfFull if_full = IfFull::refuse) {
        const auto lock = lock_briefly(mutex_);
        const auto operations = scratch.operations();
        const auto& encoded = BatchAccess::encoded(scratch);
        book().offer(operations);
        if (closed_) return refuse(Admission::closed, operations);
        if (operations == 0) return {Admission::accepted};
        for (const auto& entry : encoded.entries())
            if (entry.bytes() > options_.max_operation_bytes) return refuse(Admission::too_large, operations);
        try {
            return place({scratch.bytes(), operations}, if_full, [&] {
                accumulator_.open().append(encoded, ticket);
                for (const auto& entry : encoded.entries())
                    if (entry.altered) ++book().stats().altered;
            });
        } catch (const std::bad_alloc&) { // before it was taken
            return refuse(Admission::full, operations);
        }
    }
    /// Refuses operations that are handed in together, one of which was found invalid before the lock was taken.
    [[nodiscard]] Offered refuse_invalid(const FieldError& error, std::size_t operations = 1) {
        const auto message = error.message(); // may throw, before anything is counted
        const auto lock = lock_briefly(mutex_);
        book().offer(operations);
        return closed_ ? refuse(Admission::closed, operations) : invalid(message, operations);
    }
    /// Refuses operations that memory was not enough for.
    [[nodiscard]] Offered refuse_full(std::size_t operations) {
        const auto lock = lock_briefly(mutex_);
        book().offer(operations);
        return refuse(Admission::full, operations);
    }
    /// Whether the caller shall measure how long its offer takes, and `note_append` it. Costs a load.
    [[nodiscard]] bool wants_time() noexcept {
        return wants_time_.load(std::memory_order_relaxed) && wants_time_.exchange(false, std::memory_order_relaxed);
    }
    void note_append(typename Clock::duration took) noexcept {
        const auto lock = lock_briefly(mutex_);
        book().stats().append_time.record(took);
    }
    /// Whether an offer of this size would be accepted now, as long as memory does not run out.
    [[nodiscard]] bool has_room(std::size_t bytes, std::size_t operations) const {
        const auto lock = lock_briefly(mutex_);
        return !closed_ && accumulator_.has_room({bytes, operations});
    }
    /// Blocks until bytes or operations were released since the refusal that returned `seen`, the indexer closed, or
    /// `deadline` passed (then false).
    bool wait_for_room(std::uint64_t seen, std::chrono::steady_clock::time_point deadline) {
        auto lock = lock_briefly(mutex_);
        return room_.wait(lock, seen, closed_, deadline);
    }
    /// The offer that `IfFull::reserve` held room back for is not made again.
    void end_reservation() noexcept {
        auto lock = lock_briefly(mutex_);
        accumulator_.end_reservation();
        room_.notify(std::move(lock));
    }

    /// Seals the open batch. Everything accepted before this call belongs to epochs before the returned one. Throws
    /// `std::bad_alloc`; then the batch may still be open.
    std::uint64_t flush() {
        const auto lock = lock_briefly(mutex_);
        return accumulator_.flush();
    }
    /// The same for a caller that does not wait: out of memory, the open batch is sealed at its time.
    void flush_and_forget() noexcept {
        const auto lock = lock_briefly(mutex_);
        (void)accumulator_.try_flush();
    }
    /// Refuses everything from now on, and flushes.
    void close() noexcept {
        auto lock = lock_briefly(mutex_);
        closed_ = true;
        (void)accumulator_.try_flush();
        room_.notify(std::move(lock));
    }
    /// Changes limits, or returns what is wrong with them.
    std::optional<FieldError> change(const Limits& limits) {
        auto lock = lock_briefly(mutex_);
        auto changed = options_;
        limits.apply_to(changed);
        if (auto wrong = validate(changed)) return wrong;
        limits.apply_to(options_);
        accumulator_.set_limits(options_);
        room_.notify(std::move(lock));
        return std::nullopt;
    }
    /// All limits as they are now.
    [[nodiscard]] Limits limits() const {
        const auto lock = lock_briefly(mutex_);
        return Limits::of(options_);
    }
    [[nodiscard]] bool closed() const {
        const auto lock = lock_briefly(mutex_);
        return closed_;
    }
    [[nodiscard]] Stats stats() const {
        const auto lock = lock_briefly(mutex_);
        const auto now = Clock::now();
        auto copy = accumulator_.stats();
        auto oldest = std::min(oldest_taken_, accumulator_.oldest());
        if (copy.pending != 0) copy.oldest_pending = age_of(oldest, now);
        copy.oldest_dead_letter = age_of(oldest_letter_, now);
        return copy;
    }

    // ---- For the strand ----

    /// The strand runs: later offers must wake it again. Seals the open batch when its time has come.
    void begin_pump(time_point now) {
        const auto lock = lock_briefly(mutex_);
        wake_sent_ = false;
        if (!accumulator_.open().empty() && now >= seal_time()) accumulator_.seal(SealReason::interval);
    }
    /// Waking failed for lack of memory: the next offer tries again.
    void wake_failed() {
        const auto lock = lock_briefly(mutex_);
        wake_sent_ = refusal_woke_ = false;
    }
    /// The refusals so far are being reported: the next one wakes the strand again.
    void telling() {
        const auto lock = lock_briefly(mutex_);
        refusal_woke_ = false;
    }
    /// Marks a wake-up as sent; false when one is already on its way.
    [[nodiscard]] bool claim_wake() {
        const auto lock = lock_briefly(mutex_);
        return claim_wake_locked();
    }
    /// When the open batch must be sealed; `time_point::max()` when nothing is open.
    [[nodiscard]] time_point flush_due() const {
        const auto lock = lock_briefly(mutex_);
        return seal_time();
    }
    /// When the oldest sealed batch was opened; `time_point::max()` when there is none.
    [[nodiscard]] time_point oldest_sealed() const {
        const auto lock = lock_briefly(mutex_);
        return accumulator_.sealed().oldest();
    }
    /// Takes the oldest sealed batch, still charged. False when there is none.
    [[nodiscard]] bool take(bulk_type& out) {
        const auto lock = lock_briefly(mutex_);
        if (!accumulator_.sealed().pop(out)) return false;
        oldest_taken_ = std::min(oldest_taken_, out.opened);
        return true;
    }
    /// Takes the tickets of the oldest dropped batch whose observers have not been notified. False when there are none.
    [[nodiscard]] bool take_dropped(Dropped& out) {
        const auto lock = lock_briefly(mutex_);
        return accumulator_.sealed().take_dropped(out);
    }
    /// When the oldest of what the strand has taken and not settled was opened, and the oldest dead letter;
    /// `time_point::max()` when there is none.
    void note_oldest(time_point taken, time_point letter) {
        const auto lock = lock_briefly(mutex_);
        oldest_taken_ = taken;
        oldest_letter_ = letter;
    }
    /// Counts settled operations, in one step with the bytes that changed hands: `before` is what they were charged,
    /// `after` what is still held (retries, deliveries). `unobserved` of them, of this epoch, have no observer: they
    /// are released. `done` is a batch whose bytes are no longer needed: kept as a spare if the budget allows. (In one
    /// step, since a producer that waits for room would otherwise take the room before the spare, and allocate.)
    void settle(const Tally& tally, std::size_t before, std::size_t after, std::uint64_t epoch,
                std::uint64_t unobserved, BulkBatch done) {
        auto lock = lock_briefly(mutex_);
        accumulator_.settle(tally, before, after);
        if (unobserved != 0) accumulator_.epochs().release(epoch, unobserved);
        const auto freed =
            closed_ ? std::move(done) : accumulator_.recycle(std::move(done)); // destroyed outside the lock
        room_.notify(std::move(lock));
    }
    /// Everything about these operations is over, their observers included.
    void release(std::uint64_t epoch, std::uint64_t operations, std::size_t bytes) {
        auto lock = lock_briefly(mutex_);
        accumulator_.release(epoch, operations, bytes);
        room_.notify(std::move(lock));
    }
    /// Frees the spare buffers when nothing is pending, but for two; after a close all, and the open batch's.
    void trim() {
        std::vector<BulkBatch> freed;
        const auto lock = lock_briefly(mutex_);
        accumulator_.trim(closed_, freed);
    }
    /// Batches are sealed at this size from now on, since the endpoint takes no larger ones.
    void limit_batches(std::size_t bytes) {
        const auto lock = lock_briefly(mutex_);
        accumulator_.set_batch_bytes(bytes);
    }
    /// Changes what `Stats` says about the endpoint or a request.
    template <class Change>
    void update_stats(Change change) {
        const auto lock = lock_briefly(mutex_);
        change(book().stats());
    }
    /// Remembers one sample of a kind of failure, and counts the operations that met it.
    void note_failure(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count = 1,
                      std::string_view index = {}) {
        const auto lock = lock_briefly(mutex_);
        book().note_failure(type, reason, status, count, index);
    }
    /// The same for a request that failed as a whole.
    void note_failed_request(std::string_view type, std::string_view reason, std::uint16_t status) {
        const auto lock = lock_briefly(mutex_);
        book().note_failed_request(type, reason, status);
    }
    [[nodiscard]] std::uint64_t pending() const {
        const auto lock = lock_briefly(mutex_);
        return book().stats().pending;
    }
    /// The first epoch that is not drained: everything in those before it has been released.
    [[nodiscard]] std::uint64_t first_epoch() const {
        const auto lock = lock_briefly(mutex_);
        return accumulator_.epochs().first();
    }
    [[nodiscard]] bool drained_before(std::uint64_t epoch) const { return first_epoch() >= epoch; }
    /// Nothing is pending, and every observer has been notified.
    [[nodiscard]] bool idle() const {
        const auto lock = lock_briefly(mutex_);
        return book().stats().pending == 0 && accumulator_.epochs().idle();
    }
    /// Both change only when `events_between` has something to report.
    [[nodiscard]] std::pair<std::uint64_t, Health> trouble() const {
        const auto lock = lock_briefly(mutex_);
        return {trouble_count(book().stats()), book().stats().health};
    }

private:
    [[nodiscard]] StatsBook& book() noexcept { return accumulator_.book(); }
    [[nodiscard]] const StatsBook& book() const noexcept { return accumulator_.book(); }
    [[nodiscard]] time_point seal_time() const noexcept {
        const auto& open = accumulator_.open();
        return open.empty() ? time_point::max() : detail::saturating_add<Clock>(open.opened(), options_.flush_interval);
    }
    [[nodiscard]] bool claim_wake_locked() noexcept { return !std::exchange(wake_sent_, true); }

    template <class Append>
    Offered place(OfferSize size, IfFull if_full, const Append& append) {
        const auto placed = accumulator_.place(size, if_full == IfFull::reserve, append);
        if (placed.admission == Admission::too_large) return refuse(Admission::too_large, size.operations);
        if (placed.measure) wants_time_.store(true, std::memory_order_relaxed);
        const bool wake = placed.work && claim_wake_locked();
        if (placed.admission == Admission::accepted) return {Admission::accepted, wake};
        if (if_full == IfFull::refuse) {
            auto refused = refuse(Admission::full, size.operations);
            refused.wake = refused.wake || wake;
            return refused;
        }
        book().withdraw(size.operations);
        if (if_full == IfFull::reserve) accumulator_.reserve(size);
        return {Admission::full, wake, room_.generation()};
    }
    Offered invalid(std::string_view message, std::size_t operations) {
        book().note_failure(to_string(errc::invalid_operation), message, 0, operations);
        return refuse(Admission::invalid, operations);
    }
    Offered refuse(Admission why, std::size_t operations) {
        book().refuse(why, operations);
        // `on_event` reports refusals even if nothing else happens. One wake-up is enough until they are reported.
        const bool wake = reports_refusals_ && !closed_ && !std::exchange(refusal_woke_, true);
        return {why, wake && claim_wake_locked(), room_.generation()};
    }

    mutable std::mutex mutex_;
    IndexerOptions options_;             ///< its limits may change
    const bool reports_refusals_;        ///< there is an `on_event`
    std::atomic<bool> wants_time_{true}; ///< here, among what seldom changes: it is read without the lock
    bool closed_ = false;
    Accumulator<Clock> accumulator_;
    time_point oldest_taken_ = time_point::max(); ///< of what the strand has
    time_point oldest_letter_ = time_point::max();
    bool wake_sent_ = false;
    bool refusal_woke_ = false; ///< the strand was woken by a refusal, and has not reported it
    RoomEvent room_;
};

} // namespace bulkhead::inline v1::detail
