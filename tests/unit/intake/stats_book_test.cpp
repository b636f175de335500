// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/intake/stats_book.hpp>

#include <chrono>
#include <string>

using namespace std::chrono_literals;
using bulkhead::Admission;
using bulkhead::Outcome;
using bulkhead::detail::StatsBook;
using bulkhead::detail::Tally;

TEST_CASE("the books balance after each offer and each settlement") {
    StatsBook book{bulkhead::IndexerOptions{}};
    const auto balanced = [&] {
        const auto& s = book.stats();
        return s.offered == s.accepted + s.refused() && s.accepted == s.settled() + s.pending &&
               s.settle_time.count() == s.settled();
    };
    book.offer(7);
    book.accept(7);
    CHECK(balanced());
    for (const auto why : {Admission::full, Admission::closed, Admission::too_large, Admission::invalid}) {
        book.offer(2);
        book.refuse(why, 2);
        CHECK(balanced());
    }
    CHECK(book.stats().refused_full == 2);
    CHECK(book.stats().refused_invalid == 2);
    book.offer(3);
    book.withdraw(3);
    CHECK(balanced());

    Tally tally;
    for (std::size_t i = 0; i < bulkhead::outcome_count; ++i) ++tally[static_cast<Outcome>(i)];
    tally.age = 5s;
    CHECK(tally.total() == bulkhead::outcome_count);
    book.settle(tally);
    CHECK(balanced());
    CHECK(book.stats().pending == 7 - bulkhead::outcome_count);
}

TEST_CASE("the time of about one offer in 256 operations is measured") {
    StatsBook book{bulkhead::IndexerOptions{}};
    int measured = 0;
    for (int i = 0; i < 2560; ++i) measured += book.accept(1) ? 1 : 0;
    CHECK(measured == 10);
    CHECK(book.accept(1000));
}

TEST_CASE("of at most 16 kinds of failure one sample each is kept; the rarest makes way") {
    StatsBook book{bulkhead::IndexerOptions{}};
    book.note_failure("first", "a reason", 400, 5);
    for (int i = 1; i < 16; ++i) book.note_failure("kind " + std::to_string(i), "a reason", 400, i == 7 ? 1 : 5);
    book.note_failure("one more", std::string(2000, 'x'), 429, 2, "logs");
    const auto& samples = book.stats().failures;
    REQUIRE(samples.size() == 16);
    CHECK(samples[0].type == "first");
    CHECK(samples[7].type == "one more"); // in the place of the rarest
    CHECK(samples[7].reason.size() == 1024);
    CHECK(samples[7].status == 429);
    CHECK(samples[7].count == 2);
    CHECK(samples[7].index == "logs");
    book.note_failure("first", "another reason", 404, 1);
    CHECK(samples[0].count == 6);
    CHECK(samples[0].reason == "another reason");
    book.note_failure("none", "", 0, 0);
    CHECK(samples.size() == 16);

    book.note_failed_request("first", "whole", 503);
    CHECK(book.stats().failed_requests == 1);
    CHECK(book.stats().request_failures.total() == 1);
    CHECK(samples[0].count == 7);
}
