// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/text/printable.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

using bulkhead::detail::current_error;
using bulkhead::detail::fitting;
using bulkhead::detail::printable;
using namespace std::string_view_literals;

TEST_CASE("text of others stays one line of a log and controls no terminal") {
    CHECK(printable("plain, \u00e4\u00f6\u00fc \u20ac") == "plain, \u00e4\u00f6\u00fc \u20ac");
    CHECK(printable("a\nb\rc\td\x1b[31m"sv) == "a b c d [31m");
    CHECK(printable("\0\x7f"sv) == "  ");
    CHECK(printable("\xc2\x9b"
                    "31m"sv) == "  31m");         // CSI, as UTF-8 writes it
    CHECK(printable("\xc2\xa0"sv) == "\xc2\xa0"); // the first that is no control character
    CHECK(printable("ends with \xc2"sv) == "ends with \xc2");
}

TEST_CASE("text is cut where a UTF-8 character ends") {
    CHECK(fitting("abc", 3) == "abc");
    CHECK(fitting("abc", 2) == "ab");
    const std::string_view euro = "a\u20ac"; // three bytes
    CHECK(fitting(euro, 4) == euro);
    CHECK(fitting(euro, 3) == "a");
    CHECK(fitting(euro, 1) == "a");
    CHECK(fitting("\x80\x80\x80", 2).empty()); // not UTF-8
    CHECK(printable(std::string(1000, 'x')).size() == 256);
    CHECK(printable(std::string(1000, 'x'), 10).size() == 10);
}

TEST_CASE("the text of the exception that is being handled") {
    const auto text_of = [](const auto& thrown) {
        try {
            throw thrown;
        } catch (...) {
            return current_error();
        }
    };
    CHECK(text_of(std::runtime_error{"it\nfailed"}) == "it failed");
    CHECK(text_of(7) == "an exception that is no std::exception");
}
