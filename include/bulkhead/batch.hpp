// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/ndjson.hpp>
#include <bulkhead/settlement.hpp>

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

namespace detail {

/// Contiguous bytes that grow by `realloc`: the kernel moves a large block's pages instead of copying them, and nothing
/// is zeroed only to be overwritten.
class ByteBuffer {
public:
    ByteBuffer() = default;
    ByteBuffer(ByteBuffer&& other) noexcept
        : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)}, capacity_{std::exchange(
                                                                                                other.capacity_, 0)} {}
    ByteBuffer& operator=(ByteBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ByteBuffer(const ByteBuffer&) = delete;
    ByteBuffer& operator=(const ByteBuffer&) = delete;
    ~ByteBuffer() { std::free(data_); } // NOLINT: the counterpart of realloc

    /// Grows to hold `capacity` bytes; never shrinks. Throws `std::bad_alloc`, then nothing has changed.
    void reserve(std::size_t capacity) {
        if (capacity <= capacity_) return;
        void* grown = std::realloc(data_, capacity); // NOLINT
        if (grown == nullptr) throw std::bad_alloc{};
        data_ = static_cast<char*>(grown);
        capacity_ = capacity;
    }
    /// The caller has reserved the room.
    void append_unchecked(std::string_view bytes) noexcept {
        std::memcpy(data_ + size_, bytes.data(), bytes.size());
        size_ += bytes.size();
    }
    /// Asks for the memory that the appends after the next will write to. A buffer that another core has just sent from
    /// is in that core's cache, and a lock's release waits until every byte written under it has arrived here.
    void prefetch() const noexcept {
        constexpr std::size_t ahead = 512;
        constexpr std::size_t most = 512;
        constexpr std::size_t cache_line = 64;
        if (capacity_ - size_ < ahead + most) return;
        const char* const from = data_ + size_ + ahead;
        for (std::size_t i = 0; i < most; i += cache_line) {
#if defined(__x86_64__) && defined(__GNUC__)
            asm volatile("prefetchw %0" : : "m"(from[i])); // __builtin_prefetch needs -mprfchw to be more than a read
#elif defined(__GNUC__)
            __builtin_prefetch(from + i, 1);
#endif
        }
    }
    void clear() noexcept { size_ = 0; }
    [[nodiscard]] char* data() noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }

private:
    char* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

/// What is remembered of an operation beside its bytes, in the order of the batch.
struct Entry {
    std::uint32_t action_bytes = 0; ///< the action line, its newline included
    std::uint32_t source_bytes = 0; ///< the source line, its newline included; 0 for a delete
    Ticket ticket;
    std::uint16_t attempts = 0; ///< answers about this operation so far
    /// Where the id ends in the action line, which begins `{"index":{"_index":"…","_id":"…"`. 0: there is no id.
    std::uint16_t id_end = 0;
    Action action = Action::index;
    bool has_id : 1 = false;
    bool has_version : 1 = false;
    bool has_seq_no : 1 = false;
    bool already_there : 1 = false; ///< `OnConflict::already_there`
    bool ambiguous : 1 = false;     ///< an earlier attempt may have been applied: not answered, or refused half-way
    bool unanswered : 1 = false;    ///< an earlier attempt was sent and not answered
    bool holds_id : 1 = false;      ///< `Ordering::per_id`: it is the one of its id that is under way
    bool not_allowed : 1 = false;   ///< the last answer about it was `Verdict::environment`
    bool altered : 1 = false;       ///< a newline inside a string of its source has become a space
    [[nodiscard]] std::size_t bytes() const noexcept { return std::size_t{action_bytes} + source_bytes; }
};
static_assert(sizeof(Entry) == 32);

/// An operation checked and measured, ready to be copied into a batch: all that remains to be done under the lock.
struct Prepared {
    Action action{};
    std::string_view index;
    ShortText metadata;
    std::string_view source; ///< trimmed; empty for a delete
    bool source_has_newline = false;
    Entry entry;

    std::size_t id_bytes = 0; ///< of `,"_id":"…"`, with which the metadata begins

    /// Bytes in the batch, once the action line's constant beginning is known.
    [[nodiscard]] std::size_t bytes(const std::string& prefix) const noexcept {
        const auto source_line = action == Action::delete_ ? 0 : source.size() + 1;
        return prefix.size() + metadata.view().size() + 3 + source_line;
    }
};

