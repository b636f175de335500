// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/record.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A Kafka and a consumer group small enough to be read at a glance: no threads, no sockets, no time. What a broker
/// would do by itself after a while (give a member up, acknowledge a dead letter) happens when a test says so.
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
    eager,       ///< everybody gives everything back, then all is assigned anew
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
/// and they take a lower offset. But what a client should never have done is remembered: see `violations()`.
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
    /// offsets are deleted with it, as brokers do; a member that does not know yet may commit its own again.
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
    void rebalance() {
        ++shift_;
        begin_rebalance();
    }
    /// The group gives a member up: its session has ended, or it has not polled for too long. It learns of it when it
    /// asks. Harmless when it is gone already.
    void expire(std::uint64_t member) {
        if (members_.erase(member) != 0) begin_rebalance();
    }
    [[nodiscard]] bool has_member(std::uint64_t member) const { return members_.count(member) != 0; }
    [[nodiscard]] std::size_t members() const noexcept { return members_.size(); }
    /// No rebalance is under way, and every member knows what it has.
    [[nodiscard]] bool stable() const {
        return !rebalance_under_way_ &&
               std::none_of(members_.begin(), members_.end(), [](const auto& m) { return m.second.news; });
    }

    // ---- Faults ----

    /// Commits fail.
    bool fail_commits = false;
    /// Commits succeed, but the answer is lost: to the member they fail.
    bool lose_commit_answers = false;

    // ---- What has come of it ----

    /// The dead-letter topic.
    [[nodiscard]] const std::vector<ModelLetter>& letters() const noexcept { return letters_; }
    /// What a client should never have done: offsets stored or partitions paused that are not its own, offsets stored
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
    struct Member {
        std::string instance;
        bool joined = false; ///< the rebalance that is under way
        bool news = false;   ///< it has not asked for its assignment yet
        std::set<Log> owned; ///< as it said when it joined
        std::set<Log> given; ///< by the last rebalance
    };

    std::uint64_t join(const std::string& instance) {
        const auto id = ++last_member_;
        if (!instance.empty()) {
            for (auto& [old, member] : members_) {
                if (member.instance != instance) continue;
                // Static membership: the new process has what the old one had, and the group does not move.
                auto taken = std::move(member);
                members_.erase(old);
                // What the old one was still to give back is free now.
                const bool moved =
                    !std::includes(taken.given.begin(), taken.given.end(), taken.owned.begin(), taken.owned.end());
                taken.owned.clear();
                taken.news = !rebalance_under_way_;
                taken.joined = false;
                members_[id] = std::move(taken);
                if (moved) begin_rebalance();
                return id;
            }
        }
        members_[id].instance = instance;
        begin_rebalance();
        return id;
    }
    void begin_rebalance() {
        rebalance_under_way_ = !members_.empty();
        for (auto& [id, member] : members_) member.joined = member.news = false;
    }
    void rejoin(std::uint64_t id, std::set<Log> owned) {
        auto& member = members_.at(id);
        member.joined = true;
        member.owned = std::move(owned);
        if (!std::all_of(members_.begin(), members_.end(), [](const auto& m) { return m.second.joined; })) return;
        rebalance_under_way_ = false;
        ++generation_;
        std::set<Log> held;
        for (const auto& [other, m] : members_) held.insert(m.owned.begin(), m.owned.end());
        for (auto& [other, m] : members_) {
            m.given.clear();
            m.news = true;
        }
        for (Log log = 0; log < logs_.size(); ++log) {
            auto to = members_.begin();
            std::advance(to, static_cast<std::ptrdiff_t>((log + shift_) % members_.size()));
            if (held.count(log) == 0 || to->second.owned.count(log) != 0) to->second.given.insert(log);
        }
    }
    Committed commit(std::uint64_t id, std::uint64_t generation, const std::map<Log, Offset>& offsets) {
        if (members_.count(id) == 0 || generation != generation_) return Committed::refused;
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
    std::map<std::uint64_t, Member> members_;
    std::uint64_t last_member_ = 0;
    std::int64_t last_timestamp_ = 0;
    std::uint64_t generation_ = 0;
    std::size_t shift_ = 0;
    bool rebalance_under_way_ = false;
    std::vector<ModelLetter> letters_;
    std::vector<std::string> violations_;
};

