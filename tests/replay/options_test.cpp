// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/options.hpp"

#include "tool/server_options.hpp"

#include "support/catch.hpp"

#include <cstdlib>
#include <string>
#include <vector>

using namespace replay;

namespace {

Options parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "kafka_replay");
    auto options = parse_options(static_cast<int>(arguments.size()), arguments.data());
    REQUIRE(options.has_value());
    return *options;
}

std::string usage_error(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "kafka_replay");
    try {
        (void)parse_options(static_cast<int>(arguments.size()), arguments.data());
    } catch (const UsageError& error) {
        CHECK(std::string{error.what()}.find('\n') == std::string::npos);
        return error.what();
    }
    return "no error";
}

/// An environment variable for the time of a test.
class Environment {
public:
    Environment(const char* name, const char* value) : name_{name} { setenv(name, value, 1); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() { unsetenv(name_); }

private:
    const char* name_;
};

} // namespace

TEST_CASE("without an address it is the embedded demonstration") {
    const auto o = parse({});
    CHECK(o.embedded_broker());
    CHECK(o.embedded_server());
    CHECK(o.exit_at_end);
    CHECK(o.topic == "apm.logs");
    CHECK(o.messages == 1'000'000);
    CHECK(o.indexer.max_batch_operations == 1000);
    CHECK(o.indexer.flush_interval == std::chrono::seconds{1});
    CHECK(o.indexer.retry.max_age == bulkhead::unlimited);
    CHECK(o.delivery == bulkhead::Delivery::at_least_once);
    CHECK(o.ids == Ids::record);
}

TEST_CASE("the command line is read, the environment behind it") {
    const Environment topic{"KAFKA_APM_LOG_TOPIC", "other.logs"};
    const Environment size{"BULK_BATCH_SIZE", "250"};
    const Environment interval{"BULK_FLUSH_INTERVAL_MS", "50"};
    const Environment items{"MAX_BUFFERED_ITEMS", "5000"};
    const Environment brokers{"KAFKA_BROKERS", "k1:9092,k2:9092"};
    const auto o = parse({"--batch-size",
                          "300",
                          "--delivery=best_effort",
                          "--ids",
                          "auto",
                          "--budget-bytes",
                          "8MiB",
                          "--concurrency",
                          "2",
                          "--format",
                          "json",
                          "-X",
                          "client.id=a=b",
                          "-X",
                          "x=",
                          "--on-rejected",
                          "skip",
                          "--dead-letter-topic",
                          "dead",
                          "--on-invalid",
                          "dead_letter",
                          "--on-tombstone",
                          "dead_letter",
                          "--on-unknown",
                          "dead_letter",
                          "--id-prefix",
                          "eu",
                          "--drain-timeout",
                          "5",
                          "--stall-after",
                          "7",
                          "--url",
                          "http://127.0.0.1:9200/es"});
    CHECK(o.topic == "other.logs");
    CHECK(o.brokers == "k1:9092,k2:9092");
    CHECK_FALSE(o.exit_at_end);
    CHECK(o.indexer.max_batch_operations == 300);
    CHECK(o.indexer.flush_interval == std::chrono::milliseconds{50});
    CHECK(o.indexer.max_buffered_operations == 5000);
    CHECK(o.indexer.max_buffered_bytes == 8U << 20U);
    CHECK(o.indexer.max_in_flight == 2);
    CHECK(o.delivery == bulkhead::Delivery::best_effort);
    CHECK(o.on_rejected == bulkhead::OnRejected::skip);
    CHECK(o.dead_letter_topic == "dead");
    CHECK(o.on_invalid == bulkhead::OnInvalid::dead_letter);
    CHECK(o.on_tombstone == bulkhead::OnTombstone::dead_letter);
    CHECK(o.on_unknown == bulkhead::OnUnknown::dead_letter);
    CHECK_FALSE(o.keep_records);
    CHECK(parse({"--url", "embedded", "--dead-letter-topic", "dead", "--keep-records"}).keep_records);
    CHECK(o.id_prefix == "eu");
    CHECK(o.ids == Ids::automatic);
    CHECK(o.format == Format::json);
    CHECK(o.drain_timeout == std::chrono::seconds{5});
    CHECK(o.stall_after == std::chrono::seconds{7});
    REQUIRE(o.kafka.size() == 2);
    CHECK(o.kafka[0].second == "a=b");
    CHECK(o.url == "http://127.0.0.1:9200/es");
}

