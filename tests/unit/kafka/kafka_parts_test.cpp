// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/detail/record_cache.hpp>
#include <bulkhead/kafka/detail/revoked_offsets.hpp>
#include <bulkhead/kafka/detail/settlement_inbox.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace bulkhead_test;
using bulkhead::detail::KeptRecords;
using bulkhead::detail::LatePositions;
using bulkhead::detail::LetterInbox;
using bulkhead::detail::PlacedLetters;
using bulkhead::detail::PlaceQuestion;
using bulkhead::detail::SettlementInbox;
using bulkhead::detail::SinkWrite;

namespace {

Settlement settlement_of(std::uint64_t key, Outcome outcome, const Failure* failure = nullptr) {
    Settlement settlement;
    settlement.key = key;
    settlement.outcome = outcome;
    settlement.failure = failure;
    settlement.attempts = 3;
    settlement.status = failure == nullptr ? 201 : 400;
    return settlement;
}
void put_one(SettlementInbox& inbox, const Settlement& settlement) { inbox.put({&settlement, 1}); }

/// Says how a call of the sink ended.
bulkhead::detail::Completion<error_code> ends_with(asio::io_context& context, std::vector<error_code>& ends) {
    return {[&ends](error_code error) { ends.push_back(error); }, context.get_executor()};
}

} // namespace

TEST_CASE("settlements wait in the inbox in order, wake once for what waits, and are taken once",
          "[kafka_source][kafka_parts][F242]") {
    int woken = 0;
    SettlementInbox inbox{[&] { ++woken; }, true};
    CHECK_FALSE(inbox.ready());
    CHECK_FALSE(inbox.wait(std::chrono::nanoseconds{0}));
    const Failure failure{"some_exception", "because", "{\"index\":{}}\n", "{}"};
    const Failure closed{to_string(errc::closed), "the indexer closed", "", ""};
    put_one(inbox, settlement_of(1, Outcome::indexed));
    put_one(inbox, settlement_of(2, Outcome::rejected, &failure));
    put_one(inbox, settlement_of(3, Outcome::undelivered, &closed));
    CHECK(woken == 1);
    CHECK(inbox.ready());
    CHECK(inbox.wait(std::chrono::hours{1}));
    SettlementInbox::Mail mail;
    inbox.take(mail);
    CHECK_FALSE(inbox.ready());
    REQUIRE(mail.notes.size() == 3);
    CHECK(mail.notes[0].key == 1);
    CHECK(mail.notes[0].failure == 0);
    CHECK(mail.notes[0].attempts == 3);
    CHECK(mail.notes[1].outcome == Outcome::rejected);
    CHECK(mail.notes[1].status == 400);
    REQUIRE(mail.notes[1].failure == 1);
    CHECK(mail.failures[0].type == "some_exception");
    CHECK(mail.failures[0].reason == "because");
    CHECK(mail.failures[0].source == "{}");
    CHECK_FALSE(mail.notes[1].closing);
    CHECK(mail.notes[2].closing);
    CHECK_FALSE(mail.incomplete);
    inbox.take(mail); // which is emptied
    CHECK(mail.notes.empty());
    CHECK(mail.failures.empty());
    inbox.wake(); // there is something elsewhere
    CHECK(woken == 2);
    CHECK(inbox.ready());
    inbox.take(mail);
    inbox.stop_waking();
    put_one(inbox, settlement_of(4, Outcome::indexed));
    CHECK(woken == 2);
    CHECK(inbox.ready());
}

TEST_CASE("an inbox keeps failures up to a bound, those of unknown outcomes in any case",
          "[kafka_source][kafka_parts][F242]") {
    const std::string large(1 << 20, 'x');
    const Failure failure{"type", "reason", "", large};
    SettlementInbox::Mail mail;
    const auto kept = [&](bool keep_failures, bool keep_unknown, Outcome outcome) {
        SettlementInbox inbox{{}, keep_failures, keep_unknown};
        for (std::uint64_t i = 0; i < 20; ++i) put_one(inbox, settlement_of(i, outcome, &failure));
        inbox.take(mail);
        CHECK(mail.notes.size() == 20); // be they without their failures
        const auto first = mail.failures.size();
        for (std::uint64_t i = 0; i < 20; ++i) put_one(inbox, settlement_of(i, outcome, &failure));
        inbox.take(mail);
        CHECK(mail.failures.size() == first); // the bound is of what waits
        return first;
    };
    CHECK(kept(true, false, Outcome::rejected) == 4);
    CHECK(kept(true, false, Outcome::unknown) == 4);
    CHECK(kept(true, true, Outcome::unknown) == 20);
    CHECK(kept(false, true, Outcome::unknown) == 20);
    CHECK(kept(false, true, Outcome::rejected) == 0);
    CHECK(kept(false, false, Outcome::unknown) == 0);
}

TEST_CASE("an inbox is filled by one thread and waited for by another, and its waker may throw",
          "[kafka_source][kafka_parts][F242]") {
    SettlementInbox inbox{[] { throw 1; }, false};
    std::thread other{[&] { put_one(inbox, settlement_of(7, Outcome::indexed)); }};
    CHECK(inbox.wait(std::chrono::minutes{1}));
    other.join();
    SettlementInbox::Mail mail;
    inbox.take(mail);
    REQUIRE(mail.notes.size() == 1);
    CHECK(mail.notes[0].key == 7);
}

