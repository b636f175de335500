// SPDX-License-Identifier: BSL-1.0
#include "options.hpp"

#include "environment.hpp"
#include "timestamp.hpp"
#include "tool/server_options.hpp"
#include "tool/version_text.hpp"

#include <charconv>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <librdkafka/rdkafka.h>
#include <openssl/crypto.h>
#include <unistd.h>

namespace replay {

namespace {

using tool::check_url;
using tool::one_line;
using tool::refuse;

constexpr const char* description =
    "Replays log events from a Kafka topic into Elasticsearch or OpenSearch, without ever blocking the consumer.\n\n"
    "  kafka_replay --brokers kafka1:9092,kafka2:9092 --url http://search:9200 --install-template\n\n"
    "Both addresses are given, or neither. Each may be 'embedded': --brokers embedded is a Kafka broker inside this\n"
    "process (librdkafka's mock cluster), whose topic is filled with generated events or with --input; --url embedded\n"
    "is a search server inside this process that parses, stores and counts, and vanishes with it. Neither address is\n"
    "a demonstration: both are embedded.\n\n"
    "It consumes until Ctrl-C (with an embedded broker, or --until-end: until the records that were there at the\n"
    "start are done), then drains, commits, and prints a summary on standard output. A second Ctrl-C ends it at once,\n"
    "with status 130 and without a summary: what was not committed is read again. Progress and warnings go to\n"
    "standard error. Values may also come from the environment variables named below; the command line wins.";

constexpr const char* embedded = "embedded";

constexpr const char* footer =
    "Exit status: 0 everything consumed is accounted for, also after Ctrl-C; 1 something went wrong or is missing;\n"
    "2 wrong usage; 3 Kafka cannot be reached, or a topic is not there; 4 the search server cannot be reached;\n"
    "5 stopped by a policy (--on-rejected, --on-invalid, --on-unknown) or a limit. SIGUSR1 prints where each "
    "partition\n"
    "stands, and why it is paused.\n\n"
    "Events are JSON objects with service_name and message, and perhaps timestamp, environment, trace_id, span_id,\n"
    "level, http_method, http_path, http_status_code, labels. A timestamp may be epoch seconds, milli-, micro- or\n"
    "nanoseconds, or ISO 8601; when it is missing or absurd the record's own is taken. A record without payload is\n"
    "skipped with a warning and counted; so is an event that is invalid, where there is no place for dead letters.\n";

void check_topic(const std::string& option, const std::string& topic) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (topic.empty() || topic.size() > 249 || topic.find_first_not_of(allowed) != std::string::npos)
        refuse(option, "a topic of 1 to 249 of the characters a-z A-Z 0-9 . _ -", topic);
}

void check_stream(const std::string& option, const std::string& name) {
    if (const auto wrong = bulkhead::check_index_name(name)) refuse(option, wrong->limit, wrong->value);
}

/// The command line's name of an indexer option.
std::string option_of(const std::string& field) {
    if (field == "max_batch_operations") return "--batch-size";
    if (field == "max_batch_bytes") return "--batch-bytes";
    if (field == "flush_interval") return "--flush-interval-ms";
    if (field == "max_in_flight") return "--concurrency";
    if (field == "max_buffered_bytes") return "--budget-bytes";
    if (field == "max_buffered_operations") return "--max-buffered-items";
    if (field == "request_timeout") return "--request-timeout-ms";
    if (field == "compression_level") return "--gzip-level";
    return field;
}

/// `--name=` becomes the option and an empty value; CLI11 would take the next argument for its value.
std::vector<const char*> with_empty_values(int argc, const char* const* argv, std::vector<std::string>& kept) {
    kept.reserve(static_cast<std::size_t>(argc)); // so that none of the texts moves
    std::vector<const char*> arguments;
    for (int i = 0; i < argc; ++i) {
        const std::string_view text{argv[i]};
        if (i == 0 || !text.starts_with("--") || text.find('=') + 1 != text.size()) {
            arguments.push_back(argv[i]);
            continue;
        }
        arguments.push_back(kept.emplace_back(text.substr(0, text.size() - 1)).c_str());
        arguments.push_back("");
    }
    return arguments;
}

/// An address as it was given: by an option, or by its variable. Nothing: not at all.
struct Address {
    const char* option;
    const char* variable;
    std::vector<std::string> given; ///< separated by commas

