// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include "simulation/indexer/coverage.hpp"
#include "simulation/kafka/coverage.hpp"
#include "simulation/kit/expectations.hpp"
#include "simulation/kit/faulty_network.hpp"
#include "simulation/kit/random.hpp"

#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace kit = bulkhead::test::simulation;
using bulkhead::test::ManualClock;

TEST_CASE("simulation kit: a seed draws the same numbers on every machine") {
    kit::Random random{1};
    CHECK(random.next() == 0x910a2dec89025cc1U);
    CHECK(random.next() == 0xbeeb8da1658eec67U);
    for (int i = 0; i < 100; ++i) {
        const auto drawn = random.between(3, 5);
        CHECK((drawn >= 3 && drawn <= 5));
    }
}

TEST_CASE("simulation kit: the first broken promise is thrown, and again after the library has caught it") {
    const kit::Expectations expect;
    expect(true, "one");
    expect.rethrow();
    CHECK_THROWS_WITH(expect(false, "two", std::string{"here"}), "two (here)");
    CHECK_THROWS_WITH(expect(false, "three"), "two (here)");
    expect.noting([] { throw std::runtime_error{"four"}; });
    CHECK_THROWS_WITH(expect.rethrow(), "two (here)");
}

TEST_CASE("simulation kit: what is late arrives when it is due, or when the faults end, oldest entry first") {
    ManualClock::reset();
    using namespace std::chrono_literals;
    kit::LateEvents<int> events;
    const auto now = ManualClock::now();
    events.add(now + 30ms, 1);
    events.add(now + 10ms, 2);
    events.add(now + 20ms, 3);
    std::vector<int> seen;
    const auto see = [&](int event) { seen.push_back(event); };
    events.deliver(false, see);
    CHECK(seen.empty());
    ManualClock::advance(20ms);
    events.deliver(false, see);
    CHECK(seen == std::vector{2, 3});
    CHECK_FALSE(events.empty());
    events.deliver(true, see);
    CHECK(seen == std::vector{2, 3, 1});
    CHECK(events.empty());
}

TEST_CASE("simulation kit: a calm network does nothing, and a plan draws only what it allows") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        kit::Random random{seed};
        kit::FaultPlan plan;
        plan.choose(random);
        CHECK(plan.draw(random, true) == kit::Fate::fine);
        for (int i = 0; i < 50; ++i) {
            const auto fate = plan.draw(random, false);
            CHECK(plan.allows(fate));
            CHECK(fate < kit::Fate::too_large); // these follow from the request
        }
        plan.clear(kit::Fate::too_large, kit::Fate::unpassable);
        CHECK(plan.draw(random, false) == kit::Fate::fine);
        CHECK_FALSE(plan.allows(kit::Fate::too_large));
    }
}

TEST_CASE("simulation kit: everything that is counted has a name, and no other of its kind has it") {
    const auto check = [](const auto&... counters) {
        const auto check_one = [](const auto& one) {
            std::set<std::string_view> names;
            std::size_t count = 0;
            auto see = [&](std::string_view name, std::uint64_t times) {
                CHECK_FALSE(name.empty());
                CHECK(times == 0);
                names.insert(name);
                ++count;
            };
            one.for_each(see);
            CHECK(names.size() == count);
        };
        (check_one(counters), ...);
    };
    const kit::Coverage indexer;
    check(indexer.fates, indexer.refusals, indexer.outcomes, indexer.healths, indexer.marks);
    const kit::KafkaCoverage group;
    check(group.kinds, group.marks, group.policies);
}
