// SPDX-License-Identifier: BSL-1.0
// What the encoder makes of a body, read by zlib, which shares no code with libdeflate.

#include "gzip/decoded.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/gzip.hpp>

#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using namespace bulkhead;
using bulkhead_test::decoded;

using Buffers = std::vector<asio::const_buffer>;

std::string encoded(GzipEncoder& encoder, const Buffers& body) {
    std::string bytes;
    for (const auto& buffer : encoder.encode(body))
        bytes.append(static_cast<const char*>(buffer.data()), buffer.size());
    return bytes;
}
std::string encoded(GzipEncoder& encoder, const std::string& body) { return encoded(encoder, {asio::buffer(body)}); }

/// The number in the four bytes at `at`, little-endian.
std::uint32_t number(const std::string& bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
    return value;
}

std::string noise(std::size_t size) {
    std::mt19937_64 random{4};
    std::string bytes;
    while (bytes.size() < size) {
        const auto number = random();
        bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    bytes.resize(size);
    return bytes;
}

std::string bulk(std::size_t operations) {
    std::string body;
    for (std::size_t i = 0; i < operations; ++i)
        body += "{\"index\":{\"_index\":\"logs\"}}\n{\"message\":\"event " + std::to_string(i * i) + "\"}\n";
    return body;
}

/// libdeflate's allocations while it lives; no compressor may exist at its beginning and its end.
class LibdeflateAllocations {
public:
    explicit LibdeflateAllocations(bool fail = false) {
        calls = 0;
        libdeflate_set_memory_allocator(fail ? refuse : allocate, std::free);
    }
    ~LibdeflateAllocations() { libdeflate_set_memory_allocator(std::malloc, std::free); }
    LibdeflateAllocations(const LibdeflateAllocations&) = delete;
    LibdeflateAllocations& operator=(const LibdeflateAllocations&) = delete;
    [[nodiscard]] static std::size_t count() noexcept { return calls; }

private:
    static void* allocate(std::size_t size) {
        ++calls;
        return std::malloc(size);
    }
    static void* refuse(std::size_t /*size*/) { return nullptr; }
    static inline std::size_t calls = 0;
};

} // namespace

static_assert(BodyEncoder<IdentityEncoder>);
static_assert(BodyEncoder<GzipEncoder>);
static_assert(!std::is_copy_constructible_v<GzipEncoder>);

TEST_CASE("gzip: what zlib reads is what went in", "[gzip]") {
    GzipEncoder encoder{1};
    const auto body =
        GENERATE(as<std::string>{}, "", "x", bulk(1), bulk(1000), std::string(100'000, 'x'), noise(1), noise(100'000));
    CAPTURE(body.size());
    const auto bytes = encoded(encoder, body);
    CHECK(bytes.size() <= body.size() + body.size() / 1000 + 64);
    CHECK((decoded(bytes) == body)); // in parentheses, so that a failure does not print it
}

