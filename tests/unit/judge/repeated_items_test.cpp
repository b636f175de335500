// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/judge/repeated_items.hpp>

#include <string>
#include <string_view>
#include <vector>

using namespace bulkhead;

namespace {

/// Items are `s}` (success) and `r}` (refusal), with what is said of them in between; the parser is this one.
struct RepeatedFixture {
    bulkhead::detail::RepeatedItems repeated{};
    std::vector<ItemAnswer> items{};
    std::size_t parsed_bytes = 0;

    static ItemAnswer item_of(std::string_view bytes) {
        ItemAnswer item;
        const bool refused = bytes.size() >= 2 && bytes[bytes.size() - 2] == 'r';
        item.status = refused ? 429 : 201;
        if (refused) item.error = 7;
        return item;
    }
    /// Parses one item as it comes.
    void parse(std::string_view bytes) {
        items.push_back(item_of(bytes));
        parsed_bytes += bytes.size();
        repeated.parsed(bytes, true, items);
    }
    struct Skipped {
        std::size_t count = 0;
        std::size_t bytes = 0;
        ItemAnswer item{};
    };
    /// What is passed over, the last of its items included. `most`: then no more are wanted.
    Skipped skip(std::string_view bytes, std::size_t most = 1000) {
        Skipped skipped;
        skipped.bytes = repeated.skip(bytes, [&](const ItemAnswer& item, std::size_t count) {
            skipped.count += count;
            skipped.item = item;
            return skipped.count < most;
        });
        return skipped;
    }
    /// One piece of an answer, as the parser reads it.
    void read(std::string_view bytes) {
        repeated.begin_piece();
        while (!bytes.empty()) {
            bytes.remove_prefix(repeated.skip(bytes, [this](const ItemAnswer& item, std::size_t count) {
                items.insert(items.end(), count, item);
                return true;
            }));
            if (bytes.empty()) break;
            const auto size = repeated.next_piece(bytes);
            parse(bytes.substr(0, size));
            bytes.remove_prefix(size);
        }
    }
};
std::string times(int count, std::string_view text) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
}

} // namespace

TEST_CASE("the first item of an answer is not remembered, since what comes before it is another") {
    RepeatedFixture world;
    world.parse("[1s}");
    CHECK(world.skip("[1s}").count == 0);
    world.parse(",1s}");
    const auto run = world.skip(",1s},1s},2s}");
    CHECK(run.count == 2);
    CHECK(run.bytes == 8);
    CHECK(run.item.status == 201);
    CHECK(world.repeated.items() == 4);
    CHECK(world.skip(",2s}").count == 0);
    CHECK(world.skip("").count == 0);
}

TEST_CASE("the last success and the last refusal are remembered together") {
    RepeatedFixture world;
    world.read("[s},s},r}" + times(50, ",s},r},r}"));
    REQUIRE(world.items.size() == 153);
    CHECK(world.parsed_bytes == 9);
    for (std::size_t i = 3; i < 153; ++i) CHECK(world.items[i].status == (i % 3 == 0 ? 201 : 429));
    world.read(",2s}");
    CHECK(world.parsed_bytes == 13);
    CHECK(world.skip(",s}").count == 0); // another success took its place
    CHECK(world.skip(",r}").item.error == 7);
}

TEST_CASE("an item is remembered with all that was parsed since the end of the one before") {
    RepeatedFixture world;
    world.parse("[s}");
    world.repeated.parsed(",{}", false, world.items); // a brace inside the item
    world.items.push_back(RepeatedFixture::item_of("s}"));
    world.repeated.parsed("s}", true, world.items);
    CHECK(world.skip("s}").count == 0);
    CHECK(world.skip(",{}s}").count == 1);
}

TEST_CASE("what held two items, or is long, is not remembered") {
    RepeatedFixture world;
    world.parse("[s}");
    std::string piece = ",s},s}";
    SECTION("two items") { world.items.push_back(RepeatedFixture::item_of("s}")); }
    SECTION("long") { piece = "," + std::string(1022, ' ') + "s}"; }
    world.parse(piece);
    CHECK(world.skip(piece).count == 0);
    world.parse(",s}");
    CHECK(world.skip(",s}").count == 1);
}

TEST_CASE("an item of a kibibyte is remembered") {
    RepeatedFixture world;
    world.parse("[s}");
    const auto piece = "," + std::string(1021, ' ') + "s}";
    world.parse(piece);
    CHECK(world.skip(piece).count == 1);
}

TEST_CASE("while nothing repeats, the rest of a piece is parsed at once") {
    RepeatedFixture world;
    for (int i = 0; i < 8; ++i) {
        CHECK(world.repeated.is_comparing());
        CHECK(world.repeated.next_piece("1s},2s}") == 3);
        world.parse("," + std::to_string(i) + "s}");
    }
    CHECK_FALSE(world.repeated.is_comparing());
    CHECK(world.repeated.next_piece("1s},2s}") == 7);
    world.repeated.begin_piece();
    CHECK(world.repeated.is_comparing());
    CHECK(world.repeated.next_piece("no brace") == 8);
    world.parse(",8s}");
    CHECK_FALSE(world.repeated.is_comparing());
    CHECK(world.skip(",8s}").count == 1); // it pays again
    CHECK(world.repeated.is_comparing());
}

TEST_CASE("nothing more is passed over when the items are too many") {
    RepeatedFixture world;
    world.read("[s},s},r},r}");
    const auto skipped = world.skip(",r},r},s},r}", 3);
    CHECK(skipped.count == 3);
    CHECK(skipped.bytes == 9);
}

TEST_CASE("another answer begins with nothing remembered") {
    RepeatedFixture world;
    world.read("[s},s},r},r}");
    world.repeated.start();
    CHECK(world.skip(",s}").count == 0);
    CHECK(world.skip(",r}").count == 0);
    CHECK(world.repeated.items() == 0);
}
