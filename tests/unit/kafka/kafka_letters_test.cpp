// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/kafka/mappers.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

using namespace bulkhead_test;
using Event = SourceEvent::Kind;

namespace {

/// Tombstones delete what the key names.
struct DeletingMapper : ModelMapper {
    Mapped tombstone(const Record& record, Batch& out) const {
        if (!record.key) return Mapped::invalid;
        Operation op;
        op.action = Action::delete_;
        op.id = *record.key;
        return out.append(op, std::string_view{"logs"}) ? Mapped::invalid : Mapped::operations;
    }
};

/// One member with a dead-letter topic, that owns partition 0.
template <class M = ModelMapper>
struct LettersFixture {
    explicit LettersFixture(KafkaSourceOptions options, bool dead_letter_topic = true) {
        kafka.logs.resize(1);
        indexer.store = &kafka.indexed;
        member.dead_letter_topic = dead_letter_topic;
        member.check_durability = false;
        options.on_event = [this](const SourceEvent& event) { events.push_back(event.kind); };
        source = std::make_unique<KafkaSource<FakeIndexer, ModelMember, M>>(indexer, member, M{}, std::move(options));
        member.own(0);
        source->assigned(ModelKafka::topic, 0);
    }
    Delivered deliver(std::optional<std::string_view> payload, std::optional<std::string_view> key = "the key") {
        Record record;
        record.topic = ModelKafka::topic;
        record.offset = offset;
        record.key = key;
        record.payload = payload;
        record.headers = RecordHeaders{headers};
        const auto delivered = source->deliver(record);
        if (delivered == Delivered::taken) ++offset;
        return delivered;
    }
    std::optional<std::int64_t> stored() {
        source->poll();
        return member.owned().at(0).stored;
    }
    std::array<RecordHeader, 1> headers{{{"trace", "abc"}}};
    std::int64_t offset = 7;
    ModelKafka kafka;
    FakeIndexer indexer;
    ModelMember member{kafka};
    std::vector<Event> events;
    std::unique_ptr<KafkaSource<FakeIndexer, ModelMember, M>> source;
};

KafkaSourceOptions everything_to_the_topic() {
    KafkaSourceOptions options;
    options.on_invalid = OnInvalid::dead_letter;
    options.on_tombstone = OnTombstone::dead_letter;
    options.on_unknown = OnUnknown::dead_letter;
    return options;
}

} // namespace

