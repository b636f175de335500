// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/detail/encode/document_check.hpp>

#include <string>
#include <vector>

using namespace bench;
using bulkhead::detail::check_document;

namespace {

/// A document whose string holds a newline, which JSON does not allow.
constexpr std::string_view torn_string = "{\"a\":\"one\ntwo\"}";

std::string nested(std::size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
}
/// The reason of the latest invalid operation.
std::string reason_of(const Stats& stats) {
    for (const auto& failure : stats.failures)
        if (failure.type == to_string(errc::invalid_operation)) return failure.reason;
    return {};
}

} // namespace

TEST_CASE("a document is checked from its first byte to its last", "[F209]") {
    for (const std::string& good :
         {std::string{"{}"}, std::string{R"({"a":[1,2.5e3,true,null,"\u00e9\n"],"b":{"a":{}}})"},
          std::string{"{\n  \"a\": 1\r\n}"}, std::string{"{\"a\":\"\xC3\xA9\"}"}, nested(1000)}) {
        CAPTURE(good);
        CHECK_FALSE(check_document(good));
    }
    for (const std::string& bad :
         {std::string{}, std::string{"[]"}, std::string{"{"}, std::string{"{\"a\":}"}, std::string{"{\"a\":1}{}"},
          std::string{"{\"a\":1},"}, std::string{"{\"a\":NaN}"}, std::string{"{'a':1}"}, std::string{"{\"a\":1,}"},
          std::string{torn_string}, std::string{"{\"a\":\"\xFF\"}"}, std::string{"{\"a\":\"\xC3\"}"}, nested(1001)}) {
        CAPTURE(bad);
        const auto wrong = check_document(bad);
        REQUIRE(wrong);
        CHECK(wrong->field == "source");
        CHECK(wrong->value.find("at byte ") != std::string::npos);
    }
    CHECK(check_document("{\"password\":hunter2}")->message().find("hunter") == std::string::npos);
}

TEST_CASE("validate = full refuses what is no JSON before it is sent, by whichever way it comes", "[F209]") {
    Bench b{{.validate = Validation::full}};
    const Operation bad{.source = "{\"a\":}"};
    CHECK(b.put(1) == Admission::accepted);
    CHECK(b.indexer->try_enqueue(bad) == Admission::invalid);
    CHECK(reason_of(b.stats()).find("source: expected one valid JSON object, found ") == 0);
    CHECK(b.indexer->enqueue_wait(bad, 1s) == Admission::invalid);
    b.indexer->enqueue(Operation{.source = torn_string});
    Batch scratch;
    REQUIRE_FALSE(scratch.append({.source = "{}"}, "logs"));
    REQUIRE_FALSE(scratch.append({.action = Action::delete_, .id = "1"}, "logs"));
    CHECK(b.indexer->try_enqueue(scratch) == Admission::accepted);
    REQUIRE_FALSE(scratch.append({.source = torn_string}, "logs")); // its newline is a space by now
    CHECK(b.indexer->try_enqueue(scratch) == Admission::invalid);
    scratch.clear();
    REQUIRE_FALSE(scratch.append(bad, "logs"));
    CHECK(b.indexer->try_enqueue(scratch) == Admission::invalid);
    std::vector<Admission> waited;
    b.indexer->async_enqueue(bad, [&](error_code, Admission how) { waited.push_back(how); });
    std::vector<error_code> ended;
    b.indexer->async_index(bad, [&](error_code error, const IndexResult&) { ended.push_back(error); });
    b.flush();
    CHECK(waited == std::vector{Admission::invalid});
    CHECK(ended == std::vector{error_code{errc::invalid_operation}});
    REQUIRE(b.script->requests().size() == 1);
    CHECK(b.script->requests()[0].operations == 3);
    CHECK(b.stats().refused_invalid == 9);
    CHECK(b.stats().altered == 0);
    CHECK(b.books_balance());
}

TEST_CASE("a newline in a string becomes a space and is counted; between a document's parts it means nothing",
          "[F086][F209]") {
    Bench b;
    CHECK(b.indexer->try_enqueue({.source = torn_string}) == Admission::accepted);
    CHECK(b.indexer->try_enqueue({.source = "{\n  \"a\": \"x\\\"\",\n  \"b\": \"\\\\\"\n}"}) == Admission::accepted);
    CHECK(b.stats().altered == 1);
    CHECK(b.indexer->try_enqueue({.source = "{\"a\":\"\\\"\n\"}"}) == Admission::accepted);
    CHECK(b.stats().altered == 2);
    Batch scratch;
    REQUIRE_FALSE(scratch.append({.source = torn_string}, "logs"));
    REQUIRE_FALSE(scratch.append({.source = "{\n}"}, "logs"));
    REQUIRE_FALSE(scratch.append({.source = torn_string}, "logs"));
    CHECK(b.indexer->try_enqueue(scratch) == Admission::accepted);
    CHECK(b.stats().altered == 4);
    CHECK(b.indexer->try_enqueue({.source = "\n"}) == Admission::invalid); // what is refused is not counted
    CHECK(b.stats().altered == 4);
    b.flush();
    CHECK(lines(b.script->requests()[0].body)[1] == "{\"a\":\"one two\"}");
}

TEST_CASE("validate = off sends whatever is one line, and the neighbours arrive", "[F209]") {
    Bench b{{.validate = Validation::off}};
    CHECK(b.put(1) == Admission::accepted);
    CHECK(b.indexer->try_enqueue({.source = "[1]\n{\"delete\":{}}"}) == Admission::accepted);
    std::vector<Admission> waited;
    b.indexer->async_enqueue({.source = "7"}, [&](error_code, Admission how) { waited.push_back(how); });
    b.run();
    CHECK(b.put(2) == Admission::accepted);
    for (const auto* nothing : {"", " ", "\n", "\r\n\t"})
        CHECK(b.indexer->try_enqueue({.source = nothing}) == Admission::invalid);
    b.flush();
    CHECK(waited == std::vector{Admission::accepted});
    const auto sent = lines(b.script->requests()[0].body);
    REQUIRE(sent.size() == 8);
    CHECK(sent[1] == "{\"n\":1}");
    CHECK(sent[3] == "[1] {\"delete\":{}}");
    CHECK(sent[5] == "7");
    CHECK(sent[7] == "{\"n\":2}");
}
