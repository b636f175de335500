// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/test/model_kafka.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

/// What the Kafka simulation knows: of the world, what became of each record; of a member, what it has under way. Both
/// by looking on, with nothing of the library's.
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
inline constexpr std::size_t kinds = 11;
inline constexpr std::array<std::string_view, kinds> kind_names{"document",  "several", "nameless", "keyed",
                                                                "tombstone", "nothing", "invalid",  "throwing",
                                                                "bad",       "poison",  "oversize"};

/// One operation of a record, and what became of it.
struct OperationFact {
    std::string id{};          ///< empty: none
    std::string source{};      ///< empty: a delete
    std::int64_t version = -1; ///< external, of a keyed one
    std::size_t applied = 0;   ///< how often the server has
    bool buried = false;       ///< it is in the dead-letter topic, or the sink has it
    bool passed = false;       ///< a policy gave it up by name, and said so
};
struct RecordFact {
    ModelKafka::Log log = 0;
    std::int64_t offset = 0;
    Kind kind{};
    std::optional<std::string> key{};
    std::optional<std::string> payload{};
    std::vector<OperationFact> operations{};
    std::size_t delivered = 0; ///< how often a member has taken it
    bool buried = false;       ///< the record itself is in the dead-letter topic
    bool passed = false;
};

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
        RecordFact record;
        record.log = log;
        record.offset = kafka_.end(log);
        record.kind = kind;
        const auto place = std::to_string(log) + "-" + std::to_string(record.offset);
        const bool has_key = kind == Kind::keyed || kind == Kind::tombstone;
        if (has_key) record.key = "k-" + std::to_string(log) + "-" + std::to_string(number % 4);
        const bool has_documents = kind != Kind::nothing && kind != Kind::invalid && kind != Kind::throwing;
        const std::size_t count = !has_documents ? 0 : kind == Kind::several || kind == Kind::bad ? 1 + number % 3 : 1;
        for (std::size_t i = 0; i < count; ++i) {
            OperationFact operation;
            const auto at = place + "-" + std::to_string(i);
            if (kind != Kind::tombstone)
                operation.source = R"({"at":")" + at + R"(","t":")" + std::string(filler, 'x') + "\"}";
            if (kind != Kind::nameless) operation.id = has_key ? *record.key : at;
            if (has_key) operation.version = record.offset + 1;
            record.operations.push_back(std::move(operation));
        }
        if (kind != Kind::tombstone)
            record.payload = std::string{kind_names[std::size_t(kind)]} + " " + place + std::string(filler, 'y');
        kafka_.produce(log, record.payload, record.key);
        if (records_.size() <= log) records_.resize(log + 1);
        records_[log].push_back(std::move(record));
    }
    /// Null when there is no such record.
    [[nodiscard]] RecordFact* find(Log log, std::int64_t offset) {
        if (log >= records_.size()) return nullptr;
        const auto at = lower_bound(log, offset);
        return at != records_[log].end() && at->offset == offset ? &*at : nullptr;
    }
    [[nodiscard]] RecordFact* find(const Record& record) {
        return find(kafka_.find(record.topic, record.partition), record.offset);
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
            const auto [log, log_end] = number(source, sign.size());
            const auto [offset, offset_end] = number(source, log_end + 1);
            const auto [operation, end] = number(source, offset_end + 1);
            return found(log, static_cast<std::int64_t>(offset), operation);
        }
        const auto id = action_line.find(R"("_id":"k-)");
        const auto version = action_line.find(R"("version":)");
        if (id == std::string_view::npos || version == std::string_view::npos) return {};
        return found(number(action_line, id + 9).first,
                     static_cast<std::int64_t>(number(action_line, version + 10).first) - 1, 0);
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
        if (record.kind == Kind::nothing || record.passed || record.buried) return true;
        for (const auto& operation : record.operations)
            if (!safe(operation)) return false;
        return !record.operations.empty();
    }
    [[nodiscard]] bool safe(const OperationFact& operation) const {
        if (operation.applied != 0 || operation.buried || operation.passed) return true;
        if (operation.version < 0) return false;
        const auto newest = newest_.find(operation.id); // what is newer of its key is there instead
        return newest != newest_.end() && newest->second.fact().version > operation.version;
    }
    /// The first record from `from` on, and below `to`, that is not safe; null when all are.
    [[nodiscard]] const RecordFact* first_unsafe(Log log, std::int64_t from, std::int64_t to) {
        if (log >= records_.size()) return nullptr;
        for (auto at = lower_bound(log, from); at != records_[log].end() && at->offset < to; ++at)
            if (!safe(*at)) return &*at;
        return nullptr;
    }
    [[nodiscard]] const std::vector<std::deque<RecordFact>>& records() const noexcept { return records_; }
    /// Where reading ends: behind the last record.
    [[nodiscard]] std::int64_t end(Log log) const {
        return log < records_.size() && !records_[log].empty() ? records_[log].back().offset + 1 : 0;
    }
    /// The newest operation of each key that was applied.
    [[nodiscard]] const std::map<std::string, Found>& newest() const noexcept { return newest_; }

private:
    [[nodiscard]] std::deque<RecordFact>::iterator lower_bound(Log log, std::int64_t offset) {
        return std::lower_bound(records_[log].begin(), records_[log].end(), offset,
                                [](const RecordFact& record, std::int64_t wanted) { return record.offset < wanted; });
    }
    [[nodiscard]] Found found(std::uint64_t log, std::int64_t offset, std::size_t operation) {
        auto* const record = find(log, offset);
        return record == nullptr || operation >= record->operations.size() ? Found{} : Found{record, operation};
    }

    ModelKafka& kafka_;
    std::vector<std::deque<RecordFact>> records_; ///< by log, by offset; a record stays where it is
    std::map<std::string, Found> newest_;
};

/// The mapper of the simulation.
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
        return append(*fact, out);
    }
    Mapped tombstone(const Record& record, Batch& out) const { return append(*facts_->find(record), out); }

private:
    static Mapped append(const RecordFact& fact, Batch& out) {
        for (const auto& made : fact.operations) {
            Operation operation;
            if (!made.id.empty()) operation.id = made.id;
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

/// What one member has taken and not settled: the books that a `KafkaSource` must agree with.
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

} // namespace bulkhead::inline v1::test::simulation
