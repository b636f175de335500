// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/kafka/source.hpp>

#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace bulkhead_test;
using LoggedKind = Logged::Kind;
using Event = SourceEvent::Kind;
using TestSource = KafkaSource<FakeIndexer, ModelMember, ModelMapper>;

namespace {

/// One member that owns the partitions of a log, and what it was told.
struct Fixture {
    explicit Fixture(std::vector<std::vector<LoggedKind>> logs, KafkaSourceOptions options = {}) {
        for (const auto& kinds : logs) {
            auto& log = kafka.logs.emplace_back();
            for (const auto kind : kinds) log.push_back({static_cast<std::int64_t>(log.size()), kind});
        }
        indexer.store = &kafka.indexed;
        member.check_durability = options.delivery == Delivery::at_least_once;
        options.on_event = [this](const SourceEvent& event) {
            events.push_back(event.kind);
            details.push_back(std::string{event.type} + "|" + std::string{event.reason} + "|" +
                              std::string{event.action_line} + "|" + std::to_string(event.offset));
        };
        source = std::make_unique<TestSource>(indexer, member, ModelMapper{}, std::move(options));
        for (std::size_t p = 0; p < kafka.logs.size(); ++p) assign(static_cast<std::int32_t>(p));
    }
    void assign(std::int32_t partition) {
        member.own(partition);
        source->assigned(ModelKafka::topic, partition);
    }
    void deliver_all(std::int32_t partition = 0) {
        while (member.next(partition) != nullptr) REQUIRE(member.deliver_next(*source, partition) == Delivered::taken);
    }
    std::optional<std::int64_t> stored(std::int32_t partition = 0) { return member.owned().at(partition).stored; }
    bool paused(std::int32_t partition = 0) { return member.owned().at(partition).paused; }

    ModelKafka kafka;
    FakeIndexer indexer;
    ModelMember member{kafka};
    std::vector<Event> events;
    std::vector<std::string> details;
    std::unique_ptr<TestSource> source;
};

} // namespace

TEST_CASE("an offset is stored when its record and all earlier ones are proven", "[kafka_source][F131][I20]") {
    Fixture f{{{LoggedKind::one, LoggedKind::three, LoggedKind::one}}};
    f.deliver_all();
    CHECK(f.indexer.pending.size() == 5);
    f.indexer.settle(4, Outcome::indexed); // the last record
    f.source->poll();
    CHECK_FALSE(f.stored());
    f.indexer.settle(0, Outcome::superseded);
    f.source->poll();
    CHECK(f.stored() == 1);
    f.indexer.settle(0, Outcome::indexed);
    f.indexer.settle(0, Outcome::indexed);
    f.source->poll();
    CHECK(f.stored() == 1); // one document of three is missing
    f.indexer.settle(0, Outcome::indexed);
    f.source->poll();
    CHECK(f.stored() == 3);
    CHECK(f.kafka.violations.empty());
    CHECK(f.source->drained());
    const auto stats = f.source->stats();
    CHECK(stats.consumed == 3);
    CHECK(stats.operations == 5);
    CHECK(stats.of(Outcome::indexed) == 4);
    CHECK(stats.of(Outcome::superseded) == 1);
    CHECK(adds_up(stats));
}

TEST_CASE("what has nothing to index is skipped, said, counted, and settles", "[kafka_source][F147][F148]") {
    Fixture f{{{LoggedKind::without_payload, LoggedKind::invalid, LoggedKind::throwing, LoggedKind::skipped}}};
    f.deliver_all();
    f.source->poll();
    CHECK(f.stored() == 4);
    const auto stats = f.source->stats();
    CHECK(stats.skipped == 2);
    CHECK(stats.without_payload == 1);
    CHECK(stats.invalid == 2);
    CHECK(stats.enqueued == 0);
    CHECK(f.events == std::vector<Event>{Event::without_payload, Event::invalid, Event::invalid});
    CHECK(f.details[2].find("a mapper's mishap") != std::string::npos);
    CHECK(adds_up(stats));
}

TEST_CASE("an empty payload is not a missing one", "[kafka_source][F147]") {
    Fixture f{{{}}};
    Record record{ModelKafka::topic, 0, 0, {}, std::string_view{}, -1, {}};
    CHECK(f.source->deliver(record) == Delivered::taken);
    CHECK(f.source->stats().without_payload == 0);
    CHECK(f.indexer.pending.size() == 1);
}

