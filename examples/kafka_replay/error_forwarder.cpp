// SPDX-License-Identifier: BSL-1.0
#include "error_forwarder.hpp"

#include "failure.hpp"
#include "kafka_setting.hpp"

#include <array>

#include <librdkafka/rdkafka.h>

namespace replay {

struct ErrorLogForwarder::State {
    rd_kafka_t* producer = nullptr;
    rd_kafka_topic_t* topic = nullptr;
    Counts counts;

    static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
        auto& counts = static_cast<State*>(self)->counts;
        ++(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? counts.delivered : counts.failed);
    }
};

ErrorLogForwarder::ErrorLogForwarder(const std::string& brokers, const std::string& topic,
                                     const std::vector<std::pair<std::string, std::string>>& settings)
    : state_{std::make_unique<State>()} {
    std::array<char, 512> error{};
    std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)> conf{rd_kafka_conf_new(),
                                                                            &rd_kafka_conf_destroy};
    const auto set = [&](const std::string& key, const std::string& value) { set_property(conf.get(), key, value); };
    set("bootstrap.servers", brokers);
    set("log_level", "0"); // the consumer says what is wrong with the brokers
    set("linger.ms", "100");
    set("compression.codec", "lz4");
    set("queue.buffering.max.kbytes", "16384");
    for (const auto& [key, value] : settings) set(key, value);
    rd_kafka_conf_set_opaque(conf.get(), state_.get());
    rd_kafka_conf_set_dr_msg_cb(conf.get(), &State::on_delivery);
    state_->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), error.data(), error.size());
    if (state_->producer == nullptr) throw UsageError{std::string{"Kafka producer: "} + error.data()};
    static_cast<void>(conf.release()); // the producer owns it now
    state_->topic = rd_kafka_topic_new(state_->producer, topic.c_str(), nullptr);
    if (state_->topic == nullptr) {
        rd_kafka_destroy(state_->producer);
        throw UsageError{"--error-topic " + topic + ": " + rd_kafka_err2str(rd_kafka_last_error())};
    }
}

ErrorLogForwarder::~ErrorLogForwarder() {
    rd_kafka_purge(state_->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_topic_destroy(state_->topic);
    rd_kafka_destroy(state_->producer);
}

void ErrorLogForwarder::forward(std::optional<std::string_view> key, std::string_view event) noexcept {
    auto* const payload = const_cast<char*>(event.data()); // NOLINT: librdkafka copies it
    const int failed = rd_kafka_produce(state_->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload,
                                        event.size(), key ? key->data() : nullptr, key ? key->size() : 0, nullptr);
    ++(failed == 0 ? state_->counts.forwarded : state_->counts.dropped);
    if (failed != 0 || (state_->counts.forwarded & 0xffU) == 0) poll();
}

void ErrorLogForwarder::poll() noexcept { rd_kafka_poll(state_->producer, 0); }

void ErrorLogForwarder::finish(std::chrono::milliseconds timeout) noexcept {
    rd_kafka_flush(state_->producer, static_cast<int>(timeout.count()));
}

ErrorLogForwarder::Counts ErrorLogForwarder::counts() const noexcept { return state_->counts; }

} // namespace replay
