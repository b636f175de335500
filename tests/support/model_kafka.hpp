// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/source.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

/// A Kafka group and an indexer small enough to be read at a glance, for the promises of `KafkaSource` (invariants I20
/// to I25 and I26). Everything on one thread; time does not exist.
namespace bulkhead_test {

using namespace bulkhead;

/// An indexer whose every settlement a test decides. It keeps what was accepted until then.
class FakeIndexer {
public:
    class FakeSubscription {
    public:
        FakeSubscription() = default;
        explicit FakeSubscription(std::shared_ptr<bool> alive) : alive_{std::move(alive)} {}
        [[nodiscard]] Ticket ticket(std::uint64_t key) const noexcept { return {0, 0, key}; }
        void reset() noexcept {
            if (alive_) *alive_ = false;
        }

    private:
        std::shared_ptr<bool> alive_;
    };
    struct Pending {
        std::uint64_t key = 0;
        std::string action_line;
        std::string source;
        [[nodiscard]] std::string id() const {
            const auto at = action_line.find("\"_id\":\"") + 7;
            return action_line.substr(at, action_line.find('"', at) - at);
        }
    };

    std::size_t capacity = 1'000'000; ///< operations
    std::optional<Admission> refuse;  ///< answered to everything
    std::function<void()> on_flush;
    std::set<std::string>* store = nullptr; ///< ids of the documents that are proven
    bool runs_here = false;
    IndexerOptions config{.retry = {.max_age = unlimited}};

    std::vector<Pending> pending;
    int flushes = 0;

    [[nodiscard]] Admission try_enqueue(const Batch& scratch, Ticket ticket) noexcept {
        if (refuse) return *refuse;
        if (pending.size() + scratch.operations() > capacity) return Admission::full;
        auto body = scratch.body();
        const auto line = [&body] {
            const auto end = body.find('\n');
            auto text = std::string{body.substr(0, end)};
            body.remove_prefix(end + 1);
            return text;
        };
        for (std::size_t i = 0; i < scratch.operations(); ++i) {
            auto action_line = line();
            auto source = line();
            pending.push_back({ticket.key, std::move(action_line), std::move(source)});
        }
        return Admission::accepted;
    }
    void flush() noexcept {
        ++flushes;
        if (on_flush) on_flush();
    }
    template <class Observer>
    FakeSubscription subscribe(int /*executor*/, Observer observer) {
        alive_ = std::make_shared<bool>(true);
        observer_ = [alive = alive_, observer](std::span<const Settlement> settlements) {
            if (*alive) observer(settlements);
        };
        return FakeSubscription{alive_};
    }
    [[nodiscard]] int get_executor() const noexcept { return 0; }
    [[nodiscard]] const IndexerOptions& options() const noexcept { return config; }
    [[nodiscard]] bool running_in_this_thread() const noexcept { return runs_here; }

    /// Ends one pending operation. `type` is the failure's.
    void settle(std::size_t position, Outcome outcome, std::string_view type = "some_exception") {
        const auto ended = std::move(pending.at(position));
        pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(position));
        if (durable(outcome) && store != nullptr) store->insert(ended.id());
        const Failure failure{type, "because", ended.action_line, ended.source};
        Settlement settlement;
        settlement.key = ended.key;
        settlement.outcome = outcome;
        if (!durable(outcome)) settlement.failure = &failure;
        observer_({&settlement, 1});
    }
    void settle_all(Outcome outcome = Outcome::indexed) {
        while (!pending.empty()) settle(0, outcome);
    }

private:
    std::shared_ptr<bool> alive_;
    std::function<void(std::span<const Settlement>)> observer_;
};

/// A record in the log, by what its mapper will say.
struct Logged {
    enum class Kind { one, three, without_payload, skipped, invalid, throwing };
    std::int64_t offset = 0;
    Kind kind = Kind::one;
    [[nodiscard]] std::size_t documents() const noexcept { return kind == Kind::one ? 1 : kind == Kind::three ? 3 : 0; }
};

