// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/encoded_operations.hpp>

#include <boost/json/serialize.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1 {

namespace detail {
struct BatchAccess;
}

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
        return append_within(detail::Growth{}, op, default_index);
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
        encoded_.clear();
        if (scratch_) scratch_->refused.reset();
    }
    /// Whether it holds no operation.
    [[nodiscard]] bool empty() const noexcept { return encoded_.empty(); }
    /// How many operations it holds.
    [[nodiscard]] std::size_t operations() const noexcept { return encoded_.operations(); }
    /// The size of `body()`.
    [[nodiscard]] std::size_t bytes() const noexcept { return encoded_.bytes(); }
    /// The operations as NDJSON; every line ends with a newline.
    [[nodiscard]] std::string_view body() const noexcept { return encoded_.body(); }

    /// What an operation costs of `IndexerOptions::max_buffered_bytes` beside its bytes.
    static constexpr std::size_t operation_overhead = detail::EncodedOperations::overhead;

private:
    friend struct detail::BatchAccess;

    std::optional<FieldError> append_within(detail::Growth growth, const Operation& op, std::string_view index,
                                            Validation validate = Validation::framing) {
        detail::Prepared prepared;
        if (auto wrong = detail::prepare(op, index.empty() ? default_index() : index, prepared, validate))
            return refused(*wrong);
        const auto* prefix = lines().find(prepared.action, prepared.index);
        if (prefix == nullptr) return refused(*check_index_name(prepared.index));
        encoded_.reserve_more(prepared.bytes(*prefix), 1, growth);
        encoded_.append_unchecked(prepared, *prefix, {});
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

    detail::EncodedOperations encoded_;
    std::unique_ptr<Scratch> scratch_;
};

namespace detail {

/// What the indexer may do with a caller's batch, and nothing else may.
struct BatchAccess {
    [[nodiscard]] static EncodedOperations& encoded(Batch& batch) noexcept { return batch.encoded_; }
    [[nodiscard]] static const EncodedOperations& encoded(const Batch& batch) noexcept { return batch.encoded_; }
    /// As `append`, for a batch that is kept with this one operation: it takes no more memory than that.
    [[nodiscard]] static std::optional<FieldError> append_alone(Batch& batch, const Operation& op,
                                                                std::string_view default_index,
                                                                Validation validate = Validation::framing) {
        auto wrong = batch.append_within(Growth{0, 0, 0, 0}, op, default_index, validate);
        batch.scratch_.reset();
        return wrong;
    }
};

} // namespace detail

} // namespace bulkhead::inline v1