TEST_CASE("a full indexer: the record that did not fit is kept, all partitions pause, nothing is dropped",
          "[kafka_source][F150][I23]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one, LoggedKind::one, LoggedKind::one, LoggedKind::one},
               {LoggedKind::one}}};
    f.indexer.capacity = 4;
    for (int i = 0; i < 4; ++i) CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.source->accepting());
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken); // into the stash
    CHECK_FALSE(f.source->accepting());
    CHECK(f.paused(0));
    CHECK(f.paused(1));
    CHECK(f.source->stats().stashed == 1);
    CHECK(adds_up(f.source->stats()));
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::busy);
    CHECK(f.member.deliver_next(*f.source, 1) == Delivered::busy);

    f.indexer.settle(0, Outcome::indexed);
    f.source->poll();
    CHECK(f.source->stats().stashed == 0);
    CHECK(f.indexer.pending.size() == 4);
    CHECK(f.paused(0)); // hysteresis: resumes when half of the load is gone
    f.indexer.settle(0, Outcome::indexed);
    f.source->poll();
    CHECK_FALSE(f.paused(0));
    CHECK_FALSE(f.paused(1));
    CHECK(f.source->accepting());
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.deliver_next(*f.source, 1) == Delivered::taken);
    while (!f.source->drained()) {
        f.indexer.settle_all();
        f.source->poll();
    }
    CHECK(f.stored(0) == 6);
    CHECK(f.stored(1) == 1);
    CHECK(f.kafka.violations.empty());
    CHECK(f.source->stats().full >= 1);
}

TEST_CASE("a full indexer of which nothing is ours does not stop the source for ever", "[kafka_source][F150]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one}}};
    f.indexer.capacity = 0; // others have filled it
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.paused());
    f.source->poll();
    CHECK(f.paused());
    f.indexer.capacity = 10;
    f.source->poll();
    CHECK_FALSE(f.paused());
    CHECK(f.source->accepting());
}

TEST_CASE("pause_after: partitions are paused only when the indexer stays full", "[kafka_source][F150]") {
    KafkaSourceOptions options;
    options.pause_after = std::chrono::minutes{1};
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one}}, options};
    f.indexer.capacity = 1;
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK_FALSE(f.source->accepting());
    CHECK(f.source->about_to_pause());
    CHECK_FALSE(f.paused());
    f.indexer.settle(0, Outcome::indexed);
    CHECK(f.source->wait_for_settlements(std::chrono::nanoseconds::zero()));
    f.source->poll();
    CHECK(f.source->accepting()); // the stash fitted: no hysteresis without a pause
    CHECK(f.member.pauses == 0);
}

TEST_CASE("a pause that the client refuses is asked for again", "[kafka_source][F150]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one}}};
    f.indexer.capacity = 0;
    f.member.fail_pauses = true;
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK_FALSE(f.paused());
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::busy);
    f.member.fail_pauses = false;
    f.source->poll();
    CHECK(f.paused());
}

TEST_CASE("a partition that is assigned while the indexer is full is paused at once", "[kafka_source][F151]") {
    Fixture f{{{LoggedKind::one}, {LoggedKind::one}}};
    f.indexer.capacity = 0;
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    const TopicPartition second{ModelKafka::topic, 1};
    f.source->lost({&second, 1});
    f.member.disown(1);
    f.assign(1);
    CHECK(f.paused(1));
    CHECK(f.kafka.violations.empty());
}