TEST_CASE("wrong usage is one line that names the option and what is allowed") {
    const auto names = [](const std::string& error, const std::string& what) {
        CAPTURE(error, what);
        CHECK(error != "no error");
        CHECK(error.find(what) != std::string::npos);
    };
    names(usage_error({"--bogus"}), "--bogus");
    names(usage_error({"stray"}), "stray");
    names(usage_error({"--batch-size"}), "--batch-size");
    names(usage_error({"--batch-size", "many"}), "--batch-size");
    names(usage_error({"--batch-size", "0"}), "--batch-size: expected 1 to 1000000, found 0");
    names(usage_error({"--batch-size", "-1"}), "--batch-size");
    names(usage_error({"--flush-interval-ms", "0"}), "--flush-interval-ms: expected 1 ms");
    names(usage_error({"--flush-interval-ms", "99999999999999999"}), "--flush-interval-ms: expected 1 to 3600000");
    names(usage_error({"--concurrency", "5000"}), "--concurrency: expected 1 to 1024");
    names(usage_error({"--budget-bytes", "1"}), "--budget-bytes: expected");
    names(usage_error({"--max-buffered-items", "0"}), "--max-buffered-items: expected");
    names(usage_error({"--messages", "0"}), "--messages: expected 1 to 10000000, found 0");
    names(usage_error({"--format", "xml"}), "--format");
    names(usage_error({"--delivery", "exactly_once"}), "--delivery");
    names(usage_error({"--delivery", "best_effort", "--dead-letter-topic", "dead", "--keep-records"}),
          "--keep-records");
    names(usage_error({"--topic", "a b"}), "--topic: expected");
    names(usage_error({"--topic", ""}), "--topic");
    names(usage_error({"--topic", "apm.errors"}), "--error-topic");
    names(usage_error({"--data-stream", "Apm"}), "--data-stream: expected");
    names(usage_error({"--kafka-option", "novalue"}), "--kafka-option: expected KEY=VALUE");
    names(usage_error({"--input", "x", "--brokers", "b:1", "--url", "embedded"}), "--input");
    names(usage_error({"--server-port", "70000"}), "--server-port");
    names(usage_error({"--drain-timeout", "0"}), "--drain-timeout");
    names(usage_error({"--stall-after", "0"}), "--stall-after");
    names(usage_error({"--stall-after", "3601"}), "--stall-after");
    names(usage_error({"--brokers", "b:1", "--url", "embedded", "--from", "yesterday"}),
          "--from: expected stored, beginning, end, or a time");
    names(usage_error({"--brokers", "b:1", "--url", "embedded", "--from", "1714521600"}),
          "found 1714521600"); // seconds
    CHECK(parse({"--brokers", "b:1", "--url", "embedded", "--from", "1714521600000"}).from.timestamp_ms ==
          1'714'521'600'000);
    CHECK(parse({"--brokers", "b:1", "--url", "embedded", "--from", "2024-05-01T02:00+02:00"}).from.timestamp_ms ==
          1'714'521'600'000);
    const Environment size{"BULK_BATCH_SIZE", "lots"};
    names(usage_error({}), "BULK_BATCH_SIZE");
}

TEST_CASE("a malformed URL is refused, and a password in it is not shown", "[F230]") {
    for (const auto* url : {"127.0.0.1:9200", "http://", "ftp://host:9200", "http://host:99999", "http://host:0",
                            "http://ho st:9200", "http://host:9200?q=1", "http://[::1", "https://host:0"}) {
        CAPTURE(url);
        CHECK(usage_error({"--url", url}).find("--url: expected http[s]://HOST[:PORT][/PATH]") == 0);
    }
    const auto error = usage_error({"--url", "http://elastic:hunter2@host:99999"});
    CHECK(error.find("hunter2") == std::string::npos);
    const auto url_of = [](const char* url) { return parse({"--url", url, "--brokers", "embedded"}).url; };
    CHECK(url_of("http://[::1]:9200") == "http://[::1]:9200");
    CHECK(url_of("HTTP://Search:9200") == "HTTP://Search:9200");
    CHECK(is_https(url_of("HTTPS://search:9200")));
}

TEST_CASE("one address without the other is refused, and the other is named", "[F265]") {
    const auto names = [](const std::string& error, const std::vector<std::string>& all) {
        for (const auto& what : all) {
            CAPTURE(error, what);
            CHECK(error.find(what) != std::string::npos);
        }
    };
    names(usage_error({"--brokers", "b:1"}),
          {"--url (or ELASTICSEARCH_URL): expected beside --brokers", "--url embedded"});
    names(usage_error({"--brokers", "b:1", "--until-end", "--quiet"}), {"--url (or ELASTICSEARCH_URL)"});
    names(usage_error({"--url", "http://h:9200"}),
          {"--brokers (or KAFKA_BROKERS): expected beside --url", "--brokers embedded"});
    names(usage_error({"--url", "http://h:9200", "--input", "x"}), {"--brokers embedded"});
    names(usage_error({"--url", "http://h:9200", "--dry-run"}), {"--brokers"});
    {
        const Environment brokers{"KAFKA_BROKERS", "b:1"};
        names(usage_error({}), {"--url (or ELASTICSEARCH_URL)"});
        CHECK_FALSE(parse({"--url", "http://h:9200"}).embedded_broker());
    }
    const Environment url{"ELASTICSEARCH_URL", "http://h:9200"};
    names(usage_error({}), {"--brokers (or KAFKA_BROKERS)"});
    CHECK_FALSE(parse({"--brokers", "b:1"}).embedded_server());
}

