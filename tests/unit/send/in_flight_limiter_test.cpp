// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/detail/send/in_flight_limiter.hpp>

#include <algorithm>

using namespace bench;
using Limit = bulkhead::detail::Concurrency<ManualClock::time_point>;

namespace {

ManualClock::time_point at(int ms) { return ManualClock::time_point{std::chrono::milliseconds{ms}}; }

/// As many answers as there are requests in flight at the limit.
void round(Limit& limit, bool pushed_back = false) {
    const auto generation = limit.launched();
    for (auto left = limit.limit(); left != 0; --left) limit.succeeded(generation, pushed_back);
}

Answer answer_of(std::size_t count, std::size_t refused) {
    std::vector<std::string> items(refused, item(429, "es_rejected_execution_exception"));
    items.resize(count, item(201));
    return Answer::items(items);
}

} // namespace

TEST_CASE("the limit is halved once for a round of refusals, and grows by one for a round without", "[F084]") {
    Limit limit{16};
    CHECK(limit.limit() == 16);
    round(limit);
    CHECK(limit.limit() == 16); // the maximum
    round(limit, true);
    CHECK(limit.limit() == 8);
    for (std::size_t rounds = 1; rounds <= 4; ++rounds) {
        round(limit);
        CHECK(limit.limit() >= 8 + rounds - 1);
        CHECK(limit.limit() <= 8 + rounds);
    }
    for (int i = 0; i < 1000; ++i) round(limit, true);
    CHECK(limit.limit() == 1);
    CHECK(limit.may_launch(at(0), 0));
    CHECK_FALSE(limit.may_launch(at(0), 1));
    for (int i = 0; i < 20; ++i) round(limit);
    CHECK(limit.limit() >= 13); // 80 % of the maximum, and more
}

TEST_CASE("an endpoint that fails as a whole is probed after the pause; answers from before prove nothing") {
    Limit limit{4};
    const auto before = limit.launched();
    limit.failed(at(100), Health::backing_off);
    CHECK(limit.limit() == 2);
    CHECK_FALSE(limit.is_news(before));
    limit.succeeded(before, false);
    CHECK(limit.health() == Health::backing_off);
    CHECK_FALSE(limit.may_launch(at(99), 0));
    CHECK(limit.resume_at(0) == at(100));
    CHECK(limit.may_launch(at(100), 0));
    const auto probe = limit.launched();
    CHECK_FALSE(limit.may_launch(at(100), 1));
    limit.succeeded(probe, false);
    CHECK(limit.health() == Health::ok);
    CHECK(limit.may_launch(at(100), 1));
}

TEST_CASE("items that are pushed back make fewer requests travel at once, until they are taken again", "[F025][F084]") {
    Bench b{{.max_batch_operations = 2, .max_in_flight = 4, .retry = {.initial_backoff = 100ms}}};
    REQUIRE(b.put_many(0, 40));
    b.run();
    REQUIRE(b.script->requests().size() == 4);
    for (std::size_t i = 0; i < 4; ++i) b.script->answer(i, answer_of(2, 1));
    b.run();
    CHECK(b.stats().in_flight_limit == 2);
    CHECK(b.stats().in_flight == 2);
    CHECK(b.stats().health == Health::ok);
    for (int i = 0; i < 200 && b.stats().pending != 0; ++i) {
        b.script->answer_all_ok();
        b.run_for(10ms);
    }
    CHECK(b.count(Outcome::indexed) == 40);
    CHECK(b.stats().in_flight_limit == 4);
    CHECK(b.books_balance());
}

TEST_CASE("a bulk whose every item is pushed back is as good as a whole 429: a pause, and a probe", "[F082]") {
    Bench b{{.max_batch_operations = 2, .max_in_flight = 4, .retry = {.initial_backoff = 1000ms}}};
    REQUIRE(b.put_many(0, 40));
    b.run();
    REQUIRE(b.script->requests().size() == 4);
    for (std::size_t i = 0; i < 4; ++i) b.script->answer(i, answer_of(2, 2));
    b.run();
    CHECK(b.stats().health == Health::backing_off);
    CHECK(b.stats().health_detail.find("es_rejected_execution_exception") == 0);
    CHECK(b.stats().in_flight == 0);
    b.run_for(1000ms);
    REQUIRE(b.script->requests().size() == 5); // the probe
    CHECK(b.stats().in_flight == 1);
    for (int i = 0; i < 1000 && b.stats().pending != 0; ++i) {
        b.script->answer_all_ok();
        b.run_for(10ms);
    }
    CHECK(b.stats().health == Health::ok);
    CHECK(b.count(Outcome::indexed) == 40);
    for (const auto& one : b.told) CHECK(one.attempts == 1); // nobody was charged
}

TEST_CASE("a probe that says nothing about the endpoint makes way for the next one", "[F179]") {
    Limit limit{4};
    limit.failed(at(100), Health::backing_off, false);
    CHECK(limit.limit() == 4); // fewer requests at once do not cure it
    CHECK(limit.may_launch(at(100), 0));
    const auto probe = limit.launched();
    CHECK_FALSE(limit.may_launch(at(100), 0));
    limit.inconclusive(probe);
    CHECK(limit.may_launch(at(100), 0));
    CHECK(limit.health() == Health::backing_off);
}
