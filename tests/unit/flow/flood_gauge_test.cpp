// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/dead_letter.hpp>

#include <cstddef>

using bulkhead::FloodOptions;
using TestedGauge = bulkhead::detail::FloodGauge;

TEST_CASE("flood gauge: a flood needs so many operations, and more than its share of them", "[F287]") {
    TestedGauge gauge{{.percent = 50, .operations = 1000}};
    CHECK_FALSE(gauge.judge(100, 100)); // 100 of 100: too few to say
    CHECK_FALSE(gauge.judge(300, 300));
    CHECK_FALSE(gauge.flooded());
    CHECK_FALSE(gauge.judge(599, 200)); // 600 of 999
    CHECK(gauge.judge(1, 0));           // 600 of 1000
    CHECK(gauge.flooded());
}

TEST_CASE("flood gauge: exactly its share is no flood", "[F287]") {
    TestedGauge gauge{{.percent = 50, .operations = 1000}};
    CHECK_FALSE(gauge.judge(500, 500));
    CHECK_FALSE(gauge.judge(500, 0));
    CHECK(gauge.judge(1, 1)); // one more
}

TEST_CASE("flood gauge: what one answer refuses is not a flood by itself", "[F287]") {
    TestedGauge gauge{{.percent = 50, .operations = 100}};
    CHECK_FALSE(gauge.judge(1000, 1000)); // the window grows with the largest answer
    SECTION("nor with as many that went well") {
        CHECK_FALSE(gauge.judge(1000, 0));
        CHECK_FALSE(gauge.flooded());
    }
    SECTION("three in a row are one") {
        CHECK_FALSE(gauge.judge(1000, 1000));
        CHECK(gauge.judge(1000, 1000));
    }
}

TEST_CASE("flood gauge: a flood is over with an answer that is not a part of one, and a batch does not start it again",
          "[F287]") {
    TestedGauge gauge{{.percent = 50, .operations = 1000}};
    CHECK_FALSE(gauge.judge(500, 500));
    REQUIRE(gauge.judge(600, 500));
    CHECK(gauge.judge(100, 60)); // goes on
    CHECK_FALSE(gauge.judge(100, 50));
    CHECK_FALSE(gauge.flooded());
    // What waited is judged anew, and passes for its largest part.
    CHECK_FALSE(gauge.judge(600, 500));
    CHECK_FALSE(gauge.judge(600, 500));
    // But when no end comes of it, it is a flood again.
    bool again = false;
    for (int i = 0; i < 10 && !again; ++i) again = gauge.judge(500, 500);
    CHECK(again);
}

TEST_CASE("flood gauge: what was long ago counts less and less", "[F287]") {
    TestedGauge gauge{{.percent = 50, .operations = 100}};
    for (int i = 0; i < 1000; ++i) REQUIRE_FALSE(gauge.judge(10, 0)); // 10,000 that went well
    std::size_t refused = 0;
    while (!gauge.judge(10, 10)) refused += 10;
    CHECK(refused < 400);
}

TEST_CASE("flood gauge: 0 percent is never a flood, 100 percent neither", "[F287]") {
    for (const std::uint32_t percent : {0U, 100U}) {
        TestedGauge gauge{{.percent = percent, .operations = 10}};
        for (int i = 0; i < 100; ++i) CHECK_FALSE(gauge.judge(1000, 1000));
        CHECK_FALSE(gauge.flooded());
    }
}

TEST_CASE("flood gauge: a small share is a flood where the user says so", "[F287]") {
    TestedGauge gauge{{.percent = 1, .operations = 1000}};
    CHECK_FALSE(gauge.judge(1000, 10));
    CHECK(gauge.judge(1000, 11));
}
