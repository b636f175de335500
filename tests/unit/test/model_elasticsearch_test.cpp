// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/model_elasticsearch.hpp>

#include <boost/json/parse.hpp>

#include <string>
#include <string_view>
#include <vector>

using namespace bulkhead::test;
namespace json = boost::json;

namespace {

/// The `n`th item of an answer, without its action.
json::object item(const ServerAnswer& answer, std::size_t n) {
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
    return json::parse(answer.body).at("items").as_array().at(n).as_object().begin()->value().as_object();
}
std::int64_t status(const ServerAnswer& answer, std::size_t n = 0) { return item(answer, n).at("status").as_int64(); }
std::string result(const ServerAnswer& answer, std::size_t n = 0) {
    return std::string{item(answer, n).at("result").as_string()};
}
std::string error_type(const ServerAnswer& answer, std::size_t n = 0) {
    return std::string{item(answer, n).at("error").at("type").as_string()};
}
bool errors(const ServerAnswer& answer) { return json::parse(answer.body).at("errors").as_bool(); }
/// The type of an error for the request as a whole.
std::string refused(const ServerAnswer& answer) {
    CAPTURE(answer.body);
    REQUIRE(answer.status == 400);
    return std::string{json::parse(answer.body).at("error").at("type").as_string()};
}

constexpr std::string_view library_filter =
    "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store";

} // namespace

TEST_CASE("model: index, create, update and delete do what they say") {
    ModelElasticsearch model;
    const auto answer = model.bulk(R"({"index":{"_index":"a","_id":"1"}}
{"n":1}
{"index":{"_index":"a","_id":"1"}}
{"n":2}
{"create":{"_index":"a","_id":"1"}}
{"n":3}
{"create":{"_index":"a","_id":"2"}}
{"n":4}
{"update":{"_index":"a","_id":"2"}}
{"doc":{"m":{"x":1}}}
{"update":{"_index":"a","_id":"2"}}
{"doc":{"m":{"x":1}}}
{"update":{"_index":"a","_id":"2"}}
{"doc":{"m":{"y":2}}}
{"delete":{"_index":"a","_id":"1"}}
{"delete":{"_index":"a","_id":"1"}}
)");
    CHECK(errors(answer));
    CHECK(result(answer, 0) == "created");
    CHECK(result(answer, 1) == "updated");
    CHECK(error_type(answer, 2) == "version_conflict_engine_exception");
    CHECK(status(answer, 2) == 409);
    CHECK(result(answer, 3) == "created");
    CHECK(result(answer, 4) == "updated");
    CHECK(result(answer, 5) == "noop");
    CHECK(result(answer, 6) == "updated");
    CHECK(result(answer, 7) == "deleted");
    CHECK(result(answer, 8) == "not_found");
    CHECK(status(answer, 8) == 404);
    CHECK(model.count("a") == 1);
    CHECK(model.source("a", "2") == R"({"n":4,"m":{"x":1,"y":2}})");
    CHECK_FALSE(model.source("a", "1"));
    CHECK(model.times_applied("a", "1") == 3); // also the delete, but neither the conflict nor the second delete
    CHECK(model.times_applied("a", "2") == 3); // a noop is none
    CHECK(model.times_applied("a") == 6);
}

TEST_CASE("model: a delete of what is not there is no error, of an index that is not there it is one") {
    ModelElasticsearch model;
    const auto answer = model.bulk("{\"delete\":{\"_index\":\"none\",\"_id\":\"1\"}}\n");
    CHECK(errors(answer));
    CHECK(error_type(answer) == "index_not_found_exception");
    CHECK_FALSE(model.exists("none"));
    (void)model.bulk("{\"index\":{\"_index\":\"a\"}}\n{}\n");
    CHECK_FALSE(errors(model.bulk("{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n")));
}

