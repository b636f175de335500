// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/encode/source_line.hpp>

using bulkhead::detail::has_newline_in_string;
using bulkhead::detail::trim_json_space;

TEST_CASE("white space around a document goes, within it stays") {
    CHECK(trim_json_space(R"({"a": 1})") == R"({"a": 1})");
    CHECK(trim_json_space(" \t\r\n{\"a\": 1}\n\n ") == "{\"a\": 1}");
    CHECK(trim_json_space("\n{}") == "{}");
    CHECK(trim_json_space("{}\n") == "{}");
    CHECK(trim_json_space(" \n\t ").empty());
    CHECK(trim_json_space("").empty());
    CHECK(trim_json_space("\v{}") == "\v{}"); // no white space of JSON
}

TEST_CASE("a newline inside a string is distinguished from one between values") {
    CHECK_FALSE(has_newline_in_string("{\n\"a\"\n:\n\"b\"\n}"));
    CHECK(has_newline_in_string("{\"a\": \"b\nc\"}"));
    CHECK(has_newline_in_string("{\"a\nb\": 1}"));
    CHECK_FALSE(has_newline_in_string("{\"a\": \"b\\\"\", \n\"c\": 1}")); // an escaped quotation mark ends no string
    CHECK(has_newline_in_string("{\"a\": \"b\\\"\n\"}"));
    CHECK_FALSE(has_newline_in_string("{\"a\": \"b\\\\\"\n}")); // an escaped backslash, and the string ends
    CHECK(has_newline_in_string("{\"a\": \"b\\\n\"}"));         // a newline cannot be escaped
    CHECK_FALSE(has_newline_in_string("{\"a\": \"b\\"));
}
