// SPDX-License-Identifier: BSL-1.0
#include "kafka/raw_batch.hpp"
#include "kafka_replay/dry_run.hpp"
#include "kafka_replay/failure.hpp"
#include "kafka_replay/kafka_probe.hpp"
#include "kafka_replay/monitor.hpp"
#include "kafka_replay/replay.hpp"
#include "kafka_replay/report.hpp"
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/sinks/stored_dead_letter.hpp>
#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/test/mock_kafka.hpp>
#include <bulkhead/test/tls_bulk_server.hpp>

#include <boost/json/parse.hpp>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using bulkhead::test::BulkServer;
using bulkhead::test::MockKafka;
using namespace replay;

namespace {

std::string event(int number) { return R"({"service_name":"s","message":"number )" + std::to_string(number) + "\"}"; }

/// Brokers with a topic of two partitions, five events each at 1,000 to 5,000 s, and a server.
template <class Server>
struct WorldOf {
    WorldOf() {
        kafka.create_topic("t", 2);
        for (int i = 0; i < 10; ++i) kafka.produce("t", i % 2, {}, event(i), (i / 2 + 1) * 1'000'000);
        kafka.flush();
    }
    Options options() {
        Options o;
        o.brokers = kafka.bootstrap_servers();
        o.url = server.url();
        o.topic = "t";
        o.error_topic.clear();
        o.group = "g";
        o.exit_at_end = true;
        o.install_template = true;
        o.quiet = true;
        o.format = Format::json;
        o.kafka = {{"session.timeout.ms", "3000"}, {"heartbeat.interval.ms", "200"}, {"fetch.wait.max.ms", "50"}};
        o.indexer.flush_interval = std::chrono::milliseconds{20};
        o.indexer.retry.max_age = bulkhead::unlimited;
        return o;
    }
    /// As a replay would leave it that has read everything.
    void commit_all() {
        move_group(kafka.bootstrap_servers(), "g", {{"t", 0, 0, 5, 5}, {"t", 1, 0, 5, 5}}, {}, std::chrono::seconds{5});
    }
    std::int64_t committed() {
        return kafka.committed("g", "t", 0).value_or(-1) + kafka.committed("g", "t", 1).value_or(-1);
    }
    MockKafka kafka;
    Server server;
};
using World = WorldOf<BulkServer>;

std::filesystem::path scratch_file(const char* name) {
    return std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()));
}
/// Standard output, or another stream of C's, goes to a file for as long as this lives.
class Printed {
public:
    explicit Printed(const std::filesystem::path& path, std::FILE* stream = stdout)
        : stream_{stream}, number_{::fileno(stream)} {
        std::fflush(stream_);
        kept_ = ::dup(number_);
        REQUIRE(std::freopen(path.c_str(), "wb", stream_) != nullptr);
    }
    Printed(const Printed&) = delete;
    Printed& operator=(const Printed&) = delete;
    ~Printed() {
        std::fflush(stream_);
        ::dup2(kept_, number_);
        ::close(kept_);
    }

private:
    std::FILE* stream_;
    int number_;
    int kept_ = -1;
};
std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t times = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
    return times;
}
boost::json::object read_json(const std::filesystem::path& path) {
    std::ifstream file{path};
    return boost::json::parse(std::string{std::istreambuf_iterator<char>{file}, {}}).as_object();
}

} // namespace

TEST_CASE("replay: ends when the group is at the end, also a member that gets no record", "[replay]") {
    World world;
    REQUIRE(run_replay(world.options()) == exit_ok);
    CHECK(world.server.count("apm-logs") == 10);
    CHECK(world.committed() == 10);
    REQUIRE(run_replay(world.options()) == exit_ok);
    CHECK(world.server.count("apm-logs") == 10);
}

