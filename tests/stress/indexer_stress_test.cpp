// SPDX-License-Identifier: BSL-1.0
// An indexer under everything at once, on real threads, against a server that fails by a seeded generator: for the
// thread sanitizer above all. Nothing sleeps; everything ends by counts of work. Each thread notes what it did in a
// `Ledger`, which is compared at the end with what the server did, what the observers were told, and the counters.
#include "support/catch.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <atomic>
#include <charconv>
#include <future>
#include <latch>
#include <optional>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

/// One line for each key: an operation, or a few that share a ticket.
class Ledger {
public:
    struct Line {
        std::atomic<std::uint32_t> handed_in{0};
        std::atomic<std::uint32_t> accepted{0}; ///< as far as the caller was told
        std::atomic<std::uint32_t> told{0};
        std::atomic<std::uint32_t> told_indexed{0};
        std::atomic<std::uint32_t> told_undelivered{0};
        std::atomic<std::uint32_t> told_lettered{0};
        std::atomic<std::uint32_t> lettered{0}; ///< the sink has said that it has it
        std::atomic<std::uint32_t> applied{0};  ///< by the server
        std::atomic<bool> has_id{false};
    };
    explicit Ledger(std::size_t keys) : lines_(keys) {}
    Line& operator[](std::uint64_t key) { return lines_.at(key); }
    [[nodiscard]] std::size_t size() const { return lines_.size(); }

    void tell(std::span<const Settlement> settlements) {
        for (const auto& s : settlements) {
            auto& line = lines_.at(s.key);
            ++line.told;
            if (s.outcome == Outcome::indexed) ++line.told_indexed;
            if (s.outcome == Outcome::undelivered) ++line.told_undelivered;
            if (s.outcome == Outcome::dead_lettered) ++line.told_lettered;
        }
    }

    std::atomic<std::uint64_t> offered{0}; ///< operations, in all

    /// How many lines contradict a promise. `from` to `to`: those whose subscription lived to the end.
    [[nodiscard]] std::size_t not_told_once(std::size_t from, std::size_t to) const {
        return count(from, to, [](const Line& line) { return line.told != line.accepted; });
    }
    [[nodiscard]] std::size_t told_too_often() const {
        return count(0, lines_.size(), [](const Line& line) { return line.told > line.accepted; });
    }
    [[nodiscard]] std::size_t indexed_without_proof() const {
        return count(0, lines_.size(), [](const Line& line) { return line.told_indexed > line.applied; });
    }
    [[nodiscard]] std::size_t lettered_without_sink() const {
        return count(0, lines_.size(), [](const Line& line) { return line.told_lettered > line.lettered; });
    }
    [[nodiscard]] std::size_t undelivered_but_applied() const {
        return count(0, lines_.size(), [](const Line& line) {
            return line.accepted == 1 && line.told_undelivered == 1 && line.applied != 0;
        });
    }
    /// Without an id, what may have been applied is not sent again.
    [[nodiscard]] std::size_t applied_twice() const {
        return count(0, lines_.size(), [](const Line& line) { return !line.has_id && line.applied > line.handed_in; });
    }
    template <class F>
    [[nodiscard]] std::uint64_t sum(F of, std::size_t from, std::size_t to) const {
        std::uint64_t all = 0;
        for (auto key = from; key < to; ++key) all += of(lines_[key]);
        return all;
    }

private:
    template <class F>
    [[nodiscard]] std::size_t count(std::size_t from, std::size_t to, F wrong) const {
        std::size_t found = 0;
        for (auto key = from; key < to; ++key) found += wrong(lines_[key]) ? 1U : 0U;
        return found;
    }
    std::vector<Line> lines_;
};

/// A server in a pool of threads of its own, which also reads the requests there. What it does is drawn in `send`, that
/// is on the indexer's strand, one after the other from one seed.
class ServerInAPool {
public:
    ServerInAPool(asio::any_io_executor pool, std::shared_ptr<Ledger> ledger, unsigned seed)
        : pool_{std::move(pool)}, ledger_{std::move(ledger)}, random_{seed} {}

    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        if (down_) {
            Reply reply;
            reply.error = asio::error::operation_aborted;
            co_return reply;
        }
        co_return co_await asio::co_spawn(pool_, serve(request, sink, ledger_, static_cast<unsigned>(random_())),
                                          asio::use_awaitable);
    }
    void shutdown() noexcept { down_ = true; } // what is under way completes soon anyway

