// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/detail/rewinds.hpp>
#include <bulkhead/kafka/offset_tracker.hpp>
#include <bulkhead/kafka/record.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The partitions of a `KafkaSource`: their names, their slots, and which offset of each may be stored. Pure.
namespace bulkhead::inline v1::detail {

/// One partition. It keeps its slot, and its sequence numbers continue, when it is revoked and assigned again. So the
/// slot and the sequence number name one delivery for ever, and a late settlement finds nothing.
struct Partition {
    std::string_view topic{}; ///< the table's
    std::int32_t number = 0;
    std::uint64_t slot = 0;
    OffsetTracker tracker{};
    Rewinds rewinds{};
    std::optional<std::int64_t> stored{};
    std::int64_t floor = 0; ///< offsets up to here are not worth storing, or must not be
    bool assigned = false;
    bool exact = false;                   ///< the next offset stored is the group's, though the group's may be higher
    std::optional<std::int64_t> sought{}; ///< where the caller has moved the client, until a record comes
    bool dirty = false;                   ///< listed as one whose watermark may have moved
    bool span_exceeded = false;           ///< to be paused until the span is half of the limit
    bool paused = false; ///< the latest request that the client took; it outlives the assignment, as in the client
    bool pause_confirmed = false; ///< the client took such a request in this assignment

    /// Records and offsets between the watermark and the last one delivered, whichever are more.
    [[nodiscard]] std::size_t span() const noexcept {
        return std::max(static_cast<std::size_t>(tracker.span()), tracker.records());
    }
    /// The watermark, where storing it changes something and is allowed.
    [[nodiscard]] std::optional<std::int64_t> storable() const noexcept {
        const auto watermark = tracker.watermark();
        if (!watermark || *watermark < floor || (*watermark == floor && !exact)) return std::nullopt;
        return watermark;
    }
    /// The client has taken this offset.
    void set_stored(std::int64_t next) noexcept {
        stored = floor = next;
        exact = false;
    }
    /// The client has gone back to `offset`, and the tracker with it. True when the group must follow it down: the
    /// offsets name other records than before, unless the caller has moved the client.
    [[nodiscard]] bool fell_below_stored(std::int64_t offset) noexcept {
        const auto watermark = *tracker.watermark();
        if ((sought && offset >= *sought) || watermark >= floor) return false;
        exact = true;
        floor = watermark;
        return true;
    }
    /// Whether the client must be asked to pause or to resume. A client with a new handle has forgotten its pauses, so
    /// the first pause of an assignment is repeated.
    [[nodiscard]] bool must_request(bool pause) const noexcept {
        return assigned && (pause != paused || (pause && !pause_confirmed));
    }
    /// The assignment is over. What remains is what the client keeps, and the sequence numbers.
    void leave() noexcept {
        assigned = span_exceeded = pause_confirmed = exact = false;
        sought.reset();
        stored.reset();
    }
};

/// Finds partitions by name and by the keys of tickets, and lists those whose watermark may have moved. A key holds the
/// partition's slot above, and a number of the partition's below: the sequence number or the offset.
class PartitionTable {
public:
    /// So many partitions at most; also the slot of no partition.
    static constexpr std::uint64_t max_partitions = std::uint64_t{1} << 20;

    [[nodiscard]] static std::uint64_t key(const Partition& p, std::uint64_t number) noexcept {
        return (p.slot << number_bits) | (number & number_mask);
    }
    [[nodiscard]] static std::uint64_t number_of(std::uint64_t key) noexcept { return key & number_mask; }
    [[nodiscard]] Partition& by_key(std::uint64_t key) noexcept { return *partitions_[key >> number_bits]; }

    /// Null when it was never assigned.
    [[nodiscard]] Partition* find(std::string_view topic, std::int32_t number) noexcept {
        if (last_topic_ >= topics_.size() || topics_[last_topic_].name != topic) {
            last_topic_ = 0;
            while (last_topic_ < topics_.size() && topics_[last_topic_].name != topic) ++last_topic_;
            if (last_topic_ == topics_.size()) return nullptr;
        }
        const auto& known = topics_[last_topic_].partitions;
        const auto at = static_cast<std::size_t>(number);
        return number >= 0 && at < known.size() ? known[at] : nullptr;
    }
    /// Null when it is not assigned.
    [[nodiscard]] Partition* find_assigned(std::string_view topic, std::int32_t number) noexcept {
        auto* const p = find(topic, number);
        return p != nullptr && p->assigned ? p : nullptr;
    }
    /// Throws `std::out_of_range`.
    [[nodiscard]] Partition& find_or_add(std::string_view topic, std::int32_t number) {
        if (auto* const known = find(topic, number)) return *known;
        if (number < 0 || static_cast<std::uint64_t>(number) >= max_partitions || partitions_.size() >= max_partitions)
            throw std::out_of_range{"KafkaSource: partition " + std::to_string(number) + " of 1048576"};
        if (last_topic_ >= topics_.size()) {
            topics_.push_back({std::string{topic}, {}});
            last_topic_ = topics_.size() - 1;
        }
        auto& [name, numbers] = topics_[last_topic_];
        const auto at = static_cast<std::size_t>(number);
        if (numbers.size() <= at) numbers.resize(at + 1, nullptr);
        auto added = std::make_unique<Partition>();
        added->topic = name;
        added->number = number;
        added->slot = partitions_.size();
        partitions_.push_back(std::move(added));
        dirty_.reserve(partitions_.size());
        return *(numbers[at] = partitions_.back().get());
    }

    /// Calls `f` with each assigned partition, in the order in which they were first seen.
    template <class F>
    void for_each_assigned(F f) const {
        for (const auto& p : partitions_)
            if (p->assigned) f(*p);
    }
    [[nodiscard]] std::vector<TopicPartition> assigned() const {
        std::vector<TopicPartition> all;
        for_each_assigned([&all](const Partition& p) { all.push_back({p.topic, p.number}); });
        return all;
    }

    void mark_dirty(Partition& p) noexcept {
        if (std::exchange(p.dirty, true)) return;
        dirty_.push_back(&p); // has room for all partitions
    }
    /// Calls `done(partition)` for each assigned partition that is dirty. False: it stays dirty.
    template <class F>
    void clean(F done) noexcept {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < dirty_.size(); ++i) { // NOLINT(modernize-loop-convert): `done` may add others
            auto& p = *dirty_[i];
            p.dirty = false;
            if (!p.assigned || done(p)) continue;
            p.dirty = true;
            dirty_[kept++] = &p;
        }
        dirty_.resize(kept);
    }

private:
    struct Topic {
        std::string name;
        std::vector<Partition*> partitions; ///< by number; null when never assigned
    };
    static constexpr int number_bits = 44;
    static constexpr std::uint64_t number_mask = (std::uint64_t{1} << number_bits) - 1;
    static_assert(max_partitions == std::uint64_t{1} << (64 - number_bits));

    std::deque<Topic> topics_; ///< a deque: names that were handed out stay where they are
    std::size_t last_topic_ = 0;
    std::vector<std::unique_ptr<Partition>> partitions_; ///< by slot
    std::vector<Partition*> dirty_;                      ///< whose watermark may have moved
};

} // namespace bulkhead::inline v1::detail
