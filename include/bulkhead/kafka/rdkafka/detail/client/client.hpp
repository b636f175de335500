// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/client_config.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/client_events.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/group_offsets.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/partition_list.hpp>
#include <bulkhead/kafka/rdkafka/detail/client/rebalancer.hpp>
#include <bulkhead/kafka/rdkafka/detail/commit/offset_committer.hpp>
#include <bulkhead/kafka/rdkafka/detail/letters/letter_producer.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace bulkhead::inline v1::kafka::detail {

/// The consumer handle: what `KafkaSource` asks of a client, and what the driver does with it. It calls its listener on
/// the thread that polls it.
class Client {
public:
    /// Joins the group in the background. Throws `InvalidOption`, or `std::runtime_error` when the client cannot be
    /// started.
    Client(const DriverOptions& options, ClientListener& listener)
        : callbacks_{std::make_unique<Callbacks>(listener)}, write_letter_{options.write_letter} {
        auto conf = make_conf(options);
        if (!options.dead_letter_topic.empty())
            letters_ = std::make_unique<LetterProducer>(options.brokers, options.dead_letter_topic,
                                                        std::array{&options.config, &options.dead_letter_config},
                                                        bool{options.on_event});
        set_callbacks(*conf, bool{options.on_event});
        start(std::move(conf), options);
        subscribe(options);
    }
    ~Client() { destroy(false); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // ---- The Consumer and OffsetSetter concepts ----

    error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        return callbacks_->commits.store(topic, partition, next);
    }
    error_code set_offset(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        return callbacks_->commits.set(topic, partition, next);
    }
    error_code pause(std::string_view topic, std::int32_t partition) noexcept {
        const auto list = list_of(topic, partition);
        return error_of(rd_kafka_pause_partitions(rk_, list.get()), *list);
    }
    error_code resume(std::string_view topic, std::int32_t partition) noexcept {
        const auto list = list_of(topic, partition);
        return error_of(rd_kafka_resume_partitions(rk_, list.get()), *list);
    }

    // ---- LetterWriter ----

    [[nodiscard]] bool writes_letters() const noexcept { return letters_ != nullptr || write_letter_; }
    void write_letter(const KafkaLetter& letter, LetterReceipt receipt) noexcept {
        if (letters_) return letters_->write(letter, std::move(receipt));
        try {
            write_letter_(letter, std::move(receipt));
        } catch (...) { // the receipt is destroyed with it, and reports that the letter is not safe
        }
    }

    // ---- For the driver ----

