// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/detail/judge/answer_parser.hpp>
#include <bulkhead/detail/judge/dispositions.hpp>
#include <bulkhead/detail/judge/verdicts.hpp>
#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/stats.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

/// From items to dispositions: what each operation of a bulk does next. Pure.
namespace bulkhead::inline v1::detail {

/// What decides about an item beside the item itself.
struct ItemRules {
    std::span<const VerdictRule> verdicts; ///< the user's own, which come first
    const RetryOptions& retry;
    Duplicates duplicates;
    bool has_sink;
    bool blocked_too_long;                ///< the bulk has waited for its index or a permission as long as it may
    std::chrono::nanoseconds charged_for; ///< since an answer first charged one of its operations
};
/// What a bulk's items add up to.
struct ItemCounts {
    std::size_t retries = 0;
    std::size_t dead_letters = 0;
    std::size_t pushed_back = 0; ///< for want of capacity
    std::size_t blocked = 0;     ///< of the dead letters: blocked for too long
    bool any_charged = false;
    bool any_blocked = false;
};

/// The operation is refused for good.
inline void reject(Disposition& one, bool has_sink) noexcept {
    one.outcome = Outcome::rejected;
    if (has_sink) one.next = Next::dead_letter;
}
/// The operation is not tried again.
inline void end_in_vain(const Entry& entry, Disposition& one, bool has_sink) noexcept {
    one.next = Next::settle;
    one.outcome = Outcome::unknown;
    if (!entry.ambiguous) reject(one, has_sink);
}
/// Whether the server reports its own state, and nothing about the operation: nobody is charged.
[[nodiscard]] constexpr bool waits(Verdict verdict) noexcept {
    return verdict == Verdict::push_back || verdict == Verdict::environment;
}
/// The index that an action line names, as it stands there.
[[nodiscard]] inline std::string_view index_of(std::string_view line) noexcept {
    constexpr std::string_view field = "\"_index\":\"";
    const auto at = line.find(field);
    if (at == std::string_view::npos) return {};
    line.remove_prefix(at + field.size());
    return line.substr(0, line.find('"'));
}

/// What becomes of one operation by its verdict. `source`: its document's line.
inline void apply_verdict(Verdict verdict, const ItemAnswer& item, Entry& entry, std::string_view source,
                          std::string_view error_type, const ItemRules& rules, Disposition& one,
                          ItemCounts& counts) noexcept {
    const bool lost = verdict == Verdict::push_back && perhaps_applied(item.status, error_type);
    if (lost) entry.ambiguous = entry.unanswered = true;
    switch (verdict) {
    case Verdict::indexed: one.result = result_of(item, entry); break;
    case Verdict::superseded: one.outcome = Outcome::superseded; break;
    case Verdict::reject:
        if (perhaps_with_itself(entry, item.status))
            one.outcome = Outcome::unknown;
        else
            reject(one, rules.has_sink);
        break;
    case Verdict::discard: one.outcome = Outcome::rejected; break;
    case Verdict::push_back:
    case Verdict::environment:
        one.next = Next::retry;
        counts.any_blocked = true;
        if (lost && !safe_to_repeat(entry, source, rules.duplicates)) {
            end_in_vain(entry, one, rules.has_sink); // as `unknown`
        } else if (rules.blocked_too_long) {
            end_in_vain(entry, one, rules.has_sink);
            counts.blocked += one.next == Next::dead_letter ? 1U : 0U;
        }
        break;
    case Verdict::retry:
        one.next = Next::retry;
        counts.any_charged = true;
        // A fault of the server may be an outage, so time must pass as well.
        if (item.status >= 500 ? attempts_ended(rules.retry, entry.attempts, rules.charged_for)
                               : entry.attempts >= rules.retry.max_attempts)
            end_in_vain(entry, one, rules.has_sink);
        break;
    }
}
/// Each operation by the item at its position. `body`: the bulk's lines. `charge(i)` counts an attempt of the operation
/// at `i`, `note_allowed(entry, not_allowed)` whether it waits for a permission; neither throws. Throws
/// `std::bad_alloc`.
template <class Charge, class NoteAllowed>
[[nodiscard]] ItemCounts judge_items(const BulkAnswerParser& answer, std::span<Entry> entries, std::string_view body,
                                     const ItemRules& rules, Dispositions& out, const Charge& charge,
                                     const NoteAllowed& note_allowed) {
    const auto items = answer.items();
    ItemCounts counts;
    out.start(items.size());
    std::size_t offset = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
        auto& one = out[i];
        auto& entry = entries[i];
        one.status = items[i].status;
        if (const auto* error = answer.error_of(items[i])) one.error = out.add_error(error->type, error->reason);
        const auto type = out.error_of(one).type;
        const auto verdict = judge_item(items[i], type, entry, rules.verdicts);
        if (!waits(verdict)) charge(i);
        note_allowed(entry, verdict == Verdict::environment);
        one.waits = waits(verdict);
        const auto source = body.substr(offset + entry.action_bytes, entry.source_bytes);
        offset += entry.bytes();
        if (one.status == 429 && (verdict == Verdict::push_back || verdict == Verdict::retry)) ++counts.pushed_back;
        apply_verdict(verdict, items[i], entry, source, type, rules, one, counts);
        counts.retries += one.next == Next::retry ? 1U : 0U;
        counts.dead_letters += one.next == Next::dead_letter ? 1U : 0U;
    }
    return counts;
}

