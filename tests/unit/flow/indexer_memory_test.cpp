// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

using namespace bulkhead;
using namespace std::chrono_literals;
using bulkhead_test::OwnAllocations;
using test::ManualClock;

// Each allocation of a whole life fails once. When there is memory again, everything comes to its end: each accepted
// operation is told once, what is told is true, and each call completes. (Not what Asio allocates by its own allocator:
// it ends the process, or throws out of the context, when a strand or a coroutine cannot be scheduled.)

namespace {

/// A server that stores documents, with every kind of answer among its first ones, and a sink. What it does itself
/// needs no memory that could run out.
struct SmallServer {
    std::map<std::string, int> stored; ///< by document: how often
    std::set<std::string> letters;     ///< in the sink
    int requests = 0;
    int writes = 0;

    /// The document of each operation, in order.
    static std::vector<std::string> documents(std::string_view body) {
        std::vector<std::string> found;
        for (bool source = false; !body.empty(); source = !source) {
            const auto end = body.find('\n');
            if (source) found.emplace_back(body.substr(0, end));
            body.remove_prefix(end + 1);
        }
        return found;
    }
    test::Answer answer(std::string_view body) {
        const auto all = documents(body);
        switch (++requests) {
        case 2: return test::Answer::status(503);
        case 4: return test::Answer::unreachable();
        case 5: store(all); return test::Answer::lost(Sent::complete);
        case 7: return test::Answer::status(401);
        default: break;
        }
        if (all.size() > 8) return test::Answer::status(413);
        std::vector<std::string> items;
        for (const auto& document : all) {
            const bool refused = document.find("bad") != std::string::npos;
            const bool later = requests % 3 == 0 && document.find("late") != std::string::npos;
            if (!refused && !later) ++stored[document];
            items.push_back(refused ? test::item(400, "document_parsing_exception_with_a_long_name")
                            : later ? test::item(429, "es_rejected_execution_exception")
                                    : test::item(201));
        }
        return test::Answer::items(items);
    }
    void store(const std::vector<std::string>& all) {
        for (const auto& document : all)
            if (document.find("bad") == std::string::npos) ++stored[document];
    }
};

struct SmallTransport {
    std::shared_ptr<SmallServer> server;
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        co_await asio::post(asio::use_awaitable);
        Reply reply;
        std::string body;
        {
            const OwnAllocations own;
            for (const auto& buffer : request.body) body.append(static_cast<const char*>(buffer.data()), buffer.size());
            auto answer = server->answer(body);
            body = std::move(answer.body);
            reply = std::move(answer.reply);
        }
        if (!body.empty() && !sink.on_body(body)) reply.error = errc::malformed_answer;
        co_return reply;
    }
    void shutdown() noexcept {}
};

struct SmallSink {
    std::shared_ptr<SmallServer> server;
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        error_code error;
        const OwnAllocations own;
        if (++server->writes == 1) error = errc::sink_failed;
        if (!error)
            for (const auto& letter : letters) server->letters.emplace(letter.source);
        co_return error;
    }
};

struct OrderedLife {
    static constexpr std::size_t documents = 24;
    using Indexer = BulkIndexer<SmallTransport, ManualClock>;
    std::shared_ptr<SmallServer> server = std::make_shared<SmallServer>();
    asio::io_context context;
    asio::io_context other; ///< of the second observer
    std::array<std::string, documents> ids;
    std::array<std::string, documents> sources;
    std::array<bool, documents> accepted{};
    std::array<int, documents> told{};
    std::array<Outcome, documents> outcomes{};
    int started = 0;         ///< calls that complete
    int completed = 0;       ///< that have
    bool asio_threw = false; ///< out of the context: what it was about to call is lost
    std::optional<CloseReport> report;
    std::optional<Indexer> indexer;
    Subscription first;
    Subscription second;

