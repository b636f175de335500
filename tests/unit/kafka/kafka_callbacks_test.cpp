// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/kafka/source.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace bulkhead_test;
using Event = SourceEvent::Kind;

namespace {

/// One member whose observer of events, mapper and waker call the source back.
struct CallbackFixture {
    struct CallingMapper {
        CallbackFixture* fixture;
        Mapped operator()(const Record& record, Batch& out) const {
            const auto again = fixture->in_mapper; // a copy: it may reset itself
            if (again) again();
            return ModelMapper{}(record, out);
        }
    };
    using Source = KafkaSource<FakeIndexer, ModelMember, CallingMapper>;

    explicit CallbackFixture(std::size_t records, KafkaSourceOptions options = {}) {
        kafka.logs.emplace_back();
        for (std::size_t i = 0; i < records; ++i) kafka.logs[0].push_back({std::int64_t(i), Logged::Kind::one});
        indexer.store = &kafka.indexed;
        options.on_event = [this](const SourceEvent& event) {
            events.push_back(event.kind);
            if (in_event) in_event(event);
        };
        options.on_wake = [this] {
            if (in_wake) in_wake();
        };
        source = std::make_unique<Source>(indexer, member, CallingMapper{this}, options);
        member.own(0);
        source->assigned(ModelKafka::topic, 0);
    }
    void deliver(std::size_t records) {
        for (std::size_t i = 0; i < records; ++i) REQUIRE(member.deliver_next(*source, 0) == Delivered::taken);
    }
    void fail_some(std::size_t most) { // the policy gives them up by name
        for (; most != 0 && !indexer.pending.empty(); --most) {
            kafka.given_up.insert(indexer.pending[0].id());
            indexer.settle(0, Outcome::rejected);
        }
    }
    void fail_all() { fail_some(indexer.pending.size()); }
    std::optional<std::int64_t> stored() { return member.owned().at(0).stored; }

    ModelKafka kafka;
    FakeIndexer indexer;
    ModelMember member{kafka};
    std::vector<Event> events;
    std::function<void(const SourceEvent&)> in_event;
    std::function<void()> in_mapper, in_wake;
    std::unique_ptr<Source> source;
};

KafkaSourceOptions skipping_rejected() {
    KafkaSourceOptions options;
    options.on_rejected = OnRejected::skip;
    return options;
}

} // namespace

TEST_CASE("an observer of events that polls, or delivers, changes nothing and harms nothing",
          "[kafka_source][kafka_callbacks][F235]") {
    CallbackFixture f{200, skipping_rejected()};
    f.deliver(100);
    std::size_t busy = 0;
    int depth = 0;
    f.in_event = [&](const SourceEvent&) {
        CHECK(++depth == 1); // a callback is not called within one
        CHECK_FALSE(f.source->accepting());
        f.fail_some(1); // so that there is mail
        if (f.member.deliver_next(*f.source, 0) == Delivered::busy) ++busy;
        f.source->poll();
        --depth;
    };
    f.fail_some(40);
    for (int i = 0; i < 10; ++i) f.source->poll();
    CHECK(f.events.size() == 100); // each exactly once
    CHECK(busy == 100);
    CHECK(f.source->accepting());
    CHECK(f.stored() == 100);
    CHECK(f.source->drained());
    f.in_event = nullptr;
    f.deliver(100);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.stored() == 200);
    CHECK(adds_up(f.source->stats()));
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("an observer of events may give partitions back, lose them, and drain",
          "[kafka_source][kafka_callbacks][F235]") {
    for (const std::string_view what : {"revoked", "lost", "drain"}) {
        CAPTURE(what);
        CallbackFixture f{20, skipping_rejected()};
        f.deliver(20);
        f.in_event = [&](const SourceEvent& event) {
            if (event.offset != 3) return;
            if (what == "drain") return f.source->drain();
            what == "lost" ? f.source->lost() : f.source->revoked(std::chrono::hours{1});
            CHECK(f.source->stats().assigned_partitions == 0);
        };
        f.fail_all();
        f.source->poll();
        CHECK(f.events.size() == 20); // what was given up is told all the same
        CHECK(adds_up(f.source->stats()));
        CHECK(f.kafka.violations.empty());
        if (what == "lost") {
            CHECK_FALSE(f.stored());
        } else {
            CHECK(f.stored() == 20);
        }
        CHECK(f.source->accepting() == (what != "drain"));
    }
}

