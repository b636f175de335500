// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/detail/progress/progress_book.hpp>

using namespace bulkhead;
using bulkhead::kafka::ClientEvent;
using bulkhead::kafka::DriverStats;
using bulkhead::kafka::detail::ClientStatistics;
using bulkhead::kafka::detail::LostRecords;
using bulkhead::kafka::detail::parse_statistics;
using bulkhead::kafka::detail::PartitionFacts;
using bulkhead::kafka::detail::PartitionProgress;
using bulkhead::kafka::detail::PartitionStatistics;
using bulkhead::kafka::detail::ProgressBook;
using bulkhead::kafka::detail::ReportedErrors;
using bulkhead::kafka::detail::StallDetector;
using namespace std::chrono_literals;

namespace {

using ProgressTime = StallDetector::time_point;

/// What librdkafka's statistics look like, shortened.
constexpr std::string_view statistics_json = R"({ "name": "rdkafka#consumer-1", "type": "consumer", "rx_bytes": 4711,
  "brokers": { "b:1": { "rx_bytes": 1 } },
  "topics": {
    "events": { "topic": "events", "partitions": {
      "0": { "partition": 0, "fetchq_cnt": 3, "fetch_state": "active", "query_offset": -1001, "next_offset": 12,
             "lo_offset": 2, "hi_offset": 40, "ls_offset": 30, "consumer_lag": -1 },
      "7": { "partition": 7, "fetchq_cnt": 0, "fetch_state": "offset-query", "next_offset": 0,
             "lo_offset": -1001, "hi_offset": -1001, "ls_offset": -1001 },
      "-1": { "partition": -1, "fetchq_cnt": 0, "next_offset": 0, "hi_offset": 99 } } },
    "spans": { "topic": "spans", "partitions": {} } },
  "cgrp": { "state": "up", "join_state": "steady" } })";

/// A partition that the client fetches.
PartitionStatistics fetching(std::int64_t position, std::int64_t end, std::int64_t queued = 0, std::int64_t low = 0) {
    PartitionStatistics p;
    p.topic = "events";
    p.fetch_state = "active";
    p.next_offset = position;
    p.fetchq_cnt = queued;
    p.lo_offset = low;
    p.hi_offset = end;
    p.ls_offset = end;
    return p;
}
/// One that it does not, e.g. since its offset is gone.
PartitionStatistics idle(std::int64_t end) {
    auto p = fetching(-1001, end);
    p.fetch_state = "none";
    return p;
}
ClientStatistics client_of(PartitionStatistics p, bool joined = true) {
    ClientStatistics all;
    all.joined = joined;
    all.partitions.push_back(std::move(p));
    return all;
}
/// The statistics of `from` to `to`, a second apart.
void keep(PartitionProgress& p, const PartitionStatistics& there, ProgressTime from, ProgressTime to) {
    for (auto now = from; now <= to; now += 1s) p.update(there, false, now);
}
constexpr auto never_held = [](std::string_view, std::int32_t) { return false; };
const auto made_up = error_code{29, boost::system::generic_category()};

} // namespace

TEST_CASE("librdkafka's statistics: what the driver uses of them", "[kafka_progress][F250]") {
    const auto all = parse_statistics(statistics_json);
    REQUIRE(all);
    CHECK(all->rx_bytes == 4711);
    CHECK(all->joined);
    REQUIRE(all->partitions.size() == 2); // -1 is librdkafka's own
    const auto& p = all->partitions[0];
    CHECK(p.topic == "events");
    CHECK(p.partition == 0);
    CHECK(p.fetch_state == "active");
    CHECK(p.fetchq_cnt == 3);
    CHECK(p.next_offset == 12);
    CHECK(p.lo_offset == 2);
    CHECK(p.hi_offset == 40);
    CHECK(p.end() == 30); // an open transaction is not to be read
    CHECK(all->partitions[1].partition == 7);
    CHECK_FALSE(all->partitions[1].end());
}

