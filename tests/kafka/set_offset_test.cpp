// SPDX-License-Identifier: BSL-1.0
#include "kafka/world.hpp"
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/detail/commit/exact_commits.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

using namespace bulkhead_test;

namespace {

/// The group's offset becomes this, as an administrator's tool sets it while the group has no members.
void set_group_offset(const World& world, const char* topic, std::int64_t offset) {
    std::array<char, 512> error{};
    auto* const conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", world.kafka.bootstrap_servers().c_str(), error.data(), error.size());
    rd_kafka_conf_set(conf, "group.id", "group", error.data(), error.size());
    auto* const rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error.data(), error.size());
    REQUIRE(rk != nullptr);
    auto* const list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    CHECK(rd_kafka_commit(rk, list, 0) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

} // namespace

TEST_CASE("driver: a committed offset that the log does not reach goes down, though nothing is settled yet",
          "[rdkafka][F236]") {
    const Watchdog watchdog;
    World world;
    world.kafka.create_topic("events", 1);
    world.produce("events", 1, 100);
    set_group_offset(world, "events", 1000); // of the topic's earlier life
    REQUIRE(world.committed("events", 1) == 1000);
    world.store->black_hole = true;
    bool refused = GENERATE(false, true); // the coordinator's first answer
    if (refused) {
        constexpr std::int16_t offset_commit = 8;
        rd_kafka_mock_push_request_errors(world.kafka.cluster(), offset_commit, 1,
                                          RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    }
    {
        Member member{world, options_for(world, "events")};
        world.store->wait_until([&] { return world.committed("events", 1) == 0; });
        CHECK(member.stop(milliseconds{0}).stats.source.settled == 0);
    }
    CHECK(world.committed("events", 1) == 0);
    world.store->black_hole = false;
    Member next{world, options_for(world, "events")}; // reads all of the new topic
    world.store->wait_until([&] { return world.store->size() == 100; });
    world.store->wait_until([&] { return world.committed("events", 1) == 100; });
    CHECK(next.stop(seconds{10}).committed);
}

TEST_CASE("offsets that are committed explicitly are sent until the coordinator has them", "[rdkafka][F236]") {
    using kafka::detail::CommitFate;
    using kafka::detail::ExactCommits;
    ExactCommits exact;
    const ExactCommits::Time now{std::chrono::hours{1}};
    std::vector<std::pair<std::int32_t, std::int64_t>> sent;
    const auto send = [&] {
        sent.clear();
        if (exact.due(now)) exact.send([&](const auto& one) { sent.emplace_back(one.partition, one.next); });
        return sent;
    };
    using Sent = std::vector<std::pair<std::int32_t, std::int64_t>>;
    CHECK(exact.empty());
    exact.want("t", 0, 5);
    exact.want("t", 1, 7);
    CHECK(send() == Sent{{0, 5}, {1, 7}});
    CHECK(send().empty());                                    // both are under way
    exact.answered("t", 1, 1000, CommitFate::committed, now); // of a commit before
    CHECK_FALSE(exact.empty());
    exact.answered("t", 1, 7, CommitFate::committed, now);
    exact.answered("t", 0, 5, CommitFate::again, now);
    exact.stored("t", 0, 6);
    exact.stored("t", 1, 9); // confirmed: librdkafka commits what is higher by itself
    CHECK_FALSE(exact.due(now));
    CHECK(exact.due(now + std::chrono::seconds{1}));
    exact.want("u", 0, 1); // at once, and the other with it
    CHECK(send() == Sent{{0, 6}, {0, 1}});
    exact.answered("t", 0, 6, CommitFate::stale, now); // the group has moved on
    exact.forget("u", 0);
    CHECK(exact.empty());
    exact.want("t", 0, 3);
    exact.want("t", 0, 2); // it went back again
    CHECK(send() == Sent{{0, 2}});
}