TEST_CASE("model: updates of what is not there") {
    ModelElasticsearch model;
    const BulkParameters in_a{.index = "a"};
    CHECK(error_type(model.bulk("{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{\"n\":1}}\n", in_a)) ==
          "document_missing_exception");
    CHECK(status(model.bulk("{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{\"n\":1},\"doc_as_upsert\":true}\n", in_a)) ==
          201);
    CHECK(status(model.bulk("{\"update\":{\"_id\":\"2\"}}\n{\"doc\":{\"n\":1},\"upsert\":{\"n\":7}}\n", in_a)) == 201);
    CHECK(model.source("a", "1") == "{\"n\":1}");
    CHECK(model.source("a", "2") == "{\"n\":7}");
}

TEST_CASE("model: op_type create is a create and is answered as one") {
    ModelElasticsearch model;
    const std::string body = "{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"op_type\":\"create\"}}\n{}\n";
    CHECK(model.bulk(body).body.find("{\"create\":{") != std::string::npos);
    CHECK(status(model.bulk(body)) == 409);
}

TEST_CASE("model: an empty id fails its item, no id gets one") {
    ModelElasticsearch model;
    const auto answer =
        model.bulk("{\"index\":{\"_index\":\"a\",\"_id\":\"\"}}\n{}\n{\"index\":{\"_index\":\"a\",\"_id\":"
                   "\"x\"}}\n{}\n{\"index\":{\"_index\":\"a\"}}\n{}\n");
    CHECK(errors(answer));
    CHECK(error_type(answer, 0) == "illegal_argument_exception");
    CHECK(status(answer, 1) == 201);
    CHECK(status(answer, 2) == 201);
    CHECK(model.count("a") == 2);
}

TEST_CASE("model: external versions", "[F070]") {
    ModelElasticsearch model;
    const auto put = [&](int version, std::string_view type = "external") {
        return status(model.bulk("{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"version\":" + std::to_string(version) +
                                 ",\"version_type\":\"" + std::string{type} +
                                 "\"}}\n{\"v\":" + std::to_string(version) + "}\n"));
    };
    CHECK(put(5) == 201);
    CHECK(put(5) == 409);
    CHECK(put(5, "external_gte") == 200);
    CHECK(put(4, "external_gte") == 409);
    CHECK(put(7) == 200);
    CHECK(status(model.bulk(
              "{\"delete\":{\"_index\":\"a\",\"_id\":\"1\",\"version\":9,\"version_type\":\"external\"}}\n")) == 200);
    CHECK(put(8) == 409); // what was deleted at 9 stays deleted
    CHECK(model.count("a") == 0);
    CHECK(put(10) == 201);
    CHECK(model.source("a", "1") == "{\"v\":10}");
}

TEST_CASE("model: compare and set") {
    ModelElasticsearch model;
    const auto answer = model.bulk("{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n");
    const auto seq_no = item(answer, 0).at("_seq_no").as_int64();
    const auto put = [&](std::int64_t at) {
        return status(model.bulk("{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"if_seq_no\":" + std::to_string(at) +
                                 ",\"if_primary_term\":1}}\n{}\n"));
    };
    CHECK(put(10000) == 409);
    CHECK(put(seq_no) == 200);
    CHECK(put(seq_no) == 409);
}

TEST_CASE("model: an unknown pipeline fails its item only") {
    ModelElasticsearch model;
    model.add_pipeline("known");
    const auto answer = model.bulk(
        "{\"index\":{\"pipeline\":\"known\"}}\n{}\n{\"index\":{\"pipeline\":\"other\"}}\n{}\n", {.index = "a"});
    CHECK(status(answer, 0) == 201);
    CHECK(error_type(answer, 1) == "illegal_argument_exception");
    CHECK(model.count("a") == 1);
    CHECK(status(model.bulk("{\"index\":{}}\n{}\n", {.index = "a", .pipeline = "other"})) == 400);
}