    explicit OrderedLife(Ordering ordering) {
        ManualClock::reset();
        IndexerOptions options{.index = "an-index-with-a-name-too-long-for-a-small-string",
                               .max_batch_operations = 12,
                               .flush_interval = 100ms,
                               .max_in_flight = 2,
                               .max_buffered_operations = 20,
                               .ordering = ordering,
                               .on_event = [](const IndexerEvent&) {}};
        options.retry.initial_backoff = 50ms;
        options.retry.max_backoff = 200ms;
        options.flood.percent = 0;
        indexer.emplace(context.get_executor(), SmallTransport{server}, options, SmallSink{server});
        const auto observe = [this](std::span<const Settlement> settlements) {
            for (const auto& one : settlements) {
                ++told[one.key];
                outcomes[one.key] = one.outcome;
            }
        };
        first = indexer->subscribe(context.get_executor(), observe);
        second = indexer->subscribe(other.get_executor(), observe);
        for (std::size_t i = 0; i < documents; ++i) {
            ids[i] = "an-id-that-is-too-long-for-a-small-string-" + std::to_string(i % 10);
            sources[i] = R"({"kind":")" +
                         std::string{i % 7 == 5   ? "bad"
                                     : i % 5 == 2 ? "late"
                                                  : "good"} +
                         R"(","n":)" + std::to_string(i) + "}";
        }
    }
    void put(std::size_t i) {
        const Operation op{.id = ids[i], .source = sources[i]};
        accepted[i] = indexer->try_enqueue(op, (i % 2 == 0 ? first : second).ticket(i)) == Admission::accepted;
    }
    /// A call that completes once, unless it throws.
    template <class Call>
    void start(const Call& call) {
        try {
            call();
            ++started;
        } catch (const std::bad_alloc&) {
        }
    }
    void run(ManualClock::duration time) {
        for (; time >= 0ms; time -= 50ms) {
            try {
                test::run_ready(context);
                test::run_ready(other);
                test::run_ready(context);
            } catch (const std::bad_alloc&) {
                asio_threw = true;
            }
            ManualClock::advance(50ms);
        }
    }
    void live() {
        const auto flush = [this] { indexer->async_flush(1h, [this](error_code) { ++completed; }); };
        for (std::size_t i = 0; i < 14; ++i) put(i);
        start(flush);
        start([this] {
            indexer->async_index({.id = "one-that-is-waited-for-by-its-call", .source = R"({"kind":"good","n":100})"},
                                 [this](error_code, const IndexResult&) { ++completed; });
        });
        start([this] {
            indexer->async_index({.source = R"({"kind":"bad","n":101})"},
                                 [this](error_code, const IndexResult&) { ++completed; });
        });
        run(100ms);
        for (std::size_t i = 14; i < documents; ++i) put(i);
        for (int i = 0; i < 3; ++i)
            start([this] {
                indexer->async_enqueue({.source = R"({"kind":"good","n":102})"},
                                       [this](error_code, Admission) { ++completed; });
            });
        start(flush);
        run(600ms);
    }
    void end() {
        run(3s);
        start([this] { indexer->async_flush(1h, [this](error_code) { ++completed; }); });
        run(20s);
        CHECK(completed == started);
        CHECK(indexer->stats().pending == 0);
        CHECK(indexer->stats().in_flight == 0);
        indexer->async_close(10s, [this](error_code, CloseReport r) { report = std::move(r); });
        run(11s);
    }
    void check() {
        REQUIRE(report);
        const auto& stats = report->stats;
        CHECK(stats.offered == stats.accepted + stats.refused());
        CHECK(stats.accepted == stats.settled() + stats.pending);
        CHECK(stats.pending == 0);
        CHECK(stats.unobserved == 0);
        CHECK(stats.buffered_bytes == 0);
        CHECK(stats.sealed_batches == 0);
        CHECK(stats.dead_letters_waiting == 0);
        CHECK(stats.waiting_for_id == 0);
        CHECK(report->drained);
        for (std::size_t i = 0; i < documents; ++i) {
            CAPTURE(i, outcomes[i]);
            CHECK(told[i] == (accepted[i] ? 1 : 0));
            if (told[i] == 0) continue;
            const bool stored = server->stored.contains(sources[i]);
            if (outcomes[i] == Outcome::indexed || outcomes[i] == Outcome::superseded) CHECK(stored);
            if (outcomes[i] == Outcome::undelivered) CHECK_FALSE(stored);
            if (outcomes[i] == Outcome::dead_lettered) CHECK(server->letters.contains(sources[i]));
        }
    }
};

} // namespace

