// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/encode/request_target.hpp>

#include <algorithm>
#include <string>
#include <string_view>

using namespace bulkhead;

TEST_CASE("the answer is asked for with a leaf in each item", "[request_target][F017]") {
    const auto plain = bulk_target({}, false);
    CHECK(plain == "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,"
                   "items.*.failure_store");
    CHECK(bulk_target({}, true) == plain + ",items.*.result");
}

TEST_CASE("request defaults travel in the query, and only when given", "[request_target]") {
    const auto plain = bulk_target({}, false);
    CHECK(bulk_target({.pipeline = "logs", .refresh = "wait_for", .timeout = "1m", .wait_for_active_shards = "all"},
                      false) == plain + "&pipeline=logs&refresh=wait_for&timeout=1m&wait_for_active_shards=all");
    RequestDefaults defaults;
    defaults.timeout = "30s";
    CHECK(bulk_target(defaults, false) == plain + "&timeout=30s");
}

TEST_CASE("no value of a request default can leave its place in the query", "[request_target]") {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    RequestDefaults defaults;
    defaults.pipeline = all;
    defaults.timeout = "a&refresh=true#x y\r\nHost: z";
    const auto target = bulk_target(defaults, false);
    for (const char c : target) {
        const auto byte = static_cast<unsigned char>(c);
        CHECK((byte > 0x20 && byte < 0x7F && c != '#'));
    }
    CHECK(std::count(target.begin(), target.end(), '&') == 2);
    CHECK(target.find("&timeout=a%26refresh%3Dtrue%23x%20y%0D%0AHost%3A%20z") != std::string::npos);
}

TEST_CASE("percent encoding keeps the unreserved characters and can be undone", "[request_target]") {
    constexpr std::string_view unreserved = "ABCXYZabcxyz0123456789-._~";
    CHECK(percent_encoded(unreserved) == unreserved);
    CHECK(percent_encoded("").empty());
    CHECK(percent_encoded("a b/c%ü") == "a%20b%2Fc%25%C3%BC");
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    const auto encoded = percent_encoded(all);
    std::string decoded;
    for (std::size_t i = 0; i < encoded.size(); ++i) {
        if (encoded[i] != '%') {
            decoded += encoded[i];
            continue;
        }
        decoded += static_cast<char>(std::stoi(encoded.substr(i + 1, 2), nullptr, 16));
        i += 2;
    }
    CHECK(decoded == all);
}
