// SPDX-License-Identifier: BSL-1.0
// Every fault at every byte of a request and of an answer. What must come of it is computed here from the contract
// (transport.hpp, http_exchange.hpp) and from how the answers were put together, not from what the code does.
#include "support/catch.hpp"
#include "support/kept.hpp"
#include "support/memory_stream.hpp"
#include "support/still_clock.hpp"

#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <ostream>

using namespace bulkhead;
using namespace std::chrono_literals;
using bulkhead_test::StillClock;
using test::ManualClock;

namespace {

constexpr auto time_allowed = 10s;

const std::string request_head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n";
const std::string request_action = "{\"index\":{}}\n";
const std::string request_source = "{\"a\":1}";
const std::string whole_request = request_head + request_action + request_source;

/// What another request is answered: no byte of its body may turn up in a sink that is not its own.
const std::string another_answer = "HTTP/1.1 201 Created\r\nContent-Length: 8\r\n\r\nintruder";

// ---- Answers, and what is known about each byte of them ----

enum class Part { interim, head, framing, body };

struct Piece {
    Part part;
    std::string bytes;
};

struct Spoken {
    const char* name;
    unsigned status;
    std::optional<std::chrono::seconds> retry_after;
    bool keep_alive;
    bool proves_its_end; ///< by a length or a last chunk
    std::vector<Piece> pieces;

