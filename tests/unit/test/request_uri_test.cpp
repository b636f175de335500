// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/detail/request_uri.hpp>

#include <string>
#include <vector>

namespace uri = bulkhead::test::detail;

TEST_CASE("request URI: the steps of a path are decoded, each by itself") {
    CHECK(uri::path_steps("/").empty());
    CHECK(uri::path_steps("/_bulk") == std::vector<std::string>{"_bulk"});
    CHECK(uri::path_steps("/logs/_doc/a%2Fb%20c") == std::vector<std::string>{"logs", "_doc", "a/b c"});
    CHECK(uri::path_steps("/a%2") == std::vector<std::string>{"a%2"}); // not an escape
    CHECK(uri::path_steps("/a%zz") == std::vector<std::string>{"a%zz"});
}

TEST_CASE("request URI: a query parameter may have no value, and may be absent") {
    CHECK(uri::query_parameter("/_bulk?pipeline=p%2B1&v", "pipeline") == "p+1");
    CHECK(uri::query_parameter("/_bulk?pipeline=p&v", "v") == "");
    CHECK_FALSE(uri::query_parameter("/_bulk?pipeline=p&v", "pipe"));
    CHECK_FALSE(uri::query_parameter("/_bulk", "v"));
}
