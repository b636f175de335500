// SPDX-License-Identifier: BSL-1.0
// Partitions that stand still, errors that librdkafka reports once, and records that are gone before they are read.
#include "kafka/raw_batch.hpp"
#include "kafka/world.hpp"
#include "support/catch.hpp"
#include "support/kafka_fixture.hpp"

using namespace bulkhead_test;

namespace {

constexpr std::int16_t fetch_api = 1;

/// Every event of a client, for the test's thread.
struct Heard {
    using Kind = kafka::ClientEvent::Kind;
    std::mutex mutex;
    std::vector<std::pair<Kind, std::string>> events;

    void operator()(const kafka::ClientEvent& event) {
        const std::lock_guard lock{mutex};
        events.emplace_back(event.kind, std::string{event.text});
    }
    std::vector<std::string> of(Kind kind) {
        const std::lock_guard lock{mutex};
        std::vector<std::string> texts;
        for (const auto& [what, text] : events)
            if (what == kind) texts.push_back(text);
        return texts;
    }
};
using Kind = kafka::ClientEvent::Kind;

kafka::DriverOptions quick(const World& world, Heard& heard) {
    auto options = options_for(world, "events");
    options.stall_after = milliseconds{600};
    options.on_event = [&heard](const kafka::ClientEvent& event) { heard(event); };
    return options;
}
/// The group has read `count` records, and is gone.
void read_and_leave(World& world, std::uint64_t count) {
    Member member{world, options_for(world, "events")};
    world.store->wait_until([&] { return member.source().settled == count; });
    CHECK(member.stop(seconds{10}).committed);
}

} // namespace

