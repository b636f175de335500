// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/bulk_batch.hpp>
#include <bulkhead/detail/intake/room.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/indexer_event.hpp>
#include <bulkhead/options.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

/// Enqueue → append → seal, and the books: what producers and the indexer's strand share, under one short lock.
namespace bulkhead::inline v1::detail {

/// A sealed batch on its way to being settled. The strand owns it once it has been taken from the intake.
template <class TimePoint>
struct Bulk {
    BulkBatch batch;
    TimePoint opened{};          ///< when its first operation was enqueued
    std::uint64_t epoch = 0;     ///< which flush waits for it
    std::uint32_t travelled = 0; ///< how many requests have carried it
    std::uint32_t refusals = 0;  ///< how often in a row items of it were refused retryably
    std::uint32_t avoid_node = 0xffffffffU;
    bool apart = false;     ///< not to be merged with others: a part of what was refused as too large or malformed
    bool in_halves = false; ///< to be halved before it travels again: its answer was too large
    /// Since when answers have charged an operation of it, or called one blocked; `max()`: none has.
    TimePoint charged_since = TimePoint::max();
    TimePoint blocked_since = TimePoint::max();
    /// How many requests had been taken when this one last failed in a way that a smaller one might not; 0: it has not.
    std::uint64_t failed_after = 0;
    std::uint64_t fresh_failures = 0; ///< how many bulks had failed for the first time then
    std::uint32_t failures = 0;       ///< of that kind, in a row

    /// Another batch with the same history.
    [[nodiscard]] Bulk with(BulkBatch other) const {
        return {std::move(other), opened,        epoch,         travelled,    refusals,       avoid_node, apart,
                in_halves,        charged_since, blocked_since, failed_after, fresh_failures, failures};
    }
};

/// Locks a mutex that is nearly always held for some tens of nanoseconds only: tries for a microsecond or two before it
/// lets the kernel put the thread to sleep, which would take longer and cost the holder a wake-up.
[[nodiscard]] inline std::unique_lock<std::mutex> lock_briefly(std::mutex& mutex) {
    constexpr int tries = 40;
    std::unique_lock lock{mutex, std::try_to_lock};
    for (int i = 0; !lock && i < tries; ++i) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
        (void)lock.try_lock();
    }
    if (!lock) lock.lock();
    return lock;
}

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

/// The open batch, the sealed queue, the byte budget and the counters. No Asio, no I/O; every member function is
/// thread-safe and short. Time comes from `Clock`, read once a batch.
///
/// The budget is moved along with the bytes: whoever takes a bulk out keeps it charged until `exchange` or `recycle`.
/// A *flush epoch* counts the operations that were sealed between two flushes and not yet released; a flush is over
/// when its epoch and all before it are empty.
template <class Clock>
class Intake {
public:
    using time_point = typename Clock::time_point;
    using bulk_type = Bulk<time_point>;

    explicit Intake(const IndexerOptions& options)
        : options_{options}, tells_refusals_{bool{options.on_event}}, batch_bytes_{options.max_batch_bytes} {
        outstanding_.push_back(0);
        stats_.in_flight_limit = options.max_in_flight;
        stats_.batch_bytes_limit = options.max_batch_bytes;
        stats_.buffered_bytes_limit = options.max_buffered_bytes;
        options_.on_event = nullptr; // the strand's; what it holds is to go with the strand
    }

    /// The tickets of a batch that `drop_oldest` gave up. Until `release`, they charge their bytes, and a flush waits
    /// for their epoch.
    struct Dropped {
        std::uint64_t epoch = 0;
        std::vector<Ticket> tickets;
        [[nodiscard]] std::size_t charge() const noexcept { return tickets.size() * sizeof(Ticket); }
    };

    /// What the caller of `offer` is told; `wake` asks for one run of the strand.
    struct Offered {
        Admission admission;
        bool wake = false;
        std::uint64_t room = 0; ///< for `wait_for_room`, after `full`
    };

