// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/operation.hpp>
#include <bulkhead/stats.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1 {

/// Something that an operator may want to know, for a log. See `IndexerOptions::on_event`. Views are valid only while
/// that runs.
struct IndexerEvent {
    /// What happened.
    enum class Kind : std::uint8_t {
        health,            ///< it is sending, or not, for another reason than before: `health`, `detail`
        requests_failed,   ///< requests failed as a whole: `failure`
        operations_failed, ///< operations met a failure: `failure`. They may be sent again
        operations_ended,  ///< operations ended without being indexed: `outcome`
        refused,           ///< operations were not accepted: `admission`
    };
    /// How loud to say it.
    enum class Severity : std::uint8_t {
        info,    ///< it is well again
        warning, ///< it goes on by itself, or somebody has taken over
        error,   ///< documents are lost, or may be
    };
    /// What happened.
    Kind kind{};
    /// How many requests or operations since this kind and class were last told.
    std::uint64_t count = 0;
    /// Of `Kind::health`.
    Health health = Health::ok;
    /// Of `Kind::requests_failed` and `operations_failed`.
    FailureClass failure{};
    /// Of `Kind::operations_ended`.
    Outcome outcome{};
    /// Of `Kind::refused`.
    Admission admission{};
    /// Of the most frequent failure of the class: the server's error type, or the name of a `bulkhead::errc`.
    std::string_view type{};
    /// With `type`: the HTTP status; 0 when there was none.
    std::uint16_t status = 0;
    /// With `type`: one sample, at most 1 KiB; may quote a document: treat as sensitive.
    std::string_view reason{};
    /// Of `Kind::health`: `Stats::health_detail`.
    std::string_view detail{};
    /// With `type`: the index of the sample, where the server blocks its operations for now; else empty.
    std::string_view index{};

    /// How loud to say it.
    [[nodiscard]] Severity severity() const noexcept {
        if (kind == Kind::health && health == Health::ok) return Severity::info;
        const bool lost = kind == Kind::operations_ended && outcome != Outcome::dead_lettered;
        return lost ? Severity::error : Severity::warning;
    }
};

/// Its name as in the documentation.
[[nodiscard]] constexpr std::string_view to_string(IndexerEvent::Kind kind) noexcept {
    constexpr std::string_view names[] = {"health", "requests_failed", "operations_failed", "operations_ended",
                                          "refused"};
    return names[static_cast<std::size_t>(kind)];
}

namespace detail {
/// What a failure of the indexer's own means; empty where its type says enough.
[[nodiscard]] constexpr std::string_view in_words(std::string_view type) noexcept {
    if (type == to_string(errc::closed)) return "not settled before the close";
    if (type == to_string(errc::too_old)) return "older than max_age";
    if (type == to_string(errc::overflow)) return "dropped to make room";
    if (type == to_string(errc::invalid_operation)) return "malformed, and never sent";
    if (type == "observer_threw") return "an observer threw an exception";
    return {};
}
} // namespace detail

/// One line for people, e.g. `3 requests failed: server_error (http_503, status 503)`. Without `reason`, but where no
/// server spoke: `1 request failed: transport (127.0.0.1:9200: Connection refused)`.
[[nodiscard]] inline std::string to_text(const IndexerEvent& event) {
    using Kind = IndexerEvent::Kind;
    const auto count = [&](const char* what, std::string_view became) {
        std::string text = std::to_string(event.count) + ' ' + what;
        if (event.count != 1) text += 's';
        return text.append(became);
    };
    const auto failed = [&](std::string text) {
        text.append(to_string(event.failure));
        if (event.type.empty()) return text;
        const bool network = event.failure == FailureClass::transport && event.status == 0; // it repeats nobody's words
        text.append(" (").append(network && !event.reason.empty() ? event.reason : event.type);
        const auto words = event.failure == FailureClass::local ? detail::in_words(event.type) : std::string_view{};
        if (!words.empty()) text.append(": ").append(words);
        if (event.status != 0) text += ", status " + std::to_string(event.status);
        if (!event.index.empty()) text.append(", index ").append(event.index);
        return text += ')';
    };
    switch (event.kind) {
    case Kind::health: {
        std::string text{to_string(event.health)};
        if (!event.detail.empty() && event.health != Health::ok) text.append(": ").append(event.detail);
        return text;
    }
    case Kind::requests_failed: return failed(count("request", " failed: "));
    case Kind::operations_failed: return failed(count("operation", " met: "));
    case Kind::operations_ended: return count("operation", " ended as ").append(to_string(event.outcome));
    case Kind::refused: return count("operation", " refused: ").append(to_string(event.admission));
    }
    return {};
}