TEST_CASE(
    "a partition that goes while it is paused flows when it comes back: the client keeps a pause over a rebalance",
    "[kafka_source][F133][F150][F151]") {
    KafkaSourceOptions options;
    options.max_span_per_partition = 10;
    Fixture f{{std::vector<LoggedKind>(30, LoggedKind::one)}, options};
    const TopicPartition first{ModelKafka::topic, 0};
    SECTION("for its span") {
        while (!f.paused()) CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
        SECTION("revoked") { f.source->revoked({&first, 1}, std::chrono::nanoseconds::zero()); }
        SECTION("lost") { f.source->lost({&first, 1}); }
        f.member.disown(0);
        CHECK(f.source->stats().paused_partitions == 0);
    }
    SECTION("for a full indexer, which has room meanwhile") {
        f.indexer.capacity = 4;
        while (!f.paused()) CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
        f.source->lost({&first, 1});
        f.member.disown(0);
        f.indexer.settle_all();
        f.source->poll();
    }
    SECTION("and the client does not resume it at first") {
        while (!f.paused()) CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
        f.source->lost({&first, 1});
        f.member.disown(0);
        f.member.fail_pauses = true;
        f.assign(0);
        CHECK(f.paused());
        f.source->lost({&first, 1});
        f.member.disown(0);
        f.member.fail_pauses = false;
    }
    f.assign(0);
    CHECK_FALSE(f.paused());
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.resumes == 1);
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("a partition that comes back while all are paused is paused anew, which a new client needs",
          "[kafka_source][F151]") {
    Fixture f{{{LoggedKind::one}}};
    f.source->drain();
    CHECK(f.paused());
    f.source->lost();
    f.member.disown(0);
    f.assign(0);
    CHECK(f.paused());
    CHECK(f.member.pauses == 2);
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("a partition too far ahead of its watermark is paused, and resumes at half", "[kafka_source][F133][I24]") {
    KafkaSourceOptions options;
    options.max_span_per_partition = 10;
    Fixture f{{std::vector<LoggedKind>(100, LoggedKind::one), {LoggedKind::one}}, options};
    for (int i = 0; i < 10; ++i) CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK_FALSE(f.paused(0));
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.paused(0));
    CHECK_FALSE(f.paused(1));
    CHECK(f.source->accepting());
    CHECK(f.member.deliver_next(*f.source, 1) == Delivered::taken); // the others flow
    while (f.indexer.pending.size() > 1) f.indexer.settle(1, Outcome::indexed);
    f.source->poll();
    CHECK(f.paused(0)); // the first record is stuck
    CHECK_FALSE(f.stored(0));
    int prefetched = 0;
    while (f.member.deliver_next(*f.source, 0) == Delivered::taken) ++prefetched;
    CHECK(prefetched == 9); // a client that does not heed the pause is stopped at twice the limit
    f.indexer.settle_all();
    f.source->poll();
    CHECK_FALSE(f.paused(0));
    CHECK(f.stored(0) == 20);
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("a partition that was too far ahead resumes at half of the limit, not before", "[kafka_source][F133]") {
    KafkaSourceOptions options;
    options.max_span_per_partition = 10;
    Fixture f{{std::vector<LoggedKind>(11, LoggedKind::one)}, options};
    f.deliver_all();
    for (int settled = 1; settled <= 11; ++settled) {
        f.indexer.settle(0, Outcome::indexed);
        f.source->poll();
        CHECK(f.paused() == (11 - settled > 5));
    }
    CHECK(f.member.pauses == 1);
    CHECK(f.member.resumes == 1);
}

TEST_CASE("a rejected operation stops the source, and the watermark never passes it", "[kafka_source][F134]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one}}};
    f.deliver_all();
    f.indexer.settle(1, Outcome::rejected);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->stopped());
    CHECK(f.source->stop_reason() == StopReason::rejected);
    CHECK(f.stored() == 1);
    CHECK(f.paused());
    CHECK_FALSE(f.source->accepting());
    CHECK(f.events == std::vector<Event>{Event::failed, Event::stopped});
    CHECK(f.details[0].find("0-1-0") != std::string::npos);
    CHECK(f.source->stats().failed == 1);
    CHECK(f.source->drained());
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("a rejected operation is passed by name", "[kafka_source]") {
    KafkaSourceOptions options;
    options.on_rejected = OnRejected::skip;
    Fixture f{{{LoggedKind::one, LoggedKind::three, LoggedKind::one}}, options};
    f.deliver_all();
    f.kafka.given_up.insert("0-1-1");
    f.indexer.settle(2, Outcome::rejected);
    f.indexer.settle_all();
    f.source->poll();
    CHECK_FALSE(f.source->stopped());
    CHECK(f.stored() == 3);
    CHECK(f.source->stats().of(Outcome::rejected) == 1);
    CHECK(f.events == std::vector<Event>{Event::failed});
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("an operation that proves nothing stops the source", "[kafka_source][F134]") {
    for (const auto outcome : {Outcome::undelivered, Outcome::unknown}) {
        Fixture f{{{LoggedKind::one, LoggedKind::one}}};
        f.deliver_all();
        f.indexer.settle(0, outcome);
        f.indexer.settle_all();
        f.source->poll();
        CHECK(f.source->stopped());
        CHECK_FALSE(f.stored());
    }
}

TEST_CASE("a closing indexer stops the source without storing what it gave up", "[kafka_source]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one}}};
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    f.indexer.settle(0, Outcome::indexed);
    f.indexer.settle(0, Outcome::undelivered, "closed");
    f.source->poll();
    CHECK(f.source->stop_reason() == StopReason::closed);
    CHECK(f.stored() == 1);

    Fixture g{{{LoggedKind::one}}};
    g.indexer.refuse = Admission::closed;
    CHECK(g.member.deliver_next(*g.source, 0) == Delivered::taken);
    CHECK(g.source->stop_reason() == StopReason::closed);
    CHECK(g.source->drained());
    CHECK(adds_up(g.source->stats()));
}

TEST_CASE("what the indexer can never take", "[kafka_source][F148]") {
    Fixture stop{{{LoggedKind::one, LoggedKind::one}}};
    stop.indexer.refuse = Admission::too_large;
    CHECK(stop.member.deliver_next(*stop.source, 0) == Delivered::taken);
    CHECK(stop.source->stop_reason() == StopReason::too_large);
    stop.source->poll();
    CHECK_FALSE(stop.stored());

    KafkaSourceOptions options;
    options.on_rejected = OnRejected::skip;
    Fixture skip{{{LoggedKind::one, LoggedKind::one}}, options};
    skip.member.check_durability = false;
    skip.indexer.refuse = Admission::too_large;
    CHECK(skip.member.deliver_next(*skip.source, 0) == Delivered::taken);
    skip.indexer.refuse = Admission::invalid;
    CHECK(skip.member.deliver_next(*skip.source, 0) == Delivered::taken);
    skip.source->poll();
    CHECK(skip.stored() == 2);
    CHECK(skip.source->stats().too_large == 1);
    CHECK(skip.source->stats().invalid == 1);
    CHECK(skip.events == std::vector<Event>{Event::too_large, Event::invalid});
    CHECK(adds_up(skip.source->stats()));
}

TEST_CASE("a settlement that comes after the revoke is ignored", "[kafka_source][F135][I22]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one}}};
    f.deliver_all();
    f.source->revoked(std::chrono::nanoseconds::zero());
    f.member.disown(0);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->stats().late == 2);
    CHECK(f.source->stats().abandoned == 2);
    CHECK(f.kafka.violations.empty());

    // The same partition again: a settlement of the earlier delivery says nothing about the new one.
    f.assign(0);
    f.deliver_all();
    const auto old = f.indexer.pending.size();
    CHECK(old == 2);
    f.source->lost();
    f.member.disown(0);
    f.assign(0);
    f.deliver_all();
    f.member.check_durability = false; // the model goes by ids, and these are proven by their earlier delivery
    f.indexer.settle(0, Outcome::indexed);
    f.indexer.settle(0, Outcome::indexed);
    f.source->poll();
    CHECK_FALSE(f.stored());
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.stored() == 2);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("a revoke flushes, and stores what settles in time", "[kafka_source][F138]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one}, {LoggedKind::one}}};
    f.deliver_all(0);
    f.deliver_all(1);
    f.indexer.on_flush = [&] {
        f.indexer.settle(0, Outcome::indexed);
        f.indexer.settle(0, Outcome::indexed);
    };
    const TopicPartition first{ModelKafka::topic, 0};
    f.source->revoked({&first, 1}, std::chrono::nanoseconds::zero());
    CHECK(f.indexer.flushes == 1);
    CHECK(f.stored(0) == 2);
    f.member.disown(0);
    CHECK(f.source->stats().abandoned == 1);
    CHECK(f.source->stats().assigned_partitions == 1);
    f.indexer.on_flush = nullptr;
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.stored(1) == 1); // the partition that stayed was not disturbed
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("a revoke does not wait on a thread that runs the indexer", "[kafka_source]") {
    Fixture f{{{LoggedKind::one}}};
    f.deliver_all();
    f.indexer.runs_here = true;
    f.source->revoked(std::chrono::hours{1}); // would hang the test
    CHECK(f.source->stats().abandoned == 1);
    CHECK_FALSE(f.source->wait_for_settlements(std::chrono::hours{1}));
}

TEST_CASE("a revoke that waits for nothing it can get returns at once", "[kafka_source][F138]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one}}};
    f.indexer.capacity = 1;
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken); // stashed: nobody else will settle it
    f.indexer.on_flush = [&] { f.indexer.settle_all(); };
    f.source->revoked(std::chrono::hours{1});
    CHECK(f.stored() == 1);
    CHECK(f.source->accepting()); // the stash went with its partition
    CHECK(adds_up(f.source->stats()));
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("nothing is stored for partitions that are lost", "[kafka_source][F139][I22]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one}}};
    f.deliver_all();
    f.indexer.settle(0, Outcome::indexed); // proven, but not yet taken in
    f.source->lost();
    CHECK(f.member.stores == 0);
    CHECK(f.source->stats().assigned_partitions == 0);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("when the client rewinds, what lies before is not lost and nothing lower is stored", "[kafka_source][F153]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one, LoggedKind::one}}};
    f.deliver_all();
    f.indexer.settle(0, Outcome::indexed);
    f.indexer.settle(1, Outcome::indexed); // 0 and 2
    f.source->poll();
    CHECK(f.stored() == 1);
    f.member.owned().at(0).position = 2;
    f.deliver_all();
    CHECK(f.source->stats().abandoned == 1); // 3; 2 had settled
    f.member.check_durability = false;
    while (f.indexer.pending.size() > 1) f.indexer.settle(1, Outcome::indexed);
    f.source->poll();
    CHECK(f.stored() == 1); // 1 is not proven
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.stored() == 4);
    CHECK(f.kafka.violations.empty());
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("an offset that the client does not take is stored later", "[kafka_source]") {
    Fixture f{{{LoggedKind::one}}};
    f.deliver_all();
    f.indexer.settle_all();
    f.member.fail_stores = true;
    f.source->poll();
    CHECK_FALSE(f.stored());
    CHECK(f.events == std::vector<Event>{Event::store_failed});
    f.member.fail_stores = false;
    f.source->poll();
    CHECK(f.stored() == 1);
    CHECK(f.source->stats().store_errors == 1);
}

TEST_CASE("best effort stores at hand-over, and says and counts what fails, with its items", "[kafka_source]") {
    KafkaSourceOptions options;
    options.delivery = Delivery::best_effort;
    Fixture f{{{LoggedKind::one, LoggedKind::three, LoggedKind::one}}, options};
    f.deliver_all();
    f.source->poll();
    CHECK(f.stored() == 3);
    CHECK_FALSE(f.source->drained());
    f.indexer.settle(2, Outcome::rejected);
    f.indexer.settle(0, Outcome::undelivered);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->drained());
    CHECK_FALSE(f.source->stopped());
    CHECK(f.events == std::vector<Event>{Event::failed, Event::failed});
    CHECK(f.details[0].find("0-1-1") != std::string::npos);
    CHECK(f.details[0].substr(f.details[0].size() - 2) == "|1");
    CHECK(f.source->stats().of(Outcome::rejected) == 1);
    CHECK(f.source->stats().of(Outcome::undelivered) == 1);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("best effort does not store what it could not hand over", "[kafka_source]") {
    KafkaSourceOptions options;
    options.delivery = Delivery::best_effort;
    Fixture f{{{LoggedKind::one, LoggedKind::one}}, options};
    f.indexer.capacity = 1;
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    f.source->poll();
    CHECK(f.stored() == 1);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.stored() == 2);
}

TEST_CASE("a record of a partition that is not assigned is ignored", "[kafka_source][I22]") {
    Fixture f{{{LoggedKind::one}}};
    Record record;
    record.topic = "another";
    CHECK(f.source->deliver(record) == Delivered::ignored);
    record.topic = ModelKafka::topic;
    record.partition = 7;
    CHECK(f.source->deliver(record) == Delivered::ignored);
    record.partition = -1;
    CHECK(f.source->deliver(record) == Delivered::ignored);
    CHECK(f.source->stats().foreign == 3);
    CHECK(f.source->stats().consumed == 0);
    CHECK_THROWS_AS(f.source->assigned("apm.logs", -1), std::out_of_range);
    CHECK_THROWS_AS(f.source->assigned("apm.logs", 2'000'000), std::out_of_range);
}

TEST_CASE("user code cannot throw out of the source", "[kafka_source]") {
    ModelKafka kafka;
    kafka.logs = {{{0, LoggedKind::throwing}, {1, LoggedKind::one}}};
    FakeIndexer indexer;
    ModelMember member{kafka};
    KafkaSourceOptions options;
    options.on_event = [](const SourceEvent&) { throw 1; };
    options.on_wake = [] { throw 2; };
    TestSource source{indexer, member, ModelMapper{}, options};
    member.own(0);
    source.assigned(ModelKafka::topic, 0);
    CHECK(member.deliver_next(source, 0) == Delivered::taken);
    CHECK(member.deliver_next(source, 0) == Delivered::taken);
    indexer.settle_all();
    source.poll();
    CHECK(source.stats().event_errors == 1);
    CHECK(member.owned().at(0).stored == 2);
}

TEST_CASE("out of memory in a mapper is not an invalid record", "[kafka_source]") {
    ModelKafka kafka;
    kafka.logs = {{{0, LoggedKind::one}}};
    FakeIndexer indexer;
    ModelMember member{kafka};
    bool poor = true;
    const auto mapper = [&](const Record&, Batch&) {
        if (poor) throw std::bad_alloc{};
        return Mapped::skip;
    };
    KafkaSource source{indexer, member, mapper};
    member.own(0);
    source.assigned(ModelKafka::topic, 0);
    CHECK(member.deliver_next(source, 0) == Delivered::busy);
    CHECK(source.stats().consumed == 0);
    poor = false;
    CHECK(member.deliver_next(source, 0) == Delivered::taken);
}

TEST_CASE("what a mapper throws, an exception or not, makes its record an invalid one, and is told in one line",
          "[kafka_source][F168]") {
    ModelKafka kafka;
    kafka.logs = {{{0, LoggedKind::one}, {1, LoggedKind::one}, {2, LoggedKind::one}}};
    FakeIndexer indexer;
    ModelMember member{kafka};
    const auto mapper = [](const Record& record, Batch&) -> Mapped {
        if (record.offset == 0) throw 42;
        if (record.offset == 1) throw std::runtime_error{"a\nINFO all is well"};
        return Mapped::skip;
    };
    std::vector<std::string> why;
    KafkaSourceOptions options;
    options.on_invalid = OnInvalid::skip;
    options.on_event = [&](const SourceEvent& event) { why.emplace_back(event.reason); };
    KafkaSource source{indexer, member, mapper, options};
    member.own(0);
    source.assigned(ModelKafka::topic, 0);
    for (int i = 0; i < 3; ++i) CHECK(member.deliver_next(source, 0) == Delivered::taken);
    source.poll();
    CHECK(source.stats().invalid == 2);
    CHECK(member.owned().at(0).stored == 3);
    CHECK(why == std::vector<std::string>{"the mapper threw something that is not an exception", "a INFO all is well"});
}

TEST_CASE("the waker is called once for what waits, and not after the source's end", "[kafka_source]") {
    ModelKafka kafka;
    kafka.logs = {{{0, LoggedKind::three}, {1, LoggedKind::one}}};
    FakeIndexer indexer;
    ModelMember member{kafka};
    int woken = 0;
    KafkaSourceOptions options;
    options.on_wake = [&] { ++woken; };
    auto source = std::make_unique<TestSource>(indexer, member, ModelMapper{}, options);
    member.own(0);
    source->assigned(ModelKafka::topic, 0);
    CHECK(member.deliver_next(*source, 0) == Delivered::taken);
    CHECK(member.deliver_next(*source, 0) == Delivered::taken);
    indexer.settle(0, Outcome::indexed);
    indexer.settle(0, Outcome::indexed);
    CHECK(woken == 1);
    source->poll();
    indexer.settle(0, Outcome::indexed);
    CHECK(woken == 2);
    source.reset();
    indexer.settle(0, Outcome::indexed);
    CHECK(woken == 2);
}

TEST_CASE("options out of range, and an indexer that drops, are refused", "[kafka_source]") {
    ModelKafka kafka;
    FakeIndexer indexer;
    ModelMember member{kafka};
    const auto make = [&](KafkaSourceOptions options) {
        TestSource{indexer, member, ModelMapper{}, std::move(options)};
    };
    KafkaSourceOptions options;
    options.max_span_per_partition = 0;
    CHECK_THROWS_AS(make(options), InvalidOption);
    options.max_span_per_partition = 1;
    options.pause_after = std::chrono::milliseconds{-1};
    CHECK_THROWS_AS(make(options), InvalidOption);
    options.pause_after = std::chrono::minutes{1};
    CHECK_NOTHROW(make(options));
    for (const auto wrong : {std::size_t{1023}, (std::size_t{64} << 30) + 1}) {
        auto kept = options;
        kept.max_kept_bytes = wrong;
        CHECK_THROWS_AS(make(kept), InvalidOption);
        auto letter = options;
        letter.max_letter_bytes = wrong;
        CHECK_THROWS_AS(make(letter), InvalidOption);
    }
    options.pause_after = std::chrono::milliseconds{0};
    CHECK_NOTHROW(make(options));
    auto both = options; // nothing would say when a copy may go: a record is settled when it is handed over
    both.keep_records = true;
    CHECK_NOTHROW(make(both));
    both.delivery = Delivery::best_effort;
    REQUIRE(validate(both));
    CHECK(validate(both)->field == "keep_records");
    CHECK_THROWS_AS(make(both), InvalidOption);
    indexer.config.overflow = Overflow::drop_oldest;
    CHECK_THROWS_AS(make(options), InvalidOption);
}

TEST_CASE("an indexer that gives operations up by age is refused by name, but under best effort",
          "[kafka_source][F238]") {
    ModelKafka kafka;
    FakeIndexer indexer;
    ModelMember member{kafka};
    const auto refused = [&](KafkaSourceOptions options) -> std::string {
        try {
            TestSource{indexer, member, ModelMapper{}, std::move(options)};
        } catch (const InvalidOption& wrong) {
            return wrong.error().field;
        }
        return {};
    };
    CHECK(refused({}).empty());
    indexer.config.retry.max_age = IndexerOptions{}.retry.max_age;
    CHECK(refused({}) == "retry.max_age");
    indexer.config.retry.max_age = std::chrono::hours{24 * 365};
    CHECK(refused({}) == "retry.max_age");
    CHECK(refused({.delivery = Delivery::best_effort}).empty());
}

TEST_CASE("drain: no more records, the stash included, then everything is stored", "[kafka_source][F154]") {
    Fixture f{{{LoggedKind::one, LoggedKind::one, LoggedKind::one}}};
    f.indexer.capacity = 1;
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken);
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::taken); // the stash
    f.source->drain();
    CHECK(f.member.deliver_next(*f.source, 0) == Delivered::busy);
    CHECK_FALSE(f.source->drained());
    f.indexer.settle_all();
    f.source->poll();
    CHECK_FALSE(f.source->drained());
    CHECK(f.indexer.flushes == 2); // the stash travels at once, too
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->drained());
    CHECK(f.stored() == 2);
    CHECK(f.paused());
}

