// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/detail/judge/answer_parser.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bulkhead;
using namespace std::string_view_literals;

namespace {

const std::string ok = R"({"index":{"status":201}})";

std::string answer_of(const std::vector<std::string>& items) {
    std::string body = R"({"took":3,"errors":false,"items":[)";
    for (std::size_t i = 0; i < items.size(); ++i) body += (i == 0 ? "" : ",") + items[i];
    return body + "]}";
}

/// Feeds the body in pieces of `piece` bytes; whether it was whole.
bool read(BulkAnswerParser& parser, std::string_view body, std::size_t expected, std::size_t piece = 1'000'000) {
    parser.start(expected);
    for (std::size_t at = 0; at < body.size(); at += piece)
        if (!parser.on_body(body.substr(at, piece))) return false;
    return parser.finish();
}

std::vector<unsigned> statuses(const BulkAnswerParser& parser) {
    std::vector<unsigned> all;
    for (const auto& item : parser.items()) all.push_back(item.status);
    return all;
}

} // namespace

TEST_CASE("each item is read at its position, from any pieces", "[response][F001][F002][F014]") {
    const std::string body =
        R"({"took":12,"ingest_took":1,"errors":true,"items":[)"
        R"({"index":{"_index":"a","_id":"1","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"status":201}},)"
        R"({"create":{"_index":"a","status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected \"x\" \u00e9é","caused_by":{"type":"inner","reason":"inner","caused_by":{"reason":["deep",{"type":1}]}}}}},)"
        R"({"delete":{"status":404,"result":"not_found"}},)"
        R"({"update":{"error":{"reason":"first the reason","index":"a","type":"version_conflict_engine_exception"},"status":409}},)"
        R"({"update":{"result":"noop","status":200}},)"
        R"({"create":{"failure_store":"used","status":201}},)"
        R"({"create":{"failure_store":"not_enabled","status":400,"error":{"type":"t"}}},)"
        R"({"create":{"failure_store":"failed","status":400,"error":{"reason":"r"}}}]})"
        " \r\n\t";
    const auto piece = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{64},
                                std::size_t{1'000'000});
    CAPTURE(piece);
    BulkAnswerParser parser;
    REQUIRE(read(parser, body, 8, piece));
    CHECK(statuses(parser) == std::vector<unsigned>{201, 429, 404, 409, 200, 201, 400, 400});
    const auto items = parser.items();
    CHECK(items[0].result == Result::created);
    CHECK(parser.error_of(items[0]) == nullptr);
    REQUIRE(parser.error_of(items[1]) != nullptr);
    CHECK(parser.error_of(items[1])->type == "es_rejected_execution_exception");
    CHECK(parser.error_of(items[1])->reason == "rejected \"x\" éé");
    CHECK(items[2].result == Result::not_found);
    CHECK(parser.error_of(items[2]) == nullptr);
    REQUIRE(parser.error_of(items[3]) != nullptr);
    CHECK(parser.error_of(items[3])->type == "version_conflict_engine_exception");
    CHECK(parser.error_of(items[3])->reason == "first the reason");
    CHECK(items[4].result == Result::noop);
    CHECK(items[5].failure_store == FailureStore::used);
    CHECK(items[6].failure_store == FailureStore::not_enabled);
    CHECK(items[7].failure_store == FailureStore::failed);
    REQUIRE(parser.error_of(items[7]) != nullptr);
    CHECK(parser.error_of(items[7])->type.empty());
    CHECK(parser.error_of(items[7])->reason == "r");
}

