// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

/// Writes dead letters to a topic, each acknowledged by the broker's delivery report.
///
/// What a message looks like: see `DriverOptions`.
///
/// librdkafka sends again for as long as it takes (`message.timeout.ms` is 0 unless configured); a report that is an
/// error is final. Reports come on a thread of librdkafka's.
class LetterProducer {
public:
    /// `configs`: the consumer's properties (what only a consumer has is passed over), then the producer's own.
    /// `quiet`: nothing is logged, `take_trouble` says all. Throws `InvalidOption`.
    LetterProducer(const std::string& brokers, std::string topic,
                   std::array<const std::vector<std::pair<std::string, std::string>>*, 2> configs, bool quiet)
        : topic_{std::move(topic)} {
        ConfPtr conf{rd_kafka_conf_new()};
        set_property(*conf, "bootstrap.servers", brokers);
        set_property(*conf, "acks", "all");
        set_property(*conf, "message.timeout.ms", "0");
        set_property(*conf, "linger.ms", "5");
        // What may be under way is bounded by the source and by the indexer's budget. librdkafka's own limits would be
        // met before those in an outage, and a letter that it does not take is a final failure.
        set_property(*conf, "queue.buffering.max.messages", "0");
        set_property(*conf, "queue.buffering.max.kbytes", "2147483647");
        set_property(*conf, "log_level", "3"); // or it would name each property that is a consumer's only
        for (const auto* config : configs)
            for (const auto& [key, value] : *config) set_property(*conf, key, value);
        check(*conf);
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
        rd_kafka_destroy(rk_); // no report comes after this
    }                          // and the receipts that are left say that their letters are not safe
    LetterProducer(const LetterProducer&) = delete;
    LetterProducer& operator=(const LetterProducer&) = delete;

    /// Never blocks; the receipt says everything.
    void write(const KafkaLetter& letter, LetterReceipt receipt) noexcept {
        std::optional<std::uint64_t> id;
        try {
            id = keep(std::move(receipt));
            if (const auto error = produce(letter, id.value())) take(id.value())(error);
        } catch (const std::exception&) { // out of memory: a receipt that is dropped says so
            if (id) static_cast<void>(take(id.value()));
        }
    }

    /// What librdkafka has reported. `fatal`: it writes no more; otherwise it goes on by itself.
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
    using Headers = std::unique_ptr<rd_kafka_headers_t, Destroy<rd_kafka_headers_destroy>>;
    using Bytes = std::optional<std::string_view>;
    static constexpr const char* operation_header = "bulkhead.operation";

    /// A letter is safe when all brokers that should have it have it, and somebody says so.
    static void check(const rd_kafka_conf_t& conf) {
        const auto refuse = [&](const char* key, std::string_view only, std::initializer_list<std::string_view> wrong) {
            std::array<char, 32> text{};
            auto size = text.size();
            if (rd_kafka_conf_get(&conf, key, text.data(), &size) != RD_KAFKA_CONF_OK) return;
            for (const std::string_view value : wrong)
                if (value == text.data())
                    throw InvalidOption{{key, std::string{only} + ", of the producer of dead letters", text.data()}};
        };
        refuse("delivery.report.only.error", "false", {"true"});
        refuse("acks", "all", {"0", "1"});
    }

