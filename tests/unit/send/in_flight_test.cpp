// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/detail/send/in_flight.hpp>

namespace {

struct SentRequest {
    int number = 0;
    bool alone = false;
};
using SentRequests = bulkhead::detail::InFlight<SentRequest>;

SentRequests::Ptr sent(SentRequests& requests, int number, bool repeats = false) {
    auto request = requests.acquire();
    request->number = number;
    requests.add(request, repeats);
    return request;
}

} // namespace

TEST_CASE("in flight: a request is alone until another one joins it, and not again when that ends") {
    SentRequests requests;
    const auto first = sent(requests, 1);
    CHECK(first->alone);
    const auto second = sent(requests, 2);
    CHECK_FALSE(first->alone);
    CHECK_FALSE(second->alone);
    CHECK(requests.remove(second, false));
    CHECK_FALSE(first->alone);
    CHECK(requests.size() == 1);
}

TEST_CASE("in flight: those that repeat operations are counted until they end") {
    SentRequests requests;
    const auto first = sent(requests, 1, true);
    const auto second = sent(requests, 2, true);
    CHECK(requests.repeating() == 2);
    CHECK(requests.remove(first, true));
    CHECK_FALSE(requests.remove(first, true));
    CHECK(requests.repeating() == 1);
    CHECK(requests.find([](const SentRequest& one) { return one.number == 2; }) == second);
    CHECK(requests.find([](const SentRequest& one) { return one.number == 1; }) == nullptr);
}

TEST_CASE("in flight: what was acquired needs no more memory, and its own is used again") {
    SentRequests requests;
    auto request = requests.acquire();
    const auto* const memory = request.get();
    const auto before = bulkhead_test::allocations();
    requests.add(request, false);
    CHECK(requests.remove(request, false));
    requests.recycle(std::move(request));
    CHECK(requests.acquire().get() == memory);
    CHECK(bulkhead_test::allocations() == before);
}