    /// Whether a refusal as full is the end of an offer, or the caller waits and offers again (then it is not counted).
    /// `reserve`: it is the first of those that wait in line, and others get no room that it needs until it was taken
    /// or `end_reservation` was called. Otherwise small offers would take all that is released, and a large one starve.
    enum class IfFull : std::uint8_t { refuse, wait, reserve };

    /// Appends one prepared operation to the open batch, or refuses it; then nothing has changed but the counters.
    [[nodiscard]] Offered offer(const Prepared& op, Ticket ticket, IfFull if_full = IfFull::refuse) {
        const auto lock = lock_briefly(mutex_);
        ++stats_.offered;
        if (closed_) return refuse(Admission::closed, 1);
        try {
            const auto* prefix = lines_.find(op.action, op.index);
            if (prefix == nullptr) return invalid(check_index_name(op.index)->message(), 1);
            const auto bytes = op.bytes(*prefix);
            if (bytes > options_.max_operation_bytes) return refuse(Admission::too_large, 1);
            return place(bytes, 1, if_full, [&] {
                open_.encoded().append_unchecked(op, *prefix, ticket);
                if (op.entry.altered) ++stats_.altered;
            });
        } catch (const std::bad_alloc&) { // before it was taken
            return refuse(Admission::full, 1);
        }
    }
    /// The same for a caller's scratch, all or nothing; every operation in it carries the ticket.
    [[nodiscard]] Offered offer(const Batch& scratch, Ticket ticket, IfFull if_full = IfFull::refuse) {
        const auto lock = lock_briefly(mutex_);
        const auto operations = scratch.operations();
        stats_.offered += operations;
        if (closed_) return refuse(Admission::closed, operations);
        if (operations == 0) return {Admission::accepted};
        for (const auto& entry : BatchAccess::encoded(scratch).entries())
            if (entry.bytes() > options_.max_operation_bytes) return refuse(Admission::too_large, operations);
        try {
            return place(scratch.bytes(), operations, if_full, [&] {
                open_.encoded().append_unchecked(BatchAccess::encoded(scratch), ticket);
                for (const auto& entry : BatchAccess::encoded(scratch).entries())
                    if (entry.altered) ++stats_.altered;
            });
        } catch (const std::bad_alloc&) { // before it was taken
            return refuse(Admission::full, operations);
        }
    }
    /// Whether the caller shall measure how long its offer takes, and `note_append` it. Costs a load.
    [[nodiscard]] bool wants_time() noexcept {
        return wants_time_.load(std::memory_order_relaxed) && wants_time_.exchange(false, std::memory_order_relaxed);
    }
    void note_append(typename Clock::duration took) noexcept {
        const auto lock = lock_briefly(mutex_);
        stats_.append_time.record(took);
    }
    /// Operations that are handed in together, and one of which was found invalid before they came here.
    [[nodiscard]] Offered refuse_invalid(const FieldError& error, std::size_t operations = 1) {
        const auto message = error.message(); // may throw, before anything is counted
        const auto lock = lock_briefly(mutex_);
        stats_.offered += operations;
        return closed_ ? refuse(Admission::closed, operations) : invalid(message, operations);
    }
    /// An operation that memory was not enough for.
    [[nodiscard]] Offered refuse_full(std::size_t operations) {
        const auto lock = lock_briefly(mutex_);
        stats_.offered += operations;
        return refuse(Admission::full, operations);
    }

    /// Seals what is open. Everything accepted before this call belongs to epochs before the returned one. Throws
    /// `std::bad_alloc`; then it may still be open.
    std::uint64_t flush() {
        const auto lock = lock_briefly(mutex_);
        return flush_locked();
    }
    /// The same for who does not wait: out of memory, what is open is sealed at its time.
    void flush_and_forget() noexcept {
        const auto lock = lock_briefly(mutex_);
        flush_quietly();
    }
    /// The offer that `IfFull::reserve` held room back for is not made again.
    void end_reservation() noexcept {
        auto lock = lock_briefly(mutex_);
        reserved_bytes_ = reserved_operations_ = 0;
        room_changed(std::move(lock));
    }
    /// Refuses everything from now on, and flushes.
    void close() noexcept {
        auto lock = lock_briefly(mutex_);
        closed_ = true;
        flush_quietly();
        room_changed(std::move(lock));
    }
    /// The first epoch that is not drained: everything in those before it has been released.
    [[nodiscard]] std::uint64_t first_epoch() const {
        const auto lock = lock_briefly(mutex_);
        return first_epoch_;
    }
    /// Whether everything in the epochs before this one has been released.
    [[nodiscard]] bool drained_before(std::uint64_t epoch) const { return first_epoch() >= epoch; }

