// SPDX-License-Identifier: BSL-1.0
#include "kafka/world.hpp"
#include "support/catch.hpp"
#include "support/kafka_fixture.hpp"

using namespace bulkhead_test;

TEST_CASE("driver: every event is indexed, every offset committed, also over a restart",
          "[rdkafka][F145][F147][F148][F154]") {
    KafkaFixture world{3, 500};
    world.kafka.produce("events", 0, "key", std::nullopt); // no payload
    world.kafka.produce("events", 1, {}, "not an event");
    world.kafka.produce("events", 2, {}, ""); // empty is not missing
    world.kafka.flush();
    {
        Member member{world, world.options()};
        world.store->wait_until([&] { return member.source().consumed == 1503; });
        const auto report = member.stop(seconds{10});
        CHECK(report.drained);
        CHECK(report.committed);
        CHECK(report.stats.source.consumed == 1503);
        CHECK(report.stats.source.skipped == 1);
        CHECK(report.stats.source.without_payload == 1);
        CHECK(report.stats.source.invalid == 2);
        CHECK(report.stats.source.of(Outcome::indexed) == 1500);
        CHECK(report.stats.source.settled == 1503);
        CHECK(report.stats.lag == 0);
        CHECK(report.stats.commit_errors == 0);
    }
    CHECK(world.store->size() == 1500);
    for (int p = 0; p < 3; ++p) CHECK(world.kafka.committed("group", "events", p) == 501);

    world.produce("events", 3, 10);
    Member again{world, world.options()};
    world.store->wait_until([&] { return world.store->size() == 1530 && again.source().settled == 30; });
    CHECK(again.stop(seconds{10}).stats.source.consumed == 30); // not one of the earlier ones
    CHECK(world.committed("events", 3) == 1533);
}

TEST_CASE("driver: what a dead server did not prove is delivered again after a restart", "[rdkafka][F154]") {
    KafkaFixture world{2, 100};
    world.store->black_hole = true;
    {
        Member member{world, world.options()};
        world.store->wait_until([&] { return member.source().enqueued == 200; });
        const auto before = Clock::now();
        const auto report = member.stop(milliseconds{300});
        CHECK(Clock::now() - before < seconds{10}); // the deadline, and what librdkafka takes to join its threads
        CHECK_FALSE(report.drained);
        CHECK(report.stats.source.settled == 0);
    }
    CHECK(world.committed("events", 2) == 0);
    world.store->black_hole = false;
    Member again{world, world.options()};
    world.store->wait_until([&] { return again.source().settled == 200; });
    CHECK(again.stop(seconds{10}).drained);
    CHECK(world.store->size() == 200);
    CHECK(world.committed("events", 2) == 200);
}

