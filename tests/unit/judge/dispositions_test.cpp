// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/detail/judge/dispositions.hpp>

using bulkhead::Outcome;
using bulkhead::detail::Dispositions;
using bulkhead::detail::Next;

TEST_CASE("dispositions: every operation succeeded until something else is written") {
    Dispositions how;
    how.start(3);
    for (const auto& one : how) {
        CHECK(one.outcome == Outcome::indexed);
        CHECK(one.next == Next::settle);
        CHECK_FALSE(one.is_failure());
        CHECK(how.error_of(one).type.empty());
    }
}

TEST_CASE("dispositions: texts belong to the operations that name them") {
    Dispositions how;
    how.start(3);
    const auto error = how.add_error("mapper_parsing_exception", "no number");
    how[1].error = error;
    how[1].outcome = Outcome::rejected;
    CHECK(how.error_of(how[1]).type == "mapper_parsing_exception");
    CHECK(how.error_of(how[1]).reason == "no number");
    CHECK(how.error_of(how[2]).type.empty());
    CHECK(how.count(Outcome::rejected) == 1);
    CHECK(how.count(Outcome::indexed) == 2);
}

TEST_CASE("dispositions: starting again forgets, and uses the memory again until it is given back") {
    Dispositions how;
    how.start(1000);
    how[999].error = how.add_error("a", "b");
    const auto before = bulkhead_test::allocations();
    how.start(1000);
    CHECK(bulkhead_test::allocations() == before);
    CHECK(how.error_of(how[999]).type.empty());
    how.trim(1000);
    how.start(1000);
    CHECK(bulkhead_test::allocations() == before);
    how.trim(999);
    how.start(1000);
    CHECK(bulkhead_test::allocations() > before);
}

TEST_CASE("dispositions: superseded is no failure, all other outcomes but indexed are") {
    using bulkhead::detail::Disposition;
    CHECK_FALSE(Disposition{.outcome = Outcome::superseded}.is_failure());
    for (const auto outcome : {Outcome::rejected, Outcome::unknown, Outcome::undelivered, Outcome::dead_lettered})
        CHECK(Disposition{.outcome = outcome}.is_failure());
}
