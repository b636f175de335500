// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/standalone_indexer.hpp>

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

/// Answers every third request with a 429, cuts every seventh, and stores the rest. On real threads.
class MoodyTransport {
public:
    explicit MoodyTransport(asio::any_io_executor, int) {}
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        const auto turn = ++turn_;
        Reply reply;
        reply.sent = Sent::complete;
        if (turn % 7 == 0) {
            reply.error = asio::error::connection_reset;
            co_return reply;
        }
        reply.status = turn % 3 == 0 ? 429 : 200;
        reply.body_complete = true;
        if (reply.status == 200) {
            std::string body = R"({"items":[)";
            for (std::size_t i = 0; i < request.operations; ++i)
                body.append(i == 0 ? "" : ",").append(R"({"index":{"status":201}})");
            (void)sink.on_body(body + "]}");
        }
        co_return reply;
    }
    void shutdown() noexcept {}

private:
    int turn_ = 0;
};

IndexerOptions hasty() {
    return {.index = "logs",
            .max_batch_operations = 50,
            .flush_interval = 1ms,
            .max_buffered_bytes = 1U << 20,
            .retry = {.initial_backoff = 1ms, .max_backoff = 2ms}};
}

} // namespace

TEST_CASE("many producers, flushes and a close at once: every accepted operation is told exactly once", "[F102]") {
    constexpr int producers = 8;
    constexpr std::uint64_t each = 4000;
    StandaloneIndexer<MoodyTransport> indexer{0, hasty()};
    std::vector<std::atomic<int>> told(producers * each);
    const auto subscription = indexer.subscribe([&](std::span<const Settlement> settlements) {
        for (const auto& s : settlements) ++told[s.key];
    });
    std::vector<std::atomic<bool>> accepted(producers * each);
    std::latch half{producers};
    std::vector<std::thread> threads;
    for (int p = 0; p < producers; ++p) {
        threads.emplace_back([&, p] {
            for (std::uint64_t i = 0; i < each; ++i) {
                if (i == each / 2) half.count_down();
                const auto key = static_cast<std::uint64_t>(p) * each + i;
                const auto id = std::to_string(key);
                const Operation op{.id = id, .source = "{}"};
                const auto ticket = subscription.ticket(key);
                accepted[key] = (i % 2 == 0 ? indexer->try_enqueue(op, ticket)
                                            : indexer->enqueue_wait(op, 10s, ticket)) == Admission::accepted;
                if (i % 1000 == 999) (void)indexer.flush(10s);
            }
        });
    }
    half.wait();
    const auto report = indexer.close(60s);
    for (auto& thread : threads) thread.join();
    CHECK(report.drained);
    CHECK(report.stats.pending == 0);
    const auto stats = indexer->stats();
    CHECK(stats.offered == producers * each);
    CHECK(stats.offered == stats.accepted + stats.refused());
    CHECK(stats.accepted == stats.settled());
    std::size_t wrong = 0;
    for (std::size_t key = 0; key < told.size(); ++key) wrong += told[key] != (accepted[key] ? 1 : 0) ? 1U : 0U;
    CHECK(wrong == 0);
}

TEST_CASE("an indexer in a pool of threads, observers in another", "[F102][F160]") {
    asio::thread_pool pool{3};
    asio::thread_pool observers{2};
    std::atomic<std::uint64_t> told{0};
    {
        BulkIndexer<MoodyTransport> indexer{pool.get_executor(), MoodyTransport{pool.get_executor(), 0}, hasty()};
        const auto subscription =
            indexer.subscribe(observers.get_executor(), [&](std::span<const Settlement> s) { told += s.size(); });
        std::vector<std::thread> threads;
        std::atomic<std::uint64_t> accepted{0};
        for (int p = 0; p < 4; ++p)
            threads.emplace_back([&] {
                for (int i = 0; i < 5000; ++i)
                    if (indexer.enqueue_wait({.id = "x", .source = "{}"}, 10s, subscription.ticket(1)) ==
                        Admission::accepted)
                        ++accepted;
            });
        for (auto& thread : threads) thread.join();
        std::promise<CloseReport> closed;
        auto report = closed.get_future();
        indexer.async_close(
            60s, [closed = std::move(closed)](error_code, CloseReport r) mutable { closed.set_value(std::move(r)); });
        CHECK(report.get().drained);
        CHECK(accepted == 20000);
        CHECK(told == 20000);
    }
    pool.join();
    observers.join();
}

TEST_CASE("waiting on the indexer's own thread is refused instead of deadlocking") {
    StandaloneIndexer<MoodyTransport> indexer{0, hasty()};
    std::promise<error_code> flushed;
    auto answer = flushed.get_future();
    asio::post(indexer.get_executor(), [&] { flushed.set_value(indexer.flush(10s)); });
    CHECK(answer.get() == error_code{errc::would_deadlock});
    std::promise<CloseReport> closed;
    auto report = closed.get_future();
    asio::post(indexer.get_executor(), [&] {
        indexer->enqueue({.source = "{}"});
        closed.set_value(indexer.close(10s));
    });
    const auto at_once = report.get();
    CHECK_FALSE(at_once.drained);
    CHECK(at_once.stats.accepted == at_once.stats.pending + at_once.stats.settled());
    const auto later = indexer.close(10s); // from here it can be waited for
    CHECK(later.stats.pending == 0);
    CHECK(later.stats.accepted == 1);
}

TEST_CASE("destroying a busy indexer neither hangs nor races", "[F118]") {
    for (int round = 0; round < 20; ++round) {
        StandaloneIndexer<MoodyTransport> indexer{0, hasty()};
        for (int i = 0; i < 500; ++i) indexer->enqueue({.source = "{}"});
    }
}