TEST_CASE("replay: a group with members is not moved, and nothing is done", "[replay]") {
    World world;
    auto options = world.options();
    std::array<char, 512> error{};
    auto* const conf = rd_kafka_conf_new();
    for (const auto& [key, value] : {std::pair<const char*, std::string>{"bootstrap.servers", options.brokers},
                                     {"group.id", "g"},
                                     {"enable.auto.commit", "false"},
                                     {"auto.offset.reset", "earliest"}})
        REQUIRE(rd_kafka_conf_set(conf, key, value.c_str(), error.data(), error.size()) == RD_KAFKA_CONF_OK);
    const std::unique_ptr<rd_kafka_t, decltype(&rd_kafka_destroy)> member{
        rd_kafka_new(RD_KAFKA_CONSUMER, conf, error.data(), error.size()), &rd_kafka_destroy};
    const std::unique_ptr<rd_kafka_topic_partition_list_t, decltype(&rd_kafka_topic_partition_list_destroy)> topics{
        rd_kafka_topic_partition_list_new(1), &rd_kafka_topic_partition_list_destroy};
    rd_kafka_topic_partition_list_add(topics.get(), "t", RD_KAFKA_PARTITION_UA);
    REQUIRE(rd_kafka_subscribe(member.get(), topics.get()) == RD_KAFKA_RESP_ERR_NO_ERROR);
    auto* const first = rd_kafka_consumer_poll(member.get(), 30'000);
    REQUIRE(first != nullptr); // it is a member
    rd_kafka_message_destroy(first);

    options.from = {Start::Kind::beginning, 0};
    try {
        static_cast<void>(run_replay(options));
        FAIL("it went on");
    } catch (const Failure& failure) {
        CHECK(failure.status() == exit_fault);
        CHECK(std::string{failure.what()}.find("consumer group g has members") != std::string::npos);
    }
    CHECK(world.server.count("apm-logs") == 0);
}

// The mock cluster moves a group that nobody has joined yet, never one that somebody has, members or not; nor does it
// know times. These are tested on a real Kafka (`./run engines`).
TEST_CASE("replay: a group without members is moved", "[replay]") {
    World world;
    auto options = world.options();
    options.from = {Start::Kind::end, 0};
    REQUIRE(run_replay(options) == exit_ok);
    CHECK(world.server.count("apm-logs") == 0);
    CHECK(world.committed() == 10);

    const auto begins = [&](Start start) {
        auto ends = probe_topics(options.brokers, "g", {"t"}, options.kafka, std::chrono::seconds{5});
        start_at(options.brokers, "g", ends, start, options.kafka, std::chrono::seconds{5});
        return ends.at(0).begin + ends.at(1).begin;
    };
    CHECK(begins({Start::Kind::stored, 0}) == 10);
    CHECK(begins({Start::Kind::beginning, 0}) == 0);
    CHECK(begins({Start::Kind::end, 0}) == 10);
    options.dry_run = true;
    options.from = {Start::Kind::beginning, 0};
    REQUIRE(run_replay(options) == exit_ok);
    CHECK(world.committed() == 10); // still
}

TEST_CASE("replay: a report of the run, and the exit status of a policy", "[replay]") {
    World world;
    world.kafka.produce("t", 1, {}, "not an event");
    world.kafka.flush();
    auto options = world.options();
    const auto path = scratch_file("bulkhead-report-");
    options.report = path.string();
    options.on_invalid = bulkhead::OnInvalid::stop;
    REQUIRE(run_replay(options) == exit_policy);
    auto report = read_json(path);
    CHECK(report.at("exit_status") == exit_policy);
    CHECK(report.at("stop_reason") == "invalid");
    CHECK(report.at("partitions").as_array().size() == 2);
    CHECK(report.at("peak_rss_bytes").to_number<std::int64_t>() > 1'000'000);
    CHECK(report.at("summary").at("invalid") == 1);

    options.on_invalid = bulkhead::OnInvalid::skip;
    REQUIRE(run_replay(options) == exit_ok);
    report = read_json(path);
    CHECK(report.at("exit_status") == exit_ok);
    CHECK(report.at("stop_reason") == "none");
    CHECK(report.at("fault") == "");
    CHECK(report.at("seconds_paused").to_number<double>() >= 0);
    CHECK(report.at("longest_poll_gap_ms").to_number<std::int64_t>() > 0);
    CHECK(world.committed() == 11);
    const auto& second = report.at("partitions").at(1); // five of its six were committed by the run that stopped
    CHECK(second.at("topic") == "t");
    CHECK(second.at("partition") == 1);
    CHECK(second.at("begin") == 5);
    CHECK(second.at("end") == 6);
    CHECK(second.at("committed") == 6);
    CHECK(second.at("stored") == 6);
    std::filesystem::remove(path);
    CHECK_FALSE(std::filesystem::exists(path.string() + ".new"));
}

TEST_CASE("replay: a run that fails leaves a report too", "[replay]") {
    Options options;
    options.brokers = "127.0.0.1:1";
    options.url = "http://127.0.0.1:1";
    const auto path = scratch_file("bulkhead-report-");
    options.report = path.string();
    CHECK_THROWS_AS(run_replay(options), Failure);
    const auto report = read_json(path);
    CHECK(report.at("exit_status") == exit_search);
    CHECK(std::string{report.at("fault").as_string()}.find("127.0.0.1:1: cannot be reached") != std::string::npos);
    std::filesystem::remove(path);
}

TEST_CASE("replay: a report that cannot be written is said", "[replay]") {
    World world;
    auto options = world.options();
    options.report = "/dev/full"; // can be opened
    const auto printed = scratch_file("bulkhead-printed-");
    {
        const Printed to{printed};
        CHECK_THROWS_AS(run_replay(options), Failure);
    }
    CHECK(world.committed() == 10); // at the end, not instead of the work
    CHECK(read_json(printed).at("consumed") == 10);
    std::filesystem::remove(printed);
}

TEST_CASE("replay: a report whose folder is not there ends the run before it begins", "[replay][F274]") {
    World world;
    auto options = world.options();
    for (const std::string& report :
         {std::string{"/nowhere/report"}, std::filesystem::temp_directory_path().string()}) {
        CAPTURE(report);
        options.report = report;
        CHECK_THROWS_WITH(run_replay(options), contains("--report " + report));
    }
    CHECK(world.committed() == -2); // nothing
    CHECK(world.server.count("apm-logs") == 0);

    const auto file = scratch_file("bulkhead-kept-");
    write_file(file.string(), R"({"n":1})");
    check_writable(file.string());
    CHECK(read_json(file).at("n") == 1); // to try changes nothing
    CHECK_FALSE(std::filesystem::exists(file.string() + ".new"));
    std::filesystem::remove(file);
    check_writable(file.string());
    CHECK_FALSE(std::filesystem::exists(file));
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    check_writable(file.string()); // does not wait for its reader
    std::filesystem::remove(file);
}

TEST_CASE("replay: only a demonstration compares itself with the source system", "[replay][F275]") {
    World world;
    auto options = world.options();
    options.format = Format::text;
    const auto printed = scratch_file("bulkhead-printed-");
    {
        const Printed to{printed};
        REQUIRE(run_replay(options) == exit_ok);
    }
    std::ifstream file{printed};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    CHECK(text.find("consumed") != std::string::npos);
    CHECK(text.find("source system") == std::string::npos);
    std::filesystem::remove(printed);
}

TEST_CASE("replay: a report does not replace what is no regular file", "[replay]") {
    const auto target = scratch_file("bulkhead-target-");
    const auto link = scratch_file("bulkhead-link-");
    std::filesystem::create_symlink(target, link);
    write_file(link.string(), "{}");
    write_file(link.string(), R"({"n":1})");
    CHECK(std::filesystem::is_symlink(link));
    CHECK_FALSE(std::filesystem::is_symlink(target));
    CHECK(read_json(target).at("n") == 1);
    std::filesystem::remove(link);
    std::filesystem::remove(target);

    const auto pipe = scratch_file("bulkhead-pipe-");
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
    REQUIRE(reader >= 0);
    write_file(pipe.string(), "{}");
    std::array<char, 8> text{};
    CHECK(::read(reader, text.data(), text.size()) == 2);
    ::close(reader);
    CHECK(std::filesystem::is_fifo(pipe));
    std::filesystem::remove(pipe);
    CHECK_THROWS_AS(write_file(std::filesystem::temp_directory_path().string(), "{}"), Failure);
}

TEST_CASE("replay: refused documents, invalid records and tombstones go to the dead-letter topic",
          "[replay][F124][F147]") {
    World world;
    world.kafka.create_topic("dead", 1);
    world.kafka.produce("t", 0, {}, "not an event");
    world.kafka.produce("t", 0, "a key", std::nullopt);
    world.kafka.flush();
    auto options = world.options();
    const auto path = scratch_file("bulkhead-letters-");
    options.report = path.string();
    options.dead_letter_topic = "dead";
    options.on_invalid = bulkhead::OnInvalid::dead_letter;
    options.on_tombstone = bulkhead::OnTombstone::dead_letter;
    REQUIRE(run_replay(options) == exit_ok);
    CHECK(world.kafka.readable("dead") == 2);
    CHECK(world.committed() == 12);
    CHECK(read_json(path).at("dead_letters") == 2);
    std::filesystem::remove(path);
}

TEST_CASE("replay: an invalid record goes to the dead-letter file before its offset moves on", "[replay][F276]") {
    World world;
    world.kafka.produce("t", 1, "a key", "not an event");
    world.kafka.produce("t", 1, {}, event(10));
    world.kafka.flush();
    auto options = world.options();
    const auto file = scratch_file("bulkhead-letters-");
    options.dead_letter_file = file.string();
    options.on_invalid = bulkhead::OnInvalid::dead_letter;
    REQUIRE(run_replay(options) == exit_ok);
    CHECK(world.committed() == 12);
    CHECK(world.server.count("apm-logs") == 11);
    std::vector<bulkhead::StoredDeadLetter> letters;
    const auto read = bulkhead::read_dead_letters(
        file.string(), [&](bulkhead::StoredDeadLetter letter) { letters.push_back(std::move(letter)); });
    CHECK(read.skipped == 0);
    REQUIRE(letters.size() == 1);
    CHECK(letters[0].source == "not an event");
    CHECK(letters[0].action_line.empty());
    CHECK(letters[0].type == "invalid");
    CHECK(letters[0].reason.find("not JSON") == 0);
    CHECK(letters[0].topic == "t");
    CHECK(letters[0].partition == 1);
    CHECK(letters[0].offset == 5);
    std::filesystem::remove(file);
}

TEST_CASE("replay: an invalid record that the dead-letter file does not take keeps its offset", "[replay][F276]") {
    World world;
    world.kafka.produce("t", 1, {}, "not an event");
    world.kafka.flush();
    auto options = world.options();
    options.dead_letter_file = "/dev/full"; // can be opened
    options.on_invalid = bulkhead::OnInvalid::dead_letter;
    CHECK(run_replay(options) == exit_policy);
    CHECK(world.kafka.committed("g", "t", 1).value_or(-1) <= 5);
}

TEST_CASE("dead letters go to a topic or to a function, not to both", "[replay][F276]") {
    bulkhead::kafka::DriverOptions options{.brokers = "b:1", .group = "g", .topics = {"t"}};
    options.write_letter = [](const bulkhead::KafkaLetter&, bulkhead::LetterReceipt) {};
    CHECK_FALSE(bulkhead::kafka::validate(options));
    options.dead_letter_topic = "dead";
    const auto wrong = bulkhead::kafka::validate(options);
    REQUIRE(wrong);
    CHECK(wrong->field == "write_letter");
}

TEST_CASE("replay: a dry run reads and maps, and does nothing else", "[replay]") {
    World world;
    world.kafka.produce("t", 1, {}, "not an event");
    world.kafka.produce("t", 1, "a key", std::nullopt);
    world.kafka.flush();
    auto options = world.options();
    options.dry_run = true;
    const auto path = scratch_file("bulkhead-dry-");
    options.report = path.string();
    REQUIRE(run_replay(options) == exit_ok);
    CHECK(read_json(path).at("documents") == 10);
    std::filesystem::remove(path);
    CHECK(world.server.count("apm-logs") == 0);
    CHECK(world.committed() == -2); // nothing

    const auto ends = probe_topics(options.brokers, options.group, {"t"}, options.kafka, std::chrono::seconds{5});
    std::vector<std::string> told;
    const auto found = dry_run(
        options, options.brokers, ends, [&](const std::string& text) { told.push_back(text); }, [] { return false; });
    CHECK(found.consumed == 12);
    CHECK(found.documents == 10);
    CHECK(found.invalid == 1);
    CHECK(found.without_payload == 1);
    CHECK(found.complete);
    const auto nothing = dry_run(
        options, options.brokers, ends, [](const std::string&) {}, [] { return true; });
    CHECK_FALSE(nothing.complete);
    CHECK(boost::json::parse(nothing.to_json()).at("complete") == false);
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("t-1 at offset 5") != std::string::npos);
}