[[nodiscard]] inline std::string document_id(std::int32_t partition, std::int64_t offset, std::size_t document) {
    return std::to_string(partition) + "-" + std::to_string(offset) + "-" + std::to_string(document);
}

/// The mapper of all these tests: the payload says what to do.
struct ModelMapper {
    Mapped operator()(const Record& record, Batch& out) const {
        const auto payload = record.payload.value_or("one");
        if (payload == "throwing") throw std::runtime_error{"a mapper's mishap"};
        if (payload == "invalid") return Mapped::invalid;
        if (payload == "skipped") return Mapped::skip;
        const std::size_t documents = payload == "three" ? 3 : 1;
        for (std::size_t i = 0; i < documents; ++i) {
            const auto id = document_id(record.partition, record.offset, i);
            Operation op;
            op.action = Action::create;
            op.id = id;
            op.source = "{}";
            if (out.append(op, std::string_view{"logs"})) return Mapped::invalid;
        }
        return Mapped::operations;
    }
};

/// The brokers: a log for each partition of one topic, and what the group has committed.
struct ModelKafka {
    static constexpr std::string_view topic = "apm.logs";
    std::vector<std::vector<Logged>> logs; ///< by partition
    std::map<std::int32_t, std::int64_t> committed;
    std::set<std::string> indexed;  ///< proven documents
    std::set<std::string> given_up; ///< rejected, where the policy says to go on
    std::vector<std::string> violations;

    void violated(const std::string& what) { violations.push_back(what); }

    /// Everything below `next` is durable, or has nothing to index.
    [[nodiscard]] bool safe_to_store(std::int32_t partition, std::int64_t next) const {
        for (const auto& record : logs.at(static_cast<std::size_t>(partition))) {
            if (record.offset >= next) break;
            for (std::size_t i = 0; i < record.documents(); ++i) {
                const auto id = document_id(partition, record.offset, i);
                if (indexed.count(id) == 0 && given_up.count(id) == 0) return false;
            }
        }
        return true;
    }
};

/// A member of the group, as librdkafka would be: the `Consumer` of a source.
class ModelMember {
public:
    struct Owned {
        std::int64_t position = 0; ///< the next offset to deliver
        std::optional<std::int64_t> stored;
        bool paused = false;
        bool told = false; ///< paused or resumed in this assignment
    };

    explicit ModelMember(ModelKafka& kafka) : kafka_{kafka} {}

    error_code store_offset(std::string_view, std::int32_t partition, std::int64_t next) {
        const auto name = "partition " + std::to_string(partition) + ", offset " + std::to_string(next);
        const auto owned = owned_.find(partition);
        if (owned == owned_.end()) {
            kafka_.violated("I22: stored without owning: " + name);
            return errc::closed;
        }
        if (fail_stores) return errc::full;
        if (check_durability && !kafka_.safe_to_store(partition, next)) kafka_.violated("I20: stored too far: " + name);
        if (owned->second.stored && next <= *owned->second.stored) kafka_.violated("I21: stored backwards: " + name);
        owned->second.stored = next;
        ++stores;
        return {};
    }
    error_code pause(std::string_view, std::int32_t partition) { return set_paused(partition, true); }
    error_code resume(std::string_view, std::int32_t partition) { return set_paused(partition, false); }

    /// The dead-letter topic: a test decides when it acknowledges.
    struct SentLetter {
        std::int64_t offset = -1;
        std::string topic, type, reason, action_line, source, key, payload, header;
        bool has_record = false, has_payload = false;
        LetterReceipt receipt;
    };
    [[nodiscard]] bool writes_letters() const noexcept { return dead_letter_topic; }
    void write_letter(const KafkaLetter& letter, LetterReceipt receipt) {
        SentLetter sent{letter.offset,
                        std::string{letter.topic},
                        std::string{letter.type},
                        std::string{letter.reason},
                        std::string{letter.action_line},
                        std::string{letter.source},
                        {},
                        {},
                        {},
                        letter.record != nullptr,
                        false,
                        std::move(receipt)};
        if (letter.record != nullptr) {
            sent.key = letter.record->key.value_or("");
            sent.payload = letter.record->payload.value_or("");
            sent.has_payload = letter.record->payload.has_value();
            for (const auto& header : letter.record->headers()) sent.header = header.value.value_or("");
        }
        letters.push_back(std::move(sent));
    }
    /// Acknowledges the oldest letter.
    void acknowledge(error_code error = {}) {
        auto letter = std::move(letters.front());
        letters.pop_front();
        letter.receipt(error);
    }

