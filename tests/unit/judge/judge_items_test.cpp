// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/judge/judge_items.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace bulkhead;
using detail::Dispositions;
using detail::Entry;
using detail::Next;

/// A whole answer with an item of each status and error type.
struct JudgedItem {
    int status = 201;
    std::string type;
};
void answer_with(BulkAnswerParser& answer, const std::vector<JudgedItem>& items) {
    std::string body = R"({"items":[)";
    for (const auto& item : items) {
        if (body.back() == '}') body += ',';
        body += R"({"index":{"status":)" + std::to_string(item.status);
        if (!item.type.empty()) body += R"(,"error":{"type":")" + item.type + R"("})";
        body += "}}";
    }
    answer.start(items.size());
    REQUIRE(answer.on_body(body + "]}"));
    REQUIRE(answer.finish());
}
Entry with_id(bool has_id) {
    Entry entry;
    entry.has_id = has_id;
    return entry;
}
struct Judged {
    Dispositions how;
    detail::ItemCounts counts;
    std::vector<std::size_t> charged;
    std::vector<Entry> entries;
};
Judged judged(const std::vector<JudgedItem>& items, std::vector<Entry> entries, bool has_sink = true,
              bool blocked_too_long = false, std::chrono::nanoseconds charged_for = 0ns) {
    static const RetryOptions retry{.max_attempts = 3, .min_retry_time = 1min};
    BulkAnswerParser answer;
    answer_with(answer, items);
    Judged result{.how = {}, .counts = {}, .charged = {}, .entries = std::move(entries)};
    const detail::ItemRules rules{{}, retry, Duplicates::forbid, has_sink, blocked_too_long, charged_for};
    result.counts = detail::judge_items(
        answer, result.entries, {}, rules, result.how, [&](std::size_t i) { result.charged.push_back(i); },
        [](Entry& entry, bool not_allowed) { entry.not_allowed = not_allowed; });
    return result;
}

} // namespace

TEST_CASE("judge items: each operation by the item at its position, and only those whose fault it may be are charged") {
    const auto result = judged({{201, ""}, {400, "mapper_parsing_exception"}, {429, "es_rejected"}, {500, "odd"}},
                               std::vector<Entry>(4, with_id(true)));
    CHECK(result.how[0].outcome == Outcome::indexed);
    CHECK(result.how[1].next == Next::dead_letter);
    CHECK(result.how[1].outcome == Outcome::rejected);
    CHECK(result.how[2].next == Next::retry);
    CHECK(result.how[3].next == Next::retry);
    CHECK(result.charged == std::vector<std::size_t>{0, 1, 3});
    CHECK(result.counts.retries == 2);
    CHECK(result.counts.dead_letters == 1);
    CHECK(result.counts.pushed_back == 1);
}

TEST_CASE("judge items: a fault of the server ends after its attempts and its time, not before both") {
    auto entry = with_id(true);
    entry.attempts = 3;
    CHECK(judged({{500, "odd"}}, {entry}).how[0].next == Next::retry);
    CHECK(judged({{500, "odd"}}, {entry}, true, false, 1min).how[0].next == Next::dead_letter);
    entry.attempts = 2;
    CHECK(judged({{500, "odd"}}, {entry}, true, false, 1h).how[0].next == Next::retry);
    entry.attempts = 3;
    entry.ambiguous = true; // an earlier attempt may have been applied
    const auto result = judged({{500, "odd"}}, {entry}, true, false, 1min);
    CHECK(result.how[0].next == Next::settle);
    CHECK(result.how[0].outcome == Outcome::unknown);
}

TEST_CASE("judge items: what a failing node may have applied is sent again only where that can do no harm") {
    const auto result =
        judged({{500, "node_closed_exception"}, {500, "node_closed_exception"}}, {with_id(true), with_id(false)});
    CHECK(result.how[0].next == Next::retry);
    CHECK(result.entries[0].ambiguous);
    CHECK(result.how[1].next == Next::settle);
    CHECK(result.how[1].outcome == Outcome::unknown);
    CHECK(result.charged.empty());
}

TEST_CASE("judge items: what was blocked for too long ends, and is counted apart") {
    const auto result = judged({{429, "cluster_block_exception"}}, {with_id(true)}, true, true);
    CHECK(result.how[0].next == Next::dead_letter);
    CHECK(result.counts.blocked == 1);
    CHECK(judged({{429, "cluster_block_exception"}}, {with_id(true)}, false, true).how[0].outcome == Outcome::rejected);
}

TEST_CASE("judge items: all items that wait are one refusal, a single success is none") {
    BulkAnswerParser answer;
    const std::vector<Entry> entries(2, with_id(true));
    answer_with(answer, {{429, "es_rejected"}, {429, "es_rejected"}});
    const auto all = detail::refused_as_one(answer, entries, {});
    REQUIRE(all.has_value());
    CHECK(all->overload);
    CHECK(all->health == Health::backing_off);
    answer_with(answer, {{403, "security_exception"}, {403, "security_exception"}});
    CHECK(detail::refused_as_one(answer, entries, {})->health == Health::unauthorized);
    answer_with(answer, {{429, "cluster_block_exception"}, {429, "es_rejected"}});
    CHECK_FALSE(detail::refused_as_one(answer, entries, {})->overload);
    answer_with(answer, {{429, "es_rejected"}, {201, ""}});
    CHECK_FALSE(detail::refused_as_one(answer, entries, {}).has_value());
}

TEST_CASE("judge items: without a proof operations are repeated unless they have had their tries or could be doubled") {
    std::vector<Entry> entries{with_id(true), with_id(true), with_id(false)};
    Dispositions how;
    const auto repeated = detail::judge_unproven(entries, {}, {"no_answer", ""}, 0, Duplicates::forbid, how,
                                                 [](std::size_t i) { return i == 1; });
    CHECK(repeated == 1);
    CHECK(how[0].next == Next::retry);
    CHECK(how[1].next == Next::settle);
    CHECK(how[2].next == Next::settle);
    for (const auto& one : how) CHECK(one.outcome == Outcome::unknown);
    for (const auto& entry : entries) CHECK(entry.unanswered);
}

TEST_CASE("judge items: what is abandoned was certainly not applied, unless an earlier attempt may have been") {
    std::vector<Entry> entries(2, with_id(true));
    entries[1].ambiguous = true;
    Dispositions how;
    detail::judge_abandoned(entries, {"too_old", ""}, false, how);
    CHECK(how[0].outcome == Outcome::undelivered);
    CHECK(how[1].outcome == Outcome::unknown);
    detail::judge_abandoned(entries, {"too_old", ""}, true, how);
    CHECK(how[0].next == Next::dead_letter);
}