/// One member of the group, as librdkafka is to its caller: the `Consumer` and `LetterWriter` of a source, and what a
/// poll loop asks of it. It joins when it is first served. Destroyed, it is a process that was killed: the group learns
/// of it by `ModelKafka::expire`, or by the next member with the same instance name.
///
///     consumer.on_assigned = [&](auto partitions) { for (auto& p : partitions) source.assigned(p.topic, p.partition);
///     }; consumer.on_revoked = [&](auto partitions) { source.revoked(partitions, 0s); (void)consumer.commit(); };
///     consumer.on_lost = [&](auto partitions) { source.lost(partitions); };
///     for (;;) {
///         consumer.serve();
///         source.poll();
///         if (auto record = consumer.fetch()) … source.deliver(record->view()) …
///     }
class ModelConsumer {
public:
    using Log = ModelKafka::Log;
    using Listener = std::function<void(std::span<const TopicPartition>)>;

    /// `instance`: static membership; empty for none.
    explicit ModelConsumer(ModelKafka& kafka, std::string instance = {})
        : kafka_{kafka}, instance_{std::move(instance)} {}
    ModelConsumer(const ModelConsumer&) = delete;
    ModelConsumer& operator=(const ModelConsumer&) = delete;

    // ---- What the loop is told ----

    Listener on_assigned; ///< may be nothing at all, when the group has moved and this member has not
    Listener on_revoked;  ///< still owned while it runs: store and commit in it
    Listener on_lost;     ///< gone already

    // ---- Faults ----

    error_code store_error{}; ///< answered by `store_offset` and `set_offset`
    error_code pause_error{}; ///< answered by `pause` and `resume`
    bool dead_letter_topic = false;

    // ---- Consumer ----

