// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/http/detail/connection_pool.hpp>

#include <chrono>
#include <memory>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

using PoolTime = std::chrono::steady_clock::time_point;

struct FakeConnection : bulkhead::detail::PooledConnection<PoolTime, int> {
    bool alive = true;
    int goodbyes = 0;
    [[nodiscard]] bool is_alive() const { return alive; }
    void closing() noexcept { ++goodbyes; }
};
using FakePool = bulkhead::detail::ConnectionPool<FakeConnection, PoolTime, int>;

/// A pool for two nodes that keeps two idle connections, for ten seconds each.
struct PoolFixture {
    FakePool pool{2, 2, 10s};
    bulkhead::detail::PoolUser user{};
    PoolTime now{};
    std::vector<FakePool::Ptr> stale{};

    FakePool::Ptr fresh(int address = 1) {
        auto connection = std::make_shared<FakeConnection>();
        connection->address = address;
        return pool.add(connection, user) ? connection : nullptr;
    }
    FakePool::Ptr idle(std::uint32_t node, int address = 1) {
        auto connection = fresh(address);
        pool.put_back(node, connection, true, now);
        return connection;
    }
    FakePool::Ptr take(std::uint32_t node) { return pool.take_idle(node, user, now, stale); }
};

Reply broken_reply(Sent sent) {
    Reply reply;
    reply.error = errc::request_timeout;
    reply.sent = sent;
    return reply;
}

} // namespace

TEST_CASE("the connection used last is used again, to its own node only") {
    PoolFixture world;
    const auto first = world.idle(0);
    world.now += 1s;
    const auto second = world.idle(0);
    CHECK(world.pool.idle() == 2);
    CHECK(world.take(1) == nullptr);
    CHECK(world.take(0) == second);
    CHECK(second->used);
    CHECK(second->user == &world.user);
    CHECK(world.take(0) == first);
    CHECK(world.take(0) == nullptr);
    CHECK(world.pool.idle() == 0);
    CHECK(world.stale.empty());
}

TEST_CASE("a connection that is dead, idle for too long or too old is not used again") {
    PoolFixture world;
    const auto connection = world.idle(0);
    SECTION("dead") { connection->alive = false; }
    SECTION("idle for too long") { world.now += 10s + 1ns; }
    SECTION("too old") { connection->old_at = world.now; }
    CHECK(world.take(0) == nullptr);
    CHECK(world.stale == std::vector{connection});
    CHECK(connection->goodbyes == 0); // it is not closed in peace
    CHECK(world.pool.idle() == 0);
}

TEST_CASE("a connection that has been idle for as long as allowed is used again") {
    PoolFixture world;
    const auto connection = world.idle(0);
    connection->old_at = world.now + 10s + 1ns;
    world.now += 10s;
    CHECK(world.take(0) == connection);
}

TEST_CASE("of more connections than may be idle, the one that has been so for longest goes") {
    PoolFixture world;
    const auto first = world.idle(1);
    world.now += 1s;
    const auto second = world.idle(0);
    const auto third = world.fresh();
    CHECK(world.pool.oldest_idle() == PoolTime{});
    CHECK(world.pool.put_back(0, third, true, world.now) == first);
    CHECK(first->goodbyes == 1);
    CHECK(world.pool.idle() == 2);
    CHECK(world.pool.oldest_idle() == world.now);
    CHECK(world.take(1) == nullptr);
}

TEST_CASE("a connection is kept only when it is reusable and its user is open") {
    PoolFixture world;
    const auto connection = world.fresh();
    bool reusable = true;
    SECTION("not reusable") { reusable = false; }
    SECTION("closed") { CHECK(world.pool.shutdown(world.user) == std::vector{connection}); }
    SECTION("given back before") { CHECK(world.pool.put_back(0, connection, false, world.now) == nullptr); }
    CHECK(world.pool.put_back(0, connection, reusable, world.now) == nullptr);
    CHECK(world.pool.idle() == 0);
    CHECK(connection->user == nullptr);
}

TEST_CASE("a pool that keeps nothing keeps nothing") {
    PoolFixture world;
    SECTION("no connections") { world.pool = FakePool{1, 0, 10s}; }
    SECTION("for no time") { world.pool = FakePool{1, 2, 0s}; }
    const auto connection = world.idle(0);
    CHECK(world.pool.idle() == 0);
    CHECK_FALSE(connection->used);
}

TEST_CASE("sweeping closes in peace what has been idle for too long") {
    PoolFixture world;
    const auto first = world.idle(1);
    world.now += 4s;
    const auto second = world.idle(0);
    world.now += 6s - 1ns;
    world.pool.sweep(world.now, world.stale);
    CHECK(world.stale.empty());
    world.now += 1ns;
    world.pool.sweep(world.now, world.stale);
    CHECK(world.stale == std::vector{first});
    CHECK(first->goodbyes == 1);
    CHECK(world.pool.oldest_idle() == PoolTime{} + 4s);
    world.now += 1h;
    world.pool.sweep(world.now, world.stale);
    CHECK(world.stale == std::vector{first, second});
    CHECK(world.pool.idle() == 0);
}

TEST_CASE("a shutdown ends one user's connections and closes all idle ones") {
    PoolFixture world;
    bulkhead::detail::PoolUser other;
    const auto idle = world.idle(0);
    const auto mine = world.fresh();
    const auto theirs = std::make_shared<FakeConnection>();
    REQUIRE(world.pool.add(theirs, other));
    CHECK(world.pool.shutdown(world.user) == std::vector{mine});
    CHECK(world.user.closed);
    CHECK_FALSE(other.closed);
    CHECK(idle->goodbyes == 1);
    CHECK(world.pool.idle() == 0);
    CHECK(world.fresh() == nullptr);
    world.pool.put_back(0, theirs, true, world.now);
    CHECK(world.take(0) == nullptr); // its user is closed
    CHECK(world.pool.take_idle(0, other, world.now, world.stale) == theirs);
}

TEST_CASE("an address at which a connection failed is left until one there succeeds") {
    PoolFixture world;
    const auto bad = world.fresh(7);
    const auto same_address = world.idle(0, 7);
    const auto other_address = world.idle(0, 8);
    world.pool.judge_address(0, *bad, broken_reply(Sent::partial));
    CHECK(world.pool.failed_address(0) == 7);
    CHECK(world.pool.failed_address(1) == std::nullopt);
    CHECK(world.take(0) == other_address);
    world.pool.judge_address(0, *other_address, Reply{}); // says nothing about 7
    CHECK(world.pool.failed_address(0) == 7);
    CHECK(world.take(0) == nullptr);
    CHECK(world.stale == std::vector{same_address});
    world.pool.judge_address(0, *bad, Reply{});
    CHECK(world.pool.failed_address(0) == std::nullopt);
}

TEST_CASE("a kept connection that took nothing, or has no address, says nothing about an address") {
    PoolFixture world;
    const auto connection = world.fresh();
    SECTION("only closed meanwhile") { connection->used = true; }
    SECTION("never connected") { connection->address.reset(); }
    world.pool.judge_address(0, *connection, broken_reply(Sent::none));
    CHECK(world.pool.failed_address(0) == std::nullopt);
}