TEST_CASE("model: require_alias and require_data_stream") {
    ModelElasticsearch model;
    model.add_data_stream("logs-*");
    const auto answer =
        model.bulk("{\"index\":{\"_index\":\"a\",\"require_alias\":true}}\n{}\n"
                   "{\"create\":{\"_index\":\"a\",\"require_data_stream\":true}}\n{}\n"
                   "{\"create\":{\"_index\":\"logs-x\",\"require_data_stream\":true}}\n{\"@timestamp\":1}\n");
    CHECK(status(answer, 0) == 404);
    CHECK(status(answer, 1) == 404);
    CHECK(status(answer, 2) == 201);
    CHECK_FALSE(model.exists("a"));
}

TEST_CASE("model: data streams take only create, and need @timestamp at the top") {
    ModelElasticsearch model;
    CHECK(model.put_index_template("t", R"({"index_patterns":["logs-*"],"data_stream":{}})").status == 200);
    CHECK(model.put_index_template("u", "{}").status == 400);
    const BulkParameters stream{.index = "logs-app"};
    CHECK(status(model.bulk("{\"create\":{}}\n{\"@timestamp\":\"2026-01-01T00:00:00Z\"}\n", stream)) == 201);
    CHECK(status(model.bulk("{\"index\":{}}\n{\"@timestamp\":\"2026-01-01T00:00:00Z\"}\n", stream)) == 400);
    CHECK(error_type(model.bulk("{\"create\":{}}\n{\"x\":{\"@timestamp\":1}}\n", stream)) ==
          "document_parsing_exception");
    CHECK(status(model.bulk("{\"delete\":{\"_id\":\"1\"}}\n", stream)) == 400);
    CHECK(status(model.bulk("{\"index\":{\"_index\":\"other\"}}\n{}\n", stream)) == 201);
}

TEST_CASE("model: what fails a request as a whole, and applies nothing") {
    ModelElasticsearch model;
    const std::string good = "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n";
    const auto after = [&](const std::string& line) { return refused(model.bulk(good + line)); };
    CHECK(refused(model.bulk("")) == "parse_exception");
    CHECK(after("{\"index\":{}}\n{}") == "illegal_argument_exception"); // no newline at its end
    CHECK(after("{\"put\":{\"_index\":\"a\"}}\n{}\n") == "illegal_argument_exception");
    CHECK(after("{\"index\":{\"_index\":\"a\",\"colour\":\"red\"}}\n{}\n") == "illegal_argument_exception");
    CHECK(after("{\"index\":{\"_index\":[\"a\"]}}\n{}\n") == "illegal_argument_exception");
    CHECK(after("{\"index\":{\"_index\":\"a\",\"_id\":\"\xC3\x28\"}}\n{}\n") == "parse_exception");
    CHECK(after("{\"index\":{\"_index\":\"a\"}} x\n{}\n") == "parse_exception");
    CHECK(after("{\"index\":{\"_id\":\"1\"}}\n{}\n") == "action_request_validation_exception");
    CHECK(after("{\"index\":{\"_index\":\"a\",\"_id\":\"" + std::string(513, 'x') + "\"}}\n{}\n") ==
          "action_request_validation_exception");
    for (const std::string wrong :
         {"{\"delete\":{\"_index\":\"a\"}}\n", "{\"update\":{\"_index\":\"a\"}}\n{\"doc\":{}}\n",
          "{\"index\":{\"_index\":\"a\",\"version\":1,\"version_type\":\"external\"}}\n{}\n",
          "{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"version\":1}}\n{}\n",
          "{\"create\":{\"_index\":\"a\",\"_id\":\"1\",\"version\":1,\"version_type\":\"external\"}}\n{}\n",
          "{\"update\":{\"_index\":\"a\",\"_id\":\"1\",\"version\":1,\"version_type\":\"external\"}}\n{\"doc\":{}}\n",
          "{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"if_seq_no\":1}}\n{}\n"}) {
        CAPTURE(wrong);
        CHECK(after(wrong) == "action_request_validation_exception");
    }
    CHECK(after("{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"doc\":\n") == "x_content_parse_exception");
    const auto empty_action = model.bulk(good + "{}\n{}\n");
    CHECK(refused(empty_action) == "illegal_argument_exception");
    CHECK(empty_action.body.find("Malformed action/metadata line [3], expected FIELD_NAME but found [END_OBJECT]") !=
          std::string::npos);
    CHECK_FALSE(model.exists("a"));
}

