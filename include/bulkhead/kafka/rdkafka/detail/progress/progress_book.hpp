// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/client_statistics.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/partition_progress.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/reported_errors.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::kafka {

/// What `ProgressBook` reports of one partition, of a topic or of the group. Views are valid only during the call.
struct ProgressEvent {
    /// What happened.
    enum class Kind : std::uint8_t {
        trouble,      ///< a partition stands still, or an error is not over; repeated every `stall_after`
        trouble_over, ///< that is over, or the partition is given back: see the text
        records_lost, ///< retention took records before they were read
    };
    /// What happened.
    Kind kind{};
    /// Empty: the group's.
    std::string_view topic{};
    /// Below 0: the topic's, or the group's.
    std::int32_t partition = -1;
    /// librdkafka's, where there is one.
    error_code error{};
    /// One line for people.
    std::string_view text{};
};

/// The progress of every assigned partition, and the errors that librdkafka reports once. Pure: fed with what the
/// client reports and with what the driver takes. Not thread-safe.
class ProgressBook {
public:
    /// Of the steady clock.
    using time_point = StallDetector::time_point;

    /// `skips_to_end`: see `LostRecords`.
    ProgressBook(std::chrono::milliseconds stall_after, bool skips_to_end) noexcept
        : stall_after_{stall_after}, skips_to_end_{skips_to_end} {}

    // ---- What the client reports ----

    /// The group assigned this partition. `generation`: what `committed` must quote.
    void assigned(std::string_view topic, std::int32_t partition, std::uint64_t generation, time_point now) {
        auto& entry = add(topic, partition);
        leave(entry);
        entry.progress.emplace(stall_after_, skips_to_end_, now);
        entry.generation = generation;
        errors_.assignment_changed(topic, partition);
    }
    /// The member has an assignment, be it nothing.
    void joined() noexcept { errors_.joined(); }
    /// The group took the partition back, or it is lost.
    void gone(std::string_view topic, std::int32_t partition) noexcept {
        if (auto* const entry = find(topic, partition)) leave(*entry);
        errors_.assignment_changed(topic, partition);
    }
    /// The group had committed this offset, as asked at the assignment of this generation; below 0: none.
    void committed(std::string_view topic, std::int32_t partition, std::uint64_t generation,
                   std::int64_t offset) noexcept {
        auto* const entry = find(topic, partition);
        if (entry != nullptr && entry->progress && entry->generation == generation) entry->progress->committed(offset);
    }
    /// An error that came as a message: of a partition, a topic (`partition` below 0) or the group (no topic).
    void error(std::string_view topic, std::int32_t partition, error_code error, std::string_view text,
               time_point now) {
        errors_.reported(topic, partition, error, text, now);
    }
    /// The client's statistics. `held_by_us(topic, partition)`: see `PartitionProgress::update`.
    template <class HeldByUs>
    void statistics(const ClientStatistics& all, HeldByUs held_by_us, time_point now) {
        errors_.group_seen(all.joined);
        for (const auto& there : all.partitions) {
            auto* const entry = find(there.topic, there.partition);
            if (entry == nullptr || !entry->progress) continue;
            auto& progress = *entry->progress;
            progress.update(there, held_by_us(there.topic, there.partition), now);
            errors_.seen(there.topic, there.partition, progress.position(), progress.at_end());
        }
    }

    // ---- What the driver takes ----

    /// The driver has taken this record. `low()`: the log's first offset as far as known, asked only where records are
    /// missing before it.
    template <class Low>
    void taken(std::string_view topic, std::int32_t partition, std::int64_t offset, Low low) {
        auto* const entry = find(topic, partition);
        if (entry == nullptr || !entry->progress) return;
        entry->progress->taken(offset, entry->progress->continues(offset) ? -1 : low());
    }
    /// A record of the partition came from the client after what it has reported so far.
    void flows(std::string_view topic, std::int32_t partition) noexcept {
        if (!errors_.empty()) errors_.taken(topic, partition);
    }

    // ---- What it came to ----

