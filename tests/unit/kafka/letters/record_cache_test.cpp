// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/letters/record_cache.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

using namespace bulkhead;
using bulkhead::detail::RecordCache;

TEST_CASE("kept records: copies, bytes, and what goes with one partition", "[kafka_source][kafka_parts][F244]") {
    RecordCache cache;
    const std::string key = "key";
    const std::string payload = "payload";
    const std::array<RecordHeader, 3> headers{{{"a", "1"}, {"a", std::nullopt}, {"empty", ""}}};
    Record record;
    record.key = key;
    record.payload = payload;
    record.timestamp_ms = 77;
    record.headers = RecordHeaders{headers};
    cache.keep(2, 5, record);
    const auto one = cache.bytes();
    CHECK(one > key.size() + payload.size());
    const auto found = [&](std::uint64_t slot, std::uint64_t number) {
        bool there = false;
        cache.with(slot, number, [&](const Record* copy) {
            there = copy != nullptr;
            if (!there) return;
            CHECK(copy->key == key);
            CHECK(copy->key->data() != key.data());
            CHECK(copy->payload == payload);
            CHECK(copy->timestamp_ms == 77);
            const auto copied = copy->headers();
            REQUIRE(copied.size() == 3);
            CHECK(copied[0].value == "1");
            CHECK_FALSE(copied[1].value);
            CHECK(copied[2].value == "");
        });
        return there;
    };
    CHECK(found(2, 5));
    CHECK_FALSE(found(2, 6));
    CHECK_FALSE(found(5, 2));
    cache.keep(2, 5, record); // instead
    CHECK(cache.bytes() == one);
    for (std::uint64_t number = 0; number < 1000; ++number) cache.keep(9, number, record);
    CHECK(cache.bytes() == 1001 * one);
    std::size_t looked = 0;
    cache.drop_if(2, [&](std::uint64_t) { return ++looked, false; });
    cache.drop_if(7, [&](std::uint64_t) { return ++looked, true; });
    CHECK(looked == 1); // not at those of other partitions
    cache.drop_if(9, [](std::uint64_t number) { return number >= 10; });
    CHECK(cache.bytes() == 11 * one);
    CHECK(found(9, 9));
    CHECK_FALSE(found(9, 10));
    cache.drop(9, 10); // gone already
    cache.drop(3, 1);
    for (std::uint64_t number = 0; number < 10; ++number) cache.drop(9, number);
    cache.drop(2, 5);
    CHECK(cache.bytes() == 0);
}
