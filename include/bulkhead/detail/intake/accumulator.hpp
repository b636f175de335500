// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/intake/buffer_pool.hpp>
#include <bulkhead/detail/intake/flush_epochs.hpp>
#include <bulkhead/detail/intake/offer.hpp>
#include <bulkhead/detail/intake/open_batch.hpp>
#include <bulkhead/detail/intake/room.hpp>
#include <bulkhead/detail/intake/sealed_queue.hpp>
#include <bulkhead/detail/intake/stats_book.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Collects operations into bulks within the budget: the open batch, the sealed queue, the buffer pool, the flush
/// epochs and the counters, which change together. No lock: `Intake` adds it. Time is read from `Clock`, once a batch.
template <class Clock>
class Accumulator {
public:
    using time_point = typename Clock::time_point;

    explicit Accumulator(const IndexerOptions& options)
        : open_{batch_limits(options, options.max_batch_bytes)}, sealed_{options.overflow == Overflow::drop_oldest},
          book_{options} {
        set_limits(options);
    }
    /// Other limits from now on. A smaller batch size that the endpoint demands stays.
    void set_limits(const IndexerOptions& options) noexcept {
        budget_ = {options.max_buffered_bytes, options.max_buffered_operations};
        const auto batch = OfferSize{options.max_batch_bytes, options.max_batch_operations}.footprint();
        // What is kept must not be the budget.
        spare_limits_ = {std::min(batch, options.max_buffered_bytes / 4), options.max_in_flight + 1, budget_.bytes};
        open_.set_limits(batch_limits(options, std::min(open_.limits().bytes, options.max_batch_bytes)));
        book_.stats().batch_bytes_limit = open_.limits().bytes;
        book_.stats().buffered_bytes_limit = budget_.bytes;
    }
    /// Batches are sealed at this size from now on.
    void set_batch_bytes(std::size_t bytes) noexcept {
        auto limits = open_.limits();
        limits.bytes = book_.stats().batch_bytes_limit = bytes;
        open_.set_limits(limits);
    }

    [[nodiscard]] OpenBatch<time_point>& open() noexcept { return open_; }
    [[nodiscard]] const OpenBatch<time_point>& open() const noexcept { return open_; }
    [[nodiscard]] SealedQueue<time_point>& sealed() noexcept { return sealed_; }
    [[nodiscard]] const SealedQueue<time_point>& sealed() const noexcept { return sealed_; }
    [[nodiscard]] FlushEpochs& epochs() noexcept { return epochs_; }
    [[nodiscard]] const FlushEpochs& epochs() const noexcept { return epochs_; }
    [[nodiscard]] StatsBook& book() noexcept { return book_; }
    [[nodiscard]] const StatsBook& book() const noexcept { return book_; }
    /// When the oldest operation here was handed in; `max()` when there is none.
    [[nodiscard]] time_point oldest() const noexcept {
        return open_.empty() ? sealed_.oldest() : std::min(sealed_.oldest(), open_.opened());
    }
    /// The counters, with the gauges of this object.
    [[nodiscard]] Stats stats() const {
        auto copy = book_.stats();
        copy.buffered_bytes = pool_.used();
        copy.peak_buffered_bytes = pool_.peak();
        copy.sealed_batches += sealed_.size();
        return copy;
    }

