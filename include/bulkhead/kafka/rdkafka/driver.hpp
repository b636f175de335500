// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/client.hpp>
#include <bulkhead/kafka/rdkafka/detail/loop/close_deadline.hpp>
#include <bulkhead/kafka/rdkafka/detail/loop/held_records.hpp>
#include <bulkhead/kafka/rdkafka/detail/loop/poll_monitor.hpp>
#include <bulkhead/kafka/rdkafka/detail/loop/record_reader.hpp>
#include <bulkhead/kafka/rdkafka/detail/loop/token_bucket.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/progress_book.hpp>
#include <bulkhead/kafka/rdkafka/driver_options.hpp>
#include <bulkhead/kafka/source.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

/// The ready driver of `KafkaSource` over librdkafka's C API, 2.0.2 and newer. A CMake target of its own:
/// `bulkhead::rdkafka`.
namespace bulkhead::inline v1::kafka {

/// Reads topics with librdkafka and feeds them to an indexer through a `KafkaSource`. One thread of the caller's drives
/// it:
///
///     kafka::Driver driver{indexer, mapper, {.brokers = "…", .group = "g", .topics = {"apm.logs"}}};
///     driver.run();                              // until driver.stop() from another thread, or a signal handler's
///     auto report = driver.close(std::chrono::seconds{30});
///
/// Offsets are *stored* only when `KafkaSource` decides it, and committed in the background, when partitions are
/// revoked, and at `close`. The first one of an assignment, and the first one after the client went back, are committed
/// explicitly, so that the group's offset goes down where it must (see `OffsetSetter`): only for partitions that are
/// assigned, never for lost ones, so that a member that has lost its partitions cannot rewind the group. Eager and
/// cooperative rebalancing are handled (`partition.assignment.strategy` in `config`).
///
/// While the indexer is full it first waits up to `KafkaSourceOptions::pause_after` (here 5 s unless given), because
/// pausing makes librdkafka throw its prefetched records away; then it pauses and keeps polling, so that the group
/// keeps it.
///
/// Threads: everything on one thread, but for `stop()` and `stats()`, which are for any. It must not be a thread that
/// runs the indexer, because a revoke drain waits for settlements: there it would not wait, and only redeliver more.
/// The destructor closes with no time left; on a thread that runs the indexer it hands the client to a thread of its
/// own to be destroyed. The indexer must outlive the driver.
template <class Indexer, Mapper M>
class Driver final : private detail::ClientListener {
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
        polls_.polled(Clock::now());
        client_.serve_answers();
        source_.poll();
        if (!source_.accepting() || !offer_held()) {
            wait_full(std::min(timeout, short_wait));
        } else if (rate_.available(polls_.last()) == 0) {
            const auto wait = std::chrono::ceil<std::chrono::milliseconds>(rate_.wait());
            wait_for_settlements(std::min({timeout, wait, detail::PollMonitor::snapshot_interval}));
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
    /// Whether the client has met an error from which it does not recover.
    [[nodiscard]] bool fatal() const noexcept { return fatal_; }

    /// Takes no more records, flushes the indexer, waits for what is under way, stores and commits its offsets, leaves
    /// the group and destroys the client: by the deadline, but for what librdkafka needs to end its threads. That is up
    /// to `session.timeout.ms` (45 s by default) while the group's coordinator does not answer. The client is polled
    /// all the time. What is not settled then will be delivered again. `unlimited`: it waits until all is settled.
    DriverReport close(std::chrono::milliseconds timeout) {
        DriverReport report;
        if (!closed_) {
            close_by_.set(timeout, Clock::now());
            report.drained = drain();
            if (!fatal_) {
                report.committed = client_.commit_stored(commit_time());
                client_.close(std::max(close_by_.left(Clock::now()), short_wait));
            }
            publish(true);
            closed_ = true;
            source_.close_letters();
            client_.destroy(indexer_.running_in_this_thread());
        }
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
    using Clock = std::chrono::steady_clock;
    using PartitionList = rd_kafka_topic_partition_list_t;
    static constexpr std::chrono::milliseconds short_wait{20};
    static constexpr std::size_t records_a_poll = 4096;

    static KafkaSourceOptions patient(KafkaSourceOptions options) {
        if (options.pause_after == std::chrono::milliseconds::zero()) options.pause_after = std::chrono::seconds{5};
        return options;
    }

    // ---- Records ----

    void take_records(std::chrono::milliseconds timeout) {
        const auto most = std::min(records_a_poll, rate_.available(polls_.last()));
        for (std::size_t i = 0; i < most; ++i) {
            auto message = client_.poll(i == 0 ? timeout : std::chrono::milliseconds::zero());
            if (!message || fatal_) return;
            rate_.take();
            progress_.flows(rd_kafka_topic_name(message->rkt), message->partition);
            if (!offer(*message)) return held_.push(std::move(message));
            if (!source_.accepting()) return;
        }
    }
    /// The source takes nothing, or not the record that is next. Once partitions are paused, only callbacks come from
    /// the client, and perhaps what was on its way; before that, a record each time, which is held.
    void wait_full(std::chrono::milliseconds timeout) {
        if (polls_.poll_while_full(!held_.empty() || source_.about_to_pause(), Clock::now()))
            if (auto message = client_.poll(std::chrono::milliseconds::zero())) held_.push(std::move(message));
        wait_for_settlements(timeout);
    }
    /// False where waiting is not possible: this thread runs the indexer.
    bool wait_for_settlements(std::chrono::milliseconds timeout) {
        const bool waited = source_.wait_for_settlements(timeout);
        source_.poll();
        return waited;
    }
    /// Offers the records that were not taken, in order. False when one is still not taken.
    bool offer_held() {
        while (!held_.empty()) {
            if (!offer(held_.front())) return false;
            held_.pop();
        }
        return source_.accepting();
    }
    /// False when the source does not take it now.
    bool offer(const rd_kafka_message_t& message) {
        const auto record = reader_.read(message);
        const auto done = source_.deliver(record);
        if (done == Delivered::taken)
            progress_.taken(record.topic, record.partition, record.offset,
                            [&] { return client_.low_of(rd_kafka_topic_name(message.rkt), message.partition); });
        return done != Delivered::busy;
    }

    // ---- Closing ----

    /// Waits until everything that was handed over is settled, at most until the deadline. False when it is not.
    bool drain() {
        held_.clear();
        const bool given_up = fatal_ && !source_.drained();
        if (fatal_) source_.lost(); // what settles from here on is not stored
        source_.drain();
        source_.poll();
        const auto left = [this] { return close_by_.left(Clock::now()); };
        while (!source_.drained() && !fatal_ && left() > std::chrono::milliseconds::zero()) {
            polls_.polled(Clock::now());
            static_cast<void>(client_.poll(std::chrono::milliseconds::zero())); // what still comes is not taken
            if (!wait_for_settlements(std::min(left(), short_wait)) && indexer_.running_in_this_thread()) break;
            publish(false);
        }
        return !given_up && source_.drained();
    }
    /// How long a revoke may wait.
    [[nodiscard]] std::chrono::milliseconds drain_time() const {
        return close_by_.shorten(options_.revoke_drain, std::chrono::milliseconds::zero(), Clock::now());
    }
    /// How long a commit may take.
    [[nodiscard]] std::chrono::milliseconds commit_time() const {
        return close_by_.shorten(options_.commit_timeout, short_wait, Clock::now());
    }

    // ---- What the client reports ----

    void on_assigned(const PartitionList& list) override {
        ++counters_.rebalances;
        client_.request_committed(list, counters_.rebalances);
        guarded([&] {
            if (detail::reads_dead_letters(options_, list))
                throw InvalidOption{
                    {"topics", "nothing that matches the dead-letter topic", options_.dead_letter_topic}};
            for (const auto& p : detail::span_of(list)) {
                source_.assigned(p.topic, p.partition);
                progress_.assigned(p.topic, p.partition, counters_.rebalances, Clock::now());
            }
        });
        progress_.joined();
        on_notice({.kind = ClientEvent::Kind::assigned, .partitions = static_cast<std::size_t>(list.cnt)});
    }
    void on_revoked(const PartitionList& list) override {
        if (fatal_) return on_lost(list);
        held_.drop(list);
        guarded([&] { source_.revoked(detail::names_of(list), drain_time()); });
        if (list.cnt > 0) client_.commit_stored(commit_time());
        on_gone(list, {.kind = ClientEvent::Kind::revoked});
    }
    void on_lost(const PartitionList& list) override {
        held_.drop(list);
        guarded([&] { source_.lost(detail::names_of(list)); });
        on_gone(list, {.kind = ClientEvent::Kind::lost, .level = 4});
    }
    void on_gone(const PartitionList& list, ClientEvent event) noexcept {
        for (const auto& p : detail::span_of(list)) progress_.gone(p.topic, p.partition);
        event.partitions = static_cast<std::size_t>(list.cnt);
        on_notice(event);
    }
    void on_notice(const ClientEvent& event) noexcept override {
        if (event.kind == ClientEvent::Kind::error) ++counters_.client_errors;
        if (event.kind == ClientEvent::Kind::fatal) fatal_ = true;
        if (!options_.on_event) return;
        try {
            options_.on_event(event);
        } catch (...) { // NOLINT: user code must not throw through librdkafka
        }
    }
    void on_commit(const detail::CommitResult& result) noexcept override {
        if (result.fate == detail::CommitFate::stale) ++counters_.commits_stale;
        if (result.fate <= detail::CommitFate::stale) return;
        ++counters_.commit_errors;
        on_notice(detail::commit_failed_event(result));
    }
    void on_error_message(const ClientEvent& event) noexcept override {
        if (event.kind != ClientEvent::Kind::error) return;
        guarded([&] { progress_.error(event.topic, event.partition, event.error, event.text, Clock::now()); });
    }
    void on_statistics(std::string_view json) noexcept override {
        try {
            const auto statistics = detail::parse_statistics(json);
            if (!statistics) return;
            counters_.bytes_received = statistics->rx_bytes.value_or(counters_.bytes_received);
            auto paused = source_.partitions();
            std::erase_if(paused, [](const auto& p) { return !p.paused; });
            const bool accepting = source_.accepting();
            const auto held_by_us = [&](std::string_view topic, std::int32_t partition) {
                const auto is_it = [&](const auto& p) { return p.partition == partition && p.topic == topic; };
                return !accepting || held_.holds(topic, partition) || std::any_of(paused.begin(), paused.end(), is_it);
            };
            progress_.statistics(*statistics, held_by_us, Clock::now());
        } catch (const std::exception&) { // out of memory: the next statistics come soon
        }
    }
    void on_committed(std::uint64_t generation, const rd_kafka_topic_partition_t& p) noexcept override {
        progress_.committed(p.topic, p.partition, generation, p.offset);
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

    // ---- Statistics ----

    /// Renews the snapshot when it is due, and notifies of what progress has shown since.
    void publish(bool at_once) {
        if (!polls_.take_snapshot(at_once)) return;
        auto stats = counters_;
        stats.source = source_.stats();
        stats.max_poll_gap = polls_.max_gap();
        client_.report_letter_trouble();
        progress_.report(Clock::now(), [this](const ClientEvent& event) { on_notice(event); });
        progress_.fill(stats, Clock::now());
        const std::lock_guard lock{snapshot_mutex_};
        snapshot_ = std::move(stats);
    }

    Indexer& indexer_;
    DriverOptions options_;
    detail::ProgressBook progress_{options_.stall_after, detail::resets_to_end(options_)};
    DriverStats counters_; ///< those that the driver counts itself
    bool fatal_ = false;
    bool closed_ = false;
    std::atomic<bool> stop_requested_{false};
    detail::CloseDeadline close_by_;
    detail::PollMonitor polls_;
    mutable std::mutex snapshot_mutex_;
    DriverStats snapshot_;
    detail::TokenBucket rate_{options_.max_records_per_second};
    detail::RecordReader reader_;
    detail::Client client_;
    source_type source_;
    detail::HeldRecords held_; ///< gone before the client is
};

} // namespace bulkhead::inline v1::kafka
