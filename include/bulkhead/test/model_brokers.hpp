// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/record.hpp>
#include <bulkhead/test/detail/model_group.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The brokers of a model of Kafka: no threads, no sockets, no time. What a broker does by itself after a while (give a
/// member up, acknowledge a dead letter) happens when a test calls for it.
namespace bulkhead::inline v1::test {

/// A record as it lies in a log.
struct ModelRecord {
    std::string topic{};
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    std::optional<std::string> key{};
    std::optional<std::string> payload{}; ///< none: a tombstone
    std::int64_t timestamp_ms = -1;       ///< no two records of a `ModelKafka` have the same

    /// For `KafkaSource::deliver`; valid as long as this is.
    [[nodiscard]] Record view() const noexcept {
        Record record;
        record.topic = topic;
        record.partition = partition;
        record.offset = offset;
        record.key = key;
        record.payload = payload;
        record.timestamp_ms = timestamp_ms;
        return record;
    }
};

/// A dead letter as it lies in the dead-letter topic.
struct ModelLetter {
    std::string topic{}; ///< where it came from; empty when that was not known
    std::int32_t partition = -1;
    std::int64_t offset = -1;
    std::string type{}, reason{}, action_line{}, source{};
    bool has_record = false;              ///< the record itself came with it
    std::optional<std::string> key{};     ///< of the record
    std::optional<std::string> payload{}; ///< of the record
};

/// How the group moves partitions.
enum class Rebalancing : std::uint8_t {
    eager,       ///< every member gives everything back, then all is assigned again
    cooperative, ///< only what moves is given back, and assigned in a second round
};

/// What became of a commit.
enum class Committed : std::uint8_t {
    done,
    nothing_new, ///< nothing was stored since the last one
    refused,     ///< the member is no longer in the group, or its generation is over
    failed,      ///< for another reason; the offsets stay stored and go with the next one
};

/// The brokers: topics whose logs may have gaps, one consumer group, and a dead-letter topic.
///
/// Like the real ones they check the generation of a member that commits, not whether the partition is the member's,
/// and they take a lower offset. What a client must never do is recorded: see `violations()`.
class ModelKafka {
public:
    /// Of a topic and partition, in the order of creation.
    using Log = std::size_t;

    explicit ModelKafka(Rebalancing rebalancing = Rebalancing::cooperative) : rebalancing_{rebalancing} {}
    ModelKafka(const ModelKafka&) = delete;
    ModelKafka& operator=(const ModelKafka&) = delete;

    // ---- Logs ----

    void create_topic(const std::string& topic, std::int32_t partitions) {
        for (std::int32_t p = 0; p < partitions; ++p) logs_.push_back({topic, p, {}, 0, 0, {}, {}, 0});
    }
    [[nodiscard]] std::size_t logs() const noexcept { return logs_.size(); }
    /// The log of this topic and partition; `logs()` when there is none.
    [[nodiscard]] Log find(std::string_view topic, std::int32_t partition) const noexcept {
        Log log = 0;
        while (log < logs_.size() && (logs_[log].partition != partition || logs_[log].topic != topic)) ++log;
        return log;
    }
    [[nodiscard]] TopicPartition name(Log log) const { return {logs_.at(log).topic, logs_.at(log).partition}; }
    /// Appends a record, and returns its offset.
    std::int64_t produce(Log log, std::optional<std::string> payload, std::optional<std::string> key = {}) {
        auto& into = logs_.at(log);
        const auto offset = into.end++;
        into.records.emplace(offset, ModelRecord{into.topic, into.partition, offset, std::move(key), std::move(payload),
                                                 ++last_timestamp_});
        return offset;
    }
    /// The timestamp of the record that was produced last.
    [[nodiscard]] std::int64_t last_timestamp() const noexcept { return last_timestamp_; }
    /// The topic is deleted and created again: its logs are empty, and their offsets begin at 0. `forget`: the group's
    /// offsets are deleted with it, as brokers do; a member that has not noticed yet may commit its own again.
    void create_again(std::string_view topic, bool forget) {
        for (auto& log : logs_) {
            if (log.topic != topic) continue;
            log.records.clear();
            log.first = log.end = 0;
            log.cuts.push_back(0);
            if (forget) log.committed.reset();
        }
    }
    /// The log ends here now, as after an unclean election of a leader: what was above is gone, and its offsets are
    /// given to other records.
    void truncate(Log log, std::int64_t offset) {
        auto& from = logs_.at(log);
        from.end = std::clamp(offset, from.first, from.end);
        from.records.erase(from.records.lower_bound(from.end), from.records.end());
        from.cuts.push_back(from.end);
    }
    /// How often the log was created again or truncated.
    [[nodiscard]] std::size_t epoch(Log log) const { return logs_.at(log).cuts.size(); }
    /// So many offsets without a record, as compaction and transaction markers leave them.
    void leave_gap(Log log, std::int64_t offsets) { logs_.at(log).end += offsets; }
    /// Retention: what is below is gone. A consumer that stands there goes on at the first record left.
    void remove_below(Log log, std::int64_t offset) {
        auto& from = logs_.at(log);
        from.first = std::max(from.first, std::min(offset, from.end));
        from.records.erase(from.records.begin(), from.records.lower_bound(from.first));
    }
    /// The offset of the next record.
    [[nodiscard]] std::int64_t end(Log log) const { return logs_.at(log).end; }
    /// By offset.
    [[nodiscard]] const std::map<std::int64_t, ModelRecord>& records(Log log) const { return logs_.at(log).records; }

