// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/source.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <functional>
#include <memory>
#include <string>

// The bottleneck that this library exists to remove, in virtual time: a consumer that handles one record of a partition
// at a time, as kafkajs' eachMessage and many others do, over an indexer with the source system's batch of 1000 and
// flush interval of 1 s.

using namespace bulkhead_test;
using bulkhead::test::ManualClock;
using bulkhead::test::Script;
using bulkhead::test::ScriptedTransport;
using TestIndexer = BulkIndexer<ScriptedTransport, ManualClock>;

namespace {

constexpr std::chrono::milliseconds tick{10}; // also how long the server takes for a bulk

struct World {
    explicit World(IndexerOptions options = {}) : indexer{make(std::move(options))} {}
    ~World() {
        indexer.async_close(std::chrono::milliseconds{0}, [](error_code, const CloseReport&) {});
        bulkhead::test::run_for(context, std::chrono::seconds{1});
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    TestIndexer make(IndexerOptions options) {
        ManualClock::reset();
        options.index = "logs";
        options.retry.max_age = unlimited;
        return TestIndexer{context.get_executor(), ScriptedTransport{script}, std::move(options)};
    }
    /// Time passes, and the server answers what it was sent before.
    void pass() {
        if (server_is_up) script->answer_all_ok();
        bulkhead::test::run_for(context, tick, tick);
    }

    asio::io_context context;
    std::shared_ptr<Script> script = std::make_shared<Script>();
    bool server_is_up = true;
    TestIndexer indexer;
};

/// A partition with as many records as anyone may want.
ModelKafka endless(std::int64_t records) {
    ModelKafka kafka;
    kafka.logs.emplace_back();
    for (std::int64_t i = 0; i < records; ++i) kafka.logs[0].push_back({i, Logged::Kind::one});
    return kafka;
}

Record record_at(std::int64_t offset) {
    Record record;
    record.topic = ModelKafka::topic;
    record.offset = offset;
    record.payload = "one";
    return record;
}

} // namespace

TEST_CASE("the bottleneck: who awaits each settlement indexes one document a second", "[bottleneck]") {
    std::int64_t indexed = 0;
    bool minute_is_over = false;
    std::function<void()> next;
    World world;
    next = [&] { // the handler of one message; the next one comes when it has ended
        Operation op;
        op.source = "{}";
        world.indexer.async_index(op, [&](error_code error, const IndexResult& result) {
            if (minute_is_over) return;
            REQUIRE_FALSE(error);
            REQUIRE(result.outcome == Outcome::indexed);
            ++indexed;
            next();
        });
    };
    next();
    for (std::chrono::milliseconds time{0}; time < std::chrono::seconds{60}; time += tick) world.pass();
    minute_is_over = true;

    CHECK(indexed >= 50);
    CHECK(indexed <= 60); // documents in a minute, as in the source system
    for (const auto& request : world.script->requests()) CHECK(request.operations == 1);
}

TEST_CASE("the remedy: KafkaSource sends full batches, and the poll loop never waits", "[bottleneck][I25]") {
    constexpr std::int64_t records = 60'000; // ten a millisecond for six seconds
    World world;
    auto kafka = endless(records);
    ModelMember member{kafka};
    member.check_durability = false; // the model's documents are not looked at here
    KafkaSource source{world.indexer, member, ModelMapper{}};
    member.own(0);
    source.assigned(ModelKafka::topic, 0);

    std::int64_t delivered = 0;
    bool time_stood_still = true;
    while (delivered < records) {
        const auto before = ManualClock::now();
        for (int i = 0; i < 100; ++i) REQUIRE(source.deliver(record_at(delivered++)) == Delivered::taken);
        source.poll();
        time_stood_still = time_stood_still && ManualClock::now() == before;
        world.pass();
    }
    CHECK(time_stood_still);
    const auto in_time = member.owned().at(0).stored.value_or(0);
    CHECK(in_time >= 59'000); // in six seconds, where the other one indexed six

    for (int i = 0; i < 200 && !source.drained(); ++i) {
        world.pass();
        source.poll();
    }
    CHECK(source.drained());
    CHECK(member.owned().at(0).stored == records);
    CHECK(kafka.violations.empty());
    CHECK(world.script->requests().size() == records / 1000);
    for (const auto& request : world.script->requests()) CHECK(request.operations == 1000);
    CHECK(member.pauses == 0);
}

TEST_CASE("while the server is away for an hour the source pauses, polls on, and neither grows nor loses anything",
          "[bottleneck][F150][F064][F105][I25]") {
    constexpr std::int64_t records = 20'000;
    IndexerOptions options;
    options.max_buffered_operations = 3000;
    World world{options};
    auto kafka = endless(records);
    ModelMember member{kafka};
    member.check_durability = false;
    KafkaSource source{world.indexer, member, ModelMapper{}};
    member.own(0);
    source.assigned(ModelKafka::topic, 0);

    std::int64_t delivered = 0;
    int polls = 0;
    const auto run = [&](std::chrono::milliseconds time) {
        for (std::chrono::milliseconds passed{0}; passed < time; passed += tick, ++polls) {
            for (int i = 0; i < 100 && delivered < records && !member.owned().at(0).paused; ++i) {
                if (source.deliver(record_at(delivered)) != Delivered::taken) break;
                ++delivered;
            }
            source.poll();
            world.pass();
        }
    };
    world.server_is_up = false;
    run(std::chrono::minutes{1});
    const auto after_a_minute = world.indexer.stats();
    const auto source_after_a_minute = source.stats();
    run(std::chrono::minutes{59}); // many times the group's max.poll.interval, and the loop went round all the time
    CHECK(polls == 360'000);
    CHECK(world.indexer.stats().buffered_bytes == after_a_minute.buffered_bytes);
    CHECK(world.indexer.stats().pending == after_a_minute.pending);
    CHECK(source.stats().tracked == source_after_a_minute.tracked);
    CHECK(source.stats().stashed == 1);
    CHECK(delivered == 3001); // the budget and the stash
    CHECK(member.owned().at(0).paused);
    CHECK_FALSE(member.owned().at(0).stored);
    CHECK_FALSE(source.stopped());
    CHECK(world.indexer.stats().pending == 3000);

    world.server_is_up = true;
    run(std::chrono::minutes{2});
    CHECK(delivered == records);
    CHECK(source.drained());
    CHECK(member.owned().at(0).stored == records);
    CHECK(source.stats().of(Outcome::indexed) == static_cast<std::uint64_t>(records));
    CHECK(kafka.violations.empty());
}
