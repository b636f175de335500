// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/settlement_inbox.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

using namespace bulkhead;
using bulkhead::detail::SettlementInbox;

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
    SettlementInbox::Drained mail;
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
    SettlementInbox::Drained mail;
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
    SettlementInbox::Drained mail;
    inbox.take(mail);
    REQUIRE(mail.notes.size() == 1);
    CHECK(mail.notes[0].key == 7);
}