TEST_CASE("driver: two members share the partitions, eagerly and cooperatively",
          "[rdkafka][F135][F137][F138][F140][I22]") {
    const Watchdog watchdog{120};
    for (const std::string strategy : {"range", "cooperative-sticky"}) {
        CAPTURE(strategy);
        World world;
        constexpr int partitions = 4;
        world.kafka.create_topic("events", partitions);
        world.produce("events", partitions, 1000);
        auto options = options_for(world, "events");
        options.config.emplace_back("partition.assignment.strategy", strategy);
        std::int64_t committed = 0;
        bool never_back = true;
        const auto look = [&] {
            const auto now = world.committed("events", partitions);
            never_back = never_back && now >= committed;
            committed = now;
        };
        auto first = std::make_unique<Member>(world, options);
        const auto wait_committed = [&](std::int64_t all) {
            world.store->wait_until([&] {
                look();
                return committed == all;
            });
            return world.store->copy();
        };
        const auto first_part = wait_committed(4000);
        // Settlements are under way while the second member takes two partitions away.
        world.store->black_hole = true;
        world.produce("events", partitions, 500);
        world.store->wait_until([&] { return first->source().consumed == 6000; });
        Member second{world, options};
        world.store->wait_until([&] { return second.source().assigned_partitions == 2; });
        world.store->black_hole = false;
        world.store->wait_until([&] { return world.store->size() == 6000; });
        look();
        world.store->wait_until([&] { return first->source().assigned_partitions == 2; });
        world.produce("events", partitions, 500);
        world.store->wait_until([&] { return world.store->size() == 8000; });
        world.store->wait_until([&] { return second.source().consumed >= 1000; });
        const auto two_members = wait_committed(8000);
        // The first one leaves; the second gets everything.
        CHECK(first->stop(seconds{10}).drained);
        look();
        first.reset();
        world.store->wait_until([&] { return second.source().assigned_partitions == partitions; });
        world.produce("events", partitions, 500);
        world.store->wait_until([&] { return world.store->size() == 10'000; });
        const auto report = second.stop(seconds{10});
        look();
        CHECK(report.drained);
        CHECK(committed == 10'000);
        CHECK(never_back);
        const auto& stats = report.stats.source;
        CHECK(stats.consumed == stats.settled + stats.tracked + stats.stashed + stats.failed + stats.abandoned);
        // What was committed was not sent again. (How much else was depends on the mock, which rebalances more than
        // once and refuses commits meanwhile, as a broker does not.)
        const auto end = world.store->copy();
        for (const auto* const before : {&first_part, &two_members}) {
            int sent_again = 0;
            for (const auto& [id, times] : *before) sent_again += end.at(id) > times ? 1 : 0;
            CHECK(sent_again == 0);
        }
    }
}

TEST_CASE("driver: a server that is away longer than max.poll.interval.ms costs nothing", "[rdkafka][F150][I25]") {
    IndexerOptions small;
    small.max_buffered_operations = 200;
    KafkaFixture world{2, 1000, small};
    world.store->black_hole = true;
    auto options = world.options();
    options.config.emplace_back("max.poll.interval.ms", "3000");
    KafkaSourceOptions source_options;
    source_options.pause_after = milliseconds{500};
    TestDriver driver{world.indexer, EventMapper{}, options, source_options};
    const auto poll_until = [&](auto predicate) {
        while (!predicate(driver.source().stats())) driver.poll_once(milliseconds{10});
    };
    poll_until([](const SourceStats& stats) { return stats.paused_partitions == 2; });
    const auto until = Clock::now() + seconds{5};
    poll_until([&](const SourceStats&) { return Clock::now() > until; });
    CHECK(driver.source().stats().consumed == 201);
    CHECK(driver.source().stats().stashed == 1);
    CHECK(driver.source().stats().paused_partitions == 2);
    world.store->black_hole = false;
    // The very poll that takes in half of what was under way resumes.
    poll_until([](const SourceStats& stats) { return stats.settled >= 101; });
    CHECK(driver.source().stats().paused_partitions == 0);
    poll_until([](const SourceStats& stats) { return stats.settled == 2000; });
    const auto report = driver.close(seconds{10});
    CHECK(report.stats.rebalances == 1); // the group kept it all the time
    CHECK(report.stats.source.consumed == 2000);
    CHECK(report.stats.source.abandoned == 0);
    CHECK(report.stats.max_poll_gap < milliseconds{1500});
    CHECK(world.committed("events", 2) == 2000);
    for (int p = 0; p < 2; ++p)
        for (int i = 0; i < 1000; ++i)
            if (world.store->times(id_of("events", p, i)) != 1) FAIL("sent not exactly once: " << p << " " << i);
}

TEST_CASE("driver: credentials that the server refuses stop the flow, not the driver: offsets stay, then it goes on",
          "[rdkafka][F157]") {
    IndexerOptions small;
    small.max_buffered_operations = 200;
    small.retry.max_backoff = milliseconds{200};
    KafkaFixture world{2, 50, small};
    KafkaSourceOptions source_options;
    source_options.pause_after = milliseconds{500};
    Member member{world, world.options(), source_options};
    world.store->wait_until([&] { return world.committed("events", 2) == 100; });
    world.store->status = GENERATE(std::uint16_t{401}, std::uint16_t{404});
    world.produce("events", 2, 1000);
    world.store->wait_until([&] { return member.source().paused_partitions == 2 && world.store->refused > 3; });
    CHECK(world.indexer.stats().health == (world.store->status == 401 ? Health::unauthorized : Health::misconfigured));
    CHECK(member.source().settled == 100);
    CHECK(member.source().tracked == 200);
    CHECK(world.committed("events", 2) == 100);
    world.store->status = 200;
    world.store->wait_until([&] { return member.source().settled == 2100; });
    const auto report = member.stop(seconds{10});
    CHECK(report.drained);
    CHECK(report.stats.source.failed + report.stats.source.abandoned == 0);
    CHECK(report.stats.rebalances == 1);
    CHECK(world.committed("events", 2) == 2100);
}

TEST_CASE("driver: a server that is slow for a moment pauses nothing, so that nothing is fetched twice",
          "[rdkafka][F150]") {
    IndexerOptions small;
    small.max_buffered_operations = 200;
    KafkaFixture world{2, 1000, small};
    world.store->black_hole = true;
    Member member{world, world.options()};
    world.store->wait_until([&] { return member.source().stashed == 1; });
    const auto until = Clock::now() + milliseconds{2500};
    bool paused = false;
    world.store->wait_until([&] {
        paused = paused || member.source().paused_partitions > 0;
        return Clock::now() > until;
    });
    CHECK_FALSE(paused);
    world.store->black_hole = false;
    world.store->wait_until([&] { return member.source().settled == 2000; });
    const auto report = member.stop(seconds{10});
    CHECK(report.drained);
    CHECK(report.stats.max_poll_gap < milliseconds{1500});
    CHECK(world.committed("events", 2) == 2000);
    for (int p = 0; p < 2; ++p)
        for (int i = 0; i < 1000; ++i)
            if (world.store->times(id_of("events", p, i)) != 1) FAIL("sent not exactly once: " << p << " " << i);
}

TEST_CASE("driver: an assignment that was lost is not committed, and goes on after rejoining", "[rdkafka][F139]") {
    KafkaFixture world{1, 100};
    auto options = world.options();
    options.config.emplace_back("max.poll.interval.ms", "3000");
    std::atomic<int> lost{0};
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::lost) ++lost;
    };
    TestDriver driver{world.indexer, EventMapper{}, options};
    world.store->black_hole = true;
    while (driver.stats().source.consumed < 100) driver.poll_once(milliseconds{10});
    // Not polled for too long. Meanwhile the settlements come in.
    world.store->black_hole = false;
    const auto until = Clock::now() + milliseconds{4500};
    world.store->wait_until([&] { return Clock::now() > until; });
    while (lost == 0) driver.poll_once(milliseconds{10});
    const auto consumed = driver.source().stats().consumed;
    CHECK(world.committed("events", 1) <= 100);
    world.produce("events", 1, 100);
    while (world.store->size() < 200) driver.poll_once(milliseconds{10});
    CHECK(driver.source().stats().consumed > consumed);
    CHECK(driver.close(seconds{10}).drained);
    CHECK(world.committed("events", 1) == 200);
}

TEST_CASE("driver: committed offsets that the log no longer holds: goes on from its beginning", "[rdkafka][F144]") {
    KafkaFixture world{1, 10};
    {
        Member member{world, world.options()};
        world.store->wait_until([&] { return member.source().settled == 10; });
        member.stop(seconds{10});
    }
    CHECK(world.committed("events", 1) == 10);
    world.append_noise(1000, 10'000); // most of it is gone before it is read
    const auto [low, high] = world.kafka.watermarks("events", 0);
    REQUIRE(low > 10);
    Member again{world, world.options()};
    const auto readable = static_cast<std::uint64_t>(high - low);
    world.store->wait_until([&] { return again.source().settled == readable; });
    CHECK(again.stop(seconds{10}).stats.source.consumed == readable);
    CHECK(world.committed("events", 1) == high);
}

TEST_CASE("driver: a commit that the broker refuses is made up for by a later one", "[rdkafka][F142]") {
    KafkaFixture world{1, 100};
    auto options = world.options();
    std::atomic<int> refused{0};
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::commit_failed) ++refused;
    };
    constexpr std::int16_t offset_commit = 8;
    rd_kafka_mock_push_request_errors(world.kafka.cluster(), offset_commit, 3,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    Member member{world, options};
    world.store->wait_until([&] { return member.source().settled == 100; });
    int next = 100;
    while (refused == 0) { // new offsets, so that there is something to commit
        world.produce("events", 1, 1);
        ++next;
        world.store->wait_until([&] { return member.source().settled == static_cast<std::uint64_t>(next); });
    }
    CHECK(member.stop(seconds{20}).drained);
    CHECK(world.committed("events", 1) == next);
}

TEST_CASE("driver: key, timestamp, headers and payload arrive as they were produced", "[rdkafka]") {
    KafkaFixture world{1};
    const RecordHeader headers[] = {{"trace", "abc"}, {"none", std::nullopt}, {"empty", ""}};
    world.kafka.produce("events", 0, "the key", "{}", 1'700'000'000'123, headers);
    world.kafka.flush();
    std::vector<std::string> seen;
    const auto mapper = [&](const Record& record, Batch&) {
        seen = {std::string{record.topic}, std::string{record.key.value()}, std::string{record.payload.value()},
                std::to_string(record.timestamp_ms)};
        for (const auto& header : record.headers())
            seen.push_back(std::string{header.name} + "=" + std::string{header.value.value_or("(null)")});
        return Mapped::skip;
    };
    kafka::Driver driver{world.indexer, mapper, world.options()};
    while (driver.source().stats().consumed < 1) driver.poll_once(milliseconds{10});
    CHECK(seen ==
          std::vector<std::string>{"events", "the key", "{}", "1700000000123", "trace=abc", "none=(null)", "empty="});
}

TEST_CASE("driver: destroying it on a thread that runs the indexer blocks nobody", "[rdkafka][F154][F155]") {
    const Watchdog watchdog;
    {
        World world;
        world.kafka.create_topic("events", 1);
        world.produce("events", 1, 100);
        auto driver = std::make_unique<TestDriver>(world.indexer, EventMapper{}, options_for(world, "events"));
        while (driver->stats().source.consumed < 100) driver->poll_once(milliseconds{10});
        std::promise<void> done;
        asio::post(world.context, [&] {
            driver.reset();
            done.set_value();
        });
        done.get_future().wait();
        CHECK(world.indexer.stats().accepted == 100);
    }
    CHECK(rd_kafka_wait_destroyed(30'000) == 0); // every client of this process is gone
}

TEST_CASE("driver: closed before its first assignment, it does not end the process", "[rdkafka][F154]") {
    const Watchdog watchdog;
    World world;
    world.kafka.create_topic("t", 1);
    auto options = options_for(world, "t");
    options.config.emplace_back("partition.assignment.strategy", "cooperative-sticky");
    // The member has joined, and its assignment does not come.
    constexpr std::int16_t sync_group = 14;
    rd_kafka_mock_broker_push_request_error_rtts(world.kafka.cluster(), 1, sync_group, 1,
                                                 RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 4000);
    Member member{world, options};
    world.store->wait_until([&] {
        std::size_t left = 0;
        rd_kafka_mock_broker_error_stack_cnt(world.kafka.cluster(), 1, sync_group, &left);
        return left == 0;
    });
    CHECK(member.stop(milliseconds{100}).drained);
}

TEST_CASE("driver: a configuration that would lose records is refused, and secrets are not shown",
          "[rdkafka][F146][F161]") {
    const Watchdog watchdog;
    World world;
    const auto message_for = [&](kafka::DriverOptions options) -> std::string {
        try {
            const TestDriver driver{world.indexer, EventMapper{}, std::move(options)};
        } catch (const InvalidOption& e) {
            return e.what();
        }
        return "accepted";
    };
    const auto with = [&](const std::string& key, const std::string& value) {
        auto options = options_for(world, "events");
        options.config.emplace_back(key, value);
        return message_for(options);
    };
    CHECK(with("enable.auto.offset.store", "true").find("enable.auto.offset.store: expected false") == 0);
    CHECK(with("enable.auto.commit", "false").find("enable.auto.commit: expected true") == 0);
    CHECK(with("group.id", "another").find("group.id") == 0);
    CHECK(with("no.such.property", "1").find("no.such.property") == 0);
    CHECK(with("enable.partition.eof", "true") == "accepted");
    CHECK(with("enable.auto.offset.store", "false") == "accepted");
    const auto secret = with("ssl.key.password.typo", "hunter2");
    CHECK(secret.find("ssl.key.password.typo") == 0);
    CHECK(secret.find("hunter2") == std::string::npos);
    auto options = options_for(world, "events");
    options.group.clear();
    CHECK(message_for(options).find("group") == 0);
    options = options_for(world, "events");
    options.topics.clear();
    CHECK(message_for(options).find("topics") == 0);
    options = options_for(world, "events");
    options.revoke_drain = std::chrono::minutes{3};
    CHECK(message_for(options).find("revoke_drain") == 0);
    CHECK(message_for(options_for(world, "events")) == "accepted");
}

TEST_CASE("driver: the end of a partition is not a record", "[rdkafka][F146]") {
    KafkaFixture world{1, 10};
    auto options = world.options();
    options.config.emplace_back("enable.partition.eof", "true");
    options.config.emplace_back("statistics.interval.ms", "50");
    std::atomic<int> errors{0};
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::error) ++errors;
    };
    Member member{world, options};
    world.store->wait_until([&] { return member.source().settled == 10; });
    world.produce("events", 1, 10);
    world.store->wait_until([&] { return member.source().settled == 20; });
    world.store->wait_until([&] { return member.driver.stats().bytes_received > 0; }); // the client's statistics
    const auto report = member.stop(seconds{10});
    CHECK(report.stats.bytes_received > 100);
    CHECK(report.stats.bytes_received < 1'000'000);
    CHECK(report.stats.source.consumed == 20);
    CHECK(errors == 0);
}

TEST_CASE("driver: a dead broker is said, and does not end it", "[rdkafka][F158]") {
    const Watchdog watchdog;
    World world;
    std::string said; // by the driver, on this thread
    auto options = options_for(world, "events");
    options.brokers = "127.0.0.1:1"; // nobody listens
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::error) said += std::string{event.text} + "\n";
    };
    TestDriver driver{world.indexer, EventMapper{}, options};
    while (said.find("127.0.0.1:1") == std::string::npos) REQUIRE(driver.poll_once(milliseconds{10}));
    const auto before = Clock::now();
    driver.close(milliseconds{100});
    CHECK(Clock::now() - before < seconds{10});
    CHECK_FALSE(driver.poll_once(milliseconds{10})); // there is no client any more
    driver.run();
}

