// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/facts.hpp"
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_kafka.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>

/// What one member has under way and where it stands in its partitions.
namespace bulkhead::inline v1::test::simulation {

/// The records that one member has taken and not settled: its `KafkaSource` must count the same.
class MemberBooks {
public:
    using Log = ModelKafka::Log;
    /// One delivery of one record.
    struct Delivery {
        Log log = 0;
        std::int64_t offset = -1;
        std::uint64_t serial = 0; ///< 0: not in the books yet
    };

    void assigned(Log log) {
        gone(log);
        partitions_[log] = {};
    }
    void gone(Log log) {
        const auto found = partitions_.find(log);
        if (found == partitions_.end()) return;
        forget(found->second.entries, found->second.entries.begin());
        partitions_.erase(found);
    }
    /// A record was taken, and waits for so many things to end; with 0 it is settled, or has `failed`.
    Delivery taken(Log log, std::int64_t offset, std::size_t waiting, bool failed) {
        auto& partition = partitions_[log];
        if (offset < partition.next) forget(partition.entries, partition.entries.lower_bound(offset)); // it was rewound
        partition.next = offset + 1;
        const Delivery delivery{log, offset, ++last_serial_};
        partition.entries[offset] = {delivery.serial, waiting, failed};
        tidy(partition);
        ++taken_;
        return delivery;
    }
    /// One thing, or all, of a delivery ended. False: it came too late to matter.
    bool ended(const Delivery& delivery, bool failed, bool all) {
        const auto partition = partitions_.find(delivery.log);
        if (partition == partitions_.end()) return false;
        const auto entry = partition->second.entries.find(delivery.offset);
        if (entry == partition->second.entries.end() || entry->second.serial != delivery.serial ||
            entry->second.waiting == 0)
            return false;
        entry->second.waiting = all ? 0 : entry->second.waiting - 1;
        entry->second.failed |= failed;
        tidy(partition->second);
        return true;
    }
    /// Whether it is still waited for.
    [[nodiscard]] bool waiting(const Delivery& delivery) const {
        const auto partition = partitions_.find(delivery.log);
        if (partition == partitions_.end()) return false;
        const auto entry = partition->second.entries.find(delivery.offset);
        return entry != partition->second.entries.end() && entry->second.serial == delivery.serial &&
               entry->second.waiting != 0;
    }
    [[nodiscard]] Delivery latest(Log log, std::int64_t offset) const {
        const auto partition = partitions_.find(log);
        if (partition == partitions_.end()) return {};
        const auto entry = partition->second.entries.find(offset);
        return entry == partition->second.entries.end() ? Delivery{} : Delivery{log, offset, entry->second.serial};
    }
    /// What may be stored at most.
    [[nodiscard]] std::int64_t watermark(Log log) const {
        const auto& partition = partitions_.at(log);
        return partition.entries.empty() ? partition.next : partition.entries.begin()->first;
    }
    [[nodiscard]] std::int64_t next(Log log) const { return partitions_.at(log).next; }
    /// Deliveries from the watermark on.
    [[nodiscard]] std::size_t held(Log log) const { return partitions_.at(log).entries.size(); }

    [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
    [[nodiscard]] std::uint64_t abandoned() const noexcept { return abandoned_; }
    [[nodiscard]] std::uint64_t waiting() const {
        return count([](const Entry& entry) { return entry.waiting != 0; });
    }
    [[nodiscard]] std::uint64_t failed() const {
        return count([](const Entry& entry) { return entry.waiting == 0 && entry.failed; });
    }

private:
    struct Entry {
        std::uint64_t serial = 0;
        std::size_t waiting = 0;
        bool failed = false;
    };
    using Entries = std::map<std::int64_t, Entry>;
    struct Partition {
        std::int64_t next = -1;
        Entries entries; ///< from the first that has not settled on
    };
    void forget(Entries& entries, Entries::iterator from) {
        for (auto at = from; at != entries.end(); ++at)
            if (at->second.waiting != 0 || at->second.failed) ++abandoned_;
        entries.erase(from, entries.end());
    }
    static void tidy(Partition& partition) {
        auto& entries = partition.entries;
        while (!entries.empty() && entries.begin()->second.waiting == 0 && !entries.begin()->second.failed)
            entries.erase(entries.begin());
    }
    template <class F>
    [[nodiscard]] std::uint64_t count(F f) const {
        std::uint64_t sum = 0;
        for (const auto& [log, partition] : partitions_)
            for (const auto& [offset, entry] : partition.entries) sum += f(entry) ? 1U : 0U;
        return sum;
    }

    std::map<Log, Partition> partitions_;
    std::uint64_t last_serial_ = 0;
    std::uint64_t taken_ = 0;
    std::uint64_t abandoned_ = 0;
};

/// A dead letter on its way, as the client's producer has it.
struct Posted {
    MemberBooks::Delivery delivery{};
    RecordFact* record = nullptr;
    bool whole_record = false;
    bool of_sink = false;
    std::size_t bytes = 0; ///< of the user's
    ManualClock::time_point due{};
};

/// The dead letters of a member that are not acknowledged, oldest first.
struct PostedLetters {
    std::deque<Posted> posted;
    /// Of the user's, without those of the indexer's sink.
    [[nodiscard]] std::size_t bytes() const {
        std::size_t sum = 0;
        for (const auto& letter : posted) sum += letter.of_sink ? 0 : letter.bytes;
        return sum;
    }
};

/// How far a member has read and stored in the partitions of its assignment.
struct MemberPositions {
    using Log = ModelKafka::Log;

    std::map<Log, std::int64_t> stored;         ///< at first where the assignment began
    std::map<Log, std::size_t> epochs;          ///< of the log, by the latest record that it has taken
    std::set<Log> met;                          ///< whose source was polled since it took a record of the latest epoch
    std::map<Log, int> went_back;               ///< how often its client did, in this assignment
    std::map<Log, std::int64_t> settled_before; ///< it sought back
    std::map<Log, std::int64_t> sought;         ///< what it had read when it sought back, until it has read that again

    void assigned(Log log, std::int64_t committed, std::size_t epoch) {
        stored[log] = committed;
        epochs[log] = epoch;
        met.erase(log);
        went_back.erase(log);
        sought.erase(log);
        settled_before.erase(log);
    }
    void gone(Log log) {
        stored.erase(log);
        epochs.erase(log);
        met.erase(log);
        sought.erase(log);
    }
};

} // namespace bulkhead::inline v1::test::simulation
