// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/rdkafka/client_event.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/client_statistics.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/partition_key.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/partition_progress.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/reported_errors.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/trouble_reporter.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

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
    /// The group had committed this offset, as requested at the assignment of this generation; below 0: none.
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

    /// The driver has taken this record. `low()`: the log's first offset as far as known, called only where records are
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

    // ---- Results ----

    /// Calls `on_event(const ClientEvent&)` for what is new, and for troubles again every `stall_after`.
    template <class OnEvent>
    void report(time_point now, OnEvent on_event) {
        const auto given_back = [this](const std::string& topic, std::int32_t partition) {
            const auto* const entry = find(topic, partition);
            return entry != nullptr && !entry->progress;
        };
        troubles_.report(troubles_now(now), now, given_back, on_event);
        for (auto& [key, entry] : entries_) {
            const auto lost = entry.lost();
            const auto more = lost - std::exchange(entry.lost_reported, lost);
            if (more == 0) continue;
            const auto text = name_of(key.topic, key.partition) + ": " + std::to_string(more) +
                              " records were gone before they were read: retention, or a reset, passed them";
            on_event(ClientEvent{.kind = ClientEvent::Kind::records_lost,
                                 .level = 3,
                                 .text = text,
                                 .topic = key.topic,
                                 .partition = key.partition});
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
    struct Entry {
        std::optional<PartitionProgress> progress{}; ///< while it is assigned
        std::uint64_t generation = 0;
        std::uint64_t lost_before = 0; ///< in earlier assignments
        std::uint64_t lost_reported = 0;
        [[nodiscard]] std::uint64_t lost() const noexcept { return lost_before + (progress ? progress->lost() : 0); }
    };
    [[nodiscard]] std::vector<ClientTrouble> troubles_now(time_point now) const {
        std::vector<ClientTrouble> troubles;
        for (const auto& [key, entry] : entries_)
            if (const auto stalled = entry.progress ? entry.progress->stalled() : std::nullopt)
                troubles.push_back(stall_of(key, *entry.progress, *stalled));
        const auto stalls = troubles.size();
        for (const auto& one : errors_.all()) {
            const auto is_it = [&](const auto& stall) {
                return stall.topic == one.topic && stall.partition == one.partition;
            };
            const auto end = troubles.begin() + static_cast<std::ptrdiff_t>(stalls);
            if (std::find_if(troubles.begin(), end, is_it) != end) continue;
            troubles.push_back({one.topic, one.partition, false, one.error,
                                name_of(one.topic, one.partition) + ": " + one.error.message() + ": " + one.text,
                                std::chrono::floor<std::chrono::milliseconds>(now - one.since)});
        }
        return troubles;
    }
    /// A partition that stands still, with the error that explains it, where one was reported.
    [[nodiscard]] ClientTrouble stall_of(const PartitionKey& key, const PartitionProgress& progress,
                                         std::chrono::milliseconds stalled) const {
        const auto position = progress.position();
        const auto end = progress.end();
        auto text = name_of(key.topic, key.partition) + " has stood still for " +
                    std::to_string(std::chrono::floor<std::chrono::seconds>(stalled).count()) + " s: next offset " +
                    (position < 0 ? "unknown" : std::to_string(position)) + ", end " +
                    (end ? std::to_string(*end) : "unknown");
        const auto& errors = errors_.all();
        const auto why = std::find_if(errors.begin(), errors.end(), [&](const auto& one) {
            return one.topic == key.topic && (one.partition < 0 || one.partition == key.partition);
        });
        if (why == errors.end()) return {key.topic, key.partition, true, {}, std::move(text), stalled};
        text += "; " + why->error.message() + ": " + why->text;
        return {key.topic, key.partition, true, why->error, std::move(text), stalled};
    }
    [[nodiscard]] Entry& add(std::string_view topic, std::int32_t partition) {
        return entries_[{std::string{topic}, partition}];
    }
    [[nodiscard]] Entry* find(std::string_view topic, std::int32_t partition) noexcept {
        if (last_ != entries_.end() && last_->first.partition == partition && last_->first.topic == topic)
            return &last_->second;
        last_ = entries_.find(PartitionKeyView{topic, partition});
        return last_ == entries_.end() ? nullptr : &last_->second;
    }
    static void leave(Entry& entry) noexcept {
        entry.lost_before = entry.lost();
        entry.progress.reset();
    }

    std::chrono::milliseconds stall_after_;
    bool skips_to_end_;
    std::map<PartitionKey, Entry, PartitionKeyLess> entries_;
    std::map<PartitionKey, Entry, PartitionKeyLess>::iterator last_ = entries_.end(); ///< the one looked up last
    ReportedErrors errors_;
    TroubleReporter troubles_{stall_after_};
};

} // namespace bulkhead::inline v1::kafka::detail
