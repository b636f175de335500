// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/kafka/detail/rewinds.hpp>
#include <bulkhead/kafka/mappers.hpp>
#include <bulkhead/kafka/source.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace bulkhead_test;
using Event = SourceEvent::Kind;

namespace {

/// A client that can only store: what it was given last is the group's offset.
struct PlainClient {
    error_code store_offset(std::string_view, std::int32_t, std::int64_t next) {
        if (failing) return errc::full;
        group = next;
        ++stores;
        return {};
    }
    error_code pause(std::string_view, std::int32_t) { return {}; }
    error_code resume(std::string_view, std::int32_t) { return {}; }

    bool failing = false;
    std::optional<std::int64_t> group;
    int stores = 0;
};
/// One that commits as librdkafka does: what is stored, where it is higher; and what it is asked to set, at once.
struct SettingClient : PlainClient {
    error_code store_offset(std::string_view, std::int32_t, std::int64_t next) {
        if (next > committed) committed = next;
        ++stores;
        return {};
    }
    error_code set_offset(std::string_view, std::int32_t, std::int64_t next) {
        if (failing) return errc::full;
        committed = next;
        sets.push_back(next);
        return {};
    }
    std::int64_t committed = -1;
    std::vector<std::int64_t> sets;
};
static_assert(OffsetSetter<SettingClient> && !OffsetSetter<PlainClient>);

/// A source that owns partition 0 of topic "t".
template <class Client>
struct IdentityFixture {
    struct IdMapper {
        Mapped operator()(const Record& record, Batch& out) const {
            const auto id = record_id(record);
            return out.append({.index = "i", .id = id, .source = "{}"}) ? Mapped::invalid : Mapped::operations;
        }
    };
    IdentityFixture() {
        options.on_event = [this](const SourceEvent& event) { events.push_back(event.kind); };
        source = std::make_unique<Source>(indexer, client, IdMapper{}, options);
        source->assigned("t", 0);
    }
    using Source = KafkaSource<FakeIndexer, Client, IdMapper>;
    Delivered deliver(std::int64_t offset, std::int64_t timestamp_ms = 1) {
        return source->deliver({.topic = "t", .offset = offset, .payload = "{}", .timestamp_ms = timestamp_ms});
    }
    /// A life of the topic, its records at this time.
    void deliver(std::int64_t from, std::int64_t to, std::int64_t time) {
        for (auto offset = from; offset < to; ++offset) REQUIRE(deliver(offset, time) == Delivered::taken);
    }
    void settle_all() {
        indexer.settle_all();
        source->poll();
    }
    Client client;
    FakeIndexer indexer;
    KafkaSourceOptions options;
    std::vector<Event> events;
    std::unique_ptr<Source> source;
};

} // namespace

