// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/failure.hpp"
#include "kafka_replay/generator.hpp"
#include "kafka_replay/replay.hpp"
#include "support/catch.hpp"

#include <bulkhead/sinks/stored_dead_letter.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <boost/json/parse.hpp>

#include <filesystem>
#include <future>
#include <map>
#include <string>
#include <thread>

using bulkhead::test::BulkRequestInfo;
using bulkhead::test::BulkServer;
using bulkhead::test::CannedAnswer;
using namespace replay;

namespace {

Options small_replay(const BulkServer& server) {
    Options options;
    options.url = server.url();
    options.messages = 15'000;
    options.exit_at_end = true;
    options.install_template = true;
    options.quiet = true;
    options.format = Format::json;
    options.indexer.flush_interval = std::chrono::milliseconds{50};
    options.indexer.max_batch_operations = 500;
    options.indexer.max_buffered_operations = 3'000; // often full: partitions are paused and resumed
    options.indexer.retry.initial_backoff = std::chrono::milliseconds{10};
    options.indexer.retry.max_backoff = std::chrono::milliseconds{100};
    options.indexer.retry.max_age = bulkhead::unlimited;
    return options;
}

/// Every document is refused for good.
CannedAnswer refuse_each(const BulkRequestInfo& request) {
    CannedAnswer answer;
    answer.status = 200;
    const auto documents = request.lines() / 2;
    for (std::size_t i = 0; i < documents; ++i)
        answer.body += std::string{i == 0 ? R"({"errors":true,"items":[)" : ","} +
                       R"({"create":{"status":400,"error":{"type":"strict_dynamic_mapping_exception"}}})";
    answer.body += "]}";
    return answer;
}

/// Compares what the server holds with what the generator made, document by document.
void check_store(const BulkServer& server, const Options& options) {
    const EventGenerator generator{options.seed};
    std::string key;
    std::string event;
    std::size_t valid = 0;
    std::map<std::string, std::string> ids; // by what stands before the record's time
    server.for_each("apm-logs", [&](std::string_view id, std::string_view) {
        CHECK(ids.emplace(id.substr(0, id.find('@')), id).second);
    });
    // Record i is the (i / partitions)th of partition i % partitions.
    constexpr std::uint64_t partitions = 4;
    for (std::uint64_t i = 0; i < options.messages; ++i) {
        if (generator.log(i, key, event) != Kind::valid) continue;
        ++valid;
        const auto id =
            ids[options.topic + "-" + std::to_string(i % partitions) + "-" + std::to_string(i / partitions)];
        CAPTURE(i, id);
        const auto source = server.source("apm-logs", id);
        REQUIRE(source.has_value());
        const auto document = boost::json::parse(*source).as_object();
        REQUIRE(document.at("trace_id").as_string().starts_with(key));
        REQUIRE(document.at("type").as_string() == "log");
        REQUIRE(server.times_applied("apm-logs", id) == 1);
    }
    CHECK(server.count("apm-logs") == valid);
}

} // namespace

TEST_CASE("the server goes away in the middle of a replay and comes back: nothing is lost, nothing is there twice",
          "[outage]") {
    BulkServer server;
    std::promise<void> in_the_middle;
    server.misbehave([&, told = false](const BulkRequestInfo& request) mutable -> std::optional<CannedAnswer> {
        CannedAnswer answer;
        if (request.number == 5) return answer; // 503 as a whole
        if (request.number == 8) {              // applies a part, and hangs up
            answer.apply_at_most = 200;
            answer.close_without_answer = true;
            return answer;
        }
        if (request.number == 12) { // applies all, but the answer is rubbish
            answer.status = 200;
            answer.apply_at_most = 1'000'000;
            answer.body = "<html>";
            return answer;
        }
        if (request.number >= 20 && !std::exchange(told, true)) in_the_middle.set_value();
        return std::nullopt;
    });
    std::thread outage{[&] {
        in_the_middle.get_future().wait();
        server.stop();
        server.start();
    }};
    const auto options = small_replay(server);
    const int status = run_replay(options);
    outage.join();
    CHECK(status == 0);
    check_store(server, options);
}

TEST_CASE("what the server refuses for good goes to the dead-letter file, and the replay goes on", "[outage][F124]") {
    BulkServer server;
    server.misbehave([](const BulkRequestInfo& request) -> std::optional<CannedAnswer> {
        if (request.number != 2) return std::nullopt;
        return refuse_each(request); // one whole bulk, which is no flood yet
    });
    std::string folder = (std::filesystem::temp_directory_path() / "bulkhead-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    auto options = small_replay(server);
    options.messages = 5'000;
    options.dead_letter_file = folder + "/dead.ndjson";
    CHECK(run_replay(options) == 0);
    std::size_t letters = 0;
    std::size_t valid = 0;
    const auto read = bulkhead::read_dead_letters(options.dead_letter_file, [&](const bulkhead::StoredDeadLetter& one) {
        ++letters;
        CHECK(one.type == "strict_dynamic_mapping_exception");
        CHECK(one.topic == options.topic);
        CHECK((one.partition >= 0 && one.offset >= 0 && one.ticket));
        // The document's id is that of its record.
        const auto id = one.topic + "-" + std::to_string(one.partition) + "-" + std::to_string(one.offset);
        CHECK(one.action_line.find("\"" + id + "@") != std::string::npos);
        CHECK(boost::json::parse(one.source).as_object().at("type").as_string() == "log");
    });
    std::filesystem::remove_all(folder);
    const EventGenerator generator{options.seed};
    std::string key;
    std::string event;
    for (std::uint64_t i = 0; i < options.messages; ++i) valid += generator.log(i, key, event) == Kind::valid ? 1U : 0U;
    CHECK_FALSE(read.error);
    CHECK(read.skipped == 0);
    CHECK(letters > 0);
    CHECK(letters + server.count("apm-logs") == valid);
}

TEST_CASE("a document that the server refuses for good stops the replay, or is skipped by name", "[outage]") {
    BulkServer server;
    server.misbehave([](const BulkRequestInfo& request) -> std::optional<CannedAnswer> {
        if (request.number != 3) return std::nullopt;
        CannedAnswer answer;
        answer.status = 400; // the whole request: the indexer splits it until it stands alone, and finds nothing wrong
        return answer;
    });
    auto options = small_replay(server);
    options.messages = 2'000;
    CHECK(run_replay(options) == 0);
    check_store(server, options);

    server.misbehave([](const BulkRequestInfo&) -> std::optional<CannedAnswer> {
        CannedAnswer answer;
        answer.status = 400;
        return answer;
    });
    options.topic = "other.logs";
    options.drain_timeout = std::chrono::seconds{0}; // nothing is ever taken: what waits would use all of it
    CHECK(run_replay(options) == exit_policy);
    options.drain_timeout = std::chrono::seconds{30};
    server.misbehave(
        [](const BulkRequestInfo& request) -> std::optional<CannedAnswer> { return refuse_each(request); });
    options.topic = "third.logs";
    options.on_rejected = bulkhead::OnRejected::skip;
    CHECK(run_replay(options) == 0); // all rejected: counted, and wanted
}