TEST_CASE("what is given up by name is told before its offset is stored, whoever stores it",
          "[kafka_source][kafka_callbacks][F235]") {
    CallbackFixture f{20, skipping_rejected()};
    f.deliver(20);
    std::int64_t told = 0;
    f.in_event = [&](const SourceEvent& event) {
        CHECK(f.stored().value_or(0) <= told);
        told = event.offset + 1;
        f.source->poll();
        if (event.offset == 3) f.source->revoked(std::chrono::hours{1});
    };
    f.fail_all();
    f.source->poll();
    CHECK(told == 20); // the revoke within the callback has told the rest
    CHECK(f.events.size() == 20);
    CHECK(f.stored() == 20);
}

TEST_CASE("an observer of the source's stop may close the consumer", "[kafka_source][kafka_callbacks][F235]") {
    KafkaSourceOptions options;
    options.on_rejected = OnRejected::stop;
    CallbackFixture f{10, options};
    f.deliver(10);
    f.in_event = [&](const SourceEvent& event) {
        if (event.kind == Event::stopped) f.source->revoked(std::chrono::seconds{1});
    };
    f.indexer.settle(0, Outcome::indexed);
    f.indexer.settle(0, Outcome::rejected);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->stopped());
    CHECK(f.stored() == 1);
    CHECK(adds_up(f.source->stats()));
    CHECK(f.kafka.violations.empty());
}

TEST_CASE("a mapper that calls its source is refused, and one that loses its partition takes nothing",
          "[kafka_source][kafka_callbacks][F235]") {
    CallbackFixture f{10};
    f.in_mapper = [&] {
        f.in_mapper = nullptr;
        CHECK_FALSE(f.source->accepting());
        Record other{ModelKafka::topic, 0, 0, {}, std::string_view{"one"}, -1, {}};
        CHECK(f.source->deliver(other) == Delivered::busy);
        f.source->poll();
    };
    f.deliver(2);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.stored() == 2);
    f.in_mapper = [&] {
        f.in_mapper = nullptr;
        f.source->lost();
    };
    Record record{ModelKafka::topic, 0, 2, {}, std::string_view{"one"}, -1, {}};
    CHECK(f.source->deliver(record) == Delivered::ignored);
    CHECK(f.source->stats().consumed == 2);
    CHECK(f.source->drained());
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("a waker may poll, on a thread that is the source's as well", "[kafka_source][kafka_callbacks][F235]") {
    KafkaSourceOptions options;
    options.on_invalid = OnInvalid::dead_letter;
    ModelKafka kafka;
    kafka.logs = {{{0, Logged::Kind::invalid}, {1, Logged::Kind::one}}};
    FakeIndexer indexer;
    indexer.store = &kafka.indexed;
    /// A client that knows at once that a letter is safe.
    struct Prompt : ModelMember {
        using ModelMember::ModelMember;
        void write_letter(const KafkaLetter&, LetterReceipt receipt) { receipt({}); }
    } member{kafka};
    member.dead_letter_topic = true;
    std::function<void()> poll;
    options.on_wake = [&] { poll(); };
    KafkaSource source{indexer, member, ModelMapper{}, options};
    poll = [&] { source.poll(); };
    member.own(0);
    source.assigned(ModelKafka::topic, 0);
    for (int i = 0; i < 2; ++i) CHECK(member.deliver_next(source, 0) == Delivered::taken);
    indexer.settle_all();
    source.poll();
    CHECK(member.owned().at(0).stored == 2);
    CHECK(source.drained());
}