TEST_CASE("replay: not ready while a partition stands still, or an error of Kafka lasts", "[replay][F256]") {
    bulkhead::Stats indexer;
    bulkhead::kafka::DriverStats driver;
    driver.rebalances = 1;
    CHECK(ready(indexer, driver, false).good);
    driver.troubles.push_back({.topic = "t", .partition = 0, .stalled = true, .text = "t-0 has stood still for 31 s"});
    CHECK_FALSE(ready(indexer, driver, false).good);
    CHECK(ready(indexer, driver, false).words == "Kafka: t-0 has stood still for 31 s");
    driver.troubles.push_back({.topic = "u", .text = "u: unknown topic"});
    CHECK(ready(indexer, driver, false).words == "Kafka: t-0 has stood still for 31 s; and 1 more");
}

TEST_CASE("replay: --until-end gives up a partition that stands still, by a status of its own",
          "[replay][until_end][F256]") {
    World world;
    world.commit_all();
    for (int i = 0; i < 10; ++i) world.kafka.produce("t", 0, {}, R"({"service_name":"s","message":"m"})");
    world.kafka.flush();
    for (int i = 0; i < 1000; ++i)
        rd_kafka_mock_push_request_errors(world.kafka.cluster(), 1 /* Fetch */, 1,
                                          RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    const auto path = scratch_file("stalled");
    auto options = world.options();
    options.stall_after = std::chrono::milliseconds{150};
    options.report = path;
    CHECK(run_replay(options) == exit_stalled);
    const auto report = read_json(path);
    std::filesystem::remove(path);
    CHECK(report.at("exit_status") == exit_stalled);
    CHECK(report.at("fault").as_string().find("Topic authorization failed") != std::string::npos);
    CHECK(report.at("summary").at("lag") == 10);
    CHECK(report.at("longest_poll_gap_ms").to_number<std::int64_t>() < 1000);
}

TEST_CASE("replay: records that were gone before they were read give a status of their own",
          "[replay][until_end][F256]") {
    World world;
    world.commit_all();
    const auto before = world.kafka.committed("g", "t", 0).value();
    std::uint64_t random = 88172645463325252U;
    for (int i = 0; i < 70; ++i) { // the mock keeps 5 MiB of a partition
        std::string noise;
        while (noise.size() < 100'000) {
            random ^= random << 13U;
            random ^= random >> 7U;
            random ^= random << 17U;
            noise += std::to_string(random);
        }
        world.kafka.produce("t", 0, {}, R"({"service_name":"s","message":")" + noise + "\"}");
        if (i % 10 == 9) world.kafka.flush();
    }
    world.kafka.flush();
    const auto low = world.kafka.watermarks("t", 0).first;
    REQUIRE(low > before);
    const auto path = scratch_file("lost");
    auto options = world.options();
    options.report = path;
    CHECK(run_replay(options) == exit_lost);
    const auto report = read_json(path);
    std::filesystem::remove(path);
    CHECK(report.at("exit_status") == exit_lost);
    CHECK(report.at("fault") == "");
    CHECK(report.at("partitions").at(0).at("lost") == low - before);
    CHECK(report.at("partitions").at(1).at("lost") == 0);
}

