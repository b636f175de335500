// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kit/counters.hpp"
#include <bulkhead/batch.hpp>
#include <bulkhead/kafka/mappers.hpp>
#include <bulkhead/test/model_kafka.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

/// The records of a simulated Kafka and what became of each, by its identity, not its offset. All of it is observed,
/// with nothing of the library's but the ids that its users make.
namespace bulkhead::inline v1::test::simulation {

/// What is in a record.
enum class Kind : std::uint8_t {
    document, ///< created under an id of its own
    several,  ///< some of them
    nameless, ///< a document without an id
    keyed,    ///< the latest state of its key
    tombstone,
    nothing,  ///< the mapper finds nothing to index in it
    invalid,  ///< the mapper says that it is no event
    throwing, ///< the mapper throws
    bad,      ///< the server refuses the last of its documents
    poison,   ///< the server refuses any request that holds it
    oversize, ///< larger than the indexer takes
};
inline constexpr std::size_t kind_count = values_up_to(Kind::oversize);
constexpr std::string_view name_of(Kind kind) noexcept {
    constexpr auto names =
        std::to_array<std::string_view>({"document", "several", "nameless", "keyed", "tombstone", "nothing", "invalid",
                                         "throwing", "bad", "poison", "oversize"});
    static_assert(names.size() == kind_count);
    return names[static_cast<std::size_t>(kind)];
}

/// One operation of a record, and what became of it.
struct OperationFact {
    std::string id{};           ///< empty: none
    std::string source{};       ///< empty: a delete
    std::int64_t version = -1;  ///< external, of a keyed one
    std::size_t applied = 0;    ///< how often the server has
    bool dead_lettered = false; ///< it is in the dead-letter topic, or the sink has it
    bool passed = false;        ///< a policy gave it up by name, and reported it
};
struct RecordFact {
    ModelKafka::Log log = 0;
    std::int64_t offset = 0;
    std::int64_t number = 0; ///< its timestamp, which identifies it
    std::size_t epoch = 0;   ///< of the log, when it was produced
    Kind kind{};
    std::optional<std::string> key{};
    std::optional<std::string> payload{};
    std::vector<OperationFact> operations{};
    std::size_t delivered = 0;  ///< how often a member has taken it
    bool dead_lettered = false; ///< the record itself is in the dead-letter topic
    bool passed = false;
    bool gone = false; ///< its log was created again or truncated, or the group stands above it by no fault of a member
};

inline std::string describe(const RecordFact& record) {
    std::string text = "partition " + std::to_string(record.log) + ", offset " + std::to_string(record.offset) + ", " +
                       std::string{name_of(record.kind)} + ", taken " + std::to_string(record.delivered) + " times";
    for (const auto& operation : record.operations)
        text += ", applied " + std::to_string(operation.applied) +
                (operation.dead_lettered ? " and dead-lettered" : "") + (operation.passed ? " and given up" : "");
    return text;
}
/// An offset of a log.
struct Place {
    ModelKafka::Log log = 0;
    std::int64_t offset = 0;
};
inline std::string describe(const Place& place) {
    return "partition " + std::to_string(place.log) + ", offset " + std::to_string(place.offset);
}

/// The truth about every record.
class Facts {
public:
    using Log = ModelKafka::Log;
    struct Found {
        RecordFact* record = nullptr;
        std::size_t operation = 0;
        [[nodiscard]] OperationFact& fact() const { return record->operations[operation]; }
    };

    explicit Facts(ModelKafka& kafka) : kafka_{kafka} {}