/// Checks and measures `op`. What is wrong with it, if anything; then `out` is unspecified. The index is not looked at,
/// and of the source no more than the framing (see `check_document`).
[[nodiscard]] inline std::optional<FieldError> prepare(const Operation& op, std::string_view default_index,
                                                       Prepared& out, Validation validate = Validation::framing) {
    constexpr std::size_t most = std::size_t{1} << 30;
    const bool plain = !op.routing && !op.pipeline && !op.version && !op.if_seq_no && !op.if_primary_term &&
                       !op.require_alias && !op.require_data_stream && !op.retry_on_conflict &&
                       op.dynamic_templates.empty() && !op.id && op.action <= Action::create;
    if (!plain) {
        if (auto wrong = check_metadata(op)) return wrong;
        out.id_bytes = append_metadata(out.metadata, op);
    }
    out.action = op.action;
    out.index = op.index.empty() ? default_index : op.index;
    if (op.action == Action::delete_) {
        if (!op.source.empty())
            return FieldError{"source", "empty for a delete", std::to_string(op.source.size()) + " bytes"};
    } else {
        out.source = trim_json_space(op.source);
        const bool framed = out.source.size() >= 2 && out.source.front() == '{' && out.source.back() == '}';
        if (out.source.empty() || (!framed && validate != Validation::off))
            return FieldError{"source", "one JSON object, { to }",
                              out.source.empty() ? "nothing"
                                                 : std::to_string(op.source.size()) + " bytes of something else"};
        if (out.source.size() > most)
            return FieldError{"source", "at most 1073741824 bytes", std::to_string(op.source.size()) + " bytes"};
        out.source_has_newline = std::memchr(out.source.data(), '\n', out.source.size()) != nullptr;
        out.entry.altered = out.source_has_newline && validate != Validation::off && has_newline_in_string(out.source);
    }
    out.entry.action = op.action;
    out.entry.has_id = op.id.has_value();
    out.entry.has_version = op.version.has_value();
    out.entry.has_seq_no = op.if_seq_no.has_value();
    out.entry.already_there = op.on_conflict == OnConflict::already_there;
    return std::nullopt;
}

} // namespace detail

/// Operations as the bytes of a bulk request, with a small entry for each. A move-only value.
///
/// As a caller's *scratch* it collects what has to be produced first (a `boost::json::value`, a writer's output,
/// several operations of one record), to be enqueued in one piece, all or nothing; reuse it with `clear()` and it
/// allocates nothing once warm. Inside the indexer it is the open batch and the body of a request. Not thread-safe.
class Batch {
public:
    Batch() = default;
    /// Moves; what was moved from may only be assigned to or destroyed.
    Batch(Batch&&) noexcept = default;
    /// Moves; what was moved from may only be assigned to or destroyed.
    Batch& operator=(Batch&&) noexcept = default;
    ~Batch() = default;
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    /// Sets the index of the operations that name none, where the call of `append` names none either. `clear()` keeps
    /// it. Empty, as at first: such operations are refused. A `KafkaSource` sets it to its indexer's
    /// `IndexerOptions::index` before it calls the mapper. The name is checked by each `append` that uses it. Throws
    /// `std::bad_alloc`, the batch unchanged.
    void default_index(std::string_view name) { scratch().index = name; }
    /// The index that was set; valid until it is set again.
    [[nodiscard]] std::string_view default_index() const noexcept {
        return scratch_ ? std::string_view{scratch_->index} : std::string_view{};
    }

    /// Appends one operation. Returns what is wrong with it, if anything; then the batch holds what it held before, and
    /// `last_error()` is the reason. When the operation names no index, `default_index` is used; when that is empty,
    /// the index that `default_index(name)` has set. Throws `std::bad_alloc`, the batch unchanged.
    [[nodiscard]] std::optional<FieldError> append(const Operation& op, std::string_view default_index = {}) {
        return append_within(Growth{}, op, default_index);
    }

    /// The same with a JSON value as the source, which must be an object. Boost.JSON writes invalid UTF-8, NaN and
    /// Infinity as they are; the server then refuses this document alone.
    template <std::same_as<boost::json::value> Value> // nothing else is meant to convert
    [[nodiscard]] std::optional<FieldError> append(const Operation& op, const Value& source,
                                                   std::string_view default_index = {}) {
        return append_with(
            op, [&](std::string& out) { out += boost::json::serialize(source); }, default_index);
    }

    /// The same with a writer `void(std::string& out)` that appends one JSON object to `out`. When it throws, the batch
    /// is unchanged and the exception goes on to the caller.
    template <class Writer>
    requires std::invocable<Writer&, std::string&>
    [[nodiscard]] std::optional<FieldError> append_with(const Operation& op, Writer&& writer,
                                                        std::string_view default_index = {}) {
        auto& text = written();
        text.clear();
        writer(text);
        auto with_source = op;
        with_source.source = text;
        return append(with_source, default_index);
    }