    error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        const auto log = kafka_.find(topic, partition);
        const auto owned = owned_.find(log);
        if (owned == owned_.end()) {
            kafka_.violated("an offset was stored by who does not own the partition", log, next);
            return errc::closed;
        }
        if (store_error) return store_error;
        auto& state = owned->second;
        if (state.stored ? next <= *state.stored : next < state.begin)
            kafka_.violated("an offset was stored below an earlier one", log, next);
        state.stored = next;
        return {};
    }
    /// The next `commit` sets it, and each one until the brokers have said that they have it.
    error_code set_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        const auto log = kafka_.find(topic, partition);
        const auto owned = owned_.find(log);
        if (owned == owned_.end()) {
            kafka_.violated("an offset was set by who does not own the partition", log, next);
            return errc::closed;
        }
        if (store_error) return store_error;
        owned->second.stored = next;
        owned->second.exact = true;
        return {};
    }
    error_code pause(std::string_view topic, std::int32_t partition) { return set_paused(topic, partition, true); }
    error_code resume(std::string_view topic, std::int32_t partition) { return set_paused(topic, partition, false); }

    // ---- LetterWriter ----

    [[nodiscard]] bool writes_letters() const noexcept { return dead_letter_topic; }
    void write_letter(const KafkaLetter& letter, LetterReceipt receipt) {
        ModelLetter kept{std::string{letter.topic},
                         letter.partition,
                         letter.offset,
                         std::string{letter.type},
                         std::string{letter.reason},
                         std::string{letter.action_line},
                         std::string{letter.source},
                         letter.record != nullptr,
                         {},
                         {}};
        if (letter.record != nullptr) {
            if (letter.record->key) kept.key = *letter.record->key;
            if (letter.record->payload) kept.payload = *letter.record->payload;
        }
        letters_.push_back({std::move(kept), std::move(receipt)});
    }
    /// Dead letters on their way.
    [[nodiscard]] std::size_t letters_waiting() const noexcept { return letters_.size(); }
    /// The brokers have the oldest of them, or `error` says why not.
    void acknowledge_letter(error_code error = {}) {
        auto sent = std::move(letters_.front());
        letters_.pop_front();
        if (!error) kafka_.letters_.push_back(std::move(sent.letter));
        sent.receipt(error);
    }

    // ---- For the loop ----

    /// Does what the group asks for, if anything: joins, calls a listener. Not to be called by a listener.
    void serve() {
        if (member_ != 0 && !kafka_.has_member(member_)) return lose_everything();
        if (member_ == 0) {
            member_ = kafka_.join(instance_);
            return;
        }
        auto& member = kafka_.members_.at(member_);
        if (kafka_.rebalance_under_way_ && !member.joined) return rejoin();
        if (!member.news) return;
        member.news = false;
        generation_ = kafka_.generation_;
        take_assignment(member.given);
    }
    /// The next record of a partition that is not paused, of each in turn; nothing when all are read.
    [[nodiscard]] std::optional<ModelRecord> fetch() {
        if (owned_.empty()) return std::nullopt;
        auto at = owned_.upper_bound(last_fetched_);
        for (std::size_t i = 0; i < owned_.size(); ++i, ++at) {
            if (at == owned_.end()) at = owned_.begin();
            auto& [log, state] = *at;
            if (paused_.count(log) != 0) continue;
            const auto& from = kafka_.logs_[log];
            // A client that knows the epochs of a log learns where it was cut; else its offset is out of range.
            for (; state.epoch < from.cuts.size(); ++state.epoch)
                state.position = std::min(state.position, from.cuts[state.epoch]);
            if (state.position > from.end) state.position = from.first;
            const auto& records = from.records;
            const auto next = records.lower_bound(state.position);
            if (next == records.end()) continue;
            state.position = next->first + 1;
            last_fetched_ = log;
            return next->second;
        }
        return std::nullopt;
    }
    /// Reads on from another offset. Harmless when the partition is not owned.
    void seek(Log log, std::int64_t offset) {
        if (const auto owned = owned_.find(log); owned != owned_.end()) owned->second.position = offset;
    }
    /// Commits what is stored, where that is more than what was committed, or was set.
    Committed commit() {
        std::map<Log, ModelKafka::Offset> offsets;
        for (const auto& [log, state] : owned_)
            if (state.stored && (state.exact || *state.stored > state.committed))
                offsets[log] = {*state.stored, state.exact};
        if (offsets.empty()) return Committed::nothing_new;
        const auto result = kafka_.commit(member_, generation_, offsets);
        if (result == Committed::done) {
            for (const auto& [log, to] : offsets) {
                owned_.at(log).committed = to.next;
                owned_.at(log).exact = false;
            }
        }
        return result;
    }
    /// Commits this offset, stored or not, owned or not, as the brokers let one do.
    Committed commit(Log log, std::int64_t next) { return kafka_.commit(member_, generation_, {{log, {next, false}}}); }
    /// Leaves the group: gives everything back, and is not to be served again.
    void leave() {
        if (member_ == 0) return;
        if (!kafka_.has_member(member_)) return lose_everything();
        give_back(all());
        kafka_.expire(std::exchange(member_, 0));
    }

    // ---- Where it stands ----

    [[nodiscard]] std::uint64_t member() const noexcept { return member_; }
    [[nodiscard]] bool owns(Log log) const { return owned_.count(log) != 0; }
    [[nodiscard]] std::vector<Log> owned() const {
        std::vector<Log> logs;
        for (const auto& [log, state] : owned_) logs.push_back(log);
        return logs;
    }
    [[nodiscard]] bool paused(Log log) const { return owns(log) && paused_.count(log) != 0; }
    /// What was stored in this assignment.
    [[nodiscard]] std::optional<std::int64_t> stored(Log log) const {
        const auto owned = owned_.find(log);
        return owned == owned_.end() ? std::nullopt : owned->second.stored;
    }
    /// The next offset to be fetched; -1 for a partition that is not owned.
    [[nodiscard]] std::int64_t position(Log log) const {
        const auto owned = owned_.find(log);
        return owned == owned_.end() ? -1 : owned->second.position;
    }

