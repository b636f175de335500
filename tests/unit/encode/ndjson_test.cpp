// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/kept.hpp"

#include <bulkhead/detail/encode/ndjson.hpp>

#include <boost/json/parse.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

using namespace bulkhead;
using bulkhead_test::field_of;

namespace {

/// The code point as UTF-8 by the table of RFC 3629, surrogates and too large ones included.
std::string encoded(std::uint32_t code) {
    const auto byte = [](std::uint32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
    if (code < 0x80) return {byte(code)};
    if (code < 0x800) return {byte(0xC0 | (code >> 6U)), byte(0x80 | (code & 0x3FU))};
    if (code < 0x10000)
        return {byte(0xE0 | (code >> 12U)), byte(0x80 | ((code >> 6U) & 0x3FU)), byte(0x80 | (code & 0x3FU))};
    return {byte(0xF0 | (code >> 18U)), byte(0x80 | ((code >> 12U) & 0x3FU)), byte(0x80 | ((code >> 6U) & 0x3FU)),
            byte(0x80 | (code & 0x3FU))};
}

} // namespace

TEST_CASE("UTF-8 is valid exactly for the code points that there are", "[ndjson][F088][F089]") {
    std::size_t wrong = 0;
    for (std::uint32_t code = 0; code < 0x120000; ++code) {
        const bool exists = code < 0x110000 && !(code >= 0xD800 && code < 0xE000);
        if (is_utf8(encoded(code)) != exists) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(is_utf8(""));
    CHECK(is_utf8(std::string_view{"a\0b", 3}));
    CHECK(is_utf8("aé€😀z"));
    for (const auto* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF",
                            "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "a\xC3(",
                            "\xE2\x82(", "\xF0\x9F\x98(", "\xC3\xA9\xA9", "\xED\xA0\xBD\xED\xB8\x80"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_utf8(bad));
        CHECK_FALSE(is_utf8(std::string{"ok"} + bad));
        CHECK_FALSE(is_utf8(bad + std::string{"ok"}));
    }
}

TEST_CASE("any valid text survives being quoted", "[ndjson][F088]") {
    const auto check = [](const std::string& text) {
        std::string quoted;
        append_json_string(quoted, text);
        for (const char c : quoted) CHECK(static_cast<unsigned char>(c) >= 0x20);
        boost::system::error_code error;
        const auto value = boost::json::parse(quoted, error);
        REQUIRE_FALSE(error);
        REQUIRE(value.is_string());
        CHECK(std::string_view{value.get_string()} == text);
    };
    std::string all;
    for (std::uint32_t code = 0; code < 0x100; ++code) {
        check(encoded(code));
        all += encoded(code);
    }
    for (std::size_t length = 1; length < 20; ++length) { // it is looked at eight bytes at a time
        for (std::size_t at = 0; at < length; ++at) {
            for (const char special : {'"', '\\', '\0', '\n', '\x1F', ' ', '!', '#', '[', ']', '\x7F'}) {
                std::string text(length, 'x');
                text[at] = special;
                check(text);
                CHECK(is_utf8(text));
                text[at] = '\xFF';
                CHECK_FALSE(is_utf8(text));
            }
        }
    }
    check("");
    check(all);
    check(all + all);
    check("\"\"\\\\\"");
    check("\\u0000\\n");
    check(std::string(3, '\0'));
    check("line\xE2\x80\xA8separator\xE2\x80\xA9s \xF0\x9F\x98\x80 \x7F");
    check(std::string(1000, '"'));
}

TEST_CASE("index names by Elasticsearch's rules", "[ndjson][F093]") {
    for (const std::string_view good : {"logs", "logs-apm.app-default", ".ds-logs-2026.11.23-000001", "a", "...", "äöü",
                                        "日本", "log_s", "log-s", "log+s", "1", "a%2fb", "a:b"}) {
        CAPTURE(good);
        CHECK_FALSE(check_index_name(good));
    }
    CHECK_FALSE(check_index_name(std::string(255, 'a')));
    for (const std::string_view bad :
         {"",     ".",   "..",     "-a",   "_a",    "+a",   "Logs",  "logS", "../x", "a/_delete_by_query",
          "a\\b", "a*",  "a?",     "a\"b", "a<b",   "a>b",  "a|b",   "a b",  "a,b",  "a#b",
          " a",   "a\n", "a\r\nb", "a\tb", "a\x7F", "_all", "a\xFF", "\xC3"}) {
        CAPTURE(bad);
        CHECK(field_of(check_index_name(bad)) == "index");
    }
    CHECK(check_index_name(std::string(256, 'a')));
    CHECK(check_index_name(std::string_view{"a\0b", 3}));
    std::string wide; // 256 bytes, 128 characters
    for (int i = 0; i < 128; ++i) wide += "é";
    CHECK(check_index_name(wide));
}

TEST_CASE("an id has 1 to 512 bytes of UTF-8", "[ndjson][F089][F092]") {
    const auto check = [](std::string_view id) {
        return field_of(bulkhead::detail::check_metadata({.action = Action::index, .id = id, .source = "{}"}));
    };
    CHECK(check("1") == "nothing");
    CHECK(check(std::string(511, 'a')) == "nothing");
    CHECK(check(std::string(512, 'a')) == "nothing");
    CHECK(check(std::string(513, 'a')) == "id");
    CHECK(check(std::string(510, 'a') + "é") == "nothing");
    CHECK(check(std::string(511, 'a') + "é") == "id"); // 512 characters, but 513 bytes
    CHECK(check("") == "id");
    CHECK(check("\xFF") == "id");
    CHECK(check("a\xC3") == "id");
    CHECK(check("\xED\xA0\x80") == "id");
    CHECK(check(std::string_view{"a\0b\"\\", 5}) == "nothing");
}

TEST_CASE("routing and pipeline may be absent, but not empty or broken", "[ndjson][F089]") {
    CHECK(field_of(bulkhead::detail::check_metadata({.routing = "", .source = "{}"})) == "routing");
    CHECK(field_of(bulkhead::detail::check_metadata({.routing = "\xFF", .source = "{}"})) == "routing");
    CHECK(field_of(bulkhead::detail::check_metadata({.pipeline = "", .source = "{}"})) == "pipeline");
    CHECK(field_of(bulkhead::detail::check_metadata({.pipeline = "\xFF", .source = "{}"})) == "pipeline");
    CHECK(field_of(bulkhead::detail::check_metadata({.routing = "r", .pipeline = "_none", .source = "{}"})) ==
          "nothing");
}

TEST_CASE("what the server would refuse the whole request for is refused before", "[ndjson][F099]") {
    struct Row {
        const char* what;
        Operation op;
        const char* field;
    };
    const Row rows[] = {
        {"delete", {.action = Action::delete_, .id = "1"}, "nothing"},
        {"delete without id", {.action = Action::delete_}, "id"},
        {"update", {.action = Action::update, .id = "1"}, "nothing"},
        {"update without id", {.action = Action::update}, "id"},
        {"pipeline on update", {.action = Action::update, .id = "1", .pipeline = "p"}, "pipeline"},
        {"pipeline on delete", {.action = Action::delete_, .id = "1", .pipeline = "p"}, "pipeline"},
        {"version", {.id = "1", .version = 5}, "nothing"},
        {"version 0", {.id = "1", .version = 0}, "nothing"},
        {"version on delete", {.action = Action::delete_, .id = "1", .version = 5}, "nothing"},
        {"version on update", {.action = Action::update, .id = "1", .version = 5}, "version"},
        {"version on create", {.action = Action::create, .id = "1", .version = 5}, "version"},
        {"version without id", {.version = 5}, "version"},
        {"negative version", {.id = "1", .version = -1}, "version"},
        {"condition", {.id = "1", .if_seq_no = 0, .if_primary_term = 1}, "nothing"},
        {"condition on update", {.action = Action::update, .id = "1", .if_seq_no = 3, .if_primary_term = 1}, "nothing"},
        {"half a condition", {.id = "1", .if_seq_no = 1}, "if_seq_no"},
        {"the other half", {.id = "1", .if_primary_term = 1}, "if_seq_no"},
        {"condition on create",
         {.action = Action::create, .id = "1", .if_seq_no = 1, .if_primary_term = 1},
         "if_seq_no"},
        {"condition without id", {.if_seq_no = 1, .if_primary_term = 1}, "if_seq_no"},
        {"condition and version", {.id = "1", .version = 1, .if_seq_no = 1, .if_primary_term = 1}, "if_seq_no"},
        {"negative sequence number", {.id = "1", .if_seq_no = -1, .if_primary_term = 1}, "if_seq_no"},
        {"term 0", {.id = "1", .if_seq_no = 1, .if_primary_term = 0}, "if_primary_term"},
        {"retries", {.action = Action::update, .id = "1", .retry_on_conflict = 3}, "nothing"},
        {"retries on index", {.id = "1", .retry_on_conflict = 3}, "retry_on_conflict"},
        {"retries and condition",
         {.action = Action::update, .id = "1", .if_seq_no = 1, .if_primary_term = 1, .retry_on_conflict = 3},
         "retry_on_conflict"},
        {"templates", {.dynamic_templates = R"({"a":"b"})"}, "nothing"},
        {"templates on update", {.action = Action::update, .id = "1", .dynamic_templates = "{}"}, "dynamic_templates"},
        {"templates that are no object", {.dynamic_templates = "[]"}, "dynamic_templates"},
        {"templates that are no JSON", {.dynamic_templates = R"({"a":)"}, "dynamic_templates"},
        {"templates that end the line", {.dynamic_templates = "{}}\n{}"}, "dynamic_templates"},
        {"templates with more behind", {.dynamic_templates = R"({},"_id":"x")"}, "dynamic_templates"},
        {"templates of broken bytes", {.dynamic_templates = "{\"\xFF\":\"b\"}"}, "dynamic_templates"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        CHECK(field_of(bulkhead::detail::check_metadata(row.op)) == row.field);
    }
}

TEST_CASE("an action line's beginning is remembered for a handful of indices", "[ndjson]") {
    bulkhead::detail::ActionLines lines;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 20; ++i) {
            const auto index = "logs-" + std::to_string(i);
            const auto* create = lines.find(Action::create, index);
            REQUIRE(create != nullptr);
            CHECK(*create == R"({"create":{"_index":")" + index + '"');
            const auto* remove = lines.find(Action::delete_, index);
            REQUIRE(remove != nullptr);
            CHECK(*remove == R"({"delete":{"_index":")" + index + '"');
        }
        CHECK(lines.find(Action::index, "Bad") == nullptr);
        CHECK(lines.find(Action::index, "") == nullptr);
    }
}