TEST_CASE("driver: a committed offset that is gone under auto.offset.reset=error is a lasting trouble, and lag",
          "[rdkafka][F250]") {
    KafkaFixture world{1, 5};
    read_and_leave(world, 5);
    world.append_noise(70, 100'000);
    const auto [low, high] = world.kafka.watermarks("events", 0);
    REQUIRE(low > 5);
    Heard heard;
    auto options = quick(world, heard);
    options.config.emplace_back("auto.offset.reset", "error");
    Member member{world, options};
    world.store->wait_until([&] { return heard.of(Kind::trouble).size() >= 3; }); // repeated
    const auto stats = member.driver.stats();
    CHECK(stats.stalled_partitions == 1);
    CHECK(stats.lasting_errors == 1);
    REQUIRE(stats.troubles.size() == 1); // one trouble, with its reason
    CHECK(stats.troubles[0].topic == "events");
    CHECK(stats.troubles[0].partition == 0);
    CHECK(stats.troubles[0].stalled);
    CHECK(stats.troubles[0].error == kafka::make_error(RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET));
    CHECK(stats.troubles[0].lasted >= milliseconds{1200});
    CHECK(stats.lag == static_cast<std::uint64_t>(high - low));
    CHECK(stats.source.consumed == 0);
    CHECK(heard.of(Kind::error).size() == 1); // as librdkafka has it
    CHECK(heard.of(Kind::trouble_over).empty());
}

TEST_CASE("driver: a topic that may not be read for a while is a trouble until it is over", "[rdkafka][F250][F251]") {
    KafkaFixture world{1, 7};
    for (int i = 0; i < 1000; ++i)
        rd_kafka_mock_push_request_errors(world.kafka.cluster(), fetch_api, 1,
                                          RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    Heard heard;
    Member member{world, quick(world, heard)};
    world.store->wait_until([&] { return heard.of(Kind::trouble).size() >= 2; });
    const auto stats = member.driver.stats();
    CHECK(stats.stalled_partitions == 1);
    CHECK(stats.lasting_errors == 1);
    CHECK(stats.lag == 7); // nothing was ever taken
    REQUIRE(stats.troubles.size() == 1);
    CHECK(stats.troubles[0].text.find("events-0 has stood still") == 0);
    CHECK(stats.troubles[0].text.find("Topic authorization failed") != std::string::npos);
    rd_kafka_mock_clear_request_errors(world.kafka.cluster(), fetch_api);
    world.store->wait_until([&] { return heard.of(Kind::trouble_over).size() == 1; });
    world.store->wait_until([&] { return member.source().settled == 7; });
    world.store->wait_until([&] { return member.driver.stats().lag == 0; });
    CHECK(member.driver.stats().troubles.empty());
    CHECK(member.stop(seconds{10}).committed);
}

TEST_CASE("driver: a batch that cannot be unpacked is not passed over, and is a trouble", "[rdkafka][F250][F251]") {
    KafkaFixture world{1, 5};
    constexpr std::int16_t gzip = 1;
    produce_batch(world.kafka.bootstrap_servers(), "events", 0, batch_of(gzip, "key", "{}"));
    world.produce("events", 1, 5);
    Heard heard;
    Member member{world, quick(world, heard)};
    world.store->wait_until([&] { return member.driver.stats().stalled_partitions == 1; });
    const auto told = heard.of(Kind::trouble).size();
    world.store->wait_until([&] { return heard.of(Kind::trouble).size() >= told + 2; });
    const auto stats = member.driver.stats();
    CHECK(stats.lasting_errors == 1);
    CHECK(stats.lag == 6);
    CHECK(stats.source.consumed == 5);
}

TEST_CASE("driver: a topic that does not exist is a trouble until it does", "[rdkafka][F251]") {
    const Watchdog watchdog;
    World world;
    Heard heard;
    auto options = quick(world, heard);
    options.topics = {"events"};
    options.config.emplace_back("allow.auto.create.topics", "false");
    options.config.emplace_back("topic.metadata.refresh.interval.ms", "200");
    world.kafka.create_topic("another", 1); // so that the cluster knows one
    rd_kafka_mock_topic_set_error(world.kafka.cluster(), "events", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    Member member{world, options};
    world.store->wait_until([&] { return heard.of(Kind::trouble).size() >= 2; });
    CHECK(member.driver.stats().lasting_errors == 1);
    CHECK(member.driver.stats().stalled_partitions == 0);
    rd_kafka_mock_topic_set_error(world.kafka.cluster(), "events", RD_KAFKA_RESP_ERR_NO_ERROR);
    world.store->wait_until([&] { return member.source().assigned_partitions > 0; });
    world.store->wait_until([&] { return member.driver.stats().troubles.empty(); });
    CHECK(member.stop(seconds{10}).drained);
}

TEST_CASE("driver: the lag reaches 0 where a transaction marker is last, and nothing stands still", "[rdkafka][F250]") {
    KafkaFixture world{1, 5};
    produce_batch(world.kafka.bootstrap_servers(), "events", 0, commit_marker());
    REQUIRE(world.kafka.watermarks("events", 0).second == 6);
    Heard heard;
    Member member{world, quick(world, heard)};
    world.store->wait_until([&] { return member.source().settled == 5; });
    world.store->wait_until([&] { return member.driver.stats().lag == 0; });
    const auto until = Clock::now() + milliseconds{1500};
    world.store->wait_until([&] { return Clock::now() > until; });
    CHECK(member.driver.stats().lag == 0);
    CHECK(member.driver.stats().lost_records == 0);
    CHECK(heard.of(Kind::trouble) == std::vector<std::string>{});
    world.produce("events", 1, 5); // beyond the marker
    world.store->wait_until([&] { return member.source().settled == 10; });
    const auto report = member.stop(seconds{10});
    CHECK(report.stats.lost_records == 0);
    CHECK(world.kafka.committed("group", "events", 0) == 11);
}

TEST_CASE("driver: a partition that we hold, since the server does not answer, does not count as stalled",
          "[rdkafka][F250]") {
    IndexerOptions small;
    small.max_buffered_operations = 100;
    KafkaFixture world{2, 1000, small};
    world.store->black_hole = true;
    Heard heard;
    KafkaSourceOptions source_options;
    source_options.pause_after = milliseconds{500};
    auto options = quick(world, heard);
    options.stall_after = milliseconds{1500}; // librdkafka may need a second to fetch what was resumed
    Member member{world, options, source_options};
    world.store->wait_until([&] { return member.source().paused_partitions == 2; });
    const auto until = Clock::now() + milliseconds{3000};
    world.store->wait_until([&] { return Clock::now() > until; });
    CHECK(heard.of(Kind::trouble) == std::vector<std::string>{});
    const auto stats = member.driver.stats();
    CHECK(stats.lag == 2000 - stats.source.consumed);
    world.store->black_hole = false;
    world.store->wait_until([&] { return member.source().settled == 2000; });
    world.store->wait_until([&] { return member.driver.stats().lag == 0; });
    CHECK(heard.of(Kind::trouble) == std::vector<std::string>{});
    CHECK(member.stop(seconds{10}).stats.lost_records == 0);
}

TEST_CASE("driver: records that retention took before they were read are counted and reported", "[rdkafka][F252]") {
    KafkaFixture world{2, 5};
    read_and_leave(world, 10);
    world.append_noise(70, 100'000);
    world.kafka.produce("events", 1, {}, "{}");
    world.kafka.flush();
    const auto [low, high] = world.kafka.watermarks("events", 0);
    REQUIRE(low > 5);
    Heard heard;
    Member member{world, quick(world, heard)};
    const auto readable = static_cast<std::uint64_t>(high - low) + 1;
    world.store->wait_until([&] { return member.source().settled == readable; });
    world.store->wait_until([&] { return !heard.of(Kind::records_lost).empty(); });
    const auto report = member.stop(seconds{10});
    const auto lost = static_cast<std::uint64_t>(low - 5);
    CHECK(report.stats.lost_records == lost);
    REQUIRE(report.stats.lost.size() == 1);
    CHECK(report.stats.lost[0].topic == "events");
    CHECK(report.stats.lost[0].partition == 0);
    CHECK(report.stats.lost[0].records == lost);
    REQUIRE(heard.of(Kind::records_lost).size() == 1);
    CHECK(heard.of(Kind::records_lost)[0].find("events-0: " + std::to_string(lost) + " records") == 0);
}

TEST_CASE("driver: a close without a limit waits for what is under way", "[rdkafka][F253]") {
    KafkaFixture world{1, 100};
    world.store->black_hole = true;
    Member member{world, world.options()};
    world.store->wait_until([&] { return member.source().enqueued == 100; });
    std::thread later{[&] {
        const auto until = Clock::now() + milliseconds{300};
        world.store->wait_until([&] { return Clock::now() > until; });
        world.store->black_hole = false;
    }};
    const auto report = member.stop(unlimited);
    later.join();
    CHECK(report.drained);
    CHECK(report.committed);
    CHECK(report.stats.source.settled == 100);
    CHECK(world.kafka.committed("group", "events", 0) == 100);
}
