// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/record.hpp>
#include <bulkhead/test/model_brokers.hpp>

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

namespace bulkhead::inline v1::test {

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

    // ---- The loop's callbacks ----

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
            kafka_.violated("an offset was stored by a member that does not own the partition", log, next);
            return errc::closed;
        }
        if (store_error) return store_error;
        auto& state = owned->second;
        if (state.stored ? next <= *state.stored : next < state.begin)
            kafka_.violated("an offset was stored below an earlier one", log, next);
        state.stored = next;
        return {};
    }
    /// The next `commit` sets it, and each one until the brokers have confirmed it.
    error_code set_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        const auto log = kafka_.find(topic, partition);
        const auto owned = owned_.find(log);
        if (owned == owned_.end()) {
            kafka_.violated("an offset was set by a member that does not own the partition", log, next);
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
    /// The brokers have the oldest of them, or `error`.
    void acknowledge_letter(error_code error = {}) {
        auto sent = std::move(letters_.front());
        letters_.pop_front();
        if (!error) kafka_.letters_.push_back(std::move(sent.letter));
        sent.receipt(error);
    }

    // ---- For the loop ----

    /// Does what the group requires, if anything: joins, calls a listener. A listener must not call it.
    void serve() {
        if (member_ != 0 && !kafka_.has_member(member_)) return lose_everything();
        if (member_ == 0) {
            member_ = kafka_.group_.join(instance_);
            return;
        }
        auto& member = *kafka_.group_.find(member_);
        if (kafka_.group_.rebalancing() && !member.joined) return rejoin();
        if (!member.news) return;
        member.news = false;
        generation_ = kafka_.group_.generation();
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
    /// Leaves the group: gives everything back. It must not be served again.
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
        bool pause_set = false; ///< paused or resumed in this assignment
        std::size_t epoch = 0;  ///< of the log, as far as this member knows
        bool exact = false;     ///< `stored` is to be set
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
    static void notify(const Listener& listener, const std::vector<TopicPartition>& partitions) {
        if (listener) listener(partitions);
    }
    void give_back(const std::set<Log>& logs) {
        notify(on_revoked, names(logs));
        for (const auto log : logs) owned_.erase(log);
    }
    void lose_everything() {
        member_ = 0;
        const auto gone = all();
        owned_.clear();
        notify(on_lost, names(gone));
    }
    void rejoin() {
        if (kafka_.rebalancing_ == Rebalancing::eager && !owned_.empty()) give_back(all());
        // The listener may have taken so long that the group has given the member up.
        if (kafka_.has_member(member_)) kafka_.group_.rejoin(member_, all(), kafka_.logs());
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
        notify(on_assigned, names(added));
        if (!gone.empty() && kafka_.has_member(member_))
            kafka_.group_.begin_rebalance(); // what was given back is free now
    }
    error_code set_paused(std::string_view topic, std::int32_t partition, bool paused) {
        const auto log = kafka_.find(topic, partition);
        const auto owned = owned_.find(log);
        if (owned == owned_.end()) {
            kafka_.violated("a partition was paused or resumed by a member that does not own it", log);
            return errc::closed;
        }
        if (pause_error) return pause_error;
        const bool was = paused_.count(log) != 0;
        // A caller that does not know the client's state may pause again what an earlier assignment left paused.
        if (was == paused && (!paused || owned->second.pause_set))
            kafka_.violated("a partition was paused or resumed twice", log);
        owned->second.pause_set = true;
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
