// SPDX-License-Identifier: BSL-1.0
#include "kafka/world.hpp"
#include "support/catch.hpp"

#include <functional>

using namespace bulkhead_test;

namespace {

enum Api : std::int16_t {
    fetch = 1,
    offset_commit = 8,
    find_coordinator = 10,
    join_group = 11,
    heartbeat = 12,
    sync_group = 14
};

/// What the only broker answers to the next requests of a kind, one after the other.
struct Errors {
    Api api;
    std::vector<rd_kafka_resp_err_t> errors;
};
void push(World& world, const std::vector<Errors>& list) {
    for (const auto& [api, errors] : list)
        for (const auto error : errors)
            rd_kafka_mock_broker_push_request_error_rtts(world.kafka.cluster(), 1, api, 1, error, 0);
}
/// Whether all of these were answered.
bool answered(World& world, const std::vector<Errors>& list) {
    for (const auto& one : list) {
        std::size_t left = 0;
        rd_kafka_mock_broker_error_stack_cnt(world.kafka.cluster(), 1, one.api, &left);
        if (left > 0) return false;
    }
    return true;
}

struct Story {
    std::string name;
    std::vector<Errors> at_first{};            ///< before the member joins
    std::vector<Errors> later{};               ///< when it has committed something
    std::optional<bool> stale{};               ///< its generation is over: nothing of that is an error
    bool refused = false;                      ///< the member is told of it, as an error
    std::function<int(World&, Member&)> act{}; ///< instead of `later`; the records that it produced, a partition
    int brokers = 1;
};
struct End {
    std::string wrong;
    kafka::DriverReport report;
    std::uint64_t told = 0;
};

constexpr int partitions = 3;

/// Each on a thread of its own, all at once: nearly all of their time is waiting.
template <class T, class F>
auto at_once(const std::vector<T>& all, F f) {
    std::vector<decltype(f(all.front()))> ends(all.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < all.size(); ++i) threads.emplace_back([&, i] { ends[i] = f(all[i]); });
    for (auto& thread : threads) thread.join();
    return ends;
}

/// Lives through a story. What it waits for in vain, it says.
End live(const Story& story) {
    World world{{}, {}, story.brokers};
    End end;
    world.kafka.create_topic("t", partitions);
    auto options = options_for(world, "t");
    std::atomic<std::uint64_t> told{0};
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::commit_failed) ++told;
    };
    const auto until = Clock::now() + seconds{40};
    std::int64_t produced = 0;
    const auto produce = [&](int count) {
        world.produce("t", partitions, count);
        produced += partitions * count;
    };
    const auto reach = [&](const char* what, auto predicate) {
        world.store->wait_until([&] { return predicate() || Clock::now() > until; });
        if (Clock::now() > until) end.wrong += std::string{what} + "; ";
    };
    push(world, story.at_first);
    produce(20);
    Member member{world, options};
    const auto all_there = [&] {
        return world.store->size() == static_cast<std::size_t>(produced) &&
               world.committed("t", partitions) == produced;
    };
    reach("the beginning is committed", all_there);
    if (story.act) {
        produced += partitions * story.act(world, member);
    } else {
        push(world, story.later);
    }
    while (!answered(world, story.later) && Clock::now() < until) { // new offsets, so that there is something to commit
        produce(1);
        reach("the records go on", [&] { return world.store->size() == static_cast<std::size_t>(produced); });
    }
    produce(20);
    reach("all is committed", all_there);
    if (!answered(world, story.at_first) || !answered(world, story.later)) end.wrong += "not all errors were met; ";
    end.report = member.stop(seconds{10});
    end.told = told;
    return end;
}

void live_all(const std::vector<Story>& stories) {
    const auto ends = at_once(stories, live);
    for (std::size_t i = 0; i < stories.size(); ++i) {
        const auto& [wrong, report, told] = ends[i];
        CAPTURE(stories[i].name);
        CHECK(wrong.empty());
        CHECK(report.drained);
        CHECK(report.committed);
        CHECK(report.stats.lag == 0);
        const auto& stats = report.stats.source;
        CHECK(stats.consumed == stats.settled + stats.tracked + stats.stashed + stats.failed + stats.abandoned);
        if (stories[i].stale) CHECK((report.stats.commits_stale > 0) == *stories[i].stale);
        CHECK(report.stats.commit_errors == told);
        if (stories[i].refused) {
            CHECK(told > 0);
        } else if (stories[i].stale == true) {
            CHECK(told == 0);
        }
    }
}

} // namespace