TEST_CASE("a topic that is created again: the group's offset goes down to what is not settled",
          "[kafka_source][kafka_identity][F236][I21]") {
    IdentityFixture<PlainClient> f;
    f.deliver(0, 1000, 1);
    f.settle_all();
    CHECK(f.client.group == 1000);
    const auto stores = f.client.stores;
    f.deliver(0, 1500, 2); // the server is away
    f.source->poll();
    CHECK(f.client.group == 0); // whoever gets the partition now reads all of the new topic
    CHECK(f.client.stores == stores + 1);
    CHECK(f.events == std::vector<Event>{Event::rewound});
    CHECK(f.source->stats().rewinds == 1);
    f.source->poll();
    CHECK(f.client.stores == stores + 1); // once
    f.indexer.settle(0, Outcome::indexed);
    f.source->poll();
    CHECK(f.client.group == 1);
    f.source->revoked(std::chrono::milliseconds{0});
    CHECK(f.client.group == 1);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("a client that commits higher offsets only is asked to set the lower one",
          "[kafka_source][kafka_identity][F236][I21]") {
    IdentityFixture<SettingClient> f;
    f.deliver(0, 1000, 1);
    f.source->poll();
    CHECK(f.client.sets == std::vector<std::int64_t>{0}); // where this assignment begins
    f.settle_all();
    CHECK(f.client.committed == 1000);
    f.deliver(0, 10, 2);
    f.source->poll();
    CHECK(f.client.sets == std::vector<std::int64_t>{0, 0});
    CHECK(f.client.committed == 0);
    f.settle_all();
    CHECK(f.client.committed == 10);
    CHECK(f.client.sets.size() == 2);
    SECTION("a truncated log: down to the first record of before that is not settled") {
        f.deliver(10, 20, 2);
        f.indexer.settle(0, Outcome::indexed); // 10
        f.source->poll();
        CHECK(f.client.committed == 11);
        f.deliver(12, 15, 3);
        f.source->poll();
        CHECK(f.client.committed == 11); // 11 is below the truncation, and waits
        CHECK(f.client.sets.size() == 2);
        f.deliver(5, 7, 4);
        f.source->poll();
        CHECK(f.client.sets == std::vector<std::int64_t>{0, 0, 5});
    }
    SECTION("a client that does not take it is asked again") {
        f.client.failing = true;
        f.deliver(4, 6, 3);
        f.source->poll();
        CHECK(f.client.committed == 10);
        f.client.failing = false;
        f.source->poll();
        CHECK(f.client.committed == 4);
        f.source->poll();
        CHECK(f.client.sets.size() == 3);
    }
    SECTION("nothing for a partition that is lost") {
        f.deliver(4, 6, 3);
        f.source->lost();
        f.source->poll();
        CHECK(f.client.committed == 10);
        CHECK(f.client.sets.size() == 2);
    }
}

TEST_CASE("a committed offset that was out of range goes down to where reading begins",
          "[kafka_source][kafka_identity][F236]") {
    IdentityFixture<SettingClient> f;
    f.client.committed = 1000; // of the topic's earlier life
    f.deliver(0, 5, 2);
    f.source->poll();
    CHECK(f.client.committed == 0);
    f.settle_all();
    CHECK(f.client.committed == 5);
    CHECK(f.client.sets == std::vector<std::int64_t>{0});
}

TEST_CASE("a caller that seeks by its own will lowers nothing, and never turns in a circle",
          "[kafka_source][kafka_identity][F236][F237]") {
    IdentityFixture<SettingClient> f;
    f.deliver(0, 100, 1);
    f.settle_all();
    for (int i = 0; i < 10; ++i) {
        f.source->seeking("t", 0, 0);
        f.deliver(0, 50, 1);
        f.settle_all();
    }
    CHECK(f.client.committed == 100);
    CHECK(f.client.sets == std::vector<std::int64_t>{100});
    CHECK(f.events.empty());
    f.deliver(50, 101, 1);
    f.settle_all();
    CHECK(f.client.committed == 101);
    f.source->seeking("t", 7, 0); // unknown: harmless
    f.source->revoked(std::chrono::seconds{1});
    f.source->seeking("t", 0, 0); // gone: harmless
    f.source->assigned("t", 0);
    f.source->seeking("t", 0, 3); // an assignment that begins where the caller wants
    f.deliver(3, 5, 1);
    f.settle_all();
    CHECK(f.client.committed == 101);
    f.source->seeking("t", 0, 60); // but the topic was created again meanwhile
    f.deliver(0, 2, 2);
    f.source->poll();
    CHECK(f.client.committed == 0);
}

TEST_CASE("a seek below an offset that the client has not taken yet lowers nothing",
          "[kafka_source][kafka_identity][F236]") {
    IdentityFixture<SettingClient> f;
    f.client.committed = 2;
    f.client.failing = true;
    f.deliver(2, 9, 1);
    f.source->seeking("t", 0, 1);
    f.deliver(1, 3, 1);
    f.client.failing = false;
    f.source->poll();
    CHECK(f.client.committed == 2);
    f.settle_all();
    CHECK(f.client.committed == 3);
}

TEST_CASE("a client that goes back three times and never further stops the source by name",
          "[kafka_source][kafka_identity][F237]") {
    IdentityFixture<PlainClient> f;
    f.deliver(0, 3, 1);
    f.deliver(0, 3, 1);
    f.deliver(0, 3, 1);
    CHECK_FALSE(f.source->stopped());
    CHECK(f.deliver(0) == Delivered::busy);
    CHECK(f.source->stop_reason() == StopReason::rewinding);
    CHECK(to_string(f.source->stop_reason()) == "rewinding");
    CHECK(f.events == std::vector<Event>{Event::rewound, Event::stopped});
    f.settle_all();
    CHECK(f.client.group == 3); // what was settled is stored all the same
    CHECK(f.source->stats().consumed == 9);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("going back is no circle while the reader gets further, or reads other records",
          "[kafka_source][kafka_identity][F237]") {
    detail::Rewinds rewinds;
    const auto read = [&](std::int64_t from, std::int64_t to, std::int64_t time) {
        for (auto offset = from; offset < to; ++offset) {
            if (rewinds.circles(offset, time)) return false;
            rewinds.taken(offset, time);
        }
        return true;
    };
    for (std::int64_t end = 3; end < 20; ++end) CHECK(read(0, end, 1)); // further each time
    CHECK(read(0, 19, 1));
    CHECK(read(5, 19, 1));
    CHECK_FALSE(read(2, 19, 1));                                            // wherever it goes back to
    CHECK_FALSE(read(2, 19, 1));                                            // and again
    CHECK(read(19, 20, 1));                                                 // but not when it goes on after all
    for (std::int64_t life = 2; life < 10; ++life) CHECK(read(0, 7, life)); // shorter topics, created again and again
    rewinds.restart();
    CHECK(read(0, 1, 1));
    CHECK(read(0, 1, 1));
    CHECK(read(0, 1, 1));
    CHECK_FALSE(read(0, 1, 1)); // of a single record, too
    rewinds.restart();
    CHECK(read(0, 1, 1));
}

TEST_CASE("the same offset of a topic that was created again is another record",
          "[kafka_source][kafka_mappers][kafka_identity][F239]") {
    IdentityFixture<PlainClient> f;
    std::set<std::string> store;
    f.indexer.store = &store;
    f.deliver(0, 3, 1'764'525'300'000);
    f.deliver(0, 3, 1'764'525'300'000); // the same records, delivered again
    f.settle_all();
    CHECK(store.size() == 3);
    f.deliver(0, 3, 1'764'525'400'000);
    f.settle_all();
    CHECK(store.size() == 6);
}
