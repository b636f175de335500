// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/judge/verdicts.hpp>

#include <boost/asio/error.hpp>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

using namespace bulkhead;

namespace {

ItemAnswer said(std::uint16_t status, bool with_error = true) {
    ItemAnswer answer;
    answer.status = status;
    if (with_error) answer.error = 0;
    return answer;
}
bulkhead::detail::Entry entry(Action action, bool has_id = true) {
    bulkhead::detail::Entry made;
    made.action = action;
    made.has_id = has_id;
    return made;
}
Reply reply(unsigned status, error_code error = {}, Sent sent = Sent::complete) {
    Reply made;
    made.status = status;
    made.error = error;
    made.sent = sent;
    made.body_complete = !error;
    return made;
}
constexpr std::string_view conflict = "version_conflict_engine_exception";
constexpr Action actions[] = {Action::index, Action::create, Action::update, Action::delete_};

} // namespace

TEST_CASE("an item's status and error type decide, as bulk-protocol.md says",
          "[verdicts][F002][F012][F025][F026][F027][F028][F039]") {
    struct Row {
        std::uint16_t status;
        std::string_view type;
        Verdict verdict;
    };
    const Row rows[] = {
        {429, "es_rejected_execution_exception", Verdict::push_back},
        {429, "circuit_breaking_exception", Verdict::push_back},
        {429, "", Verdict::push_back},
        {429, "cluster_block_exception", Verdict::push_back},
        {403, "cluster_block_exception", Verdict::push_back},
        {401, "security_exception", Verdict::environment},
        {403, "security_exception", Verdict::environment},
        {403, "something_else_exception", Verdict::reject},
        {503, "unavailable_shards_exception", Verdict::push_back},
        {503, "no_shard_available_action_exception", Verdict::push_back},
        {503, "", Verdict::push_back},
        {500, "node_closed_exception", Verdict::push_back},
        {503, "process_cluster_event_timeout_exception", Verdict::push_back},
        {500, "master_not_discovered_exception", Verdict::push_back},
        {500, "cluster_manager_not_discovered_exception", Verdict::push_back},
        {500, "illegal_state_exception", Verdict::retry},
        {500, "", Verdict::retry},
        {502, "", Verdict::retry},
        {504, "timeout_exception", Verdict::push_back},
        {504, "", Verdict::retry},
        {507, "", Verdict::retry},
        {408, "", Verdict::retry},
        {425, "", Verdict::retry},
        {409, "some_other_conflict", Verdict::retry},
        {400, "document_parsing_exception", Verdict::reject},
        {400, "mapper_parsing_exception", Verdict::reject},
        {400, "strict_dynamic_mapping_exception", Verdict::reject},
        {400, "illegal_argument_exception", Verdict::reject},
        {400, "", Verdict::reject},
        {404, "index_not_found_exception", Verdict::reject},
        {404, "document_missing_exception", Verdict::reject},
        {413, "", Verdict::reject},
        {499, "", Verdict::reject},
    };
    for (const auto& row : rows) {
        for (const auto action : actions) {
            CAPTURE(row.status, row.type, static_cast<int>(action));
            CHECK(static_cast<int>(judge_item(said(row.status), row.type, entry(action))) ==
                  static_cast<int>(row.verdict));
        }
    }
}

TEST_CASE("only a success status, or a delete of what is not there, is indexed", "[verdicts][F011][F012]") {
    for (unsigned status = 200; status < 600; ++status) {
        if (status >= 300 && status < 400) continue; // malformed; never comes here
        for (const auto action : actions) {
            for (const bool with_error : {true, false}) {
                CAPTURE(status, static_cast<int>(action), with_error);
                const bool expected = status < 300 || (status == 404 && !with_error && action == Action::delete_);
                const auto verdict =
                    judge_item(said(static_cast<std::uint16_t>(status), with_error), "", entry(action));
                CHECK((verdict == Verdict::indexed) == expected);
            }
        }
    }
}