TEST_CASE("driver: whatever a commit meets, each record is indexed and each offset is committed in the end",
          "[broker_errors][F142]") {
    const Watchdog watchdog;
    const auto commit = [](std::string name, std::vector<rd_kafka_resp_err_t> errors) {
        Story story{std::move(name), {}, {{offset_commit, std::move(errors)}}};
        story.stale = false;
        return story;
    };
    const auto stale = [&](rd_kafka_resp_err_t error) {
        auto story = commit(rd_kafka_err2name(error), {error});
        story.stale = true;
        return story;
    };
    // librdkafka itself tries some of them twice again, so that the fourth is the one that we meet.
    const auto passing = [&](rd_kafka_resp_err_t error) {
        return commit(rd_kafka_err2name(error), {error, error, error, error});
    };
    auto refused = commit("GROUP_AUTHORIZATION_FAILED", {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED});
    refused.refused = true;
    live_all({
        stale(RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS),
        stale(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
        stale(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
        passing(RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        passing(RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
        passing(RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        passing(RD_KAFKA_RESP_ERR__TRANSPORT),
        passing(RD_KAFKA_RESP_ERR__TIMED_OUT),
        passing(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
        passing(RD_KAFKA_RESP_ERR__NO_OFFSET),
        refused,
    });
}

TEST_CASE("driver: errors of fetches, coordinators and the group lose nothing", "[broker_errors][F142]") {
    const Watchdog watchdog;
    live_all({
        {"fetch: the leader is elsewhere",
         {},
         {{fetch, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE}}}},
        {"fetch: unknown topic, storage",
         {},
         {{fetch, {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR}}}},
        {"fetch: no connection, no time",
         {{fetch, {RD_KAFKA_RESP_ERR__TRANSPORT}}},
         {{fetch, {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR__TRANSPORT}}}},
        {"find coordinator",
         {{find_coordinator, {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT}}},
         {{offset_commit, {RD_KAFKA_RESP_ERR_NOT_COORDINATOR}},
          {find_coordinator, {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT}}}},
        {"join", {{join_group, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR__TRANSPORT}}}, {}},
        {"join: unknown member", {{join_group, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID}}}, {}},
        {"sync", {{sync_group, {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS}}}, {}},
        {"heartbeat: no connection",
         {},
         {{heartbeat, {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_NOT_COORDINATOR}}}},
        {"heartbeat: rebalance", {}, {{heartbeat, {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS}}}},
        {"heartbeat: unknown member", {}, {{heartbeat, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID}}}},
        {"heartbeat: generation", {}, {{heartbeat, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION}}}},
    });
}

TEST_CASE("driver: a coordinator that moves, brokers that go and come: nothing is lost and all is committed",
          "[broker_errors][F143]") {
    const Watchdog watchdog;
    Story moves{"the coordinator moves, twice"};
    Story coordinator_down{"the coordinator is down while records go on"};
    Story leader_down{"the partitions' leader is down, with records under way"};
    for (auto* const story : {&moves, &coordinator_down, &leader_down}) story->brokers = 3;
    constexpr auto coordinate = [](World& world, std::int32_t broker) {
        rd_kafka_mock_coordinator_set(world.kafka.cluster(), "group", "group", broker);
    };
    constexpr auto lead = [](World& world, std::int32_t broker) {
        for (int p = 0; p < partitions; ++p) rd_kafka_mock_partition_set_leader(world.kafka.cluster(), "t", p, broker);
    };
    moves.act = [&](World& world, Member&) {
        coordinate(world, 2);
        world.produce("t", partitions, 10);
        world.store->wait_until([&] { return world.committed("t", partitions) == 30 * partitions; });
        coordinate(world, 3);
        return 10;
    };
    coordinator_down.act = [&](World& world, Member& member) {
        lead(world, 1);
        coordinate(world, 2);
        world.produce("t", partitions, 10);
        world.store->wait_until([&] { return world.committed("t", partitions) == 30 * partitions; });
        rd_kafka_mock_broker_set_down(world.kafka.cluster(), 2);
        world.produce("t", partitions, 10);
        world.store->wait_until([&] { return world.store->size() == 40U * partitions; });
        world.store->wait_until([&] { return member.driver.stats().client_errors > 0; });
        rd_kafka_mock_broker_set_up(world.kafka.cluster(), 2);
        return 20;
    };
    leader_down.act = [&](World& world, Member& member) {
        coordinate(world, 1);
        lead(world, 3);
        world.produce("t", partitions, 10);
        world.store->wait_until([&] { return world.store->size() == 30U * partitions; });
        world.store->black_hole = true;
        world.produce("t", partitions, 500);
        world.store->wait_until([&] { return member.source().consumed > 30U * partitions; });
        rd_kafka_mock_broker_set_down(world.kafka.cluster(), 3);
        world.store->wait_until([&] { return member.driver.stats().client_errors > 0; });
        world.store->black_hole = false;
        rd_kafka_mock_broker_set_up(world.kafka.cluster(), 3);
        return 510;
    };
    live_all({moves, coordinator_down, leader_down});
}

TEST_CASE("driver: a fatal error, e.g. another one with our group.instance.id, stops it: nothing is committed any more",
          "[broker_errors][F159]") {
    const Watchdog watchdog;
    const auto check_one = [](bool fenced) {
        CAPTURE(fenced);
        World world;
        world.kafka.create_topic("t", 1);
        world.produce("t", 1, 50);
        auto options = options_for(world, "t");
        options.config.emplace_back("group.instance.id", "one");
        std::string said; // by the driver, on this thread
        options.on_event = [&](const kafka::ClientEvent& event) {
            if (event.kind == kafka::ClientEvent::Kind::fatal) said += std::string{event.text} + "\n";
        };
        TestDriver driver{world.indexer, EventMapper{}, options};
        const auto poll_until = [&](auto predicate) {
            while (!predicate()) REQUIRE(driver.poll_once(milliseconds{10}));
        };
        poll_until([&] { return world.committed("t", 1) == 50; });
        world.store->black_hole = true;
        world.produce("t", 1, 50);
        poll_until([&] { return driver.source().stats().consumed == 100; });
        if (fenced) {
            push(world, {{heartbeat, {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID}}});
        } else {
            rd_kafka_test_fatal_error(driver.handle(), RD_KAFKA_RESP_ERR_UNKNOWN, "by the test");
        }
        driver.run(); // returns by itself
        CHECK(driver.fatal());
        CHECK(said.find(fenced ? "enced" : "by the test") != std::string::npos);
        const auto stored = driver.source().stats().offsets_stored;
        // What settles now proves something, and is not committed: it may be another's by now.
        world.store->black_hole = false;
        world.store->wait_until([&] { return world.indexer.stats().pending == 0; });
        CHECK_FALSE(driver.poll_once(milliseconds{10}));
        const auto report = driver.close(seconds{10});
        CHECK_FALSE(report.drained);
        CHECK_FALSE(report.committed);
        CHECK(report.stats.source.offsets_stored == stored);
        CHECK(report.stats.source.abandoned == 50);
        CHECK(world.committed("t", 1) == 50);
    };
    check_one(false);
    check_one(true);
}

TEST_CASE("driver: a commit is as good as the worst of its partitions", "[broker_errors][F142]") {
    using kafka::detail::CommitFate;
    const auto judge = [](rd_kafka_resp_err_t whole, std::vector<rd_kafka_resp_err_t> each) {
        const kafka::ListPtr list{rd_kafka_topic_partition_list_new(2)};
        for (const auto error : each) rd_kafka_topic_partition_list_add(list.get(), "t", list->cnt)->err = error;
        return kafka::detail::judge_commit(whole, list.get());
    };
    constexpr auto fine = RD_KAFKA_RESP_ERR_NO_ERROR;
    CHECK(judge(fine, {fine, fine}).fate == CommitFate::committed);
    CHECK(judge(RD_KAFKA_RESP_ERR__NO_OFFSET, {}).fate == CommitFate::committed);
    CHECK(kafka::detail::judge_commit(fine, nullptr).fate == CommitFate::committed);
    const auto load = judge(fine, {fine, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
    CHECK(load.fate == CommitFate::again);
    CHECK(load.error == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    const auto refused =
        judge(fine, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
    CHECK(refused.fate == CommitFate::refused);
    CHECK(refused.error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    CHECK(judge(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, {fine}).fate == CommitFate::stale);
    CHECK(judge(RD_KAFKA_RESP_ERR__TRANSPORT, {}).fate == CommitFate::again);
    CHECK(judge(RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, {}).fate == CommitFate::stale);
}

TEST_CASE("driver: a close tries again what may pass, and says so when its commit was refused",
          "[broker_errors][F142][F154]") {
    const Watchdog watchdog;
    struct Last {
        std::vector<rd_kafka_resp_err_t> errors;
        bool committed;
    };
    // Four: librdkafka itself tries it twice again.
    const std::vector<rd_kafka_resp_err_t> passing(4, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    const std::vector<Last> all{{passing, true}, {{RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED}, false}};
    const auto ends = at_once(all, [](const Last& last) {
        World world;
        world.kafka.create_topic("t", 1);
        world.produce("t", 1, 10);
        auto options = options_for(world, "t");
        options.commit_interval = std::chrono::hours{1}; // so that the only commit is that of the close
        Member member{world, options};
        world.store->wait_until([&] { return member.source().settled == 10; });
        push(world, {{offset_commit, last.errors}});
        auto report = member.stop(seconds{10});
        return std::pair{report, world.committed("t", 1)};
    });
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        const auto& [report, committed] = ends[i];
        CHECK(report.drained);
        CHECK(report.committed == all[i].committed);
        CHECK(report.stats.commit_errors > 0);
    }
    CHECK(ends[0].second == 10);
}
