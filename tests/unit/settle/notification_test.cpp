// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/settle/notification.hpp>
#include <bulkhead/detail/settle/shared_state.hpp>

#include <boost/asio/io_context.hpp>

#include <memory>
#include <set>
#include <vector>

namespace {

using bulkhead::Settlement;
using bulkhead::Stats;
using bulkhead::Ticket;
using bulkhead::detail::GroupFinder;
using bulkhead::detail::Notification;

struct WokenCore {
    int woken = 0;
    void wake() noexcept { ++woken; }
};
/// What a notification gives back when its last call has ended.
struct SpyIntake {
    explicit SpyIntake(int /*options*/) {}
    void update_stats(const auto& update) { update(stats); }
    void note_failure(const char* type, const char* /*text*/, int /*status*/) { failures.emplace_back(type); }
    void note_failure(const char* type, std::initializer_list<int> /*nothing*/, int /*status*/) {
        failures.emplace_back(type);
    }
    void release(std::uint64_t, std::uint64_t operations, std::size_t bytes) {
        released += operations;
        released_bytes += bytes;
    }
    Stats stats;
    std::vector<std::string> failures;
    std::uint64_t released = 0;
    std::size_t released_bytes = 0;
};
using Shared = bulkhead::detail::SharedState<SpyIntake, WokenCore>;

struct KeyRecorder {
    explicit KeyRecorder(std::vector<std::uint64_t>& into) : keys{into} {}
    void operator()(std::span<const Settlement> settlements) const {
        for (const auto& settlement : settlements) keys.push_back(settlement.key);
    }
    std::vector<std::uint64_t>& keys;
};
Ticket observed(Shared& shared, boost::asio::io_context& context, std::vector<std::uint64_t>& keys) {
    return shared.observers->add(std::make_shared<bulkhead::detail::ObserverOf<KeyRecorder>>(KeyRecorder{keys}),
                                 context.get_executor());
}
/// A notification of one settlement with this key for each ticket.
bulkhead::detail::NotificationQueue<Shared>::Place one_each(Shared& shared, const std::vector<Ticket>& tickets) {
    auto notification = std::make_shared<Notification>();
    GroupFinder find{*notification, *shared.observers};
    for (const auto& ticket : tickets) {
        auto& group = notification->groups[find(ticket)];
        ++group.count;
        group.settlements.push_back({ticket.key});
    }
    notification->operations = tickets.size();
    notification->charge = 100;
    notification->calls_left = notification->groups.size();
    shared.expect(tickets.size());
    return {notification};
}

} // namespace

TEST_CASE("notification: tickets of one subscription share a group, however many subscriptions there are") {
    const bulkhead::detail::Observers observers;
    Notification notification;
    GroupFinder find{notification, observers};
    std::set<std::uint32_t> groups;
    for (std::uint32_t round = 0; round < 3; ++round)
        for (std::uint32_t slot = 0; slot < 20; ++slot) groups.insert(find(Ticket{slot, 1, round}));
    CHECK(groups.size() == 20);
    CHECK(notification.groups.size() == 20);
    CHECK(find(Ticket{3, 1, 0}) != find(Ticket{3, 2, 0})); // another generation of the slot
}

TEST_CASE("notification: bytes are released and the strand is woken when the last call has ended") {
    boost::asio::io_context context;
    WokenCore core;
    const auto shared = std::make_shared<Shared>(0, core);
    std::vector<std::uint64_t> first;
    std::vector<std::uint64_t> second;
    auto a = observed(*shared, context, first);
    auto b = observed(*shared, context, second);
    a.key = 7;
    b.key = 8;
    bulkhead::detail::NotificationQueue<Shared> queue;
    queue.push(one_each(*shared, {a, b, a}));
    queue.post_all(shared);
    context.run_one();
    CHECK(shared->intake.released == 0);
    CHECK(core.woken == 0);
    context.run_one();
    CHECK(first == std::vector<std::uint64_t>{7, 7});
    CHECK(second == std::vector<std::uint64_t>{8});
    CHECK(shared->intake.released == 3);
    CHECK(shared->intake.released_bytes == 100);
    CHECK(core.woken == 1);
}

TEST_CASE("notification: after the close no call of an observer begins, and what was not delivered is counted") {
    boost::asio::io_context context;
    WokenCore core;
    const auto shared = std::make_shared<Shared>(0, core);
    std::vector<std::uint64_t> keys;
    const auto ticket = observed(*shared, context, keys);
    bulkhead::detail::NotificationQueue<Shared> queue;
    queue.push(one_each(*shared, {ticket, ticket}));
    queue.post_all(shared);
    CHECK(shared->silence() == 2);
    context.run();
    CHECK(keys.empty());
    CHECK(shared->intake.released == 2); // its bytes are free all the same
    CHECK(core.woken == 0);              // the indexer may be gone
}

TEST_CASE("notification: a subscription that ends before its call is counted as unobserved") {
    boost::asio::io_context context;
    WokenCore core;
    const auto shared = std::make_shared<Shared>(0, core);
    std::vector<std::uint64_t> keys;
    const auto ticket = observed(*shared, context, keys);
    bulkhead::detail::NotificationQueue<Shared> queue;
    queue.push(one_each(*shared, {ticket}));
    queue.post_all(shared);
    shared->observers->remove(ticket);
    context.run();
    CHECK(keys.empty());
    CHECK(shared->intake.stats.unobserved == 1);
}
