// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/rdkafka/detail/letters/letter_config.hpp>
#include <bulkhead/kafka/rdkafka/detail/letters/letter_message.hpp>
#include <bulkhead/kafka/rdkafka/detail/letters/letter_receipts.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::kafka::detail {

/// Writes dead letters to a topic, each acknowledged by the broker's delivery report.
///
/// What a message looks like: see `DriverOptions`.
///
/// librdkafka sends again for as long as it takes (`message.timeout.ms` is 0 unless configured); a report that is an
/// error is final. Reports come on a thread of librdkafka's.
class LetterProducer {
public:
    /// `configs`: see `make_letter_conf`. `quiet`: nothing is logged, `take_trouble` has it all. Throws
    /// `InvalidOption`.
    LetterProducer(const std::string& brokers, std::string topic, std::array<const Properties*, 2> configs, bool quiet)
        : topic_{std::move(topic)} {
        auto conf = make_letter_conf(brokers, configs);
        if (quiet) rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
        rd_kafka_conf_set_opaque(conf.get(), this);
        rd_kafka_conf_set_events(conf.get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
        rd_kafka_conf_set_background_event_cb(conf.get(), [](rd_kafka_t*, rd_kafka_event_t* event, void* self) {
            static_cast<LetterProducer*>(self)->reported(EventPtr{event});
        });
        std::array<char, 512> error{};
        rk_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), error.data(), error.size());
        if (rk_ == nullptr)
            throw InvalidOption{{"dead_letter_config", "a configuration that librdkafka takes", error.data()}};
        static_cast<void>(conf.release()); // the producer owns it now
        const QueuePtr reports{rd_kafka_queue_get_main(rk_)};
        const QueuePtr background{rd_kafka_queue_get_background(rk_)};
        rd_kafka_queue_forward(reports.get(), background.get());
    }
    ~LetterProducer() {
        rd_kafka_purge(rk_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(rk_); // no report comes after this, and receipts that are left report unsafe letters
    }
    LetterProducer(const LetterProducer&) = delete;
    LetterProducer& operator=(const LetterProducer&) = delete;

    /// Never blocks; the receipt reports everything.
    void write(const KafkaLetter& letter, LetterReceipt receipt) noexcept {
        std::optional<std::uint64_t> id;
        try {
            id = receipts_.keep(std::move(receipt));
            if (const auto error = produce(letter, id.value())) receipts_.take(id.value())(error);
        } catch (const std::exception&) { // out of memory: a receipt that is dropped reports it
            if (id) static_cast<void>(receipts_.take(id.value()));
        }
    }

    /// What librdkafka has reported. `fatal`: it writes no more; otherwise it recovers by itself.
    struct Trouble {
        bool fatal = false;
        error_code error;
        std::string text;
    };
    /// The latest since the last call, or the fatal one: a broker is down, …
    [[nodiscard]] std::optional<Trouble> take_trouble() {
        const std::lock_guard lock{mutex_};
        return std::exchange(trouble_, std::nullopt);
    }

private:
    using EventPtr = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
    using Bytes = std::optional<std::string_view>;

    error_code produce(const KafkaLetter& letter, std::uint64_t id) {
        const auto operation = operation_lines(letter);
        auto headers = headers_of(letter, operation);
        const auto* const record = letter.record;
        if (record == nullptr) return send(headers, {}, operation, -1, id);
        const auto error = send(headers, record->key, record->payload, record->timestamp_ms, id);
        if (error != make_error(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) || !drop_operation(*headers)) return error;
        return send(headers, record->key, record->payload, record->timestamp_ms, id);
    }
    /// When a broker has found the message too large.
    bool send_without_operation(const rd_kafka_message_t& message, std::uint64_t id) noexcept {
        rd_kafka_headers_t* detached = nullptr;
        auto* const from = const_cast<rd_kafka_message_t*>(&message); // NOLINT: ours, until its event ends
        if (rd_kafka_message_detach_headers(from, &detached) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
        HeadersPtr headers{detached};
        if (!drop_operation(*headers)) return false;
        const auto bytes = [](const void* data, std::size_t size) {
            return data == nullptr ? Bytes{} : std::string_view{static_cast<const char*>(data), size};
        };
        rd_kafka_timestamp_type_t type{};
        const auto timestamp_ms = rd_kafka_message_timestamp(&message, &type);
        return !send(headers, bytes(message.key, message.key_len), bytes(message.payload, message.len),
                     type == RD_KAFKA_TIMESTAMP_CREATE_TIME ? timestamp_ms : -1, id);
    }
    /// Takes the headers when it succeeds.
    error_code send(HeadersPtr& headers, Bytes key, Bytes value, std::int64_t timestamp_ms, std::uint64_t id) noexcept {
        std::array<rd_kafka_vu_t, 7> fields{};
        std::size_t count = 0;
        const auto field = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
            fields[count].vtype = type;
            return fields[count++];
        };
        const auto memory = [&](rd_kafka_vtype_t type, std::string_view bytes) {
            auto& mem = field(type).u.mem;
            mem.ptr = const_cast<char*>(bytes.data() == nullptr ? "" : bytes.data()); // NOLINT: copied, not changed
            mem.size = bytes.size();
        };
        field(RD_KAFKA_VTYPE_TOPIC).u.cstr = topic_.c_str();
        field(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
        field(RD_KAFKA_VTYPE_OPAQUE).u.ptr = reinterpret_cast<void*>(id); // NOLINT: a number, never followed
        field(RD_KAFKA_VTYPE_HEADERS).u.headers = headers.get();
        if (key) memory(RD_KAFKA_VTYPE_KEY, *key);
        if (value) memory(RD_KAFKA_VTYPE_VALUE, *value);
        if (timestamp_ms >= 0) field(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = timestamp_ms;
        const ErrorPtr error{rd_kafka_produceva(rk_, fields.data(), count)};
        if (error) return make_error(rd_kafka_error_code(error.get()));
        static_cast<void>(headers.release()); // the message owns them now
        return {};
    }

    void reported(EventPtr event) noexcept {
        if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
            const std::lock_guard lock{mutex_};
            if (trouble_ && trouble_->fatal) return;
            try {
                trouble_ = Trouble{rd_kafka_fatal_error(rk_, nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR,
                                   make_error(rd_kafka_event_error(event.get())),
                                   "dead-letter topic " + topic_ + ": " + rd_kafka_event_error_string(event.get())};
            } catch (const std::bad_alloc&) { // the trouble is not reported
            }
            return;
        }
        while (const auto* const message = rd_kafka_event_message_next(event.get())) {
            const auto id = reinterpret_cast<std::uintptr_t>(message->_private); // NOLINT
            if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && send_without_operation(*message, id)) continue;
            receipts_.take(id)(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? error_code{} : make_error(message->err));
        }
    }

    std::string topic_;
    rd_kafka_t* rk_ = nullptr;
    LetterReceipts receipts_;
    std::mutex mutex_; ///< of `trouble_`
    std::optional<Trouble> trouble_;
};

} // namespace bulkhead::inline v1::kafka::detail
