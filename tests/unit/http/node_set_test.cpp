// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/http/detail/node_set.hpp>

#include <boost/asio/error.hpp>

#include <map>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

Reply failed() {
    Reply reply;
    reply.error = asio::error::connection_refused;
    return reply;
}
Reply answered(unsigned status) {
    Reply reply;
    reply.status = status;
    reply.sent = Sent::complete;
    return reply;
}

struct Nodes {
    bulkhead::detail::NodeSet nodes{3, 1s, 60s};
    std::chrono::nanoseconds now{};

    std::uint32_t choose(std::uint32_t avoid = no_node) {
        const auto node = nodes.choose(avoid, std::vector<bool>(3));
        REQUIRE(node);
        return *node;
    }
    /// A request, from beginning to end.
    std::uint32_t send(const std::map<std::uint32_t, bool>& dead, std::uint32_t avoid = no_node) {
        const auto node = choose(avoid);
        nodes.ended(node, dead.count(node) != 0, now);
        return node;
    }
};

} // namespace

TEST_CASE("requests go to the node with the fewest in flight, in turn where that is equal") {
    Nodes world;
    CHECK(world.choose() == 0);
    CHECK(world.choose() == 1);
    CHECK(world.choose() == 2);
    world.nodes.ended(1, false, world.now);
    CHECK(world.choose() == 1);
    CHECK(world.nodes.in_flight(0) == 1);
    std::map<std::uint32_t, int> sent;
    Nodes idle;
    for (int i = 0; i < 30; ++i) ++sent[idle.send({})];
    CHECK(sent == std::map<std::uint32_t, int>{{0, 10}, {1, 10}, {2, 10}});
}

TEST_CASE("a node that fails is rested, longer each time, and probed before it is trusted", "[F044][F063]") {
    Nodes world;
    const std::map<std::uint32_t, bool> dead{{1, true}};
    for (int i = 0; i < 3; ++i) world.send(dead);
    CHECK_FALSE(world.nodes.trusted(1));
    for (int i = 0; i < 100; ++i) CHECK(world.send(dead) != 1);

    auto rest = 1s;
    for (int failures = 1; failures < 9; ++failures) {
        CAPTURE(failures);
        CHECK(world.nodes.rests_until(1) == world.now + rest);
        CHECK_FALSE(world.nodes.to_probe(world.now + rest - 1ns));
        world.now += rest;
        CHECK(world.nodes.to_probe(world.now) == 1U);
        CHECK_FALSE(world.nodes.to_probe(world.now)); // one probe at a time
        CHECK(world.send(dead) != 1);                 // the rest is over, but nothing is proven
        world.nodes.probed(1, true, world.now);
        rest = std::min<std::chrono::seconds>(rest * 2, 60s);
    }
    world.now += 60s;
    CHECK(world.nodes.to_probe(world.now) == 1U);
    world.nodes.probed(1, false, world.now);
    CHECK(world.nodes.trusted(1));
    std::map<std::uint32_t, int> sent;
    for (int i = 0; i < 30; ++i) ++sent[world.send({})];
    CHECK(sent[1] == 10);
    for (int i = 0; i < 3; ++i) world.send(dead);
    CHECK(world.nodes.rests_until(1) == world.now + 1s); // what was is forgotten
}

TEST_CASE("several requests that fail at once on a node are one failure") {
    Nodes world;
    for (int i = 0; i < 9; ++i) world.choose();
    for (int i = 0; i < 3; ++i) world.nodes.ended(1, true, world.now);
    CHECK(world.nodes.rests_until(1) == world.now + 1s);
    SECTION("and one that succeeds late does not end its rest") {
        Nodes late;
        for (int i = 0; i < 9; ++i) late.choose();
        late.nodes.ended(1, true, late.now);
        late.nodes.ended(1, false, late.now);
        CHECK_FALSE(late.nodes.trusted(1));
    }
}

TEST_CASE("the node to avoid is avoided where another is trusted") {
    Nodes world;
    for (int i = 0; i < 30; ++i) CHECK(world.send({}, 2) != 2);
    world.send({{0, true}}, 2);
    world.send({{0, true}, {1, true}}, 2);
    world.send({{0, true}, {1, true}}, 2);
    world.send({{0, true}, {1, true}}, 2);
    REQUIRE_FALSE(world.nodes.trusted(0));
    REQUIRE_FALSE(world.nodes.trusted(1));
    CHECK(world.send({}, 2) == 2);
}

TEST_CASE("while no node is trusted each is tried, each once by a request, and the first that answers is trusted",
          "[F064]") {
    Nodes world;
    const std::map<std::uint32_t, bool> dead{{0, true}, {1, true}, {2, true}};
    for (int i = 0; i < 3; ++i) world.send(dead);
    std::vector<bool> tried(3);
    for (int i = 0; i < 3; ++i) {
        const auto node = world.nodes.choose(no_node, tried);
        REQUIRE(node);
        CHECK_FALSE(tried[*node]);
        tried[*node] = true;
        world.nodes.ended(*node, true, world.now);
    }
    CHECK_FALSE(world.nodes.choose(no_node, tried));
    CHECK(world.nodes.rests_until(0) == world.now + 1s); // a last resort is not counted against it
    const auto node = world.send({});
    CHECK(world.nodes.trusted(node));
    CHECK(world.send({}) == node);
}

TEST_CASE("a lone node is never rested") {
    bulkhead::detail::NodeSet nodes{1, 1s, 60s};
    for (int i = 0; i < 10; ++i) {
        CHECK(nodes.choose(0, {false}) == 0U);
        nodes.ended(0, true, {});
    }
    CHECK(nodes.trusted(0));
    CHECK_FALSE(nodes.to_probe(1h));
}

TEST_CASE("what speaks against a node, and what does not") {
    CHECK(bulkhead::detail::speaks_against_node(failed()));
    for (const unsigned status : {502U, 503U, 504U}) CHECK(bulkhead::detail::speaks_against_node(answered(status)));
    for (const unsigned status : {200U, 400U, 401U, 413U, 429U, 500U})
        CHECK_FALSE(bulkhead::detail::speaks_against_node(answered(status)));
    auto reply = failed();
    reply.error = asio::error::operation_aborted;
    CHECK_FALSE(bulkhead::detail::speaks_against_node(reply));
    reply.error = errc::credentials_unavailable;
    CHECK_FALSE(bulkhead::detail::speaks_against_node(reply));
    reply.error = errc::request_timeout;
    CHECK(bulkhead::detail::speaks_against_node(reply));
    reply.status = 200; // its answer had begun
    CHECK_FALSE(bulkhead::detail::speaks_against_node(reply));
}
