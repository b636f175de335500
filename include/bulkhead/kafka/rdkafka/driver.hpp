// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/rdkafka/detail/commit_result.hpp>
#include <bulkhead/kafka/rdkafka/detail/exact_commits.hpp>
#include <bulkhead/kafka/rdkafka/detail/letter_producer.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/progress_book.hpp>
#include <bulkhead/kafka/rdkafka/detail/token_bucket.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>
#include <bulkhead/kafka/source.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

/// The ready driver of `KafkaSource` over librdkafka's C API, 2.0.2 and newer. A CMake target of its own:
/// `bulkhead::rdkafka`.
namespace bulkhead::inline v1::kafka {

/// Something that the client reports. Views are valid only while `on_event` runs.
struct ClientEvent {
    /// What happened.
    enum class Kind : std::uint8_t {
        log,      ///< a line of librdkafka's log; `level` is syslog's, 3 and below are errors
        error,    ///< librdkafka goes on and recovers by itself: a broker is down, a topic is unknown, …
        fatal,    ///< it does not: the driver stops
        assigned, ///< the group gave us `partitions` partitions
        revoked,  ///< it took them back
        lost,     ///< they are gone without notice; what was not committed will be delivered again
        /// Stored offsets were not committed this time; they stay stored and go with the next commit. `level` 4: the
        /// coordinator, or the way to it; 3: refused, e.g. for want of a permission.
        commit_failed,
        /// A partition stands still although there is something to read, or may be, for `DriverOptions::stall_after`;
        /// or an error of a partition, a topic or the group lasts as long. `level` 3. Repeated every `stall_after`
        /// until `trouble_over`.
        trouble,
        /// The trouble of this `topic` and `partition` is over, or the partition is given back: `text` states which.
        trouble_over,
        /// Records of a partition were gone from the log before they were read: retention took them, or a reset to the
        /// end of the log passed them. `level` 3; `text` has their number.
        records_lost,
    };
    /// What happened.
    Kind kind{};
    /// Syslog's, for `log` and whatever is a failure: 3 and below are errors.
    int level = 6;
    /// librdkafka's, where there is one.
    error_code error{};
    /// For people.
    std::string_view text{};
    /// How many partitions, for `assigned`, `revoked` and `lost`.
    std::size_t partitions = 0;
    /// Of `error`, `trouble`, `trouble_over` and `records_lost`, where they are about one; empty otherwise.
    std::string_view topic{};
    /// The same; below 0 when they are about the topic, or the group.
    std::int32_t partition = -1;
};

/// The options of a `Driver`.
struct DriverOptions {
    /// `bootstrap.servers`: `host:port`, with commas between several. Not empty. When to change: always but on your own
    /// machine.
    std::string brokers = "127.0.0.1:9092";
    /// `group.id`. Required. When to change: always.
    std::string group{};
    /// The topics to read, at least one. A name that begins with `^` is a regular expression. Required. When to change:
    /// always.
    std::vector<std::string> topics{};
    /// Further properties of librdkafka's, e.g. `{"security.protocol", "ssl"}`. Refused, because the source depends on
    /// them: `enable.auto.offset.store` and `enable.auto.commit` with another value than the driver's (`false`,
    /// `true`), and what has a field of its own here. `statistics.interval.ms` is 1,000, or a third of `stall_after`
    /// where that is less, and may be less. When to change: for TLS and SASL of
    /// the brokers, `group.instance.id`, `auto.offset.reset`, ….
    std::vector<std::pair<std::string, std::string>> config{};
    /// Where dead letters go, see `KafkaSourceOptions`' policies and `KafkaDeadLetters`; empty: nowhere. What the
    /// messages look like: `kafka/rdkafka/detail/letter_producer.hpp`. The topic must exist, or be made by the brokers,
    /// and must not be read: the driver ends with a fatal error when a regular expression of `topics` matches it. When
    /// to change: when a policy says `dead_letter`, or refused documents are to go to Kafka.
    std::string dead_letter_topic{};
    /// Further properties of the producer of dead letters, which has those of `config` already; also
    /// `bootstrap.servers`, where the topic is in another cluster. When to change: when that topic is in another
    /// cluster or has its own credentials. Refused, in `config` too: `delivery.report.only.error`, and `acks` 0 or 1,
    /// with which nobody would know that a letter is safe.
    std::vector<std::pair<std::string, std::string>> dead_letter_config{};
    /// Takes dead letters where there is no `dead_letter_topic`: called on the driver's thread with each letter, whose
    /// views it must copy. It calls the receipt once, on any thread, when the letter is safe or cannot be made safe. It
    /// must not block; an exception counts as a letter that is not safe. When to change: when invalid records go to a
    /// file or to a store of your own.
    std::function<void(const KafkaLetter&, LetterReceipt)> write_letter{};
    /// How often stored offsets are committed in the background. 10 ms to 1 h. When to change: raise it to spare the
    /// brokers, lower it to read less again after a crash.
    std::chrono::milliseconds commit_interval{1000};
    /// How long a rebalance may wait for records under way to settle before their partitions are given up. 0 ms to 12
    /// h, and at most half of `max.poll.interval.ms`, which is 5 min by default. 0 ms: not at all. When to change:
    /// lower it when rebalances must be quick; what is given up is read again by its new owner.
    std::chrono::milliseconds revoke_drain{10'000};
    /// How long the final commit of a revoke or a close may take. 1 ms to 1 min. When to change: raise it when the
    /// brokers are far away.
    std::chrono::milliseconds commit_timeout{5'000};
    /// Memory for records that the client has fetched ahead. 1 KiB to 2,097,151 KiB. When to change: raise it when the
    /// brokers are far away, lower it to save memory.
    std::size_t prefetch_bytes = std::size_t{16} << 20;
    /// How long a partition may stand still although there is something to read, or may be, and an error of a
    /// partition, a topic or the group may last, before `ClientEvent::Kind::trouble` reports it. 100 ms to 24 h. When
    /// to change: raise it when the brokers often need longer, e.g. to elect a leader.
    std::chrono::milliseconds stall_after{30'000};
    /// So many records a second are taken at most, in bursts of a tenth of it; the rest waits in the brokers. The
    /// client is polled at least once a second all the same. 0: no limit. When to change: to replay beside production
    /// without taking all of the server.
    std::uint32_t max_records_per_second = 0;
    /// Called on the driver's thread, but for log lines while it does not poll. Exceptions are swallowed. Without it,
    /// librdkafka logs to standard error, and everything else is only counted. When to change: always in production: to
    /// log errors, troubles that last, lost records, rebalances and failed commits.
    std::function<void(const ClientEvent&)> on_event{};
};

/// The first option that is out of its range, if any.
[[nodiscard]] inline std::optional<FieldError> validate(const DriverOptions& o) {
    using namespace std::chrono_literals;
    using bulkhead::detail::out_of_range;
    if (o.brokers.empty()) return FieldError{"brokers", "host:port, …", "nothing"};
    if (o.group.empty()) return FieldError{"group", "the name of a consumer group", "nothing"};
    if (o.topics.empty()) return FieldError{"topics", "at least one topic", "none"};
    for (const auto& topic : o.topics)
        if (topic.empty()) return FieldError{"topics", "names of topics", "an empty name"};
    for (const auto& topic : o.topics)
        if (topic == o.dead_letter_topic)
            return FieldError{"dead_letter_topic", "a topic that is not read itself", o.dead_letter_topic};
    if (o.write_letter && !o.dead_letter_topic.empty())
        return FieldError{"write_letter", "nothing where there is a dead_letter_topic", "a function"};
    if (auto e = out_of_range("commit_interval", o.commit_interval, 10ms, 1h)) return e;
    if (auto e = out_of_range("revoke_drain", o.revoke_drain, 0ms, 12h)) return e;
    if (auto e = out_of_range("commit_timeout", o.commit_timeout, 1ms, 1min)) return e;
    if (auto e = out_of_range("stall_after", o.stall_after, 100ms, 24h)) return e;
    return out_of_range<std::size_t>("prefetch_bytes", o.prefetch_bytes, 1024, std::size_t{2'097'151} * 1024);
}

/// What `close` reports: the final counters. `drained`: everything handed over was settled by the deadline.
/// `committed`: what was stored is committed, as far as the broker said so in time.
struct DriverReport {
    /// The final counters.
    DriverStats stats;
    /// Everything handed over was settled by the deadline.
    bool drained = false;
    /// What was stored is committed, as far as the broker said so in time.
    bool committed = false;
};

namespace detail {

/// A property that is the driver's business: a value of the user's that differs is refused.
[[nodiscard]] inline std::optional<FieldError> conflict(const std::string& key, const std::string& value) {
    constexpr std::pair<std::string_view, std::string_view> fixed[] = {
        {"enable.auto.offset.store", "false"}, {"enable.auto.commit", "true"}, {"auto.commit.enable", "true"}};
    for (const auto& [name, only] : fixed)
        if (key == name && value != only)
            return FieldError{key, std::string{only} + " (KafkaSource decides which offsets are stored)", value};
    constexpr std::pair<std::string_view, std::string_view> fields[] = {
        {"bootstrap.servers", "brokers"},
        {"metadata.broker.list", "brokers"},
        {"group.id", "group"},
        {"auto.commit.interval.ms", "commit_interval"},
        {"queued.max.messages.kbytes", "prefetch_bytes"},
        {"log.queue", "on_event"}};
    for (const auto& [name, field] : fields)
        if (key == name) return FieldError{key, "DriverOptions::" + std::string{field} + " instead", value};
    return std::nullopt;
}

/// A property of the configuration as a number; nothing when it is none.
[[nodiscard]] inline std::optional<std::int64_t> number_of(const rd_kafka_conf_t& conf, const char* key) {
    std::array<char, 64> text{};
    auto size = text.size();
    if (rd_kafka_conf_get(&conf, key, text.data(), &size) != RD_KAFKA_CONF_OK) return std::nullopt;
    std::int64_t number = 0;
    const std::string_view digits{text.data()};
    const auto [rest, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return wrong == std::errc{} ? std::optional{number} : std::nullopt;
}
/// Whether the client goes to the end of the log when its offset is gone.
[[nodiscard]] inline bool resets_to_end(const DriverOptions& options) {
    bool to_end = false; // the driver's own default is `earliest`
    for (const auto& [key, value] : options.config)
        if (key == "auto.offset.reset" || key == "topic.auto.offset.reset")
            to_end = value == "latest" || value == "largest" || value == "end";
    return to_end;
}

/// The client's configuration; throws `InvalidOption`.
[[nodiscard]] inline ConfPtr make_conf(const DriverOptions& options) {
    if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
    ConfPtr conf{rd_kafka_conf_new()};
    set(*conf, "auto.offset.reset", "earliest"); // librdkafka's own default would skip a backlog silently
    constexpr std::chrono::milliseconds seldom{1000};
    set(*conf, "statistics.interval.ms", std::to_string(std::min(seldom, options.stall_after / 3).count()));
    for (const auto& [key, value] : options.config) {
        if (auto wrong = conflict(key, value)) throw InvalidOption{std::move(*wrong)};
        set(*conf, key, value);
    }
    set(*conf, "bootstrap.servers", options.brokers);
    set(*conf, "group.id", options.group);
    set(*conf, "enable.auto.offset.store", "false");
    set(*conf, "enable.auto.commit", "true");
    set(*conf, "auto.commit.interval.ms", std::to_string(options.commit_interval.count()));
    set(*conf, "queued.max.messages.kbytes", std::to_string(options.prefetch_bytes / 1024));
    if (options.on_event) set(*conf, "log.queue", "true");
    const auto max_poll = number_of(*conf, "max.poll.interval.ms");
    if (max_poll && options.revoke_drain > std::chrono::milliseconds{*max_poll} / 2)
        throw InvalidOption{{"revoke_drain", "at most half of max.poll.interval.ms, " + std::to_string(*max_poll),
                             std::to_string(options.revoke_drain.count()) + " ms"}};
    const std::chrono::milliseconds statistics{number_of(*conf, "statistics.interval.ms").value_or(0)};
    const auto most = options.stall_after / 3;
    if (statistics.count() == 0 || statistics > most)
        throw InvalidOption{{"statistics.interval.ms", "1 to a third of stall_after, " + std::to_string(most.count()),
                             std::to_string(statistics.count())}};
    return conf;
}

/// The consumer handle: what `KafkaSource` asks of a client, and what the driver does with it. It calls its listener on
/// the thread that polls it.
class Client {
public:
    class Listener {
    public:
        virtual void on_assigned(const rd_kafka_topic_partition_list_t& list) = 0;
        virtual void on_revoked(const rd_kafka_topic_partition_list_t& list) = 0;
        virtual void on_lost(const rd_kafka_topic_partition_list_t& list) = 0;
        virtual void on_notice(const ClientEvent& event) noexcept = 0;
        virtual void on_commit(const CommitResult& result) noexcept = 0;
        /// An error that came instead of a record.
        virtual void on_error_message(const ClientEvent& event) noexcept = 0;
        virtual void on_statistics(std::string_view json) noexcept = 0;
        /// What the group had committed when it assigned this partition; below 0: nothing.
        virtual void on_committed(std::uint64_t generation, const rd_kafka_topic_partition_t& partition) noexcept = 0;

    protected:
        Listener() = default;
        Listener(const Listener&) = default;
        Listener& operator=(const Listener&) = default;
        ~Listener() = default;
    };

    /// Throws `InvalidOption`, or `std::runtime_error` when the client cannot be started.
    Client(const DriverOptions& options, Listener& listener)
        : back_{std::make_unique<Back>()}, write_letter_{options.write_letter} {
        back_->listener = &listener;
        auto conf = make_conf(options);
        if (!options.dead_letter_topic.empty())
            letters_ = std::make_unique<LetterProducer>(options.brokers, options.dead_letter_topic,
                                                        std::array{&options.config, &options.dead_letter_config},
                                                        bool{options.on_event});
        rd_kafka_conf_set_opaque(conf.get(), back_.get());
        rd_kafka_conf_set_rebalance_cb(conf.get(), &Client::rebalance);
        rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t* rk, int code, const char* reason, void* back) {
            const bool fatal = code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_fatal_error(rk, nullptr, 0) != 0;
            notice(back, {.kind = fatal ? ClientEvent::Kind::fatal : ClientEvent::Kind::error,
                          .level = fatal ? 2 : 3,
                          .error = make_error(static_cast<rd_kafka_resp_err_t>(code)),
                          .text = reason});
        });
        rd_kafka_conf_set_offset_commit_cb(conf.get(), [](rd_kafka_t*, rd_kafka_resp_err_t error,
                                                          rd_kafka_topic_partition_list_t* offsets, void* back) {
            static_cast<Back*>(back)->answered(error, offsets);
            if (auto* const told = static_cast<Back*>(back)->listener.load())
                told->on_commit(judge_commit(error, offsets));
        });
        rd_kafka_conf_set_stats_cb(conf.get(), [](rd_kafka_t*, char* json, std::size_t size, void* back) {
            if (auto* const told = static_cast<Back*>(back)->listener.load()) told->on_statistics({json, size});
            return 0; // librdkafka frees the text
        });
        if (options.on_event) {
            rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t* rk, int level, const char*, const char* text) {
                notice(rd_kafka_opaque(rk), {.kind = ClientEvent::Kind::log, .level = level, .text = text});
            });
        }
        std::array<char, 512> error{};
        rk_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), error.data(), error.size());
        if (rk_ == nullptr)
            throw InvalidOption{{"DriverOptions", "a configuration that librdkafka takes", error.data()}};
        static_cast<void>(conf.release()); // the client owns it now
        if (options.on_event) rd_kafka_set_log_queue(rk_, nullptr);
        rd_kafka_poll_set_consumer(rk_);
        answers_.reset(rd_kafka_queue_new(rk_));
        group_ = options.group;