private:
    static asio::awaitable<Reply> serve(Request request, AnswerSink& sink, std::shared_ptr<Ledger> ledger,
                                        unsigned seed) {
        using test::Answer;
        std::mt19937 random{seed};
        const auto one_in = [&](unsigned n) { return random() % n == 0; };
        std::string body;
        for (const auto& buffer : request.body) body.append(static_cast<const char*>(buffer.data()), buffer.size());

        if (one_in(12)) co_return Answer::unreachable().reply;
        if (one_in(12)) co_return Answer::status(503, {}, one_in(2) ? std::optional{0s} : std::nullopt).reply;
        // Lost: before, in the middle of, or after it was applied.
        const bool lost = one_in(10);
        const auto apply = lost ? random() % (request.operations + 1) : request.operations;
        std::vector<std::string> items;
        std::string_view left = body;
        while (!left.empty() && items.size() < apply) {
            const std::string action = left.substr(0, 9) == R"({"create")" ? "create" : "index";
            left.remove_prefix(left.find('\n') + 1);
            constexpr std::string_view before = R"({"key":)";
            std::uint64_t key = 0;
            std::from_chars(left.data() + before.size(), left.data() + left.size(), key);
            left.remove_prefix(left.find('\n') + 1);
            if (one_in(10)) {
                items.push_back(test::item(429, "es_rejected_execution_exception", action));
            } else if (one_in(50)) {
                items.push_back(test::item(400, "document_parsing_exception", action));
            } else {
                ++(*ledger)[key].applied;
                items.push_back(test::item(201, {}, action));
            }
        }
        if (lost) co_return Answer::lost(one_in(2) ? Sent::complete : Sent::partial).reply;
        auto answer = Answer::items(items);
        const auto middle = random() % answer.body.size(); // it comes in two pieces
        const std::string_view text{answer.body};
        if (!sink.on_body(text.substr(0, middle)) || !sink.on_body(text.substr(middle)))
            answer.reply.error = errc::malformed_answer;
        co_return answer.reply;
    }

    asio::any_io_executor pool_;
    std::shared_ptr<Ledger> ledger_;
    std::mt19937 random_;
    bool down_ = false;
};

using Indexer = BulkIndexer<ServerInAPool>;

IndexerOptions crowded() {
    return {.index = "logs",
            .max_batch_operations = 100,
            .max_batch_bytes = 8192,
            .flush_interval = 2ms,
            .max_buffered_bytes = 512U << 10,
            .max_buffered_operations = 2000,
            .retry = {.max_attempts = 5, .initial_backoff = 1ms, .max_backoff = 2ms}};
}

/// An operation whose source names its key, with an id or without.
struct Document {
    Document(Ledger& ledger, std::uint64_t key)
        : id{std::to_string(key)}, source{"{\"key\":" + id + ",\"padding\":\"0123456789\"}"} {
        operation.source = source;
        if (key % 3 == 0) operation.action = Action::create;
        if (key % 2 == 0) operation.id = id;
        ledger[key].has_id = key % 2 == 0;
    }
    Document(const Document&) = delete;
    Document& operator=(const Document&) = delete;
    ~Document() = default;

    std::string id;
    std::string source;
    Operation operation;
};

/// Hands in one operation or a batch of three in the `way`th way, and notes what became of it.
class Producer {
public:
    static constexpr unsigned ways = 6;
    Producer(Indexer& indexer, Ledger& ledger) : indexer_{indexer}, ledger_{ledger} {}

    void hand_in(unsigned way, std::uint64_t key, Ticket ticket) {
        const Document document{ledger_, key};
        const auto& op = document.operation;
        const std::uint32_t operations = way == 3 || way == 4 ? 3 : 1;
        ledger_.offered += operations;
        ledger_[key].handed_in += operations;
        switch (way) {
        case 0: return indexer_.enqueue(op);
        case 1: return note(key, 1, indexer_.try_enqueue(op, ticket));
        case 2: return note(key, 1, indexer_.enqueue_wait(op, 10s, ticket));
        case 3: fill(op); return note(key, 3, indexer_.try_enqueue(batch_, ticket));
        case 4: fill(op); return indexer_.enqueue(batch_);
        default:
            waiting_.acquire(); // few at a time, so that who waits in another way comes to turn
            indexer_.async_enqueue(op, ticket, [this, key](error_code error, Admission admission) {
                if (!error) note(key, 1, admission);
                waiting_.release();
            });
        }
    }
    /// Until no handler is left that knows this object.
    void wait() {
        for (int i = 0; i < most_waiting; ++i) waiting_.acquire();
    }
    [[nodiscard]] std::uint64_t accepted() const { return accepted_; }

private:
    static constexpr int most_waiting = 4;
    void fill(const Operation& op) {
        batch_.clear();
        for (int i = 0; i < 3; ++i) (void)batch_.append(op, "logs");
    }
    void note(std::uint64_t key, std::uint32_t operations, Admission admission) {
        if (admission != Admission::accepted) return;
        ledger_[key].accepted += operations;
        accepted_ += operations;
    }
    Indexer& indexer_;
    Ledger& ledger_;
    Batch batch_;
    std::counting_semaphore<most_waiting> waiting_{most_waiting};
    std::atomic<std::uint64_t> accepted_{0};
};

