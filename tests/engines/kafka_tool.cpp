// SPDX-License-Identifier: BSL-1.0
//
// What the engine checks need of a real Kafka and must not take from the code under test:
//
//     kafka_tool create  BROKERS TOPIC PARTITIONS
//     kafka_tool produce BROKERS TOPIC PARTITIONS RECORDS [FIRST [POISON_EVERY]]
//                                                             numbered log events of about 400 bytes, spread evenly
//     kafka_tool transactions BROKERS TOPIC PARTITIONS RECORDS
//                                                             so many events in transactions of 100, each followed by
//                                                             an aborted one of 100 more, then one that is left open
//     kafka_tool lag     BROKERS TOPIC GROUP                  a line for each partition: its number, the committed
//                                                             offset (-1: none) and the end
//     kafka_tool sample  BROKERS TOPIC EVERY                  a line for every so-manieth record, up to the present
//                                                             ends: partition, offset, timestamp, payload
//
//     kafka_tool letters BROKERS TOPIC                        of a dead-letter topic, a line for each letter: the
//                                                             partition and offset it came from, and its type
//
// Exit status 0; or 1 and what went wrong on standard error.

#include <librdkafka/rdkafka.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

template <auto Destroy>
struct By {
    template <class T>
    void operator()(T* object) const {
        Destroy(object);
    }
};
using Client = std::unique_ptr<rd_kafka_t, By<&rd_kafka_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, By<&rd_kafka_topic_destroy>>;
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, By<&rd_kafka_topic_partition_list_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, By<&rd_kafka_queue_destroy>>;

constexpr int patience_ms = 30'000;

void require(rd_kafka_resp_err_t error, const std::string& what) {
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error{what + ": " + rd_kafka_err2str(error)};
}

Client connect(rd_kafka_type_t type, const std::vector<std::pair<std::string, std::string>>& settings) {
    std::array<char, 512> error{};
    auto* const conf = rd_kafka_conf_new();
    for (const auto& [key, value] : settings)
        if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), error.data(), error.size()) != RD_KAFKA_CONF_OK)
            throw std::runtime_error{error.data()};
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* message, void*) {
            if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) return;
            std::fprintf(stderr, "kafka_tool: a record was refused: %s\n", rd_kafka_err2str(message->err));
            std::_Exit(1);
        });
    Client client{rd_kafka_new(type, conf, error.data(), error.size())};
    if (!client) throw std::runtime_error{error.data()};
    return client;
}
Client consumer(const std::string& brokers, const std::string& group) {
    return connect(RD_KAFKA_CONSUMER, {{"bootstrap.servers", brokers},
                                       {"group.id", group},
                                       {"enable.auto.commit", "false"},
                                       {"auto.offset.reset", "earliest"}});
}

void create(const std::string& brokers, const std::string& name, int partitions) {
    const auto client = connect(RD_KAFKA_PRODUCER, {{"bootstrap.servers", brokers}});
    std::array<char, 512> text{};
    auto* topic = rd_kafka_NewTopic_new(name.c_str(), partitions, 1, text.data(), text.size());
    const std::unique_ptr<rd_kafka_NewTopic_t, By<&rd_kafka_NewTopic_destroy>> owner{topic};
    const Queue queue{rd_kafka_queue_new(client.get())};
    rd_kafka_CreateTopics(client.get(), &topic, 1, nullptr, queue.get());
    const std::unique_ptr<rd_kafka_event_t, By<&rd_kafka_event_destroy>> event{
        rd_kafka_queue_poll(queue.get(), patience_ms)};
    if (!event) throw std::runtime_error{"no answer"};
    require(rd_kafka_event_error(event.get()), "create " + name);
    std::size_t count = 0;
    const auto* const* results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
    for (std::size_t i = 0; i < count; ++i) require(rd_kafka_topic_result_error(results[i]), "create " + name);
}

std::string event(std::int64_t number) {
    const auto n = std::to_string(number);
    const auto digits = std::string(16 - n.size(), '0') + n;
    return R"({"service_name":"svc-)" + std::to_string(number % 7) + R"(","environment":"production","timestamp":)" +
           std::to_string(1'763'900'000'000 + number) + R"(,"level":"info","message":"request )" + n +
           " was answered by the payment gateway – after the usual moment of thought, \\\"quoted\\\" for good measure, "
           R"(padded to a length that such lines have","trace_id":"4bf92f3577b34da6)" +
           digits + R"(","span_id":")" + digits + R"(","http_method":"GET","http_path":"/api/v1/orders/)" + n +
           R"(","http_status_code":200,"labels":{"number":")" + n + R"(","region":"eu-west-1"}})";
}