TEST_CASE("each allocation of a whole life fails: when there is memory again, all is settled, told and closed",
          "[F188][F107]") {
    for (const auto ordering : {Ordering::none, Ordering::per_id}) {
        std::size_t lost_by_asio = 0;
        std::size_t successes = 0;
        for (bool failed = true; failed; ++successes) {
            REQUIRE(successes < 20'000);
            CAPTURE(ordering == Ordering::per_id, successes);
            const auto refused = bulkhead_test::refused_allocations();
            OrderedLife life{ordering};
            {
                const bulkhead_test::FailingAllocations one{successes, 1};
                life.live();
            }
            failed = bulkhead_test::refused_allocations() != refused;
            if (life.asio_threw) {
                ++lost_by_asio;
                continue;
            }
            life.end();
            life.check();
        }
        CHECK(successes > 300);
        CHECK(lost_by_asio < successes / 20);
    }
}

TEST_CASE("a completion that cannot be posted for want of memory is posted later, once", "[F189]") {
    asio::io_context context;
    int flushed = 0;
    std::vector<int> order;
    order.reserve(3);
    detail::Completions completions;
    for (int i = 0; i < 3; ++i)
        completions.add(detail::Completion<error_code>{[&, i](error_code error) {
                                                           ++flushed;
                                                           order.push_back(error ? -1 : i);
                                                       },
                                                       context.get_executor()},
                        error_code{});
    const auto refused = bulkhead_test::refused_allocations();
    std::size_t attempts = 0;
    for (std::size_t successes = 0; !completions.empty() && attempts < 100; ++successes, ++attempts) {
        const bulkhead_test::FailingAlignedAllocations asio_too;
        const bulkhead_test::FailingAllocations one{successes % 4, 1};
        try {
            completions.post_all();
        } catch (const std::bad_alloc&) {
        }
    }
    CHECK(bulkhead_test::refused_allocations() > refused);
    CHECK(attempts > 1);
    CHECK(flushed == 0);
    context.poll();
    CHECK(order == std::vector<int>{0, 1, 2});
}

namespace {

/// Answers as it is told, and lets one allocation fail while its first answer is judged.
struct Judged {
    std::function<test::Answer(std::size_t request, std::size_t operations)> respond;
    std::size_t requests = 0;
    std::optional<std::size_t> successes; ///< allocations until the one that fails
    std::optional<bulkhead_test::FailingAllocations> failing;
};
struct JudgedTransport {
    std::shared_ptr<Judged> judged;
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        co_await asio::post(asio::use_awaitable);
        Reply reply;
        {
            const OwnAllocations own;
            auto answer = judged->respond(judged->requests++, request.operations);
            if (!answer.body.empty() && !sink.on_body(answer.body)) answer.reply.error = errc::malformed_answer;
            reply = std::move(answer.reply);
        }
        if (judged->requests == 1 && judged->successes) judged->failing.emplace(*judged->successes, 1);
        co_return reply;
    }
    void shutdown() noexcept {}
};
/// What must not depend on how often an answer was judged.
struct Counts {
    std::vector<std::uint64_t> numbers;
    std::map<std::uint64_t, std::pair<Outcome, std::uint32_t>> told; ///< by key: the outcome, and the attempts
    friend bool operator==(const Counts&, const Counts&) = default;
};
/// A bulk of six whose first answer is judged with an allocation that fails after so many, if any.
Counts judge_once(const std::function<test::Answer(std::size_t, std::size_t)>& respond,
                  std::optional<std::size_t> successes, bool& refused) {
    ManualClock::reset();
    asio::io_context context;
    const auto judged = std::make_shared<Judged>();
    judged->respond = respond;
    judged->successes = successes;
    IndexerOptions options{.index = "an-index-with-a-name-too-long-for-a-small-string", .max_batch_operations = 6};
    options.retry.max_attempts = 2;
    options.retry.min_retry_time = 0ms;
    BulkIndexer<JudgedTransport, ManualClock> indexer{context.get_executor(), JudgedTransport{judged}, options};
    Counts counts;
    const auto subscription = indexer.subscribe(context.get_executor(), [&](std::span<const Settlement> settlements) {
        const OwnAllocations own;
        for (const auto& one : settlements) counts.told[one.key] = {one.outcome, one.attempts};
    });
    for (std::uint64_t key = 0; key < 6; ++key) {
        const auto id = std::to_string(key);
        REQUIRE(indexer.try_enqueue({.id = id, .source = "{}"}, subscription.ticket(key)) == Admission::accepted);
    }
    const auto before = bulkhead_test::refused_allocations();
    for (int i = 0; i < 100; ++i) {
        test::run_ready(context);
        if (judged->failing) judged->failing.reset();
        ManualClock::advance(i < 20 ? 10ms : 1s);
    }
    test::run_ready(context);
    refused = bulkhead_test::refused_allocations() != before;
    const auto stats = indexer.stats();
    CHECK(stats.pending == 0);
    counts.numbers = {stats.failed_requests, stats.malformed_answers, stats.retried_operations, stats.requests,
                      stats.waiting_for_environment};
    for (std::size_t i = 0; i < failure_class_count; ++i) {
        const auto one = static_cast<FailureClass>(i);
        counts.numbers.push_back(stats.request_failures.of(one));
        if (one != FailureClass::local) // memory that ran out is one itself
            counts.numbers.push_back(stats.operation_failures.of(one));
    }
    return counts;
}

} // namespace