TEST_CASE("model: an id of 512 bytes is the longest") {
    ModelElasticsearch model;
    const std::string id(512, 'x');
    CHECK(status(model.bulk("{\"index\":{\"_index\":\"a\",\"_id\":\"" + id + "\"}}\n{}\n")) == 201);
    CHECK(model.source("a", id));
}

TEST_CASE("model: a last action without its document is dropped silently") {
    ModelElasticsearch model;
    const auto answer = model.bulk("{\"index\":{\"_index\":\"a\"}}\n{}\n{\"index\":{\"_index\":\"a\"}}\n");
    CHECK_FALSE(errors(answer));
    CHECK(json::parse(answer.body).at("items").as_array().size() == 1);
}

TEST_CASE("model: blank lines and carriage returns") {
    ModelElasticsearch model;
    const auto answer = model.bulk("\n{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\r\n{\"n\":1}\r\n\n"
                                   "{\"index\":{\"_index\":\"a\",\"_id\":\"2\"}}\n\n");
    CHECK(status(answer, 0) == 201);
    CHECK(error_type(answer, 1) == "document_parsing_exception"); // a blank line for a document
    CHECK(model.source("a", "1") == "{\"n\":1}");
}

TEST_CASE("model: escapes in the action line are resolved, unusual spacing is fine") {
    ModelElasticsearch model;
    const auto answer =
        model.bulk("{ \"index\" : { \"_id\":\"a\\\"\\u00e9\" , \"_index\":\"i\", \"routing\":7 } }\n{}\n"
                   "{\"index\":{\"_index\":\"i\",\"_id\":\"\xC3\xA9\"}}\n{}\n"
                   "{\"index\":{\"_index\":\"i\",\"_id\":12}}\n{}\n");
    CHECK_FALSE(errors(answer));
    CHECK(model.source("i", "a\"\xC3\xA9"));
    CHECK(model.source("i", "\xC3\xA9"));
    CHECK(model.source("i", "12"));
}

TEST_CASE("model: index names") {
    ModelElasticsearch model;
    for (const std::string name : {"Logs", "_a", "-a", "a b", "a*", "..", "a,b", "a#"}) {
        CAPTURE(name);
        const auto answer =
            model.bulk("{\"index\":{\"_index\":\"" + name + "\"}}\n{}\n{\"index\":{\"_index\":\"fine\"}}\n{}\n");
        CHECK(error_type(answer, 0) == "invalid_index_name_exception");
        CHECK(status(answer, 1) == 201);
    }
    CHECK(model.indices() == std::vector<std::string>{"fine"});
}