/// Of every `every` events, one is no event and one is refused by a mapping in which `labels.poison` is a number.
std::string poisoned(std::int64_t number, std::int64_t every) {
    if (every > 0 && number % every == 7) return "no event " + std::to_string(number);
    auto text = event(number);
    if (every > 0 && number % every == 13) text.insert(text.size() - 2, R"(,"poison":"no number")");
    return text;
}

/// Event `number` goes to partition `number % partitions`; nothing is written twice, whatever the broker does.
void produce(const std::string& brokers, const std::string& name, int partitions, std::int64_t records,
             std::int64_t first, std::int64_t poison_every) {
    const auto client = connect(RD_KAFKA_PRODUCER, {{"bootstrap.servers", brokers},
                                                    {"enable.idempotence", "true"},
                                                    {"message.timeout.ms", "600000"},
                                                    {"log_level", "0"},
                                                    {"linger.ms", "20"},
                                                    {"compression.codec", "lz4"},
                                                    {"queue.buffering.max.messages", "500000"}});
    const Topic topic{rd_kafka_topic_new(client.get(), name.c_str(), nullptr)};
    for (std::int64_t number = first; number < first + records; ++number) {
        auto payload = poisoned(number, poison_every);
        const auto partition = static_cast<std::int32_t>(number % partitions);
        while (rd_kafka_produce(topic.get(), partition, RD_KAFKA_MSG_F_COPY, payload.data(), payload.size(), nullptr, 0,
                                nullptr) != 0) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) require(rd_kafka_last_error(), "produce");
            rd_kafka_poll(client.get(), 10);
        }
        if (number % 4096 == 0) rd_kafka_poll(client.get(), 0);
    }
    require(rd_kafka_flush(client.get(), 20 * patience_ms), "flush");
}

void require(rd_kafka_error_t* error, const std::string& what) {
    const std::unique_ptr<rd_kafka_error_t, By<&rd_kafka_error_destroy>> owner{error};
    if (error != nullptr) throw std::runtime_error{what + ": " + rd_kafka_error_string(error)};
}

/// Committed, aborted, committed, aborted, …; the last one stays open, as its producer is gone.
void transactions(const std::string& brokers, const std::string& name, int partitions, std::int64_t records) {
    constexpr std::int64_t size = 100;
    constexpr std::int64_t void_numbers = 1'000'000'000; // of events that nobody may see
    const auto client = connect(RD_KAFKA_PRODUCER, {{"bootstrap.servers", brokers},
                                                    {"transactional.id", name},
                                                    {"transaction.timeout.ms", "600000"},
                                                    {"log_level", "0"},
                                                    {"linger.ms", "5"}});
    const Topic topic{rd_kafka_topic_new(client.get(), name.c_str(), nullptr)};
    const auto write = [&](std::int64_t first) {
        require(rd_kafka_begin_transaction(client.get()), "begin");
        for (auto number = first; number < first + size; ++number) {
            auto payload = event(number);
            if (rd_kafka_produce(topic.get(), static_cast<std::int32_t>(number % partitions), RD_KAFKA_MSG_F_COPY,
                                 payload.data(), payload.size(), nullptr, 0, nullptr) != 0)
                require(rd_kafka_last_error(), "produce");
        }
        require(rd_kafka_flush(client.get(), patience_ms), "flush");
    };
    require(rd_kafka_init_transactions(client.get(), patience_ms), "init");
    for (std::int64_t first = 0; first < records; first += size) {
        write(first);
        require(rd_kafka_commit_transaction(client.get(), patience_ms), "commit");
        write(void_numbers + first);
        require(rd_kafka_abort_transaction(client.get(), patience_ms), "abort");
    }
    write(2 * void_numbers);
}

/// Calls `each` with a partition and its end.
void for_each_partition(rd_kafka_t* client, const std::string& name,
                        const std::function<void(std::int32_t, std::int64_t)>& each) {
    const rd_kafka_metadata_t* found = nullptr;
    const Topic topic{rd_kafka_topic_new(client, name.c_str(), nullptr)};
    require(rd_kafka_metadata(client, 0, topic.get(), &found, patience_ms), "metadata");
    const std::unique_ptr<const rd_kafka_metadata_t, By<&rd_kafka_metadata_destroy>> owner{found};
    if (found->topic_cnt != 1) throw std::runtime_error{"no topic " + name};
    require(found->topics[0].err, name);
    for (int i = 0; i < found->topics[0].partition_cnt; ++i) {
        std::int64_t low = 0;
        std::int64_t high = 0;
        require(rd_kafka_query_watermark_offsets(client, name.c_str(), i, &low, &high, patience_ms), "watermarks");
        each(i, high);
    }
}

