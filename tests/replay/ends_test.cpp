// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/ends.hpp"
#include "kafka_replay/failure.hpp"
#include "kafka_replay/replay.hpp"
#include "support/catch.hpp"

#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/test/mock_kafka.hpp>

#include <string>
#include <vector>

using bulkhead::PartitionState;
using bulkhead::test::BulkRequestInfo;
using bulkhead::test::BulkServer;
using bulkhead::test::CannedAnswer;
using bulkhead::test::MockKafka;
using namespace replay;

namespace {

constexpr std::chrono::seconds patience{10};

/// Two partitions: 10 to 20 are to be replayed of the first, 0 to 5 of the second.
Ends two() { return Ends{{{"t", 0, 0, 10, 20}, {"t", 1, 0, 0, 5}}}; }

using Offset = std::optional<std::int64_t>;
PartitionState state(std::int32_t partition, Offset next, Offset stored) { return {"t", partition, next, stored}; }

std::string event() { return R"({"service_name":"s","message":"m"})"; }

Options replay_of(const MockKafka& kafka, const BulkServer& server) {
    Options o;
    o.brokers = kafka.bootstrap_servers();
    o.url = server.url();
    o.topic = "t";
    o.error_topic.clear();
    o.group = "g";
    o.exit_at_end = true;
    o.quiet = true;
    o.format = Format::json;
    o.kafka = {{"session.timeout.ms", "3000"}, {"heartbeat.interval.ms", "200"}, {"fetch.wait.max.ms", "50"}};
    o.indexer.flush_interval = std::chrono::milliseconds{20};
    o.indexer.retry.max_age = bulkhead::unlimited;
    return o;
}

} // namespace

TEST_CASE("ends: a partition of ours is done when its offset is stored, not when its records are taken") {
    const auto ends = two();
    CHECK(ends.left({}).size() == 2);
    const Ends::Partitions taken{state(0, 20, 19), state(1, 7, 4)};
    CHECK(ends.taken(taken));
    const auto left = ends.left(taken);
    REQUIRE(left.size() == 2);
    CHECK(left[0].begin == 19);
    CHECK(left[1].begin == 4);
    CHECK(ends.left({state(0, 25, 20), state(1, 9, 5)}).empty()); // what came later may be under way
    CHECK_FALSE(ends.taken({state(0, 19, 19), state(1, 5, 5)}));
    CHECK(ends.taken({state(0, std::nullopt, std::nullopt)})); // nothing taken yet: perhaps the group has done it
}

TEST_CASE("ends: a partition of others, or one that came to us done, is done when the group has committed it") {
    auto ends = two();
    const Ends::Partitions ours{state(0, 20, 20)};
    REQUIRE(ends.left(ours).size() == 1);
    CHECK(ends.left(ours)[0].partition == 1);
    ends.committed("t", 1, 4);
    CHECK(ends.left(ours)[0].begin == 4);
    ends.committed("t", 1, 2); // an answer that is older
    CHECK(ends.left(ours)[0].begin == 4);
    ends.committed("t", 1, 5);
    CHECK(ends.left(ours).empty());
    CHECK(ends.left({state(0, 20, 20), state(1, std::nullopt, std::nullopt)}).empty()); // given to us now
    // What we read is given to another member before it is committed: it is not done.
    CHECK(ends.left({}).size() == 1);
    CHECK(ends.left({})[0].begin == 10);
}

TEST_CASE("ends: where nothing can be read any more is the end") {
    auto ends = two();
    ends.nothing_from("t", 0, 19); // the last one is a transaction's marker
    CHECK(ends.taken({state(0, 19, 19), state(1, 5, 5)}));
    CHECK(ends.left({state(0, 19, 19), state(1, 5, 5)}).empty());
    CHECK(ends.left({state(0, 19, 18), state(1, 5, 5)}).size() == 1);
}

TEST_CASE("ends: a committed offset beyond the end is not the end") {
    Ends ends{{{"t", 0, 0, 0, 20, 1000}}};
    ends.committed("t", 0, 1000); // still what it was before
    REQUIRE(ends.left({}).size() == 1);
    CHECK(ends.left({})[0].begin == 0);
    ends.committed("t", 0, 20);
    CHECK(ends.left({}).empty());
}

TEST_CASE("ends: the lag is of our partitions; of all before there are any") {
    auto ends = two();
    const auto now = [](const std::string&, std::int32_t partition) {
        return partition == 0 ? std::optional<std::uint64_t>{13} : std::nullopt;
    };
    CHECK(ends.lag({}, now) == 15);
    CHECK(ends.lag({state(0, 12, std::nullopt)}, now) == 13);
    CHECK(ends.lag({state(1, std::nullopt, std::nullopt)}, now) == 5);
    ends.committed("t", 1, 5);
    CHECK(ends.lag({state(1, std::nullopt, std::nullopt)}, now) == 0); // another member has replayed it
}

TEST_CASE("ends: a reader says where nothing can be read") {
    MockKafka kafka;
    kafka.create_topic("t", 3);
    for (int i = 0; i < 6; ++i) kafka.produce("t", i % 2, {}, event());
    kafka.flush();
    // As if two more had been there at the start of partition 0; of partition 1 all is to be read; 2 is empty.
    const std::vector<PartitionEnd> asked{{"t", 0, 0, 3, 5}, {"t", 1, 0, 2, 3}, {"t", 2, 0, 0, 1}};
    const auto empty = without_records(kafka.bootstrap_servers(), "g", asked, {}, patience);
    REQUIRE(empty.size() == 2);
    CHECK(empty[0].partition + empty[1].partition == 2);
    // The first record is newer than the end.
    CHECK(without_records(kafka.bootstrap_servers(), "g", {{"t", 1, 0, 1, 1}}, {}, patience).size() == 1);
    CHECK_FALSE(kafka.committed("g", "t", 0));
}

TEST_CASE("until-end: a topic whose group has committed more than it holds is replayed from its first offset",
          "[until_end]") {
    MockKafka kafka;
    kafka.create_topic("t", 1);
    for (int i = 0; i < 5; ++i) kafka.produce("t", 0, {}, event());
    kafka.flush();
    move_group(kafka.bootstrap_servers(), "g", {{"t", 0, 0, 1000, 5}}, {}, patience);
    const auto ends = probe_topics(kafka.bootstrap_servers(), "g", {"t"}, {}, patience);
    CHECK(ends == std::vector<PartitionEnd>{{"t", 0, 0, 0, 5, 1000}});
    BulkServer server;
    CHECK(run_replay(replay_of(kafka, server)) == exit_ok);
    CHECK(server.count("apm-logs") == 5);
}

TEST_CASE("until-end: a topic that grows faster than it is replayed still has an end", "[until_end]") {
    MockKafka kafka;
    kafka.create_topic("t", 1);
    for (int i = 0; i < 5; ++i) kafka.produce("t", 0, {}, event());
    kafka.flush();
    BulkServer server;
    server.misbehave([&, done = false](const BulkRequestInfo&) mutable -> std::optional<CannedAnswer> {
        if (std::exchange(done, true)) return std::nullopt;
        for (int i = 0; i < 500; ++i) kafka.produce("t", 0, {}, event());
        kafka.flush();
        return std::nullopt;
    });
    auto options = replay_of(kafka, server);
    options.rate = 20;
    CHECK(run_replay(options) == exit_ok);
    CHECK(server.count("apm-logs") >= 5);
    CHECK(server.count("apm-logs") < 505);
}