namespace {

/// Two members of a group that share four partitions, with everything going wrong that may: by seed.
class Chaos {
public:
    explicit Chaos(std::uint32_t seed) : random_{seed} {
        options_.max_span_per_partition = 1 + random_() % 40;
        options_.on_rejected = OnRejected::skip;
        for (int p = 0; p < partitions; ++p) {
            auto& log = kafka.logs.emplace_back();
            std::int64_t offset = 0;
            for (int i = 0; i < records; ++i) {
                offset += chance(10) ? 1 + static_cast<std::int64_t>(random_() % 30) : 1;
                const auto kind = chance(80) ? LoggedKind::one : static_cast<LoggedKind>(random_() % 6);
                log.push_back({offset, kind});
            }
        }
        for (auto& member : members_) start(member);
        for (std::int32_t p = 0; p < partitions; ++p) give(p, pick());
    }

    void step() {
        auto& member = pick();
        const auto dice = random_() % 1000;
        if (dice < 500) {
            deliver(member);
        } else if (dice < 850) {
            settle(member);
        } else if (dice < 950) {
            member.source->poll();
        } else if (dice < 970) {
            member.client->commit_all();
        } else if (dice < 978) {
            member.indexer->capacity = chance(50) ? 1000 : 3 + random_() % 20;
        } else if (dice < 984) {
            take_back(member, false);
        } else if (dice < 988) {
            take_back(member, true);
        } else if (dice < 991) {
            rewind(member);
        } else if (dice < 994) {
            member.client->fail_stores = !member.client->fail_stores;
        } else if (dice < 997) {
            member.client->fail_pauses = !member.client->fail_pauses;
        } else if (dice < 998) {
            crash(member);
        }
        check(member);
    }
    /// The faults end, and what is left is read.
    bool finish() {
        for (auto& member : members_) {
            member.client->fail_stores = member.client->fail_pauses = false;
            member.indexer->capacity = 100;
        }
        for (int round = 0; round < 100'000; ++round) {
            bool all = true;
            for (auto& member : members_) {
                for (auto& [partition, owned] : member.client->owned()) {
                    if (member.client->next(partition) != nullptr) all = false;
                    if (!owned.paused && member.client->next(partition) != nullptr)
                        static_cast<void>(member.client->deliver_next(*member.source, partition));
                }
                if (round % 7 == 0) member.indexer->settle_all();
                member.source->poll();
                member.client->commit_all();
                all = all && member.indexer->pending.empty() && member.source->drained();
                check(member);
            }
            if (all) return true;
        }
        return false;
    }
    [[nodiscard]] bool everything_indexed_and_committed() const {
        for (std::int32_t p = 0; p < partitions; ++p) {
            const auto end = kafka.logs[static_cast<std::size_t>(p)].back().offset + 1;
            if (kafka.committed.at(p) != end || !kafka.safe_to_store(p, end)) return false;
        }
        return true;
    }

