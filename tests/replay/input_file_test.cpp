// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/access_log.hpp"
#include "kafka_replay/apm_event.hpp"
#include "kafka_replay/failure.hpp"
#include "kafka_replay/input_file.hpp"

#include "support/catch.hpp"

#include <boost/json/parse.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>
#include <zlib.h>

using namespace replay;
namespace json = boost::json;

namespace {

/// A file that is gone at the end of the test.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& content) {
        static int number = 0;
        path_ = (std::filesystem::temp_directory_path() /
                 ("replay-" + std::to_string(getpid()) + "-" + std::to_string(number++)))
                    .string();
        std::ofstream{path_, std::ios::binary} << content;
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { std::filesystem::remove(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string gzipped(const std::string& content) {
    const TemporaryFile file{""};
    auto* const out = gzopen(file.path().c_str(), "wb");
    REQUIRE(gzwrite(out, content.data(), static_cast<unsigned>(content.size())) == static_cast<int>(content.size()));
    REQUIRE(gzclose(out) == Z_OK);
    std::ifstream in{file.path(), std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
}

std::vector<std::string> events_in(const std::string& path) {
    std::vector<std::string> events;
    const auto report = read_input_file(path, [&](std::string_view event) { events.emplace_back(event); });
    CHECK(report.events == events.size());
    return events;
}

std::string failure_of(const std::string& path) {
    try {
        read_input_file(path, [](std::string_view) {});
    } catch (const Failure& failure) {
        return failure.what();
    }
    return "no failure";
}

constexpr const char* combined =
    R"~(83.149.9.216 - frank [17/May/2015:10:05:03 +0200] "GET /a?b=c HTTP/1.1" 200 203023 )~"
    R"~("http://example.org/\"x\"" "Mozilla/5.0 (X11; Linux)")~";

} // namespace

TEST_CASE("an access-log line in the combined format becomes an event") {
    std::string event;
    REQUIRE(access_log_event(combined, event));
    const auto value = json::parse(event).as_object();
    CHECK(value.at("timestamp").as_string() == "2015-05-17T10:05:03+0200");
    CHECK(value.at("http_method").as_string() == "GET");
    CHECK(value.at("http_path").as_string() == "/a?b=c");
    CHECK(value.at("http_status_code").as_string() == "200");
    CHECK(value.at("level").as_string() == "info");
    CHECK(value.at("labels").at("client").as_string() == "83.149.9.216");
    CHECK(value.at("labels").at("user").as_string() == "frank");
    CHECK(value.at("labels").at("bytes").as_string() == "203023");
    CHECK(value.at("labels").at("user_agent").as_string() == "Mozilla/5.0 (X11; Linux)");

    ApmEventReader reader;
    std::string document;
    REQUIRE(reader.read(StreamKey::apm_logs, event, -1, 1'714'566'600'000, document));
    CHECK(json::parse(document).at("@timestamp").as_string() == "2015-05-17T08:05:03.000Z");
    CHECK(json::parse(document).at("http_status_code").as_int64() == 200);
}

TEST_CASE("the common format, odd requests and foreign bytes are read") {
    std::string event;
    REQUIRE(access_log_event(R"(::1 - - [01/Jan/2024:00:00:00 +0000] "-" 408 -)", event));
    CHECK_FALSE(json::parse(event).as_object().contains("http_method"));
    CHECK(json::parse(event).at("level").as_string() == "warn");
    REQUIRE(access_log_event("::1 - - [01/Jan/2024:00:00:00 +0000] \"GET /\xff\xc3\xbc HTTP/1.0\" 503 1", event));
    CHECK(json::parse(event).at("http_path").as_string() == "/\xEF\xBF\xBD\xC3\xBC");
    CHECK(json::parse(event).at("level").as_string() == "error");
}

TEST_CASE("what is not an access-log line is not taken for one") {
    std::string event;
    for (const auto* line :
         {"", "hello", "a b c", "a b c [x] \"y\" 200 1", R"(a - - [01/Jan/2024:00:00:00 +0000] "GET /" 200)",
          R"(a - - [01/Jan/2024:00:00:00 +0000] "GET /" 20 1)", R"(a - - [01/Jin/2024:00:00:00 +0000] "GET /" 200 1)",
          R"(a - - [01/Jan/2024:00:00:00 +0000] "GET / 200 1)",
          R"(a - - [01/Jan/2024:00:00:00 +0000] "GET /" 200 1 more)"})
        CHECK_FALSE(access_log_event(line, event));
}

TEST_CASE("NDJSON is read line by line, plain or gzip") {
    const std::string content = "\n{\"a\":1}\r\n   \n{\"b\":2}\n not json\n{\"c\":3}";
    const std::vector<std::string> expected{R"({"a":1})", R"({"b":2})", "not json", R"({"c":3})"};
    const TemporaryFile plain{content};
    CHECK(events_in(plain.path()) == expected);
    const TemporaryFile packed{gzipped(content)};
    CHECK(events_in(packed.path()) == expected);
}

TEST_CASE("many lines survive the read buffer's edges") {
    std::string content;
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < 60'000; ++i) {
        expected.push_back("{\"n\":" + std::to_string(i) + ",\"x\":\"" + std::string(i % 97, 'x') + "\"}");
        content += expected.back() + "\n";
    }
    const TemporaryFile file{content};
    CHECK(events_in(file.path()) == expected);
}

TEST_CASE("a line of an access log that is none is passed on, to be counted as invalid") {
    const TemporaryFile file{std::string{combined} + "\nrubbish\n" + combined + "\n"};
    const auto events = events_in(file.path());
    REQUIRE(events.size() == 3);
    CHECK(events[0] == events[2]);
    CHECK(events[1] == "rubbish");
}

TEST_CASE("a bad file is one clear line that names it") {
    CHECK(failure_of("/nowhere/at/all") == "/nowhere/at/all: No such file or directory");
    CHECK(failure_of("/") == "/: is a directory");
    const TemporaryFile text{"\nDear diary,\n"};
    CHECK(failure_of(text.path()) ==
          text.path() + ":2: neither an NDJSON event nor an access-log line (common or combined format)");
    const TemporaryFile empty{"\n \n"};
    CHECK(failure_of(empty.path()) == empty.path() + ": empty: no event in it");
    const TemporaryFile longest{"{\"a\":1}\n{\"x\":\"" + std::string(5'000'000, 'x') + "\"}\n"};
    CHECK(failure_of(longest.path()) == longest.path() + ":2: longer than 900000 bytes");
    std::string content;
    for (int i = 0; i < 20'000; ++i) content += "{\"a\":" + std::to_string(i * 7919 % 100'003) + "}\n";
    auto packed = gzipped(content);
    packed.resize(packed.size() / 2);
    const TemporaryFile damaged{packed};
    CHECK(failure_of(damaged.path()).find(damaged.path() + ": damaged gzip data") == 0);
}