    /// Produces a record. `filler`: bytes of nothing in its documents; `number`: of documents, or of its key.
    void produce(Log log, Kind kind, std::size_t filler, std::size_t number) {
        auto& record = all_.emplace_back();
        record.log = log;
        record.offset = kafka_.end(log);
        record.number = kafka_.last_timestamp() + 1;
        record.epoch = kafka_.epoch(log);
        record.kind = kind;
        const auto name = kafka_.name(log);
        const auto place = std::to_string(record.number);
        const bool has_key = kind == Kind::keyed || kind == Kind::tombstone;
        // The versions of a key begin again with its log.
        if (has_key)
            record.key =
                "k-" + std::to_string(log) + "-" + std::to_string(record.epoch) + "-" + std::to_string(number % 4);
        const bool has_documents = kind != Kind::nothing && kind != Kind::invalid && kind != Kind::throwing;
        const std::size_t count = !has_documents ? 0 : kind == Kind::several || kind == Kind::bad ? 1 + number % 3 : 1;
        for (std::size_t i = 0; i < count; ++i) {
            OperationFact operation;
            if (kind != Kind::tombstone)
                operation.source =
                    R"({"at":")" + place + "-" + std::to_string(i) + R"(","t":")" + std::string(filler, 'x') + "\"}";
            if (has_key) {
                operation.id = *record.key;
            } else if (kind != Kind::nameless) {
                operation.id = std::string{name.topic} + "-" + std::to_string(name.partition) + "-" +
                               std::to_string(record.offset) + "@" + place + "-" + std::to_string(i);
            }
            if (has_key) operation.version = record.offset + 1;
            record.operations.push_back(std::move(operation));
        }
        if (kind != Kind::tombstone)
            record.payload = std::string{name_of(kind)} + " " + place + std::string(filler, 'y');
        kafka_.produce(log, record.payload, record.key);
        if (logs_.size() <= log) logs_.resize(log + 1);
        logs_[log].push_back(&record);
        by_version_[{log, record.epoch, record.offset}] = &record;
    }
    /// The log was created again or truncated: what it held from `offset` on is gone.
    void cut(Log log, std::int64_t offset) {
        if (log >= logs_.size()) return;
        auto& records = logs_[log];
        const auto from = lower_bound(log, offset);
        for (auto at = from; at != records.end(); ++at) (*at)->gone = true;
        records.erase(from, records.end());
    }
    /// The group begins at `offset` in a log that it has not read: what is below stays unread.
    void strand(Log log, std::int64_t offset) {
        if (log >= logs_.size()) return;
        for (auto at = logs_[log].begin(); at != logs_[log].end() && (*at)->offset < offset; ++at) (*at)->gone = true;
    }
    /// What the log holds there now; null when there is no such record.
    [[nodiscard]] RecordFact* find(Log log, std::int64_t offset) {
        if (log >= logs_.size()) return nullptr;
        const auto at = lower_bound(log, offset);
        return at != logs_[log].end() && (*at)->offset == offset ? *at : nullptr;
    }
    /// A record by its identity, also when its log no longer holds it.
    [[nodiscard]] RecordFact* find(const Record& record) {
        if (record.timestamp_ms < 1 || record.timestamp_ms > std::int64_t(all_.size())) return nullptr;
        return &all_[std::size_t(record.timestamp_ms - 1)];
    }
    /// Which operation these lines are. None of ours: no record.
    [[nodiscard]] Found read(std::string_view action_line, std::string_view source) {
        const auto number = [](std::string_view text, std::size_t from) {
            std::uint64_t value = 0;
            while (from < text.size() && text[from] >= '0' && text[from] <= '9')
                value = value * 10 + std::uint64_t(text[from++] - '0');
            return std::pair{value, from};
        };
        if (!source.empty()) {
            constexpr std::string_view sign = R"({"at":")";
            if (!source.starts_with(sign)) return {};
            const auto [record, record_end] = number(source, sign.size());
            const auto [operation, end] = number(source, record_end + 1);
            if (record < 1 || record > all_.size()) return {};
            return found(&all_[record - 1], operation);
        }
        const auto id = action_line.find(R"("_id":"k-)");
        const auto version = action_line.find(R"("version":)");
        if (id == std::string_view::npos || version == std::string_view::npos) return {};
        const auto [log, log_end] = number(action_line, id + 9);
        const auto epoch = number(action_line, log_end + 1).first;
        const auto offset = static_cast<std::int64_t>(number(action_line, version + 10).first) - 1;
        const auto at = by_version_.find({log, epoch, offset});
        return found(at == by_version_.end() ? nullptr : at->second, 0);
    }
    /// The server has applied it.
    void applied(const Found& found) {
        ++found.fact().applied;
        if (found.fact().version < 0) return;
        auto& newest = newest_[found.fact().id];
        if (newest.record == nullptr || newest.fact().version < found.fact().version) newest = found;
    }
    /// Nothing of it is lost, but for what a policy gave up by name.
    [[nodiscard]] bool safe(const RecordFact& record) const {
        if (record.kind == Kind::nothing || record.passed || record.dead_lettered) return true;
        for (const auto& operation : record.operations)
            if (!safe(operation)) return false;
        return !record.operations.empty();
    }
    [[nodiscard]] bool safe(const OperationFact& operation) const {
        if (operation.applied != 0 || operation.dead_lettered || operation.passed) return true;
        if (operation.version < 0) return false;
        const auto newest = newest_.find(operation.id); // what is newer of its key is there instead
        return newest != newest_.end() && newest->second.fact().version > operation.version;
    }
    /// The first record from `from` on, and below `to`, that is not safe; null when all are.
    [[nodiscard]] const RecordFact* first_unsafe(Log log, std::int64_t from, std::int64_t to) {
        if (log >= logs_.size()) return nullptr;
        for (auto at = lower_bound(log, from); at != logs_[log].end() && (*at)->offset < to; ++at)
            if (!(*at)->gone && !safe(**at)) return *at;
        return nullptr;
    }
    /// All that were ever produced.
    [[nodiscard]] const std::deque<RecordFact>& records() const noexcept { return all_; }
    /// Where reading ends: behind the last record.
    [[nodiscard]] std::int64_t end(Log log) const {
        return log < logs_.size() && !logs_[log].empty() ? logs_[log].back()->offset + 1 : 0;
    }
    /// The log holds a record that nobody has taken.
    [[nodiscard]] bool unread(Log log) const {
        return log < logs_.size() && std::any_of(logs_[log].begin(), logs_[log].end(), [](const RecordFact* record) {
                   return record->delivered == 0 && !record->gone;
               });
    }
    /// The newest operation of each key that was applied.
    [[nodiscard]] const std::map<std::string, Found>& newest() const noexcept { return newest_; }