    // ---- The strand's side ----

    /// The strand runs: later offers must wake it again. Seals the open batch when its time has come.
    void begin_pump(time_point now) {
        const auto lock = lock_briefly(mutex_);
        wake_sent_ = false;
        if (!open_.empty() && now >= saturating_add(opened_, options_.flush_interval)) seal(stats_.sealed_by_interval);
    }
    /// Waking failed for lack of memory: the next offer tries again.
    void wake_failed() {
        const auto lock = lock_briefly(mutex_);
        wake_sent_ = refusal_woke_ = false;
    }
    /// What was refused so far is being told: the next refusal wakes the strand again.
    void telling() {
        const auto lock = lock_briefly(mutex_);
        refusal_woke_ = false;
    }
    /// Marks a wake-up as sent; false when one is already on its way.
    [[nodiscard]] bool claim_wake() {
        const auto lock = lock_briefly(mutex_);
        return !std::exchange(wake_sent_, true);
    }
    /// When the open batch must be sealed; `time_point::max()` when nothing is open.
    [[nodiscard]] time_point flush_due() const {
        const auto lock = lock_briefly(mutex_);
        return open_.empty() ? time_point::max() : saturating_add(opened_, options_.flush_interval);
    }
    /// When the oldest sealed batch was opened; `time_point::max()` when there is none.
    [[nodiscard]] time_point oldest_sealed() const {
        const auto lock = lock_briefly(mutex_);
        return sealed_.empty() ? time_point::max() : sealed_.front().opened;
    }
    /// Takes the oldest sealed batch, still charged. Empty when there is none.
    [[nodiscard]] bool take(bulk_type& out) {
        const auto lock = lock_briefly(mutex_);
        if (sealed_.empty()) return false;
        out = std::move(sealed_.front());
        sealed_.pop_front();
        no_longer_sealed(out.batch);
        oldest_taken_ = std::min(oldest_taken_, out.opened);
        return true;
    }
    /// What the strand has taken and not settled: when the oldest of it was opened, and the oldest dead letter;
    /// `time_point::max()` when there is none.
    void note_oldest(time_point taken, time_point letter) {
        const auto lock = lock_briefly(mutex_);
        oldest_taken_ = taken;
        oldest_letter_ = letter;
    }
    /// Takes the oldest dropped batch whose observers have not been told. False when there is none.
    [[nodiscard]] bool take_dropped(Dropped& out) {
        const auto lock = lock_briefly(mutex_);
        if (dropped_.empty()) return false;
        out = std::move(dropped_.front());
        dropped_.pop_front();
        return true;
    }
    /// Counts settled operations, in one step with the bytes that changed hands: `before` is what they were charged,
    /// `after` what is still held (survivors, deliveries). `untold` of them, of this epoch, have no observer: they are
    /// over. `done` is a batch whose bytes are no longer needed: kept as a spare if the budget allows. (In one step,
    /// since a producer that waits for room would otherwise take the room before the spare, and allocate.)
    void settle(const Tally& tally, std::size_t before, std::size_t after, std::uint64_t epoch, std::uint64_t untold,
                BulkBatch done) {
        auto lock = lock_briefly(mutex_);
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
        used_ = used_ - before + after;
        note_peak();
        if (untold != 0) release_epoch(epoch, untold);
        const auto freed = recycle(std::move(done)); // below, and outside the lock
        room_changed(std::move(lock));
    }
    /// Everything about these operations is over, their observers included.
    void release(std::uint64_t epoch, std::uint64_t operations, std::size_t bytes) {
        auto lock = lock_briefly(mutex_);
        used_ -= bytes;
        release_epoch(epoch, operations);
        room_changed(std::move(lock));
    }
    /// Frees the spare buffers when nothing is pending, but for two; after a close all, and the open batch's.
    void trim() {
        std::vector<BulkBatch> freed;
        const auto lock = lock_briefly(mutex_);
        if (stats_.pending != 0 && !closed_) return;
        while (spares_.size() > (closed_ ? 0U : 2U)) drop_spare(freed);
        if (!closed_ || !open_.empty()) return;
        used_ -= open_.footprint(); // a spare that was opened for an operation which then did not fit
        open_ = BulkBatch{};
    }
    /// Batches are sealed at this size from now on, since the endpoint takes no larger ones.
    void limit_batches(std::size_t bytes) {
        const auto lock = lock_briefly(mutex_);
        batch_bytes_ = stats_.batch_bytes_limit = bytes;
    }
    /// Other limits from now on, or what is wrong with them.
    std::optional<FieldError> change(const Limits& limits) {
        auto lock = lock_briefly(mutex_);
        auto changed = options_;
        limits.apply_to(changed);
        if (auto wrong = validate(changed)) return wrong;
        limits.apply_to(options_);
        batch_bytes_ = stats_.batch_bytes_limit = std::min(batch_bytes_, options_.max_batch_bytes);
        stats_.buffered_bytes_limit = options_.max_buffered_bytes;
        room_changed(std::move(lock));
        return std::nullopt;
    }
    /// All limits as they are now.
    [[nodiscard]] Limits limits() const {
        const auto lock = lock_briefly(mutex_);
        return Limits::of(options_);
    }
    /// Something about the endpoint or a request, for `Stats`.
    template <class Change>
    void update_stats(Change change) {
        const auto lock = lock_briefly(mutex_);
        change(stats_);
    }
    /// Remembers one sample of a kind of failure, and counts the operations that met it.
    void note_failure(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count = 1,
                      std::string_view index = {}) {
        const auto lock = lock_briefly(mutex_);
        note_failure_locked(type, reason, status, count, index);
    }
    /// The same for a request that failed as a whole.
    void note_failed_request(std::string_view type, std::string_view reason, std::uint16_t status) {
        const auto lock = lock_briefly(mutex_);
        ++stats_.failed_requests;
        stats_.request_failures.add(classify(type, status), 1);
        sample_failure(type, reason, status, 1);
    }
    [[nodiscard]] std::uint64_t pending() const {
        const auto lock = lock_briefly(mutex_);
        return stats_.pending;
    }
    /// Whether an offer of so many encoded bytes would be accepted now, as long as memory does not run out.
    [[nodiscard]] bool has_room(std::size_t bytes, std::size_t operations) const {
        const auto lock = lock_briefly(mutex_);
        if (closed_ || never_fits(bytes, operations)) return false;
        const bool seals = must_seal(bytes, operations);
        const bool opens = seals || open_.footprint() == 0; // a spare, or a new batch
        const BulkBatch none;
        const auto& open = !opens ? open_ : spares_.empty() ? none : spares_.back();
        if (open.encoded().fits(bytes, operations) &&
            operations_fit(stats_.pending, operations, operations_limit(false)))
            return true;
        const auto amply = seals ? like_the_last(open_.bytes(), open_.operations()) : like_the_last();
        auto facts = room_facts(open, bytes, operations, amply, false, false);
        if (opens) facts.spares -= open.footprint();
        if (seals) {
            facts.may_drop = drops();
            facts.droppable_bytes += open_.footprint() - tickets_of(open_) * sizeof(Ticket);
            facts.droppable_operations += open_.operations();
        }
        return find_room(facts) != Room::none;
    }
    /// Nothing is pending, and every observer has been told.
    [[nodiscard]] bool idle() const {
        const auto lock = lock_briefly(mutex_);
        return stats_.pending == 0 && outstanding_.size() == 1 && outstanding_.front() == 0; // drained ones are gone
    }
    [[nodiscard]] bool closed() const {
        const auto lock = lock_briefly(mutex_);
        return closed_;
    }
    [[nodiscard]] Stats stats() const {
        const auto lock = lock_briefly(mutex_);
        auto copy = stats_;
        copy.buffered_bytes = used_;
        copy.sealed_batches += sealed_.size();
        auto oldest = oldest_taken_;
        if (!sealed_.empty()) oldest = std::min(oldest, sealed_.front().opened);
        if (!open_.empty()) oldest = std::min(oldest, opened_);
        const auto now = Clock::now();
        if (stats_.pending != 0) copy.oldest_pending = age_of(oldest, now);
        copy.oldest_dead_letter = age_of(oldest_letter_, now);
        return copy;
    }
    /// Both change only when `events_between` has something to tell.
    [[nodiscard]] std::pair<std::uint64_t, Health> trouble() const {
        const auto lock = lock_briefly(mutex_);
        return {trouble_count(stats_), stats_.health};
    }
    /// Zero for `time_point::max()`.
    [[nodiscard]] static std::chrono::nanoseconds age_of(time_point opened, time_point now) noexcept {
        return opened >= now ? std::chrono::nanoseconds{0}
                             : std::chrono::duration_cast<std::chrono::nanoseconds>(now - opened);
    }
    /// Blocks until bytes or operations were released since the refusal that said `seen`, the indexer closed, or
    /// `deadline` passed (then false).
    bool wait_for_room(std::uint64_t seen, std::chrono::steady_clock::time_point deadline) {
        auto lock = lock_briefly(mutex_);
        ++room_waiters_;
        const auto changed = [&] { return closed_ || room_generation_ != seen; };
        const bool in_time = room_.wait_until(lock, deadline, changed);
        --room_waiters_;
        return in_time;
    }
    template <class Duration>
    [[nodiscard]] static time_point saturating_add(time_point from, Duration more) noexcept {
        return detail::saturating_add<Clock>(from, more);
    }

private:
    template <class Append>
    Offered place(std::size_t bytes, std::size_t operations, IfFull if_full, const Append& append) {
        Offered result{Admission::accepted};
        if (never_fits(bytes, operations)) return refuse(Admission::too_large, operations);

        if (must_seal(bytes, operations)) {
            const bool overflows = open_.bytes() + bytes > batch_bytes_;
            if (!seal(overflows ? stats_.sealed_by_bytes : stats_.sealed_by_count))
                return refuse(Admission::full, operations);
            result.wake = true;
        }
        if (open_.footprint() == 0 && !spares_.empty()) {
            open_ = std::move(spares_.back());
            spares_.pop_back();
        }
        const bool has_room = make_room(bytes, operations, if_full == IfFull::reserve);
        if (has_room && if_full == IfFull::reserve) reserved_bytes_ = reserved_operations_ = 0;
        if (!dropped_.empty()) result.wake = true; // their observers want to know
        if (!has_room) {
            // What is open is all that could ever make room: let it travel now instead of at its time.
            if (!open_.empty() && sealed_.empty()) {
                seal(stats_.sealed_by_bytes);
                result.wake = true;
            }
            const auto wake = result.wake && !std::exchange(wake_sent_, true);
            if (if_full != IfFull::refuse) {
                stats_.offered -= operations;
                if (if_full == IfFull::reserve) {
                    reserved_bytes_ = bytes + operations * EncodedOperations::overhead;
                    reserved_operations_ = operations;
                    free_spares(); // they are room that others would take
                }
                return {Admission::full, wake, room_generation_};
            }
            auto refused = refuse(Admission::full, operations);
            refused.wake = refused.wake || wake;
            return refused;
        }
        if (open_.empty()) {
            opened_ = Clock::now();
            result.wake = true;
        }
        append();
        constexpr std::uint64_t measured_every = 256;
        if (stats_.accepted / measured_every != (stats_.accepted + operations) / measured_every)
            wants_time_.store(true, std::memory_order_relaxed);
        stats_.accepted += operations;
        stats_.pending += operations;
        note_peak();
        if (open_.operations() >= options_.max_batch_operations || open_.bytes() >= batch_bytes_) {
            seal(open_.operations() >= options_.max_batch_operations ? stats_.sealed_by_count : stats_.sealed_by_bytes);
            result.wake = true;
        }
        result.wake = result.wake && !std::exchange(wake_sent_, true);
        return result;
    }