TEST_CASE("what was under way when its partition went keeps its position until the last has settled",
          "[kafka_source][kafka_parts][F243]") {
    OffsetTracker tracker;
    for (std::int64_t offset = 10; offset < 15; ++offset)
        static_cast<void>(tracker.delivered(offset, offset == 12 ? 2 : 1));
    tracker.settle(1); // 11
    LatePositions late;
    CHECK(late.empty());
    late.remember(3, tracker, 12);
    tracker.rewind(12);
    CHECK_FALSE(late.offset_of(3, 0)); // it stays with the tracker
    CHECK(late.offset_of(3, 2) == 12);
    CHECK(late.offset_of(3, 4) == 14);
    CHECK_FALSE(late.offset_of(2, 2)); // of another partition
    late.settled(3, 2, false);
    CHECK(late.offset_of(3, 2) == 12);
    late.settled(3, 2, false);
    late.settled(3, 2, false); // more than it had: nothing
    late.settled(3, 3, true);
    late.settled(3, 99, true);
    CHECK_FALSE(late.empty());
    late.settled(3, 4, true);
    CHECK(late.empty());
    late.remember(3, tracker, 100); // nothing waits there
    CHECK(late.empty());
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

TEST_CASE("kept records: copies, bytes, and what goes with one partition", "[kafka_source][kafka_parts][F244]") {
    KeptRecords kept;
    const std::string key = "key";
    const std::string payload = "payload";
    const std::array<RecordHeader, 3> headers{{{"a", "1"}, {"a", std::nullopt}, {"empty", ""}}};
    Record record;
    record.key = key;
    record.payload = payload;
    record.timestamp_ms = 77;
    record.headers = RecordHeaders{headers};
    kept.keep(2, 5, record);
    const auto one = kept.bytes();
    CHECK(one > key.size() + payload.size());
    const auto found = [&](std::uint64_t slot, std::uint64_t number) {
        bool there = false;
        kept.with(slot, number, [&](const Record* copy) {
            there = copy != nullptr;
            if (!there) return;
            CHECK(copy->key == key);
            CHECK(copy->key->data() != key.data());
            CHECK(copy->payload == payload);
            CHECK(copy->timestamp_ms == 77);
            const auto copied = copy->headers();
            REQUIRE(copied.size() == 3);
            CHECK(copied[0].value == "1");
            CHECK_FALSE(copied[1].value);
            CHECK(copied[2].value == "");
        });
        return there;
    };
    CHECK(found(2, 5));
    CHECK_FALSE(found(2, 6));
    CHECK_FALSE(found(5, 2));
    kept.keep(2, 5, record); // instead
    CHECK(kept.bytes() == one);
    for (std::uint64_t number = 0; number < 1000; ++number) kept.keep(9, number, record);
    CHECK(kept.bytes() == 1001 * one);
    std::size_t looked = 0;
    kept.drop_if(2, [&](std::uint64_t) { return ++looked, false; });
    kept.drop_if(7, [&](std::uint64_t) { return ++looked, true; });
    CHECK(looked == 1); // not at those of other partitions
    kept.drop_if(9, [](std::uint64_t number) { return number >= 10; });
    CHECK(kept.bytes() == 11 * one);
    CHECK(found(9, 9));
    CHECK_FALSE(found(9, 10));
    kept.drop(9, 10); // gone already
    kept.drop(3, 1);
    for (std::uint64_t number = 0; number < 10; ++number) kept.drop(9, number);
    kept.drop(2, 5);
    CHECK(kept.bytes() == 0);
}

TEST_CASE("the inbox of letters: receipts, a sink's writes and questions, and nothing after its close",
          "[kafka_source][kafka_parts][F245]") {
    asio::io_context context;
    const auto wakes = std::make_shared<SettlementInbox>(std::function<void()>{}, false);
    LetterInbox inbox{wakes};
    std::vector<error_code> ends;
    const std::array<DeadLetter, 2> letters{};
    const auto write = [&] { return std::make_shared<SinkWrite>(letters, ends_with(context, ends)); };
    const auto ask = [&] {
        inbox.ask(std::make_unique<PlaceQuestion>(std::make_shared<PlacedLetters>(letters), ends_with(context, ends)));
    };
    const auto run = [&] {
        context.restart();
        context.poll();
        return ends;
    };
    using Ends = std::vector<error_code>;

    inbox.received({5, 100, true}, errc::sink_failed);
    CHECK(wakes->ready());
    CHECK(inbox.put_write(write()));
    ask();
    {
        auto mail = inbox.take();
        REQUIRE(mail.receipts.size() == 1);
        CHECK(mail.receipts[0].stub.key == 5);
        CHECK(mail.receipts[0].stub.bytes == 100);
        CHECK(mail.receipts[0].error == errc::sink_failed);
        REQUIRE(mail.writes.size() == 1);
        CHECK(mail.questions.size() == 1);
        CHECK(run().empty());
        mail.writes[0]->received({}, {});
        CHECK(run().empty()); // the other letter's receipt is still to come
        mail.writes[0]->received({}, errc::sink_failed);
        CHECK(run() == Ends{errc::sink_failed});
    }
    CHECK(run() == Ends{errc::sink_failed, {}}); // a question that is dropped is answered
    CHECK(inbox.take().receipts.empty());

    ends.clear();
    CHECK(inbox.put_write(write()));
    ask();
    inbox.received({6, 1, false}, {});
    CHECK_FALSE(inbox.closed());
    inbox.close();
    CHECK(inbox.closed());
    CHECK(run().size() == 2); // both are given back
    CHECK_FALSE(inbox.put_write(write()));
    ask();
    CHECK(run().size() == 3);
    const auto rest = inbox.take();
    CHECK(rest.receipts.size() == 1); // what was written is still accounted for
    CHECK(rest.writes.empty());
    CHECK(rest.questions.empty());
}