    ModelKafka kafka;
    int crashes = 0;
    int handovers = 0;

private:
    static constexpr int partitions = 4;
    static constexpr int records = 300;
    struct Member {
        std::unique_ptr<FakeIndexer> indexer;
        std::unique_ptr<ModelMember> client;
        std::unique_ptr<TestSource> source;
    };

    bool chance(unsigned percent) { return random_() % 100 < percent; }
    Member& pick() { return members_[random_() % 2]; }
    std::int32_t any_of(const Member& member) {
        const auto& owned = member.client->owned();
        return std::next(owned.begin(), static_cast<std::ptrdiff_t>(random_() % owned.size()))->first;
    }
    void start(Member& member) {
        member.source.reset();
        member.indexer = std::make_unique<FakeIndexer>();
        member.indexer->store = &kafka.indexed;
        member.indexer->on_flush = [this, &member] {
            for (auto some = random_() % 10; some > 0; --some) settle(member);
        };
        member.client = std::make_unique<ModelMember>(kafka);
        member.source = std::make_unique<TestSource>(*member.indexer, *member.client, ModelMapper{}, options_);
    }
    void give(std::int32_t partition, Member& member) {
        member.client->own(partition);
        member.source->assigned(ModelKafka::topic, partition);
    }
    void deliver(Member& member) {
        if (member.client->owned().empty()) return;
        const auto partition = any_of(member);
        if (member.client->next(partition) == nullptr) return;
        if (member.client->owned().at(partition).paused && !chance(5)) return; // a few had been fetched already
        static_cast<void>(member.client->deliver_next(*member.source, partition));
    }
    void settle(Member& member) {
        auto& pending = member.indexer->pending;
        if (pending.empty()) return;
        const auto position =
            chance(70) ? random_() % std::min<std::size_t>(pending.size(), 5) : random_() % pending.size();
        if (chance(1)) {
            kafka.given_up.insert(pending[position].id());
            member.indexer->settle(position, Outcome::rejected);
        } else {
            member.indexer->settle(position, chance(5) ? Outcome::superseded : Outcome::indexed);
        }
    }
    void take_back(Member& member, bool lost) {
        std::vector<TopicPartition> gone;
        for (const auto& [partition, owned] : member.client->owned())
            if (chance(50)) gone.push_back({ModelKafka::topic, partition});
        if (lost) {
            for (const auto& p : gone) member.client->disown(p.partition);
            member.source->lost(gone);
        } else {
            member.source->revoked(gone, std::chrono::nanoseconds::zero());
            for (const auto& p : gone) member.client->commit(p.partition);
            for (const auto& p : gone) member.client->disown(p.partition);
        }
        for (const auto& p : gone) give(p.partition, pick());
        handovers += static_cast<int>(gone.size());
    }
    void rewind(Member& member) {
        if (member.client->owned().empty()) return;
        const auto partition = any_of(member);
        auto& position = member.client->owned().at(partition).position;
        position = std::max<std::int64_t>(0, position - static_cast<std::int64_t>(random_() % 60));
        member.source->seeking(ModelKafka::topic, partition, position); // the same records again
    }
    void crash(Member& member) {
        std::vector<std::int32_t> owned;
        for (const auto& [partition, state] : member.client->owned()) owned.push_back(partition);
        start(member);
        for (const auto partition : owned) give(partition, pick());
        ++crashes;
    }
    void check(Member& member) {
        const auto stats = member.source->stats();
        if (!adds_up(stats)) kafka.violated("I23: the books do not add up");
        if (member.client->fail_pauses || !unpaused(member)) return;
        member.source->poll(); // a pause that the client had refused is made up for now
        if (unpaused(member)) kafka.violated("I24: over the limit, and not paused");
    }
    /// A partition that should be paused and is not.
    bool unpaused(Member& member) {
        const bool full = member.source->stats().stashed > 0;
        for (const auto& state : member.source->partitions()) {
            const bool wanted = full || state.span > options_.max_span_per_partition;
            if (wanted && !member.client->owned().at(state.partition).paused) return true;
        }
        return false;
    }

    std::mt19937 random_;
    KafkaSourceOptions options_;
    Member members_[2];
};

} // namespace

TEST_CASE("no seed of chaos loses a record or stores an offset too far",
          "[kafka_source][I20][I21][I22][I23][I24][I26][F137]") {
    int crashes = 0;
    int handovers = 0;
    for (std::uint32_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        Chaos chaos{seed};
        for (int i = 0; i < 4000 && chaos.kafka.violations.empty(); ++i) chaos.step();
        const bool finished = chaos.kafka.violations.empty() && chaos.finish();
        CAPTURE(chaos.kafka.violations);
        REQUIRE(chaos.kafka.violations.empty());
        REQUIRE(finished);
        REQUIRE(chaos.everything_indexed_and_committed());
        crashes += chaos.crashes;
        handovers += chaos.handovers;
    }
    CHECK(crashes > 20); // the faults did happen; `simulate --kafka` has many more
    CHECK(handovers > 200);
}