TEST_CASE("the split of the body into two pieces never matters", "[response]") {
    const std::string good =
        answer_of({ok, R"({"index":{"status":400,"error":{"type":"tü","reason":"é\u00fc"}}})"}) + "\n";
    const std::string bad = answer_of({ok, ok}) + "\n{}";
    BulkAnswerParser parser;
    for (std::size_t at = 0; at <= good.size(); ++at) {
        CAPTURE(at);
        parser.start(2);
        REQUIRE(parser.on_body(std::string_view{good}.substr(0, at)));
        REQUIRE(parser.on_body(std::string_view{good}.substr(at)));
        REQUIRE(parser.finish());
        CHECK(statuses(parser) == std::vector<unsigned>{201, 400});
        CHECK(parser.error_of(parser.items()[1])->type == "tü");
        CHECK(parser.error_of(parser.items()[1])->reason == "éü");
    }
    for (std::size_t at = 0; at <= bad.size(); ++at) {
        CAPTURE(at);
        parser.start(2);
        CHECK(parser.on_body(std::string_view{bad}.substr(0, at)));
        CHECK(parser.on_body(std::string_view{bad}.substr(at)));
        CHECK_FALSE(parser.finish());
    }
}

TEST_CASE("order, white space, unknown and missing keys make no difference", "[response][F004][F009][F016]") {
    const std::string bodies[] = {
        R"({"items":[{"index":{"status":201}}]})",
        R"({ "items" : [ { "index" : { "status" : 201 } } ] , "errors" : true , "took" : 1 })",
        "{\r\n\t\"errors\":false,\"took\":-5,\"items\":[{\"index\":{\"status\":201}}]\n}\n\n",
        R"({"took":9223372036854775808,"ingest_took":"long","items":[{"index":{"status":201}}]})",
        R"({"took":1e400,"items":[{"index":{"status":201}}]})",
        R"({"took":null,"errors":"items","items":[{"index":{"status":201}}]})",
        R"({"x":{"items":[1,2,{"items":[]}]},"items":[{"index":{"status":201}}],"y":["items"]})",
        R"({"items":[{"create":{"x":{"status":500,"error":{}},"status":201,"error":null}}]})",
        R"({"items":[{"whatever the server calls it, at any length":{"status":201}}]})",
        R"({"\u0069tems":[{"index":{"st\u0061tus":201}}]})",
        R"({"items":[{"index":{"_id":"\"status\":500,\"error\":{}","status":201}}]})",
        R"({"items":[{"index":{"statuses":500,"status":201,"errors":{"type":"x"}}}],"errors":[]})",
    };
    BulkAnswerParser parser;
    for (const auto& body : bodies) {
        CAPTURE(body);
        REQUIRE(read(parser, body, 1));
        CHECK(statuses(parser) == std::vector<unsigned>{201});
        CHECK(parser.error_of(parser.items()[0]) == nullptr);
    }
}