TEST_CASE("model: documents are checked as strictly as a JSON parser does, and for valid UTF-8") {
    const std::vector<std::string> good = {
        "{}", " { } ", R"({"a":[],"b":[1,-0,0.5,1e9,2E-3,-12.25e+7],"c":{"d":null,"e":true,"f":false}})",
        R"({"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"})",
        "{\"a\":\"\x7F\xC2\x80\xE0\xA0\x80\xED\x9F\xBF\xF0\x90\x80\x80"
        "\xF4\x8F\xBF\xBF\"}"};
    const std::vector<std::string> bad = {"",
                                          " ",
                                          "[]",
                                          "1",
                                          "\"a\"",
                                          "null",
                                          "{",
                                          "}",
                                          "{}}",
                                          "{} {}",
                                          "{\"a\"}",
                                          "{\"a\":}",
                                          "{\"a\":1,}",
                                          "{,}",
                                          "{a:1}",
                                          "{'a':1}",
                                          "{\"a\":01}",
                                          "{\"a\":+1}",
                                          "{\"a\":1.}",
                                          "{\"a\":.5}",
                                          "{\"a\":1e}",
                                          "{\"a\":-}",
                                          "{\"a\":NaN}",
                                          "{\"a\":tru}",
                                          "{\"a\":[1,]}",
                                          "{\"a\":[1 2]}",
                                          "{\"a\":[}",
                                          "{\"a\":\"x}",
                                          "{\"a\":\"\\x\"}",
                                          "{\"a\":\"\\u12g4\"}",
                                          "{\"a\":\"\t\"}",
                                          "{\"a\":1 \"b\":2}",
                                          "\xEF\xBB\xBF{}",
                                          "{\"a\":\"\x80\"}",
                                          "{\"a\":\"\xC0\x80\"}",
                                          "{\"a\":\"\xE0\x80\x80\"}",
                                          "{\"a\":\"\xED\xA0\x80\"}",
                                          "{\"a\":\"\xF4\x90\x80\x80\"}",
                                          "{\"a\":\"\xF8\x88\x80\x80\x80\"}",
                                          "{\"a\":\"\xC3\"}",
                                          "{\"a\":\"\xE2\x98"};
    const auto agree = [](const std::string& text) {
        boost::system::error_code error;
        const auto value = json::parse(text, error);
        return !error && value.is_object();
    };
    for (const auto& text : good) {
        CAPTURE(text);
        CHECK(agree(text));
        CHECK(bulkhead::test::detail::DocumentCheck{text}.valid());
    }
    for (const auto& text : bad) {
        CAPTURE(text);
        CHECK_FALSE(agree(text));
        CHECK_FALSE(bulkhead::test::detail::DocumentCheck{text}.valid());
    }
    for (const auto& text : good) // cut short, none is one any more
        for (std::size_t size = 0; size < text.find_last_of('}'); ++size)
            CHECK_FALSE(bulkhead::test::detail::DocumentCheck{std::string_view{text}.substr(0, size)}.valid());
    const auto nested = [](std::size_t depth) {
        return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
    };
    CHECK(bulkhead::test::detail::DocumentCheck{nested(1000)}.valid());
    CHECK_FALSE(bulkhead::test::detail::DocumentCheck{nested(1001)}.valid());
    CHECK_FALSE(bulkhead::test::detail::DocumentCheck{nested(10'000'000)}.valid());
}

TEST_CASE("model: an invalid document fails alone") {
    ModelElasticsearch model;
    const auto answer =
        model.bulk("{\"index\":{}}\n{\"n\":1}\n{\"index\":{}}\n{\"n\":\"\xFF\"}\n{\"index\":{}}\n{\"n\":\n"
                   "{\"index\":{}}\n{\"n\":2}\n",
                   {.index = "a"});
    CHECK(status(answer, 0) == 201);
    CHECK(error_type(answer, 1) == "document_parsing_exception");
    CHECK(error_type(answer, 2) == "document_parsing_exception");
    CHECK(status(answer, 3) == 201);
    CHECK(model.count("a") == 2);
}