TEST_CASE("what a version conflict means depends on what was asked", "[verdicts][F040][F041][F042]") {
    const auto judge = [](const bulkhead::detail::Entry& e) { return judge_item(said(409), conflict, e); };
    SECTION("an external version: what is stored is newer") {
        for (const auto action : {Action::index, Action::delete_}) {
            auto e = entry(action);
            e.has_version = true;
            CHECK(judge(e) == Verdict::superseded);
        }
    }
    SECTION("a create conflicts with somebody else's document, or with itself") {
        auto e = entry(Action::create);
        CHECK(judge(e) == Verdict::reject);
        e.already_there = true;
        CHECK(judge(e) == Verdict::superseded);
        e.already_there = false;
        e.ambiguous = true; // refused with others, as a whole: that proves nothing
        CHECK(judge(e) == Verdict::reject);
        e.unanswered = true;
        CHECK(judge(e) == Verdict::superseded);
    }
    SECTION("a condition on the sequence number does not hold: for good") {
        for (const auto action : {Action::index, Action::update, Action::delete_}) {
            auto e = entry(action);
            e.has_seq_no = true;
            e.already_there = true;
            e.ambiguous = true;
            CHECK(judge(e) == Verdict::reject);
        }
    }
    SECTION("without any condition somebody else wrote meanwhile: again") {
        for (const auto action : {Action::index, Action::update, Action::delete_})
            CHECK(judge(entry(action)) == Verdict::retry);
    }
    SECTION("another kind of conflict proves nothing about the document") {
        auto e = entry(Action::create);
        e.already_there = true;
        CHECK(judge_item(said(409), "index_primary_shard_not_allocated_exception", e) == Verdict::retry);
    }
    SECTION("a conflict without a type is taken as one of versions") {
        auto e = entry(Action::create);
        e.already_there = true;
        CHECK(judge_item(said(409), "", e) == Verdict::superseded);
    }
}

TEST_CASE("a rule of the user's fits its statuses and exactly its type", "[verdicts][F289]") {
    const auto judge = [](const VerdictRule& rule, std::uint16_t status, std::string_view type) {
        return judge_item(said(status), type, entry(Action::index), {&rule, 1});
    };
    const VerdictRule parsing{400, 422, "parsing_exception", Verdict::discard};
    CHECK(judge(parsing, 400, "parsing_exception") == Verdict::discard);
    CHECK(judge(parsing, 422, "parsing_exception") == Verdict::discard);
    CHECK(judge(parsing, 423, "parsing_exception") == Verdict::reject);
    for (const std::string_view other : {"document_parsing_exception", "parsing_exception_2", "parsing", "exception",
                                         "Parsing_exception", " parsing_exception", ""}) {
        CAPTURE(other);
        CHECK(judge(parsing, 400, other) == Verdict::reject);
    }
    const VerdictRule longer{400, 400, "document_parsing_exception", Verdict::discard};
    CHECK(judge(longer, 400, "parsing_exception") == Verdict::reject);
    const VerdictRule any{400, 400, "", Verdict::discard};
    CHECK(judge(any, 400, "parsing_exception") == Verdict::discard);
    CHECK(judge(any, 400, "") == Verdict::discard);
}

TEST_CASE("an indexed item's result", "[verdicts][F011][F013][F014]") {
    auto used = said(201, false);
    used.failure_store = FailureStore::used;
    CHECK(result_of(used, entry(Action::create)) == Result::redirected);
    auto noop = said(200, false);
    noop.result = Result::noop;
    CHECK(result_of(noop, entry(Action::update)) == Result::noop);
    CHECK(result_of(said(404, false), entry(Action::delete_)) == Result::not_found);
    CHECK(result_of(said(200, false), entry(Action::delete_)) == Result::deleted);
    CHECK(result_of(said(201, false), entry(Action::index)) == Result::created);
    CHECK(result_of(said(200, false), entry(Action::index)) == Result::unspecified);
}

TEST_CASE("a reply's status decides about the request as a whole",
          "[verdicts][F023][F024][F029][F034][F035][F036][F038]") {
    struct Row {
        unsigned status;
        ReplyVerdict verdict;
    };
    const Row rows[] = {
        {400, ReplyVerdict::bad_request},   {413, ReplyVerdict::too_large},     {401, ReplyVerdict::unauthorized},
        {403, ReplyVerdict::unauthorized},  {407, ReplyVerdict::unauthorized},  {425, ReplyVerdict::refused},
        {429, ReplyVerdict::refused},       {503, ReplyVerdict::refused},       {408, ReplyVerdict::ambiguous},
        {500, ReplyVerdict::ambiguous},     {502, ReplyVerdict::ambiguous},     {504, ReplyVerdict::ambiguous},
        {520, ReplyVerdict::ambiguous},     {527, ReplyVerdict::ambiguous},     {301, ReplyVerdict::misconfigured},
        {302, ReplyVerdict::misconfigured}, {304, ReplyVerdict::misconfigured}, {307, ReplyVerdict::misconfigured},
        {308, ReplyVerdict::misconfigured}, {404, ReplyVerdict::misconfigured}, {405, ReplyVerdict::misconfigured},
        {406, ReplyVerdict::misconfigured}, {415, ReplyVerdict::misconfigured}, {418, ReplyVerdict::misconfigured},
        {501, ReplyVerdict::misconfigured}, {505, ReplyVerdict::misconfigured},
    };
    for (const auto& row : rows) {
        CAPTURE(row.status);
        CHECK(judge_reply(reply(row.status), false) == row.verdict);
        INFO("the same when it came early, or when the rest of the answer was lost");
        CHECK(judge_reply(reply(row.status, errc::early_answer, Sent::partial), false) == row.verdict);
        CHECK(judge_reply(reply(row.status, asio::error::connection_reset, Sent::partial), false) == row.verdict);
    }
}

