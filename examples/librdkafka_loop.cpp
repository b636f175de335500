// SPDX-License-Identifier: BSL-1.0
// A consumer of one's own over librdkafka's C API, with a `KafkaSource` put into it: at least once, until Ctrl-C.
// Arguments: brokers, topic, URL. Who has no loop yet takes `kafka::Driver`: kafka_to_logs.cpp.
#include <bulkhead/bulkhead.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>
#include <bulkhead/kafka/source.hpp>

#include <csignal>
#include <deque>
#include <iostream>

namespace {

using namespace bulkhead;
std::sig_atomic_t volatile interrupted = 0;

/// What the source asks of the client.
struct Client {
    error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        return with(rd_kafka_offsets_store, topic, partition, next);
    }
    error_code pause(std::string_view topic, std::int32_t partition) {
        return with(rd_kafka_pause_partitions, topic, partition, RD_KAFKA_OFFSET_INVALID);
    }
    error_code resume(std::string_view topic, std::int32_t partition) {
        return with(rd_kafka_resume_partitions, topic, partition, RD_KAFKA_OFFSET_INVALID);
    }
    rd_kafka_t* rk = nullptr;

private:
    template <class F>
    error_code with(F f, std::string_view topic, std::int32_t partition, std::int64_t offset) const {
        auto* const list = rd_kafka_topic_partition_list_new(1);
        auto* const one = rd_kafka_topic_partition_list_add(list, std::string{topic}.c_str(), partition);
        one->offset = offset;
        const auto failed = f(rk, list);
        const auto error = failed != RD_KAFKA_RESP_ERR_NO_ERROR ? failed : one->err;
        rd_kafka_topic_partition_list_destroy(list);
        return kafka::make_error(error);
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

using Message = std::unique_ptr<rd_kafka_message_t, decltype(&rd_kafka_message_destroy)>;

/// What the callback needs.
struct Loop {
    KafkaSource<BulkIndexer<HttpTransport>, Client, ToLogs> source;
    std::deque<Message> held{}; ///< what the source has not taken, in order
};

void rebalance(rd_kafka_t* rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list, void* opaque) {
    auto& [source, held] = *static_cast<Loop*>(opaque);
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_assign(rk, list); // first, so that the source can pause them
        for (int i = 0; i < list->cnt; ++i) source.assigned(list->elems[i].topic, list->elems[i].partition);
        return;
    }
    held.clear(); // their next owner reads them
    if (rd_kafka_assignment_lost(rk) != 0) {
        source.lost();
    } else {
        source.revoked(std::chrono::seconds{10}); // waits for what is under way, and stores it
        rd_kafka_commit(rk, nullptr, 0);          // what is stored; never a list of one's own
    }
    rd_kafka_assign(rk, nullptr);
}

Record record_of(const rd_kafka_message_t& message) {
    Record record{.topic = rd_kafka_topic_name(message.rkt), .partition = message.partition, .offset = message.offset};
    if (message.key != nullptr) record.key = {static_cast<const char*>(message.key), message.key_len};
    if (message.payload != nullptr) record.payload = {static_cast<const char*>(message.payload), message.len};
    return record;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) return std::cerr << "usage: librdkafka_loop BROKERS TOPIC URL\n", 2;
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { interrupted = 1; });
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = argv[3]},
                                             IndexerOptions{.retry = {.max_age = unlimited}}};
    Client client;
    Loop loop{.source{*indexer, client, ToLogs{}}};

    auto* const conf = rd_kafka_conf_new();
    const auto set = [&](const char* key, const char* value) { rd_kafka_conf_set(conf, key, value, nullptr, 0); };
    set("bootstrap.servers", argv[1]);
    set("group.id", "librdkafka_loop");
    set("auto.offset.reset", "earliest");
    set("enable.auto.offset.store", "false"); // the source says what is stored; the client commits it
    rd_kafka_conf_set_opaque(conf, &loop);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    client.rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
    if (client.rk == nullptr) return std::cerr << "librdkafka does not take this configuration\n", 1;
    rd_kafka_poll_set_consumer(client.rk);
    auto* const topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, argv[2], RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(client.rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);

    auto& [source, held] = loop;
    bool fatal = false; // any other error passes, and the client goes on by itself
    while (!interrupted && !source.stopped() && !fatal) {
        source.poll(); // settlements; pauses and resumes; stores offsets
        Message message{rd_kafka_consumer_poll(client.rk, source.accepting() ? 100 : 10), &rd_kafka_message_destroy};
        fatal = message && message->err == RD_KAFKA_RESP_ERR__FATAL;
        if (fatal) std::cerr << rd_kafka_message_errstr(message.get()) << '\n';
        if (message && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) held.push_back(std::move(message));
        while (!held.empty() && source.deliver(record_of(*held.front())) != Delivered::busy) held.pop_front();
    }
    held.clear();
    rd_kafka_consumer_close(client.rk);                                      // revokes: see above
    rd_kafka_destroy_flags(client.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE); // without it, a fatal error hangs it
    std::cout << source.stats().consumed << " records, " << indexer->stats().indexed << " indexed\n";
    return source.stopped() || fatal ? 1 : 0;
}
