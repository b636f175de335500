// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/send/id_sequencer.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>

namespace {

/// An `IdOrder` whose steps are one call each.
template <class Operation>
struct OrderInOneCall : bulkhead::detail::IdOrder<Operation> {
    using Base = bulkhead::detail::IdOrder<Operation>;
    void wait(std::uint64_t key, Operation operation) { Base::wait(typename Base::Place{key, std::move(operation)}); }
    std::optional<Operation> release(std::uint64_t key) {
        Base::release(key);
        if (Base::released() == nullptr) return std::nullopt;
        std::optional<Operation> next{std::move(*Base::released())};
        Base::pop_released();
        return next;
    }
};
using IdLines = OrderInOneCall<int>;

} // namespace

TEST_CASE("id order: the first holds its key, the next get it in the order of coming", "[F286]") {
    IdLines order;
    REQUIRE(order.claim(1));
    CHECK_FALSE(order.claim(1));
    order.wait(1, 10);
    order.wait(1, 11);
    CHECK(order.waiting() == 2);
    CHECK(order.release(1) == 10);
    CHECK_FALSE(order.claim(1)); // 10 holds it
    CHECK(order.release(1) == 11);
    CHECK(order.release(1) == std::nullopt);
    CHECK(order.waiting() == 0);
    CHECK(order.claim(1)); // nobody held it
}

TEST_CASE("id order: keys do not wait for each other", "[F286]") {
    IdLines order;
    REQUIRE(order.claim(1));
    order.wait(1, 10);
    REQUIRE(order.claim(2));
    order.wait(2, 20);
    CHECK(order.release(2) == 20);
    CHECK_FALSE(order.claim(1));
    CHECK(order.waiting() == 1);
    CHECK(order.release(1) == 10);
}

TEST_CASE("id order: a key that nobody holds is released without harm", "[F286]") {
    IdLines order;
    CHECK(order.release(7) == std::nullopt);
    CHECK(order.claim(7));
    CHECK(order.release(7) == std::nullopt);
    CHECK(order.release(7) == std::nullopt);
    CHECK(order.claim(7));
}

TEST_CASE("id order: the oldest of all lines can be taken out, and its line goes on", "[F286]") {
    IdLines order;
    CHECK(order.oldest() == nullptr);
    REQUIRE(order.claim(1));
    REQUIRE(order.claim(2));
    order.wait(2, 20);
    order.wait(1, 10);
    order.wait(2, 21);
    REQUIRE(order.oldest() != nullptr);
    CHECK(*order.oldest() == 20);
    CHECK(order.take_oldest() == 20);
    CHECK_FALSE(order.claim(2)); // it never held its key, so its going frees nothing
    CHECK(order.take_oldest() == 10);
    CHECK(order.release(1) == std::nullopt);
    CHECK(order.waiting() == 1);
    CHECK(order.take_oldest() == 21);
    CHECK(order.oldest() == nullptr);
    order.wait(2, 22); // a line that ran empty takes new ones
    CHECK(order.release(2) == 22);
}

TEST_CASE("id order: an operation that can only be moved", "[F286]") {
    OrderInOneCall<std::unique_ptr<int>> order;
    REQUIRE(order.claim(1));
    order.wait(1, std::make_unique<int>(5));
    const auto next = order.release(1);
    REQUIRE(next.has_value());
    CHECK(**next == 5);
}

TEST_CASE("id order: any order of calls agrees with plain queues", "[F286]") {
    std::mt19937 random{7};
    IdLines order;
    std::map<std::uint64_t, std::deque<int>> held; // those that wait, by the keys that are held
    std::deque<std::pair<std::uint64_t, int>> coming;
    int number = 0;
    std::size_t taken = 0;
    for (int step = 0; step < 20'000; ++step) {
        const std::uint64_t key = random() % 12;
        const auto forget = [&](int operation) {
            std::erase_if(coming, [&](const auto& one) { return one.second == operation; });
        };
        switch (random() % 5) {
        case 0:
        case 1:
        case 2:
            REQUIRE(order.claim(key) == !held.contains(key));
            if (held.try_emplace(key).second) break;
            order.wait(key, ++number);
            held[key].push_back(number);
            coming.emplace_back(key, number);
            break;
        case 3: {
            const auto next = order.release(key);
            const auto line = held.find(key);
            if (line == held.end() || line->second.empty()) {
                REQUIRE_FALSE(next);
                held.erase(key);
                break;
            }
            REQUIRE(next == line->second.front());
            line->second.pop_front();
            forget(*next);
            break;
        }
        default:
            if (coming.empty()) {
                REQUIRE(order.oldest() == nullptr);
                break;
            }
            REQUIRE(*order.oldest() == coming.front().second);
            REQUIRE(order.take_oldest() == coming.front().second);
            held[coming.front().first].pop_front(); // the oldest of all is the first of its line
            coming.pop_front();
            ++taken;
        }
        REQUIRE(order.waiting() == coming.size());
    }
    CHECK(taken > 1000);
}
