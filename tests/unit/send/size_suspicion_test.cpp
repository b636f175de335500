// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/send/size_suspicion.hpp>

#include <algorithm>

using Suspicion = bulkhead::detail::SizeSuspicion;
using Size = bulkhead::detail::RequestSize;

namespace {

constexpr Size full_size{1000, 400'000};

/// A request as large as is allowed now, of operations of 400 bytes.
Size largest_of(const Suspicion& suspicion) {
    const auto limit = suspicion.limit();
    const auto operations = std::max<std::size_t>(std::min(limit.operations, limit.bytes / 400), 1);
    return {operations, operations * 400};
}
/// So many requests, one at a time, of which those above `works` fail. How many were taken?
int taken_of(Suspicion& suspicion, std::size_t works, int requests) {
    int taken = 0;
    for (int i = 0; i < requests; ++i) {
        const auto size = largest_of(suspicion);
        if (size.operations > works) {
            suspicion.failed(size, true, false);
        } else {
            suspicion.taken(size);
            ++taken;
        }
    }
    return taken;
}

} // namespace

TEST_CASE("one failure says nothing about the size; from the second in a row on each halves the cap", "[F171]") {
    Suspicion suspicion{full_size};
    suspicion.failed(full_size, true, false);
    CHECK(suspicion.limit() == full_size);
    suspicion.failed(full_size, true, false);
    CHECK(suspicion.limit() == Size{500, 200'000});
    suspicion.failed({500, 200'000}, true, false);
    CHECK(suspicion.limit() == Size{250, 100'000});
    suspicion.failed({3, 1200}, true, false); // whatever it carried
    CHECK(suspicion.limit() == Size{125, 50'000});
    for (int i = 0; i < 6; ++i) suspicion.failed({1, 400}, true, false);
    CHECK(suspicion.limit().operations == 1);
    CHECK(suspicion.ceiling() == full_size);
}

TEST_CASE("each request that is taken doubles the cap, below the sizes that failed", "[F171]") {
    Suspicion suspicion{full_size};
    for (int i = 0; i < 2; ++i) suspicion.failed(full_size, true, false);
    suspicion.failed({500, 200'000}, true, false);
    suspicion.failed({250, 100'000}, true, false);
    CHECK(suspicion.limit() == Size{125, 50'000});
    suspicion.taken({125, 50'000});
    CHECK(suspicion.limit() == Size{250, 100'000});
    suspicion.taken({125, 50'000});
    CHECK(suspicion.limit() == Size{500, 200'000});
}

TEST_CASE("a request that is taken between two failures clears the size", "[F171]") {
    Suspicion suspicion{full_size};
    for (int i = 0; i < 100; ++i) {
        suspicion.failed(full_size, true, true);
        suspicion.taken(full_size);
        CHECK(suspicion.limit() == full_size);
    }
}

TEST_CASE("after an outage the full size is back within ten requests", "[F172]") {
    for (const std::size_t most : {std::size_t{1}, std::size_t{10}, std::size_t{1000}, std::size_t{1'000'000}}) {
        Suspicion suspicion{{most, 5U << 20U}};
        for (int i = 0; i < 1000; ++i) suspicion.failed(largest_of(suspicion), true, false);
        CHECK(suspicion.limit().operations == 1);
        for (int i = 0; i < 10; ++i) suspicion.taken(largest_of(suspicion));
        CHECK(suspicion.limit() == Size{most, 5U << 20U});
    }
}

TEST_CASE("an endpoint that fails by size is served below its size most of the time", "[F171]") {
    for (const std::size_t works :
         {std::size_t{1}, std::size_t{3}, std::size_t{100}, std::size_t{190}, std::size_t{999}}) {
        INFO(works);
        Suspicion suspicion{full_size};
        CHECK(taken_of(suspicion, works, 20) >= 1);
        CHECK(taken_of(suspicion, works, 1000) >= 600);
    }
}

TEST_CASE("what was learnt by contrast is tried again, and forgotten when the endpoint takes more", "[F173]") {
    Suspicion suspicion{full_size};
    (void)taken_of(suspicion, 100, 100);
    CHECK(suspicion.ceiling().operations <= 200);
    for (int i = 0; i < 60; ++i) suspicion.taken(largest_of(suspicion));
    CHECK(suspicion.ceiling() == full_size);
    CHECK(suspicion.limit() == full_size);
}

TEST_CASE("overload does not ratchet the size down", "[F173]") {
    Suspicion suspicion{full_size};
    for (int i = 0; i < 100; ++i) {
        suspicion.taken(largest_of(suspicion)); // half of the requests, whatever their size
        suspicion.taken({10, 4000});
        suspicion.failed(largest_of(suspicion), true, true);
        suspicion.failed(largest_of(suspicion), true, true);
        suspicion.taken({10, 4000});
        CHECK(suspicion.ceiling() == full_size);
    }
}

TEST_CASE("a size that is taken is not the fault of a request that failed with it", "[F173]") {
    Suspicion suspicion{full_size};
    suspicion.taken({100, 40'000});
    suspicion.failed({100, 40'000}, false, false);
    suspicion.failed_twice({100, 40'000});
    suspicion.taken({50, 20'000});
    CHECK(suspicion.ceiling() == full_size);
    suspicion.failed_twice({100, 40'000});
    suspicion.taken({100, 40'000});
    CHECK(suspicion.ceiling() == full_size);
    suspicion.failed_twice({1, 300'000}); // one operation: no smaller request can carry it
    suspicion.taken({1, 10});
    CHECK(suspicion.ceiling() == full_size);
    suspicion.failed_twice({400, 160'000});
    suspicion.taken({50, 20'000});
    CHECK(suspicion.ceiling() == Size{200, 80'000});
    suspicion.failed({50, 20'000}, false, true); // as small: the size is not to blame
    CHECK(suspicion.ceiling() == full_size);
}

TEST_CASE("a limit that is changed bounds the cap", "[F171]") {
    Suspicion suspicion{full_size};
    suspicion.most({100, 10'000});
    CHECK(suspicion.limit() == Size{100, 10'000});
    suspicion.most({2000, 800'000});
    CHECK(suspicion.limit() == Size{2000, 800'000});
}