    [[nodiscard]] std::string bytes() const {
        std::string all;
        for (const auto& piece : pieces) all += piece.bytes;
        return all;
    }
    [[nodiscard]] std::string body() const {
        std::string all;
        for (const auto& piece : pieces)
            if (piece.part == Part::body) all += piece.bytes;
        return all;
    }
    /// How many bytes must have come before the final answer's status is known.
    [[nodiscard]] std::size_t head_end() const {
        std::size_t end = 0;
        for (const auto& piece : pieces)
            if (piece.part == Part::interim || piece.part == Part::head) end += piece.bytes.size();
        return end;
    }
};

std::vector<Spoken> answers() {
    const std::string ok = "HTTP/1.1 200 OK\r\n";
    const std::string text = R"({"errors":true})";
    return {
        {"length", 200, {}, true, true, {{Part::head, ok + "Content-Length: 15\r\n\r\n"}, {Part::body, text}}},
        {"length 0", 200, {}, true, true, {{Part::head, ok + "Content-Length: 0\r\n\r\n"}}},
        {"chunked, with an extension and a trailer",
         200,
         {},
         true,
         true,
         {{Part::head, ok + "Transfer-Encoding: chunked\r\n\r\n"},
          {Part::framing, "1;x=y\r\n"},
          {Part::body, "{"},
          {Part::framing, "\r\nD; name=\"a;b\"\r\n"},
          {Part::body, R"("errors":true)"},
          {Part::framing, "\r\n1\r\n"},
          {Part::body, "}"},
          {Part::framing, "\r\n0\r\nTrailer: t\r\n\r\n"}}},
        {"after a 100 and a 102",
         200,
         {},
         true,
         true,
         {{Part::interim, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nRetry-After: 99\r\n\r\n"},
          {Part::head, ok + "Content-Length: 15\r\n\r\n"},
          {Part::body, text}}},
        {"429 with Retry-After",
         429,
         7s,
         true,
         true,
         {{Part::head, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\n"},
          {Part::body, "slow"}}},
        {"no length", 200, {}, false, false, {{Part::head, ok + "X: y\r\n\r\n"}, {Part::body, text}}},
        {"HTTP/1.0",
         200,
         {},
         false,
         true,
         {{Part::head, "HTTP/1.0 200 OK\r\nContent-Length: 15\r\n\r\n"}, {Part::body, text}}},
        {"HTTP/1.0, no length",
         503,
         {},
         false,
         false,
         {{Part::head, "HTTP/1.0 503 No\r\n\r\n"}, {Part::body, "<html>"}}},
        {"Connection: close",
         200,
         {},
         false,
         true,
         {{Part::head, ok + "Connection: close\r\nContent-Length: 15\r\n\r\n"}, {Part::body, text}}},
    };
}

// ---- Driving ----

/// The sizes in which the kernel takes and gives bytes.
struct Grain {
    const char* name;
    std::size_t most;
};
const Grain grains[] = {{"as much as there is", std::numeric_limits<std::size_t>::max()}, {"byte by byte", 1}};

/// All that can be told about an exchange that has ended.
struct Seen {
    error_code error;
    Sent sent{};
    unsigned status = 0;
    std::optional<std::chrono::seconds> retry_after;
    bool body_complete = false;
    bool reusable = false;
    bool closed = false;
    std::string body;
    friend bool operator==(const Seen&, const Seen&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Seen& s) {
        return out << "{error: " << s.error.message() << ", sent: " << static_cast<int>(s.sent)
                   << ", status: " << s.status << ", retry after: " << (s.retry_after ? s.retry_after->count() : -1)
                   << ", complete: " << s.body_complete << ", reusable: " << s.reusable << ", closed: " << s.closed
                   << ", body: " << s.body << "}";
    }
};

/// An exchange over memory, in virtual time.
struct FaultyExchange {
    explicit FaultyExchange(const Grain& grain = grains[0]) {
        ManualClock::reset();
        peer->most_per_read = grain.most;
        peer->most_per_write = grain.most;
    }
    FaultyExchange(const FaultyExchange&) = delete;
    FaultyExchange& operator=(const FaultyExchange&) = delete;
    ~FaultyExchange() { // also when a check has failed, since the context lives on
        peer->close();
        run();
    }
    void start() {
        result.reset();
        began = StillClock::now();
        asio::co_spawn(
            context,
            [](FaultyExchange& e) -> asio::awaitable<void> {
                bulkhead::detail::ExchangeOptions<StillClock> options;
                options.head = request_head;
                options.body = e.body;
                options.deadline = e.began + time_allowed;
                e.result = co_await bulkhead::detail::http_exchange<StillClock>(e.stream, e.buffer, options, e.sink);
                e.took = StillClock::now() - e.began;
            }(*this),
            asio::detached);
        run();
    }
    void run() { test::run_ready(context); }
    void pass(StillClock::duration time) { StillClock::pass(context, time); }
    void say(const std::string& bytes) {
        peer->say(bytes);
        run();
    }
    void hang_up(error_code error) {
        peer->hang_up(error);
        run();
    }
    /// Waits as long as the exchange may take, and checks what holds however it ended.
    Seen end() {
        if (!result) pass(began + time_allowed - StillClock::now() - 1ms);
        if (!result) pass(1ms);
        REQUIRE(result);
        CHECK(took <= time_allowed);
        CHECK_FALSE(peer->reader); // nothing is under way that could refer to the body or the sink
        CHECK_FALSE(peer->writer);
        const auto& reply = result->reply;
        const Seen seen{reply.error,         reply.sent,       reply.status, reply.retry_after,
                        reply.body_complete, result->reusable, peer->closed, sink.bytes};
        // What follows from the contract whatever happened.
        if (seen.error) CHECK_FALSE(seen.body_complete);
        if (seen.sent != Sent::complete) CHECK_FALSE(seen.body_complete);
        if (seen.reusable) CHECK((seen.body_complete && !seen.closed && buffer.size() == 0));
        // What comes later changes nothing.
        const auto taken = peer->received;
        say(another_answer);
        peer->take(1000);
        run();
        CHECK(sink.bytes == seen.body);
        CHECK(peer->received == taken);
        return seen;
    }

    // One for all: opening and closing its descriptors would be most of these tests' time.
    static asio::io_context& shared_context() {
        static asio::io_context context;
        return context;
    }

    asio::io_context& context = shared_context();
    std::shared_ptr<memory::Peer> peer = std::make_shared<memory::Peer>();
    memory::MemoryStream stream{context.get_executor(), peer};
    boost::beast::flat_buffer buffer;
    std::array<asio::const_buffer, 2> body{asio::buffer(request_action), asio::buffer(request_source)};
    bulkhead_test::KeptBody sink;
    std::optional<bulkhead::detail::ExchangeResult> result;
    StillClock::time_point began;
    StillClock::duration took{};
};

// ---- The oracle ----

bool is_prefix(const std::string& part, const std::string& whole) { return whole.compare(0, part.size(), part) == 0; }

/// The request was taken; of the answer `at` bytes came, and then a fault.
void check_answer_cut(const Spoken& answer, std::size_t at, const Seen& seen, bool clean_end) {
    const bool head_came = at >= answer.head_end();
    const bool all_came = at == answer.bytes().size();
    CHECK(seen.sent == Sent::complete);
    CHECK(seen.status == (head_came ? answer.status : 0U));
    CHECK(seen.retry_after == (head_came ? answer.retry_after : std::nullopt));
    CHECK(is_prefix(seen.body, answer.body()));
    if (answer.proves_its_end && all_came) { // the fault comes too late to matter
        CHECK_FALSE(seen.error);
        CHECK(seen.body_complete);
        CHECK(seen.body == answer.body());
        if (seen.reusable) CHECK(answer.keep_alive);
        return;
    }
    CHECK_FALSE(seen.body_complete);
    CHECK_FALSE(seen.reusable);
    // Where the connection's end is the answer's, a clean one is no error, but never a proof.
    const bool ended_by_eof = !answer.proves_its_end && head_came && clean_end;
    if (!ended_by_eof) CHECK(seen.error);
}

/// Of the request `at` bytes were taken, and then a fault.
Sent sent_at(std::size_t at) {
    if (at == whole_request.size()) return Sent::complete;
    return at > request_head.size() ? Sent::partial : Sent::none;
}

void check_request_cut(std::size_t at, const FaultyExchange& exchange, const Seen& seen) {
    CHECK(seen.error);
    CHECK(seen.sent == sent_at(at));
    CHECK_FALSE(seen.body_complete);
    CHECK_FALSE(seen.reusable);
    CHECK(exchange.peer->received == whole_request.substr(0, at));
}

/// Calls `f(answer, at, bytes so far, grain)` for each byte of each answer, its end included.
template <class F>
void at_every_byte_of_an_answer(F f) {
    for (const auto& answer : answers()) {
        const auto bytes = answer.bytes();
        for (const auto& grain : grains) {
            for (std::size_t at = 0; at <= bytes.size(); ++at) {
                INFO(answer.name << ", " << grain.name << ", fault at byte " << at << " of " << bytes.size());
                f(answer, at, bytes.substr(0, at), grain);
            }
        }
    }
}

/// Calls `f(at, exchange)` for each byte of the request but its end, with a peer that takes no more than `at` bytes.
template <class F>
void at_every_byte_of_the_request(F f) {
    for (const auto& grain : grains) {
        for (std::size_t at = 0; at < whole_request.size(); ++at) {
            INFO("request, " << grain.name << ", fault at byte " << at << " of " << whole_request.size());
            FaultyExchange e{grain};
            e.peer->takes = at;
            f(at, e);
        }
    }
}

} // namespace

// ---- The answer ----

TEST_CASE("reset at every byte of an answer", "[F047]") {
    at_every_byte_of_an_answer([](const Spoken& answer, std::size_t at, const std::string& came, const Grain& grain) {
        FaultyExchange e{grain};
        e.start();
        e.say(came);
        e.hang_up(asio::error::connection_reset);
        check_answer_cut(answer, at, e.end(), false);
        CHECK(e.took == 0s);
    });
}

TEST_CASE("a clean end at every byte of an answer: truncated is never a success", "[F048][F051]") {
    at_every_byte_of_an_answer([](const Spoken& answer, std::size_t at, const std::string& came, const Grain& grain) {
        FaultyExchange e{grain};
        e.start();
        e.say(came);
        e.hang_up(asio::error::eof);
        check_answer_cut(answer, at, e.end(), true);
        CHECK(e.took == 0s);
    });
}

TEST_CASE("reset or ended at every byte of an answer that came in one piece with its end", "[F047][F048][F051]") {
    for (const error_code end : {error_code{asio::error::connection_reset}, error_code{asio::error::eof}}) {
        at_every_byte_of_an_answer(
            [&](const Spoken& answer, std::size_t at, const std::string& came, const Grain& grain) {
                FaultyExchange e{grain};
                e.peer->say(came); // all of it is there before the first read
                e.peer->hang_up(end);
                e.start();
                const auto seen = e.end();
                if (seen.sent == Sent::complete) return check_answer_cut(answer, at, seen, end == asio::error::eof);
                // Byte by byte, the end or an error status is read while the request is still on its way.
                CHECK(seen.error);
                CHECK_FALSE(seen.reusable);
                CHECK(seen.sent == sent_at(e.peer->received.size()));
                CHECK(seen.status == (at >= answer.head_end() ? answer.status : 0U));
            });
    }
}

TEST_CASE("silence from every byte of an answer on ends at the deadline", "[F053]") {
    at_every_byte_of_an_answer([](const Spoken& answer, std::size_t at, const std::string& came, const Grain& grain) {
        FaultyExchange e{grain};
        e.start();
        e.say(came);
        const auto seen = e.end();
        check_answer_cut(answer, at, seen, false);
        if (seen.error) CHECK(seen.error == error_code{errc::request_timeout});
        CHECK(e.took == (seen.error ? time_allowed : 0s)); // not sooner either: the server may only be slow
    });
}

TEST_CASE("a trickle is cut off at the deadline, at whatever byte it is then", "[F054]") {
    at_every_byte_of_an_answer([](const Spoken& answer, std::size_t at, const std::string& came, const Grain& grain) {
        const auto slow = std::min<std::size_t>(at, 9); // so many bytes come at one a second
        FaultyExchange e{grain};
        e.start();
        e.say(came.substr(0, at - slow));
        for (auto i = at - slow; i < at; ++i) {
            e.pass(1s);
            e.say(came.substr(i, 1));
        }
        const auto seen = e.end();
        check_answer_cut(answer, at, seen, false);
        if (seen.error) CHECK(seen.error == error_code{errc::request_timeout});
    });
}

TEST_CASE("an answer in two pieces, cut at every byte, is the same as in one", "[F056]") {
    for (const auto& answer : answers()) {
        const auto bytes = answer.bytes();
        std::optional<Seen> whole;
        for (const auto& grain : grains) {
            for (std::size_t at = 0; at <= bytes.size(); ++at) {
                INFO(answer.name << ", " << grain.name << ", pause at byte " << at << " of " << bytes.size());
                FaultyExchange e{grain};
                e.start();
                e.say(bytes.substr(0, at));
                e.pass(1s);
                e.say(bytes.substr(at));
                if (!answer.proves_its_end) e.hang_up(asio::error::eof);
                const auto seen = e.end();
                if (!whole) whole = seen; // the first is: nothing, a pause, everything
                CHECK(seen == *whole);
                CHECK_FALSE(seen.error);
                CHECK(seen.sent == Sent::complete);
                CHECK(seen.status == answer.status);
                CHECK(seen.retry_after == answer.retry_after);
                CHECK(seen.body_complete == answer.proves_its_end);
                CHECK(seen.reusable == (answer.proves_its_end && answer.keep_alive));
                CHECK(seen.body == answer.body());
                CHECK(e.peer->received == whole_request);
            }
        }
    }
}

TEST_CASE("the next exchange on a reusable connection sees only its own answer", "[F051][F056]") {
    for (const auto& first : answers()) {
        if (!first.keep_alive) continue;
        for (const auto& second : answers()) {
            for (const auto& grain : grains) {
                INFO(first.name << ", then " << second.name << ", " << grain.name);
                FaultyExchange e{grain};
                e.start();
                e.say(first.bytes());
                REQUIRE(e.result);
                REQUIRE(e.result->reusable);
                CHECK(e.buffer.size() == 0);
                CHECK(e.sink.bytes == first.body());
                e.sink.bytes.clear();
                e.start();
                CHECK(e.peer->received == whole_request + whole_request);
                e.say(second.bytes());
                if (!second.proves_its_end) e.hang_up(asio::error::eof);
                const auto seen = e.end();
                CHECK_FALSE(seen.error);
                CHECK(seen.status == second.status);
                CHECK(seen.retry_after == second.retry_after);
                CHECK(seen.body == second.body());
            }
        }
    }
}

TEST_CASE("another answer behind this one, cut at every byte, never reaches the sink", "[F048][F053]") {
    for (const auto& answer : answers()) {
        if (!answer.proves_its_end) continue; // there, everything up to the end is the answer's
        for (std::size_t at = 1; at <= another_answer.size(); ++at) {
            INFO(answer.name << ", followed by " << at << " bytes");
            FaultyExchange e;
            e.start();
            e.say(answer.bytes() + another_answer.substr(0, at));
            REQUIRE(e.result);
            CHECK_FALSE(e.result->reply.error);
            CHECK(e.result->reply.status == answer.status);
            CHECK(e.result->reply.body_complete);
            CHECK_FALSE(e.result->reusable); // nobody knows whose they are
            CHECK(e.end().body == answer.body());
        }
    }
}

// ---- The request ----

TEST_CASE("reset at every byte of the request", "[F047]") {
    at_every_byte_of_the_request([](std::size_t at, FaultyExchange& e) {
        e.peer->then = asio::error::connection_reset;
        e.start();
        e.hang_up(asio::error::connection_reset);
        check_request_cut(at, e, e.end());
        CHECK(e.result->reply.status == 0);
        CHECK(e.took == 0s);
    });
}

TEST_CASE("writing fails at every byte of the request, and the peer says nothing", "[F047][F055]") {
    at_every_byte_of_the_request([](std::size_t at, FaultyExchange& e) {
        e.peer->then = asio::error::broken_pipe;
        e.start();
        check_request_cut(at, e, e.end());
        CHECK(e.result->reply.status == 0);
    });
}

TEST_CASE("the peer ends the connection at every byte of the request", "[F048][F051]") {
    at_every_byte_of_the_request([](std::size_t at, FaultyExchange& e) {
        e.start();
        CHECK_FALSE(e.result);
        e.hang_up(asio::error::eof);
        check_request_cut(at, e, e.end());
        CHECK(e.result->reply.status == 0);
        CHECK(e.took == 0s);
    });
}

TEST_CASE("the peer stops reading at every byte of the request: over at the deadline", "[F053][F055]") {
    at_every_byte_of_the_request([](std::size_t at, FaultyExchange& e) {
        e.start();
        const auto seen = e.end();
        check_request_cut(at, e, seen);
        CHECK(seen.error == error_code{errc::request_timeout});
        CHECK(seen.status == 0);
        CHECK(e.took == time_allowed);
    });
}

TEST_CASE("the peer takes one byte a second: cut off at the deadline, at whatever byte it is then", "[F054][F055]") {
    at_every_byte_of_the_request([](std::size_t at, FaultyExchange& e) {
        const auto slow = std::min<std::size_t>(at, 9);
        e.peer->takes = at - slow;
        e.start();
        for (std::size_t i = 0; i < slow; ++i) {
            e.pass(1s);
            e.peer->take(1);
            e.run();
        }
        const auto seen = e.end();
        check_request_cut(at, e, seen);
        CHECK(seen.error == error_code{errc::request_timeout});
    });
}

TEST_CASE("the peer pauses at every byte of the request: nothing is lost or repeated", "[F055][F056]") {
    at_every_byte_of_the_request([](std::size_t at, FaultyExchange& e) {
        e.start();
        CHECK(e.peer->received == whole_request.substr(0, at));
        e.pass(5s);
        CHECK_FALSE(e.result);
        e.peer->take(whole_request.size() - at);
        e.run();
        CHECK(e.peer->received == whole_request);
        const auto answer = answers().front();
        e.say(answer.bytes());
        const auto seen = e.end();
        CHECK_FALSE(seen.error);
        CHECK(seen.sent == Sent::complete);
        CHECK(seen.body_complete);
        CHECK(seen.reusable);
        CHECK(seen.body == answer.body());
    });
}

TEST_CASE("answered at every byte of a request that is then taken no further: never a success", "[F047][F055]") {
    for (const auto& answer : answers()) {
        at_every_byte_of_the_request([&](std::size_t at, FaultyExchange& e) {
            INFO(answer.name);
            e.start();
            e.say(answer.bytes());
            const auto seen = e.end();
            check_request_cut(at, e, seen);
            CHECK(seen.status == answer.status); // also where sending was stopped because of it
            CHECK(seen.retry_after == answer.retry_after);
            CHECK(is_prefix(seen.body, answer.body()));
        });
    }
}

TEST_CASE("answered and reset at every byte of a request: what was said before is heard", "[F047]") {
    for (const auto& answer : answers()) {
        at_every_byte_of_the_request([&](std::size_t at, FaultyExchange& e) {
            INFO(answer.name);
            e.start();
            e.peer->say(answer.bytes());
            e.peer->then = asio::error::connection_reset;
            e.peer->serve_write(); // writing fails before the answer is read
            e.hang_up(asio::error::connection_reset);
            const auto seen = e.end();
            check_request_cut(at, e, seen);
            CHECK(seen.status == answer.status);
            CHECK(seen.retry_after == answer.retry_after);
        });
    }
}
