// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/send/request_sizing.hpp>

#include <cstdint>

namespace {

using bulkhead::detail::Blame;
using bulkhead::detail::RequestSizing;
using SizedBytes = bulkhead::detail::RequestSize;

constexpr SizedBytes sized_full{100, 40'000};

struct SizedBulk {
    std::uint64_t failed_after = 0;
    std::uint64_t fresh_failures = 0;
    std::uint32_t failures = 0;
    bool apart = false;
};
Blame fails(RequestSizing& sizing, SizedBulk& bulk, SizedBytes size = sized_full, bool was_charged = false) {
    return sizing.blame(bulk, size, was_charged, false, false);
}

} // namespace

TEST_CASE("request sizing: the first failure of a bulk is the endpoint's") {
    RequestSizing sizing{sized_full};
    SizedBulk bulk;
    for (int i = 0; i < 10; ++i) sizing.taken(sized_full);
    CHECK(fails(sizing, bulk) == Blame::endpoint);
    CHECK(bulk.failures == 1);
}

TEST_CASE("request sizing: a bulk that fails again while others are taken is to blame") {
    RequestSizing sizing{sized_full};
    SizedBulk bulk;
    CHECK(fails(sizing, bulk) == Blame::endpoint);
    CHECK(fails(sizing, bulk) == Blame::endpoint); // nothing was taken between
    sizing.taken(sized_full);
    CHECK(fails(sizing, bulk) == Blame::bulk);
}

TEST_CASE("request sizing: where others fail as well, three must be taken for each of them") {
    RequestSizing sizing{sized_full};
    SizedBulk bulk;
    CHECK(fails(sizing, bulk) == Blame::endpoint);
    SizedBulk other;
    CHECK(fails(sizing, other) == Blame::endpoint);
    for (int i = 0; i < 3; ++i) sizing.taken(sized_full);
    CHECK(fails(sizing, bulk) == Blame::endpoint);
    SizedBulk another;
    CHECK(fails(sizing, another) == Blame::endpoint);
    for (int i = 0; i < 4; ++i) sizing.taken(sized_full);
    CHECK(fails(sizing, bulk) == Blame::bulk);
}

TEST_CASE("request sizing: one operation that was charged is to blame as long as no other fails, and travels alone") {
    RequestSizing sizing{sized_full};
    SizedBulk bulk;
    CHECK(fails(sizing, bulk, {1, 400}) == Blame::endpoint);
    CHECK(fails(sizing, bulk, {1, 400}, true) == Blame::bulk);
    CHECK(bulk.apart);
}

TEST_CASE("request sizing: a 413 bounds batches, and what was sealed before") {
    RequestSizing sizing{sized_full};
    sizing.too_large(40'000);
    CHECK(sizing.limit().bytes < 40'000);
    CHECK(sizing.batch_bytes() == sizing.limit().bytes);
    CHECK(sizing.limit().operations == 100);
}