TEST_CASE("a success that proves nothing is ambiguous", "[verdicts][F005][F019][F038]") {
    for (const unsigned status : {200U, 201U, 202U, 204U, 205U, 206U}) {
        CAPTURE(status);
        CHECK(judge_reply(reply(status), false) == ReplyVerdict::ambiguous);
        CHECK(judge_reply(reply(status, errc::malformed_answer), false) == ReplyVerdict::ambiguous);
        CHECK(judge_reply(reply(status, errc::answer_too_large), false) == ReplyVerdict::ambiguous);
        CHECK(judge_reply(reply(status, errc::early_answer, Sent::partial), false) == ReplyVerdict::ambiguous);
    }
    CHECK(judge_reply(reply(200), true) == ReplyVerdict::per_item);
}

TEST_CASE("without an answer it matters only whether a byte of the body left", "[verdicts]") {
    const error_code errors[] = {asio::error::connection_refused, asio::error::connection_reset, errc::connect_timeout,
                                 errc::request_timeout, errc::protocol_error};
    for (const auto& error : errors) {
        CAPTURE(error.message());
        CHECK(judge_reply(reply(0, error, Sent::none), false) == ReplyVerdict::retry_unsent);
        CHECK(judge_reply(reply(0, error, Sent::partial), false) == ReplyVerdict::ambiguous);
        CHECK(judge_reply(reply(0, error, Sent::complete), false) == ReplyVerdict::ambiguous);
    }
}

TEST_CASE("what may have been applied is repeated only where that does no harm", "[verdicts]") {
    const std::string_view document = R"({"doc":{"a":1}})";
    const std::string_view script = R"({"script":{"source":"ctx._source.n++"}})";
    for (const auto duplicates : {Duplicates::forbid, Duplicates::allow}) {
        const bool allowed = duplicates == Duplicates::allow;
        CAPTURE(allowed);
        for (const auto action : {Action::index, Action::create}) {
            CHECK(safe_to_repeat(entry(action), document, duplicates));
            CHECK(safe_to_repeat(entry(action, false), document, duplicates) == allowed);
            CHECK(safe_to_repeat(entry(action), script, duplicates));
        }
        CHECK(safe_to_repeat(entry(Action::delete_), {}, duplicates));
        CHECK(safe_to_repeat(entry(Action::update), document, duplicates));
        CHECK_FALSE(safe_to_repeat(entry(Action::update), script, duplicates));
        auto conditional = entry(Action::index);
        conditional.has_seq_no = true;
        CHECK_FALSE(safe_to_repeat(conditional, document, duplicates));
    }
}

TEST_CASE("a script is one however its name is spelt; other escapes are none", "[verdicts][F080]") {
    for (const std::string_view script :
         {R"({"\u0073cript":"ctx._source.n++"})", R"({"scrip\u0074":{"id":"count"}})", R"({"s\u0063ript":"x"})",
          R"({"\u0073\u0063\u0072\u0069\u0070\u0074":"x"})", R"({"upsert":{"n":1},"scr\u0069pt":"x"})"}) {
        CAPTURE(script);
        CHECK_FALSE(safe_to_repeat(entry(Action::update), script, Duplicates::allow));
        CHECK(safe_to_repeat(entry(Action::index), script, Duplicates::forbid)); // a document may hold anything
    }
    for (const std::string_view document : {R"({"doc":{"name":"caf\u00e9 \u2028"}})", R"({"doc":{"s":"\ud83d\ude00"}})",
                                            R"({"doc":{"text":"\u000a\u001f\n"}})"}) {
        CAPTURE(document);
        CHECK(safe_to_repeat(entry(Action::update), document, Duplicates::forbid));
    }
}