/// Closes, and waits, on the indexer's own threads: those are joined before their context goes.
CloseReport close(Indexer& indexer, std::chrono::milliseconds timeout) {
    std::promise<CloseReport> done;
    auto report = done.get_future();
    indexer.async_close(timeout,
                        [done = std::move(done)](error_code, CloseReport r) mutable { done.set_value(std::move(r)); });
    return report.get();
}

bool adds_up(const Stats& stats) {
    return stats.offered == stats.accepted + stats.refused() && stats.accepted == stats.settled() + stats.pending;
}

void check_promises(const Ledger& ledger) {
    CHECK(ledger.told_too_often() == 0);
    CHECK(ledger.indexed_without_proof() == 0);
    CHECK(ledger.lettered_without_sink() == 0);
    CHECK(ledger.undelivered_but_applied() == 0);
}

void join(std::vector<std::thread>& threads) {
    for (auto& thread : threads) thread.join();
    threads.clear();
}

} // namespace

TEST_CASE("everything at once, then closed from several threads: each accepted ticket is told exactly once",
          "[F102][F103][F119]") {
    constexpr std::size_t producers = 32;
    constexpr std::size_t each = 2500;
    constexpr std::size_t handed_in = producers * each;
    constexpr std::size_t from_observers = handed_in; // the second part of the keys: at most one for each of the first
    constexpr std::size_t flushed = 2 * handed_in;    // then: those of the thread that flushes and checks
    constexpr std::size_t most_flushes = 2000;
    constexpr std::size_t short_lived = flushed + most_flushes; // then: tickets of subscriptions that come and go
    constexpr std::size_t most_short_lived = 20000;

    const auto ledger = std::make_shared<Ledger>(short_lived + most_short_lived);
    asio::thread_pool server{2};
    asio::thread_pool pool{3};
    asio::thread_pool observing{2};
    std::atomic<std::uint64_t> inconsistent{0};
    std::atomic<std::uint64_t> untold_after_flush{0};
    std::atomic<std::uint64_t> flush_errors{0};
    std::atomic<std::uint64_t> snapshots{0};
    std::atomic<std::uint64_t> short_lived_subscriptions{0};
    std::atomic<std::uint64_t> progress{0};
    std::atomic<bool> closed{false};
    std::latch most_is_done{1};
    std::atomic<std::uint64_t> limits_changed{0};
    std::atomic<Indexer*> known_to_sink{nullptr};
    std::atomic<std::uint64_t> sink_calls{0};
    {
        // On the strand. It fails now and then, and calls back in.
        CallbackSink sink{[&](std::span<const DeadLetter> letters) -> error_code {
            if (auto* const indexer = known_to_sink.load()) {
                indexer->flush();
                if (!adds_up(indexer->stats())) ++inconsistent;
            }
            if (++sink_calls % 16 == 0) return errc::sink_failed;
            for (const auto& letter : letters)
                if (letter.ticket.slot != Ticket::nobody) ++(*ledger)[letter.ticket.key].lettered;
            return {};
        }};
        Indexer indexer{pool.get_executor(), ServerInAPool{server.get_executor(), ledger, 1}, crowded(),
                        std::move(sink)};
        known_to_sink = &indexer;
        const auto serial = asio::make_strand(observing);
        std::array<Subscription, 4> living;
        // On the indexer's own threads, on others, on a strand; the last calls back in.
        living[0] = indexer.subscribe(pool.get_executor(), [&](std::span<const Settlement> s) { ledger->tell(s); });
        living[1] =
            indexer.subscribe(observing.get_executor(), [&](std::span<const Settlement> s) { ledger->tell(s); });
        living[2] = indexer.subscribe(serial, [&](std::span<const Settlement> s) { ledger->tell(s); });
        living[3] = indexer.subscribe(observing.get_executor(), [&](std::span<const Settlement> settlements) {
            ledger->tell(settlements);
            for (const auto& s : settlements) {
                const auto key = s.key + from_observers;
                if (s.key >= handed_in || (*ledger)[key].accepted != 0) continue;
                const Document document{*ledger, key};
                ++ledger->offered;
                ++(*ledger)[key].handed_in;
                if (indexer.try_enqueue(document.operation, living[0].ticket(key)) == Admission::accepted)
                    ++(*ledger)[key].accepted;
            }
            indexer.flush();
            if (!adds_up(indexer.stats())) ++inconsistent;
        });

        std::vector<std::thread> others;
        others.emplace_back([&] {
            while (!closed) {
                if (!adds_up(indexer.stats())) ++inconsistent;
                ++snapshots;
                std::this_thread::yield();
            }
        });
        others.emplace_back([&] {
            while (!closed) {
                indexer.flush();
                std::this_thread::yield();
            }
        });
        others.emplace_back([&] { // limits go up and down
            std::mt19937 random{1};
            const auto between = [&](std::size_t least, std::size_t most) { return least + random() % (most - least); };
            while (!closed) {
                const auto most = between(1, 8);
                const auto wrong = indexer.change_limits({.max_batch_operations = between(10, 200),
                                                          .max_batch_bytes = between(2048, 16'384),
                                                          .flush_interval = std::chrono::milliseconds{between(1, 5)},
                                                          .max_in_flight = most,
                                                          .min_in_flight = between(0, most) + 1,
                                                          .max_buffered_bytes = between(256U << 10, 1U << 20),
                                                          .max_buffered_operations = between(500, 3000)});
                if (wrong) ++inconsistent;
                ++limits_changed;
                std::this_thread::yield();
            }
        });
        others.emplace_back([&] { // what was accepted before a flush has been told after it
            Producer producer{indexer, *ledger};
            for (std::size_t i = 0; i < most_flushes && !closed; ++i) {
                producer.hand_in(2, flushed + i, living[i % living.size()].ticket(flushed + i));
                // No exception: the thread sanitizer does not see how libstdc++ counts the references to one.
                std::promise<error_code> done;
                auto ended = done.get_future();
                indexer.async_flush(60s, [done = std::move(done)](error_code e) mutable { done.set_value(e); });
                const error_code error = ended.get();
                const auto& line = (*ledger)[flushed + i];
                if (!error && line.told != line.accepted) ++untold_after_flush;
                if (error && error != errc::closed) ++flush_errors;
            }
        });
        std::atomic<std::uint64_t> accepted_short_lived{0};
        others.emplace_back([&] {
            Producer producer{indexer, *ledger};
            for (std::size_t i = 0; i < most_short_lived && !closed; i += 2) {
                const auto brief = indexer.subscribe(i % 4 == 0 ? observing.get_executor() : pool.get_executor(),
                                                     [&](std::span<const Settlement> s) { ledger->tell(s); });
                for (std::size_t j = i; j < i + 2; ++j)
                    producer.hand_in(1 + j % 2, short_lived + j, brief.ticket(short_lived + j));
                ++short_lived_subscriptions;
            }
            accepted_short_lived = producer.accepted();
        });

        std::vector<std::thread> producing;
        for (std::size_t p = 0; p < producers; ++p) {
            producing.emplace_back([&, p] {
                Producer producer{indexer, *ledger};
                for (std::size_t i = 0; i < each; ++i) {
                    const auto key = p * each + i;
                    producer.hand_in(static_cast<unsigned>(i + p) % Producer::ways, key,
                                     living[i % living.size()].ticket(key));
                    if (++progress == handed_in * 4 / 5) most_is_done.count_down();
                }
                producer.wait();
            });
        }

        // While producers still run: three at once, none of which knows of the others.
        most_is_done.wait();
        std::vector<CloseReport> reports(3);
        std::vector<std::thread> closing;
        for (auto& report : reports) closing.emplace_back([&] { report = close(indexer, 120s); });
        join(closing);
        const auto told = [](const Ledger::Line& line) -> std::uint64_t { return line.told; };
        const auto told_when_closed = ledger->sum(told, 0, ledger->size());
        closed = true;
        join(producing);
        join(others);

        const auto stats = indexer.stats();
        for (const auto& report : reports) {
            CHECK(report.drained);
            CHECK(adds_up(report.stats));
            CHECK(report.stats.pending == 0);
            CHECK(report.stats.accepted == stats.accepted); // nothing was accepted after any of them
        }
        CHECK(adds_up(stats));
        CHECK(stats.pending == 0);
        CHECK(stats.in_flight == 0);
        CHECK(stats.offered == ledger->offered);
        CHECK(stats.refused_closed > 0); // otherwise nobody was still producing
        CHECK(stats.undelivered == 0);
        CHECK(stats.dropped == 0);
        for (const auto ended :
             {stats.indexed, stats.dead_lettered, stats.unknown, stats.retried_operations, stats.failed_requests})
            CHECK(ended > 0); // otherwise the server was too kind
        CHECK(stats.malformed_answers == 0);

        CHECK(ledger->not_told_once(0, short_lived) == 0);
        CHECK(ledger->sum(told, from_observers, flushed) > 0);
        const auto told_of_short_lived = ledger->sum(told, short_lived, ledger->size());
        CHECK(told_of_short_lived + stats.unobserved == accepted_short_lived);
        CHECK(stats.unobserved > 0);
        CHECK(ledger->sum(told, 0, ledger->size()) == told_when_closed); // nobody is told anything after a close
        CHECK(ledger->applied_twice() == 0);
        check_promises(*ledger);
        CHECK(inconsistent == 0);
        CHECK(snapshots > 0);
        CHECK(limits_changed > 0);
        CHECK(sink_calls >= 16);
        CHECK(stats.rejected == 0); // all of these went to the sink
        CHECK(untold_after_flush == 0);
        CHECK(flush_errors == 0);
        CHECK(short_lived_subscriptions > 0);
    }
    pool.join(); // would hang if the indexer had left work behind
    observing.join();
    server.join();
}

TEST_CASE("closed from several threads by deadlines that differ, or destroyed: everything is settled and told",
          "[F102][F118][F119]") {
    constexpr unsigned rounds = 150;
    constexpr std::size_t producers = 4;
    constexpr std::size_t each = 150;
    constexpr std::size_t keys = producers * each;
    std::uint64_t given_up = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        INFO("round " << round);
        const bool destroyed = round % 3 == 2; // without a close before
        const auto ledger = std::make_shared<Ledger>(keys);
        asio::thread_pool server{2};
        asio::thread_pool pool{2};
        std::atomic<std::size_t> progress{0};
        std::latch half{1};
        std::optional<Indexer> indexer{std::in_place, pool.get_executor(),
                                       ServerInAPool{server.get_executor(), ledger, round + 1}, crowded()};
        const auto subscription =
            indexer->subscribe(pool.get_executor(), [&](std::span<const Settlement> s) { ledger->tell(s); });
        std::vector<std::thread> producing;
        for (std::size_t p = 0; p < producers; ++p) {
            producing.emplace_back([&, p] {
                Producer producer{*indexer, *ledger};
                for (std::size_t i = 0; i < each; ++i) {
                    const auto key = p * each + i;
                    producer.hand_in(static_cast<unsigned>(i + p) % Producer::ways, key, subscription.ticket(key));
                    if (++progress == keys / 2) half.count_down();
                }
                producer.wait();
            });
        }
        half.wait();
        if (!destroyed) {
            const std::array deadlines{60'000ms, 1ms, 0ms};
            std::array<CloseReport, 3> reports;
            std::vector<std::thread> closing;
            for (std::size_t i = 0; i < reports.size(); ++i)
                closing.emplace_back([&, i] { reports[i] = close(*indexer, deadlines[(i + round) % 3]); });
            join(closing);
            for (const auto& report : reports) {
                CHECK(adds_up(report.stats));
                CHECK(report.stats.pending == 0);
                if (report.stats.undelivered > 0) CHECK_FALSE(report.drained);
            }
            given_up += reports[0].stats.undelivered;
        }
        join(producing);
        if (destroyed) indexer.reset();
        pool.join(); // would hang if a call had not completed, or if work were left behind
        server.join();
        const auto told = ledger->sum([](const Ledger::Line& line) -> std::uint64_t { return line.told; }, 0, keys);
        const auto accepted =
            ledger->sum([](const Ledger::Line& line) -> std::uint64_t { return line.accepted; }, 0, keys);
        CHECK(accepted > 0);
        if (destroyed) {
            CHECK(ledger->not_told_once(0, keys) == 0);
        } else {
            const auto stats = indexer->stats();
            CHECK(adds_up(stats));
            CHECK(stats.offered == ledger->offered);
            CHECK(stats.pending == 0);
            CHECK(told + stats.unobserved == accepted); // after a deadline, an observer may be too late to be called
        }
        CHECK(ledger->applied_twice() == 0);
        check_promises(*ledger);
    }
    CHECK(given_up > 0); // otherwise no deadline ever came too early
}