/// Calls `tell(const IndexerEvent&)` for everything that went wrong, or well again, between two snapshots of one
/// indexer: at most one for each kind and class, however much happened. For who takes snapshots without a hook.
template <class Tell>
void events_between(const Stats& before, const Stats& now, Tell&& tell) {
    using Kind = IndexerEvent::Kind;
    if (now.health != before.health)
        tell(IndexerEvent{.kind = Kind::health, .health = now.health, .detail = now.health_detail});
    // The sample that has grown most.
    const auto with_sample = [&](IndexerEvent event) {
        std::uint64_t most = 0;
        for (const auto& sample : now.failures) {
            if (classify(sample.type, sample.status) != event.failure) continue;
            const auto same = std::find_if(before.failures.begin(), before.failures.end(),
                                           [&](const auto& other) { return other.type == sample.type; });
            const auto known = same == before.failures.end() ? 0 : same->count;
            const auto grown = sample.count - std::min(known, sample.count);
            if (grown <= most) continue;
            most = grown;
            event.type = sample.type;
            event.status = sample.status;
            event.reason = sample.reason;
            event.index = sample.index;
        }
        return event;
    };
    for (std::size_t i = 0; i < failure_class_count; ++i) {
        const auto failure = static_cast<FailureClass>(i);
        const auto requests = now.request_failures.of(failure) - before.request_failures.of(failure);
        const auto operations = now.operation_failures.of(failure) - before.operation_failures.of(failure);
        if (requests != 0) tell(with_sample({.kind = Kind::requests_failed, .count = requests, .failure = failure}));
        if (operations != 0)
            tell(with_sample({.kind = Kind::operations_failed, .count = operations, .failure = failure}));
    }
    const auto ended = [&](Outcome outcome, std::uint64_t Stats::*counter) {
        if (const auto count = now.*counter - before.*counter; count != 0)
            tell(IndexerEvent{.kind = Kind::operations_ended, .count = count, .outcome = outcome});
    };
    ended(Outcome::rejected, &Stats::rejected);
    ended(Outcome::dead_lettered, &Stats::dead_lettered);
    ended(Outcome::dropped, &Stats::dropped);
    ended(Outcome::undelivered, &Stats::undelivered);
    ended(Outcome::unknown, &Stats::unknown);
    const auto refused = [&](Admission admission, std::uint64_t Stats::*counter) {
        if (const auto count = now.*counter - before.*counter; count != 0)
            tell(IndexerEvent{.kind = Kind::refused, .count = count, .admission = admission});
    };
    refused(Admission::full, &Stats::refused_full);
    refused(Admission::closed, &Stats::refused_closed);
    refused(Admission::invalid, &Stats::refused_invalid);
    refused(Admission::too_large, &Stats::refused_too_large);
}

namespace detail {
/// Grows with everything that `events_between` tells of, but for the health.
[[nodiscard]] inline std::uint64_t trouble_count(const Stats& stats) noexcept {
    return stats.request_failures.total() + stats.operation_failures.total() + stats.rejected + stats.dead_lettered +
           stats.dropped + stats.undelivered + stats.unknown + stats.refused();
}
} // namespace detail

} // namespace bulkhead::inline v1