    /// Calls `on_event(const ProgressEvent&)` for what is new, and for troubles again every `stall_after`.
    template <class OnEvent>
    void tell(time_point now, OnEvent on_event) {
        const auto troubles = troubles_now(now);
        for (const auto& trouble : troubles) {
            if (!trouble.stalled && trouble.lasted < stall_after_) continue; // the client has just reported it
            auto& told = told_[{trouble.topic, trouble.partition}];
            told.lasts = true;
            if (told.next > now) continue;
            told.next = bulkhead::detail::saturating_add<std::chrono::steady_clock>(now, stall_after_);
            on_event(ProgressEvent{ProgressEvent::Kind::trouble, trouble.topic, trouble.partition, trouble.error,
                                   trouble.text});
        }
        for (auto it = told_.begin(); it != told_.end();) {
            if (std::exchange(it->second.lasts, false)) {
                ++it;
                continue;
            }
            const auto* const entry = find(it->first.topic, it->first.partition);
            const bool given_back = entry != nullptr && !entry->progress;
            const auto text =
                name_of(it->first.topic, it->first.partition) + (given_back ? " is given back" : " goes on");
            on_event(ProgressEvent{ProgressEvent::Kind::trouble_over, it->first.topic, it->first.partition, {}, text});
            it = told_.erase(it);
        }
        for (auto& [key, entry] : entries_) {
            const auto lost = entry.lost();
            const auto more = lost - std::exchange(entry.lost_told, lost);
            if (more == 0) continue;
            const auto text = name_of(key.topic, key.partition) + ": " + std::to_string(more) +
                              " records were gone before they were read: retention, or a reset, passed them";
            on_event(ProgressEvent{ProgressEvent::Kind::records_lost, key.topic, key.partition, {}, text});
        }
    }
    /// Fills in `lag` and all that belongs to it.
    void fill(DriverStats& stats, time_point now) const {
        for (const auto& [key, entry] : entries_) {
            if (const auto lost = entry.lost()) {
                stats.lost_records += lost;
                stats.lost.push_back({key.topic, key.partition, lost});
            }
            if (!entry.progress) continue;
            const auto lag = entry.progress->lag();
            stats.lag += lag.value_or(0);
            if (!lag) ++stats.ends_unknown;
            if (entry.progress->stalled()) ++stats.stalled_partitions;
        }
        stats.lasting_errors = errors_.all().size();
        if (stats.stalled_partitions + stats.lasting_errors > 0) stats.troubles = troubles_now(now);
    }
    /// Where the assigned partitions stand, ordered by topic and number.
    [[nodiscard]] std::vector<PartitionStanding> standings() const {
        std::vector<PartitionStanding> all;
        for (const auto& [key, entry] : entries_) {
            if (!entry.progress) continue;
            const auto& p = *entry.progress;
            all.push_back({key.topic, key.partition, p.reached(), p.end(), p.lag(), p.stalled(), p.lost()});
        }
        return all;
    }

private:
    struct Key {
        std::string topic;
        std::int32_t partition = 0;
    };
    struct KeyView {
        std::string_view topic;
        std::int32_t partition = 0;
    };
    struct Less {
        using is_transparent = void;
        template <class A, class B>
        bool operator()(const A& a, const B& b) const noexcept {
            const std::string_view left = a.topic;
            const std::string_view right = b.topic;
            return std::tie(left, a.partition) < std::tie(right, b.partition);
        }
    };
    struct Entry {
        std::optional<PartitionProgress> progress{}; ///< while it is assigned
        std::uint64_t generation = 0;
        std::uint64_t lost_before = 0; ///< in earlier assignments
        std::uint64_t lost_told = 0;
        [[nodiscard]] std::uint64_t lost() const noexcept { return lost_before + (progress ? progress->lost() : 0); }
    };
    struct Told {
        time_point next{};
        bool lasts = false;
    };

    [[nodiscard]] static std::string name_of(std::string_view topic, std::int32_t partition) {
        if (topic.empty()) return "the consumer group";
        return std::string{topic} + (partition < 0 ? "" : "-" + std::to_string(partition));
    }
    [[nodiscard]] std::vector<ClientTrouble> troubles_now(time_point now) const {
        using std::chrono::milliseconds;
        std::vector<ClientTrouble> troubles;
        const auto& errors = errors_.all();
        for (const auto& [key, entry] : entries_) {
            const auto stalled = entry.progress ? entry.progress->stalled() : std::nullopt;
            if (!stalled) continue;
            const auto position = entry.progress->position();
            const auto end = entry.progress->end();
            const auto of_it = [&of = key](const auto& one) {
                return one.topic == of.topic && (one.partition < 0 || one.partition == of.partition);
            };
            const auto why = std::find_if(errors.begin(), errors.end(), of_it);
            auto text = name_of(key.topic, key.partition) + " has stood still for " +
                        std::to_string(std::chrono::floor<std::chrono::seconds>(*stalled).count()) +
                        " s: next offset " + (position < 0 ? "unknown" : std::to_string(position)) + ", end " +
                        (end ? std::to_string(*end) : "unknown");
            if (why != errors.end()) text += "; " + why->error.message() + ": " + why->text;
            troubles.push_back({key.topic, key.partition, true, why != errors.end() ? why->error : error_code{},
                                std::move(text), *stalled});
        }
        const auto stalls = troubles.size();
        for (const auto& one : errors) {
            const auto is_it = [&](const auto& stall) {
                return stall.topic == one.topic && stall.partition == one.partition;
            };
            const auto end = troubles.begin() + static_cast<std::ptrdiff_t>(stalls);
            if (std::find_if(troubles.begin(), end, is_it) != end) continue;
            troubles.push_back({one.topic, one.partition, false, one.error,
                                name_of(one.topic, one.partition) + ": " + one.error.message() + ": " + one.text,
                                std::chrono::floor<milliseconds>(now - one.since)});
        }
        return troubles;
    }
    [[nodiscard]] Entry& add(std::string_view topic, std::int32_t partition) {
        return entries_[Key{std::string{topic}, partition}];
    }
    [[nodiscard]] Entry* find(std::string_view topic, std::int32_t partition) noexcept {
        if (last_ != entries_.end() && last_->first.partition == partition && last_->first.topic == topic)
            return &last_->second;
        last_ = entries_.find(KeyView{topic, partition});
        return last_ == entries_.end() ? nullptr : &last_->second;
    }
    static void leave(Entry& entry) noexcept {
        entry.lost_before = entry.lost();
        entry.progress.reset();
    }

    std::chrono::milliseconds stall_after_;
    bool skips_to_end_;
    std::map<Key, Entry, Less> entries_;
    std::map<Key, Entry, Less>::iterator last_ = entries_.end(); ///< the one looked up last
    ReportedErrors errors_;
    std::map<Key, Told, Less> told_;
};

} // namespace bulkhead::inline v1::kafka
