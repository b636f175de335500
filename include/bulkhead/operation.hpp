// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// The public namespace. Everything lives in an inline ABI namespace, so that two shared objects that were built with
/// different versions of these headers do not mix.
namespace bulkhead::inline v1 {

/// What the server is asked to do with a document: the four actions of the `_bulk` endpoint.
enum class Action : std::uint8_t {
    index,   ///< store the document, replacing one that has the same id
    create,  ///< store the document, fail with 409 when the id exists; the only action that a data stream takes
    update,  ///< `source` is the body of an update: `{"doc":…}`, `{"script":…}`, …
    delete_, ///< remove the document; carries no source
};

namespace detail {
/// Its name in the bulk format.
[[nodiscard]] constexpr std::string_view action_name(Action action) noexcept {
    constexpr std::string_view names[] = {"index", "create", "update", "delete"};
    return names[static_cast<std::size_t>(action)];
}
} // namespace detail

/// How the server compares `Operation::version` (Elasticsearch and OpenSearch `version_type`).
enum class VersionType : std::uint8_t {
    external,     ///< apply only when the given version is greater than the stored one
    external_gte, ///< apply only when the given version is greater than or equal to the stored one
};

/// What a 409 (version conflict) on the first attempt means for this operation.
enum class OnConflict : std::uint8_t {
    /// The caller's data conflicts: the operation settles as `Outcome::rejected`. After an attempt that was sent and
    /// never answered, the conflict is taken for the trace of that attempt: `superseded`. After a request that was
    /// refused as a whole because of another operation, the document's origin is uncertain: `unknown`.
    reject,
    already_there, ///< the id is derived from the data, so the document is already stored: `Outcome::superseded`
};

/// One operation as a caller hands it in. A view: nothing is owned, and nothing is kept after the call that takes it.
///
/// An absent optional is not sent. An `id`, `routing` or `pipeline` that is present but empty is refused as invalid,
/// because a computed empty id is a mistake that would silently become an automatic id.
struct Operation {
    /// What the server is asked to do.
    Action action = Action::index;
    /// Target index, alias or data stream; empty means `IndexerOptions::index`. Elasticsearch's rules for names hold:
    /// at most 255 bytes, lower case, none of `\ / * ? " < > | , #`, space or a leading `-`, `_`, `+`.
    std::string_view index{};
    /// Document id, at most 512 bytes of UTF-8. Required for `update` and `delete_`.
    std::optional<std::string_view> id{};
    /// Which shard the document belongs to, as the server's `routing`. Not empty, at most 4096 bytes.
    std::optional<std::string_view> routing{};
    /// Ingest pipeline for this operation (`_none` switches the default pipeline off). Not for `update`, `delete_`.
    std::optional<std::string_view> pipeline{};
    /// External version; needs an `id`; not for `update` (the server would refuse the whole request).
    std::optional<std::int64_t> version{};
    /// How the server compares `version`.
    VersionType version_type = VersionType::external;
    /// Apply only when the stored document has this sequence number; goes together with `if_primary_term`.
    std::optional<std::int64_t> if_seq_no{};
    /// The primary term that belongs to `if_seq_no`.
    std::optional<std::int64_t> if_primary_term{};
    /// Refuse the operation unless `index` is an alias.
    std::optional<bool> require_alias{};
    /// Refuse it unless `index` is a data stream.
    std::optional<bool> require_data_stream{};
    /// How often the server itself repeats an `update` that met a version conflict. Only for `update`.
    std::optional<std::uint32_t> retry_on_conflict{};
    /// A JSON object, field name to dynamic template name, sent as it is. Empty: not sent.
    std::string_view dynamic_templates{};
    /// What a version conflict (409) on the first attempt means.
    OnConflict on_conflict = OnConflict::reject;
    /// The document: one JSON object as bytes. It must begin with `{` and end with `}` (white space around it is
    /// dropped); newlines inside are replaced by spaces, since a newline ends a line of the bulk format. Must be empty
    /// for `delete_`. See `IndexerOptions::validate`. Any other fault is reported by the server, for this operation
    /// alone.
    std::string_view source{};
};

/// How closely a document is looked at before it is accepted.
enum class Validation : std::uint8_t {
    off,     ///< it is not empty, and a newline in it becomes a space: no more than keeps its neighbours safe
    framing, ///< it also begins with `{` and ends with `}`; a newline inside a string is counted (`Stats::altered`)
    full,    ///< it is valid JSON, one object, in valid UTF-8, from its first byte to its last
};

/// What became of an operation that was handed in.
enum class Admission : std::uint8_t {
    accepted,  ///< it will be settled exactly once
    full,      ///< the budget is used up; the caller still has the operation
    closed,    ///< the indexer is closing or closed
    invalid,   ///< malformed; sending it could harm its neighbours
    too_large, ///< it alone exceeds `max_operation_bytes` or the whole budget; it would never fit
};

/// Its name as in the documentation, e.g. `"full"`.
[[nodiscard]] constexpr std::string_view to_string(Admission admission) noexcept {
    constexpr std::string_view names[] = {"accepted", "full", "closed", "invalid", "too_large"};
    return names[static_cast<std::size_t>(admission)];
}

} // namespace bulkhead::inline v1