TEST_CASE("an embedded half is asked for by name", "[F265]") {
    auto o = parse({"--brokers", "b:1", "--url", "embedded"});
    CHECK(o.embedded_server());
    CHECK_FALSE(o.embedded_broker());
    o = parse({"--brokers", "embedded", "--url", "http://h:9200"});
    CHECK(o.embedded_broker());
    CHECK(o.exit_at_end);
    CHECK_FALSE(o.embedded_server());
    const Environment url{"ELASTICSEARCH_URL", "http://h:9200"};
    const Environment brokers{"KAFKA_BROKERS", "b:1"};
    o = parse({"--brokers", "embedded", "--url", "embedded"}); // the command line wins
    CHECK(o.embedded_broker());
    CHECK(o.embedded_server());
    CHECK(usage_error({"--url", "embedded,http://h:9200"}).find("--url: expected") == 0);
    CHECK(usage_error({"--url", "http://h:9200,embedded"}).find("--url: expected") == 0);
    CHECK(usage_error({"--brokers", "b:1,embedded"}).find("--brokers: expected") == 0);
}

TEST_CASE("an address that is empty is no address, and no demonstration either", "[F265]") {
    CHECK(usage_error({"--brokers", "", "--url", "http://h:9200"}).find("--brokers: expected") == 0);
    CHECK(usage_error({"--brokers=", "--url=http://h:9200"}).find("--brokers") == 0);
    CHECK(usage_error({"--brokers", "b:1", "--url", ""}).find("--url: expected") == 0);
    CHECK(usage_error({"--brokers", "", "--url", ""}).find("expected") != std::string::npos);
    const Environment url{"ELASTICSEARCH_URL", ""};
    CHECK(usage_error({}).find("ELASTICSEARCH_URL: expected") == 0);
    const Environment brokers{"KAFKA_BROKERS", ""};
    CHECK(usage_error({"--url", "embedded"}).find("KAFKA_BROKERS: expected") == 0);
    CHECK(parse({"--url", "embedded", "--brokers", "embedded"}).embedded_server());
    CHECK(parse({"--error-topic=", "--url=embedded", "--brokers=embedded"}).error_topic.empty()); // nothing is eaten
}

TEST_CASE("an invalid record is kept where there is a place for it", "[F276]") {
    const auto policy = [](std::vector<const char*> arguments) { return parse(std::move(arguments)).on_invalid; };
    CHECK(policy({}) == bulkhead::OnInvalid::skip);
    CHECK(policy({"--dead-letter-topic", "dead"}) == bulkhead::OnInvalid::dead_letter);
    CHECK(policy({"--dead-letter-file", "dead"}) == bulkhead::OnInvalid::dead_letter);
    CHECK(usage_error({"--on-invalid", "dead_letter"}).find("--dead-letter-file") != std::string::npos);
    CHECK(usage_error({"--on-tombstone", "dead_letter", "--dead-letter-file", "d"}).find("--dead-letter-topic") !=
          std::string::npos);
    CHECK(policy({"--dead-letter-topic", "dead", "--on-invalid", "skip"}) == bulkhead::OnInvalid::skip);
    CHECK(policy({"--dead-letter-topic", "dead", "--on-invalid", "stop"}) == bulkhead::OnInvalid::stop);
    const Environment skip{"BULK_ON_INVALID", "skip"};
    CHECK(policy({"--dead-letter-topic", "dead"}) == bulkhead::OnInvalid::skip);
}

TEST_CASE("a dry run needs no search server", "[F265]") { CHECK(parse({"--brokers", "b:1", "--dry-run"}).dry_run); }

TEST_CASE("a variable that looks like a misspelt one of ours is named", "[F266]") {
    const Environment broker{"KAFKA_BROKER", "prod.example:9092"};
    const auto error = usage_error({"--url", "http://h:9200"});
    CHECK(error.find("KAFKA_BROKER is set, but KAFKA_BROKERS is what is read") != std::string::npos);
    CHECK(error.find("prod.example") == std::string::npos);                            // a value may be a secret
    CHECK(usage_error({}).find("KAFKA_BROKERS is what is read") != std::string::npos); // nor is it a demonstration
    CHECK(parse({"--url", "embedded", "--brokers", "embedded"}).embedded_broker());

    const Environment group{"KAFKA_GROUPID", "g"};
    const auto o = parse({"--url", "http://h:9200", "--brokers", "b:1"});
    REQUIRE(o.remarks.size() == 2); // in the order of the environment
    CHECK((o.remarks[0] + o.remarks[1]).find("KAFKA_GROUPID is set, but KAFKA_GROUP_ID is what is read") !=
          std::string::npos);
}