TEST_CASE("librdkafka's statistics: what is not there, or is no JSON, breaks nothing", "[kafka_progress][F250]") {
    CHECK_FALSE(parse_statistics(""));
    CHECK_FALSE(parse_statistics("[]"));
    CHECK_FALSE(parse_statistics(statistics_json.substr(0, 300)));
    const auto empty = parse_statistics("{}");
    REQUIRE(empty);
    CHECK_FALSE(empty->rx_bytes);
    CHECK_FALSE(empty->joined);
    const auto odd = parse_statistics(R"({"rx_bytes":"x","cgrp":{"state":"up","join_state":"wait-join"},"topics":{
        "a":1,"b":{"partitions":[]},"c":{"partitions":{"x":{},"1x":{},"3":4,"5":{"hi_offset":8.0,"ls_offset":true}}}}})");
    REQUIRE(odd);
    CHECK_FALSE(odd->joined);
    REQUIRE(odd->partitions.size() == 1);
    CHECK(odd->partitions[0].end() == 8); // older brokers report no stable offset
}

TEST_CASE("librdkafka's statistics: the bytes received are those of the whole client", "[kafka_progress][F288]") {
    const auto received_bytes = [](const char* text) {
        const auto statistics = parse_statistics(text);
        return statistics ? statistics->rx_bytes : std::nullopt;
    };
    CHECK(received_bytes(R"({"rx_bytes":1234})") == 1234);
    CHECK(received_bytes(R"({"rx_bytes": 7, "txmsgs":1})") == 7);
    CHECK(received_bytes(R"({"rx_bytes":0})") == 0);
    CHECK(received_bytes(R"({"rx_bytes":18446744073709551615})") == 18'446'744'073'709'551'615U);
    // A broker's own count has another name, and a client may be called anything: its quotes are escaped.
    CHECK(received_bytes(
              R"({"client_id":"a\"rx_bytes\":1","brokers":{"b/1":{"rx":3,"rxbytes":99}},"rx":5,"rx_bytes":100})") ==
          100);
    for (const char* const text :
         {"", "{}", R"({"rxbytes":5})", R"({"rx_bytes":)", R"({"rx_bytes":   )", R"({"rx_bytes":"5"})",
          R"({"rx_bytes":null})", R"({"rx_bytes":-1})", R"({"rx_bytes":18446744073709551616})"}) {
        CAPTURE(text);
        CHECK_FALSE(received_bytes(text));
    }
}

TEST_CASE("stall: behind, nothing queued, not ours, not moving, all of it without a break", "[kafka_progress][F250]") {
    const ProgressTime t0{1h};
    const PartitionFacts behind{.held_by_us = false, .drained = true, .position = 5, .end = 9};
    const auto look = [](StallDetector& stall, const PartitionFacts& facts, ProgressTime from, ProgressTime to) {
        for (auto now = from; now <= to; now += 1s) stall.update(facts, now);
    };
    StallDetector stall{30s, t0};
    look(stall, behind, t0 + 1s, t0 + 30s);
    CHECK_FALSE(stall.stalled());
    look(stall, behind, t0 + 31s, t0 + 31s);
    CHECK(stall.stalled() == 30s);
    look(stall, behind, t0 + 32s, t0 + 300s);
    CHECK(stall.stalled() == 299s);

    const auto broken_by = [&](auto change) {
        auto facts = behind;
        change(facts);
        StallDetector broken{30s, t0};
        look(broken, behind, t0 + 1s, t0 + 20s);
        broken.update(facts, t0 + 21s);
        look(broken, behind, t0 + 22s, t0 + 50s);
        return !broken.stalled();
    };
    CHECK(broken_by([](auto& f) { f.held_by_us = true; }));
    CHECK(broken_by([](auto& f) { f.drained = false; }));
    CHECK(broken_by([](auto& f) { f.position = 9; }));
    CHECK(broken_by([](auto& f) { f.position = 6; }));
    CHECK(broken_by([](auto& f) { f.end = 5; }));
    CHECK_FALSE(broken_by([](auto& f) { f.end = 20; }));
    CHECK_FALSE(broken_by([](auto& f) { f.end.reset(); })); // an end that is not known may be anywhere
    stall.restart(t0 + 300s);
    CHECK_FALSE(stall.stalled());
    look(stall, behind, t0 + 301s, t0 + 330s);
    CHECK(stall.stalled());
    look(stall, behind, t0 + 400s, t0 + 400s); // nobody has polled the client for so long
    CHECK_FALSE(stall.stalled());
}

