// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/kept.hpp"

#include <bulkhead/detail/encode/bulk_batch.hpp>

#include <boost/json/parse.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace bulkhead;
using bulkhead_test::field_of;
using namespace std::string_view_literals;

namespace {

/// One operation as the server would see it: read by the rules of the bulk format, with nothing of the library's.
struct Line {
    std::string action;
    boost::json::object metadata;
    std::optional<std::string> source;
    std::size_t bytes = 0;

    [[nodiscard]] std::string text(const char* name) const {
        const auto* value = metadata.if_contains(name);
        return value != nullptr && value->is_string() ? std::string{std::string_view{value->get_string()}} : "<none>";
    }
};

std::vector<Line> seen(std::string_view body) {
    std::vector<Line> all;
    if (body.empty()) return all;
    if (body.back() != '\n') throw std::runtime_error{"not terminated by a newline"};
    const auto line = [&] {
        if (body.empty()) throw std::runtime_error{"an action without its source"};
        const auto end = body.find('\n');
        const auto text = body.substr(0, end);
        body.remove_prefix(end + 1);
        return text;
    };
    while (!body.empty()) {
        const auto before = body.size();
        const auto head = boost::json::parse(boost::json::string_view{line()});
        const auto& object = head.as_object();
        if (object.size() != 1) throw std::runtime_error{"not one action"};
        Line one;
        one.action = std::string_view{object.begin()->key()};
        one.metadata = object.begin()->value().as_object();
        if (one.action != "index" && one.action != "create" && one.action != "update" && one.action != "delete")
            throw std::runtime_error{"an unknown action"};
        if (one.action != "delete") one.source = std::string{line()};
        one.bytes = before - body.size();
        all.push_back(std::move(one));
    }
    return all;
}

/// A batch that holds one operation, for seeing that nothing happens to it.
Batch batch_of_one() {
    Batch batch;
    REQUIRE_FALSE(batch.append({.index = "logs", .id = "neighbour", .source = "{}"}));
    return batch;
}

} // namespace

TEST_CASE("an operation becomes its two lines, byte by byte", "[batch]") {
    Batch batch;
    CHECK(batch.empty());
    CHECK(batch.body().empty());
    REQUIRE_FALSE(batch.append({.action = Action::create, .source = R"({"a":1})"}, "logs"));
    REQUIRE_FALSE(batch.append({.index = "other", .id = "7", .source = R"( {"b": 2} )"}, "logs"));
    REQUIRE_FALSE(batch.append({.action = Action::delete_, .index = "other", .id = "8"}));
    CHECK(batch.body() == "{\"create\":{\"_index\":\"logs\"}}\n{\"a\":1}\n"
                          "{\"index\":{\"_index\":\"other\",\"_id\":\"7\"}}\n{\"b\": 2}\n"
                          "{\"delete\":{\"_index\":\"other\",\"_id\":\"8\"}}\n");
    CHECK(batch.operations() == 3);
    CHECK(batch.bytes() == batch.body().size());
    batch.clear();
    CHECK(batch.empty());
    CHECK(batch.operations() == 0);
    CHECK(batch.bytes() == 0);
}

TEST_CASE("every field of an operation arrives", "[batch]") {
    Batch batch;
    REQUIRE_FALSE(batch.append({.action = Action::index,
                                .index = "logs",
                                .id = "i",
                                .routing = "r",
                                .pipeline = "p",
                                .version = 9'223'372'036'854'775'807,
                                .version_type = VersionType::external_gte,
                                .require_alias = true,
                                .require_data_stream = false,
                                .dynamic_templates = "{\"f\":\r\n\"t\"\n}",
                                .source = "{}"}));
    REQUIRE_FALSE(batch.append({.action = Action::update,
                                .index = "logs",
                                .id = "i",
                                .if_seq_no = 12,
                                .if_primary_term = 3,
                                .source = R"({"doc":{}})"}));
    REQUIRE_FALSE(batch.append(
        {.action = Action::update, .index = "logs", .id = "i", .retry_on_conflict = 4, .source = R"({"doc":{}})"}));
    REQUIRE_FALSE(batch.append({.action = Action::delete_, .index = "logs", .id = "i", .version = 5}));
    const auto ops = seen(batch.body());
    REQUIRE(ops.size() == 4);
    CHECK(ops[0].metadata ==
          boost::json::parse(R"({"_index":"logs","_id":"i","routing":"r","pipeline":"p","version":9223372036854775807,
              "version_type":"external_gte","require_alias":true,"require_data_stream":false,
              "dynamic_templates":{"f":"t"}})")
              .as_object());
    CHECK(ops[1].metadata ==
          boost::json::parse(R"({"_index":"logs","_id":"i","if_seq_no":12,"if_primary_term":3})").as_object());
    CHECK(ops[2].metadata == boost::json::parse(R"({"_index":"logs","_id":"i","retry_on_conflict":4})").as_object());
    CHECK(ops[3].metadata ==
          boost::json::parse(R"({"_index":"logs","_id":"i","version":5,"version_type":"external"})").as_object());
    CHECK_FALSE(ops[3].source.has_value());
}