TEST_CASE("an answer that is judged again, for want of memory, counts once", "[F305]") {
    using test::Answer;
    using test::item;
    const std::map<std::string, Answer> answers{
        {"mixed", Answer::items({item(201), item(400, "document_parsing_exception_with_a_long_name"),
                                 item(503, "unavailable_shards_exception_and_more"), item(408),
                                 item(403, "security_exception"), item(500, "illegal_state_exception")})},
        {"pushed back", Answer::items(std::vector<std::string>(6, item(429, "es_rejected_execution_exception")))},
        {"503", Answer::status(503, R"({"error":{"type":"a_type_that_is_long_enough_for_the_heap","reason":"no"}})")},
        {"lost", Answer::lost(Sent::complete)},
        {"nonsense", Answer::status(200, "<html>")},
        {"400", Answer::status(400, R"({"error":{"type":"a_type_that_is_long_enough_for_the_heap","reason":"no"}})")},
        {"413", Answer::status(413)},
        {"401", Answer::status(401)},
    };
    for (const auto& [name, first] : answers) {
        const auto respond = [&first = first](std::size_t request, std::size_t operations) {
            return request == 0 ? first : Answer::ok(operations);
        };
        bool refused = false;
        const auto expected = judge_once(respond, {}, refused);
        refused = true;
        std::size_t successes = 0;
        for (; refused && successes < 300; ++successes) {
            CAPTURE(name, successes);
            const auto counts = judge_once(respond, successes, refused);
            CHECK(counts.numbers == expected.numbers);
            CHECK(counts.told == expected.told);
        }
        CHECK(successes > 5);
    }
}

namespace {

/// The first request waits until it is let go, and its answer is then lost; the others are taken.
struct FirstLost {
    explicit FirstLost(asio::io_context& context) : first{context, asio::steady_timer::time_point::max()} {}
    asio::steady_timer first;
    std::size_t requests = 0;
};
struct FirstLostTransport {
    std::shared_ptr<FirstLost> state;
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        const auto number = state->requests++;
        error_code ignored;
        if (number == 0) co_await state->first.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        const OwnAllocations own;
        auto answer = number == 0 ? test::Answer::lost(Sent::complete) : test::Answer::ok(request.operations);
        (void)(answer.body.empty() || sink.on_body(answer.body));
        co_return answer.reply;
    }
    void shutdown() noexcept {}
};

} // namespace

TEST_CASE("a bulk that there was no memory to send is sent after the endpoint's pause, though nothing else comes",
          "[F306]") {
    using test::Answer;
    std::size_t stuck = 0;
    std::size_t successes = 0;
    for (bool refused = true; refused && successes < 100; ++successes) {
        CAPTURE(successes);
        ManualClock::reset();
        asio::io_context context;
        const auto state = std::make_shared<FirstLost>(context);
        IndexerOptions options{.index = "an-index-with-a-name-too-long-for-a-small-string", .max_batch_operations = 1};
        options.retry.initial_backoff = 20s; // longer than until memory is looked for again
        BulkIndexer<FirstLostTransport, ManualClock> indexer{context.get_executor(), FirstLostTransport{state},
                                                             options};
        CHECK(indexer.try_enqueue({.source = "{}"}) == Admission::accepted);
        test::run_ready(context);
        const auto before = bulkhead_test::refused_allocations();
        {
            const bulkhead_test::FailingAllocations one{successes, 1};
            (void)indexer.try_enqueue({.source = "{}"});
            try {
                context.poll();
            } catch (const std::bad_alloc&) { // Asio's own: what it was about to call is lost
                continue;
            }
        }
        // Without an id an operation whose answer was lost ends: nothing waits to be sent again.
        state->first.cancel();
        refused = bulkhead_test::refused_allocations() != before;
        for (int i = 0; i < 600; ++i) {
            test::run_ready(context);
            ManualClock::advance(100ms);
        }
        test::run_ready(context);
        CHECK(indexer.stats().pending == 0);
        stuck += indexer.stats().pending;
    }
    CHECK(stuck == 0);
    CHECK(successes > 3);
}
