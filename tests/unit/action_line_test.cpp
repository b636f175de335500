// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/detail/encode/client_id.hpp>

#include <string>
#include <vector>

using namespace bench;

namespace {

std::optional<ActionLine> first_action_line(const Batch& batch) {
    return parse_action_line(batch.body().substr(0, batch.body().find('\n')));
}

} // namespace

TEST_CASE("an action line gives back what the operation named", "[F208]") {
    const std::string all_bytes = [] {
        std::string text;
        for (char c = 1; c < 127; ++c) text += c;
        return text + '\0' + "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
    }();
    for (const std::string& id :
         {std::string{"7"}, std::string{"a\"b\\c\nd"}, std::string{"}}{\"_id\":\"x\""}, all_bytes}) {
        for (const auto action : {Action::index, Action::create, Action::update, Action::delete_}) {
            Operation op;
            op.action = action;
            op.index = "logs-\xC3\xA9";
            op.id = id;
            op.routing = all_bytes;
            op.require_alias = true;
            if (action <= Action::create) {
                op.pipeline = "\"routing\":";
                op.dynamic_templates = R"({"_id":"not it","a":{"routing":"}}\"]["},"b":[1,{"_index":2}]})";
            }
            if (action != Action::delete_) op.source = "{}";
            Batch batch;
            REQUIRE_FALSE(batch.append(op));
            const auto found = first_action_line(batch);
            REQUIRE(found);
            CHECK(found->action == action);
            CHECK(found->index == op.index);
            CHECK(found->id == id);
            CHECK(found->routing == all_bytes);
        }
    }
}

TEST_CASE("an action line without id or routing has none, and one with a client's id has that", "[F208]") {
    Batch batch;
    REQUIRE_FALSE(batch.append({.source = "{}"}, "logs"));
    const auto plain = first_action_line(batch);
    REQUIRE(plain);
    CHECK(plain->action == Action::index);
    CHECK(plain->index == "logs");
    CHECK_FALSE(plain->id);
    CHECK_FALSE(plain->routing);
    batch.clear();
    REQUIRE_FALSE(batch.append({.routing = "r", .source = "{}"}, "logs"));
    bulkhead::detail::ClientIds ids;
    const auto with_id = first_action_line(bulkhead::detail::with_client_ids(batch, ids));
    REQUIRE(with_id);
    CHECK(with_id->action == Action::create);
    REQUIRE(with_id->id);
    CHECK(with_id->id->size() >= 20);
    CHECK(with_id->routing == "r");
}

TEST_CASE("what is no action line of ours is none, wherever it is cut", "[F208]") {
    const std::string line =
        R"({"create":{"_index":"a","_id":"\"\u001f\\","version":5,"dynamic_templates":{"f":"t"}}})";
    REQUIRE(parse_action_line(line));
    CHECK(parse_action_line(line)->id == "\"\x1F\\");
    CHECK(parse_action_line(line + "\n"));
    for (std::size_t size = 0; size < line.size(); ++size) CHECK_FALSE(parse_action_line(line.substr(0, size)));
    for (const auto* other :
         {"{}", "[]", R"({"create":{}})", R"({"upsert":{"_index":"a"}})", R"({"create":{"_index":"\q"}})",
          R"({"create":{"_index":"\u0041"}})", R"({"create":{"_index":}})"})
        CHECK_FALSE(parse_action_line(other));
    CHECK_FALSE(parse_action_line(line + " "));
}

TEST_CASE("an observer learns which document failed", "[F208]") {
    Bench b;
    std::vector<std::string> failed;
    auto subscription = b.indexer->subscribe(b.context.get_executor(), [&](std::span<const Settlement> settlements) {
        for (const auto& s : settlements) {
            if (s.failure == nullptr) continue;
            failed.push_back(s.failure->index() + "/" + s.failure->id().value_or("none") + "/" +
                             s.failure->routing().value_or("none"));
        }
    });
    REQUIRE(b.indexer->try_enqueue({.id = "1", .source = "{}"}, subscription.ticket(1)) == Admission::accepted);
    REQUIRE(b.indexer->try_enqueue({.index = "other", .id = "say \"2\"", .routing = "a\tb", .source = "{}"},
                                   subscription.ticket(2)) == Admission::accepted);
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(3)) == Admission::accepted);
    b.flush();
    b.script->answer(0, Answer::items({item(201), item(400), item(400)}));
    b.run();
    CHECK(failed == std::vector<std::string>{"other/say \"2\"/a\tb", "logs/none/none"});
}

TEST_CASE("which document was dropped is not known any more: its ticket is all that is kept", "[F208]") {
    Failure failure{.type = "overflow", .reason = {}, .action_line = {}, .source = {}};
    CHECK(failure.index().empty());
    CHECK_FALSE(failure.id());
    CHECK_FALSE(failure.routing());
}