TEST_CASE("stall: a partition of which nothing was ever learnt stalls, one at its end does not",
          "[kafka_progress][F250]") {
    const ProgressTime t0{1h};
    StallDetector nothing{30s, t0};
    StallDetector at_end{30s, t0};
    for (auto now = t0 + 1s; now <= t0 + 100s; now += 1s) {
        nothing.update({.drained = true}, now);
        at_end.update({.drained = true, .position = 9, .end = 9}, now);
    }
    CHECK(nothing.stalled() == 100s); // since its assignment
    CHECK_FALSE(at_end.stalled());
}

TEST_CASE("lag: from the start, of what may be read, and 0 at the end", "[kafka_progress][F250]") {
    const ProgressTime t0{1h};
    PartitionProgress p{30s, false, t0};
    CHECK_FALSE(p.lag()); // not known is not 0
    p.committed(3);
    p.update(fetching(10, 10, 7), false, t0);
    CHECK(p.lag() == 7); // fetched is not taken
    for (std::int64_t offset = 3; offset < 9; ++offset) p.taken(offset, 0);
    CHECK(p.lag() == 1);
    p.update(fetching(10, 10, 0), false, t0 + 1s);
    CHECK(p.lag() == 0); // what is left is a marker
    p.update(fetching(10, 14, 0), false, t0 + 2s);
    CHECK(p.lag() == 4);
}

TEST_CASE("lag: records of other partitions in the client's one queue do not hide that this one is read",
          "[kafka_progress][F250]") {
    const ProgressTime t0{1h};
    PartitionProgress p{30s, false, t0};
    p.update(fetching(5, 9, 100), false, t0);
    p.taken(4, 0);
    p.update(fetching(5, 9, 100), false, t0 + 1s);
    keep(p, fetching(5, 9, 100), t0 + 2s, t0 + 40s);
    CHECK(p.stalled()); // all of it was taken, whatever waits there
    PartitionProgress q{30s, false, t0};
    q.update(fetching(5, 9, 100), false, t0);
    keep(q, fetching(5, 9, 100), t0 + 1s, t0 + 40s);
    CHECK_FALSE(q.stalled()); // its records may wait behind those of others
    CHECK(q.lag() == 9);
    q.update(fetching(5, 9, 0), false, t0 + 41s);
    keep(q, fetching(5, 9, 100), t0 + 42s, t0 + 72s);
    CHECK(q.stalled()); // the queue was empty, and nothing has come since
    CHECK(q.lag() == 4);
}

TEST_CASE("lag: a queue that was just emptied does not count as read", "[kafka_progress][F250]") {
    const ProgressTime t0{1h};
    PartitionProgress p{30s, false, t0};
    p.taken(0, 0);
    p.update(fetching(100, 100, 0), true, t0); // paused: the client has thrown away what it fetched
    CHECK(p.lag() == 99);
    p.update(fetching(100, 100, 0), false, t0 + 1s); // its position is still the old one
    CHECK(p.lag() == 99);
    p.update(fetching(1, 100, 0), false, t0 + 1s); // it fetches all of it again
    CHECK(p.lag() == 99);
    p.update(fetching(100, 100, 0), false, t0 + 2s); // seen once: its records may be on their way
    CHECK(p.lag() == 99);
}

TEST_CASE("lag: an offset outside of the log, and a client that has none", "[kafka_progress][F250]") {
    const ProgressTime t0{1h};
    PartitionProgress p{30s, false, t0};
    p.committed(1000);
    p.update(idle(7), false, t0);
    CHECK(p.lag() == 7);
    keep(p, idle(7), t0 + 1s, t0 + 31s);
    CHECK(p.stalled());
    p.update(idle(-1), false, t0 + 32s); // refused: the end is the last that was known
    CHECK(p.lag() == 7);
    PartitionProgress q{30s, false, t0};
    q.update(idle(-1), false, t0);
    CHECK_FALSE(q.lag());
}