private:
    [[nodiscard]] std::vector<RecordFact*>::iterator lower_bound(Log log, std::int64_t offset) {
        return std::lower_bound(logs_[log].begin(), logs_[log].end(), offset,
                                [](const RecordFact* record, std::int64_t wanted) { return record->offset < wanted; });
    }
    [[nodiscard]] static Found found(RecordFact* record, std::size_t operation) {
        return record == nullptr || operation >= record->operations.size() ? Found{} : Found{record, operation};
    }

    ModelKafka& kafka_;
    std::deque<RecordFact> all_;                 ///< by number; a record stays where it is
    std::vector<std::vector<RecordFact*>> logs_; ///< what each holds now, by offset
    std::map<std::tuple<Log, std::size_t, std::int64_t>, RecordFact*> by_version_; ///< by log, epoch and offset
    std::map<std::string, Found> newest_;
};

/// Maps a record to the operations that its fact has.
class FactMapper {
public:
    explicit FactMapper(Facts& facts) : facts_{&facts} {}
    Mapped operator()(const Record& record, Batch& out) const {
        const auto* const fact = facts_->find(record);
        if (fact == nullptr || record.payload != fact->payload)
            throw std::logic_error{"a record that was not produced"};
        if (fact->kind == Kind::throwing) throw std::runtime_error{"a mapper's own affair"};
        if (fact->kind == Kind::invalid) return Mapped::invalid;
        if (fact->kind == Kind::nothing) return Mapped::skip;
        return append(record, *fact, out);
    }
    Mapped tombstone(const Record& record, Batch& out) const { return append(record, *facts_->find(record), out); }

private:
    static Mapped append(const Record& record, const RecordFact& fact, Batch& out) {
        std::size_t number = 0;
        for (const auto& made : fact.operations) {
            Operation operation;
            const auto id = record_id(record) + "-" + std::to_string(number++); // as a user makes it
            if (!made.id.empty()) operation.id = made.version < 0 ? std::string_view{id} : std::string_view{made.id};
            operation.source = made.source;
            if (made.source.empty()) {
                operation.action = Action::delete_;
            } else if (made.version < 0 && !made.id.empty()) {
                operation.action = Action::create;
                operation.on_conflict = OnConflict::already_there;
            }
            if (made.version >= 0) operation.version = made.version;
            if (out.append(operation, std::string_view{"logs"})) return Mapped::invalid;
        }
        return Mapped::operations;
    }
    Facts* facts_;
};
static_assert(TombstoneMapper<FactMapper>);

} // namespace bulkhead::inline v1::test::simulation
