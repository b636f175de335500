// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/source.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <future>
#include <latch>
#include <string>
#include <thread>
#include <vector>

// The source on one thread, the indexer on two others: settlements cross over by the inbox. For ThreadSanitizer.

using namespace bulkhead_test;
using std::chrono::seconds;

namespace {

/// Stores everything; nothing before `gate` is open.
class AgreeableTransport {
public:
    explicit AgreeableTransport(std::latch* gate = nullptr) : gate_{gate} {}
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        if (gate_ != nullptr) gate_->wait();
        std::string body = R"({"errors":false,"items":[)";
        for (std::size_t i = 0; i < request.operations; ++i)
            body.append(i == 0 ? "" : ",").append(R"({"create":{"status":201}})");
        Reply reply;
        reply.sent = Sent::complete;
        reply.status = 200;
        reply.body_complete = true;
        if (!sink.on_body(body + "]}")) reply.error = errc::malformed_answer;
        co_return reply;
    }
    void shutdown() noexcept {}

private:
    std::latch* gate_;
};

} // namespace

TEST_CASE("the source on its own thread: full, woken, revoked with a wait, drained",
          "[kafka_source][F150][F138][F160]") {
    constexpr std::int64_t records = 20'000;
    asio::io_context context;
    auto work = asio::make_work_guard(context);
    IndexerOptions config;
    config.max_batch_operations = 100;
    config.max_buffered_operations = 500;
    config.flush_interval = std::chrono::milliseconds{5};
    config.retry.max_age = unlimited;
    std::latch full_once{1}; // so that the budget is certain to be used up, however the threads run
    BulkIndexer<AgreeableTransport> indexer{context.get_executor(), AgreeableTransport{&full_once}, config};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { context.run(); });

    ModelKafka kafka;
    kafka.logs.resize(2);
    for (auto& log : kafka.logs)
        for (std::int64_t i = 0; i < records; ++i) log.push_back({i, Logged::Kind::one});
    std::atomic<int> woken{0};
    {
        ModelMember member{kafka};
        member.check_durability = false; // the transport keeps no ids
        KafkaSourceOptions options;
        options.on_wake = [&] { ++woken; };
        KafkaSource source{indexer, member, ModelMapper{}, options};
        Record record;
        record.topic = ModelKafka::topic;
        record.payload = "one";
        for (std::int32_t p : {0, 1}) {
            member.own(p);
            source.assigned(ModelKafka::topic, p);
        }
        const auto run = [&](std::int64_t from, std::int64_t to, std::int32_t partition) {
            record.partition = partition;
            for (record.offset = from; record.offset < to;) {
                if (source.deliver(record) == Delivered::taken) {
                    ++record.offset;
                } else {
                    if (!full_once.try_wait()) full_once.count_down();
                    source.wait_for_settlements(seconds{10});
                    source.poll();
                }
            }
        };
        run(0, records, 0);
        run(0, records / 2, 1);
        const TopicPartition first{ModelKafka::topic, 0};
        source.revoked({&first, 1}, seconds{60});
        CHECK(member.owned().at(0).stored == records);
        member.disown(0);
        run(records / 2, records, 1);
        source.drain();
        while (!source.drained()) {
            source.wait_for_settlements(seconds{10});
            source.poll();
        }
        CHECK(member.owned().at(1).stored == records);
        CHECK(source.stats().consumed == 2 * records);
        CHECK(source.stats().settled == 2 * records);
        CHECK(source.stats().full > 0);
        CHECK(woken > 0);
        // Destroyed while settlements may still come in.
        record.partition = 1;
        record.offset = records;
        CHECK(source.deliver(record) == Delivered::busy);
        indexer.enqueue(Operation{});
    }
    CHECK(kafka.violations.empty());
    std::promise<void> closed;
    indexer.async_close(seconds{10}, [&](error_code, const CloseReport&) { closed.set_value(); });
    closed.get_future().wait();
    work.reset();
    for (auto& thread : threads) thread.join();
}

TEST_CASE("a source that is destroyed while settlements come in", "[kafka_source][F160]") {
    asio::io_context context;
    auto work = asio::make_work_guard(context);
    IndexerOptions config;
    config.max_batch_operations = 10;
    config.retry.max_age = unlimited;
    BulkIndexer<AgreeableTransport> indexer{context.get_executor(), AgreeableTransport{}, config};
    std::thread thread{[&] { context.run(); }};
    for (int round = 0; round < 200; ++round) {
        ModelKafka kafka;
        kafka.logs.resize(1);
        for (std::int64_t i = 0; i < 100; ++i) kafka.logs[0].push_back({i, Logged::Kind::one});
        ModelMember member{kafka};
        member.check_durability = false;
        int on_this_frame = 0;
        KafkaSourceOptions options;
        options.on_wake = [&] { ++on_this_frame; }; // dangles if it is called after the source's end
        KafkaSource source{indexer, member, ModelMapper{}, options};
        member.own(0);
        source.assigned(ModelKafka::topic, 0);
        for (int i = 0; i < 100; ++i) REQUIRE(member.deliver_next(source, 0) == Delivered::taken);
    }
    std::promise<void> closed;
    indexer.async_close(seconds{10}, [&](error_code, const CloseReport&) { closed.set_value(); });
    closed.get_future().wait();
    work.reset();
    thread.join();
    CHECK(indexer.stats().accepted == 20'000);
    CHECK(indexer.stats().pending == 0);
}