    [[nodiscard]] bool is_embedded() const { return given.size() == 1 && given.front() == embedded; }
    [[nodiscard]] std::string names() const { return std::string{option} + " (or " + variable + ")"; }
};

Address address(const CLI::App& app, const char* option, const char* variable) {
    Address found{option, variable, {}};
    for (const auto& text : app.get_option(option)->results())
        for (auto& part : CLI::detail::split(text, ',')) found.given.push_back(std::move(part));
    const char* const value = std::getenv(variable);
    // A variable without a value is not the same as none: perhaps a deployment has lost it.
    if (app.count(option) == 0 && value != nullptr && *value == '\0')
        throw UsageError{std::string{variable} + ": expected an address or '" + embedded + "', found nothing"};
    return found;
}

/// Both addresses or neither: one alone would replay real records into a store that vanishes, or made-up events into a
/// real index. `remarks`: what the other may have been meant by.
void check_addresses(const Address& brokers, const Address& url, bool dry_run,
                     const std::vector<std::string>& remarks) {
    for (const auto& node : url.given)
        if (!node.empty() && node != embedded) check_url(node);
    for (const auto* one : {&brokers, &url}) {
        if (one->is_embedded()) continue;
        for (const auto& part : one->given) {
            if (part.empty()) refuse(one->option, std::string{"an address or '"} + embedded + "'", "");
            if (part == embedded) refuse(one->option, std::string{"addresses, or '"} + embedded + "' alone", "both");
        }
    }
    const auto remarked = [&](std::string text) {
        for (const auto& remark : remarks) text += "; " + remark;
        return text;
    };
    const auto lacks = [&](const Address& missing, const Address& given, const char* what) {
        throw UsageError{remarked(missing.names() + ": expected beside " + given.names() + ", found nothing; " +
                                  missing.option + " " + embedded + " asks for " + what)};
    };
    if (brokers.given.empty() && !url.given.empty())
        lacks(brokers, url, "a broker in this process, filled with generated events or with --input");
    if (url.given.empty() && !brokers.given.empty() && !dry_run)
        lacks(url, brokers, "a search server that vanishes with this process");
    if (!brokers.given.empty() || !url.given.empty()) return;
    for (const auto& remark : remarks)
        if (remark.find(brokers.variable) != std::string::npos || remark.find(url.variable) != std::string::npos)
            throw UsageError{remarked("--brokers and --url: expected both, or for the demonstration '" +
                                      std::string{embedded} + "' for both, found neither")};
}

/// One line for each variable that looks like a misspelt one of ours. Values are not shown: they may be secrets.
std::vector<std::string> misspelt_variables(const CLI::App& app) {
    std::vector<std::string> ours{"ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_API_KEY"}; // these are no options
    for (const auto* option : app.get_options())
        if (!option->get_envname().empty()) ours.push_back(option->get_envname());
    std::vector<std::string_view> all;
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
        all.emplace_back(*variable);
    std::vector<std::string> remarks;
    for (const auto& [found, meant] : misspelt(all, ours))
        remarks.push_back(found + " is set, but " + meant + " is what is read");
    return remarks;
}

void check(const Options& o) {
    check_topic("--topic", o.topic);
    if (!o.span_topic.empty()) check_topic("--span-topic", o.span_topic);
    if (!o.error_topic.empty()) check_topic("--error-topic", o.error_topic);
    if (o.span_topic == o.topic) refuse("--span-topic", "another topic than --topic", o.span_topic);
    if (o.error_topic == o.topic || (!o.span_topic.empty() && o.error_topic == o.span_topic))
        refuse("--error-topic", "a topic that is not replayed itself", o.error_topic);
    if (!o.dead_letter_topic.empty()) {
        check_topic("--dead-letter-topic", o.dead_letter_topic);
        if (o.dead_letter_topic == o.topic || o.dead_letter_topic == o.span_topic)
            refuse("--dead-letter-topic", "a topic that is not replayed itself", o.dead_letter_topic);
        if (!o.dead_letter_file.empty())
            throw UsageError{"--dead-letter-topic: it does not go together with --dead-letter-file"};
    } else if (o.on_tombstone == bulkhead::OnTombstone::dead_letter || o.keep_records) {
        throw UsageError{"--on-tombstone dead_letter and --keep-records need --dead-letter-topic"};
    } else if (o.dead_letter_file.empty() &&
               (o.on_invalid == bulkhead::OnInvalid::dead_letter || o.on_unknown == bulkhead::OnUnknown::dead_letter)) {
        throw UsageError{"--on-invalid and --on-unknown dead_letter need --dead-letter-topic or --dead-letter-file"};
    }
    if (o.keep_records && o.delivery == bulkhead::Delivery::best_effort)
        throw UsageError{"--keep-records: it does not go together with --delivery best_effort"};
    if (o.group.empty()) refuse("--group", "a consumer group", o.group);
    check_stream("--data-stream", o.streams.name(StreamKey::apm_logs));
    check_stream("--span-data-stream", o.streams.name(StreamKey::apm_spans));
    if (const auto wrong = bulkhead::validate(o.http)) refuse(option_of(wrong->field), wrong->limit, wrong->value);
    if (!o.input.empty() && !o.embedded_broker())
        throw UsageError{"--input: it fills the embedded broker, so it goes together with --brokers embedded"};
    if (o.dry_run && o.embedded_broker())
        throw UsageError{"--dry-run: it reads a topic of real --brokers; the embedded broker's records are known"};
    if (o.from.kind != Start::Kind::stored && o.embedded_broker())
        throw UsageError{"--from: the embedded broker's topic is new, so it needs the --brokers of real ones"};
    if (o.server_port != 0 && !o.embedded_server())
        throw UsageError{"--server-port: it is the embedded server's, so it goes together with --url embedded"};
    if (o.messages < 1 || o.messages > 10'000'000) refuse("--messages", "1 to 10000000", std::to_string(o.messages));
    if (o.drain_timeout < std::chrono::seconds{1} || o.drain_timeout > std::chrono::hours{1})
        refuse("--drain-timeout", "1 to 3600 seconds", std::to_string(o.drain_timeout.count()));
    if (o.stall_after < std::chrono::seconds{1} || o.stall_after > std::chrono::hours{1})
        refuse("--stall-after", "1 to 3600 seconds", std::to_string(o.stall_after.count() / 1000));
    if (const auto wrong = bulkhead::validate(o.indexer)) refuse(option_of(wrong->field), wrong->limit, wrong->value);
}

std::vector<std::pair<std::string, std::string>> key_values(const std::vector<std::string>& settings) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const auto& setting : settings) {
        const auto equals = setting.find('=');
        // The value is not shown: it may be a password.
        if (equals == std::string::npos || equals == 0)
            refuse("--kafka-option", "KEY=VALUE",
                   setting.substr(0, setting.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._")));
        pairs.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
    }
    return pairs;
}

Start parse_start(const std::string& text) {
    if (text == "stored") return {Start::Kind::stored};
    if (text == "beginning") return {Start::Kind::beginning};
    if (text == "end") return {Start::Kind::end};
    Start start{Start::Kind::timestamp};
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), start.timestamp_ms);
    const bool number = error == std::errc{} && rest == text.data() + text.size();
    const auto iso = number ? std::nullopt : parse_iso8601_ms(text);
    if (iso) start.timestamp_ms = *iso;
    // Seconds would be taken for a day in January 1970, that is for the beginning.
    if (!(number || iso) || start.timestamp_ms < earliest_ms)
        refuse("--from", "stored, beginning, end, or a time since 2000 in ISO 8601 or in milliseconds since 1970",
               text);
    return start;
}

