// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/detail/judge/bulk_answer.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/reply.hpp>

#include <span>
#include <string_view>

/// (status, error type) → verdict. Pure. The rules are Elasticsearch's and OpenSearch's unless they say otherwise.
namespace bulkhead::inline v1 {

/// What a reply means for the request as a whole.
enum class ReplyVerdict : std::uint8_t {
    per_item,      ///< a whole, well-formed answer: judge each item
    retry_unsent,  ///< the kernel took no byte of the body: certainly not applied
    refused,       ///< answered and certainly not applied: push-back of the endpoint as a whole
    ambiguous,     ///< may have been applied, in whole or in part
    too_large,     ///< 413: send it in smaller parts
    bad_request,   ///< 400: some operation in it is malformed
    unauthorized,  ///< 401, 403, 407
    misconfigured, ///< this is not a bulk endpoint: 404, 405, 406, 415, redirects, …
};

namespace detail {

struct ItemRule {
    std::uint16_t first, last; ///< statuses
    std::string_view type;     ///< empty: any
    Verdict verdict;
};
/// A type of a 5xx that means "not now": the state of a node, a shard or the cluster, reported item by item.
struct NotNow {
    std::string_view type;
    /// The node may have passed the operation on, or begun it, before it failed: its effect is unknown.
    bool perhaps_applied = false;
};
inline constexpr NotNow not_now[] = {
    {"unavailable_shards_exception"},
    {"no_shard_available_action_exception"},
    {"no_such_shard_exception"},
    {"shard_not_in_primary_mode_exception"},
    {"index_shard_not_started_exception"},
    {"index_shard_not_recovering_exception"},
    {"index_shard_closed_exception"},
    {"retry_on_primary_exception"},
    {"node_not_connected_exception"},
    {"node_health_check_failure_exception"},
    {"not_master_exception"},
    {"not_cluster_manager_exception"},
    {"master_not_discovered_exception"},
    {"cluster_manager_not_discovered_exception"},
    {"process_cluster_event_timeout_exception"},
    {"failed_to_commit_cluster_state_exception"},
    {"es_rejected_execution_exception"},
    {"opensearch_rejected_execution_exception"},
    {"circuit_breaking_exception"},
    // The operation was on its way between two nodes, or under way at the shard.
    {"node_closed_exception", true},
    {"node_disconnected_exception", true},
    {"connect_transport_exception", true},
    {"receive_timeout_transport_exception", true},
    {"timeout_exception", true},
    {"already_closed_exception", true},
};
/// The entry of `not_now` for an item of this status and type; null when there is none.
[[nodiscard]] inline const NotNow* find_not_now(std::uint16_t status, std::string_view type) noexcept {
    if (status < 500 || status > 599) return nullptr;
    for (const auto& one : not_now)
        if (one.type == type) return &one;
    return nullptr;
}

/// The first rule that fits decides, after `not_now`. Version conflicts are decided in `judge_conflict`; what no rule
/// names is refused for good: `document_parsing_exception`, `index_not_found_exception`, …
inline constexpr ItemRule item_rules[] = {
    // A full disk, a read-only index: 429 since Elasticsearch 7.7, 403 before. It may last for hours.
    {400, 599, "cluster_block_exception", Verdict::push_back},
    // The server's own state, reported item by item: it says nothing about the document.
    {429, 429, "", Verdict::push_back}, // es_rejected_execution_exception, circuit_breaking_exception
    {503, 503, "", Verdict::push_back},
    {401, 401, "", Verdict::environment},
    {403, 403, "security_exception", Verdict::environment},
    {408, 409, "", Verdict::retry}, // a conflict that is not about the document's version
    {425, 425, "", Verdict::retry},
    {500, 599, "", Verdict::retry}, // a fault of the server, perhaps met by this document alone
};

[[nodiscard]] inline Verdict judge_conflict(const Entry& entry) noexcept {
    if (entry.has_version) return Verdict::superseded; // external versions: what is stored is newer
    if (entry.has_seq_no) return Verdict::reject;      // the caller's condition does not hold
    if (entry.action == Action::create && (entry.already_there || entry.unanswered)) return Verdict::superseded;
    if (entry.action == Action::create) return Verdict::reject;
    return Verdict::retry; // somebody else wrote meanwhile
}
/// Whether a `create` that conflicts may conflict with itself: a request that held it was refused as a whole, which
/// almost always, but not certainly, means that nothing of it was applied. So nobody can say whose document is there.
[[nodiscard]] inline bool perhaps_with_itself(const Entry& entry, std::uint16_t status) noexcept {
    return status == 409 && entry.action == Action::create && entry.ambiguous && !entry.has_version &&
           !entry.has_seq_no;
}

/// Whether a letter of `script` may be there as an escape: `\u0063` to `\u0074`. No encoder writes these of itself.
[[nodiscard]] inline bool has_escaped_letter(std::string_view json) noexcept {
    return json.find("\\u006") != std::string_view::npos || json.find("\\u007") != std::string_view::npos;
}

} // namespace detail

/// By the item's status and error type, and what was asked for. A 404 without an error is a delete of a document that
/// was not there: done. A conflict whose type is not told (an `error` that is a plain string) is a version conflict.
/// `own`: the user's rules, which come first.
[[nodiscard]] inline Verdict judge_item(const ItemAnswer& item, std::string_view error_type, const detail::Entry& entry,
                                        std::span<const VerdictRule> own = {}) noexcept {
    const auto fits = [&](const auto& rule) {
        return item.status >= rule.first && item.status <= rule.last && (rule.type.empty() || rule.type == error_type);
    };
    if (item.status < 300) return Verdict::indexed;
    if (item.status == 404 && item.error == ItemAnswer::no_error && entry.action == Action::delete_)
        return Verdict::indexed;
    for (const auto& rule : own)
        if (fits(rule)) return rule.verdict;
    if (item.status == 409 && (error_type.empty() || error_type == "version_conflict_engine_exception"))
        return detail::judge_conflict(entry);
    if (detail::find_not_now(item.status, error_type) != nullptr) return Verdict::push_back;
    for (const auto& rule : detail::item_rules)
        if (fits(rule)) return rule.verdict;
    return Verdict::reject;
}

/// Whether an operation may have been applied although its item reports a failure: a node failed, or closed, while the
/// operation was on its way to the shard. It counts as sent and not answered (see `safe_to_repeat`), unless a user's
/// rule ends it.
[[nodiscard]] inline bool perhaps_applied(std::uint16_t status, std::string_view error_type) noexcept {
    const auto* const found = detail::find_not_now(status, error_type);
    return found != nullptr && found->perhaps_applied;
}

/// What an indexed item did, as far as the answer tells.
[[nodiscard]] inline Result result_of(const ItemAnswer& item, const detail::Entry& entry) noexcept {
    if (item.failure_store == FailureStore::used) return Result::redirected;
    if (item.result != Result::unspecified) return item.result;
    if (item.status == 404) return Result::not_found;
    if (entry.action == Action::delete_) return Result::deleted;
    if (item.status == 201) return Result::created;
    return Result::unspecified;
}

/// By the reply's error and status. `proven`: status 2xx with a whole, well-formed bulk answer. From 300 on the status
/// counts even when the rest of the answer was lost, since a server that refuses early often resets the connection.
///
/// 429, 425 and 503 are taken as refused before anything was executed: so Elasticsearch and OpenSearch send them for a
/// whole request, and load balancers that have no server to pass it on to. (Envoy says 503 also when a server's
/// connection broke half-way; there is no telling these apart, and the former is the common outage.) 408, 500, 502, 504
/// and 52x come from proxies that did pass the request on: ambiguous.
[[nodiscard]] inline ReplyVerdict judge_reply(const Reply& reply, bool proven) noexcept {
    if (proven) return ReplyVerdict::per_item;
    const bool answered =
        reply.status != 0 && (!reply.error || reply.error == error_code{errc::early_answer} || reply.status >= 300);
    if (!answered) return reply.sent == Sent::none ? ReplyVerdict::retry_unsent : ReplyVerdict::ambiguous;
    switch (reply.status) {
    case 400: return ReplyVerdict::bad_request;
    case 413: return ReplyVerdict::too_large;
    case 401:
    case 403:
    case 407: return ReplyVerdict::unauthorized;
    case 425:
    case 429:
    case 503: return ReplyVerdict::refused;
    case 408: return ReplyVerdict::ambiguous;
    default: break;
    }
    if (reply.status >= 300 && reply.status < 500) return ReplyVerdict::misconfigured;
    if (reply.status == 501 || reply.status == 505) return ReplyVerdict::misconfigured;
    return ReplyVerdict::ambiguous; // a success that proves nothing, and 5xx
}

/// Whether an operation that may have been applied can be sent again without harm. With an id it leads to the same
/// document (a `create` then conflicts with itself, which `judge_item` knows); a condition on a sequence number would
/// conflict with itself, a script would run twice, and without an id there could be two documents: only the last can be
/// allowed, by `Duplicates::allow`.
///
/// The document is not parsed for this: an update whose bytes hold `"script"` anywhere counts as scripted, and so does
/// one with an ASCII letter written as an escape (`"\u0073cript"` is a script to the server): one time too few is told
/// as `unknown`, one time too many is not.
[[nodiscard]] inline bool safe_to_repeat(const detail::Entry& entry, std::string_view source,
                                         Duplicates duplicates) noexcept {
    if (entry.has_seq_no) return false;
    if (entry.action == Action::update && source.find("\"script\"") != std::string_view::npos) return false;
    if (entry.action == Action::update && detail::has_escaped_letter(source)) return false;
    return entry.has_id || duplicates == Duplicates::allow;
}

} // namespace bulkhead::inline v1
