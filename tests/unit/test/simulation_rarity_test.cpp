// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include "simulation/indexer/coverage.hpp"
#include "simulation/simulation_rarity.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace lives = bulkhead::test::simulation;

TEST_CASE("simulation: a run must have seen what so many lives are certain to see, and nothing rarer", "[F285]") {
    constexpr std::array rare{lives::Rarity{"comet", 100}, lives::Rarity{"rain", 2}};
    CHECK_FALSE(lives::must_be_seen("comet", 1999, rare));
    CHECK(lives::must_be_seen("comet", 2000, rare));
    CHECK_FALSE(lives::must_be_seen("rain", 39, rare));
    CHECK(lives::must_be_seen("rain", 40, rare));
    CHECK_FALSE(lives::must_be_seen("wind", 199, rare)); // which has no rarity of its own
    CHECK(lives::must_be_seen("wind", 200, rare));
    CHECK_FALSE(lives::must_be_seen("wind", 0, {}));
}

TEST_CASE("simulation: what is rare in the life of an indexer is what may happen in one", "[F285]") {
    std::vector<std::string_view> names;
    lives::Coverage{}.for_each([&](std::string_view name, std::uint64_t) { names.push_back(name); });
    for (const auto& rarity : lives::rare_for_an_indexer) {
        CAPTURE(rarity.name);
        CHECK(std::count(names.begin(), names.end(), rarity.name) == 1);
        CHECK(rarity.one_in > lives::usual_rarity);
    }
}
