// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/letters/dead_letter_router.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace bulkhead;
using bulkhead::detail::DeadLetterRouter;
using bulkhead::detail::Origin;
using bulkhead::detail::Partition;
using bulkhead::detail::PlacedLetters;
using bulkhead::detail::SettlementInbox;
using bulkhead::detail::Tracked;

namespace {

/// A consumer that keeps the letters, and their receipts.
struct LetterKeeper {
    struct Kept {
        std::string topic, type, payload;
        std::int32_t partition = 0;
        std::int64_t offset = 0;
        LetterReceipt receipt;
    };
    error_code store_offset(std::string_view, std::int32_t, std::int64_t) { return {}; }
    error_code pause(std::string_view, std::int32_t) { return {}; }
    error_code resume(std::string_view, std::int32_t) { return {}; }
    [[nodiscard]] bool writes_letters() const noexcept { return true; }
    void write_letter(const KafkaLetter& letter, LetterReceipt receipt) {
        const auto* const record = letter.record;
        kept.push_back({std::string{letter.topic}, std::string{letter.type},
                        std::string{record == nullptr ? "" : record->payload.value_or("")}, letter.partition,
                        letter.offset, std::move(receipt)});
    }
    std::vector<Kept> kept;
};

struct RouterFixture {
    RouterFixture() {
        p.topic = "logs";
        p.number = 3;
        p.slot = 5;
        record.payload = payload;
    }
    Tracked delivered(std::int64_t offset) { return {&p, p.tracker.delivered(offset, 1), offset}; }
    std::shared_ptr<SettlementInbox> wakes = std::make_shared<SettlementInbox>(std::function<void()>{}, false);
    std::optional<KafkaDeadLetters> handle{std::in_place};
    DeadLetterRouter router{wakes, handle};
    LetterKeeper consumer;
    Partition p;
    const std::string payload = std::string(1000, 'x');
    Record record;
};

} // namespace

TEST_CASE("a letter of the source's own counts until its receipt comes in", "[kafka_source][dead_letter_router]") {
    RouterFixture f;
    const auto tracked = f.delivered(42);
    KafkaLetter letter;
    letter.type = "invalid";
    letter.record = &f.record;
    f.router.send(f.consumer, tracked, letter, 77, true);
    CHECK(f.router.bytes() > f.payload.size());
    REQUIRE(f.consumer.kept.size() == 1);
    CHECK(f.consumer.kept[0].topic == "logs");
    CHECK(f.consumer.kept[0].partition == 3);
    CHECK(f.consumer.kept[0].offset == 42);
    CHECK(f.consumer.kept[0].payload == f.payload);
    CHECK(f.router.take().receipts.empty());
    f.consumer.kept[0].receipt(errc::sink_failed);
    CHECK(f.wakes->ready());
    const auto drained = f.router.take();
    REQUIRE(drained.receipts.size() == 1);
    CHECK(drained.receipts[0].error == errc::sink_failed);
    CHECK(drained.receipts[0].token.key == 77);
    CHECK(drained.receipts[0].token.whole_record);
    f.router.received(drained.receipts[0].token);
    CHECK(f.router.bytes() == 0);
}

TEST_CASE("a kept record goes with the letter of its operation, until its last operation has ended",
          "[kafka_source][dead_letter_router]") {
    RouterFixture f;
    const auto kept = f.delivered(1);
    const auto other = f.delivered(2);
    f.router.keep(kept, f.record);
    CHECK(f.router.cached_bytes() > f.payload.size());
    f.router.send(f.consumer, kept, {}, 0, false);
    f.router.send(f.consumer, other, {}, 0, false);
    REQUIRE(f.consumer.kept.size() == 2);
    CHECK(f.consumer.kept[0].payload == f.payload);
    CHECK(f.consumer.kept[1].payload.empty());
    f.router.ended(f.p, other.sequence);
    CHECK(f.router.cached_bytes() != 0);
    f.router.ended(f.p, kept.sequence);
    CHECK(f.router.cached_bytes() == 0);
}

TEST_CASE("what a tracker forgets loses its copy at once, and its position with its last settlement",
          "[kafka_source][dead_letter_router]") {
    RouterFixture f;
    const auto stays = f.delivered(10);
    const auto goes = f.delivered(11);
    f.router.keep(stays, f.record);
    const auto one = f.router.cached_bytes();
    f.router.keep(goes, f.record);
    f.router.forgetting(f.p, 11);
    f.p.tracker.rewind(11);
    f.router.forgotten(f.p);
    CHECK(f.router.cached_bytes() == one);
    const auto offset_of = [&](const Tracked& tracked) {
        const std::array<DeadLetter, 1> letters{};
        PlacedLetters placed{letters};
        f.router.place_all(placed, [&](const Ticket&) {
            return Origin{&f.p, tracked.sequence, f.p.tracker.offset_of(tracked.sequence)};
        });
        CHECK(placed.letters()[0].topic == "logs");
        return placed.letters()[0].offset;
    };
    CHECK(offset_of(stays) == 10);
    CHECK(offset_of(goes) == 11);
    f.router.forgetting(f.p, 0); // the partition is revoked
    f.p.tracker.restart();
    f.router.forgotten(f.p);
    CHECK(f.router.cached_bytes() == 0);
    CHECK(offset_of(stays) == 10);
    CHECK(offset_of(goes) == 11);
    f.router.ended_late(f.p, goes.sequence, false);
    CHECK(offset_of(stays) == 10);
    CHECK(offset_of(goes) == -1);
}

TEST_CASE("a letter of another observer's operation has no position", "[kafka_source][dead_letter_router]") {
    RouterFixture f;
    const std::array<DeadLetter, 1> letters{};
    PlacedLetters placed{letters};
    f.router.place_all(placed, [](const Ticket&) { return Origin{}; });
    CHECK(placed.letters()[0].topic.empty());
}