TEST_CASE("a pretty-printed source is flattened and means the same", "[batch][F085]") {
    const std::string_view sources[] = {
        "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": \"x\"\n}\n",
        "{\r\n\t\"a\": [1, 2],\r\n\t\"b\": \"x\"\r\n}\r\n",
        "\n\n \t{\"a\":[1,2],\"b\":\"x\"}\n\n",
        "{\"a\":[1,2],\n\n\n\"b\":\"x\"}",
    };
    for (const auto source : sources) {
        CAPTURE(source);
        Batch batch;
        REQUIRE_FALSE(batch.append({.index = "logs", .source = source}));
        const auto ops = seen(batch.body());
        REQUIRE(ops.size() == 1);
        CHECK(boost::json::parse(*ops[0].source) == boost::json::parse(R"({"a":[1,2],"b":"x"})"));
    }
}

TEST_CASE("no source can smuggle in another operation", "[batch][F086]") {
    const std::string_view attacks[] = {
        "{\"a\":1}\n{\"delete\":{\"_index\":\"prod\",\"_id\":\"1\"}}",
        "{\"a\":1}\r\n{\"delete\":{\"_index\":\"prod\",\"_id\":\"1\"}}\r\n",
        "{\"a\":1}\r{\"delete\":{\"_index\":\"prod\",\"_id\":\"1\"}}",
        "\n{\"delete\":{\"_index\":\"prod\",\"_id\":\"1\"}}\n{}",
        "\n\n{\"index\":{}}\n{}\n\n",
        "{\"a\":\"\xE2\x80\xA8\"}\xE2\x80\xA8{\"delete\":{}}",
        "{\"a\":1}\0\n{\"delete\":{\"_index\":\"prod\",\"_id\":\"1\"}}"sv,
        "{\"a\":\"\n{\\\"delete\\\":{}}\n\"}",
        "{\n}",
    };
    for (const auto attack : attacks) {
        CAPTURE(attack);
        auto batch = batch_of_one();
        const auto wrong = batch.append({.index = "logs", .id = "it", .source = attack});
        REQUIRE_FALSE(batch.append({.index = "logs", .id = "after", .source = "{}"}));
        const auto ops = seen(batch.body());
        REQUIRE(ops.size() == (wrong ? 2U : 3U));
        CHECK(ops.size() == batch.operations());
        CHECK(ops.front().text("_id") == "neighbour");
        CHECK(ops.back().text("_id") == "after");
        if (!wrong) CHECK(ops[1].text("_id") == "it");
        for (const auto& op : ops) CHECK(op.text("_index") == "logs");
    }
}

TEST_CASE("whatever the bytes of a source, there is one line or none", "[batch][F086][F090][fuzz]") {
    constexpr std::string_view bytes = "{}{}\n\n\r \t\"\\a:,[]\0\xFF\xC3\xE2\x80\xA8"sv;
    std::uint32_t random = 99;
    const auto draw = [&](std::size_t below) {
        random = random * 1664525U + 1013904223U;
        return (random >> 8U) % below;
    };
    Batch batch;
    std::size_t appended = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string source;
        for (auto size = draw(12); size > 0; --size) source += bytes[draw(bytes.size())];
        if (draw(2) == 0) source = "{" + source + "}";
        batch.clear();
        if (!batch.append({.index = "logs", .id = "it", .source = source})) ++appended;
        const auto ops = seen(batch.body());
        if (ops.size() != batch.operations() || (ops.size() == 1 && ops[0].text("_id") != "it"))
            FAIL("framing broken by " << source);
    }
    CHECK(appended > 5'000);
}