TEST_CASE("model: filter_path", "[F009]") {
    ModelElasticsearch model;
    const std::string body = "{\"create\":{\"_id\":\"1\"}}\n{}\n{\"create\":{\"_id\":\"2\"}}\n{}\n";
    const auto ask = [&](std::string_view filter) {
        return model.bulk(body, {.index = "a", .filter_path = std::string{filter}}).body;
    };
    CHECK(ask(library_filter) == R"({"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]})");
    const auto conflicts = ask(library_filter);
    CHECK(conflicts.find(R"({"errors":true,"items":[{"create":{"status":409,"error":{"type":"version_conflict)") == 0);
    CHECK(conflicts.find(R"("reason":"[2]: version conflict"}}}]})") != std::string::npos);
    CHECK(ask("errors,items.*.error.type") ==
          R"({"errors":true,"items":[{"create":{"error":{"type":"version_conflict_engine_exception"}}},)"
          R"({"create":{"error":{"type":"version_conflict_engine_exception"}}}]})");
    CHECK(ask("nothing") == "{}");
    (void)model.bulk("{\"delete\":{\"_id\":\"2\"}}\n", {.index = "a"});
    // Successes are pruned: the server's trap that costs positions.
    CHECK(ask("items.*.error.type") ==
          R"({"items":[{"create":{"error":{"type":"version_conflict_engine_exception"}}}]})");
    CHECK(ask("items.*._id,items.*.status") ==
          R"({"items":[{"create":{"_id":"1","status":409}},{"create":{"_id":"2","status":409}}]})");
    const auto whole = json::parse(ask("")).as_object();
    CHECK(whole.contains("took"));
    CHECK(whole.at("items").at(0).at("create").at("_index") == "a");
}

TEST_CASE("model: applying a part, as a crash does") {
    ModelElasticsearch model;
    const std::string body = "{\"create\":{\"_id\":\"1\"}}\n{}\n{\"create\":{\"_id\":\"2\"}}\n{}\n";
    const auto answer = model.bulk(body, {.index = "a", .most_operations = 1});
    CHECK(json::parse(answer.body).at("items").as_array().size() == 1);
    CHECK(model.count("a") == 1);
    CHECK(status(model.bulk(body, {.index = "a"}), 0) == 409);
    CHECK(model.count("a") == 2);
    CHECK(model.times_applied("a", "1") == 1);
}

TEST_CASE("model: for_each sees each document once, not the deleted ones") {
    ModelElasticsearch model;
    std::string body;
    for (int i = 0; i < 1000; ++i)
        body += "{\"index\":{\"_id\":\"" + std::to_string(i) + "\"}}\n{\"n\":" + std::to_string(i) + "}\n";
    body += "{\"delete\":{\"_id\":\"500\"}}\n";
    CHECK_FALSE(errors(model.bulk(body, {.index = "a"})));
    std::size_t seen = 0;
    std::size_t wrong = 0;
    model.for_each("a", [&](std::string_view id, std::string_view source) {
        ++seen;
        wrong += source != "{\"n\":" + std::string{id} + "}" || id == "500" ? 1U : 0U;
    });
    CHECK(seen == 999);
    CHECK(wrong == 0);
    CHECK(model.count("a") == 999);
}

namespace {

/// `count` operations with the ids 0 and up, of index `index`.
std::string numbered(std::size_t count, const std::string& index = "a") {
    std::string body;
    for (std::size_t i = 0; i < count; ++i)
        body += R"({"index":{"_index":")" + index + R"(","_id":")" + std::to_string(i) + "\"}}\n{}\n";
    return body;
}

} // namespace

TEST_CASE("model: a request fails by its size") {
    ModelElasticsearch model;
    model.troubles.most_bytes = numbered(3).size();
    SECTION("bytes: the limit itself passes") {
        CHECK(model.bulk(numbered(3)).status == 200);
        const auto answer = model.bulk(numbered(4));
        CHECK(answer.status == 429);
        CHECK(answer.body.find("circuit_breaking_exception") != std::string::npos);
        CHECK(model.count("a") == 3);
    }
    SECTION("operations") {
        model.troubles.most_bytes = ServerTroubles::unlimited;
        model.troubles.most_operations = 2;
        model.troubles.over_limit = {WholeFailure::Kind::gateway, true};
        CHECK(model.bulk(numbered(2)).status == 200);
        CHECK(model.bulk(numbered(3)).status == 504);
        CHECK(model.count("a") == 3); // applied all the same
    }
    SECTION("by a reset") {
        model.troubles.over_limit.kind = WholeFailure::Kind::reset;
        const auto answer = model.bulk(numbered(4));
        CHECK(answer.reset);
        CHECK(answer.status == 0);
        CHECK(answer.body.empty());
        CHECK(model.count("a") == 0);
    }
    SECTION("by 500 and 503") {
        model.troubles.over_limit.kind = WholeFailure::Kind::error;
        CHECK(model.bulk(numbered(4)).status == 500);
        model.troubles.over_limit.kind = WholeFailure::Kind::unavailable;
        CHECK(model.bulk(numbered(4)).status == 503);
    }
    model.troubles = {};
    CHECK(model.bulk(numbered(4)).status == 200);
}

