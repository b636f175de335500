// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/flow_control.hpp>

using namespace bulkhead;
using bulkhead::detail::Pressure;
using Flow = bulkhead::detail::FlowControl<int>; // the time is a number

namespace {

constexpr Flow::Limits flow_limits{
    .pause_after = 5, .max_span = 100, .max_letter_bytes = 1000, .max_cached_bytes = 2000};

} // namespace

TEST_CASE("a full source takes no records at once, and pauses only after a while", "[kafka_source][flow_control]") {
    Flow flow{flow_limits};
    const Pressure full{.stashed = true, .outstanding = 40};
    CHECK(flow.is_open());
    CHECK_FALSE(flow.about_to_pause());
    flow.hold(PauseReason::budget, 20, 100);
    CHECK_FALSE(flow.is_open());
    CHECK(flow.about_to_pause());
    CHECK_FALSE(flow.must_pause(false));
    CHECK_FALSE(flow.update(full, 104));
    CHECK(flow.update(full, 105));
    CHECK(flow.must_pause(false));
    CHECK_FALSE(flow.about_to_pause());
    CHECK_FALSE(flow.update(full, 200)); // it pauses already
}

TEST_CASE("a source that has room before its pause begins goes on at once", "[kafka_source][flow_control]") {
    Flow flow{flow_limits};
    flow.hold(PauseReason::budget, 20, 100);
    CHECK(flow.update({.outstanding = 40}, 101)); // nothing is stashed any longer
    CHECK(flow.is_open());
    CHECK_FALSE(flow.must_pause(false));
    CHECK_FALSE(flow.update({.stashed = true}, 200)); // nothing is held
}

TEST_CASE("a pause ends when half of what was outstanding is settled", "[kafka_source][flow_control]") {
    auto limits = flow_limits;
    limits.pause_after = 0;
    Flow flow{limits};
    flow.hold(PauseReason::budget, 20, 100);
    CHECK(flow.must_pause(false)); // at once
    CHECK_FALSE(flow.about_to_pause());
    CHECK_FALSE(flow.update({.outstanding = 21}, 100));
    CHECK(flow.must_pause(false));
    CHECK_FALSE(flow.is_open());
    CHECK(flow.update({.outstanding = 20}, 100));
    CHECK_FALSE(flow.must_pause(false));
    CHECK(flow.is_open());
}

TEST_CASE("too many letters or cached records hold until half of them are gone", "[kafka_source][flow_control]") {
    Flow flow{flow_limits};
    CHECK_FALSE(flow.too_many_letters(999));
    CHECK(flow.too_many_letters(1000));
    CHECK_FALSE(flow.too_many_cached(1999));
    CHECK(flow.too_many_cached(2000));
    flow.hold(PauseReason::dead_letters, 0, 0);
    CHECK_FALSE(flow.too_many_letters(5000)); // it holds already
    CHECK_FALSE(flow.too_many_cached(5000));
    CHECK_FALSE(flow.update({.letter_bytes = 501}, 1));
    CHECK_FALSE(flow.update({.cached_bytes = 1001}, 1));
    CHECK_FALSE(flow.is_open());
    CHECK(flow.update({.letter_bytes = 500, .cached_bytes = 1000}, 1));
    CHECK(flow.is_open());
}

TEST_CASE("the reason of a pause is what keeps it now, then what began it", "[kafka_source][flow_control]") {
    Flow flow{flow_limits};
    flow.hold(PauseReason::kept_records, 0, 0);
    CHECK(flow.reason(false, {}) == PauseReason::kept_records);
    const Pressure all{.stashed = true, .letter_bytes = 501, .cached_bytes = 1001};
    auto pressure = all;
    CHECK(flow.reason(false, pressure) == PauseReason::budget);
    pressure.stashed = false;
    CHECK(flow.reason(false, pressure) == PauseReason::dead_letters);
    pressure.letter_bytes = 500;
    CHECK(flow.reason(false, pressure) == PauseReason::kept_records);
    CHECK(flow.reason(true, all) == PauseReason::span);
    flow.drain();
    CHECK(flow.reason(true, all) == PauseReason::draining);
    CHECK(flow.stop(StopReason::invalid));
    CHECK(flow.reason(true, all) == PauseReason::stopped);
}

TEST_CASE("a source that drains or has stopped pauses everything; the first reason to stop remains",
          "[kafka_source][flow_control]") {
    Flow draining{flow_limits};
    draining.drain();
    CHECK(draining.draining());
    CHECK_FALSE(draining.is_open());
    CHECK(draining.must_pause(false));
    CHECK_FALSE(draining.stopped());
    Flow stopped{flow_limits};
    CHECK(stopped.stop_reason() == StopReason::none);
    CHECK(stopped.stop(StopReason::rejected));
    CHECK_FALSE(stopped.stop(StopReason::closed));
    CHECK(stopped.stop_reason() == StopReason::rejected);
    CHECK_FALSE(stopped.is_open());
    CHECK(stopped.must_pause(false));
}

TEST_CASE("a partition is paused for its span beyond the limit, until half of it", "[kafka_source][flow_control]") {
    const Flow flow{flow_limits};
    CHECK_FALSE(flow.span_is_long(100));
    CHECK(flow.span_is_long(101));
    CHECK_FALSE(flow.span_is_short(51));
    CHECK(flow.span_is_short(50));
    CHECK(flow.must_pause(true));
    CHECK_FALSE(flow.refuses_more(199)); // what was prefetched
    CHECK(flow.refuses_more(200));
}