    /// Why the latest refused `append` was refused; nullptr when none was since `clear()`. Valid until the batch is
    /// changed. A `KafkaSource` reports it for a record whose mapper returns `Mapped::invalid`.
    [[nodiscard]] const FieldError* last_error() const noexcept {
        return scratch_ && scratch_->refused ? &*scratch_->refused : nullptr;
    }

    /// Forgets all operations and the last error; keeps the memory and the default index.
    void clear() noexcept {
        bytes_.clear();
        entries_.clear();
        if (scratch_) scratch_->refused.reset();
    }
    /// Whether it holds no operation.
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    /// How many operations it holds.
    [[nodiscard]] std::size_t operations() const noexcept { return entries_.size(); }
    /// The size of `body()`.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.size(); }
    /// The operations as NDJSON; every line ends with a newline.
    [[nodiscard]] std::string_view body() const noexcept { return bytes_.view(); }

    // ---- For the indexer ----

    /// How far a batch may grow ahead of what is needed (`Growth{0, 0}`: not at all), and with what it begins.
    struct Growth {
        /// It reserves no more than this ahead.
        std::size_t most_bytes = static_cast<std::size_t>(-1);
        /// The same for entries.
        std::size_t most_operations = static_cast<std::size_t>(-1);
        /// What it reserves first.
        std::size_t first_bytes = 4096;
        /// The same for entries.
        std::size_t first_operations = 16;
    };
    /// What an operation costs beside its bytes: its entry, and the settlement that will take the entry's place, so
    /// that settling never needs memory that was not counted before.
    static constexpr std::size_t operation_overhead = sizeof(detail::Entry) + sizeof(Settlement);

    /// The memory held, by capacity.
    [[nodiscard]] std::size_t footprint() const noexcept {
        return bytes_.capacity() + entries_.capacity() * operation_overhead;
    }
    /// Whether this much more needs no growing.
    [[nodiscard]] bool fits(std::size_t more_bytes, std::size_t more_operations) const noexcept {
        return bytes_.size() + more_bytes <= bytes_.capacity() &&
               entries_.size() + more_operations <= entries_.capacity();
    }
    /// What `footprint()` would be after `reserve_more` with the same arguments.
    [[nodiscard]] std::size_t footprint_after(std::size_t more_bytes, std::size_t more_operations,
                                              Growth growth) const noexcept {
        return bytes_after(more_bytes, growth) + entries_after(more_operations, growth) * operation_overhead;
    }
    /// As `append`, for a batch that is kept with this one operation: it takes no more memory than that.
    [[nodiscard]] std::optional<FieldError> append_alone(const Operation& op, std::string_view default_index,
                                                         Validation validate = Validation::framing) {
        auto wrong = append_within(Growth{0, 0, 0, 0}, op, default_index, validate);
        scratch_.reset();
        return wrong;
    }
    /// Makes room, growing by doubling within `growth`. Throws `std::bad_alloc`.
    void reserve_more(std::size_t more_bytes, std::size_t more_operations, Growth growth) {
        if (fits(more_bytes, more_operations)) return;
        entries_.reserve(entries_after(more_operations, growth));
        bytes_.reserve(bytes_after(more_bytes, growth));
    }
    /// Copies a prepared operation in; the room has been reserved.
    void append_unchecked(const detail::Prepared& op, const std::string& prefix, Ticket ticket) noexcept {
        auto& entry = entries_.emplace_back(op.entry); // in place: a copy of what was just written would wait for it
        entry.ticket = ticket;
        entry.action_bytes = static_cast<std::uint32_t>(prefix.size() + op.metadata.view().size() + 3);
        if (op.id_bytes != 0) entry.id_end = static_cast<std::uint16_t>(prefix.size() + op.id_bytes);
        bytes_.append_unchecked(prefix);
        bytes_.append_unchecked(op.metadata.view());
        bytes_.append_unchecked("}}\n");
        if (op.action != Action::delete_) {
            entry.source_bytes = static_cast<std::uint32_t>(op.source.size() + 1);
            auto* const source = bytes_.data() + bytes_.size();
            bytes_.append_unchecked(op.source);
            if (op.source_has_newline) std::replace(source, source + op.source.size(), '\n', ' ');
            bytes_.append_unchecked("\n");
        }
        bytes_.prefetch();
    }
    /// Copies another batch's operations in, all with this ticket; the room has been reserved.
    void append_unchecked(const Batch& other, Ticket ticket) noexcept {
        bytes_.append_unchecked(other.body());
        for (auto entry : other.entries_) {
            entry.ticket = ticket;
            entry.holds_id = entry.not_allowed = false; // what another indexer handed back meant itself
            entries_.push_back(entry);
        }
    }
    /// Copies another batch's operations in as they are; the room has been reserved.
    void append_unchecked(const Batch& other) noexcept {
        bytes_.append_unchecked(other.body());
        entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());
    }
    /// Appends an operation whose lines are written already, each with its newline. Throws `std::bad_alloc`.
    void append_encoded(std::string_view action_line, std::string_view source_line, detail::Entry entry) {
        reserve_more(action_line.size() + source_line.size(), 1, Growth{});
        entry.action_bytes = static_cast<std::uint32_t>(action_line.size());
        entry.source_bytes = static_cast<std::uint32_t>(source_line.size());
        entries_.push_back(entry);
        bytes_.append_unchecked(action_line);
        bytes_.append_unchecked(source_line);
    }
    /// A new batch of the one operation at this position, whose bytes begin at `offset`.
    [[nodiscard]] Batch extract_one(std::size_t position, std::size_t offset) const {
        Batch one;
        one.bytes_.reserve(entries_[position].bytes());
        one.entries_.reserve(1);
        one.bytes_.append_unchecked(body().substr(offset, entries_[position].bytes()));
        one.entries_.push_back(entries_[position]);
        return one;
    }
    /// A new batch of the operations for which `keep(position)` is true, in order, byte by byte, entries included.
    template <class Keep>
    [[nodiscard]] Batch extract(Keep keep) const {
        Batch kept;
        std::size_t bytes = 0;
        std::size_t operations = 0;
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            if (!keep(i)) continue;
            bytes += entries_[i].bytes();
            ++operations;
        }
        kept.bytes_.reserve(bytes);
        kept.entries_.reserve(operations);
        std::size_t offset = 0;
        for (std::size_t i = 0; i < entries_.size(); offset += entries_[i].bytes(), ++i) {
            if (!keep(i)) continue;
            kept.bytes_.append_unchecked(body().substr(offset, entries_[i].bytes()));
            kept.entries_.push_back(entries_[i]);
        }
        return kept;
    }
    /// One for each operation, in order.
    [[nodiscard]] std::span<detail::Entry> entries() noexcept { return entries_; }
    /// One for each operation, in order.
    [[nodiscard]] std::span<const detail::Entry> entries() const noexcept { return entries_; }