TEST_CASE("model: a request takes time by its operations, and is applied before it is answered") {
    using namespace std::chrono_literals;
    ModelElasticsearch model;
    CHECK(model.bulk(numbered(3)).took == 0ns);
    model.troubles.time_per_operation = 10ms;
    CHECK(model.bulk(numbered(3)).took == 30ms);
    CHECK(model.bulk(numbered(500)).took == 5s);
    CHECK(model.count("a") == 500);
    model.troubles.most_operations = 5;
    CHECK(model.bulk(numbered(6)).took == 60ms); // a failure takes its time, too
}

TEST_CASE("model: a request that holds the poison fails as a whole") {
    ModelElasticsearch model;
    model.troubles.poison = R"("_id":"2")";
    CHECK(model.bulk(numbered(2)).status == 200);
    CHECK(model.bulk(numbered(3)).status == 500);
    CHECK(model.count("a") == 2);
    model.troubles.poisoned = {WholeFailure::Kind::reset, true};
    CHECK(model.bulk(numbered(3)).reset);
    CHECK(model.count("a") == 3);
}

TEST_CASE("model: operations are refused item by item, for as long as a test wants") {
    ModelElasticsearch model;
    model.troubles.refused_items = ItemRefusal{};
    const auto answer = model.bulk(numbered(2));
    CHECK(status(answer, 0) == 503);
    CHECK(status(answer, 1) == 503);
    CHECK(error_type(answer, 1) == "unavailable_shards_exception");
    CHECK(model.count("a") == 0);

    SECTION("one shard of some: an id belongs to one") {
        model.troubles.refused_items->one_shard_of = 3;
        const auto first = model.bulk(numbered(30));
        const auto second = model.bulk(numbered(30));
        std::size_t refused_here = 0;
        for (std::size_t i = 0; i < 30; ++i) {
            refused_here += status(first, i) == 503 ? 1U : 0U;
            CHECK((status(first, i) == 503) == (status(second, i) == 503));
        }
        CHECK(refused_here > 3);
        CHECK(refused_here < 20);
        CHECK(model.count("a") == 30 - refused_here);
        CHECK(status(model.bulk("{\"index\":{\"_index\":\"a\"}}\n{}\n")) == 503); // without an id
    }
    SECTION("by the index, which goes before") {
        model.troubles.blocked_indices["b"] = {403, "cluster_block_exception",
                                               "blocked by: [FORBIDDEN/8/index write];"};
        const auto both = model.bulk(numbered(1) + numbered(1, "b"));
        CHECK(error_type(both, 0) == "unavailable_shards_exception");
        CHECK(error_type(both, 1) == "cluster_block_exception");
        CHECK(status(both, 1) == 403);
        model.troubles.refused_items.reset();
        const auto rest = model.bulk(numbered(1) + numbered(1, "b"));
        CHECK(status(rest, 0) == 201);
        CHECK(status(rest, 1) == 403);
        CHECK_FALSE(model.exists("b"));
    }
    model.troubles = {};
    CHECK_FALSE(errors(model.bulk(numbered(2) + numbered(2, "b"))));
}