TEST_CASE("what is no JSON object by its ends is refused, and the batch unchanged", "[batch][F087]") {
    for (const auto* source : {"", " ", "\n", "\r\n\t", "1", "\"x\"", "null", "[]", "[{}]", "{", "}", "{\"a\":1",
                               "\"a\":1}", "{}]", "x{}", "{}x", "{},", "\xEF\xBB\xBF{}"}) {
        for (const auto action : {Action::index, Action::create, Action::update}) {
            CAPTURE(source, static_cast<int>(action));
            auto batch = batch_of_one();
            const std::string before{batch.body()};
            CHECK(field_of(batch.append({.action = action, .index = "logs", .id = "1", .source = source})) == "source");
            CHECK(batch.body() == before);
            CHECK(batch.operations() == 1);
        }
    }
    auto batch = batch_of_one();
    CHECK(field_of(batch.append({.action = Action::delete_, .index = "logs", .id = "1", .source = "{}"})) == "source");
    CHECK(batch.operations() == 1);
}

TEST_CASE("a refused operation leaves the batch unchanged", "[batch][F089][F092][F093][F099]") {
    const std::string long_id(513, 'x');
    const Operation refused[] = {
        {.index = "logs", .id = "", .source = "{}"},
        {.index = "logs", .id = long_id, .source = "{}"},
        {.index = "logs", .id = "\xFF", .source = "{}"},
        {.index = "logs", .routing = "\xC3(", .source = "{}"},
        {.index = "logs", .pipeline = "\xED\xA0\x80", .source = "{}"},
        {.index = "Logs", .source = "{}"},
        {.index = "a/_delete_by_query", .source = "{}"},
        {.index = "\xFF", .source = "{}"},
        {.source = "{}"}, // and no default
        {.action = Action::update, .index = "logs", .source = "{}"},
        {.action = Action::update, .index = "logs", .id = "1"},
        {.action = Action::delete_, .index = "logs"},
        {.index = "logs", .version = 1, .source = "{}"},
    };
    for (const auto& op : refused) {
        CAPTURE(&op - refused);
        auto batch = batch_of_one();
        const std::string before{batch.body()};
        CHECK(batch.append(op).has_value());
        CHECK(batch.body() == before);
        CHECK(batch.operations() == 1);
    }
}

TEST_CASE("metadata of any characters arrives as it was", "[batch][F088]") {
    std::vector<std::string> texts{"\"",
                                   "\\",
                                   "\"},\"_index\":\"prod\"",
                                   "\n",
                                   "\r\n{\"delete\":{}}\n",
                                   std::string(1, '\0'),
                                   "a\xE2\x80\xA8z",
                                   "😀",
                                   "\x7F",
                                   "\\u0000",
                                   std::string(512, '\x01'),
                                   std::string(170, '\n')};
    for (char c = 1; c < 0x20; ++c) texts.push_back(std::string{"x"} + c + "y");
    Batch batch;
    for (const auto& text : texts)
        REQUIRE_FALSE(batch.append({.index = "logs", .id = text, .routing = text, .pipeline = text, .source = "{}"}));
    const auto ops = seen(batch.body());
    REQUIRE(ops.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
        CAPTURE(i);
        CHECK(ops[i].text("_index") == "logs");
        CHECK(ops[i].text("_id") == texts[i]);
        CHECK(ops[i].text("routing") == texts[i]);
        CHECK(ops[i].text("pipeline") == texts[i]);
    }
}