/// What is wrong when no operation of a request may be written now: every item says that it waits.
struct CommonRefusal {
    Health health = Health::unauthorized;
    bool busy = false;     ///< 429 at one of them: fewer requests may cure it
    bool overload = false; ///< 429 at all of them, and no block: a smaller request may cure it
};
[[nodiscard]] inline std::optional<CommonRefusal> refused_as_one(const BulkAnswerParser& answer,
                                                                 std::span<const Entry> entries,
                                                                 std::span<const VerdictRule> verdicts) noexcept {
    const auto items = answer.items();
    CommonRefusal all{.overload = true};
    for (std::size_t i = 0; i < items.size(); ++i) {
        const auto* error = answer.error_of(items[i]);
        const auto type = error == nullptr ? std::string_view{} : std::string_view{error->type};
        const auto verdict = judge_item(items[i], type, entries[i], verdicts);
        if (!waits(verdict)) return std::nullopt;
        if (verdict == Verdict::push_back) all.health = Health::backing_off;
        all.busy = all.busy || items[i].status == 429;
        all.overload = all.overload && items[i].status == 429 && type != "cluster_block_exception";
    }
    return all;
}
/// All operations wait, and none is charged. One that its node may have applied ends when it cannot be sent again.
/// `note_allowed`: as for `judge_items`. Throws `std::bad_alloc`.
template <class NoteAllowed>
void judge_pushed_back(const BulkAnswerParser& answer, std::span<Entry> entries, std::string_view body,
                       const ItemRules& rules, Dispositions& out, const NoteAllowed& note_allowed) {
    const auto items = answer.items();
    out.start(entries.size());
    std::size_t offset = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        auto& entry = entries[i];
        auto& one = out[i];
        const auto source = body.substr(offset + entry.action_bytes, entry.source_bytes);
        offset += entry.bytes();
        const auto* error = answer.error_of(items[i]);
        const auto type = error == nullptr ? std::string_view{} : std::string_view{error->type};
        const auto verdict = judge_item(items[i], type, entry, rules.verdicts);
        note_allowed(entry, verdict == Verdict::environment);
        one.next = Next::retry;
        if (verdict != Verdict::push_back || !perhaps_applied(items[i].status, type)) continue;
        entry.ambiguous = entry.unanswered = true;
        if (safe_to_repeat(entry, source, rules.duplicates)) continue;
        one.status = items[i].status;
        one.error = out.add_error(type, error->reason);
        end_in_vain(entry, one, rules.has_sink); // as `unknown`
    }
}

/// Sent, perhaps applied, and not proven: repeated where that can do no harm. `ends(i)`: the operation has had its
/// tries. Returns how many are repeated. Throws `std::bad_alloc`.
template <class Ends>
[[nodiscard]] std::size_t judge_unproven(std::span<Entry> entries, std::string_view body, const ErrorText& why,
                                         std::uint16_t status, Duplicates duplicates, Dispositions& out,
                                         const Ends& ends) {
    out.start(entries.size());
    const auto error = out.add_error(why.type, why.reason);
    std::size_t repeated = 0;
    std::size_t offset = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        auto& entry = entries[i];
        auto& one = out[i];
        const auto source = body.substr(offset + entry.action_bytes, entry.source_bytes);
        offset += entry.bytes();
        entry.ambiguous = entry.unanswered = true;
        if (!ends(i) && safe_to_repeat(entry, source, duplicates)) one.next = Next::retry;
        one.outcome = Outcome::unknown;
        one.status = status;
        one.error = error;
        repeated += one.next == Next::retry ? 1U : 0U;
    }
    return repeated;
}

/// Abandoned while they were not on their way: certainly not applied, unless an earlier attempt may have been. Throws
/// `std::bad_alloc`.
inline void judge_abandoned(std::span<const Entry> entries, const ErrorText& why, bool to_sink, Dispositions& out) {
    out.start(entries.size());
    const auto error = out.add_error(why.type, why.reason);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        out[i].outcome = entries[i].ambiguous ? Outcome::unknown : Outcome::undelivered;
        out[i].error = error;
        if (to_sink) out[i].next = Next::dead_letter;
    }
}

} // namespace bulkhead::inline v1::detail
