// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/plain_time.hpp"

#include <bulkhead/detail/send/retry_queue.hpp>

#include <utility>
#include <vector>

namespace {

struct RetriedBulk {
    int name = 0;
    int opened = 0;
};
using RetryTime = bulkhead_test::PlainTime;
using RetryQueue = bulkhead::detail::RetryQueue<RetriedBulk, RetryTime>;

void push(RetryQueue& queue, RetryTime due, RetriedBulk bulk) {
    queue.push(RetryQueue::Place{due, bulk.opened}, std::move(bulk));
}
std::vector<int> all_names(RetryQueue& queue) {
    std::vector<int> names;
    while (!queue.empty()) names.push_back(queue.pop().name);
    return names;
}

} // namespace

TEST_CASE("retry queue: what is due first leaves first; of one time, what came first") {
    RetryQueue queue;
    push(queue, 20, {1, 0});
    push(queue, 10, {2, 0});
    push(queue, 10, {3, 0});
    CHECK(queue.next_due() == RetryTime{10});
    CHECK(all_names(queue) == std::vector{2, 3, 1});
}

TEST_CASE("retry queue: halves go before all of their age, so the first culprit stands alone soon") {
    RetryQueue queue;
    push(queue, 5, {1, 5});
    queue.push_front(RetryQueue::Place{5, 5}, {3, 5}); // the second half
    queue.push_front(RetryQueue::Place{5, 5}, {2, 5});
    CHECK(all_names(queue) == std::vector{2, 3, 1});
}

TEST_CASE("retry queue: the oldest is known, whenever it is due") {
    RetryQueue queue;
    CHECK(queue.oldest() == RetryTime::max());
    push(queue, 10, {1, 7});
    push(queue, 99, {2, 3});
    push(queue, 50, {3, 3});
    CHECK(queue.oldest() == RetryTime{3});
    std::vector<int> old;
    queue.pop_all([](const RetriedBulk& bulk) { return bulk.opened <= 3; },
                  [&](const RetriedBulk& bulk) { old.push_back(bulk.name); });
    CHECK(old == std::vector{3, 2});
    CHECK(queue.oldest() == RetryTime{7});
    CHECK(all_names(queue) == std::vector{1});
}

TEST_CASE("retry queue: only what is due is chosen, and what is chosen leaves together") {
    using Choice = RetryQueue::Choice;
    RetryQueue queue;
    for (int i = 1; i <= 5; ++i) push(queue, i, {i, 0});
    CHECK_FALSE(queue.choose_due(0, [](const RetriedBulk&) { return Choice::accept; }));
    CHECK(queue.choose_due(4, [](const RetriedBulk& bulk) { return bulk.name == 2 ? Choice::pass : Choice::accept; }));
    std::vector<int> chosen;
    queue.pop_chosen([&](const RetriedBulk& bulk) { chosen.push_back(bulk.name); });
    CHECK(chosen == std::vector{1, 3, 4});
    CHECK(all_names(queue) == std::vector{2, 5});
}

TEST_CASE("retry queue: a choice ends where it is stopped, and after 256 candidates") {
    using Choice = RetryQueue::Choice;
    RetryQueue queue;
    for (int i = 0; i < 300; ++i) push(queue, 1, {i, 0});
    int looked_at = 0;
    CHECK(queue.choose_due(1, [&](const RetriedBulk&) { return ++looked_at == 3 ? Choice::stop : Choice::accept; }));
    CHECK(looked_at == 3);
    looked_at = 0;
    CHECK_FALSE(queue.choose_due(1, [&](const RetriedBulk&) { return ++looked_at, Choice::pass; }));
    CHECK(looked_at == 256);
}

TEST_CASE("retry queue: a place brings all the memory that pushing needs") {
    RetryQueue queue;
    RetryQueue::Place place{1, 0};
    const auto before = bulkhead_test::allocations();
    queue.push(std::move(place), {1, 0});
    CHECK(queue.pop().name == 1);
    CHECK(bulkhead_test::allocations() == before);
}
