// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/test/mock_kafka.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

/// Kafka brokers inside the process, a server that stores, an indexer between them, and members of a group.
namespace bulkhead_test {

using namespace bulkhead;
using bulkhead::test::MockKafka;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

/// A test that hangs is ended by the kernel.
struct Watchdog {
    explicit Watchdog(unsigned seconds_left = 60) { alarm(seconds_left); }
    ~Watchdog() { alarm(0); }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
};

/// The server: documents by id, and how often each was sent.
struct Store {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, int> documents;
    std::atomic<bool> black_hole{false};    ///< takes requests and does not answer
    std::atomic<std::uint16_t> status{200}; ///< another one: what every request is answered
    std::atomic<int> refused{0};            ///< requests that were

    std::size_t size() {
        const std::lock_guard lock{mutex};
        return documents.size();
    }
    std::map<std::string, int> copy() {
        const std::lock_guard lock{mutex};
        return documents;
    }
    /// Counts the ids in a bulk request, and does nothing more.
    void note(std::string_view body) {
        const std::lock_guard lock{mutex};
        constexpr std::string_view name = "\"_id\":\"";
        for (std::size_t at = 0; (at = body.find(name, at)) != std::string_view::npos;) {
            at += name.size();
            ++documents[std::string{body.substr(at, body.find('"', at) - at)}];
        }
    }
    int times(const std::string& id) {
        const std::lock_guard lock{mutex};
        const auto found = documents.find(id);
        return found == documents.end() ? 0 : found->second;
    }
    /// Waits until something that may change with the store, or soon after it, holds. The watchdog ends it otherwise.
    template <class Predicate>
    void wait_until(Predicate predicate) {
        while (!predicate()) {
            std::unique_lock lock{mutex};
            changed.wait_for(lock, milliseconds{5});
        }
    }
};

class StoreTransport {
public:
    explicit StoreTransport(std::shared_ptr<Store> store) : store_{std::move(store)} {}

    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        const auto store = store_;
        const auto shut = shut_;
        const auto deadline = Clock::now() + request.timeout;
        auto timer = asio::steady_timer{co_await asio::this_coro::executor};
        Reply reply;
        reply.sent = Sent::complete;
        while (store->black_hole && !*shut && Clock::now() < deadline) {
            timer.expires_after(milliseconds{5});
            error_code ignored;
            co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        if (store->black_hole) {
            reply.error = *shut ? error_code{asio::error::operation_aborted} : error_code{errc::request_timeout};
            co_return reply;
        }
        if (const std::uint16_t status = store->status; status != 200) {
            ++store->refused;
            reply.status = status;
            reply.body_complete = true;
            co_return reply;
        }
        std::string body;
        for (const auto& buffer : request.body) body.append(static_cast<const char*>(buffer.data()), buffer.size());
        std::string answer = R"({"errors":false,"items":[)";
        {
            const std::lock_guard lock{store->mutex};
            std::size_t at = 0;
            while ((at = body.find("\"_id\":\"", at)) != std::string::npos) {
                at += 7;
                answer += answer.back() == '[' ? "" : ",";
                const auto source = body.find('\n', at) + 1;
                if (body.substr(source, body.find('\n', source) - source).find("poison") != std::string::npos) {
                    answer += R"({"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no"}}})";
                    continue;
                }
                const bool first = ++store->documents[body.substr(at, body.find('"', at) - at)] == 1;
                answer += first ? R"({"create":{"status":201}})" : R"({"create":{"status":409}})";
            }
        }
        store->changed.notify_all();
        reply.status = 200;
        reply.body_complete = true;
        if (!sink.on_body(answer + "]}")) reply.error = errc::malformed_answer;
        co_return reply;
    }
    void shutdown() noexcept {
        if (shut_) *shut_ = true;
    }

private:
    std::shared_ptr<Store> store_;
    std::shared_ptr<bool> shut_ = std::make_shared<bool>(false);
};

using TestIndexer = BulkIndexer<StoreTransport>;

inline std::string id_of(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    return topic + "-" + std::to_string(partition) + "-" + std::to_string(offset);
}

struct EventMapper {
    Mapped operator()(const Record& record, Batch& out) const {
        if (record.payload->empty() || record.payload->front() != '{') return Mapped::invalid;
        const auto id = id_of(std::string{record.topic}, record.partition, record.offset);
        Operation op;
        op.action = Action::create;
        op.id = id;
        op.on_conflict = OnConflict::already_there;
        op.source = *record.payload;
        return out.append(op, std::string_view{"logs"}) ? Mapped::invalid : Mapped::operations;
    }
};

/// Brokers, a server, an indexer with a thread of its own.
struct World {
    /// `letters`: where what the server refuses (a document with the word poison) goes.
    explicit World(IndexerOptions options = {}, const std::optional<KafkaDeadLetters>& letters = {}, int brokers = 1)
        : kafka{brokers}, indexer{context.get_executor(), StoreTransport{store}, patient(std::move(options)),
                                  letters ? DeadLetters{letters->sink(context.get_executor())} : DeadLetters{}},
          thread{[this] { context.run(); }} {}
    ~World() {
        store->black_hole = false;
        std::promise<void> closed;
        indexer.async_close(seconds{10}, [&](error_code, const CloseReport&) { closed.set_value(); });
        closed.get_future().wait();
        work.reset();
        thread.join();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    static IndexerOptions patient(IndexerOptions options) {
        options.retry.max_age = unlimited;
        options.flush_interval = milliseconds{20};
        return options;
    }
    /// `count` events in each partition.
    void produce(const std::string& topic, int partitions, int count) {
        for (int p = 0; p < partitions; ++p)
            for (int i = 0; i < count; ++i) kafka.produce(topic, p, {}, R"({"level":"info","message":"hello"})");
        kafka.flush();
    }
    std::int64_t committed(const std::string& topic, int partitions) {
        std::int64_t sum = 0;
        for (int p = 0; p < partitions; ++p) sum += kafka.committed("group", topic, p).value_or(0);
        return sum;
    }

    MockKafka kafka;
    std::shared_ptr<Store> store = std::make_shared<Store>();
    asio::io_context context;
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    TestIndexer indexer;
    std::thread thread;
};

inline kafka::DriverOptions options_for(const World& world, const std::string& topic) {
    kafka::DriverOptions options;
    options.brokers = world.kafka.bootstrap_servers();
    options.group = "group";
    options.topics = {topic};
    options.commit_interval = milliseconds{50};
    options.revoke_drain = milliseconds{1000};
    options.config = {{"session.timeout.ms", "3000"}, {"heartbeat.interval.ms", "200"}, {"fetch.wait.max.ms", "50"}};
    options.on_event = [](const kafka::ClientEvent&) {};
    return options;
}

using TestDriver = kafka::Driver<TestIndexer, EventMapper>;

/// A driver and its thread.
struct Member {
    Member(World& world, kafka::DriverOptions options, KafkaSourceOptions source_options = {})
        : driver{world.indexer, EventMapper{}, std::move(options), std::move(source_options)}, thread{[this] {
              driver.run();
          }} {}
    ~Member() {
        if (thread.joinable()) stop(milliseconds{0});
    }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    kafka::DriverReport stop(milliseconds timeout) {
        driver.stop();
        thread.join();
        return driver.close(timeout);
    }
    SourceStats source() const { return driver.stats().source; }

    TestDriver driver;
    std::thread thread;
};

} // namespace bulkhead_test
