// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/intake_parts.hpp"

#include <bulkhead/detail/settle/settlement_plan.hpp>

#include <boost/asio/io_context.hpp>

#include <memory>
#include <vector>

namespace {

using bulkhead::Outcome;
using bulkhead::Settlement;
using bulkhead::Ticket;
using bulkhead::detail::BulkBatch;
using bulkhead::detail::Dispositions;
using bulkhead::detail::Next;
using bulkhead::detail::Observers;
using bulkhead::detail::SettlementPlan;

/// A bulk of one operation for each ticket, whose dispositions a test writes.
struct PlannedBulk {
    explicit PlannedBulk(const std::vector<Ticket>& tickets) : batch{bulkhead_test::batch_of(tickets.size())} {
        how.start(tickets.size());
        for (std::size_t i = 0; i < tickets.size(); ++i) batch.entries()[i].ticket = tickets[i];
    }
    SettlementPlan plan() { return {batch.entries(), how, observers, groups}; }
    void reject(std::size_t i) {
        how[i].outcome = Outcome::rejected;
        how[i].error = how.add_error("mapper_parsing_exception", "no number");
    }

    Observers observers;
    BulkBatch batch;
    Dispositions how;
    std::vector<std::uint32_t> groups;
};
Ticket subscribed(Observers& observers, boost::asio::io_context& context) {
    const auto ignore = [](std::span<const Settlement>) {};
    return observers.add(std::make_shared<bulkhead::detail::ObserverOf<decltype(ignore)>>(ignore),
                         context.get_executor());
}

} // namespace

TEST_CASE("settlement plan: every operation is in exactly one portion") {
    PlannedBulk bulk{std::vector<Ticket>(5)};
    bulk.how[1].next = Next::retry;
    bulk.how[2].next = Next::dead_letter;
    bulk.how[3].next = Next::retry;
    bulk.reject(4);
    const auto plan = bulk.plan();
    CHECK(plan.count_of(Next::settle) == 2);
    CHECK(plan.count_of(Next::retry) == 2);
    CHECK(plan.count_of(Next::dead_letter) == 1);
    auto tally = plan.tally();
    CHECK(tally[Outcome::indexed] == 1);
    CHECK(tally[Outcome::rejected] == 1);
    CHECK(plan.silent() == 2); // nobody observes them
    CHECK_FALSE(plan.notifies());
}

TEST_CASE("settlement plan: whatever is kept is charged no more than the bulk was") {
    boost::asio::io_context context;
    for (unsigned pattern = 0; pattern < 64;
         ++pattern) { // of three operations: settle, fail, retry or dead letter each
        PlannedBulk bulk{std::vector<Ticket>(3)};
        const auto ticket = subscribed(bulk.observers, context);
        for (std::size_t i = 0; i < 3; ++i) {
            bulk.batch.entries()[i].ticket = ticket;
            const auto kind = (pattern >> (2 * i)) & 3U;
            if (kind == 1) bulk.reject(i);
            if (kind == 2) bulk.how[i].next = Next::retry;
            if (kind == 3) bulk.how[i].next = Next::dead_letter;
        }
        auto plan = bulk.plan();
        std::size_t kept = 0;
        for (const auto next : {Next::retry, Next::dead_letter})
            if (plan.count_of(next) != 0)
                kept += bulk.batch.extract([&](std::size_t i) { return bulk.how[i].next == next; }).footprint();
        (void)plan.prepare(bulk.batch, 1, nullptr);
        CAPTURE(pattern);
        CHECK(kept + plan.charge() <= bulk.batch.footprint());
    }
}

TEST_CASE("settlement plan: a failure that is reported shows its own lines and text, also when others are retried") {
    boost::asio::io_context context;
    PlannedBulk bulk{std::vector<Ticket>(3)};
    const auto ticket = subscribed(bulk.observers, context);
    for (auto& entry : bulk.batch.entries()) entry.ticket = ticket;
    bulk.how[0].next = Next::retry;
    bulk.reject(2);
    auto plan = bulk.plan();
    (void)plan.prepare(bulk.batch, 1, nullptr);
    CHECK_FALSE(plan.takes_batch());
    const auto notification = plan.take_notification().front();
    REQUIRE(notification->groups.size() == 1);
    const auto& settlements = notification->groups[0].settlements;
    REQUIRE(settlements.size() == 2);
    CHECK(settlements[0].failure == nullptr);
    REQUIRE(settlements[1].failure != nullptr);
    CHECK(settlements[1].failure->type == "mapper_parsing_exception");
    CHECK(settlements[1].failure->action_line == R"({"index":{"_index":"logs"}})");
    CHECK(settlements[1].failure->source.starts_with(R"({"m":"xxx)"));
    CHECK(notification->calls_left == 1);
}

TEST_CASE("settlement plan: a bulk that is settled whole with a failure is taken over, and nothing is copied") {
    boost::asio::io_context context;
    PlannedBulk bulk{std::vector<Ticket>(2)};
    const auto ticket = subscribed(bulk.observers, context);
    for (auto& entry : bulk.batch.entries()) entry.ticket = ticket;
    bulk.reject(0);
    auto plan = bulk.plan();
    (void)plan.prepare(bulk.batch, 1, nullptr);
    CHECK(plan.takes_batch());
    CHECK(plan.charge() == bulk.batch.footprint());
    const auto* const bytes = bulk.batch.body().data();
    plan.take_batch(std::move(bulk.batch));
    const auto notification = plan.take_notification().front();
    CHECK(notification->failures.front().action_line.data() == bytes);
}

TEST_CASE("settlement plan: an ended subscription and a call of async_index are silent; the call gets its result") {
    boost::asio::io_context context;
    PlannedBulk bulk{{Ticket{.slot = bulkhead::detail::index_waiter_slot, .generation = 0, .key = 7}, Ticket{}}};
    const auto gone = subscribed(bulk.observers, context);
    bulk.batch.entries()[1].ticket = gone;
    bulk.observers.remove(gone);
    bulk.reject(0);
    auto plan = bulk.plan();
    CHECK(plan.silent() == 2);
    CHECK(plan.unobserved() == 1);
    const auto results = plan.prepare(bulk.batch, 1, nullptr);
    REQUIRE(results.size() == 1);
    CHECK(results[0].first == 7);
    CHECK(results[0].second.outcome == Outcome::rejected);
    CHECK(results[0].second.type == "mapper_parsing_exception");
    CHECK(plan.charge() == 0);
}
