// SPDX-License-Identifier: BSL-1.0
#include "dead_letters/letters.hpp"
#include "support/catch.hpp"

#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/use_future.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

using namespace bulkhead;

namespace {

struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "bulkhead-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};
void write(const std::string& file, std::span<const DeadLetter> letters) {
    asio::io_context context;
    FileSink sink{{.path = file}};
    auto done = asio::co_spawn(context, sink.write(letters), asio::use_future);
    context.run();
    REQUIRE_FALSE(done.get());
}
std::string text_of(const std::string& file) {
    std::ostringstream text;
    text << std::ifstream{file, std::ios::binary}.rdbuf();
    return text.str();
}

} // namespace

TEST_CASE("an operation that is read back from its lines is the same operation") {
    const std::vector<Operation> operations{
        {.index = "logs", .source = R"({"n":1})"},
        {.action = Action::create,
         .index = "logs",
         .id = "a\"\\b\xC3\xA9",
         .routing = "r",
         .pipeline = "p",
         .require_alias = true,
         .dynamic_templates = R"({"a.b":"c"})",
         .source = R"({"n":2})"},
        {.action = Action::delete_,
         .index = "logs",
         .id = "x",
         .version = 7,
         .version_type = VersionType::external_gte},
        {.index = "logs", .id = "x", .version = 8, .require_data_stream = false, .source = "{}"},
        {.action = Action::update, .index = "logs", .id = "x", .retry_on_conflict = 3, .source = R"({"doc":{}})"},
        {.index = "logs", .id = "x", .if_seq_no = 5, .if_primary_term = 1, .source = "{}"},
    };
    for (const auto& op : operations) {
        Batch written;
        REQUIRE_FALSE(written.append(op));
        const auto body = written.body();
        const auto end = body.find('\n');
        const auto source = body.substr(end + 1);
        letters::Stored stored;
        REQUIRE_FALSE(letters::read_operation(body.substr(0, end),
                                              source.substr(0, source.empty() ? 0 : source.size() - 1), stored));
        Batch again;
        REQUIRE_FALSE(again.append(stored.operation));
        CHECK(again.body() == body);
    }
    letters::Stored stored;
    for (const std::string wrong :
         {"", "[]", "{}", R"({"index":1})", R"({"update_by_query":{}})", R"({"index":{"new":1}})"})
        CHECK(letters::read_operation(wrong, "{}", stored));
}

TEST_CASE("a replay indexes what can be indexed, and keeps the rest") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    const DeadLetter good{
        R"({"index":{"_index":"logs","_id":"good"}})", R"({"n":1})", "mapper", "was broken", 400, 1, {}, {}};
    const DeadLetter bad{
        R"({"index":{"_index":"logs","_id":"bad"}})", R"({"n":})", "mapper", "is broken", 400, 1, {}, {}};
    const DeadLetter other{R"({"index":{"_index":"logs","_id":"other"}})", R"({"n":3})", "other", "", 400, 1, {}, {}};
    const DeadLetter strange{R"({"upsert":{}})", R"({"n":4})", "mapper", "", 400, 1, {}, {}};
    write(file, std::vector{good, bad, other, strange});
    std::ofstream{file, std::ios::app} << R"({"@timestamp":"torn)";

    std::ostringstream listed;
    CHECK(letters::list({.file = file}, listed) == 4);
    CHECK(listed.str().find("was broken") != std::string::npos);
    CHECK(listed.str().find("1 lines skipped") != std::string::npos);
    CHECK(letters::list({.file = file, .type = "other"}, listed) == 1);

    test::BulkServer server;
    const letters::Options options{
        .file = file, .type = "mapper", .url = server.url(), .remaining = file + ".remaining"};
    const auto result = letters::replay(options);
    CHECK(result.letters == 4);
    CHECK(result.skipped == 1);
    CHECK(result.left_out == 1);
    CHECK(result.indexed == 1);
    CHECK(result.remaining == 2);
    CHECK(server.source("logs", "good") == R"({"n":1})");
    CHECK(server.count("logs") == 1);
    const auto all = text_of(file);
    const auto rest = text_of(options.remaining);
    CHECK(rest.find("is broken") != std::string::npos);
    CHECK(rest.find("upsert") != std::string::npos);
    CHECK(all.find(rest.substr(0, rest.find('\n'))) != std::string::npos); // line by line as it was
}

TEST_CASE("a replay is complete only when every letter is indexed, now or before") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    test::BulkServer server;
    const DeadLetter there{R"({"create":{"_index":"logs","_id":"there"}})", R"({"n":1})", "mapper", "", 400, 1, {}, {}};
    const DeadLetter other{R"({"index":{"_index":"logs","_id":"other"}})", R"({"n":2})", "other", "", 400, 1, {}, {}};
    write(file, std::vector{there, other});
    letters::Options options{.file = file, .url = server.url(), .remaining = file + ".remaining"};
    CHECK(letters::replay(options).complete());
    auto again = letters::replay(options);
    CHECK(again.indexed == 2); // `there` was there already
    CHECK(again.remaining == 0);
    CHECK(again.complete());
    options.type = "mapper";
    again = letters::replay(options);
    CHECK(again.left_out == 1);
    CHECK_FALSE(again.complete());
    CHECK_FALSE(std::filesystem::exists(options.remaining));
    options.file = folder.path.string(); // can be opened, not read
    CHECK_THROWS_WITH(letters::replay(options), contains(options.file));
}

TEST_CASE("a file that is not there, and a server that is not there, are said") {
    CHECK_THROWS_WITH(letters::replay({.file = "/nowhere/dead", .url = "http://127.0.0.1:1"}),
                      contains("/nowhere/dead"));
    std::ostringstream out;
    CHECK_THROWS_WITH(letters::list({.file = "/nowhere/dead"}, out), contains("/nowhere/dead"));
    CHECK_THROWS_AS(letters::replay({.file = "/nowhere/dead", .url = "ftp://x"}), InvalidOption);
}
