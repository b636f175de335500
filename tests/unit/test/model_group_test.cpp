// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/detail/model_group.hpp>

#include <cstdint>
#include <set>

using bulkhead::test::detail::ModelGroup;
using Logs = std::set<ModelGroup::Log>;

namespace {

/// A member takes what the last rebalance has given to it.
Logs take_given(ModelGroup& group, std::uint64_t member) {
    auto& found = *group.find(member);
    found.news = false;
    return found.given;
}

} // namespace

TEST_CASE("model group: the logs are assigned when every member has joined, each to one member") {
    ModelGroup group;
    const auto a = group.join("");
    const auto b = group.join("");
    CHECK(group.rebalancing());
    group.rejoin(a, {}, 3);
    CHECK(group.rebalancing());
    CHECK(group.generation() == 0);
    group.rejoin(b, {}, 3);
    CHECK_FALSE(group.rebalancing());
    CHECK(group.generation() == 1);
    CHECK_FALSE(group.stable());
    CHECK(take_given(group, a) == Logs{0, 2});
    CHECK(take_given(group, b) == Logs{1});
    CHECK(group.stable());
}

TEST_CASE("model group: a log that another member still owns is given to nobody until that one has given it back") {
    ModelGroup group;
    const auto a = group.join("");
    group.rejoin(a, {}, 2);
    CHECK(take_given(group, a) == Logs{0, 1});
    const auto b = group.join("");
    group.rejoin(a, {0, 1}, 2);
    group.rejoin(b, {}, 2);
    CHECK(take_given(group, a) == Logs{0});
    CHECK(take_given(group, b).empty());
    group.begin_rebalance();
    group.rejoin(a, {0}, 2);
    group.rejoin(b, {}, 2);
    CHECK(take_given(group, a) == Logs{0});
    CHECK(take_given(group, b) == Logs{1});
}

TEST_CASE("model group: a member with the name of another takes over what that one had, without a rebalance") {
    ModelGroup group;
    const auto old = group.join("one");
    group.rejoin(old, {}, 2);
    (void)take_given(group, old);
    const auto next = group.join("one");
    CHECK(group.find(old) == nullptr);
    CHECK_FALSE(group.rebalancing());
    CHECK(group.generation() == 1);
    CHECK_FALSE(group.stable());
    CHECK(take_given(group, next) == Logs{0, 1});
}

TEST_CASE("model group: a member that is given up moves the group; one that is gone already does not") {
    ModelGroup group;
    const auto a = group.join("");
    const auto b = group.join("");
    group.rejoin(a, {}, 2);
    group.rejoin(b, {}, 2);
    group.remove(b);
    CHECK(group.rebalancing());
    group.rejoin(a, {0}, 2);
    CHECK(take_given(group, a) == Logs{0, 1});
    group.remove(b);
    CHECK(group.stable());
}