    /// The result of `place`.
    struct Placed {
        Admission admission;  ///< `accepted`, `full` or `too_large`
        bool work = false;    ///< the strand has something to do
        bool measure = false; ///< the next offer's time shall be measured
    };
    /// Makes room for an offer of this size and lets `append` write it to the open batch. `first_in_line`: room may be
    /// reserved for it. Throws `std::bad_alloc` before the offer is taken.
    template <class Append>
    Placed place(OfferSize size, bool first_in_line, const Append& append) {
        if (never_fits(size)) return {Admission::too_large};
        Placed placed{Admission::accepted};
        if (const auto why = open_.seal_before(size.bytes, size.operations); why != SealReason::none) {
            if (!seal(why)) throw std::bad_alloc{};
            placed.work = true;
        }
        if (open_.footprint() == 0 && pool_.has_spare()) open_.use(pool_.take_spare());
        const bool has_room = fits(open_.batch(), size, first_in_line) || make_room(size, first_in_line);
        if (sealed_.has_dropped()) placed.work = true; // observers are to be notified
        if (!has_room) {
            // Only what is open could ever make room: it is sent now instead of at its time.
            if (!open_.empty() && sealed_.empty()) {
                seal(SealReason::bytes);
                placed.work = true;
            }
            placed.admission = Admission::full;
            return placed;
        }
        if (first_in_line) reserved_ = {};
        if (open_.empty()) {
            open_.open(Clock::now());
            placed.work = true;
        }
        append();
        placed.measure = book_.accept(size.operations);
        pool_.note_peak();
        if (const auto why = open_.seal_after(); why != SealReason::none) {
            seal(why);
            placed.work = true;
        }
        return placed;
    }
    /// Holds room back for an offer that `place` found none for; its spare buffers would be room for others.
    void reserve(OfferSize size) noexcept {
        reserved_ = size;
        pool_.free_spares();
    }
    void end_reservation() noexcept { reserved_ = {}; }
    /// Whether `place` would take an offer of this size now, as long as memory does not run out.
    [[nodiscard]] bool has_room(OfferSize size) const {
        if (never_fits(size)) return false;
        const bool seals = open_.seal_before(size.bytes, size.operations) != SealReason::none;
        const bool opens = seals || open_.footprint() == 0; // a spare, or a new batch
        const BulkBatch none;
        const auto* const spare = pool_.next_spare();
        const auto& open = !opens ? open_.batch() : spare == nullptr ? none : *spare;
        if (fits(open, size, false)) return true;
        auto facts = room_facts(open, size, seals ? open_.growth_of_next() : open_.growth(), false, false);
        if (opens) facts.spares -= open.footprint();
        if (seals) {
            const auto droppable = sealed_.droppable(open_.batch());
            facts.may_drop = sealed_.drops();
            facts.droppable_bytes += droppable.bytes;
            facts.droppable_operations += droppable.operations;
        }
        return find_room(facts) != Room::none;
    }