TEST_CASE("an answer that is not whole proves nothing", "[response][F005][F007][F008][F017][F019]") {
    const auto with_status = [](const std::string& status) {
        return answer_of({ok, R"({"index":{"status":)" + status + "}}"});
    };
    const std::string bodies[] = {
        "",
        " \n",
        "null",
        "[]",
        "true",
        "7",
        "\"items\"",
        "{}",
        "<html><body>Please log in</body></html>",
        "\xEF\xBB\xBF" + answer_of({ok, ok}),
        answer_of({}),
        answer_of({ok}),
        answer_of({ok, ok, ok}),
        R"({"errors":false,"items":[],"items_omitted":true})",
        R"({"errors":false,"items":null})",
        R"({"errors":false,"items":{"index":{"status":201}}})",
        R"({"errors":false,"items":"[]"})",
        R"({"errors":false,"items":{},"items":[)" + ok + "," + ok + "]}",
        R"({"items":[)" + ok + "," + ok + R"(],"items":[)" + ok + "," + ok + "]}",
        R"({"items":[)" + ok + R"(],"items":[)" + ok + "]}",
        "[" + answer_of({ok, ok}) + "]",
        R"({"answer":)" + answer_of({ok, ok}) + "}",
        answer_of({ok, ok}) + "x",
        answer_of({ok, ok}) + answer_of({ok, ok}),
        answer_of({ok, ok}) + "\n" + answer_of({ok, ok}),
        answer_of({ok, ok}) + std::string(1, '\0'),
        answer_of({ok, "{}"}),
        answer_of({"{}", ok, ok}), // an empty item must not shift the others
        answer_of({ok, "{}", ok}),
        answer_of({ok, "null"}),
        answer_of({ok, "201"}),
        answer_of({ok, "\"created\""}),
        answer_of({ok, "[" + ok + "]"}),
        answer_of({ok, R"({"index":{"status":201},"create":{"status":201}})"}),
        answer_of({ok, R"({"index":null})"}),
        answer_of({ok, R"({"index":201})"}),
        answer_of({ok, R"({"index":"ok"})"}),
        answer_of({ok, R"({"index":[{"status":201}]})"}),
        answer_of({ok, R"({"index":{}})"}),
        answer_of({ok, R"({"index":{"result":"created"}})"}),
        answer_of({ok, R"({"status":201})"}),
        answer_of({ok, R"({"index":{"x":{"status":201}}})"}),
        answer_of({ok, R"({"index":{"status":201,"status":201}})"}),
        answer_of({ok, R"({"index":{"status":201,"error":{"type":"x","reason":"y"}}})"}),
        answer_of({ok, R"({"index":{"error":{},"status":200}})"}),
        answer_of({ok, R"({"index":{"error":"NodeClosed","status":201}})"}),
        answer_of({ok, R"({"index":{"error":true,"status":201}})"}),
        answer_of({ok, R"({"index":{"error":[],"status":201}})"}),
        with_status("\"201\""),
        with_status("0"),
        with_status("-201"),
        with_status("99"),
        with_status("100"),
        with_status("199"),
        with_status("300"),
        with_status("302"),
        with_status("399"),
        with_status("600"),
        with_status("1e3"),
        with_status("2.01e2"),
        with_status("201.0"),
        with_status("65737"), // 201 in 16 bits
        with_status("4294967497"),
        with_status("18446744073709551615"),
        with_status("null"),
        with_status("true"),
        with_status("[201]"),
        with_status("{\"status\":201}"),
        with_status("0201"),
        with_status(""),
    };
    BulkAnswerParser parser;
    for (const auto& body : bodies) {
        for (const std::size_t piece : {std::size_t{1}, std::size_t{1'000'000}}) {
            CAPTURE(body, piece);
            CHECK_FALSE(read(parser, body, 2, piece));
            CHECK_FALSE(parser.problem().empty());
        }
    }
    INFO("and it is none the worse for it");
    CHECK(read(parser, answer_of({ok, ok}), 2));
}

TEST_CASE("an answer cut short anywhere proves nothing", "[response][F019]") {
    const auto body = answer_of({ok, R"({"index":{"status":400,"error":{"type":"t","reason":"r"}}})", ok});
    BulkAnswerParser parser;
    for (std::size_t size = 0; size < body.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(read(parser, std::string_view{body}.substr(0, size), 3));
    }
    CHECK(read(parser, body, 3));
}