    void own(std::int32_t partition) {
        const auto found = kafka_.committed.find(partition);
        owned_[partition] = {found == kafka_.committed.end() ? 0 : found->second, {}, paused_.count(partition) != 0};
    }
    void disown(std::int32_t partition) { owned_.erase(partition); }
    /// As librdkafka commits: what is stored, and never back.
    void commit(std::int32_t partition) {
        const auto stored = owned_.at(partition).stored;
        if (stored && *stored > kafka_.committed[partition]) kafka_.committed[partition] = *stored;
    }
    void commit_all() {
        for (const auto& [partition, owned] : owned_) commit(partition);
    }
    [[nodiscard]] std::map<std::int32_t, Owned>& owned() noexcept { return owned_; }
    /// The next record of a partition; null at its end.
    [[nodiscard]] const Logged* next(std::int32_t partition) const {
        const auto position = owned_.at(partition).position;
        for (const auto& record : kafka_.logs.at(static_cast<std::size_t>(partition)))
            if (record.offset >= position) return &record;
        return nullptr;
    }
    /// Hands the next record over; the position moves only when the source has it.
    template <class Source>
    Delivered deliver_next(Source& source, std::int32_t partition) {
        const auto* const logged = next(partition);
        constexpr std::string_view payloads[] = {"one", "three", "", "skipped", "invalid", "throwing"};
        Record record;
        record.topic = ModelKafka::topic;
        record.partition = partition;
        record.offset = logged->offset;
        if (logged->kind != Logged::Kind::without_payload)
            record.payload = payloads[static_cast<std::size_t>(logged->kind)];
        const auto delivered = source.deliver(record);
        if (delivered == Delivered::ignored) kafka_.violated("an owned partition's record was ignored");
        if (delivered == Delivered::taken) owned_.at(partition).position = logged->offset + 1;
        return delivered;
    }

    bool dead_letter_topic = false;
    std::deque<SentLetter> letters; ///< written, not acknowledged
    bool fail_stores = false;
    bool fail_pauses = false;
    bool check_durability = true; ///< not for `best_effort`
    int stores = 0;
    int pauses = 0;
    int resumes = 0;

private:
    error_code set_paused(std::int32_t partition, bool paused) {
        const auto owned = owned_.find(partition);
        const auto name = "partition " + std::to_string(partition);
        if (owned == owned_.end()) {
            kafka_.violated("paused or resumed without owning: " + name);
            return errc::closed;
        }
        if (fail_pauses) return errc::full;
        auto& state = owned->second;
        // Who does not know what the client knows may pause anew what an earlier assignment left paused.
        if (state.paused == paused && (!paused || state.told)) kafka_.violated("paused or resumed twice: " + name);
        state.told = true;
        state.paused = paused;
        paused ? void(paused_.insert(partition)) : void(paused_.erase(partition));
        ++(paused ? pauses : resumes);
        return {};
    }
    ModelKafka& kafka_;
    std::map<std::int32_t, Owned> owned_;
    std::set<std::int32_t> paused_; ///< owned or not: librdkafka keeps a pause over a rebalance
};
static_assert(LetterWriter<ModelMember>);

inline bool adds_up(const SourceStats& s) {
    return s.consumed == s.settled + s.tracked + s.stashed + s.failed + s.abandoned;
}

} // namespace bulkhead_test
