// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/detail/send/request_ceiling.hpp>

using namespace bench;
using Ceiling = bulkhead::detail::RequestCeiling;

namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

/// So many requests as large as is thought possible, against an endpoint with this limit. How many were refused?
int refused_of(Ceiling& ceiling, std::size_t limit, int requests) {
    int refused = 0;
    for (int i = 0; i < requests; ++i) {
        const auto size = ceiling.bytes();
        if (size > limit) {
            ++refused;
            ceiling.refused(size);
        } else {
            (void)ceiling.taken(size);
        }
    }
    return refused;
}

} // namespace

TEST_CASE("the ceiling falls to what the endpoint takes, comes near it, and is hardly ever refused again", "[F032]") {
    const auto limit = GENERATE(600 * kib, mib, 100 * kib, 4 * kib, 3 * mib + 17);
    CAPTURE(limit);
    Ceiling ceiling{5 * mib};
    CHECK(refused_of(ceiling, limit, 500) <= 20);
    CHECK(ceiling.bytes() <= limit);
    CHECK(ceiling.bytes() >= limit / 4 * 3);
    CHECK(refused_of(ceiling, limit, 10'000) <= 10); // of ten thousand
    CHECK(ceiling.bytes() >= limit / 4 * 3);
}

TEST_CASE("without a refusal the ceiling stays where it is, and it comes back when the limit is gone") {
    Ceiling ceiling{5 * mib};
    CHECK(refused_of(ceiling, 100 * mib, 1000) == 0);
    CHECK(ceiling.bytes() == 5 * mib);
    ceiling.refused(5 * mib);
    CHECK(ceiling.bytes() < 5 * mib);
    CHECK(refused_of(ceiling, 100 * mib, 1000) == 0);
    CHECK(ceiling.bytes() == 5 * mib);
}

TEST_CASE("a limit that falls is followed, and refusals of requests that were under way change nothing more") {
    Ceiling ceiling{5 * mib};
    CHECK(refused_of(ceiling, mib, 1000) <= 20);
    CHECK(refused_of(ceiling, 200 * kib, 1000) <= 20);
    CHECK(ceiling.bytes() <= 200 * kib);
    const auto before = ceiling.bytes();
    for (int i = 0; i < 8; ++i) ceiling.refused(5 * mib);
    CHECK(ceiling.bytes() == before);
    for (int i = 0; i < 100; ++i) ceiling.refused(ceiling.bytes());
    CHECK(ceiling.bytes() == kib); // it never falls to nothing
    (void)ceiling.taken(10);
    CHECK(ceiling.bytes() == kib); // a small request says nothing
}

TEST_CASE("batches stay below what the endpoint has refused, and those sealed before are cut without being sent",
          "[F032]") {
    constexpr std::size_t limit = 20'000;
    Bench b{{.max_batch_operations = 1000, .max_batch_bytes = 100'000, .max_in_flight = 1}};
    std::size_t refused = 0;
    b.script->respond = [&](const test::SeenRequest& r) {
        if (r.body.size() <= limit) return Answer::ok(r.operations);
        ++refused;
        return Answer::status(413);
    };
    const std::string source = "{\"t\":\"" + std::string(400, 'x') + "\"}";
    for (std::uint64_t i = 0; i < 2000; ++i) REQUIRE(b.put(i, {.source = source}) == Admission::accepted);
    b.run_for(5s, 10ms);
    CHECK(b.count(Outcome::indexed) == 2000);
    CHECK(b.stats().batch_bytes_limit <= limit);
    CHECK(b.stats().batch_bytes_limit >= limit / 2);
    CHECK(refused <= 8); // 100,000, 50,000, 25,000, and a few that went too far up again; not once a batch
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    CHECK(b.books_balance());
}