    /// The next record, or nothing. Serves callbacks; errors go to the listener.
    [[nodiscard]] MessagePtr poll(std::chrono::milliseconds timeout) noexcept {
        callbacks_->commits.send_exact();
        MessagePtr message{
            rd_kafka_consumer_poll(rk_, static_cast<int>(std::clamp<std::int64_t>(timeout.count(), 0, 60'000)))};
        if (!message || message->err == RD_KAFKA_RESP_ERR_NO_ERROR) return message;
        if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) report_error(*message);
        return nullptr;
    }
    /// See `OffsetCommitter::commit_stored`.
    bool commit_stored(std::chrono::milliseconds timeout) noexcept {
        return callbacks_->commits.commit_stored(timeout);
    }
    /// Requests what the group has committed for these partitions. `serve_answers` calls the listener with the answer.
    void request_committed(const rd_kafka_topic_partition_list_t& list, std::uint64_t generation) noexcept {
        group_offsets_->request(list, generation);
    }
    /// Hands the answers that have come to the listener. Never waits.
    void serve_answers() noexcept { group_offsets_->serve(callbacks_->events); }
    /// Notifies the listener of what the producer of dead letters has reported. Nothing after `destroy`.
    void report_letter_trouble() {
        if (!letters_) return;
        if (const auto trouble = letters_->take_trouble())
            callbacks_->events.notify(error_event(trouble->error, trouble->text, trouble->fatal));
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
        callbacks_->events.disconnect();
        group_offsets_.reset();
        const auto free_it = [](rd_kafka_t* rk, std::unique_ptr<Callbacks> callbacks,
                                std::unique_ptr<LetterProducer> letters) {
            letters.reset();
            if (callbacks->rebalancer.was_assigned() || !aborts_unassigned(rk)) {
                rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            } else {
                static_cast<void>(callbacks.release()); // the handle still refers to them
            }
        };
        auto* const rk = std::exchange(rk_, nullptr);
        if (!elsewhere) return free_it(rk, std::move(callbacks_), std::move(letters_));
        try {
            std::thread{free_it, rk, std::move(callbacks_), std::move(letters_)}.detach();
        } catch (const std::exception&) { // there is no thread: the handle is leaked rather than destroyed here
            static_cast<void>(callbacks_.release());
        }
    }
    /// Null after `destroy`.
    [[nodiscard]] rd_kafka_t* handle() const noexcept { return rk_; }

private:
    /// What librdkafka's callbacks reach; it lives as long as the handle.
    struct Callbacks {
        explicit Callbacks(ClientListener& listener) noexcept : events{listener} {}
        ClientEvents events;
        OffsetCommitter commits{events};
        Rebalancer rebalancer{events, commits};
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
    [[nodiscard]] static Callbacks& callbacks_of(void* opaque) noexcept { return *static_cast<Callbacks*>(opaque); }

    void set_callbacks(rd_kafka_conf_t& conf, bool takes_log) noexcept {
        rd_kafka_conf_set_opaque(&conf, callbacks_.get());
        rd_kafka_conf_set_rebalance_cb(
            &conf, [](rd_kafka_t* rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list, void* opaque) {
                callbacks_of(opaque).rebalancer.rebalance(rk, what, list);
            });
        rd_kafka_conf_set_error_cb(&conf, [](rd_kafka_t* rk, int code, const char* reason, void* opaque) {
            const bool fatal = code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_fatal_error(rk, nullptr, 0) != 0;
            const auto error = make_error(static_cast<rd_kafka_resp_err_t>(code));
            callbacks_of(opaque).events.notify(error_event(error, reason, fatal));
        });
        rd_kafka_conf_set_offset_commit_cb(
            &conf, [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* offsets, void* opaque) {
                callbacks_of(opaque).commits.answered(error, offsets);
            });
        rd_kafka_conf_set_stats_cb(&conf, [](rd_kafka_t*, char* json, std::size_t size, void* opaque) {
            callbacks_of(opaque).events.call([&](ClientListener& to) { to.on_statistics({json, size}); });
            return 0; // librdkafka frees the text
        });
        if (!takes_log) return;
        rd_kafka_conf_set_log_cb(&conf, [](const rd_kafka_t* rk, int level, const char*, const char* text) {
            const ClientEvent line{.kind = ClientEvent::Kind::log, .level = level, .text = text};
            callbacks_of(rd_kafka_opaque(rk)).events.notify(line);
        });
    }
    void start(ConfPtr conf, const DriverOptions& options) {
        std::array<char, 512> error{};
        rk_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), error.data(), error.size());
        if (rk_ == nullptr)
            throw InvalidOption{{"DriverOptions", "a configuration that librdkafka takes", error.data()}};
        static_cast<void>(conf.release()); // the client owns it now
        if (options.on_event) rd_kafka_set_log_queue(rk_, nullptr);
        rd_kafka_poll_set_consumer(rk_);
        callbacks_->commits.attach(rk_);
        group_offsets_.emplace(rk_, options.group);
    }
    void subscribe(const DriverOptions& options) {
        const ListPtr topics{rd_kafka_topic_partition_list_new(static_cast<int>(options.topics.size()))};
        for (const auto& topic : options.topics)
            rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
        if (const auto failed = rd_kafka_subscribe(rk_, topics.get())) {
            destroy(false);
            throw InvalidOption{{"topics", "names of topics", rd_kafka_err2str(failed)}};
        }
    }
    void report_error(const rd_kafka_message_t& message) noexcept {
        const auto* const text = rd_kafka_message_errstr(&message);
        // A consumer's fatal error comes as a message, not by the callback.
        const bool fatal = rd_kafka_fatal_error(rk_, nullptr, 0) != 0;
        auto event = error_event(make_error(message.err), text == nullptr ? "" : text, fatal);
        if (message.rkt != nullptr) {
            event.topic = rd_kafka_topic_name(message.rkt);
            event.partition = message.partition;
        }
        callbacks_->events.notify(event);
        callbacks_->events.call([&](ClientListener& listener) { listener.on_error_message(event); });
    }

    std::unique_ptr<Callbacks> callbacks_;
    std::unique_ptr<LetterProducer> letters_;
    std::function<void(const KafkaLetter&, LetterReceipt)> write_letter_; ///< where there is no producer
    rd_kafka_t* rk_ = nullptr;
    std::optional<GroupOffsets> group_offsets_; ///< as long as there is a handle
};
static_assert(LetterWriter<Client>);
static_assert(OffsetSetter<Client>);

} // namespace bulkhead::inline v1::kafka::detail