TEST_CASE("driver: closes in time though the coordinator does not answer", "[rdkafka][F154]") {
    KafkaFixture world{1, 10};
    auto options = world.options();
    options.commit_interval = std::chrono::hours{1}; // so that there is something to commit
    options.commit_timeout = seconds{20};
    Member member{world, options};
    world.store->wait_until([&] { return member.source().settled == 10; });
    rd_kafka_mock_broker_set_rtt(world.kafka.cluster(), 1, 60'000);
    const auto before = Clock::now();
    const auto report = member.stop(milliseconds{200});
    CHECK(Clock::now() - before < seconds{10}); // the deadline, and session.timeout.ms for librdkafka to give up
    CHECK(report.drained);
    CHECK_FALSE(report.committed);
}

TEST_CASE("mock Kafka: a produce that throws leaves nothing to the next one", "[rdkafka]") {
    const Watchdog watchdog;
    MockKafka kafka;
    kafka.create_topic("t", 1);
    const RecordHeader header{"a header", "its value"};
    const std::string too_large(9'000'000, 'x');
    CHECK_THROWS_AS(kafka.produce("t", 0, {}, too_large, 0, {&header, 1}), std::runtime_error);
    kafka.produce("t", 0, {}, "the payload");
    kafka.flush();
    World world;
    auto options = options_for(world, "t");
    options.brokers = kafka.bootstrap_servers();
    std::string seen;
    const auto mapper = [&](const Record& record, Batch&) {
        seen = record.payload.value();
        for (const auto& one : record.headers()) seen += std::string{one.name};
        return Mapped::skip;
    };
    kafka::Driver driver{world.indexer, mapper, options};
    while (driver.source().stats().consumed < 1) driver.poll_once(milliseconds{10});
    CHECK(seen == "the payload");
}

TEST_CASE("driver: the value of a property that librdkafka does not know is never shown", "[rdkafka][F254][F161]") {
    const Watchdog watchdog;
    World world;
    const auto message_for = [&](const std::string& key, bool letters) -> std::string {
        auto options = options_for(world, "events");
        auto& config = letters ? options.dead_letter_config : options.config;
        if (letters) options.dead_letter_topic = "letters";
        config.emplace_back(key, "hunter2");
        try {
            const TestDriver driver{world.indexer, EventMapper{}, std::move(options)};
        } catch (const InvalidOption& e) {
            return e.what();
        }
        return "accepted";
    };
    for (const bool letters : {false, true}) {
        for (const std::string key : {"no.such", "sasl.pasword", "sasl.passwd", "ssl.key.passphrase", "",
                                      "sasl.password", "sasl.password=hunter2", "SASL.PASSWORD "}) {
            CAPTURE(letters, key);
            const auto text = message_for(key, letters);
            CHECK(text.find("hunter2") == std::string::npos);
            if (key != "sasl.password") CHECK(text.find(key.substr(0, key.find('='))) == 0); // it is valid
        }
    }
}

TEST_CASE("driver: a record that it holds goes when its partition goes: it is not taken beside its new owner's",
          "[rdkafka][F255]") {
    IndexerOptions small;
    small.max_buffered_operations = 50;
    KafkaFixture world{2, 200, small};
    world.store->black_hole = true;
    auto options = world.options();
    options.revoke_drain = milliseconds{0};
    options.config.emplace_back("max.poll.interval.ms", "3000");
    std::atomic<int> lost{0};
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::lost) ++lost;
    };
    TestDriver driver{world.indexer, EventMapper{}, options};
    // Full, and not paused yet: each second a record comes from the client, and is held.
    while (driver.stats().source.stashed == 0) driver.poll_once(milliseconds{10});
    const auto until = Clock::now() + milliseconds{2500};
    while (Clock::now() < until) driver.poll_once(milliseconds{10});
    // The group takes both partitions away, since this member does not poll for too long, and gives them back later.
    const auto away = Clock::now() + milliseconds{4500};
    world.store->wait_until([&] { return Clock::now() > away; });
    while (lost == 0) driver.poll_once(milliseconds{10});
    const auto taken = driver.source().stats().consumed;
    world.store->black_hole = false;
    while (driver.source().stats().settled < 400) driver.poll_once(milliseconds{10});
    const auto& stats = driver.source().stats();
    CHECK(stats.foreign == 0); // none of the assignment that is over was offered
    CHECK(stats.consumed == taken + 400);
    CHECK(driver.close(seconds{10}).drained);
    CHECK(world.committed("events", 2) == 400);
}