        const ListPtr topics{rd_kafka_topic_partition_list_new(static_cast<int>(options.topics.size()))};
        for (const auto& topic : options.topics)
            rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
        if (const auto failed = rd_kafka_subscribe(rk_, topics.get())) {
            destroy(false);
            throw InvalidOption{{"topics", "names of topics", rd_kafka_err2str(failed)}};
        }
    }
    ~Client() { destroy(false); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // ---- The Consumer concept ----

    error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        const auto list = list_of(topic, partition);
        list->elems[0].offset = next;
        const auto failed = rd_kafka_offsets_store(rk_, list.get());
        const auto error = make_error(failed != RD_KAFKA_RESP_ERR_NO_ERROR ? failed : list->elems[0].err);
        if (!error) back_->exact.stored(topic, partition, next);
        return error;
    }
    /// Stored first: else librdkafka would commit what it had stored before, which is higher.
    error_code set_offset(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        if (const auto error = store_offset(topic, partition, next)) return error;
        try {
            back_->exact.want(topic, partition, next);
        } catch (const std::bad_alloc&) {
            return std::make_error_code(std::errc::not_enough_memory);
        }
        return {};
    }
    error_code pause(std::string_view topic, std::int32_t partition) noexcept {
        const auto list = list_of(topic, partition);
        const auto failed = rd_kafka_pause_partitions(rk_, list.get());
        return make_error(failed != RD_KAFKA_RESP_ERR_NO_ERROR ? failed : list->elems[0].err);
    }
    error_code resume(std::string_view topic, std::int32_t partition) noexcept {
        const auto list = list_of(topic, partition);
        const auto failed = rd_kafka_resume_partitions(rk_, list.get());
        return make_error(failed != RD_KAFKA_RESP_ERR_NO_ERROR ? failed : list->elems[0].err);
    }