    // ---- The group ----

    [[nodiscard]] std::optional<std::int64_t> committed(Log log) const { return logs_.at(log).committed; }
    /// How often it was set by `ModelConsumer::set_offset`, so that it may have gone back.
    [[nodiscard]] std::size_t times_set(Log log) const { return logs_.at(log).times_set; }
    [[nodiscard]] Rebalancing rebalancing() const noexcept { return rebalancing_; }
    /// Moves partitions on to other members.
    void rebalance() { group_.rebalance(); }
    /// The group gives a member up: its session has ended, or it has not polled for too long. The member learns of it
    /// at its next `serve`. No effect when it is gone already.
    void expire(std::uint64_t member) { group_.remove(member); }
    [[nodiscard]] bool has_member(std::uint64_t member) const { return group_.find(member) != nullptr; }
    [[nodiscard]] std::size_t members() const noexcept { return group_.size(); }
    /// No rebalance is under way, and every member has its assignment.
    [[nodiscard]] bool stable() const { return group_.stable(); }

    // ---- Faults ----

    /// Commits fail.
    bool fail_commits = false;
    /// Commits succeed, but the answer is lost: to the member they fail.
    bool lose_commit_answers = false;

    // ---- What has come of it ----

    /// The dead-letter topic.
    [[nodiscard]] const std::vector<ModelLetter>& letters() const noexcept { return letters_; }
    /// What a client must never do: offsets stored or partitions paused that are not its own, offsets stored
    /// below others, a group's committed offset that went back by an ordinary commit.
    [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }

private:
    friend class ModelConsumer;
    struct Partition {
        std::string topic;
        std::int32_t partition = 0;
        std::map<std::int64_t, ModelRecord> records;
        std::int64_t first = 0;
        std::int64_t end = 0;
        std::optional<std::int64_t> committed;
        std::vector<std::int64_t> cuts; ///< where the log ended each time that it was created again or truncated
        std::size_t times_set = 0;
    };
    struct Offset {
        std::int64_t next = 0;
        bool exact = false; ///< though the group's may be higher
    };
    Committed commit(std::uint64_t id, std::uint64_t generation, const std::map<Log, Offset>& offsets) {
        if (!has_member(id) || generation != group_.generation()) return Committed::refused;
        if (fail_commits) return Committed::failed;
        for (const auto& [log, to] : offsets) {
            auto& committed = logs_[log].committed;
            if (to.exact) {
                ++logs_[log].times_set;
            } else if (committed && to.next < *committed) {
                violated("the group's committed offset went back", log, to.next);
            }
            committed = to.next;
        }
        return lose_commit_answers ? Committed::failed : Committed::done;
    }
    void violated(std::string_view what, Log log, std::int64_t offset = -1) {
        auto text = std::string{what} + ": ";
        if (log < logs_.size()) text += logs_[log].topic + "-" + std::to_string(logs_[log].partition);
        violations_.push_back(offset < 0 ? text : text + " at " + std::to_string(offset));
    }

    Rebalancing rebalancing_;
    std::vector<Partition> logs_;
    detail::ModelGroup group_;
    std::int64_t last_timestamp_ = 0;
    std::vector<ModelLetter> letters_;
    std::vector<std::string> violations_;
};

} // namespace bulkhead::inline v1::test