TEST_CASE("replay: --until-end ends behind a transaction marker, and polls all the time", "[replay][until_end][F256]") {
    World world;
    for (int p = 0; p < 2; ++p)
        bulkhead_test::produce_batch(world.kafka.bootstrap_servers(), "t", p, bulkhead_test::commit_marker());
    const auto path = scratch_file("marker");
    auto options = world.options();
    options.report = path;
    CHECK(run_replay(options) == exit_ok);
    const auto report = read_json(path);
    std::filesystem::remove(path);
    CHECK(report.at("summary").at("lag") == 0);
    CHECK(report.at("summary").at("consumed") == 10);
    CHECK(report.at("longest_poll_gap_ms").to_number<std::int64_t>() < 1000);
}

TEST_CASE("replay: certificate files that change are in the log: taken up, or why not", "[replay][F318]") {
    WorldOf<bulkhead::test::TlsBulkServer> world;
    const auto authority = world.server.layer().identity().certificate_pem;
    const auto ca_file = scratch_file("bulkhead-ca-");
    const auto printed = scratch_file("bulkhead-log-");
    write_file(ca_file.string(), authority);
    world.server.misbehave([&](const bulkhead::test::BulkRequestInfo& request) {
        std::optional<bulkhead::test::CannedAnswer> answer;
        if (request.number > 2) return answer;
        write_file(ca_file.string(), request.number == 1 ? "no certificate" : "Renewed.\n" + authority);
        answer.emplace().close_without_answer = true; // the next connection is a new one
        return answer;
    });
    auto options = world.options();
    options.tls.ca_file = ca_file.string();
    options.indexer.max_in_flight = 1;
    options.indexer.retry.initial_backoff = std::chrono::milliseconds{10};
    options.quiet = false;
    {
        const Printed to{printed, stderr};
        REQUIRE(run_replay(options) == exit_ok);
    }
    CHECK(world.server.count("apm-logs") == 10);
    std::ifstream file{printed};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    CAPTURE(text);
    const auto refused = text.find("TLS: certificate files have changed and are not in use: ca_file: ");
    const auto taken = text.find("TLS: certificate files have changed and are in use");
    REQUIRE(taken != std::string::npos);
    CHECK(refused < taken);
    CHECK(count_of(text, "certificate files have changed") == 2); // each once
    std::filesystem::remove(ca_file);
    std::filesystem::remove(printed);
}