    /// Seals the open batch. False when memory ran out; then it stays open, and the next occasion seals it.
    bool seal(SealReason why) noexcept {
        const auto add = [this] {
            auto bulk = open_.seal();
            bulk.epoch = epochs_.add(bulk.batch.operations());
            return bulk;
        };
        if (!sealed_.push(add)) return false;
        book_.seal(why);
        return true;
    }
    /// Seals the open batch. All that was accepted before belongs to epochs before the returned one. Throws
    /// `std::bad_alloc`; then it may still be open.
    std::uint64_t flush() {
        if (!open_.empty() && !seal(SealReason::flush)) throw std::bad_alloc{};
        return epochs_.advance();
    }
    /// The same; false when memory ran out.
    bool try_flush() noexcept {
        try {
            (void)flush();
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    /// Counts settled operations, whose bytes were charged as `before` and are charged as `after` from now on.
    void settle(const Tally& tally, std::size_t before, std::size_t after) noexcept {
        book_.settle(tally);
        pool_.exchange(before, after);
        pool_.note_peak();
    }
    /// Everything about these operations is over, their observers included.
    void release(std::uint64_t epoch, std::uint64_t operations, std::size_t bytes) noexcept {
        pool_.exchange(bytes, 0);
        epochs_.release(epoch, operations);
    }
    /// Keeps the memory of a batch as a spare buffer. Returns the batch unless it was kept.
    [[nodiscard]] BulkBatch recycle(BulkBatch&& batch) noexcept {
        if (reserved_.operations != 0) return std::move(batch);
        return pool_.recycle(std::move(batch), spare_limits_);
    }
    /// Frees the spare buffers when nothing is pending, but for two; after a close all, and the open batch's.
    void trim(bool closed, std::vector<BulkBatch>& freed) {
        if (book_.stats().pending != 0 && !closed) return;
        pool_.trim(closed ? 0U : 2U, freed);
        if (!closed || !open_.empty()) return;
        free_open(); // a spare that was opened for an operation which then did not fit
    }

private:
    [[nodiscard]] static BatchLimits batch_limits(const IndexerOptions& options, std::size_t bytes) noexcept {
        return {bytes, options.max_batch_operations, options.max_buffered_bytes / 4};
    }
    /// Whether even an empty budget has no room for it.
    [[nodiscard]] bool never_fits(OfferSize size) const noexcept {
        return size.footprint() > budget_.bytes || size.operations > budget_.operations;
    }
    [[nodiscard]] std::size_t operations_limit(bool first_in_line) const noexcept {
        const auto all = budget_.operations;
        return first_in_line ? all : all - std::min(all, reserved_.operations);
    }
    /// Whether the batch takes it without growing.
    [[nodiscard]] bool fits(const BulkBatch& open, OfferSize size, bool first_in_line) const noexcept {
        return open.encoded().fits(size.bytes, size.operations) &&
               operations_fit(book_.stats().pending, size.operations, operations_limit(first_in_line));
    }
    /// Makes room for what does not fit the open batch, within the budget, at the cost of spare buffers and, under
    /// `drop_oldest`, of sealed batches. False when there is none: then nothing was dropped, unless memory ran out.
    bool make_room(OfferSize size, bool first_in_line) {
        bool dropped = false;
        do {
            const auto amply = open_.growth();
            switch (find_room(room_facts(open_.batch(), size, amply, dropped, first_in_line))) {
            case Room::amply: return grow(size, amply) || grow_exactly(size); // the latter when memory ran out
            case Room::without_spares: pool_.free_spares(); return grow(size, amply) || grow_exactly(size);
            case Room::exactly: return grow_exactly(size);
            case Room::after_dropping: drop_oldest(); break;
            case Room::none: return false;
            }
            dropped = true;
        } while (!fits(open_.batch(), size, first_in_line));
        return true;
    }
    [[nodiscard]] RoomFacts room_facts(const BulkBatch& open, OfferSize size, Growth amply, bool dropped,
                                       bool first_in_line) const noexcept {
        const auto& encoded = open.encoded();
        const auto droppable = sealed_.droppable();
        RoomFacts f;
        f.limit = budget_.bytes;
        if (!first_in_line) f.limit -= std::min(f.limit, reserved_.footprint());
        f.operations_limit = operations_limit(first_in_line);
        f.used = pool_.used();
        f.spares = pool_.spare_bytes();
        f.open = open.footprint();
        f.pending = book_.stats().pending;
        f.operations = size.operations;
        f.amply = encoded.footprint_after(size.bytes, size.operations, amply);
        f.exactly =
            open.empty() ? size.footprint() : encoded.footprint_after(size.bytes, size.operations, Growth{0, 0});
        f.dropped = dropped;
        f.first_in_line = first_in_line;
        f.may_drop = sealed_.drops() && !sealed_.empty();
        f.droppable_bytes = droppable.bytes;
        f.droppable_operations = droppable.operations;
        return f;
    }
    /// False when memory ran out.
    bool grow(OfferSize size, Growth growth) noexcept {
        const auto before = open_.footprint();
        const bool grown = open_.grow(size.bytes, size.operations, growth);
        pool_.exchange(before, open_.footprint());
        return grown;
    }
    /// The last resort: spare buffers are freed, and an empty open batch gives up a buffer that was kept for speed,
    /// whose shape may be the wrong one.
    bool grow_exactly(OfferSize size) noexcept {
        pool_.free_spares();
        if (open_.empty()) free_open();
        return grow(size, Growth{0, 0});
    }
    /// Frees the buffer of the open batch, which must be empty.
    void free_open() noexcept {
        pool_.exchange(open_.footprint(), 0);
        open_.use(BulkBatch{});
    }
    void drop_oldest() {
        const auto dropped = sealed_.drop_oldest(); // until here nothing has changed when memory runs out
        Tally tally;
        tally[Outcome::dropped] = dropped.operations;
        tally.age = age_of(dropped.opened, Clock::now());
        book_.settle(tally);
        book_.note_failure(to_string(errc::overflow), {}, 0, dropped.operations);
        pool_.exchange(dropped.footprint, dropped.charge);
        epochs_.release(dropped.epoch, dropped.operations - dropped.observed);
    }

    OfferSize budget_; ///< limits of what is buffered
    BufferPool::SpareLimits spare_limits_;
    OpenBatch<time_point> open_;
    SealedQueue<time_point> sealed_;
    BufferPool pool_;
    OfferSize reserved_; ///< held back for the first of those that wait in line
    FlushEpochs epochs_;
    StatsBook book_;
};

} // namespace bulkhead::inline v1::detail