TEST_CASE("an error may have any form and any depth", "[response][F018]") {
    const auto item_with = [](const std::string& error) { return R"({"index":{"status":500,"error":)" + error + "}}"; };
    BulkAnswerParser parser;
    SECTION("a plain string is the reason") {
        REQUIRE(read(parser, answer_of({item_with(R"("NodeClosed[node]")")}), 1));
        REQUIRE(parser.error_of(parser.items()[0]) != nullptr);
        CHECK(parser.error_of(parser.items()[0])->type.empty());
        CHECK(parser.error_of(parser.items()[0])->reason == "NodeClosed[node]");
    }
    SECTION("type and reason may be missing, or be no strings") {
        for (const auto* error : {"{}", R"({"type":1,"reason":null})", R"({"type":{"type":"x"},"reason":["y"]})",
                                  R"({"root_cause":[{"type":"x","reason":"y"}]})", "[]", "5", "true"}) {
            CAPTURE(error);
            REQUIRE(read(parser, answer_of({item_with(error)}), 1));
            REQUIRE(parser.error_of(parser.items()[0]) != nullptr);
            CHECK(parser.error_of(parser.items()[0])->type.empty());
            CHECK(parser.error_of(parser.items()[0])->reason.empty());
        }
    }
    SECTION("causes nested 200 deep are skipped; without end they are malformed, and crash nothing") {
        const auto nested = [](std::size_t depth, const std::string& open, const std::string& close) {
            std::string causes;
            for (std::size_t i = 0; i < depth; ++i) causes += open;
            causes += "1";
            for (std::size_t i = 0; i < depth; ++i) causes += close;
            return R"({"caused_by":)" + causes + R"(,"type":"outer","reason":"r"})";
        };
        for (const auto& [open, close] :
             {std::pair<std::string, std::string>{R"({"type":"inner","caused_by":)", "}"}, {"[", "]"}}) {
            REQUIRE(read(parser, answer_of({item_with(nested(200, open, close)), ok}), 2));
            CHECK(parser.error_of(parser.items()[0])->type == "outer");
            CHECK(statuses(parser) == std::vector<unsigned>{500, 201});
            CHECK_FALSE(read(parser, answer_of({item_with(nested(100'000, open, close)), ok}), 2));
        }
    }
    SECTION("invalid UTF-8 in a reason loses nothing") {
        REQUIRE(read(parser, answer_of({item_with("{\"reason\":\"a\xFF\xC3(\",\"type\":\"t\"}"), ok}), 2));
        CHECK(parser.error_of(parser.items()[0])->type == "t");
        CHECK(statuses(parser) == std::vector<unsigned>{500, 201});
    }
    SECTION("errors belong to their items, also from one answer to the next") {
        const auto failed = [&](const std::string& type) { return item_with(R"({"type":")" + type + R"("})"); };
        REQUIRE(read(parser, answer_of({failed("a"), ok, item_with(R"({"type":"b","reason":"why"})")}), 3));
        CHECK(parser.error_of(parser.items()[0])->type == "a");
        CHECK(parser.error_of(parser.items()[2])->reason == "why");
        REQUIRE(read(parser, answer_of({ok, failed("c")}), 2));
        CHECK(parser.error_of(parser.items()[0]) == nullptr);
        CHECK(parser.error_of(parser.items()[1])->type == "c");
        CHECK(parser.error_of(parser.items()[1])->reason.empty());
    }
}

TEST_CASE("a long reason is cut at 1 KiB, at the boundary of a character", "[response][F018]") {
    const std::string character = GENERATE("x", "é", "€", "😀");
    const auto piece = GENERATE(std::size_t{1}, std::size_t{3}, std::size_t{1000}, std::size_t{1'000'000});
    for (std::size_t shift = 0; shift < 4; ++shift) {
        std::string reason(shift, '.');
        while (reason.size() < 5000) reason += character;
        CAPTURE(character, piece, shift);
        BulkAnswerParser parser;
        REQUIRE(
            read(parser, answer_of({R"({"index":{"status":400,"error":{"reason":")" + reason + R"("}}})"}), 1, piece));
        const auto& cut = parser.error_of(parser.items()[0])->reason;
        CHECK(cut.size() <= 1024);
        CHECK(cut.size() > 1024 - character.size());
        CHECK((cut.size() - shift) % character.size() == 0);
        CHECK(reason.compare(0, cut.size(), cut) == 0);
    }
}

TEST_CASE("what a server says is one line and commands no terminal", "[response][F168]") {
    const std::string said = R"(a\nINFO all is well\r\u001b[2J\u0000\u007f\u009b1mé)"; // U+009B begins a command, too
    const std::string kept = "a INFO all is well  [2J    1mé";
    const auto error = R"("error":{"type":")" + said + R"(","reason":")" + said + R"("})";
    const auto piece = GENERATE(std::size_t{1}, std::size_t{1'000'000});
    BulkAnswerParser parser;
    REQUIRE(read(parser, answer_of({R"({"index":{"status":400,)" + error + "}}"}), 1, piece));
    const auto* item = parser.error_of(parser.items()[0]);
    CHECK(item->type == kept);
    CHECK(item->reason == kept);

    const auto whole = describe_error("{" + error + "}");
    CHECK(whole.type == kept);
    CHECK(whole.reason == kept);
    CHECK(describe_error(R"({"error":")" + said + R"("})").reason == kept);
    CHECK(describe_error("not\njson\x1b[2J\x7f\xc2\x9b").reason == "not json [2J   ");
    CHECK(describe_error("caf\xc3\xa9 \xc2").reason == "caf\xc3\xa9 \xc2"); // other bytes stay as they are
}

TEST_CASE("a malformed body is read on while it is small, and given up when it is large", "[response][F021][F023]") {
    BulkAnswerParser parser;
    parser.start(1);
    const std::string page(1024, '<');
    std::size_t taken = 0;
    while (taken < 200 && parser.on_body(page)) ++taken;
    CHECK(taken >= 16);
    CHECK(taken <= 64);
    CHECK_FALSE(parser.finish());
    CHECK(parser.head().size() == 4096);

    INFO("items without end are malformed from the first one too many");
    parser.start(2);
    REQUIRE(parser.on_body(R"({"items":[)" + ok + "," + ok));
    taken = 0;
    while (taken < 100'000 && parser.on_body("," + ok)) ++taken;
    CHECK(taken * (ok.size() + 1) <= (std::size_t{64} << 10));
    CHECK(parser.items().size() <= 2);
}

TEST_CASE("the head is the body's beginning, for describing a refusal", "[response]") {
    BulkAnswerParser parser;
    const std::string body = R"({"error":{"type":"t","reason":"r"},"status":429})";
    CHECK_FALSE(read(parser, body, 3, 5));
    CHECK(parser.head() == body);
    parser.start(1);
    CHECK(parser.head().empty());
}

TEST_CASE("a clean answer allocates nothing once warm", "[response]") {
    std::vector<std::string> items(
        1000,
        R"({"create":{"_index":"logs","_id":"an id longer than any small string","result":"created","_shards":{"total":2,"failed":0},"status":201}})");
    const auto clean = answer_of(items);
    items[500] =
        R"({"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"a reason that is no small string"}}})";
    const auto dirty = answer_of(items);
    BulkAnswerParser parser;
    REQUIRE(read(parser, dirty, 1000, 4096));
    REQUIRE(read(parser, clean, 1000, 4096));
    const auto before = bulkhead_test::allocations();
    const bool whole = read(parser, clean, 1000, 4096);
    const auto after = bulkhead_test::allocations();
    CHECK(whole);
    CHECK(after == before);
}

TEST_CASE("runs of equal items mean what each of them means", "[response][F001][F002]") {
    const std::vector<std::pair<std::string, unsigned>> kinds{
        {R"({"create":{"status":201}})", 201},
        {R"({"index":{"status":200}})", 200},
        {R"({"delete":{"status":404}})", 404},
        {R"( {"create" : {"status":201}} )", 201},
        {R"({"create":{"status":429,"error":{"type":"t","reason":"a}b,{\"create\":{\"status\":201}}"}}})", 429},
        {R"({"create":{"_id":")" + std::string(300, 'x') + R"(","status":201}})", 201},
    };
    std::uint32_t state = 7;
    const auto random = [&](std::size_t below) {
        state = state * 1664525U + 1013904223U;
        return static_cast<std::size_t>(state >> 8U) % below;
    };
    BulkAnswerParser parser;
    for (int round = 0; round < 3000; ++round) {
        std::vector<std::string> items;
        std::vector<unsigned> expected;
        const auto restless = random(10);
        for (std::size_t kind = random(kinds.size()), n = 1 + random(40); items.size() < n;) {
            if (random(10) < restless) kind = random(kinds.size());
            items.push_back(kinds[kind].first);
            expected.push_back(kinds[kind].second);
        }
        const auto body = answer_of(items);
        const auto piece = 1 + random(round % 2 == 0 ? 30 : body.size());
        CAPTURE(body, piece);
        REQUIRE(read(parser, body, items.size(), piece));
        REQUIRE(statuses(parser) == expected);
        for (const auto& item : parser.items()) REQUIRE((parser.error_of(item) != nullptr) == (item.status == 429));
        REQUIRE_FALSE(read(parser, body, items.size() + 1, piece));
        REQUIRE_FALSE(read(parser, body, items.size() - 1, piece));
    }
}