TEST_CASE("an invalid record goes to the dead-letter topic as it is, and settles when it is safe there",
          "[kafka_source][kafka_letters][F124][F148]") {
    LettersFixture f{everything_to_the_topic()};
    REQUIRE(f.deliver("invalid") == Delivered::taken);
    REQUIRE(f.deliver("one") == Delivered::taken);
    f.indexer.settle_all();
    CHECK_FALSE(f.stored()); // not yet safe
    CHECK_FALSE(f.source->drained());
    REQUIRE(f.member.letters.size() == 1);
    const auto& letter = f.member.letters.front();
    CHECK(letter.topic == ModelKafka::topic);
    CHECK(letter.offset == 7);
    CHECK(letter.type == "invalid");
    CHECK(letter.key == "the key");
    CHECK(letter.payload == "invalid");
    CHECK(letter.header == "abc");
    f.member.acknowledge();
    CHECK(f.stored() == 9);
    CHECK(f.source->drained());
    CHECK(f.source->stats().dead_letters == 1);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("a dead letter that cannot be written stops the source, and the offset stays",
          "[kafka_source][kafka_letters][F125]") {
    LettersFixture f{everything_to_the_topic()};
    REQUIRE(f.deliver("invalid") == Delivered::taken);
    f.member.acknowledge(errc::sink_failed);
    CHECK_FALSE(f.stored());
    CHECK(f.source->stop_reason() == StopReason::dead_letter);
    CHECK(f.source->stats().letters_failed == 1);
    CHECK(f.source->stats().failed == 1);
    CHECK(f.events == std::vector<Event>{Event::invalid, Event::letter_failed, Event::stopped});
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("a receipt that is dropped says that the letter is not safe", "[kafka_source][kafka_letters][F125]") {
    LettersFixture f{everything_to_the_topic()};
    REQUIRE(f.deliver("invalid") == Delivered::taken);
    f.member.letters.clear();
    CHECK_FALSE(f.stored());
    CHECK(f.source->stop_reason() == StopReason::dead_letter);
}

TEST_CASE("a receipt that comes after the revoke changes nothing", "[kafka_source][kafka_letters][F135]") {
    LettersFixture f{everything_to_the_topic()};
    REQUIRE(f.deliver("invalid") == Delivered::taken);
    f.source->lost();
    f.member.disown(0);
    f.member.own(0);
    f.source->assigned(ModelKafka::topic, 0);
    REQUIRE(f.deliver("one") == Delivered::taken);
    f.member.acknowledge(errc::sink_failed);
    CHECK_FALSE(f.stored());
    CHECK_FALSE(f.source->stopped());
    f.indexer.settle_all();
    CHECK(f.stored() == 9);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("an invalid record stops the source by name", "[kafka_source][kafka_letters][F148]") {
    KafkaSourceOptions options;
    options.on_invalid = OnInvalid::stop;
    LettersFixture f{options, false};
    REQUIRE(f.deliver("one") == Delivered::taken);
    REQUIRE(f.deliver("throwing") == Delivered::taken);
    f.indexer.settle_all();
    CHECK(f.stored() == 8); // before it
    CHECK(f.source->stop_reason() == StopReason::invalid);
    CHECK(f.deliver("one") == Delivered::busy);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("tombstones: deleted, skipped or dead-lettered", "[kafka_source][kafka_letters][F147]") {
    SECTION("the mapper's delete, by default") {
        LettersFixture<DeletingMapper> f{{}};
        REQUIRE(f.deliver(std::nullopt, "order-7") == Delivered::taken);
        REQUIRE(f.indexer.pending.size() == 1);
        CHECK(f.indexer.pending[0].action_line.find("\"delete\"") != std::string::npos);
        CHECK(f.indexer.pending[0].id() == "order-7");
        CHECK(f.source->stats().without_payload == 0);
        f.indexer.settle_all();
        CHECK(f.stored() == 8);
    }
    SECTION("without a key it is invalid") {
        LettersFixture<DeletingMapper> f{everything_to_the_topic()};
        f.source.reset();
        KafkaSourceOptions options;
        options.on_invalid = OnInvalid::dead_letter;
        LettersFixture<DeletingMapper> g{options};
        REQUIRE(g.deliver(std::nullopt, std::nullopt) == Delivered::taken);
        REQUIRE(g.member.letters.size() == 1);
        CHECK_FALSE(g.member.letters.front().has_payload);
        g.member.acknowledge();
        CHECK(g.stored() == 8);
    }
    SECTION("a mapper that knows no delete: skipped, and said") {
        LettersFixture f{{}, false};
        REQUIRE(f.deliver(std::nullopt) == Delivered::taken);
        CHECK(f.stored() == 8);
        CHECK(f.events == std::vector<Event>{Event::without_payload});
        CHECK(f.source->stats().skipped == 1);
    }
    SECTION("skipped by name") {
        KafkaSourceOptions options;
        options.on_tombstone = OnTombstone::skip;
        LettersFixture<DeletingMapper> f{options, false};
        REQUIRE(f.deliver(std::nullopt) == Delivered::taken);
        CHECK(f.indexer.pending.empty());
        CHECK(f.stored() == 8);
    }
    SECTION("dead-lettered by name") {
        LettersFixture<DeletingMapper> f{everything_to_the_topic()};
        REQUIRE(f.deliver(std::nullopt) == Delivered::taken);
        CHECK_FALSE(f.stored());
        REQUIRE(f.member.letters.size() == 1);
        CHECK(f.member.letters.front().type == "tombstone");
        CHECK_FALSE(f.member.letters.front().has_payload);
        f.member.acknowledge();
        CHECK(f.stored() == 8);
    }
}

TEST_CASE("a rewound record's copy is let go of, and its unknown outcome makes no letter",
          "[kafka_source][kafka_letters][F153]") {
    auto options = everything_to_the_topic();
    options.keep_records = true;
    options.max_kept_bytes = 2048;
    LettersFixture f{options};
    REQUIRE(f.deliver("one") == Delivered::taken); // it holds up what comes behind it
    const std::string large_key(900, 'k');
    REQUIRE(f.deliver("one", large_key) == Delivered::taken);
    f.offset = 8; // the client goes back
    REQUIRE(f.deliver("one", large_key) == Delivered::taken);
    CHECK(f.source->accepting()); // one copy, not two
    f.indexer.settle(1, Outcome::unknown);
    f.source->poll();
    CHECK(f.member.letters.empty());
    f.indexer.settle_all();
    CHECK(f.stored() == 9);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("an unknown outcome: stops, is passed, or goes to the dead-letter topic, by name",
          "[kafka_source][kafka_letters]") {
    KafkaSourceOptions options;
    SECTION("stop") {
        LettersFixture f{options, false};
        REQUIRE(f.deliver("one") == Delivered::taken);
        f.indexer.settle(0, Outcome::unknown);
        CHECK_FALSE(f.stored());
        CHECK(f.source->stop_reason() == StopReason::unknown);
    }
    SECTION("skip") {
        options.on_unknown = OnUnknown::skip;
        LettersFixture f{options, false};
        REQUIRE(f.deliver("one") == Delivered::taken);
        f.indexer.settle(0, Outcome::unknown);
        CHECK(f.stored() == 8);
        CHECK_FALSE(f.source->stopped());
    }
    SECTION("skip does not pass what a closing indexer gave up") {
        options.on_unknown = OnUnknown::skip;
        LettersFixture f{options, false};
        REQUIRE(f.deliver("one") == Delivered::taken);
        f.indexer.settle(0, Outcome::unknown, to_string(errc::closed));
        CHECK_FALSE(f.stored());
        CHECK(f.source->stop_reason() == StopReason::closed);
    }
    SECTION("dead_letter: one letter for each operation, and the record settles with the last") {
        options.on_unknown = OnUnknown::dead_letter;
        options.keep_records = GENERATE(false, true);
        LettersFixture f{options};
        REQUIRE(f.deliver("three") == Delivered::taken);
        f.indexer.settle(0, Outcome::unknown);
        f.indexer.settle(0, Outcome::indexed);
        f.indexer.settle(0, Outcome::unknown);
        CHECK_FALSE(f.stored());
        REQUIRE(f.member.letters.size() == 2);
        const auto& letter = f.member.letters.front();
        CHECK(letter.type == "unknown_outcome");
        CHECK(letter.reason == "because");
        CHECK(letter.offset == 7);
        CHECK(letter.action_line.find("0-7-0") != std::string::npos);
        CHECK(letter.source == "{}");
        CHECK(letter.has_record == options.keep_records);
        if (options.keep_records) CHECK(letter.payload + letter.key + letter.header == "threethe keyabc");
        f.member.acknowledge();
        CHECK_FALSE(f.stored());
        f.member.acknowledge();
        CHECK(f.stored() == 8);
        CHECK(adds_up(f.source->stats()));
    }
}

TEST_CASE("what the indexer can never take goes to the dead-letter topic where there is one",
          "[kafka_source][kafka_letters][F148]") {
    LettersFixture f{{}};
    f.indexer.refuse = Admission::too_large;
    REQUIRE(f.deliver("three") == Delivered::taken);
    REQUIRE(f.member.letters.size() == 1);
    CHECK(f.member.letters.front().type == to_string(errc::too_large));
    CHECK(f.member.letters.front().payload == "three");
    CHECK_FALSE(f.stored());
    f.member.acknowledge();
    CHECK(f.stored() == 8);

    LettersFixture g{{}, false};
    g.indexer.refuse = Admission::too_large;
    REQUIRE(g.deliver("three") == Delivered::taken);
    CHECK(g.source->stop_reason() == StopReason::too_large);
}

TEST_CASE("letters that are not acknowledged hold the source up, and half of them resumes it",
          "[kafka_source][kafka_letters][F125]") {
    auto options = everything_to_the_topic();
    options.max_letter_bytes = 1024;
    LettersFixture f{options};
    int taken = 0;
    while (f.deliver("invalid") == Delivered::taken) REQUIRE(++taken < 1000);
    CHECK(taken > 5);
    CHECK(f.member.owned().at(0).paused);
    while (f.member.letters.size() > static_cast<std::size_t>(taken) / 2 + 1) {
        f.member.acknowledge();
        f.source->poll();
        if (f.member.letters.size() > static_cast<std::size_t>(taken) / 2 + 2) CHECK(f.member.owned().at(0).paused);
    }
    f.member.acknowledge();
    f.member.acknowledge();
    f.source->poll();
    CHECK_FALSE(f.member.owned().at(0).paused);
    CHECK(f.deliver("one") == Delivered::taken);
}

TEST_CASE("kept records hold the source up at their limit, and go with their settlement",
          "[kafka_source][kafka_letters]") {
    KafkaSourceOptions options;
    options.keep_records = true;
    options.max_kept_bytes = 2048;
    LettersFixture f{options, false};
    int taken = 0;
    while (f.deliver("one") == Delivered::taken) REQUIRE(++taken < 1000);
    CHECK(taken > 3);
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.deliver("one") == Delivered::taken);
    f.source->lost(); // and with the assignment
    f.member.disown(0);
    f.member.own(0);
    f.source->assigned(ModelKafka::topic, 0);
    int again = 0;
    while (f.deliver("one") == Delivered::taken) REQUIRE(++again < 1000);
    CHECK(again == taken);
}

TEST_CASE("a partition says why it is paused, and how far everything is settled", "[kafka_source][kafka_letters]") {
    const auto state = [](auto& f) { return f.source->partitions().at(0); };
    auto options = everything_to_the_topic();
    options.max_letter_bytes = 1024;
    options.max_kept_bytes = 2048;
    options.max_span_per_partition = 4;
    {
        LettersFixture f{options};
        CHECK(state(f).why == PauseReason::none);
        CHECK_FALSE(state(f).watermark);
        while (!state(f).paused) REQUIRE(f.deliver("one") == Delivered::taken);
        CHECK(state(f).why == PauseReason::span);
        CHECK(state(f).watermark == 7);
        CHECK(state(f).next == 12);
        f.indexer.settle_all();
        f.source->poll();
        CHECK(state(f).why == PauseReason::none);
        CHECK(state(f).watermark == 12);
        f.source->drain();
        CHECK(state(f).why == PauseReason::draining);
    }
    options.max_span_per_partition = 1000;
    {
        LettersFixture f{options};
        while (f.deliver("invalid") == Delivered::taken) {
        }
        CHECK(state(f).why == PauseReason::dead_letters);
        f.member.acknowledge(errc::sink_failed);
        f.source->poll();
        CHECK(state(f).why == PauseReason::stopped);
    }
    {
        LettersFixture f{options};
        f.indexer.capacity = 4;
        for (int i = 0; i < 5; ++i) REQUIRE(f.deliver("one") == Delivered::taken);
        CHECK(state(f).why == PauseReason::budget);
        f.indexer.settle(0, Outcome::indexed);
        f.source->poll();
        CHECK(state(f).why == PauseReason::budget); // until half of it is settled
        f.indexer.settle_all();
        f.source->poll();
        CHECK(state(f).why == PauseReason::none);
    }
    options.keep_records = true;
    LettersFixture f{options};
    while (f.deliver("one") == Delivered::taken) {
    }
    CHECK(state(f).why == PauseReason::kept_records);
    CHECK(to_string(state(f).why) == "kept_records");
}

TEST_CASE("best effort writes dead letters and waits for them at the end only", "[kafka_source][kafka_letters]") {
    auto options = everything_to_the_topic();
    options.delivery = Delivery::best_effort;
    LettersFixture f{options};
    REQUIRE(f.deliver("invalid") == Delivered::taken);
    CHECK(f.stored() == 8);
    CHECK_FALSE(f.source->drained());
    f.member.acknowledge(errc::sink_failed);
    f.source->poll();
    CHECK(f.source->drained());
    CHECK(f.source->stats().letters_failed == 1);
    CHECK_FALSE(f.source->stopped());
}

TEST_CASE("a policy of dead letters needs a consumer that writes them", "[kafka_source][kafka_letters]") {
    for (int which = 0; which < 3; ++which) {
        KafkaSourceOptions options;
        if (which == 0) options.on_invalid = OnInvalid::dead_letter;
        if (which == 1) options.on_tombstone = OnTombstone::dead_letter;
        if (which == 2) options.on_unknown = OnUnknown::dead_letter;
        CHECK_THROWS_AS(LettersFixture<>(options, false), InvalidOption);
    }
}

TEST_CASE("records are delivered many at a time, up to the first that is not taken", "[kafka_source]") {
    LettersFixture f{{}, false};
    f.indexer.capacity = 2;
    std::vector<Record> records(5);
    for (std::size_t i = 0; i < records.size(); ++i) {
        records[i].topic = i == 1 ? "another" : ModelKafka::topic;
        records[i].offset = static_cast<std::int64_t>(i);
        records[i].payload = "one";
    }
    CHECK(f.source->deliver(records) == 4); // the fourth is stashed
    CHECK(f.source->stats().foreign == 1);
    CHECK(f.source->stats().stashed == 1);
    CHECK(f.source->deliver(std::span{records}.subspan(4)) == 0);
    f.indexer.capacity = 9;
    f.source->poll();
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->deliver(std::span{records}.subspan(4)) == 1);
}

// ---- the indexer's sink ----

namespace {

/// Calls the sink as an indexer does, and says how it ended.
struct SinkCall {
    SinkCall(asio::io_context& context, KafkaDeadLetters::Sink& sink, std::span<const DeadLetter> letters) {
        asio::co_spawn(context, sink.write(letters), [this](std::exception_ptr, error_code result) { error = result; });
        context.poll();
    }
    std::optional<error_code> error;
};

} // namespace

TEST_CASE("the indexer's dead letters reach the topic with their record's position, and complete with the last receipt",
          "[kafka_source][kafka_letters][F124]") {
    asio::io_context context;
    KafkaSourceOptions options;
    options.dead_letters.emplace();
    options.keep_records = GENERATE(false, true);
    auto sink = options.dead_letters->sink(context.get_executor());
    LettersFixture f{options};
    f.offset = 41;
    REQUIRE(f.deliver("one") == Delivered::taken);
    REQUIRE(f.deliver("one") == Delivered::taken);
    std::vector<DeadLetter> letters(3);
    for (auto& letter : letters) {
        letter.action_line = R"({"create":{"_id":"0-41-0"}})";
        letter.source = "{}";
        letter.type = "mapper_parsing_exception";
        letter.reason = "failed to parse";
        letter.status = 400;
        letter.attempts = 1;
    }
    letters[0].ticket = {0, 0, f.indexer.pending[0].key};
    letters[1].ticket = {0, 0, f.indexer.pending[1].key};
    letters[2].ticket = {5, 0, f.indexer.pending[0].key}; // somebody else's
    SinkCall call{context, sink, letters};
    CHECK(f.member.letters.empty()); // the source's thread does it
    f.source->poll();
    REQUIRE(f.member.letters.size() == 3);
    CHECK(f.member.letters[0].offset == 41);
    CHECK(f.member.letters[1].offset == 42);
    CHECK(f.member.letters[1].topic == ModelKafka::topic);
    CHECK(f.member.letters[1].has_record == options.keep_records);
    CHECK(f.member.letters[2].topic.empty());
    CHECK_FALSE(f.member.letters[2].has_record);
    f.member.acknowledge();
    f.member.acknowledge();
    context.restart();
    context.poll();
    CHECK_FALSE(call.error);
    f.member.acknowledge();
    context.restart();
    context.poll();
    REQUIRE(call.error);
    CHECK_FALSE(*call.error);
    f.indexer.settle_all(Outcome::dead_lettered);
    CHECK(f.stored() == 43);
    CHECK(f.source->stats().of(Outcome::dead_lettered) == 2);
}

TEST_CASE("another sink learns the position of the indexer's dead letters, and writes without one when nobody knows",
          "[kafka_source][kafka_letters][F124]") {
    struct Written {
        std::string topic, source;
        std::int64_t partition, offset;
        std::uint64_t key;
    };
    std::vector<Written> written;
    error_code says{};
    asio::io_context context;
    KafkaSourceOptions options;
    options.dead_letters.emplace();
    auto sink = options.dead_letters->sink(
        context.get_executor(), CallbackSink{[&](std::span<const DeadLetter> letters) -> error_code {
            for (const auto& l : letters)
                written.push_back({std::string{l.topic}, std::string{l.source}, l.partition, l.offset, l.ticket.key});
            return says;
        }});
    std::optional<error_code> ended;
    const auto write = [&](std::span<const DeadLetter> letters) {
        ended.reset();
        asio::co_spawn(context, sink.write(letters), [&](std::exception_ptr, error_code result) { ended = result; });
        context.restart();
        context.poll();
    };
    std::vector<DeadLetter> letters(2);
    letters[0].source = R"({"n":0})";
    letters[1].ticket = {0, 7, 0}; // of another subscription
    SECTION("no source yet") {
        write(letters);
        CHECK(ended == error_code{});
        REQUIRE(written.size() == 2);
        CHECK((written[0].topic.empty() && written[0].offset == -1));
    }
    LettersFixture f{options, false}; // its consumer writes no letters
    f.offset = 41;
    REQUIRE(f.deliver("one") == Delivered::taken);
    REQUIRE(f.deliver("one") == Delivered::taken);
    letters[0].ticket = {0, 0, f.indexer.pending.at(1).key};
    written.clear();
    SECTION("the source's thread says it") {
        write(letters);
        CHECK_FALSE(ended); // not before that has looked
        f.source->poll();
        context.restart();
        context.poll();
        CHECK(ended == error_code{});
        REQUIRE(written.size() == 2);
        CHECK(written[0].topic == ModelKafka::topic);
        CHECK(written[0].partition == 0);
        CHECK(written[0].offset == 42);
        CHECK(written[0].source == R"({"n":0})");
        CHECK(written[1].topic.empty());
    }
    SECTION("the sink's error is the answer") {
        says = errc::sink_full;
        write(letters);
        f.source->poll();
        context.restart();
        context.poll();
        CHECK(ended == error_code{errc::sink_full});
    }
    SECTION("the source goes away meanwhile") {
        write(letters);
        f.source.reset();
        context.restart();
        context.poll();
        CHECK(ended == error_code{});
        REQUIRE(written.size() == 2);
        CHECK(written[0].topic.empty());
    }
}

TEST_CASE("a dead letter knows its position though its partition was given back meanwhile, or rewound",
          "[kafka_source][kafka_letters][F135]") {
    asio::io_context context;
    KafkaSourceOptions options;
    options.dead_letters.emplace();
    auto sink = options.dead_letters->sink(context.get_executor());
    LettersFixture f{options};
    f.offset = 40;
    REQUIRE(f.deliver("three") == Delivered::taken);
    f.offset = 50; // a gap
    REQUIRE(f.deliver("one") == Delivered::taken);
    const bool rewound = GENERATE(false, true);
    if (rewound) {
        f.offset = 40;
    } else {
        f.source->lost();
        f.member.disown(0);
        f.member.own(0);
        f.source->assigned(ModelKafka::topic, 0);
        f.offset = 60;
    }
    REQUIRE(f.deliver("one") == Delivered::taken);
    std::vector<DeadLetter> letters(3);
    letters[0].ticket = {0, 0, f.indexer.pending[2].key};
    letters[1].ticket = {0, 0, f.indexer.pending[3].key};
    letters[2].ticket = {0, 0, f.indexer.pending[4].key};
    const auto write = [&] {
        context.restart();
        SinkCall call{context, sink, letters};
        f.source->poll();
        std::vector<std::int64_t> offsets;
        while (!f.member.letters.empty()) {
            offsets.push_back(f.member.letters.front().offset);
            f.member.acknowledge();
        }
        context.restart();
        context.poll();
        return offsets;
    };
    CHECK(write() == std::vector<std::int64_t>{40, 50, rewound ? 40 : 60});
    f.indexer.settle(3, Outcome::dead_lettered); // of the gone ones the last, and one of the three
    f.indexer.settle(0, Outcome::dead_lettered);
    f.source->poll();
    CHECK(write() == std::vector<std::int64_t>{40, 50, rewound ? 40 : 60});
    f.indexer.settle(0, Outcome::dead_lettered);
    f.indexer.settle(0, Outcome::dead_lettered); // and now nothing of what is gone is under way
    f.source->poll();
    if (!rewound) CHECK(write() == std::vector<std::int64_t>{-1, -1, 60});
    f.indexer.settle_all();
    f.source->poll();
    CHECK(f.source->stats().late == 4);
    CHECK(adds_up(f.source->stats()));
}

TEST_CASE("the sink fails when nobody can write, and when a letter fails", "[kafka_source][kafka_letters][F125]") {
    asio::io_context context;
    KafkaSourceOptions options;
    options.dead_letters.emplace();
    auto sink = options.dead_letters->sink(context.get_executor());
    const std::vector<DeadLetter> letters(2);
    {
        SinkCall call{context, sink, letters}; // no source yet
        REQUIRE(call.error);
        CHECK(*call.error == errc::letters_not_taken);
    }
    {
        LettersFixture f{options, false}; // no topic
        context.restart();
        SinkCall call{context, sink, letters};
        f.source->poll();
        context.restart();
        context.poll();
        REQUIRE(call.error);
        CHECK(*call.error == errc::letters_not_taken);
    }
    {
        LettersFixture f{options};
        context.restart();
        SinkCall call{context, sink, letters};
        f.source->poll();
        f.member.acknowledge(errc::too_large);
        f.member.acknowledge();
        context.restart();
        context.poll();
        REQUIRE(call.error);
        CHECK(*call.error == errc::too_large);
    }
    {
        context.restart();
        LettersFixture f{options};
        CHECK_THROWS_AS(LettersFixture<>(options), InvalidOption); // one source at a time
        SinkCall call{context, sink, letters};
        f.source->close_letters(); // before it was taken
        context.restart();
        context.poll();
        REQUIRE(call.error);
        CHECK(*call.error == errc::closed);
        context.restart();
        SinkCall late{context, sink, letters};
        REQUIRE(late.error);
        CHECK(*late.error == errc::letters_not_taken);
    }
}

TEST_CASE("stop, by name, also at a document that a sink has taken over", "[kafka_source][kafka_letters]") {
    KafkaSourceOptions options;
    options.on_rejected = OnRejected::stop;
    LettersFixture f{options};
    REQUIRE(f.deliver("one") == Delivered::taken);
    f.indexer.settle(0, Outcome::dead_lettered);
    CHECK(f.stored() == 8);
    CHECK(f.source->stop_reason() == StopReason::rejected);
}

// ---- mappers ----

TEST_CASE("a mapper that names no index means the indexer's, and what it is refused for is said",
          "[kafka_source][kafka_letters][kafka_mappers][F240][F241]") {
    ModelKafka kafka;
    kafka.logs.resize(1);
    FakeIndexer indexer;
    indexer.config.index = "customers";
    ModelMember member{kafka};
    member.dead_letter_topic = true;
    member.check_durability = false;
    std::vector<std::string> reasons;
    KafkaSourceOptions options;
    options.on_invalid = OnInvalid::dead_letter;
    options.on_event = [&](const SourceEvent& event) { reasons.emplace_back(event.reason); };
    member.own(0);
    Record record{.topic = ModelKafka::topic, .key = "k", .payload = R"({"n":1})"};

    SECTION("the library's own") {
        KafkaSource source{indexer, member, KeyedDocuments{}, options};
        source.assigned(ModelKafka::topic, 0);
        CHECK(source.deliver(record) == Delivered::taken);
        record.offset = 1;
        record.payload.reset();
        CHECK(source.deliver(record) == Delivered::taken);
        CHECK(source.stats().invalid == 0);
        REQUIRE(indexer.pending.size() == 2);
        CHECK(indexer.pending[0].action_line.find(R"("_index":"customers")") != std::string::npos);
        record.offset = 2;
        record.key.reset();
        CHECK(source.deliver(record) == Delivered::taken);
        REQUIRE(reasons.size() == 1);
        CHECK(reasons[0].find("id: ") != std::string::npos);
        REQUIRE(member.letters.size() == 1);
        CHECK(member.letters[0].reason == reasons[0]);
    }
    SECTION("one that does not look at what it is answered") {
        const auto careless = [](const Record& from, Batch& out) {
            static_cast<void>(out.append({.action = Action::update, .source = from.payload.value_or("")}));
            return Mapped::operations;
        };
        KafkaSource source{indexer, member, careless, options};
        source.assigned(ModelKafka::topic, 0);
        CHECK(source.deliver(record) == Delivered::taken);
        CHECK(source.stats().invalid == 1);
        CHECK(source.stats().skipped == 0);
        REQUIRE(reasons.size() == 1);
        CHECK(reasons[0].find("id: ") != std::string::npos);
    }
    SECTION("one that is refused and then finds another way") {
        const auto careful = [](const Record& from, Batch& out) {
            if (!out.append({.action = Action::update, .source = *from.payload})) return Mapped::operations;
            return out.append({.source = *from.payload}) ? Mapped::invalid : Mapped::operations;
        };
        KafkaSource source{indexer, member, careful, options};
        source.assigned(ModelKafka::topic, 0);
        CHECK(source.deliver(record) == Delivered::taken);
        CHECK(source.stats().invalid == 0);
        CHECK(indexer.pending.size() == 1);
    }
    SECTION("a reason of the mapper's own goes before") {
        const auto throwing = [](const Record&, Batch& out) -> Mapped {
            static_cast<void>(out.append({.action = Action::update, .source = "{}"}));
            throw std::runtime_error{"no customer"};
        };
        KafkaSource source{indexer, member, throwing, options};
        source.assigned(ModelKafka::topic, 0);
        CHECK(source.deliver(record) == Delivered::taken);
        CHECK(reasons == std::vector<std::string>{"no customer"});
    }
}

TEST_CASE("ids made of a record's position and timestamp", "[kafka_mappers][F239]") {
    Record record;
    record.topic = "apm.logs";
    record.partition = 3;
    record.offset = 9'007'199'254'740'993;
    CHECK(record_id(record) == "apm.logs-3-9007199254740993");
    CHECK(record_id(record, "eu-west") == "eu-west-apm.logs-3-9007199254740993");
    record.timestamp_ms = 1'764'525'300'000;
    CHECK(record_id(record) == "apm.logs-3-9007199254740993@1764525300000");
    CHECK(record_id(record, "eu-west") == "eu-west-apm.logs-3-9007199254740993@1764525300000");
    record.timestamp_ms = 0;
    CHECK(record_id(record) == "apm.logs-3-9007199254740993@0");
}

TEST_CASE("keyed records become documents by key, newest offset wins, tombstones delete", "[kafka_mappers][F147]") {
    const KeyedDocuments mapper{"orders"};
    static_assert(TombstoneMapper<KeyedDocuments>);
    Record record;
    record.topic = "orders";
    record.offset = 41;
    record.payload = R"({"n":1})";
    Batch out;
    CHECK(mapper(record, out) == Mapped::invalid); // no key
    record.key = "o-7";
    CHECK(mapper(record, out) == Mapped::operations);
    CHECK(out.body() ==
          "{\"index\":{\"_index\":\"orders\",\"_id\":\"o-7\",\"version\":42,\"version_type\":\"external\"}}\n"
          "{\"n\":1}\n");
    out.clear();
    record.payload.reset();
    record.offset = 42;
    CHECK(mapper.tombstone(record, out) == Mapped::operations);
    CHECK(out.body() ==
          "{\"delete\":{\"_index\":\"orders\",\"_id\":\"o-7\",\"version\":43,\"version_type\":\"external\"}}\n");
    out.clear();
    record.payload = "not json";
    CHECK(mapper(record, out) == Mapped::invalid);
    record.key = "";
    CHECK(mapper.tombstone(record, out) == Mapped::invalid);
    CHECK(out.empty());
    record.key = "o-7"; // of a topic that was created again when the old one had ended at 1000
    record.payload = "{}";
    CHECK(KeyedDocuments("orders", 1000)(record, out) == Mapped::operations);
    CHECK(out.body() ==
          "{\"index\":{\"_index\":\"orders\",\"_id\":\"o-7\",\"version\":1043,\"version_type\":\"external\"}}\n{}\n");
}

TEST_CASE("a record in the stash leaves no position behind when its partition goes",
          "[kafka_source][kafka_parts][F243]") {
    ModelKafka kafka;
    kafka.logs = {{{0, Logged::Kind::one}, {1, Logged::Kind::one}}};
    FakeIndexer indexer;
    indexer.capacity = 1;
    ModelMember member{kafka};
    member.check_durability = false;
    member.dead_letter_topic = true;
    KafkaSourceOptions options;
    options.dead_letters.emplace();
    KafkaSource source{indexer, member, ModelMapper{}, options};
    member.own(0);
    source.assigned(ModelKafka::topic, 0);
    for (int i = 0; i < 2; ++i) CHECK(member.deliver_next(source, 0) == Delivered::taken);
    CHECK(source.stats().stashed == 1);
    source.assigned(ModelKafka::topic, 0); // again, though it was never revoked
    CHECK(source.stats().stashed == 0);
    CHECK(source.stats().abandoned == 2);
    // No settlement will come for what was never handed over, so nothing would erase its position.
    asio::io_context context;
    auto sink = options.dead_letters->sink(context.get_executor());
    std::array<DeadLetter, 2> letters{};
    letters[0].ticket = {0, 0, 0}; // handed over
    letters[1].ticket = {0, 0, 1}; // stashed
    asio::co_spawn(context, sink.write(letters), asio::detached);
    context.poll();
    source.poll();
    REQUIRE(member.letters.size() == 2);
    CHECK(member.letters[0].offset == 0);
    CHECK(member.letters[1].offset == -1);
    for (int i = 0; i < 2; ++i) member.acknowledge();
    indexer.settle_all();
    source.poll();
    CHECK(source.accepting());
    CHECK(source.drained());
    CHECK(adds_up(source.stats()));
    context.restart();
    context.poll();
}