template <class E>
using Names = std::vector<std::pair<std::string, E>>;

/// Says so when it was the environment that gave a wrong value.
std::string from_environment(const CLI::App& app, const std::string& message) {
    for (const auto* option : app.get_options()) {
        const auto variable = option->get_envname();
        const char* const value = variable.empty() ? nullptr : std::getenv(variable.c_str());
        if (value == nullptr || *value == '\0') continue;
        if (message.find(option->get_name()) != std::string::npos && message.find(value) != std::string::npos)
            return " (from " + variable + ")";
    }
    return {};
}

} // namespace

std::optional<Options> parse_options(int argc, const char* const* argv) {
    Options o;
    o.indexer.max_buffered_operations = 100'000;
    o.indexer.retry.max_age = bulkhead::unlimited; // an outage of any length loses nothing
    std::vector<std::string> kafka;
    std::uint64_t flush_interval_ms = 1000;
    std::uint64_t request_timeout_ms = 60'000;
    std::uint64_t drain_seconds = 30;
    std::uint64_t stall_seconds = 30;
    std::string delivery = "at_least_once";
    std::string ids = "record";
    std::string from = "stored";
    std::string format = "text";
    std::vector<std::string> urls;
    tool::ServerOptions server;
    CLI::App app{description, "kafka_replay"};
    app.footer(footer);
    app.get_formatter()->column_width(34);

    const auto kafka_group = "Kafka";
    app.add_option("--brokers", o.brokers, "Bootstrap servers; 'embedded': a broker inside this process")
        ->envname("KAFKA_BROKERS")
        ->group(kafka_group);
    app.add_option("--topic", o.topic, "Topic of the log events")
        ->envname("KAFKA_APM_LOG_TOPIC")
        ->capture_default_str()
        ->group(kafka_group);
    app.add_option("--span-topic", o.span_topic, "Topic of spans, replayed by the same indexer (stream key apmSpans)")
        ->envname("KAFKA_APM_SPAN_TOPIC")
        ->group(kafka_group);
    app.add_option("--error-topic", o.error_topic, "Events of level error and above are forwarded to it; \"\": no")
        ->envname("KAFKA_APM_ERROR_TOPIC")
        ->capture_default_str()
        ->group(kafka_group);
    app.add_option("--group", o.group, "Consumer group")
        ->envname("KAFKA_GROUP_ID")
        ->capture_default_str()
        ->group(kafka_group);
    app.add_option("-X,--kafka-option", kafka, "A librdkafka setting, KEY=VALUE; may be repeated")
        ->allow_extra_args(false)
        ->group(kafka_group);
    app.add_flag("--until-end,--exit-at-end", o.exit_at_end,
                 "End when the group, this member and others, has replayed what the topics held at the start")
        ->group(kafka_group);
    app.add_option("--from", from,
                   "Where the group begins: stored (its committed offsets), beginning, end, or a time in ISO 8601 or\n"
                   "milliseconds since 1970. All but stored are committed for the group before it is joined; the\n"
                   "brokers allow that only while it has no members. With --dry-run nothing is committed")
        ->capture_default_str()
        ->group(kafka_group);
    app.add_option("--rate", o.rate, "Records a second at most; 0: no limit")
        ->capture_default_str()
        ->group(kafka_group);
    app.add_flag(
           "--dry-run", o.dry_run,
           "Read and map what lies between --from and the ends, and say what it is; join no group, commit nothing,\n"
           "index nothing")
        ->group(kafka_group);

    const auto server_group = "Search server";
    app.add_option(
           "--url", urls,
           "http[s]://HOST[:PORT][/PATH], several nodes of one cluster separated by commas; 'embedded': a server\n"
           "inside this process")
        ->delimiter(',')
        ->envname("ELASTICSEARCH_URL")
        ->group(server_group);
    server.add_to(app, server_group);
    app.add_flag("--gzip", o.gzip, "Compress bulk requests")->envname("BULK_GZIP")->group(server_group);
    app.add_option("--gzip-level", o.http.compression_level, "1 (quick) to 12")
        ->capture_default_str()
        ->group(server_group);
    app.add_option("--server-port", o.server_port, "The embedded server's port; 0: any")
        ->capture_default_str()
        ->group(server_group);
    app.add_option("--data-stream", o.streams.names[0], "Data stream of the log events (stream key apmLogs)")
        ->envname("APM_LOGS_DATA_STREAM")
        ->capture_default_str()
        ->group(server_group);
    app.add_option("--span-data-stream", o.streams.names[1], "Data stream of the spans (stream key apmSpans)")
        ->envname("APM_SPANS_DATA_STREAM")
        ->capture_default_str()
        ->group(server_group);
    app.add_flag("--install-template", o.install_template, "Put the data streams' index templates first")
        ->group(server_group);

    const auto indexing_group = "Indexing";
    app.add_option("--batch-size", o.indexer.max_batch_operations, "A bulk is flushed at so many documents")
        ->envname("BULK_BATCH_SIZE")
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--batch-bytes", o.indexer.max_batch_bytes, "A bulk is flushed before it exceeds so many bytes")
        ->envname("BULK_BATCH_BYTES")
        ->transform(CLI::AsSizeValue{false})
        ->default_str("5MiB")
        ->group(indexing_group);
    app.add_option("--flush-interval-ms", flush_interval_ms, "A bulk is flushed this long after its first document")
        ->envname("BULK_FLUSH_INTERVAL_MS")
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--concurrency", o.indexer.max_in_flight, "Bulk requests under way at once")
        ->envname("BULK_CONCURRENCY")
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--request-timeout-ms", request_timeout_ms, "How long one bulk request may take")
        ->envname("BULK_REQUEST_TIMEOUT_MS")
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--max-buffered-items", o.indexer.max_buffered_operations,
                   "Documents under way at most; then the partitions are paused")
        ->envname("MAX_BUFFERED_ITEMS")
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--budget-bytes", o.indexer.max_buffered_bytes, "Memory of all documents under way, e.g. 64MiB")
        ->envname("MAX_BUFFERED_BYTES")
        ->transform(CLI::AsSizeValue{false})
        ->default_str("64MiB")
        ->group(indexing_group);
    app.add_option("--delivery", delivery,
                   "at_least_once: an offset is stored when its documents are indexed;\n"
                   "best_effort: at hand-over, failures are logged and counted")
        ->envname("BULK_DELIVERY")
        ->check(CLI::IsMember{{"at_least_once", "best_effort"}})
        ->capture_default_str()
        ->group(indexing_group);
    const auto policy = [&](const char* name, const char* variable, auto& value, const auto& names, const char* text) {
        std::vector<std::string> words;
        for (const auto& [word, meaning] : names) words.push_back(word);
        const auto take = [&value, names](const std::string& given) {
            for (const auto& [word, meaning] : names)
                if (word == given) value = meaning;
        };
        app.add_option_function<std::string>(name, take, text)
            ->envname(variable)
            ->check(CLI::IsMember{words})
            ->default_str(words.front())
            ->group(indexing_group);
    };
    using bulkhead::OnInvalid;
    using bulkhead::OnRejected;
    using bulkhead::OnTombstone;
    using bulkhead::OnUnknown;
    policy("--on-rejected", "BULK_ON_REJECTED", o.on_rejected,
           Names<OnRejected>{
               {"dead_letter", OnRejected::dead_letter}, {"stop", OnRejected::stop}, {"skip", OnRejected::skip}},
           "A document that the server refuses for good; without a place for dead letters, dead_letter is stop");
    policy(
        "--on-invalid", "BULK_ON_INVALID", o.on_invalid,
        Names<OnInvalid>{{"skip", OnInvalid::skip}, {"dead_letter", OnInvalid::dead_letter}, {"stop", OnInvalid::stop}},
        "A record that is no event; the default is dead_letter where there is a --dead-letter-topic, and skip where "
        "there\n"
        "is none");
    policy("--on-tombstone", "BULK_ON_TOMBSTONE", o.on_tombstone,
           Names<OnTombstone>{{"skip", OnTombstone::skip}, {"dead_letter", OnTombstone::dead_letter}},
           "A record without payload");
    policy(
        "--on-unknown", "BULK_ON_UNKNOWN", o.on_unknown,
        Names<OnUnknown>{{"stop", OnUnknown::stop}, {"skip", OnUnknown::skip}, {"dead_letter", OnUnknown::dead_letter}},
        "A document that may or may not be indexed (cannot happen with --ids record)");
    app.add_option("--dead-letter-topic", o.dead_letter_topic,
                   "Where dead letters go, each with where it came from and why; its offset moves on when the brokers\n"
                   "have it; a flood of refused documents pauses the replay")
        ->envname("KAFKA_DEAD_LETTER_TOPIC")
        ->group(indexing_group);
    app.add_flag("--keep-records", o.keep_records,
                 "A refused document's dead letter is its record (key, payload, headers), not only the operation")
        ->group(indexing_group);
    app.add_option("--id-prefix", o.id_prefix,
                   "Before the ids of --ids record: where several Kafka clusters feed one stream")
        ->envname("BULK_ID_PREFIX")
        ->group(indexing_group);
    app.add_option(
           "--dead-letter-file", o.dead_letter_file,
           "A refused document or an invalid record goes to the end of this file, one line of JSON each, and its "
           "offset moves on\n"
           "when it is on the disk; a flood of them pauses the replay (see dead_letters for listing and replaying)")
        ->envname("BULK_DEAD_LETTER_FILE")
        ->type_name("FILE")
        ->group(indexing_group);
    app.add_option("--ids", ids,
                   "record: topic-partition-offset@timestamp, so nothing is stored twice; auto: the server's")
        ->check(CLI::IsMember{{"record", "auto"}})
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--drain-timeout", drain_seconds, "Seconds to finish what is under way at the end or at Ctrl-C")
        ->envname("BULK_DRAIN_TIMEOUT_S")
        ->capture_default_str()
        ->group(indexing_group);
    app.add_option("--stall-after", stall_seconds,
                   "Seconds until a partition that stands still, though there is something to read, is a trouble;\n"
                   "after ten times as long --until-end gives up, with exit status 6")
        ->envname("BULK_STALL_AFTER_S")
        ->capture_default_str()
        ->group(indexing_group);

    const auto records_group = "Records of the embedded broker";
    app.add_option("--messages", o.messages, "Generated events")->capture_default_str()->group(records_group);
    app.add_option("--seed", o.seed, "The same seed generates the same events")
        ->capture_default_str()
        ->group(records_group);
    app.add_option("--input", o.input,
                   "A file instead: NDJSON events or access-log lines\n(common or combined), plain or gzip")
        ->group(records_group);

    const auto output_group = "Output";
    app.add_option("--format", format, "The summary: text for people, json as one line")
        ->check(CLI::IsMember{{"text", "json"}})
        ->capture_default_str()
        ->group(output_group);
    app.add_option("--report", o.report, "A file for all that is known at the end, as JSON; replaced as a whole")
        ->type_name("FILE")
        ->group(output_group);
    app.add_option("--metrics", o.metrics,
                   "Serve /metrics (Prometheus), /healthz, /readyz and a page to look at on this port, of 127.0.0.1\n"
                   "unless an address is given. Whoever reaches it may read it")
        ->envname("METRICS_PORT")
        ->type_name("[ADDRESS:]PORT")
        ->group(output_group);
    app.add_flag("--show-reasons", o.show_reasons,
                 "Show the server's reasons too, in warnings and in the report: they may quote what documents hold")
        ->group(output_group);
    app.add_flag("-q,--quiet", o.quiet, "No progress, only warnings and the summary")->group(output_group);
    app.set_version_flag("--version",
                         tool::version_text("kafka_replay", {{"librdkafka", rd_kafka_version_str()},
                                                             {"OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)}}));

    try {
        std::vector<std::string> kept;
        const auto arguments = with_empty_values(argc, argv, kept);
        app.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const CLI::Success& asked) {
        app.exit(asked, std::cout, std::cerr);
        return std::nullopt;
    } catch (const CLI::ParseError& wrong) {
        throw UsageError{one_line(wrong.what()) + from_environment(app, wrong.what())};
    }
    constexpr std::uint64_t an_hour = 3'600'000;
    if (flush_interval_ms > an_hour) refuse("--flush-interval-ms", "1 to 3600000", std::to_string(flush_interval_ms));
    if (request_timeout_ms > an_hour)
        refuse("--request-timeout-ms", "1 to 3600000", std::to_string(request_timeout_ms));
    o.indexer.flush_interval = std::chrono::milliseconds{flush_interval_ms};
    o.indexer.request_timeout = std::chrono::milliseconds{request_timeout_ms};
    o.drain_timeout = std::chrono::seconds{std::min(drain_seconds, an_hour)};
    o.stall_after = std::chrono::seconds{std::min(stall_seconds, an_hour)};
    o.delivery = delivery == "best_effort" ? bulkhead::Delivery::best_effort : bulkhead::Delivery::at_least_once;
    o.ids = ids == "auto" ? Ids::automatic : Ids::record;
    o.format = format == "json" ? Format::json : Format::text;
    if (o.ids == Ids::automatic) o.indexer.duplicates = bulkhead::Duplicates::allow; // lost would be worse
    o.kafka = key_values(kafka);
    // What is passed over is kept where there is a place for it.
    const bool kept = !o.dead_letter_topic.empty() || !o.dead_letter_file.empty();
    if (app.count("--on-invalid") == 0 && kept) o.on_invalid = OnInvalid::dead_letter;
    const auto brokers_given = address(app, "--brokers", "KAFKA_BROKERS");
    const auto url_given = address(app, "--url", "ELASTICSEARCH_URL");
    o.remarks = misspelt_variables(app);
    check_addresses(brokers_given, url_given, o.dry_run, o.remarks);
    if (brokers_given.is_embedded()) o.brokers.clear();
    if (url_given.is_embedded()) urls.clear();
    server.finish(urls, o.http, o.tls);
    if (!urls.empty()) o.url = urls.front();
    o.from = parse_start(from);
    check(o);
    if (o.embedded_broker()) o.exit_at_end = true;
    return o;
}

} // namespace replay