TEST_CASE("random damage never crashes, and never turns into another success", "[response][fuzz]") {
    const std::string failed = R"({"index":{"status":429,"error":{"type":"t","reason":"r"}}})";
    const auto body = answer_of({ok, failed, ok});
    constexpr std::string_view bytes = "\"\\{}[]:,0129eE.+- \n\0\xFFxtunf/"sv;
    BulkAnswerParser parser;
    std::uint32_t random = 12345;
    const auto draw = [&](std::size_t below) {
        random = random * 1664525U + 1013904223U;
        return (random >> 8U) % below;
    };
    for (int round = 0; round < 30'000; ++round) {
        auto damaged = body;
        for (auto times = 1 + draw(3); times > 0; --times) {
            const auto at = draw(damaged.size());
            switch (draw(3)) {
            case 0: damaged[at] = bytes[draw(bytes.size())]; break;
            case 1: damaged.erase(at, 1 + draw(4)); break;
            default: damaged.insert(at, 1, bytes[draw(bytes.size())]); break;
            }
        }
        if (!read(parser, damaged, 3, 1 + draw(40))) continue;
        const auto items = parser.items();
        if (items.size() != 3) FAIL("not three items: " << damaged);
        for (const auto& item : items)
            if (item.status < 300 && parser.error_of(item) != nullptr) FAIL("success with error: " << damaged);
    }
}