private:
    std::optional<FieldError> append_within(Growth growth, const Operation& op, std::string_view index,
                                            Validation validate = Validation::framing) {
        detail::Prepared prepared;
        if (auto wrong = detail::prepare(op, index.empty() ? default_index() : index, prepared, validate))
            return refused(*wrong);
        const auto* prefix = lines().find(prepared.action, prepared.index);
        if (prefix == nullptr) return refused(*check_index_name(prepared.index));
        reserve_more(prepared.bytes(*prefix), 1, growth);
        append_unchecked(prepared, *prefix, {});
        return std::nullopt;
    }
    std::optional<FieldError> refused(const FieldError& why) {
        scratch().refused = why;
        return why;
    }
    // Made on first use, so that the batches inside the indexer, which are only copied into, stay small.
    struct Scratch {
        detail::ActionLines lines;
        std::string written;
        std::string index;                 ///< of operations that name none
        std::optional<FieldError> refused; ///< why the latest that was refused was
    };
    [[nodiscard]] detail::ActionLines& lines() { return scratch().lines; }
    [[nodiscard]] std::string& written() { return scratch().written; }
    [[nodiscard]] Scratch& scratch() {
        if (!scratch_) scratch_ = std::make_unique<Scratch>();
        return *scratch_;
    }
    [[nodiscard]] static std::size_t grown(std::size_t capacity, std::size_t needed, std::size_t first,
                                           std::size_t most) noexcept {
        return needed <= capacity ? capacity : std::max(needed, std::min(std::max(capacity * 2, first), most));
    }
    [[nodiscard]] std::size_t bytes_after(std::size_t more, Growth growth) const noexcept {
        return grown(bytes_.capacity(), bytes_.size() + more, growth.first_bytes, growth.most_bytes);
    }
    [[nodiscard]] std::size_t entries_after(std::size_t more, Growth growth) const noexcept {
        return grown(entries_.capacity(), entries_.size() + more, growth.first_operations, growth.most_operations);
    }

    detail::ByteBuffer bytes_;
    std::vector<detail::Entry> entries_;
    std::unique_ptr<Scratch> scratch_;
};

} // namespace bulkhead::inline v1