    // ---- LetterWriter ----

    [[nodiscard]] bool writes_letters() const noexcept { return letters_ != nullptr || write_letter_; }
    void write_letter(const KafkaLetter& letter, LetterReceipt receipt) noexcept {
        if (letters_) return letters_->write(letter, std::move(receipt));
        try {
            write_letter_(letter, std::move(receipt));
        } catch (...) { // the receipt is gone with it, and says that the letter is not safe
        }
    }

    // ---- For the driver ----

    /// Tells the listener what the producer of dead letters has reported.
    void tell_letter_trouble() {
        if (!letters_) return;
        if (const auto trouble = letters_->take_trouble())
            notice(back_.get(), {.kind = trouble->fatal ? ClientEvent::Kind::fatal : ClientEvent::Kind::error,
                                 .level = trouble->fatal ? 2 : 3,
                                 .error = trouble->error,
                                 .text = trouble->text});
    }
    /// The next record, or nothing. Serves callbacks; errors go to the listener.
    [[nodiscard]] MessagePtr poll(std::chrono::milliseconds timeout) noexcept {
        if (!back_->exact.empty()) send_exact();
        MessagePtr message{
            rd_kafka_consumer_poll(rk_, static_cast<int>(std::clamp<std::int64_t>(timeout.count(), 0, 60'000)))};
        if (!message || message->err == RD_KAFKA_RESP_ERR_NO_ERROR) return message;
        if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            const auto* const text = rd_kafka_message_errstr(message.get());
            // A consumer's fatal error comes as a message, not by the callback.
            const bool fatal = rd_kafka_fatal_error(rk_, nullptr, 0) != 0;
            const ClientEvent event{.kind = fatal ? ClientEvent::Kind::fatal : ClientEvent::Kind::error,
                                    .level = fatal ? 2 : 3,
                                    .error = make_error(message->err),
                                    .text = text == nullptr ? "" : text,
                                    .topic = message->rkt == nullptr ? "" : rd_kafka_topic_name(message->rkt),
                                    .partition = message->rkt == nullptr ? -1 : message->partition};
            notice(back_.get(), event);
            if (auto* const told = back_->listener.load()) told->on_error_message(event);
        }
        return nullptr;
    }
    /// Commits what is stored and waits for the broker's word, at most so long; again while the trouble may pass. True
    /// when all of it is committed, or when there was nothing to commit.
    bool commit_stored(std::chrono::milliseconds timeout) noexcept {
        using namespace std::chrono_literals;
        const auto deadline =
            bulkhead::detail::saturating_add<std::chrono::steady_clock>(std::chrono::steady_clock::now(), timeout);
        for (;;) {
            auto result = commit_once(deadline, nullptr);
            if (const auto list = exact_list()) {
                const auto exact = commit_once(deadline, list.get());
                if (exact.fate > result.fate) result = exact;
            }
            if (auto* const told = back_->listener.load()) told->on_commit(result);
            if (result.fate != CommitFate::again) return result.fate == CommitFate::committed;
            const auto left =
                std::chrono::floor<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            if (left <= 0ms) return false;
            const QueuePtr silent{rd_kafka_queue_new(rk_)};
            rd_kafka_queue_poll_callback(silent.get(), static_cast<int>(std::min(left, 50ms).count()));
        }
    }
    /// Asks what the group has committed for these partitions. `serve_answers` calls the listener with the answer.
    void ask_committed(const rd_kafka_topic_partition_list_t& list, std::uint64_t generation) noexcept {
        if (list.cnt == 0) return;
        const ListPtr names{rd_kafka_topic_partition_list_new(list.cnt)};
        for (int i = 0; i < list.cnt; ++i)
            rd_kafka_topic_partition_list_add(names.get(), list.elems[i].topic, list.elems[i].partition);
        using Question =
            std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t, Destroy<rd_kafka_ListConsumerGroupOffsets_destroy>>;
        using AdminOptions = std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
        const Question question{rd_kafka_ListConsumerGroupOffsets_new(group_.c_str(), names.get())};
        const AdminOptions how{rd_kafka_AdminOptions_new(rk_, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)};
        if (!question || !how) return;
        rd_kafka_AdminOptions_set_opaque(how.get(), reinterpret_cast<void*>(generation)); // NOLINT: never followed
        auto* only = question.get();
        rd_kafka_ListConsumerGroupOffsets(rk_, &only, 1, how.get(), answers_.get());
    }
    /// Hands the answers that have come to the listener. Never waits.
    void serve_answers() noexcept {
        using EventPtr = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
        while (const EventPtr event{rd_kafka_queue_poll(answers_.get(), 0)}) {
            const auto* const result = rd_kafka_event_ListConsumerGroupOffsets_result(event.get());
            if (result == nullptr || rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
            std::size_t count = 0;
            const auto* const* const groups = rd_kafka_ListConsumerGroupOffsets_result_groups(result, &count);
            if (count != 1) continue;
            const auto* const list = rd_kafka_group_result_partitions(groups[0]);
            const auto generation = reinterpret_cast<std::uintptr_t>(rd_kafka_event_opaque(event.get())); // NOLINT
            auto* const told = back_->listener.load();
            for (int i = 0; told != nullptr && list != nullptr && i < list->cnt; ++i)
                if (list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR) told->on_committed(generation, list->elems[i]);
        }
    }
    /// The first offset of the partition's log as the latest fetch reported it; below 0 when none has. Never waits.
    [[nodiscard]] std::int64_t low_of(const char* topic, std::int32_t partition) noexcept {
        std::int64_t low = 0;
        std::int64_t high = 0;
        const auto failed = rd_kafka_get_watermark_offsets(rk_, topic, partition, &low, &high);
        return failed == RD_KAFKA_RESP_ERR_NO_ERROR ? low : -1;
    }
    /// Leaves the group: revokes (the listener is called), and waits at most so long. False when it took longer.
    bool close(std::chrono::milliseconds timeout) noexcept {
        const auto deadline =
            bulkhead::detail::saturating_add<std::chrono::steady_clock>(std::chrono::steady_clock::now(), timeout);
        const QueuePtr queue{rd_kafka_queue_new(rk_)};
        const ErrorPtr failed{rd_kafka_consumer_close_queue(rk_, queue.get())};
        if (failed) return true; // closed already, or a fatal error: there is no group to leave
        while (rd_kafka_consumer_closed(rk_) == 0) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            // Serves the callbacks, and drops what was fetched ahead: the group reads it again.
            const MessagePtr dropped{
                rd_kafka_consume_queue(queue.get(), static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 100)))};
            if (left <= std::chrono::milliseconds::zero()) return rd_kafka_consumer_closed(rk_) != 0;
        }
        return true;
    }
    /// Frees the handle; every message must be gone. `elsewhere`: on a thread of its own, because this one must not
    /// block. From here on the listener is not called.
    void destroy(bool elsewhere) noexcept {
        if (rk_ == nullptr) return;
        back_->listener.store(nullptr);
        answers_.reset();
        const auto free_it = [](rd_kafka_t* rk, std::unique_ptr<Back> back, std::unique_ptr<LetterProducer> letters) {
            letters.reset();
            if (back->assigned || !aborts_unassigned(rk)) {
                rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            } else {
                static_cast<void>(back.release()); // the handle's callbacks still know it
            }
        };
        auto* const rk = std::exchange(rk_, nullptr);
        if (!elsewhere) return free_it(rk, std::move(back_), std::move(letters_));
        try {
            std::thread{free_it, rk, std::move(back_), std::move(letters_)}.detach();
        } catch (const std::exception&) { // no thread to be had: the handle is leaked rather than destroyed here
            static_cast<void>(back_.release());
        }
    }
    [[nodiscard]] rd_kafka_t* handle() const noexcept { return rk_; }

private:
    /// What callbacks reach us by; lives as long as the handle.
    struct Back {
        std::atomic<Listener*> listener{nullptr};
        std::atomic<bool> assigned{false}; ///< once, be it nothing
        ExactCommits exact;                ///< on the thread that polls

        void answered(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* offsets) noexcept {
            const auto now = std::chrono::steady_clock::now();
            for (int i = 0; offsets != nullptr && !exact.empty() && i < offsets->cnt; ++i) {
                const auto& one = offsets->elems[i];
                const auto failed = error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : one.err;
                exact.answered(one.topic, one.partition, one.offset, fate_of(failed), now);
            }
        }
        void forget(const rd_kafka_topic_partition_list_t& gone) noexcept {
            for (int i = 0; i < gone.cnt; ++i) exact.forget(gone.elems[i].topic, gone.elems[i].partition);
        }
    };

    /// librdkafka before 2.3 ends the whole process when a member that uses the sticky assignor is destroyed before its
    /// first assignment (confluentinc/librdkafka#4312). Such a handle is leaked.
    [[nodiscard]] static bool aborts_unassigned(rd_kafka_t* rk) noexcept {
        constexpr int version_that_does_not = 0x02'03'00'00;
        if (rd_kafka_version() >= version_that_does_not) return false;
        std::array<char, 256> strategy{};
        auto size = strategy.size();
        return rd_kafka_conf_get(rd_kafka_conf(rk), "partition.assignment.strategy", strategy.data(), &size) !=
                   RD_KAFKA_CONF_OK ||
               std::strstr(strategy.data(), "sticky") != nullptr;
    }
    [[nodiscard]] static ListPtr list_of(std::string_view topic, std::int32_t partition) {
        ListPtr list{rd_kafka_topic_partition_list_new(1)};
        rd_kafka_topic_partition_list_add(list.get(), std::string{topic}.c_str(), partition);
        return list;
    }
    static void notice(void* back, const ClientEvent& event) noexcept {
        if (auto* const listener = static_cast<Back*>(back)->listener.load()) listener->on_notice(event);
    }
    /// What the group's offsets are to become though they may be higher; null when there is nothing.
    [[nodiscard]] ListPtr exact_list() noexcept {
        ListPtr list;
        if (back_->exact.empty()) return list;
        list.reset(rd_kafka_topic_partition_list_new(1));
        back_->exact.send([&](const ExactCommits::Wanted& one) {
            rd_kafka_topic_partition_list_add(list.get(), one.topic.c_str(), one.partition)->offset = one.next;
        });
        return list;
    }
    /// Only what is assigned is in the list, and the coordinator refuses a generation that is over.
    void send_exact() noexcept {
        const auto now = std::chrono::steady_clock::now();
        if (!back_->exact.due(now)) return;
        const auto list = exact_list();
        if (const auto failed = rd_kafka_commit(rk_, list.get(), 1)) back_->answered(failed, list.get());
    }
    [[nodiscard]] CommitResult commit_once(std::chrono::steady_clock::time_point deadline,
                                           const rd_kafka_topic_partition_list_t* list) noexcept {
        const QueuePtr queue{rd_kafka_queue_new(rk_)}; // when it is gone no answer comes any more
        CommitResult result{CommitFate::again, RD_KAFKA_RESP_ERR__TIMED_OUT};
        struct Told {
            CommitResult& result;
            Back& back;
        } told{result, *back_};
        const auto on_result = [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* offsets,
                                  void* opaque) {
            auto& to = *static_cast<Told*>(opaque);
            to.result = judge_commit(error, offsets);
            to.back.answered(error, offsets);
        };
        if (const auto failed = rd_kafka_commit_queue(rk_, list, queue.get(), on_result, &told))
            return judge_commit(failed, nullptr);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        rd_kafka_queue_poll_callback(queue.get(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        return result;
    }
    static void rebalance(rd_kafka_t* rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list, void* back) {
        auto* const listener = static_cast<Back*>(back)->listener.load();
        const auto* const protocol = rd_kafka_rebalance_protocol(rk);
        const bool cooperative = protocol != nullptr && std::strcmp(protocol, "COOPERATIVE") == 0;
        switch (what) {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
            static_cast<Back*>(back)->assigned = true;
            // First the client, so that it can pause what the source wants paused.
            assign(rk, list, cooperative, back);
            if (listener != nullptr) listener->on_assigned(*list);
            return;
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
            if (listener != nullptr)
                rd_kafka_assignment_lost(rk) != 0 ? listener->on_lost(*list) : listener->on_revoked(*list);
            static_cast<Back*>(back)->forget(*list);
            if (cooperative) {
                report(back, ErrorPtr{rd_kafka_incremental_unassign(rk, list)});
                return;
            }
            break;
        default:
            notice(back, {.kind = ClientEvent::Kind::error,
                          .level = 3,
                          .error = make_error(what),
                          .text = rd_kafka_err2str(what)});
            if (listener != nullptr) listener->on_lost(*list);
            static_cast<Back*>(back)->forget(*list);
        }
        rd_kafka_assign(rk, nullptr);
    }
    static void assign(rd_kafka_t* rk, const rd_kafka_topic_partition_list_t* list, bool cooperative, void* back) {
        if (cooperative) return report(back, ErrorPtr{rd_kafka_incremental_assign(rk, list)});
        if (const auto failed = rd_kafka_assign(rk, list))
            notice(back, {.kind = ClientEvent::Kind::error,
                          .level = 3,
                          .error = make_error(failed),
                          .text = rd_kafka_err2str(failed)});
    }
    static void report(void* back, const ErrorPtr& error) noexcept {
        if (!error) return;
        notice(back, {.kind = ClientEvent::Kind::error,
                      .level = 3,
                      .error = make_error(rd_kafka_error_code(error.get())),
                      .text = rd_kafka_error_string(error.get())});
    }

    std::unique_ptr<Back> back_;
    std::unique_ptr<LetterProducer> letters_;
    std::function<void(const KafkaLetter&, LetterReceipt)> write_letter_; ///< where there is no producer
    rd_kafka_t* rk_ = nullptr;
    QueuePtr answers_;
    std::string group_;
};
static_assert(LetterWriter<Client>);

} // namespace detail

/// Reads topics with librdkafka and feeds them to an indexer through a `KafkaSource`. One thread of the caller's drives
/// it:
///
///     kafka::Driver driver{indexer, mapper, {.brokers = "…", .group = "g", .topics = {"apm.logs"}}};
///     driver.run();                              // until driver.stop() from another thread, or a signal handler's
///     auto report = driver.close(std::chrono::seconds{30});
///
/// Offsets are *stored* only when `KafkaSource` says so, and committed in the background, when partitions are revoked,
/// and at `close`. The first one of an assignment, and the first one after the client went back, are committed
/// explicitly, so that the group's offset goes down where it must (see `OffsetSetter`): only for partitions that are
/// assigned, never for lost ones, so that a member that has lost its partitions cannot rewind the group. Eager and
/// cooperative rebalancing are handled (`partition.assignment.strategy` in `config`).
///
/// While the indexer is full it first waits up to `KafkaSourceOptions::pause_after` (here 5 s unless given), because
/// pausing makes librdkafka throw its prefetched records away; then it pauses and goes on polling, so that the group
/// keeps it.
///
/// Threads: everything on one thread, but for `stop()` and `stats()`, which are for any. It must not be a thread that
/// runs the indexer, because a revoke drain waits for settlements: there it would not wait, and only redeliver more.
/// The destructor closes with no time left; on a thread that runs the indexer it hands the client to a thread of its
/// own to be destroyed. The indexer must outlive the driver.
template <class Indexer, Mapper M>
class Driver final : private detail::Client::Listener {
public:
    /// What `source()` gives.
    using source_type = KafkaSource<Indexer, detail::Client, M>;

    /// Joins the group in the background. Throws `InvalidOption`.
    Driver(Indexer& indexer, M mapper, DriverOptions options, KafkaSourceOptions source_options = {})
        : indexer_{indexer}, options_{std::move(options)}, client_{options_, *this},
          source_{indexer, client_, std::move(mapper), patient(std::move(source_options))} {}
    ~Driver() {
        if (!closed_ && indexer_.running_in_this_thread()) {
            held_.clear();
            source_.close_letters();
            client_.destroy(true);
            return;
        }
        close(std::chrono::milliseconds::zero());
    }
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    /// Polls until `stop()`, or until the source or the client has stopped by itself (`stopped()`).
    void run() {
        while (poll_once(std::chrono::milliseconds{100})) {
        }
    }

    /// Takes what records there are, at most some thousand, waiting at most `timeout` for the first; takes in
    /// settlements; serves the client. To be called again soon: at least every second. False when there is nothing more
    /// to do but `close`.
    bool poll_once(std::chrono::milliseconds timeout) {
        if (fatal_ || closed_) return false;
        note_poll();
        client_.serve_answers();
        source_.poll();
        if (!source_.accepting() || !offer_held()) {
            wait_full(std::min(timeout, short_wait));
        } else if (rate_.available(last_poll_) == 0) {
            const auto wait = std::chrono::ceil<std::chrono::milliseconds>(rate_.wait());
            static_cast<void>(source_.wait_for_settlements(std::min({timeout, wait, publish_interval})));
            source_.poll();
        } else {
            take_records(timeout);
        }
        const bool ends = stop_requested_.load(std::memory_order_relaxed) || stopped();
        publish(ends); // there may be no further poll: `stats()` has to show why it ends
        return !ends;
    }

    /// Makes `run()` return soon. Any thread; also from a signal handler, where `std::atomic<bool>` is lock-free.
    void stop() noexcept { stop_requested_.store(true, std::memory_order_relaxed); }

    /// The source has stopped (see `source().stop_reason()`), or the client has met a fatal error.
    [[nodiscard]] bool stopped() const noexcept { return source_.stopped() || fatal_ || closed_; }
    /// Whether the client has met an error after which it does not go on.
    [[nodiscard]] bool fatal() const noexcept { return fatal_; }

    /// Takes no more records, flushes the indexer, waits for what is under way, stores and commits its offsets, leaves
    /// the group and destroys the client: by the deadline, but for what librdkafka needs to end its threads. That is up
    /// to `session.timeout.ms` (45 s by default) while the group's coordinator does not answer. The client is polled
    /// all the time. What is not settled then will be delivered again. `unlimited`: it waits until all is settled.
    DriverReport close(std::chrono::milliseconds timeout) {
        DriverReport report;
        if (closed_) {
            report.stats = stats();
            return report;
        }
        closing_by_ =
            bulkhead::detail::saturating_add<std::chrono::steady_clock>(std::chrono::steady_clock::now(), timeout);
        const auto left = [this] { return until(*closing_by_); };
        held_.clear(); // never taken, so they will be delivered again
        const bool given_up = fatal_ && !source_.drained();
        if (fatal_) source_.lost(); // what settles from here on is not stored
        source_.drain();
        source_.poll();
        while (!source_.drained() && !fatal_ && left() > std::chrono::milliseconds::zero()) {
            note_poll();
            static_cast<void>(client_.poll(std::chrono::milliseconds::zero())); // what still comes is not taken
            if (!source_.wait_for_settlements(std::min(left(), short_wait)) && indexer_.running_in_this_thread()) break;
            source_.poll();
            publish(false);
        }
        report.drained = !given_up && source_.drained();
        if (!fatal_) {
            report.committed = client_.commit_stored(commit_time());
            client_.close(std::max(left(), short_wait));
        }
        publish(true);
        closed_ = true;
        source_.close_letters();
        client_.destroy(indexer_.running_in_this_thread());
        report.stats = stats();
        return report;
    }

    /// A snapshot, at most a tenth of a second old while the driver is polled. Any thread.
    [[nodiscard]] DriverStats stats() const {
        const std::lock_guard lock{snapshot_mutex_};
        return snapshot_;
    }
    /// On the driver's thread.
    [[nodiscard]] const source_type& source() const noexcept { return source_; }
    /// Where the assigned partitions stand, at most `statistics.interval.ms` old. On the driver's thread.
    [[nodiscard]] std::vector<PartitionStanding> standings() const { return progress_.standings(); }
    /// The client, e.g. for its statistics. On the driver's thread; null after `close`.
    [[nodiscard]] rd_kafka_t* handle() const noexcept { return client_.handle(); }

private:
    static constexpr std::chrono::milliseconds short_wait{20};
    static constexpr std::chrono::milliseconds publish_interval{100};
    static constexpr std::size_t records_a_poll = 4096;

    static KafkaSourceOptions patient(KafkaSourceOptions options) {
        if (options.pause_after == std::chrono::milliseconds::zero()) options.pause_after = std::chrono::seconds{5};
        return options;
    }

    // ---- Records ----

    void take_records(std::chrono::milliseconds timeout) {
        const auto most = std::min(records_a_poll, rate_.available(last_poll_));
        for (std::size_t i = 0; i < most; ++i) {
            auto message = client_.poll(i == 0 ? timeout : std::chrono::milliseconds::zero());
            if (!message || fatal_) return;
            rate_.take();
            progress_.flows(rd_kafka_topic_name(message->rkt), message->partition);
            if (!offer(*message)) return held_.push_back(std::move(message));
            if (!source_.accepting()) return;
        }
    }
    /// The source takes nothing, or not the record that is next. Once partitions are paused, only callbacks come from
    /// the client, and perhaps what was on its way; before that, a record each time, which is held. So it is asked just
    /// often enough to stay in the group.
    void wait_full(std::chrono::milliseconds timeout) {
        const auto now = std::chrono::steady_clock::now();
        if ((held_.empty() && !source_.about_to_pause()) || now - polled_full_ >= std::chrono::seconds{1}) {
            polled_full_ = now;
            if (auto message = client_.poll(std::chrono::milliseconds::zero())) held_.push_back(std::move(message));
        }
        static_cast<void>(source_.wait_for_settlements(timeout));
        source_.poll();
    }
    /// Records that were not taken, in order. False when one is still not taken.
    bool offer_held() {
        while (!held_.empty()) {
            if (!offer(*held_.front())) return false;
            held_.pop_front();
        }
        return source_.accepting();
    }
    /// False when the source does not take it now.
    bool offer(const rd_kafka_message_t& message) {
        Record record;
        record.topic = rd_kafka_topic_name(message.rkt);
        record.partition = message.partition;
        record.offset = message.offset;
        if (message.key != nullptr) record.key = {static_cast<const char*>(message.key), message.key_len};
        if (message.payload != nullptr) record.payload = {static_cast<const char*>(message.payload), message.len};
        rd_kafka_timestamp_type_t type{};
        const auto timestamp = rd_kafka_message_timestamp(&message, &type);
        if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) record.timestamp_ms = timestamp;
        offered_ = &message;
        record.headers = {[](void* self) { return static_cast<Driver*>(self)->offered_headers(); }, this};
        const auto done = source_.deliver(record);
        if (done == Delivered::taken)
            progress_.taken(record.topic, record.partition, record.offset,
                            [&] { return client_.low_of(rd_kafka_topic_name(message.rkt), message.partition); });
        return done != Delivered::busy;
    }
    std::span<const RecordHeader> offered_headers() {
        rd_kafka_headers_t* list = nullptr;
        if (rd_kafka_message_headers(offered_, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
        headers_.clear();
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(list, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
             ++i) {
            headers_.push_back({name, std::nullopt});
            if (value != nullptr) headers_.back().value = std::string_view{static_cast<const char*>(value), size};
        }
        return headers_;
    }

    // ---- What the client tells ----

    void on_assigned(const rd_kafka_topic_partition_list_t& list) override {
        ++rebalances_;
        client_.ask_committed(list, rebalances_);
        guarded([&] {
            if (reads_letters(list))
                throw InvalidOption{
                    {"topics", "nothing that matches the dead-letter topic", options_.dead_letter_topic}};
            for (const auto& p : span_of(list)) {
                source_.assigned(p.topic, p.partition);
                progress_.assigned(p.topic, p.partition, rebalances_, std::chrono::steady_clock::now());
            }
        });
        progress_.joined();
        on_notice({.kind = ClientEvent::Kind::assigned, .partitions = static_cast<std::size_t>(list.cnt)});
    }
    void on_revoked(const rd_kafka_topic_partition_list_t& list) override {
        if (fatal_) return on_lost(list);
        drop_held(list);
        guarded([&] { source_.revoked(names_of(list), drain_time()); });
        if (list.cnt > 0) client_.commit_stored(commit_time());
        forget_progress(list);
        on_notice({.kind = ClientEvent::Kind::revoked, .partitions = static_cast<std::size_t>(list.cnt)});
    }
    void on_lost(const rd_kafka_topic_partition_list_t& list) override {
        drop_held(list);
        guarded([&] { source_.lost(names_of(list)); });
        forget_progress(list);
        on_notice({.kind = ClientEvent::Kind::lost, .level = 4, .partitions = static_cast<std::size_t>(list.cnt)});
    }
    void on_notice(const ClientEvent& event) noexcept override {
        if (event.kind == ClientEvent::Kind::error) ++client_errors_;
        if (event.kind == ClientEvent::Kind::fatal) fatal_ = true;
        if (!options_.on_event) return;
        try {
            options_.on_event(event);
        } catch (...) { // NOLINT: user code must not throw through librdkafka
        }
    }
    void on_commit(const detail::CommitResult& result) noexcept override {
        using detail::CommitFate;
        if (result.fate == CommitFate::stale) ++commits_stale_;
        if (result.fate <= CommitFate::stale) return;
        ++commit_errors_;
        on_notice({.kind = ClientEvent::Kind::commit_failed,
                   .level = result.fate == CommitFate::refused ? 3 : 4,
                   .error = make_error(result.error),
                   .text = rd_kafka_err2str(result.error)});
    }
    void on_error_message(const ClientEvent& event) noexcept override {
        guarded([&] {
            if (event.kind == ClientEvent::Kind::error)
                progress_.error(event.topic, event.partition, event.error, event.text,
                                std::chrono::steady_clock::now());
        });
    }
    void on_statistics(std::string_view json) noexcept override {
        try {
            const auto statistics = parse_statistics(json);
            if (!statistics) return;
            bytes_received_ = statistics->rx_bytes.value_or(bytes_received_);
            auto paused = source_.partitions();
            std::erase_if(paused, [](const auto& p) { return !p.paused; });
            const bool accepting = source_.accepting();
            const auto held_by_us = [&](std::string_view topic, std::int32_t partition) {
                const auto is_it = [&](const auto& p) { return p.partition == partition && p.topic == topic; };
                return !accepting || holds(topic, partition) || std::any_of(paused.begin(), paused.end(), is_it);
            };
            progress_.statistics(*statistics, held_by_us, std::chrono::steady_clock::now());
        } catch (const std::exception&) { // out of memory: the next statistics come soon
        }
    }
    void on_committed(std::uint64_t generation, const rd_kafka_topic_partition_t& p) noexcept override {
        progress_.committed(p.topic, p.partition, generation, p.offset);
    }
    void forget_progress(const rd_kafka_topic_partition_list_t& list) noexcept {
        for (const auto& p : span_of(list)) progress_.gone(p.topic, p.partition);
    }
    /// How long a revoke may wait.
    [[nodiscard]] std::chrono::milliseconds drain_time() const {
        return closing_by_ ? std::min(options_.revoke_drain, until(*closing_by_)) : options_.revoke_drain;
    }
    /// How long a commit may take.
    [[nodiscard]] std::chrono::milliseconds commit_time() const {
        return closing_by_ ? std::min(options_.commit_timeout, std::max(until(*closing_by_), short_wait))
                           : options_.commit_timeout;
    }
    [[nodiscard]] static std::chrono::milliseconds until(std::chrono::steady_clock::time_point deadline) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        return std::max(left, std::chrono::milliseconds::zero());
    }
    /// Nothing may be thrown through librdkafka. What throws here has run out of memory, or of partition numbers: the
    /// driver stops, and nothing is stored that should not be.
    template <class F>
    void guarded(F f) noexcept {
        try {
            f();
        } catch (const std::exception& e) {
            on_notice({.kind = ClientEvent::Kind::fatal, .level = 2, .text = e.what()});
        }
    }
    [[nodiscard]] static std::span<const rd_kafka_topic_partition_t>
    span_of(const rd_kafka_topic_partition_list_t& list) noexcept {
        return {list.elems, static_cast<std::size_t>(list.cnt)};
    }
    [[nodiscard]] static std::vector<TopicPartition> names_of(const rd_kafka_topic_partition_list_t& list) {
        std::vector<TopicPartition> names;
        for (const auto& p : span_of(list)) names.push_back({p.topic, p.partition});
        return names;
    }
    /// What came of a letter would be another letter, without end.
    [[nodiscard]] bool reads_letters(const rd_kafka_topic_partition_list_t& list) const {
        const auto elsewhere = [](const auto& setting) {
            return setting.first == "bootstrap.servers" || setting.first == "metadata.broker.list";
        };
        const auto& config = options_.dead_letter_config;
        if (std::any_of(config.begin(), config.end(), elsewhere)) return false;
        const auto all = span_of(list);
        return std::any_of(all.begin(), all.end(),
                           [&](const auto& p) { return options_.dead_letter_topic == p.topic; });
    }
    /// Whether a record of this partition waits to be taken.
    [[nodiscard]] bool holds(std::string_view topic, std::int32_t partition) const noexcept {
        return std::any_of(held_.begin(), held_.end(), [&](const auto& message) {
            return message->partition == partition && topic == rd_kafka_topic_name(message->rkt);
        });
    }
    /// Records that the source has not taken, of partitions that are gone.
    void drop_held(const rd_kafka_topic_partition_list_t& list) noexcept {
        const auto gone = [&](const detail::MessagePtr& message) {
            const std::string_view topic = rd_kafka_topic_name(message->rkt);
            const auto all = span_of(list);
            return std::any_of(all.begin(), all.end(),
                               [&](const auto& p) { return p.partition == message->partition && topic == p.topic; });
        };
        held_.erase(std::remove_if(held_.begin(), held_.end(), gone), held_.end());
    }

    // ---- Counting ----

    void note_poll() noexcept {
        const auto now = std::chrono::steady_clock::now();
        if (last_poll_ != std::chrono::steady_clock::time_point{})
            max_poll_gap_ = std::max(max_poll_gap_, std::chrono::ceil<std::chrono::milliseconds>(now - last_poll_));
        last_poll_ = now;
    }
    void publish(bool at_once) {
        if (!at_once && last_poll_ < published_ + publish_interval) return;
        published_ = last_poll_;
        DriverStats stats;
        stats.source = source_.stats();
        stats.rebalances = rebalances_;
        stats.client_errors = client_errors_;
        stats.commit_errors = commit_errors_;
        stats.commits_stale = commits_stale_;
        stats.max_poll_gap = max_poll_gap_;
        stats.bytes_received = bytes_received_;
        if (client_.handle() != nullptr) client_.tell_letter_trouble();
        tell_progress();
        progress_.fill(stats, std::chrono::steady_clock::now());
        const std::lock_guard lock{snapshot_mutex_};
        snapshot_ = stats;
    }

    void tell_progress() {
        progress_.tell(std::chrono::steady_clock::now(), [this](const ProgressEvent& event) {
            using From = ProgressEvent::Kind;
            const bool over = event.kind == From::trouble_over;
            on_notice({.kind = over                          ? ClientEvent::Kind::trouble_over
                               : event.kind == From::trouble ? ClientEvent::Kind::trouble
                                                             : ClientEvent::Kind::records_lost,
                       .level = over ? 6 : 3,
                       .error = event.error,
                       .text = event.text,
                       .topic = event.topic,
                       .partition = event.partition});
        });
    }

    Indexer& indexer_;
    DriverOptions options_;
    ProgressBook progress_{options_.stall_after, detail::resets_to_end(options_)};
    std::uint64_t bytes_received_ = 0;
    std::uint64_t rebalances_ = 0;
    std::uint64_t client_errors_ = 0;
    std::uint64_t commit_errors_ = 0;
    std::uint64_t commits_stale_ = 0;
    bool fatal_ = false;
    bool closed_ = false;
    std::atomic<bool> stop_requested_{false};
    std::optional<std::chrono::steady_clock::time_point> closing_by_;
    std::chrono::steady_clock::time_point last_poll_{};
    std::chrono::steady_clock::time_point published_{};
    std::chrono::steady_clock::time_point polled_full_{};
    std::chrono::milliseconds max_poll_gap_{0};
    mutable std::mutex snapshot_mutex_;
    DriverStats snapshot_;
    TokenBucket rate_{options_.max_records_per_second};
    const rd_kafka_message_t* offered_ = nullptr; ///< while the mapper may ask for its headers
    std::vector<RecordHeader> headers_;

    detail::Client client_;
    source_type source_;
    std::deque<detail::MessagePtr> held_; ///< records that the source has not taken; gone before the client is
};

} // namespace bulkhead::inline v1::kafka