TEST_CASE("mixed operations keep their positions, wherever the deletes stand", "[batch][F097]") {
    std::uint32_t random = 7;
    const auto draw = [&](std::size_t below) {
        random = random * 1664525U + 1013904223U;
        return (random >> 8U) % below;
    };
    for (const std::size_t size : {1U, 2U, 3U, 10U, 100U, 1000U}) {
        for (int pattern = 0; pattern < 4; ++pattern) { // deletes: all, at the ends, in the middle, by chance
            CAPTURE(size, pattern);
            bulkhead::detail::BulkBatch batch;
            std::vector<Action> actions;
            std::vector<std::size_t> sizes;
            std::size_t deletes = 0;
            for (std::size_t i = 0; i < size; ++i) {
                const bool remove = pattern == 0   ? true
                                    : pattern == 1 ? i == 0 || i + 1 == size
                                    : pattern == 2 ? i == size / 2
                                                   : draw(4) == 0;
                const auto action = remove ? Action::delete_ : static_cast<Action>(draw(3));
                const auto id = std::to_string(i);
                const auto source = R"({"doc":{"n":)" + id + "}}";
                const auto before = batch.bytes();
                REQUIRE_FALSE(batch.append(
                    {.action = action, .id = id, .source = remove ? std::string_view{} : std::string_view{source}},
                    "logs"));
                actions.push_back(action);
                sizes.push_back(batch.bytes() - before);
                if (remove) ++deletes;
            }
            const auto body = batch.body();
            CHECK(static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n')) ==
                  2 * (size - deletes) + deletes);
            const auto ops = seen(body);
            REQUIRE(ops.size() == size);
            constexpr const char* names[] = {"index", "create", "update", "delete"};
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < size; ++i) {
                const auto& entry = batch.entries()[i];
                const bool right = ops[i].action == names[static_cast<std::size_t>(actions[i])] &&
                                   ops[i].text("_id") == std::to_string(i) &&
                                   ops[i].source.has_value() == (actions[i] != Action::delete_) &&
                                   ops[i].bytes == sizes[i] && entry.bytes() == sizes[i] &&
                                   entry.action == actions[i] && entry.has_id &&
                                   (!ops[i].source || entry.source_bytes == ops[i].source->size() + 1);
                if (!right) ++wrong;
            }
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("what is extracted for a retry is byte by byte what was there", "[batch][F002]") {
    bulkhead::detail::BulkBatch batch;
    for (int i = 0; i < 50; ++i) {
        const auto id = std::to_string(i);
        if (i % 3 == 0) {
            REQUIRE_FALSE(batch.append({.action = Action::delete_, .index = "logs", .id = id}));
        } else {
            REQUIRE_FALSE(batch.append({.index = "logs", .id = id, .source = "{\"text\":\"é\"}"}));
        }
        batch.entries().back().attempts = static_cast<std::uint16_t>(i);
    }
    const auto kept = batch.extract([](std::size_t i) { return i % 7 == 0 || i == 49; });
    const auto all = seen(batch.body());
    std::string expected;
    std::size_t offset = 0;
    for (std::size_t i = 0; i < all.size(); offset += all[i].bytes, ++i)
        if (i % 7 == 0 || i == 49) expected += batch.body().substr(offset, all[i].bytes);
    CHECK(kept.body() == expected);
    REQUIRE(kept.operations() == 8);
    CHECK(kept.entries()[1].attempts == 7);
    CHECK(kept.entries()[7].attempts == 49);
    CHECK(batch.operations() == 50);
    CHECK(batch.extract([](std::size_t) { return false; }).empty());
    CHECK(batch.extract([](std::size_t) { return true; }).body() == batch.body());
}

TEST_CASE("what an entry remembers of its operation", "[batch]") {
    bulkhead::detail::BulkBatch batch;
    REQUIRE_FALSE(batch.append({.index = "logs", .source = "{}"}));
    REQUIRE_FALSE(batch.append({.index = "logs", .id = "1", .version = 1, .source = "{}"}));
    REQUIRE_FALSE(batch.append({.index = "logs", .id = "1", .if_seq_no = 1, .if_primary_term = 1, .source = "{}"}));
    REQUIRE_FALSE(batch.append({.action = Action::create,
                                .index = "logs",
                                .id = "1",
                                .on_conflict = OnConflict::already_there,
                                .source = "{}"}));
    const auto entries = batch.entries();
    CHECK_FALSE(entries[0].has_id);
    CHECK_FALSE(entries[0].has_version);
    CHECK(entries[1].has_id);
    CHECK(entries[1].has_version);
    CHECK_FALSE(entries[1].has_seq_no);
    CHECK(entries[2].has_seq_no);
    CHECK_FALSE(entries[2].already_there);
    CHECK(entries[3].already_there);
    CHECK(entries[3].action == Action::create);
    for (const auto& entry : entries) {
        CHECK(entry.attempts == 0);
        CHECK_FALSE(entry.ambiguous);
        CHECK(entry.ticket == Ticket{});
    }
}

TEST_CASE("a JSON value or a writer as the source", "[batch]") {
    Batch batch;
    REQUIRE_FALSE(batch.append({.index = "logs"}, boost::json::value{{"text", "a\nb\"c"}, {"n", 1}}));
    REQUIRE_FALSE(batch.append_with({.index = "logs"}, [](std::string& out) { out += "{\"x\":\n1}"; }));
    const auto ops = seen(batch.body());
    REQUIRE(ops.size() == 2);
    CHECK(boost::json::parse(*ops[0].source) == boost::json::value{{"text", "a\nb\"c"}, {"n", 1}});
    CHECK(*ops[1].source == "{\"x\": 1}");
    CHECK(field_of(batch.append({.index = "logs"}, boost::json::value{1, 2})) == "source");
    CHECK(field_of(batch.append({.index = "logs"}, boost::json::value{nullptr})) == "source");
    CHECK(field_of(batch.append_with({.index = "logs"}, [](std::string&) {})) == "source");
    CHECK(field_of(batch.append_with({.action = Action::delete_, .index = "logs", .id = "1"},
                                     [](std::string& out) { out += "{}"; })) == "source");
    CHECK(batch.operations() == 2);
}

TEST_CASE("a writer that throws midway leaves nothing behind", "[batch][F096]") {
    auto batch = batch_of_one();
    const std::string before{batch.body()};
    const auto failing = [](std::string& out) {
        out += "{\"half\":";
        throw std::runtime_error{"the serializer failed"};
    };
    CHECK_THROWS_AS(batch.append_with({.index = "logs"}, failing), std::runtime_error);
    CHECK(batch.body() == before);
    CHECK(batch.operations() == 1);
    REQUIRE_FALSE(batch.append_with({.index = "logs"}, [](std::string& out) { out += "{}"; }));
    CHECK(seen(batch.body()).size() == 2);
}

TEST_CASE("running out of memory at any point leaves the batch unchanged", "[batch][F096]") {
    const std::string id(300, '"'); // escaped, it does not fit the stack
    const std::string text(2000, 'x');
    const auto step = [&](Batch& batch) {
        return batch.append_with({.index = "an-index-with-a-name-too-long-for-a-small-string", .id = id},
                                 [&](std::string& out) { out += "{\"text\":\"" + text + "\"}"; });
    };
    bool done = false;
    for (std::size_t successes = 0; !done; ++successes) {
        REQUIRE(successes < 100);
        auto batch = batch_of_one();
        const std::string before{batch.body()};
        bool failed = false;
        {
            const bulkhead_test::FailingAllocations from_now{successes};
            try {
                done = !step(batch).has_value();
            } catch (const std::bad_alloc&) {
                failed = true;
            }
        }
        CAPTURE(successes);
        if (failed) {
            CHECK(batch.body() == before);
            CHECK(batch.operations() == 1);
            CHECK_FALSE(step(batch).has_value());
        } else {
            CHECK(successes > 2); // there was something to fail
        }
        CHECK(batch.operations() == 2);
        CHECK(seen(batch.body()).size() == 2);
    }
}

TEST_CASE("a scratch batch allocates nothing once warm", "[batch]") {
    Batch batch;
    const std::string source = "{\"text\":\"" + std::string(400, 'x') + "\"}";
    const auto fill = [&] {
        batch.clear();
        bool good = true;
        for (int i = 0; i < 100; ++i) {
            good =
                !batch.append({.action = Action::create, .id = "an id longer than any small string", .source = source},
                              "logs") &&
                good;
            good = !batch.append_with({.index = "logs"}, [&](std::string& out) { out += source; }) && good;
        }
        return good;
    };
    REQUIRE(fill());
    const auto before = bulkhead_test::allocations();
    const bool good = fill();
    const auto after = bulkhead_test::allocations();
    CHECK(good);
    CHECK(after == before);
}

TEST_CASE("the footprint is what it says it will be, and keeps to the limits it is given", "[batch][F095]") {
    bulkhead::detail::EncodedOperations batch;
    const bulkhead::detail::Growth growth{100'000, 1000};
    for (const std::size_t bytes : {1U, 4096U, 5000U, 60'000U, 99'999U, 100'000U, 100'001U, 300'000U}) {
        CAPTURE(bytes);
        const auto promised = batch.footprint_after(bytes, 1, growth);
        batch.reserve_more(bytes, 1, growth);
        CHECK(batch.footprint() == promised);
        INFO("nothing is reserved ahead beyond the limit");
        CHECK(batch.footprint() <= std::max<std::size_t>(bytes, 100'000) + 1000 * Batch::operation_overhead);
    }
}

TEST_CASE("a moved batch takes everything along", "[batch]") {
    auto batch = batch_of_one();
    const std::string before{batch.body()};
    auto moved = std::move(batch);
    CHECK(moved.body() == before);
    CHECK(moved.operations() == 1);
    Batch assigned;
    assigned = std::move(moved);
    CHECK(assigned.body() == before);
    REQUIRE_FALSE(assigned.append({.index = "logs", .source = "{}"}));
    CHECK(seen(assigned.body()).size() == 2);
}

TEST_CASE("a batch's own index is kept by clear and by a move, and checked where it is used", "[batch][F200]") {
    Batch batch;
    CHECK(batch.default_index().empty());
    CHECK(field_of(batch.append({.source = "{}"})) == "index");
    batch.default_index("logs");
    batch.clear();
    CHECK(batch.default_index() == "logs");
    REQUIRE_FALSE(batch.append_with({}, [](std::string& out) { out += "{}"; }));
    REQUIRE_FALSE(batch.append({.id = "1"}, boost::json::value(boost::json::object{})));
    Batch moved = std::move(batch);
    REQUIRE_FALSE(moved.append({.action = Action::delete_, .id = "1"}));
    moved.default_index("Not A Name");
    CHECK(field_of(moved.append({.source = "{}"})) == "index");
    const auto ops = seen(moved.body());
    REQUIRE(ops.size() == 3);
    for (const auto& op : ops) CHECK(op.text("_index") == "logs");
}

TEST_CASE("a batch uses its own index after the call's, and that after the operation's", "[batch][F200]") {
    Batch batch;
    batch.default_index("own");
    REQUIRE_FALSE(batch.append({.source = "{}"}));
    REQUIRE_FALSE(batch.append({.source = "{}"}, "called"));
    REQUIRE_FALSE(batch.append({.index = "named", .source = "{}"}, "called"));
    const auto ops = seen(batch.body());
    REQUIRE(ops.size() == 3);
    CHECK(ops[0].text("_index") == "own");
    CHECK(ops[1].text("_index") == "called");
    CHECK(ops[2].text("_index") == "named");
}

TEST_CASE("a batch remembers why it last refused an operation, until it is cleared", "[batch][F201]") {
    Batch batch;
    batch.default_index("logs");
    CHECK(batch.last_error() == nullptr);
    const auto wrong = batch.append({.action = Action::update, .source = "{}"});
    REQUIRE(wrong);
    REQUIRE(batch.last_error() != nullptr);
    CHECK(batch.last_error()->message() == wrong->message());
    CHECK(batch.last_error()->field == "id");
    REQUIRE_FALSE(batch.append({.source = "{}"})); // one that is taken hides nothing
    REQUIRE(batch.last_error() != nullptr);
    CHECK(batch.append_with({}, [](std::string& out) { out += "[]"; }));
    CHECK(batch.last_error()->field == "source");
    CHECK(batch.append({.index = "Upper", .source = "{}"}));
    CHECK(batch.last_error()->field == "index");
    batch.clear();
    CHECK(batch.last_error() == nullptr);
}
