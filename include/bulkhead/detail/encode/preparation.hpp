// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/client_id.hpp>
#include <bulkhead/detail/encode/document_check.hpp>
#include <bulkhead/detail/encode/prepared.hpp>
#include <bulkhead/options.hpp>

#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

namespace bulkhead::inline v1::detail {

/// Checks and measures what producers hand in, by an indexer's options, and gives ids to what wants one. Thread-safe.
/// The options outlive it.
class Preparation {
public:
    /// `Clock` decides whether ids are random or, for tests in virtual time, repeatable.
    template <class Clock>
    Preparation(const IndexerOptions& options, std::type_identity<Clock> /*clock*/)
        : options_{options}, ids_{ClientIds::of<Clock>()} {}

    /// An operation, with the id that it gets.
    [[nodiscard]] std::optional<FieldError> prepare(const Operation& op, Prepared& out) {
        const bool wants_id = gives_ids() && wants_client_id(op.action, op.id.has_value());
        if (auto wrong =
                wants_id ? prepare_with_id(op, out) : detail::prepare(op, options_.index, out, options_.validate))
            return wrong;
        const bool looks = options_.validate == Validation::full && op.action != Action::delete_;
        return looks ? check_document(out.source) : std::nullopt;
    }
    /// What is wrong with the first document of a caller's batch that is not what `IndexerOptions::validate` asks for.
    [[nodiscard]] std::optional<FieldError> check(const Batch& batch) const {
        if (options_.validate != Validation::full) return std::nullopt;
        std::size_t offset = 0;
        for (const auto& entry : BatchAccess::encoded(batch).entries()) {
            const auto lines = batch.body().substr(offset, entry.bytes());
            offset += entry.bytes();
            if (entry.source_bytes == 0) continue;
            if (entry.altered) return FieldError{"source", "one valid JSON object", "a newline inside a string"};
            if (auto wrong = check_document(lines.substr(entry.action_bytes, entry.source_bytes - 1))) return wrong;
        }
        return std::nullopt;
    }
    /// Whether operations without an id get one (`Duplicates::client_id`).
    [[nodiscard]] bool gives_ids() const noexcept { return options_.duplicates == Duplicates::client_id; }
    /// A copy in which every operation that wants an id has one. Throws `std::bad_alloc`.
    [[nodiscard]] BulkBatch with_ids(const Batch& batch) { return with_client_ids(batch, ids_); }

private:
    [[nodiscard]] std::optional<FieldError> prepare_with_id(const Operation& op, Prepared& out) {
        ClientIds::Room room;
        auto with_id = op;
        with_id.action = Action::create;
        with_id.id = ids_.next(room);
        with_id.on_conflict = OnConflict::already_there;
        return detail::prepare(with_id, options_.index, out, options_.validate);
    }

    const IndexerOptions& options_;
    ClientIds ids_;
};

} // namespace bulkhead::inline v1::detail
