// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/close/close_state.hpp>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using CloseTime = std::chrono::steady_clock::time_point;
using CloseState = bulkhead::detail::CloseState<CloseTime>;

constexpr auto close_begin = CloseTime{} + 1h;

} // namespace

TEST_CASE("close state: nothing is due before a close is requested") {
    const CloseState close;
    CHECK_FALSE(close.requested());
    CHECK(close.next_deadline(5) == CloseTime::max());
}

TEST_CASE("close state: what is pending is abandoned before the deadline, so that observers are called in time") {
    CloseState close;
    close.request(close_begin + 10s, close_begin);
    CHECK(close.drains(close_begin + 9s, false, 1));
    CHECK_FALSE(close.drains(close_begin + 9950ms, false, 1));
    CHECK(close.next_deadline(1) < close_begin + 10s);
    CHECK(close.begin_abandoning());
    CHECK_FALSE(close.begin_abandoning());
    CHECK(close.next_deadline(1) == close_begin + 10s);
    CHECK(close.waits_for_observers(close_begin + 9999ms, false));
    CHECK_FALSE(close.waits_for_observers(close_begin + 10s, false));
}

TEST_CASE("close state: an idle indexer waits for nothing") {
    CloseState close;
    close.request(close_begin + 10s, close_begin);
    CHECK_FALSE(close.drains(close_begin, true, 0));
    CHECK_FALSE(close.waits_for_observers(close_begin, true));
}

TEST_CASE("close state: the earliest deadline of several requests counts") {
    CloseState close;
    close.request(CloseTime::max(), close_begin);
    CHECK(close.next_deadline(1) == CloseTime::max());
    close.request(close_begin + 5s, close_begin + 1s);
    close.request(close_begin + 60s, close_begin + 2s);
    CHECK_FALSE(close.drains(close_begin + 5s, false, 1));
}

TEST_CASE("close state: a deadline that has passed abandons at once") {
    CloseState close;
    close.request(close_begin, close_begin + 1s);
    CHECK_FALSE(close.drains(close_begin + 1s, false, 1'000'000));
}

TEST_CASE("close state: only what is abandoned after the request keeps it from being drained") {
    CloseState close;
    close.abandoned(3); // by age
    close.request(close_begin + 5s, close_begin);
    CHECK(close.end());
    CHECK(close.drained());

    CloseState late;
    late.request(close_begin + 5s, close_begin);
    late.begin_abandoning();
    late.abandoned(1);
    CHECK_FALSE(late.end()); // the transport was shut down before
    CHECK_FALSE(late.drained());
    CHECK(late.ended());
    CHECK(late.next_deadline(0) == CloseTime::max());
}

TEST_CASE("close state: observers are silenced once, and the step is posted again when there was no memory") {
    CloseState close;
    close.silencing(false);
    CHECK_FALSE(close.is_silencing());
    close.silencing(true);
    CHECK(close.is_silencing());
    CHECK_FALSE(close.is_silenced());
    CHECK(close.silence());
    CHECK_FALSE(close.silence());
    CHECK(close.is_silenced());
}
