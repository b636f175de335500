// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/detail/document_check.hpp>

#include <string>
#include <string_view>

using bulkhead::test::detail::DocumentCheck;

TEST_CASE("document check: one JSON object in UTF-8, and nothing else") {
    for (const std::string_view valid : {"{}", " { } ", R"({"a":[1,-2.5e+3,true,false,null,"\u00e9\n"],"b":{"c":{}}})",
                                         "{\"a\":\"\xc3\xa9\"}", "{\"a\":\"\xf0\x9f\x98\x80\"}", R"({"a":0})"}) {
        CAPTURE(valid);
        CHECK(DocumentCheck{valid}.valid());
    }
    for (const std::string_view invalid : {"",
                                           "[]",
                                           "1",
                                           "{",
                                           "{}x",
                                           "{} {}",
                                           R"({"a"})",
                                           R"({"a":})",
                                           R"({"a":1,})",
                                           R"({a:1})",
                                           R"({"a":01})",
                                           R"({"a":1.})",
                                           R"({"a":"\x"})",
                                           R"({"a":"\u12g4"})",
                                           "{\"a\":\"\n\"}",
                                           "{\"a\":\"\xc0\x80\"}",
                                           "{\"a\":\"\xed\xa0\x80\"}",
                                           "{\"a\":\"\xf4\x90\x80\x80\"}",
                                           "{\"a\":\"\xe2\x82\"}",
                                           R"({"a":tru})",
                                           R"({"a":[1,]})"}) {
        CAPTURE(invalid);
        CHECK_FALSE(DocumentCheck{invalid}.valid());
    }
}

TEST_CASE("document check: nesting ends at a depth of 1000") {
    const auto nested = [](std::size_t depth) {
        return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
    };
    CHECK(DocumentCheck{nested(1000)}.valid());
    CHECK_FALSE(DocumentCheck{nested(1001)}.valid());
}

TEST_CASE("document check: only an @timestamp of the document itself counts") {
    CHECK(DocumentCheck{R"({"a":1,"@timestamp":2})"}.has_timestamp());
    CHECK_FALSE(DocumentCheck{R"({"a":{"@timestamp":2}})"}.has_timestamp());
    CHECK_FALSE(DocumentCheck{R"({"a":"@timestamp"})"}.has_timestamp());
    CHECK_FALSE(DocumentCheck{R"({"@timestamps":2})"}.has_timestamp());
}
