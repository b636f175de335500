// SPDX-License-Identifier: BSL-1.0
#include "replay.hpp"

#include "dry_run.hpp"
#include "embedded.hpp"
#include "ends.hpp"
#include "error_forwarder.hpp"
#include "file_letters.hpp"
#include "kafka_probe.hpp"
#include "monitor.hpp"
#include "progress.hpp"
#include "record_mapper.hpp"
#include "report.hpp"
#include "server_api.hpp"
#include "summary.hpp"
#include "timed_indexer.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/prometheus.hpp>
#include <bulkhead/sinks/file_sink.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <future>
#include <map>
#include <optional>
#include <thread>

#include <prometheus/text_serializer.h>

namespace replay {

namespace {

namespace asio = boost::asio;
using bulkhead::Outcome;
using bulkhead::SourceEvent;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Indexer = bulkhead::BulkIndexer<SearchTransport>;
using Driver = bulkhead::kafka::Driver<TimedIndexer<Indexer>, RecordMapper>;

constexpr milliseconds probe_timeout{5000};
constexpr milliseconds poll_timeout{50};
constexpr milliseconds ask_group_every{500};
/// Nothing has moved for so long, and the end is not reached: perhaps nothing that can be read is left.
constexpr milliseconds stalled_after{2000};
constexpr milliseconds look_at_least_every{30'000};
/// A trouble that has lasted for so many times `stall_after` ends `--until-end`.
constexpr int patience_with_troubles = 10;

/// Asks the brokers what only they know of partitions that others read: what the group has committed, and where nothing
/// can be read. On a thread of its own, since the brokers may take seconds and the client must be polled meanwhile.
class Inquiry {
public:
    struct Answer {
        std::vector<CommittedOffset> committed;
        std::vector<PartitionEnd> empty;
    };
    /// `look`: also whether anything can be read. Nothing happens while a question is open.
    void ask(const Options& options, const std::string& brokers, std::vector<PartitionEnd> left, bool look) {
        if (answer_.valid()) return;
        answer_ = std::async(
            std::launch::async, [brokers, left = std::move(left), look, group = options.group, kafka = options.kafka] {
                Answer answer;
                try {
                    answer.committed = committed_offsets(brokers, group, left, kafka, milliseconds{1000});
                    if (look) answer.empty = without_records(brokers, group, left, kafka, probe_timeout);
                } catch (const std::exception&) { // it is asked again
                }
                return answer;
            });
    }
    /// The answer, once.
    [[nodiscard]] std::optional<Answer> take() {
        if (!answer_.valid() || answer_.wait_for(milliseconds{0}) != std::future_status::ready) return std::nullopt;
        return answer_.get();
    }

private:
    std::future<Answer> answer_;
};

/// The context on which the indexer lives, and its thread. Ctrl-C and SIGTERM are noticed here; the second one ends the
/// process, for whoever does not want to wait.
class Background {
public:
    Background() {
        wait_for_signal();
        thread_ = std::thread{[this] { context_.run(); }};
    }
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;
    ~Background() {
        asio::post(context_, [this] { signals_.cancel(); });
        work_.reset();
        thread_.join();
    }
    [[nodiscard]] asio::any_io_executor executor() { return context_.get_executor(); }
    [[nodiscard]] bool interrupted() const noexcept { return interrupted_.load(std::memory_order_relaxed); }
    /// Whether SIGUSR1 has come since the last call.
    [[nodiscard]] bool asked() noexcept { return asked_.exchange(false); }

private:
    void wait_for_signal() {
        signals_.async_wait([this](boost::system::error_code error, int number) {
            if (error) return;
            if (number == SIGUSR1) {
                asked_ = true;
            } else if (interrupted_.exchange(true)) {
                std::_Exit(128 + number);
            }
            wait_for_signal();
        });
    }
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    asio::signal_set signals_{context_, SIGINT, SIGTERM, SIGUSR1};
    std::atomic<bool> interrupted_{false};
    std::atomic<bool> asked_{false};
    std::thread thread_;
};

std::string place(const SourceEvent& event) {
    return std::string{event.topic} + "-" + std::to_string(event.partition) + " at offset " +
           (event.offset < 0 ? "?" : std::to_string(event.offset));
}

void tell(Progress& progress, const SourceEvent& event, bool show_reasons) {
    using Kind = SourceEvent::Kind;
    switch (event.kind) {
    case Kind::without_payload:
        progress.trouble(Trouble::without_payload, "record without payload: " + place(event));
        break;
    case Kind::invalid:
        progress.trouble(Trouble::invalid, "invalid event: " + place(event) + ": " +
                                               std::string{event.reason.empty() ? event.type : event.reason});
        break;
    case Kind::too_large: progress.trouble(Trouble::failed, "event too large for the limits: " + place(event)); break;
    case Kind::failed:
        progress.trouble(Trouble::failed, std::string{to_string(event.outcome)} + ": " + place(event) + ": status " +
                                              std::to_string(event.status) + " " + std::string{event.type} +
                                              (show_reasons ? ": " + bulkhead::printable(event.reason) : ""));
        break;
    case Kind::letter_failed:
        progress.trouble(Trouble::failed,
                         "dead letter not written: " + place(event) + ": " + std::string{event.reason});
        break;
    case Kind::store_failed:
        progress.trouble(Trouble::offsets, "offset not stored yet: " + place(event) + ": " + std::string{event.reason});
        break;
    case Kind::rewound:
        progress.trouble(Trouble::kafka, "the client went back: " + place(event) + ": " + std::string{event.reason});
        break;
    case Kind::stopped: progress.error("the source has stopped: " + std::string{event.type}); break;
    }
}

void tell(Progress& progress, const bulkhead::kafka::ClientEvent& event) {
    using Kind = bulkhead::kafka::ClientEvent::Kind;
    const std::string text{event.text};
    switch (event.kind) {
    case Kind::log:
        if (event.level <= 4) progress.trouble(Trouble::kafka, "Kafka: " + text);
        break;
    case Kind::error:
    case Kind::commit_failed:
        progress.trouble(Trouble::kafka, "Kafka: " + event.error.message() + (text.empty() ? "" : ": " + text));
        break;
    case Kind::fatal: progress.error("Kafka: " + event.error.message() + ": " + text); break;
    case Kind::assigned:
        if (event.partitions > 0) progress.info("assigned " + std::to_string(event.partitions) + " partitions");
        break;
    case Kind::revoked: break;
    case Kind::trouble:
    case Kind::records_lost: progress.error("Kafka: " + text); break;
    case Kind::trouble_over: progress.info("Kafka: " + text); break;
    case Kind::lost:
        if (event.partitions > 0) progress.warn("lost " + std::to_string(event.partitions) + " partitions");
        break;
    }
}

/// Called on the thread that connects.
void tell_files(Progress& progress, const std::string& problem) {
    if (problem.empty()) {
        progress.info("TLS: certificate files have changed and are in use");
    } else {
        progress.warn("TLS: certificate files have changed and are not in use: " + problem);
    }
}

/// Why a partition is paused, for people.
std::string describe(bulkhead::PauseReason why) {
    using Why = bulkhead::PauseReason;
    switch (why) {
    case Why::none: break;
    case Why::stopped: return "the source has stopped";
    case Why::draining: return "this is the end, nothing more is taken";
    case Why::span: return "too far ahead of what is settled";
    case Why::budget: return "the buffer is full, or half of it is not settled yet";
    case Why::dead_letters: return "too many dead letters are on their way";
    case Why::kept_records: return "too many records are kept";
    }
    return "-";
}

std::vector<std::string> data_streams(const Options& options) {
    std::vector<std::string> names{options.streams.name(StreamKey::apm_logs)};
    if (!options.span_topic.empty()) names.push_back(options.streams.name(StreamKey::apm_spans));
    return names;
}

void install_templates(ServerApi& server, const Options& options) {
    for (const auto key : {StreamKey::apm_logs, StreamKey::apm_spans}) {
        if (key == StreamKey::apm_spans && options.span_topic.empty()) continue;
        const auto& name = options.streams.name(key);
        server.put_index_template(name, index_template(key, name));
    }
}

std::uint64_t count_documents(ServerApi& server, const Options& options) {
    std::uint64_t sum = 0;
    for (const auto& name : data_streams(options)) sum += server.count(name);
    return sum;
}

/// Consumes until the end, an interrupt, or until the source stops by itself.
class Consumption {
public:
    Consumption(const Options& options, Background& background, Progress& progress, Indexer& indexer, Driver& driver,
                Ends& ends, Pulse& pulse, std::string brokers)
        : options_{options}, background_{background}, progress_{progress}, indexer_{indexer}, driver_{driver},
          ends_{ends}, pulse_{pulse}, brokers_{std::move(brokers)} {}
    /// How long at least one partition was paused.
    [[nodiscard]] Clock::duration paused() const { return paused_; }
    /// Records that are there and not taken.
    [[nodiscard]] std::int64_t lag() const {
        const auto standings = driver_.standings();
        return ends_.lag(driver_.source().partitions(), [&](const std::string& topic, std::int32_t partition) {
            const auto* const standing = find(standings, topic, partition);
            return standing == nullptr ? std::nullopt : standing->lag;
        });
    }
    /// What has lasted too long for `--until-end`; empty: nothing.
    [[nodiscard]] const std::string& gave_up() const { return gave_up_; }

    /// True when everything that the topics held at the start has been replayed by the group.
    [[nodiscard]] bool run() {
        auto checked = Clock::now();
        bool flushed = false;
        while (!background_.interrupted() && driver_.poll_once(poll_timeout)) {
            pulse_.beat();
            note_paused();
            show();
            if (background_.asked()) tell_standing();
            if (!options_.exit_at_end || Clock::now() - checked < poll_timeout) continue;
            checked = Clock::now();
            const auto partitions = driver_.source().partitions();
            // The last batch need not wait for the flush interval. An outage is waited for, whatever it takes.
            if (ends_.taken(partitions) && !std::exchange(flushed, true)) indexer_.flush();
            if (nothing_left(partitions)) return true;
            for (const auto& trouble : driver_.stats().troubles)
                if (trouble.lasted >= patience_with_troubles * options_.stall_after) gave_up_ = trouble.text;
            if (!gave_up_.empty()) return false;
        }
        return false;
    }

private:
    void note_paused() {
        const auto now = Clock::now();
        if (paused_before_) paused_ += now - noted_at_;
        noted_at_ = now;
        paused_before_ = driver_.source().stats().paused_partitions > 0;
    }
    template <class One>
    [[nodiscard]] static const One* find(const std::vector<One>& all, const std::string& topic,
                                         std::int32_t partition) {
        for (const auto& one : all)
            if (one.partition == partition && one.topic == topic) return &one;
        return nullptr;
    }
    /// Whether the group has replayed all that was there at the start. Of our partitions the client knows where nothing
    /// is left to be read; the brokers are asked, now and then, about those of other members.
    bool nothing_left(const Ends::Partitions& partitions) {
        const auto now = Clock::now();
        if (const auto answer = inquiry_.take()) {
            for (const auto& [topic, partition, offset] : answer->committed) ends_.committed(topic, partition, offset);
            for (const auto& end : answer->empty) ends_.nothing_from(end.topic, end.partition, end.begin);
        }
        const auto standings = driver_.standings();
        for (const auto& end : ends_.left(partitions)) {
            const auto* const standing = find(standings, end.topic, end.partition);
            const auto* const p = find(partitions, end.topic, end.partition);
            if (standing != nullptr && p != nullptr && !p->paused && standing->reached >= end.end)
                ends_.nothing_from(end.topic, end.partition, p->next.value_or(end.begin));
        }
        auto left = ends_.left(partitions);
        if (left != left_) {
            left_ = left;
            look_at_ = now + (look_after_ = stalled_after);
        }
        std::erase_if(left, [&](const auto& end) { return find(standings, end.topic, end.partition) != nullptr; });
        const bool stalled = now >= look_at_;
        if (!left.empty() && (stalled || (ends_.taken(partitions) && now >= ask_at_))) {
            inquiry_.ask(options_, brokers_, std::move(left), stalled);
            if (stalled) look_at_ = now + (look_after_ = std::min(2 * look_after_, look_at_least_every));
            ask_at_ = now + ask_group_every;
        }
        return left_.empty();
    }
    /// Where each partition stands, on request.
    void tell_standing() {
        const auto& source = driver_.source();
        const auto stats = indexer_.stats();
        const auto number = [](const auto& value) { return value ? std::to_string(*value) : std::string{"-"}; };
        const auto standings = driver_.standings();
        for (const auto& p : source.partitions()) {
            const auto* const found = find(standings, p.topic, p.partition);
            const auto standing = found == nullptr ? bulkhead::kafka::PartitionStanding{} : *found;
            progress_.answer(p.topic + "-" + std::to_string(p.partition) + ": next " + number(p.next) + ", watermark " +
                             number(p.watermark) + ", stored " + number(p.stored) + ", end " + number(standing.end) +
                             ", lag " + number(standing.lag) + ", span " + std::to_string(p.span) +
                             (p.paused ? ", paused: " + describe(p.why) : "") +
                             (standing.stalled ? ", stands still" : ""));
        }
        progress_.answer("buffer: " + grouped(stats.buffered_bytes) + " of " +
                         grouped(indexer_.options().max_buffered_bytes) + " bytes, " + grouped(stats.pending) +
                         " documents, " + std::to_string(stats.in_flight) + " requests in flight, health " +
                         std::string{to_string(stats.health)} +
                         (stats.health_detail.empty() ? "" : ": " + stats.health_detail));
    }
    void show() {
        if (!progress_.due()) return;
        const auto stats = indexer_.stats();
        const auto source = driver_.source().stats();
        tell_events(stats);
        Standing standing;
        standing.consumed = source.consumed;
        standing.indexed = stats.indexed + stats.superseded;
        standing.lag = static_cast<std::uint64_t>(lag());
        standing.buffered_bytes = stats.buffered_bytes;
        standing.budget_bytes = indexer_.options().max_buffered_bytes;
        standing.in_flight = stats.in_flight;
        standing.failures = stats.rejected + stats.undelivered + stats.unknown + source.invalid;
        progress_.show(standing);
    }

    /// What is wrong with the search server, at most once a second. What becomes of single operations, the source says
    /// record by record.
    void tell_events(const bulkhead::Stats& stats) {
        using Event = bulkhead::IndexerEvent;
        if (Clock::now() < tell_at_) return;
        bulkhead::events_between(told_, stats, [this](const Event& event) {
            if (event.kind != Event::Kind::health && event.kind != Event::Kind::requests_failed) return;
            const auto text = "search server: " + to_text(event);
            if (event.severity() == Event::Severity::info) return progress_.info(text + " again");
            progress_.warn(text);
        });
        told_ = stats;
        tell_at_ = Clock::now() + std::chrono::seconds{1};
    }

    const Options& options_;
    Background& background_;
    Progress& progress_;
    Indexer& indexer_;
    Driver& driver_;
    Ends& ends_;
    Pulse& pulse_;
    std::string brokers_;
    Clock::duration paused_{};
    Clock::time_point noted_at_{};
    bool paused_before_ = false;
    std::vector<PartitionEnd> left_{};
    std::string gave_up_{};
    Clock::time_point ask_at_{};
    Clock::time_point look_at_{};
    milliseconds look_after_ = stalled_after;
    bulkhead::Stats told_{};
    Clock::time_point tell_at_{};
    Inquiry inquiry_{};
};

Monitored monitored(const Indexer& indexer, const Driver& driver, const Pulse& pulse) {
    auto collector = std::make_shared<bulkhead::PrometheusCollector>();
    collector->add([&] { return indexer.stats(); });
    collector->add([&] { return driver.stats(); });
    return {.metrics = [collector] { return ::prometheus::TextSerializer{}.Serialize(collector->Collect()); },
            .alive = [&] { return alive(pulse.age(), pulse.draining()); },
            .ready = [&] { return ready(indexer.stats(), driver.stats(), pulse.draining()); }};
}

/// Records that the indexer has never been given: the one that does not fit, and those that did not fit when their
/// partition was given back.
std::uint64_t never_enqueued(const bulkhead::SourceStats& source) {
    return source.consumed - source.skipped - source.invalid - source.too_large - source.enqueued;
}

Summary summarize(const Options& options, const bulkhead::SourceStats& source, const bulkhead::Stats& indexer,
                  const Latencies& latencies, std::uint64_t given_back) {
    Summary s;
    s.given_back = given_back;
    s.consumed = source.consumed;
    s.indexed = source.of(Outcome::indexed);
    s.skipped = source.skipped;
    s.invalid = source.invalid;
    s.rejected = source.of(Outcome::rejected) + source.too_large;
    s.dead_lettered = source.of(Outcome::dead_lettered);
    s.duplicates = source.of(Outcome::superseded);
    s.refused = indexer.refused_closed;
    std::uint64_t settled = 0;
    for (const auto count : source.outcomes) settled += count;
    s.pending = never_enqueued(source) - s.refused - given_back + (source.operations - settled) +
                source.of(Outcome::undelivered) + source.of(Outcome::unknown);
    s.requests = indexer.requests;
    s.failed_requests = indexer.failed_requests;
    s.peak_buffered_bytes = indexer.peak_buffered_bytes;
    s.set_enqueue(latencies);
    s.invalid_kept = options.on_invalid == bulkhead::OnInvalid::dead_letter;
    s.delivery = options.delivery == bulkhead::Delivery::at_least_once ? "at_least_once" : "best_effort";
    return s;
}

void print(const Options& options, const Summary& summary, Progress& progress) {
    std::string text = options.format == Format::json ? to_json(summary) + '\n' : to_text(summary);
    if (options.demonstration()) {
        const auto comparison = compare_with_source_system(summary);
        if (options.format == Format::json) {
            progress.info(comparison);
        } else {
            text += comparison + '\n';
        }
    }
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
    const int why = errno;
    progress.error(to_json(summary)); // so that it is not lost
    throw Failure{std::string{"the summary cannot be written to standard output: "} + std::strerror(why)};
}

int run_dry(const Options& options, const std::string& brokers, Progress& progress,
            const std::function<bool()>& interrupted) {
    std::vector<std::string> topics{options.topic};
    if (!options.span_topic.empty()) topics.push_back(options.span_topic);
    auto ends = probe_topics(brokers, options.group, topics, options.kafka, probe_timeout);
    start_at(brokers, options.group, ends, options.from, options.kafka, probe_timeout);
    const auto found = dry_run(
        options, brokers, ends, [&](const std::string& text) { progress.trouble(Trouble::invalid, text); },
        interrupted);
    progress.finish();
    std::printf("%s\n", found.to_json().c_str());
    const bool printed = std::fflush(stdout) == 0;
    if (!options.report.empty()) write_file(options.report, found.to_json() + '\n');
    return printed ? exit_ok : exit_fault;
}

int replay(const Options& options, Report& report_of_run) {
    Progress progress{options.quiet};
    for (const auto& remark : options.remarks) progress.warn(remark);
    Background background;
    const auto interrupted = [&] { return background.interrupted(); };
    if (options.dry_run && !options.embedded_broker()) return run_dry(options, options.brokers, progress, interrupted);

    std::optional<MonitorPort> port;
    if (!options.metrics.empty()) port.emplace(options.metrics);

    // The search server.
    std::optional<EmbeddedServer> own_server;
    if (options.embedded_server()) own_server.emplace(options.server_port);
    auto searching = options;
    if (own_server) searching.url = own_server->url();
    searching.tls.on_files_changed = [&progress](const std::string& problem) { tell_files(progress, problem); };
    const SearchTransport transport{background.executor(), searching};
    ServerApi server{background.executor(), transport, probe_timeout};
    const auto version = server.check(data_streams(options), [&](const std::string& text) { progress.warn(text); });
    bulkhead::DeadLetters dead_letters;
    std::optional<bulkhead::KafkaDeadLetters> places;
    std::optional<FileLetters> records_to_file;
    if (!options.dead_letter_file.empty()) {
        try {
            const bulkhead::FileSink file{{.path = options.dead_letter_file}};
            dead_letters = places.emplace().sink(background.executor(), file);
            records_to_file.emplace(background.executor(), file);
        } catch (const bulkhead::InvalidOption& wrong) { // of the machine, not of the command
            throw Failure{"--dead-letter-file: " + wrong.error().value};
        }
    }
    if (!options.dead_letter_topic.empty()) dead_letters = places.emplace().sink(background.executor());
    Indexer indexer{background.executor(), transport, options.indexer, std::move(dead_letters)};
    if (options.install_template || own_server) install_templates(server, options);
    Expected expected;
    expected.count_before = count_documents(server, options);
    expected.server_is_ours = own_server.has_value();
    std::string nodes;
    for (std::uint32_t node = 0; node < transport.node_count(); ++node)
        nodes += (node == 0 ? "" : ", ") + transport.node_url(node);
    progress.info("search server: " + nodes + " (" + (own_server ? "embedded" : version) + ")");
    if (own_server && !options.embedded_broker())
        progress.warn("the search server is embedded: what is consumed and committed vanishes with this process");

    // The broker.
    std::optional<EmbeddedBroker> own_broker;
    if (options.embedded_broker()) {
        own_broker.emplace();
        if (!own_server) progress.warn("the broker is embedded: the server is sent what was made or read for it");
        progress.info("embedded Kafka broker: filling " + options.topic +
                      (options.input.empty() ? " with " + grouped(options.messages) + " generated events"
                                             : " from " + options.input));
        const auto produced = own_broker->fill(options, interrupted);
        progress.info("all " + grouped(produced.records) + " records (" + grouped(produced.bytes >> 20U) +
                      " MiB) are readable in " + std::to_string(produced.partitions) + " partitions");
        if (options.ids == Ids::record) expected.produced = produced;
    }
    const auto brokers = own_broker ? own_broker->brokers() : options.brokers;
    std::vector<std::string> topics{options.topic};
    if (!options.span_topic.empty()) topics.push_back(options.span_topic);
    auto found = probe_topics(brokers, options.group, topics, options.kafka, probe_timeout);
    start_at(brokers, options.group, found, options.from, options.kafka, probe_timeout);
    if (options.from.kind != Start::Kind::stored)
        move_group(brokers, options.group, found, options.kafka, probe_timeout);
    Ends ends{found};
    report_of_run.topics = std::move(found);
    std::optional<ErrorLogForwarder> forwarder;
    if (!options.error_topic.empty()) forwarder.emplace(brokers, options.error_topic, options.kafka);

    // From the one to the other.
    TimedIndexer<Indexer> timed{indexer};
    bulkhead::kafka::DriverOptions driver_options;
    driver_options.brokers = brokers;
    driver_options.group = options.group;
    driver_options.topics = topics;
    driver_options.config = options.kafka;
    driver_options.dead_letter_topic = options.dead_letter_topic;
    driver_options.stall_after = options.stall_after;
    if (records_to_file)
        driver_options.write_letter = [&](const bulkhead::KafkaLetter& letter, bulkhead::LetterReceipt receipt) {
            records_to_file->write(letter, std::move(receipt));
        };
    driver_options.max_records_per_second = options.rate;
    driver_options.on_event = [&](const bulkhead::kafka::ClientEvent& event) { tell(progress, event); };
    bulkhead::KafkaSourceOptions source_options;
    source_options.delivery = options.delivery;
    source_options.on_rejected = options.on_rejected;
    source_options.on_invalid = options.on_invalid;
    source_options.on_tombstone = options.on_tombstone;
    source_options.on_unknown = options.on_unknown;
    source_options.keep_records = options.keep_records;
    source_options.dead_letters = places;
    source_options.on_event = [&](const SourceEvent& event) { tell(progress, event, options.show_reasons); };
    Driver driver{timed, RecordMapper{options, forwarder ? &*forwarder : nullptr}, driver_options, source_options};

    progress.info("joining consumer group " + options.group + " at " + brokers +
                  (own_broker ? " (embedded; its first join takes 3 s)" : ""));
    Pulse pulse;
    std::optional<MonitorServer> monitor;
    if (port) {
        monitor.emplace(*port, monitored(indexer, driver, pulse));
        progress.info("metrics and a page to look at: " + port->url());
    }
    Consumption consumption{options, background, progress, indexer, driver, ends, pulse, brokers};
    const bool at_end = consumption.run();

    pulse.drain();
    const bool was_interrupted = background.interrupted();
    if (was_interrupted)
        progress.warn("interrupted: draining, at most " + std::to_string(options.drain_timeout.count()) + " s");
    report_of_run.partitions = driver.source().partitions();
    const auto lag = consumption.lag();
    const auto stop_reason = driver.source().stop_reason();
    const auto fatal_error = rd_kafka_fatal_error(driver.handle(), nullptr, 0); // none: the producer's, and it was said
    const std::string fatal = fatal_error != RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_err2str(fatal_error) : "";
    const auto before_close = driver.source().stats();
    const auto given_back = never_enqueued(before_close) - before_close.stashed;
    auto settled_at = Clock::now();
    const auto report = driver.close(options.drain_timeout);
    if (!report.drained || was_interrupted) settled_at = Clock::now();
    std::promise<bulkhead::CloseReport> closed;
    indexer.async_close(milliseconds{report.drained ? 1000 : 0},
                        [&](bulkhead::error_code, bulkhead::CloseReport close) { closed.set_value(std::move(close)); });
    const auto close = closed.get_future().get();

    // What it came to.
    auto summary = summarize(options, report.stats.source, close.stats, timed.latencies(), given_back);
    summary.lag = lag;
    if (timed.first() != Clock::time_point{})
        summary.seconds = std::chrono::duration<double>{settled_at - timed.first()}.count();
    std::string count_failure;
    try {
        for (const auto& name : data_streams(options)) server.refresh(name);
        summary.server_count = count_documents(server, options);
    } catch (const Failure& failure) {
        count_failure = failure.what();
    }
    if (forwarder) {
        forwarder->finish(milliseconds{2000});
        const auto counts = forwarder->counts();
        progress.info("errors forwarded to " + options.error_topic + ": " + grouped(counts.delivered) +
                      " acknowledged, " + grouped(counts.forwarded - counts.delivered) + " not, " +
                      grouped(counts.dropped) + " dropped");
    }
    progress.finish();
    if (!count_failure.empty()) progress.warn(count_failure);
    if (summary.invalid != 0 && options.on_invalid == bulkhead::OnInvalid::skip)
        progress.warn(grouped(summary.invalid) + " records were no events and are passed over: --on-invalid");
    for (const auto& failure : close.stats.failures)
        progress.warn(
            grouped(failure.count) + " times " + failure.type + " (status " + std::to_string(failure.status) + ")" +
            (failure.reason.empty() || !options.show_reasons ? "" : ", e.g. " + bulkhead::printable(failure.reason)));
    if (was_interrupted)
        progress.warn(report.drained ? "interrupted: everything under way is settled, and its offsets are " +
                                           std::string{report.committed ? "committed" : "not committed"}
                                     : "interrupted: the drain timeout passed with work under way");

    if (was_interrupted || stop_reason != bulkhead::StopReason::none) expected.produced.reset(); // not all was read
    expected.whole_topic = options.exit_at_end && !was_interrupted && !at_end; // at the end, what is left is newer
    auto fault = find_fault(summary, expected);
    if (stop_reason != bulkhead::StopReason::none)
        fault = "stopped (" + std::string{to_string(stop_reason)} + ")" + (fault.empty() ? "" : "; " + fault);
    if (!consumption.gave_up().empty()) fault = "Kafka: " + consumption.gave_up() + (fault.empty() ? "" : "; " + fault);
    if (driver.fatal())
        fault = "Kafka client: fatal error" + (fatal.empty() ? "" : ": " + fatal) + (fault.empty() ? "" : "; " + fault);
    for (const auto& lost : report.stats.lost)
        progress.warn(lost.topic + "-" + std::to_string(lost.partition) + ": " + grouped(lost.records) +
                      " records were gone before they were read");
    if (fault.empty()) {
        progress.info("everything consumed is accounted for");
    } else {
        progress.error(fault);
    }
    auto status = exit_ok;
    if (driver.fatal()) {
        status = exit_fault;
    } else if (stop_reason != bulkhead::StopReason::none) {
        status = exit_policy;
    } else if (!consumption.gave_up().empty()) {
        status = exit_stalled;
    } else if (!fault.empty()) {
        status = exit_fault;
    } else if (report.stats.lost_records > 0) {
        status = exit_lost;
    }
    if (!options.report.empty()) {
        auto& r = report_of_run;
        r.summary = summary;
        r.failures = close.stats.failures;
        if (!options.show_reasons)
            for (auto& failure : r.failures) failure.reason.clear();
        r.dead_letters = report.stats.source.dead_letters;
        r.lost = report.stats.lost;
        r.rebalances = report.stats.rebalances;
        r.full = report.stats.source.full;
        r.longest_poll_gap_ms = report.stats.max_poll_gap.count();
        r.peak_rss_bytes = peak_rss_bytes();
        r.stop_reason = to_string(stop_reason);
        r.committed = committed_offsets(brokers, options.group, report_of_run.topics, options.kafka, probe_timeout);
        r.seconds_paused = std::chrono::duration<double>{consumption.paused()}.count();
        r.fault = fault;
        r.interrupted = was_interrupted;
        r.exit_status = status;
    }
    print(options, summary, progress); // first: a report may be impossible to write
    if (!options.report.empty()) write_file(options.report, to_json(report_of_run));
    return status;
}

} // namespace

int run_replay(const Options& options) {
    Report report;
    const auto failed = [&](const std::string& what, int status) {
        if (options.report.empty()) return;
        report.fault = what;
        report.exit_status = status;
        try {
            write_file(options.report, to_json(report));
        } catch (const Failure& also) {
            if (also.what() != what) std::fprintf(stderr, "%s\n", also.what());
        }
    };
    if (!options.report.empty()) check_writable(options.report); // not after a day's work
    try {
        return replay(options, report);
    } catch (const Failure& failure) {
        failed(failure.what(), failure.status());
        throw;
    } catch (const UsageError& wrong) {
        failed(wrong.what(), exit_usage);
        throw;
    } catch (const bulkhead::InvalidOption& wrong) {
        failed(wrong.what(), exit_usage);
        throw;
    } catch (const std::exception& other) {
        failed(other.what(), exit_fault);
        throw;
    }
}

} // namespace replay