void lag(const std::string& brokers, const std::string& name, const std::string& group) {
    const auto client = consumer(brokers, group);
    for_each_partition(client.get(), name, [&](std::int32_t partition, std::int64_t end) {
        const Partitions asked{rd_kafka_topic_partition_list_new(1)};
        const auto* const entry = rd_kafka_topic_partition_list_add(asked.get(), name.c_str(), partition);
        require(rd_kafka_committed(client.get(), asked.get(), patience_ms), "committed offsets");
        std::printf("%d %lld %lld\n", partition, static_cast<long long>(entry->offset < 0 ? -1 : entry->offset),
                    static_cast<long long>(end));
    });
}

/// Calls `each` with every message of the topic.
void read_all(const std::string& brokers, const std::string& name,
              const std::function<void(const rd_kafka_message_t&)>& each);

/// Where each dead letter came from, and why: a line of partition, offset and type.
void letters(const std::string& brokers, const std::string& name) {
    read_all(brokers, name, [](const rd_kafka_message_t& message) {
        rd_kafka_headers_t* headers = nullptr;
        require(rd_kafka_message_headers(&message, &headers), "headers");
        const auto header = [&](const char* key) {
            const void* value = nullptr;
            std::size_t size = 0;
            require(rd_kafka_header_get_last(headers, key, &value, &size), key);
            return std::string{static_cast<const char*>(value), size};
        };
        std::printf("%s %s %s\n", header("bulkhead.partition").c_str(), header("bulkhead.offset").c_str(),
                    header("bulkhead.type").c_str());
    });
}

void sample(const std::string& brokers, const std::string& name, std::int64_t every) {
    read_all(brokers, name, [&](const rd_kafka_message_t& message) {
        if (message.offset % every != 0) return;
        rd_kafka_timestamp_type_t kind{};
        std::printf("%d %lld %lld %.*s\n", message.partition, static_cast<long long>(message.offset),
                    static_cast<long long>(rd_kafka_message_timestamp(&message, &kind)), static_cast<int>(message.len),
                    static_cast<const char*>(message.payload));
    });
}

void read_all(const std::string& brokers, const std::string& name,
              const std::function<void(const rd_kafka_message_t&)>& each) {
    const auto client = consumer(brokers, "kafka_tool");
    const Partitions all{rd_kafka_topic_partition_list_new(8)};
    std::int64_t left = 0;
    for_each_partition(client.get(), name, [&](std::int32_t partition, std::int64_t end) {
        rd_kafka_topic_partition_list_add(all.get(), name.c_str(), partition)->offset = 0;
        left += end;
    });
    require(rd_kafka_assign(client.get(), all.get()), "assign");
    while (left > 0) {
        const std::unique_ptr<rd_kafka_message_t, By<&rd_kafka_message_destroy>> message{
            rd_kafka_consumer_poll(client.get(), patience_ms)};
        if (!message) throw std::runtime_error{"no more records, and the ends are not reached"};
        require(message->err, "consume");
        --left;
        each(*message);
    }
    rd_kafka_consumer_close(client.get());
}

} // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> a(argv + 1, argv + argc);
    try {
        if (a.size() == 4 && a[0] == "create") {
            create(a[1], a[2], std::stoi(a[3]));
        } else if (a.size() >= 5 && a.size() <= 7 && a[0] == "produce") {
            produce(a[1], a[2], std::stoi(a[3]), std::stoll(a[4]), a.size() > 5 ? std::stoll(a[5]) : 0,
                    a.size() > 6 ? std::stoll(a[6]) : 0);
        } else if (a.size() == 5 && a[0] == "transactions") {
            transactions(a[1], a[2], std::stoi(a[3]), std::stoll(a[4]));
        } else if (a.size() == 3 && a[0] == "letters") {
            letters(a[1], a[2]);
        } else if (a.size() == 4 && a[0] == "lag") {
            lag(a[1], a[2], a[3]);
        } else if (a.size() == 4 && a[0] == "sample") {
            sample(a[1], a[2], std::stoll(a[3]));
        } else {
            std::fputs(
                "usage: kafka_tool create|produce|transactions|lag|sample|letters BROKERS TOPIC ..., see the source\n",
                stderr);
            return 2;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "kafka_tool: %s\n", error.what());
        return 1;
    }
    return 0;
}
