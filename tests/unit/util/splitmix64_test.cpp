// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/util/splitmix64.hpp>

#include <cstdint>

TEST_CASE("SplitMix64 gives the numbers of the reference implementation") {
    bulkhead::detail::SplitMix64 random{1234567};
    for (const std::uint64_t expected : {6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                                         4593380528125082431U, 16408922859458223821U})
        CHECK(random() == expected);
}