private:
    struct Owned {
        std::int64_t begin = 0; ///< where this assignment began
        std::int64_t position = 0;
        std::int64_t committed = 0; ///< as far as this member knows
        std::optional<std::int64_t> stored;
        bool pause_told = false; ///< paused or resumed in this assignment
        std::size_t epoch = 0;   ///< of the log, as far as this member knows
        bool exact = false;      ///< `stored` is to be set
    };
    struct Sent {
        ModelLetter letter;
        LetterReceipt receipt;
    };

    [[nodiscard]] std::set<Log> all() const {
        std::set<Log> logs;
        for (const auto& [log, state] : owned_) logs.insert(log);
        return logs;
    }
    [[nodiscard]] std::vector<TopicPartition> names(const std::set<Log>& logs) const {
        std::vector<TopicPartition> names;
        for (const auto log : logs) names.push_back(kafka_.name(log));
        return names;
    }
    static void tell(const Listener& listener, const std::vector<TopicPartition>& partitions) {
        if (listener) listener(partitions);
    }
    void give_back(const std::set<Log>& logs) {
        tell(on_revoked, names(logs));
        for (const auto log : logs) owned_.erase(log);
    }
    void lose_everything() {
        member_ = 0;
        const auto gone = all();
        owned_.clear();
        tell(on_lost, names(gone));
    }
    void rejoin() {
        if (kafka_.rebalancing_ == Rebalancing::eager && !owned_.empty()) give_back(all());
        // The listener may have taken long enough for the group to lose patience.
        if (kafka_.has_member(member_)) kafka_.rejoin(member_, all());
    }
    void take_assignment(const std::set<Log>& given) {
        std::set<Log> gone;
        std::set<Log> added;
        for (const auto& [log, state] : owned_)
            if (given.count(log) == 0) gone.insert(log);
        for (const auto log : given)
            if (owned_.count(log) == 0) added.insert(log);
        if (!gone.empty()) give_back(gone);
        for (const auto log : added) {
            const auto& from = kafka_.logs_[log];
            const auto begin = from.committed.value_or(from.first);
            const auto position = begin > from.end ? from.first : std::max(begin, from.first); // out of range: reset
            owned_[log] = {begin, position, begin, {}, false, from.cuts.size(), false};
        }
        tell(on_assigned, names(added));
        if (!gone.empty() && kafka_.has_member(member_)) kafka_.begin_rebalance(); // what was given back is free now
    }
    error_code set_paused(std::string_view topic, std::int32_t partition, bool paused) {
        const auto log = kafka_.find(topic, partition);
        const auto owned = owned_.find(log);
        if (owned == owned_.end()) {
            kafka_.violated("a partition was paused or resumed by who does not own it", log);
            return errc::closed;
        }
        if (pause_error) return pause_error;
        const bool was = paused_.count(log) != 0;
        // Who does not know what the client knows may pause anew what an earlier assignment left paused.
        if (was == paused && (!paused || owned->second.pause_told))
            kafka_.violated("a partition was paused or resumed twice", log);
        owned->second.pause_told = true;
        paused ? void(paused_.insert(log)) : void(paused_.erase(log));
        return {};
    }

    ModelKafka& kafka_;
    std::string instance_;
    std::uint64_t member_ = 0; ///< 0: not in the group
    std::uint64_t generation_ = 0;
    std::map<Log, Owned> owned_;
    std::set<Log> paused_; ///< owned or not: librdkafka keeps a pause over a rebalance
    Log last_fetched_ = 0;
    std::deque<Sent> letters_;
};
static_assert(LetterWriter<ModelConsumer> && OffsetSetter<ModelConsumer>);

} // namespace bulkhead::inline v1::test