    /// Whether the batch that is open has to be sealed before it takes this much more.
    [[nodiscard]] bool must_seal(std::size_t bytes, std::size_t operations) const noexcept {
        return !open_.empty() && (open_.bytes() + bytes > batch_bytes_ ||
                                  open_.operations() + operations > options_.max_batch_operations);
    }
    /// Whether even an empty budget has no room for it.
    [[nodiscard]] bool never_fits(std::size_t bytes, std::size_t operations) const noexcept {
        return bytes + operations * EncodedOperations::overhead > options_.max_buffered_bytes ||
               operations > options_.max_buffered_operations;
    }
    /// Makes room for it in the open batch, within the budget, at the cost of spare buffers and, under `drop_oldest`,
    /// of sealed batches. False when there is none: then nothing was dropped, unless memory ran out.
    bool make_room(std::size_t bytes, std::size_t operations, bool first_in_line) {
        for (bool dropped = false;; dropped = true) {
            if (open_.encoded().fits(bytes, operations) &&
                operations_fit(stats_.pending, operations, operations_limit(first_in_line)))
                return true; // nearly always
            const auto amply = like_the_last();
            switch (find_room(room_facts(open_, bytes, operations, amply, dropped, first_in_line))) {
            case Room::amply:
                if (grow(bytes, operations, amply)) return true;
                return grow_exactly(bytes, operations); // memory ran out
            case Room::without_spares:
                free_spares();
                if (grow(bytes, operations, amply)) return true;
                return grow_exactly(bytes, operations);
            case Room::exactly: return grow_exactly(bytes, operations);
            case Room::after_dropping: drop_oldest(); break;
            case Room::none: return false;
            }
        }
    }
    [[nodiscard]] RoomFacts room_facts(const BulkBatch& open, std::size_t bytes, std::size_t operations, Growth amply,
                                       bool dropped, bool first_in_line) const noexcept {
        RoomFacts f;
        f.limit = options_.max_buffered_bytes;
        if (!first_in_line) f.limit -= std::min(f.limit, reserved_bytes_);
        f.operations_limit = operations_limit(first_in_line);
        f.first_in_line = first_in_line;
        f.used = used_;
        for (const auto& spare : spares_) f.spares += spare.footprint();
        f.open = open.footprint();
        f.pending = stats_.pending;
        f.operations = operations;
        f.amply = open.encoded().footprint_after(bytes, operations, amply);
        f.exactly = open.empty() ? bytes + operations * EncodedOperations::overhead
                                 : open.encoded().footprint_after(bytes, operations, Growth{0, 0});
        f.dropped = dropped;
        f.may_drop = drops() && !sealed_.empty();
        f.droppable_bytes = sealed_bytes_ - sealed_tickets_ * sizeof(Ticket); // these wait for their observers
        f.droppable_operations = sealed_operations_;
        return f;
    }
    [[nodiscard]] std::size_t operations_limit(bool first_in_line) const noexcept {
        const auto all = options_.max_buffered_operations;
        return first_in_line ? all : all - std::min(all, reserved_operations_);
    }
    [[nodiscard]] bool drops() const noexcept { return options_.overflow == Overflow::drop_oldest; }
    /// How many of a batch's operations name an observer. Counted only where it may be dropped.
    [[nodiscard]] std::size_t tickets_of(const BulkBatch& batch) const noexcept {
        if (!drops()) return 0;
        const auto names_somebody = [](const auto& entry) { return entry.ticket.slot != Ticket::nobody; };
        return static_cast<std::size_t>(std::count_if(batch.entries().begin(), batch.entries().end(), names_somebody));
    }
    void no_longer_sealed(const BulkBatch& batch) noexcept {
        sealed_bytes_ -= batch.footprint();
        sealed_operations_ -= batch.operations();
        sealed_tickets_ -= tickets_of(batch);
    }
    /// A batch begins as large as the last one became, and grows by doubling.
    [[nodiscard]] Growth like_the_last() const noexcept { return like_the_last(last_bytes_, last_operations_); }
    [[nodiscard]] Growth like_the_last(std::size_t last_bytes, std::size_t last_operations) const noexcept {
        Growth growth{batch_bytes_, options_.max_batch_operations};
        const auto most = options_.max_buffered_bytes / 4;
        growth.first_bytes = std::min(std::max(growth.first_bytes, last_bytes + last_bytes / 8), most);
        growth.first_operations = std::min(std::max(growth.first_operations, last_operations + last_operations / 8),
                                           most / EncodedOperations::overhead);
        return growth;
    }
    /// False when memory ran out.
    bool grow(std::size_t bytes, std::size_t operations, Growth growth) {
        used_ -= open_.footprint();
        bool grown = true;
        try {
            open_.reserve_more(bytes, operations, growth);
        } catch (const std::bad_alloc&) {
            grown = false;
        }
        used_ += open_.footprint();
        return grown;
    }
    /// The last resort: an empty open batch gives up a buffer that was kept for speed, whose shape may be the wrong
    /// one.
    bool grow_exactly(std::size_t bytes, std::size_t operations) {
        free_spares();
        if (open_.empty()) {
            used_ -= open_.footprint();
            open_ = BulkBatch{};
        }
        return grow(bytes, operations, Growth{0, 0});
    }
    void free_spares() noexcept {
        for (const auto& spare : spares_) used_ -= spare.footprint();
        spares_.clear();
    }
    /// False when memory ran out; then the batch stays open, and the next occasion seals it.
    bool seal(std::uint64_t& counter) noexcept {
        try {
            sealed_.emplace_back();
        } catch (const std::bad_alloc&) {
            return false;
        }
        auto& bulk = sealed_.back();
        bulk.batch = std::move(open_);
        bulk.opened = opened_;
        bulk.epoch = first_epoch_ + outstanding_.size() - 1;
        outstanding_.back() += bulk.batch.operations();
        sealed_bytes_ += bulk.batch.footprint();
        sealed_operations_ += bulk.batch.operations();
        sealed_tickets_ += tickets_of(bulk.batch);
        last_bytes_ = bulk.batch.bytes();
        last_operations_ = bulk.batch.operations();
        ++counter;
        return true;
    }
    std::uint64_t flush_locked() {
        if (!open_.empty() && !seal(stats_.sealed_by_flush)) throw std::bad_alloc{};
        if (outstanding_.back() != 0) outstanding_.push_back(0);
        return first_epoch_ + outstanding_.size() - 1;
    }
    void flush_quietly() noexcept {
        try {
            flush_locked();
        } catch (const std::bad_alloc&) {
        }
    }
    void drop_oldest() {
        const auto entries = std::as_const(sealed_.front().batch).entries();
        Dropped dropped{sealed_.front().epoch, {}};
        dropped.tickets.reserve(tickets_of(sealed_.front().batch));
        for (const auto& entry : entries)
            if (entry.ticket.slot != Ticket::nobody) dropped.tickets.push_back(entry.ticket);
        const auto told = dropped.tickets.size();
        const auto charge = dropped.charge();
        if (told != 0) dropped_.push_back(std::move(dropped)); // until here nothing has changed when memory runs out
        stats_.dropped += entries.size();
        stats_.pending -= entries.size();
        stats_.settle_time.record(age_of(sealed_.front().opened, Clock::now()), entries.size());
        note_failure_locked(to_string(errc::overflow), {}, 0, entries.size());
        used_ = used_ - sealed_.front().batch.footprint() + charge;
        release_epoch(sealed_.front().epoch, entries.size() - told);
        no_longer_sealed(sealed_.front().batch);
        sealed_.pop_front();
    }
    void drop_spare(std::vector<BulkBatch>& freed) {
        freed.push_back(std::move(spares_.back())); // or nothing is changed
        used_ -= freed.back().footprint();
        spares_.pop_back();
    }
    void release_epoch(std::uint64_t epoch, std::uint64_t operations) {
        outstanding_[epoch - first_epoch_] -= operations;
        while (outstanding_.size() > 1 && outstanding_.front() == 0) {
            outstanding_.pop_front();
            ++first_epoch_;
        }
    }
    void note_peak() noexcept {
        stats_.peak_buffered_bytes = std::max(stats_.peak_buffered_bytes, std::uint64_t{used_});
    }
    /// Unlocks first: who is woken wants the lock.
    void room_changed(std::unique_lock<std::mutex> lock) {
        ++room_generation_;
        const bool awaited = room_waiters_ != 0;
        lock.unlock();
        if (awaited) room_.notify_all();
    }
    /// Returns the batch unless it was kept as a spare.
    BulkBatch recycle(BulkBatch&& batch) {
        const auto bytes = batch.footprint();
        const auto full = options_.max_batch_bytes + options_.max_batch_operations * EncodedOperations::overhead;
        const auto most = std::min(full, options_.max_buffered_bytes / 4); // what is kept must not be the budget
        if (closed_ || reserved_bytes_ != 0 || bytes == 0 || bytes > most || spares_.size() > options_.max_in_flight ||
            used_ + bytes > options_.max_buffered_bytes)
            return std::move(batch);
        try {
            spares_.push_back(std::move(batch));
        } catch (const std::bad_alloc&) { // then it is no spare: what counts has been counted
            return std::move(batch);
        }
        spares_.back().clear();
        used_ += bytes;
        return {};
    }
    Offered invalid(std::string_view message, std::size_t operations) {
        note_failure_locked(to_string(errc::invalid_operation), message, 0, operations);
        return refuse(Admission::invalid, operations);
    }
    Offered refuse(Admission why, std::size_t operations) {
        switch (why) {
        case Admission::full: stats_.refused_full += operations; break;
        case Admission::closed: stats_.refused_closed += operations; break;
        case Admission::too_large: stats_.refused_too_large += operations; break;
        default: stats_.refused_invalid += operations; break;
        }
        // `on_event` hears of it although nothing else may happen; once until it has, however many there are.
        const bool wake = tells_refusals_ && !closed_ && !std::exchange(refusal_woke_, true);
        return {why, wake && !std::exchange(wake_sent_, true), room_generation_};
    }
    void note_failure_locked(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count,
                             std::string_view index = {}) noexcept {
        stats_.operation_failures.add(classify(type, status), count);
        sample_failure(type, reason, status, count, index);
    }
    void sample_failure(std::string_view type, std::string_view reason, std::uint16_t status, std::uint64_t count,
                        std::string_view index = {}) noexcept {
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

    mutable std::mutex mutex_;
    IndexerOptions options_;             ///< its limits may change
    const bool tells_refusals_;          ///< there is an `on_event`
    std::atomic<bool> wants_time_{true}; ///< here, among what seldom changes: it is read without the lock
    std::size_t batch_bytes_;            ///< at most `max_batch_bytes`
    ActionLines lines_;
    BulkBatch open_;
    time_point opened_{};
    time_point oldest_taken_ = time_point::max(); ///< of what the strand has
    time_point oldest_letter_ = time_point::max();
    std::size_t last_bytes_ = 0; ///< of the batch that was sealed last
    std::size_t last_operations_ = 0;
    std::deque<bulk_type> sealed_;
    std::size_t sealed_bytes_ = 0; ///< what they take of the budget
    std::size_t sealed_operations_ = 0;
    std::size_t sealed_tickets_ = 0; ///< of these: how many name an observer; only under `drop_oldest`
    std::vector<BulkBatch> spares_;
    std::deque<Dropped> dropped_;
    std::size_t used_ = 0;
    std::size_t reserved_bytes_ = 0; ///< held back for the first of those that wait in line
    std::size_t reserved_operations_ = 0;
    std::deque<std::uint64_t> outstanding_; ///< by flush epoch, from `first_epoch_`; the last one is the current
    std::uint64_t first_epoch_ = 0;
    bool closed_ = false;
    bool wake_sent_ = false;
    bool refusal_woke_ = false; ///< the strand was woken by a refusal, and has not told of it
    std::condition_variable room_;
    std::uint64_t room_generation_ = 0;
    std::size_t room_waiters_ = 0;
    Stats stats_;
};

} // namespace bulkhead::inline v1::detail