TEST_CASE("lost records: what retention took counts, what compaction or a transaction left does not",
          "[kafka_progress][F252]") {
    LostRecords gap;
    gap.committed(2, 18);
    gap.taken(18, 18);
    CHECK(gap.count() == 16);
    gap.taken(19, 18);
    gap.taken(25, 18); // markers, or compacted
    CHECK(gap.count() == 16);
    gap.taken(40, 33); // of 26 to 39 retention took 26 to 32
    CHECK(gap.count() == 23);
    gap.taken(10, 33); // a rewind
    gap.taken(11, 33);
    CHECK(gap.count() == 23);
    gap.taken(50, -1); // not known
    CHECK(gap.count() == 23);
}

TEST_CASE("lost records: what the group had committed may come to be known later", "[kafka_progress][F252]") {
    LostRecords late;
    late.taken(18, 18);
    late.taken(19, 18);
    late.committed(2, 18);
    CHECK(late.count() == 16);
    late.committed(2, 18);
    CHECK(late.count() == 16); // once
    LostRecords ours;
    ours.taken(18, 18);
    ours.committed(19, 18); // it is our own commit
    CHECK(ours.count() == 0);
    LostRecords none;
    none.taken(18, 18);
    none.committed(-1001, 18); // the group begins
    CHECK(none.count() == 0);
    LostRecords begins;
    begins.committed(-1001, -1);
    begins.taken(18, 18);
    CHECK(begins.count() == 0);
}

TEST_CASE("lost records: all of them, and a reset to the end", "[kafka_progress][F252]") {
    LostRecords all;
    all.committed(2, -1);
    all.passed(5, 18); // the position is an old one
    CHECK(all.count() == 0);
    all.passed(18, 18);
    all.passed(18, 18);
    CHECK(all.count() == 16); // no record was there to tell
    all.taken(18, 18);
    CHECK(all.count() == 16);
    LostRecords latest{true};
    latest.committed(2, -1);
    latest.taken(40, 18);
    CHECK(latest.count() == 38);
    LostRecords jumped{true};
    jumped.committed(2, -1);
    jumped.passed(40, 18);
    jumped.taken(40, 18);
    CHECK(jumped.count() == 38);
}

TEST_CASE("reported errors last until something shows that they are over", "[kafka_progress][F251]") {
    const ProgressTime t0{1h};
    const auto reported = [&](std::int32_t partition = 0, std::string_view topic = "events") {
        ReportedErrors errors;
        errors.reported(topic, partition, made_up, "no", t0);
        return errors;
    };
    auto errors = reported();
    errors.seen("events", 0, 5, false);
    errors.seen("events", 0, 5, false);
    errors.seen("events", 1, 6, true);
    errors.seen("events", 0, -1, false);
    errors.taken("events", 1);
    errors.assignment_changed("spans", 0);
    errors.joined();
    errors.group_seen(true);
    errors.group_seen(true);
    CHECK(errors.all().size() == 1);
    errors.reported("events", 0, made_up, "again", t0 + 5s);
    REQUIRE(errors.all().size() == 1);
    CHECK(errors.all()[0].since == t0);
    CHECK(errors.all()[0].text == "again");

    const auto over = [](ReportedErrors which, auto sign) {
        sign(which);
        return which.empty();
    };
    CHECK(over(reported(), [](auto& e) { e.taken("events", 0); }));
    CHECK(over(reported(), [](auto& e) { e.assignment_changed("events", 0); }));
    CHECK(over(reported(), [](auto& e) { e.seen("events", 0, 5, false), e.seen("events", 0, 6, false); }));
    CHECK(over(reported(), [](auto& e) { e.seen("events", 0, 5, true), e.seen("events", 0, 5, true); }));
    CHECK_FALSE(over(reported(), [](auto& e) { e.seen("events", 0, 5, true); })); // older than the error, perhaps
    CHECK_FALSE(over(reported(), [](auto& e) {
        for (const bool at_end : {true, false, true}) e.seen("events", 0, 5, at_end);
    }));
    CHECK(over(reported(-1), [](auto& e) { e.assignment_changed("events", 3); }));
    CHECK(over(reported(-1), [](auto& e) { e.taken("events", 3); }));
    CHECK(over(reported(-1, ""), [](auto& e) { e.joined(); }));
    CHECK(over(reported(-1, ""), [](auto& e) { e.group_seen(true), e.group_seen(true); }));
    CHECK_FALSE(over(reported(-1, ""), [](auto& e) { e.group_seen(true), e.group_seen(false), e.group_seen(true); }));
}