TEST_CASE("a refusal's body is described, whatever it is", "[response][F018][F023]") {
    SECTION("as the search servers write it") {
        const auto error = describe_error(
            R"({"error":{"root_cause":[{"type":"x","reason":"y"}],"type":"illegal_argument_exception","reason":"the line is \"bad\""},"status":400})");
        CHECK(error.type == "illegal_argument_exception");
        CHECK(error.reason == "the line is \"bad\"");
    }
    SECTION("a plain string") {
        const auto error = describe_error(R"({"error":"no handler found for uri [/x] and method [POST]"})");
        CHECK(error.type.empty());
        CHECK(error.reason == "no handler found for uri [/x] and method [POST]");
    }
    SECTION("anything else: its beginning, on one line") {
        CHECK(describe_error("").reason == "the answer has no body");
        CHECK(describe_error("Unauthorized").reason == "Unauthorized");
        CHECK(describe_error("<html>\r\n<b>502</b>\x01\x7F").reason == "<html>  <b>502</b>  ");
        CHECK(describe_error("null").reason == "null");
        CHECK(describe_error("[1]").reason == "[1]");
        CHECK(describe_error(R"({"error":{"type":"t)").type.empty());
        CHECK(describe_error(std::string(5000, 'x')).reason.size() == 256);
        CHECK(describe_error(std::string(255, 'x') + "€uro").reason == std::string(255, 'x'));
        CHECK(describe_error(std::string(4096, '[')).reason.size() == 256);
        CHECK(describe_error(std::string(255, 'x') + std::string(300, '\x80')).reason.size() <= 256);
    }
    SECTION("long type and reason are cut") {
        const auto error = describe_error(R"({"error":{"type":")" + std::string(1500, 't') + R"(","reason":")" +
                                          std::string(1500, 'r') + R"("}})");
        CHECK(error.type.size() == 1024);
        CHECK(error.reason.size() == 1024);
    }
}
