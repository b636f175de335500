// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/ndjson.hpp>
#include <bulkhead/settlement.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

/// An operation checked and measured before the lock is taken, and what a batch keeps of it beside its bytes.
namespace bulkhead::inline v1::detail {

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

/// The part of `prepare` that concerns the source: checks its framing and trims it.
[[nodiscard]] inline std::optional<FieldError> prepare_source(const Operation& op, Prepared& out, Validation validate) {
    constexpr std::size_t most = std::size_t{1} << 30;
    if (op.action == Action::delete_) {
        if (op.source.empty()) return std::nullopt;
        return FieldError{"source", "empty for a delete", std::to_string(op.source.size()) + " bytes"};
    }
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
    return std::nullopt;
}

/// Checks and measures `op`. What is wrong with it, if anything; then `out` is unspecified. The index is not looked at,
/// and of the source no more than the framing (see `check_document`).
[[nodiscard]] inline std::optional<FieldError> prepare(const Operation& op, std::string_view default_index,
                                                       Prepared& out, Validation validate = Validation::framing) {
    const bool plain = !op.routing && !op.pipeline && !op.version && !op.if_seq_no && !op.if_primary_term &&
                       !op.require_alias && !op.require_data_stream && !op.retry_on_conflict &&
                       op.dynamic_templates.empty() && !op.id && op.action <= Action::create;
    if (!plain) {
        if (auto wrong = check_metadata(op)) return wrong;
        out.id_bytes = append_metadata(out.metadata, op);
    }
    out.action = op.action;
    out.index = op.index.empty() ? default_index : op.index;
    if (auto wrong = prepare_source(op, out, validate)) return wrong;
    out.entry.action = op.action;
    out.entry.has_id = op.id.has_value();
    out.entry.has_version = op.version.has_value();
    out.entry.has_seq_no = op.if_seq_no.has_value();
    out.entry.already_there = op.on_conflict == OnConflict::already_there;
    return std::nullopt;
}

} // namespace bulkhead::inline v1::detail