TEST_CASE("the book of progress: troubles are told again until they are over; then that, once",
          "[kafka_progress][F250][F251][F319]") {
    const ProgressTime t0{1h};
    ProgressBook book{30s, false};
    std::vector<std::pair<ClientEvent::Kind, std::string>> told;
    const auto tell = [&](ProgressTime now) {
        told.clear();
        book.report(now, [&](const ClientEvent& event) { told.emplace_back(event.kind, std::string{event.text}); });
        return told.size();
    };
    using What = ClientEvent::Kind;
    book.assigned("events", 0, 1, t0);
    const auto look = [&](ProgressTime from, ProgressTime to) {
        for (auto now = from; now <= to; now += 1s) book.statistics(client_of(fetching(5, 9)), never_held, now);
        return tell(to);
    };
    CHECK(look(t0, t0 + 29s) == 0);
    REQUIRE(look(t0 + 30s, t0 + 30s) == 1);
    CHECK(told[0] == std::pair{What::trouble, std::string{"events-0 has stood still for 30 s: next offset 5, end 9"}});
    CHECK(look(t0 + 31s, t0 + 59s) == 0);
    CHECK(look(t0 + 60s, t0 + 60s) == 1);
    DriverStats stats;
    book.fill(stats, t0 + 60s);
    CHECK(stats.stalled_partitions == 1);
    CHECK(stats.lag == 4);
    REQUIRE(stats.troubles.size() == 1);
    CHECK(stats.troubles[0].lasted == 60s);
    book.statistics(client_of(fetching(9, 9)), never_held, t0 + 61s);
    REQUIRE(tell(t0 + 61s) == 1);
    CHECK(told[0] == std::pair{What::trouble_over, std::string{"events-0 goes on"}});
    CHECK(tell(t0 + 100s) == 0);

    // An error that the client has reported is told again only when it has lasted as long.
    book.error("", -1, made_up, "no coordinator", t0 + 100s);
    CHECK(tell(t0 + 100s) == 0);
    DriverStats with_error;
    book.fill(with_error, t0 + 100s);
    CHECK(with_error.lasting_errors == 1); // but it is a state at once
    REQUIRE(tell(t0 + 130s) == 1);
    CHECK(told[0].second.find("the consumer group: ") == 0);
    book.joined();
    REQUIRE(tell(t0 + 131s) == 1);
    CHECK(told[0].first == What::trouble_over);

    // A partition that is given back while it stands still does not go on.
    REQUIRE(look(t0 + 140s, t0 + 180s) == 1);
    book.gone("events", 0);
    REQUIRE(tell(t0 + 181s) == 1);
    CHECK(told[0] == std::pair{What::trouble_over, std::string{"events-0 is given back"}});
}

TEST_CASE("the book of progress: a partition that is gone stalls nothing, and what it lost stays counted",
          "[kafka_progress][F250][F252]") {
    const ProgressTime t0{1h};
    ProgressBook book{30s, false};
    book.assigned("events", 0, 1, t0);
    book.committed("events", 0, 1, 2);
    book.taken("events", 0, 18, [] { return std::int64_t{18}; });
    book.taken("spans", 0, 1, [] { return std::int64_t{0}; }); // not assigned: not ours
    int lost = 0;
    const auto count = [&](const ClientEvent& event) { lost += event.kind == ClientEvent::Kind::records_lost; };
    book.report(t0, count);
    book.report(t0, count);
    CHECK(lost == 1); // told once
    book.gone("events", 0);
    DriverStats stats;
    book.fill(stats, t0 + 1h);
    CHECK(stats.stalled_partitions + stats.ends_unknown + stats.lag == 0);
    CHECK(stats.lost_records == 16);
    CHECK(book.standings().empty());
    book.assigned("events", 0, 2, t0 + 1h);
    book.committed("events", 0, 1, 3); // the answer to an earlier question
    book.taken("events", 0, 30, [] { return std::int64_t{30}; });
    DriverStats again;
    book.fill(again, t0 + 1h);
    CHECK(again.lost_records == 16);
    CHECK(again.ends_unknown == 1);
}
