// SPDX-License-Identifier: BSL-1.0
// A consumer of one's own over librdkafka's C++ wrapper, with a `KafkaSource` put into it: at least once, until Ctrl-C.
// Arguments: brokers, topic, URL. The same over the C API: librdkafka_loop.cpp.
#include <bulkhead/bulkhead.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>
#include <bulkhead/kafka/source.hpp>

#include <librdkafka/rdkafkacpp.h>

#include <csignal>
#include <deque>
#include <iostream>

namespace {

using namespace bulkhead;
std::sig_atomic_t volatile interrupted = 0;

/// What the source asks of the client.
struct Client {
    error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        return with(&RdKafka::KafkaConsumer::offsets_store, topic, partition, next);
    }
    error_code pause(std::string_view topic, std::int32_t partition) {
        return with(&RdKafka::KafkaConsumer::pause, topic, partition, RdKafka::Topic::OFFSET_INVALID);
    }
    error_code resume(std::string_view topic, std::int32_t partition) {
        return with(&RdKafka::KafkaConsumer::resume, topic, partition, RdKafka::Topic::OFFSET_INVALID);
    }
    std::unique_ptr<RdKafka::KafkaConsumer> consumer{};

private:
    template <class F>
    error_code with(F f, std::string_view topic, std::int32_t partition, std::int64_t offset) const {
        const std::unique_ptr<RdKafka::TopicPartition> one{
            RdKafka::TopicPartition::create(std::string{topic}, partition, offset)};
        std::vector<RdKafka::TopicPartition*> list{one.get()};
        const auto failed = (consumer.get()->*f)(list);
        const auto error = failed != RdKafka::ERR_NO_ERROR ? failed : one->err();
        return kafka::make_error(static_cast<rd_kafka_resp_err_t>(error)); // the same numbers
    }
};

struct ToLogs {
    Mapped operator()(const Record& record, Batch& out) const {
        const auto id = std::string{record.topic} + "-" + std::to_string(record.partition) + "-" +
                        std::to_string(record.offset); // the same for a redelivered record, which is then already there
        const auto wrong = out.append({.action = Action::create,
                                       .index = "logs",
                                       .id = id,
                                       .on_conflict = OnConflict::already_there,
                                       .source = *record.payload});
        return wrong ? Mapped::invalid : Mapped::operations;
    }
};

using Source = KafkaSource<BulkIndexer<HttpTransport>, Client, ToLogs>;
using Held = std::deque<std::unique_ptr<RdKafka::Message>>;

struct Rebalance final : RdKafka::RebalanceCb {
    Rebalance(Source& to_tell, Held& not_taken) : source{to_tell}, held{not_taken} {}
    void rebalance_cb(RdKafka::KafkaConsumer* consumer, RdKafka::ErrorCode what,
                      std::vector<RdKafka::TopicPartition*>& partitions) override {
        if (what == RdKafka::ERR__ASSIGN_PARTITIONS) {
            consumer->assign(partitions); // first, so that the source can pause them
            for (const auto* const one : partitions) source.assigned(one->topic(), one->partition());
            return;
        }
        held.clear(); // their next owner reads them
        if (consumer->assignment_lost()) {
            source.lost();
        } else {
            source.revoked(std::chrono::seconds{10}); // waits for what is under way, and stores it
            consumer->commitSync();                   // what is stored; never a list of one's own
        }
        consumer->unassign();
    }
    Source& source;
    Held& held;
};

Delivered deliver(Source& source, const RdKafka::Message& message) {
    const auto topic = message.topic_name();
    Record record{.topic = topic, .partition = message.partition(), .offset = message.offset()};
    if (message.key_pointer() != nullptr)
        record.key = {static_cast<const char*>(message.key_pointer()), message.key_len()};
    if (message.payload() != nullptr) record.payload = {static_cast<const char*>(message.payload()), message.len()};
    return source.deliver(record);
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) return std::cerr << "usage: rdkafkacpp_loop BROKERS TOPIC URL\n", 2;
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { interrupted = 1; });
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = argv[3]},
                                             IndexerOptions{.retry = {.max_age = unlimited}}};
    Client client;
    Source source{*indexer, client, ToLogs{}};
    Held held; // what the source has not taken, in order
    Rebalance rebalance{source, held};

    std::string error;
    const std::unique_ptr<RdKafka::Conf> conf{RdKafka::Conf::create(RdKafka::Conf::CONF_GLOBAL)};
    conf->set("bootstrap.servers", argv[1], error);
    conf->set("group.id", "rdkafkacpp_loop", error);
    conf->set("auto.offset.reset", "earliest", error);
    conf->set("enable.auto.offset.store", "false", error); // the source says what is stored; the client commits it
    conf->set("rebalance_cb", &rebalance, error);
    client.consumer.reset(RdKafka::KafkaConsumer::create(conf.get(), error));
    if (!client.consumer) return std::cerr << error << '\n', 1;
    client.consumer->subscribe({argv[2]});

    bool fatal = false; // any other error passes, and the client goes on by itself
    while (!interrupted && !source.stopped() && !fatal) {
        source.poll(); // settlements; pauses and resumes; stores offsets
        std::unique_ptr<RdKafka::Message> message{client.consumer->consume(source.accepting() ? 100 : 10)};
        fatal = message->err() == RdKafka::ERR__FATAL;
        if (fatal) std::cerr << message->errstr() << '\n';
        if (message->err() == RdKafka::ERR_NO_ERROR) held.push_back(std::move(message));
        while (!held.empty() && deliver(source, *held.front()) != Delivered::busy) held.pop_front();
    }
    held.clear();
    client.consumer->close(); // revokes: see above
    std::cout << source.stats().consumed << " records, " << indexer->stats().indexed << " indexed\n";
    return source.stopped() || fatal ? 1 : 0;
}