TEST_CASE("gzip: a bulk of 20 MB comes back as it was, text and noise", "[gzip]") {
    GzipEncoder encoder{1};
    const auto text = bulk(350'000);
    REQUIRE(text.size() > 20'000'000);
    const auto bytes = encoded(encoder, text);
    CHECK(bytes.size() < text.size() / 3);
    CHECK((decoded(bytes) == text));
    const auto random = noise(20'000'000);
    CHECK((decoded(encoded(encoder, random)) == random));
}

TEST_CASE("gzip: several buffers become one member, with the checksum and the size of all", "[gzip]") {
    GzipEncoder encoder{1};
    const auto first = bulk(100);
    const auto second = noise(70'000);
    const std::string nothing;
    const std::string last = "x";
    const Buffers body{asio::buffer(first), asio::buffer(nothing), asio::buffer(second), asio::buffer(last)};
    const auto whole = first + second + last;

    const auto bytes = encoded(encoder, body);
    CHECK((decoded(bytes) == whole));
    CHECK(bytes.substr(0, 3) == "\x1f\x8b\x08");
    const auto checksum = crc32(0, reinterpret_cast<const Bytef*>(whole.data()), static_cast<uInt>(whole.size()));
    CHECK(number(bytes, bytes.size() - 8) == checksum);
    CHECK(number(bytes, bytes.size() - 4) == whole.size());

    CHECK(decoded(encoded(encoder, Buffers{})).empty());
    CHECK((decoded(encoded(encoder, first)) == first)); // nothing of the body before
}

TEST_CASE("gzip: a body is the same bytes in one buffer and in several", "[gzip]") {
    GzipEncoder encoder{1};
    const auto body = bulk(1000);
    const auto in_one = encoded(encoder, body);
    CHECK(encoder.footprint() < 2 * body.size()); // compressed where it lies
    CHECK(encoded(encoder, {asio::buffer(body.data(), 10), asio::buffer(body.data() + 10, body.size() - 10)}) ==
          in_one);
    const auto before = encoder.footprint();
    CHECK(encoded(encoder, body) == in_one);
    CHECK(encoder.footprint() == before);
}

TEST_CASE("gzip: every level can be read, and other levels are refused at once", "[gzip]") {
    const auto body = bulk(1000);
    for (int level = 1; level <= 12; ++level) {
        GzipEncoder encoder{level};
        CHECK(decoded(encoded(encoder, body)) == body);
    }
    GzipEncoder quick{1};
    GzipEncoder thorough{12};
    CHECK(encoded(thorough, body).size() < encoded(quick, body).size());

    for (const int level : {-1, 0, 13}) {
        CAPTURE(level);
        try {
            const GzipEncoder encoder{level};
            FAIL("not refused");
        } catch (const InvalidOption& refused) {
            CHECK(refused.error().field == "compression_level");
            CHECK(refused.error().limit == "1 to 12");
        }
    }
}

TEST_CASE("gzip: one compressor an encoder, made for the first body; then nothing is allocated", "[gzip]") {
    const LibdeflateAllocations libdeflate;
    {
        const auto body = bulk(10'000);
        std::vector<std::array<asio::const_buffer, 2>> bodies; // growing by a few percent, as full bulks differ
        for (std::size_t less = 25'000; less > 0; less -= 500)
            bodies.push_back({asio::buffer(body.data(), 10), asio::buffer(body.data() + 10, body.size() - 10 - less)});

        GzipEncoder encoder{1};
        CHECK(libdeflate.count() == 0);
        CHECK(encoder.footprint() == 0);
        CHECK(encoder.encode(bodies.front()).size() == 1);
        CHECK(libdeflate.count() == 1);

        const auto before = bulkhead_test::allocations();
        std::size_t bytes = 0;
        for (int round = 0; round < 3; ++round) {
            for (const auto& one : bodies) {
                bytes += asio::buffer_size(encoder.encode(one));
                bytes += asio::buffer_size(encoder.encode({&one[1], 1}));
            }
        }
        CHECK(bulkhead_test::allocations() == before);
        CHECK(libdeflate.count() == 1);
        CHECK(bytes > 0);
    }
}

TEST_CASE("gzip: the memory of a burst is given back, and not for a few small bodies", "[gzip]") {
    GzipEncoder encoder{1};
    const auto large = bulk(10'000);
    const auto small = bulk(10);
    const Buffers in_two{asio::buffer(large), asio::buffer(large)};

    CHECK((decoded(encoded(encoder, in_two)) == large + large));
    const auto most = encoder.footprint();
    CHECK(most > 4 * large.size());
    CHECK(most < 5 * large.size()); // gathered once and compressed once, and an eighth for the next

    for (int i = 0; i < 60; ++i) CHECK(decoded(encoded(encoder, small)) == small);
    CHECK(encoder.footprint() == most);
    for (int i = 60; i < 127; ++i) CHECK(decoded(encoded(encoder, small)) == small);
    CHECK(encoder.footprint() < 10 * small.size());

    CHECK((decoded(encoded(encoder, in_two)) == large + large));
}

TEST_CASE("gzip: without memory it says so, and goes on when there is some", "[gzip]") {
    const auto body = bulk(1000);
    const Buffers in_two{asio::buffer(body), asio::buffer(body)};
    {
        const LibdeflateAllocations refused{true};
        GzipEncoder encoder{1};
        CHECK_THROWS_AS(encoder.encode(in_two), std::bad_alloc);
    }
    for (std::size_t successes = 0; successes < 2; ++successes) { // room for the gathered and for the compressed bytes
        const Buffers small{asio::buffer("{}\n", 3), asio::buffer("{}\n", 3)};
        GzipEncoder encoder{1};
        CHECK(decoded(encoded(encoder, small)) == "{}\n{}\n");
        bool thrown = false;
        {
            const bulkhead_test::FailingAllocations failing{successes};
            try {
                (void)encoder.encode(in_two);
            } catch (const std::bad_alloc&) {
                thrown = true;
            }
        }
        CHECK(thrown);
        CHECK(decoded(encoded(encoder, small)) == "{}\n{}\n");
        CHECK((decoded(encoded(encoder, in_two)) == body + body));
    }
}