    error_code produce(const KafkaLetter& letter, std::uint64_t id) {
        std::string operation;
        if (!letter.action_line.empty()) operation.append(letter.action_line).append("\n");
        operation.append(letter.source);
        if (!letter.action_line.empty() && !letter.source.empty()) operation.append("\n");

        Headers headers{rd_kafka_headers_new(8)};
        const auto add = [&](const char* name, std::string_view value) {
            rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
        };
        const auto* const record = letter.record;
        if (record != nullptr)
            for (const auto& header : record->headers())
                rd_kafka_header_add(headers.get(), header.name.data(), static_cast<ssize_t>(header.name.size()),
                                    header.value ? header.value->data() : nullptr,
                                    header.value ? static_cast<ssize_t>(header.value->size()) : 0);
        if (!letter.topic.empty()) {
            add("bulkhead.topic", letter.topic);
            add("bulkhead.partition", std::to_string(letter.partition));
            if (letter.offset >= 0) add("bulkhead.offset", std::to_string(letter.offset));
        }
        add("bulkhead.type", letter.type);
        if (!letter.reason.empty()) add("bulkhead.reason", letter.reason);
        if (letter.status != 0) add("bulkhead.status", std::to_string(letter.status));
        if (letter.attempts != 0) add("bulkhead.attempts", std::to_string(letter.attempts));
        if (record != nullptr && !operation.empty()) add(operation_header, operation);
        if (record == nullptr) return send(headers, {}, operation, -1, id);
        const auto error = send(headers, record->key, record->payload, record->timestamp_ms, id);
        if (error != make_error(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) || !drop_operation(headers)) return error;
        return send(headers, record->key, record->payload, record->timestamp_ms, id);
    }
    /// The record alone may fit, as it fitted its own topic. False when there was no operation.
    static bool drop_operation(const Headers& headers) noexcept {
        return rd_kafka_header_remove(headers.get(), operation_header) == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    /// The same when it was a broker that found the message too large.
    bool send_without_operation(const rd_kafka_message_t& message, std::uint64_t id) noexcept {
        rd_kafka_headers_t* detached = nullptr;
        auto* const from = const_cast<rd_kafka_message_t*>(&message); // NOLINT: ours, until its event ends
        if (rd_kafka_message_detach_headers(from, &detached) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
        Headers headers{detached};
        if (!drop_operation(headers)) return false;
        const auto bytes = [](const void* data, std::size_t size) {
            return data == nullptr ? Bytes{} : std::string_view{static_cast<const char*>(data), size};
        };
        rd_kafka_timestamp_type_t type{};
        const auto timestamp_ms = rd_kafka_message_timestamp(&message, &type);
        return !send(headers, bytes(message.key, message.key_len), bytes(message.payload, message.len),
                     type == RD_KAFKA_TIMESTAMP_CREATE_TIME ? timestamp_ms : -1, id);
    }
    /// Takes the headers when it succeeds.
    error_code send(Headers& headers, Bytes key, Bytes value, std::int64_t timestamp_ms, std::uint64_t id) noexcept {
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

    std::uint64_t keep(LetterReceipt receipt) {
        const std::lock_guard lock{mutex_};
        receipts_.emplace(++last_, std::move(receipt));
        return last_;
    }
    LetterReceipt take(std::uint64_t id) noexcept {
        const std::lock_guard lock{mutex_};
        const auto found = receipts_.find(id);
        auto receipt = std::move(found->second);
        receipts_.erase(found);
        return receipt;
    }
    void reported(EventPtr event) noexcept {
        if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
            const std::lock_guard lock{mutex_};
            if (trouble_ && trouble_->fatal) return;
            try {
                trouble_ = Trouble{rd_kafka_fatal_error(rk_, nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR,
                                   make_error(rd_kafka_event_error(event.get())),
                                   "dead-letter topic " + topic_ + ": " + rd_kafka_event_error_string(event.get())};
            } catch (const std::bad_alloc&) { // not said, then
            }
            return;
        }
        while (const auto* const message = rd_kafka_event_message_next(event.get())) {
            const auto id = reinterpret_cast<std::uintptr_t>(message->_private); // NOLINT
            if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && send_without_operation(*message, id)) continue;
            take(id)(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? error_code{} : make_error(message->err));
        }
    }

    std::string topic_;
    rd_kafka_t* rk_ = nullptr;
    std::mutex mutex_;
    std::uint64_t last_ = 0;
    std::unordered_map<std::uint64_t, LetterReceipt> receipts_;
    std::optional<Trouble> trouble_;
};

} // namespace bulkhead::inline v1::kafka::detail
