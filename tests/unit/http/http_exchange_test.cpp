// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/kept.hpp"
#include "support/memory_stream.hpp"

#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>

using namespace bulkhead;
using namespace std::chrono_literals;
using test::ManualClock;

namespace {

const std::string head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n";
const std::string body_1 = "{\"index\":{}}\n";
const std::string body_2 = "{\"a\":1}";
const std::string ok_answer = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"errors\":true}";

/// One exchange over memory, in virtual time, with ten seconds.
struct Exchange {
    Exchange() { ManualClock::reset(); }
    void start() {
        asio::co_spawn(
            context,
            [](Exchange& e) -> asio::awaitable<void> {
                bulkhead::detail::ExchangeOptions<ManualClock> options;
                options.head = head;
                options.body = e.body;
                options.deadline = ManualClock::now() + 10s;
                options.max_answer_bytes = e.max_answer_bytes;
                e.result = co_await bulkhead::detail::http_exchange<ManualClock>(e.stream, e.buffer, options, e.sink);
            }(*this),
            asio::detached);
        test::run_ready(context);
    }
    void pass(ManualClock::duration time) { test::run_for(context, time, 100ms); }

    asio::io_context context;
    std::shared_ptr<memory::Peer> peer = std::make_shared<memory::Peer>();
    memory::MemoryStream stream{context.get_executor(), peer};
    boost::beast::flat_buffer buffer;
    std::array<asio::const_buffer, 2> body{asio::buffer(body_1), asio::buffer(body_2)};
    std::size_t max_answer_bytes = 1U << 20;
    bulkhead_test::KeptBody sink;
    std::optional<bulkhead::detail::ExchangeResult> result;
};

} // namespace

TEST_CASE("a request goes out as it is, its answer streams in, and the connection can be used again") {
    Exchange e;
    e.start();
    CHECK(e.peer->received == head + body_1 + body_2);
    CHECK_FALSE(e.result);
    e.peer->say(ok_answer);
    test::run_ready(e.context);
    REQUIRE(e.result);
    const auto& reply = e.result->reply;
    CHECK_FALSE(reply.error);
    CHECK(reply.status == 200);
    CHECK(reply.sent == Sent::complete);
    CHECK(reply.body_complete);
    CHECK(e.result->reusable);
    CHECK(e.sink.bytes == "{\"errors\":true}");
    CHECK_FALSE(e.peer->closed);
    CHECK(e.context.stopped()); // no timer is left behind
}

TEST_CASE("bytes may come and go one at a time", "[F056][F057]") {
    for (const std::string& answer :
         {ok_answer, std::string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "1;x=y\r\n{\r\n1\r\n\"\r\nd\r\nerrors\":true}\r\n0\r\nTrailer: t\r\n\r\n"}}) {
        Exchange e;
        e.peer->most_per_read = 1;
        e.peer->most_per_write = 1;
        e.start();
        e.peer->say(answer);
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK_FALSE(e.result->reply.error);
        CHECK(e.result->reply.body_complete);
        CHECK(e.result->reusable);
        CHECK(e.sink.bytes.size() == 15);
        CHECK(e.peer->received == head + body_1 + body_2);
    }
}

TEST_CASE("how much was sent is known for every byte at which writing can fail", "[F047]") {
    const auto all = head.size() + body_1.size() + body_2.size();
    for (std::size_t at = 0; at < all; ++at) {
        CAPTURE(at);
        Exchange e;
        e.peer->takes = at;
        e.peer->then = asio::error::broken_pipe;
        e.start();
        e.peer->hang_up(asio::error::connection_reset);
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK(e.result->reply.error);
        CHECK(e.result->reply.sent == (at <= head.size() ? Sent::none : Sent::partial));
        CHECK_FALSE(e.result->reusable);
        CHECK_FALSE(e.result->reply.body_complete);
    }
}

TEST_CASE("an answer that is cut at any byte is never complete", "[F047][F048]") {
    for (const error_code end : {error_code{asio::error::eof}, error_code{asio::error::connection_reset}}) {
        for (std::size_t at = 0; at < ok_answer.size(); ++at) {
            CAPTURE(at, end.message());
            Exchange e;
            e.start();
            e.peer->say(ok_answer.substr(0, at));
            e.peer->hang_up(end);
            test::run_ready(e.context);
            REQUIRE(e.result);
            CHECK(e.result->reply.error);
            CHECK(e.result->reply.sent == Sent::complete);
            CHECK_FALSE(e.result->reply.body_complete);
            CHECK_FALSE(e.result->reusable);
            CHECK(e.peer->closed);
        }
    }
}

TEST_CASE("an answer whose end is the connection's end proves nothing") {
    Exchange e;
    e.start();
    e.peer->say("HTTP/1.1 200 OK\r\n\r\n{\"errors\":true}");
    e.peer->hang_up();
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK_FALSE(e.result->reply.error);
    CHECK(e.sink.bytes == "{\"errors\":true}");
    CHECK(e.result->reply.detail == "only the connection's end ends the answer");
    CHECK_FALSE(e.result->reply.body_complete);
    CHECK_FALSE(e.result->reusable);
}

TEST_CASE("silence, a trickle and a closed window end at the deadline", "[F053][F054][F055]") {
    SECTION("nothing comes") {
        Exchange e;
        e.start();
        e.pass(9900ms);
        CHECK_FALSE(e.result);
        e.pass(200ms);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::request_timeout});
        CHECK(e.result->reply.sent == Sent::complete);
        CHECK(e.peer->closed);
    }
    SECTION("one byte a second") {
        Exchange e;
        e.start();
        for (int i = 0; i < 9; ++i) {
            e.peer->say(ok_answer.substr(static_cast<std::size_t>(i), 1));
            e.pass(1s);
        }
        CHECK_FALSE(e.result);
        e.pass(1s);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::request_timeout});
    }
    SECTION("the peer does not read") {
        Exchange e;
        e.peer->takes = head.size() + 5;
        e.start();
        e.pass(10s);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::request_timeout});
        CHECK(e.result->reply.sent == Sent::partial);
    }
}

TEST_CASE("an error that comes while the request is still being sent stops the sending", "[F034]") {
    for (const std::string status : {"401", "413", "429", "503"}) {
        Exchange e;
        e.peer->takes = head.size() + 5;
        e.start();
        e.peer->say("HTTP/1.1 " + status + " no\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::early_answer});
        CHECK(std::to_string(e.result->reply.status) == status);
        CHECK(e.result->reply.retry_after == 7s);
        CHECK(e.result->reply.sent == Sent::partial);
        CHECK_FALSE(e.result->reusable);
        CHECK(e.peer->closed);
    }
}

TEST_CASE("interim answers are skipped, but not for ever", "[F170]") {
    const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
    Exchange e;
    e.start();
    e.peer->say(interim + interim + "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok_answer);
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK(e.result->reply.status == 200);
    CHECK(e.result->reusable);

    Exchange endless;
    endless.start();
    for (int i = 0; i < 20; ++i) endless.peer->say(interim);
    test::run_ready(endless.context);
    REQUIRE(endless.result);
    CHECK(endless.result->reply.error == error_code{errc::malformed_answer});
}

TEST_CASE("what is not HTTP/1.1 as it must be is a malformed answer, not a hang", "[F058][F062][F221]") {
    const std::string ok = "HTTP/1.1 200 OK\r\n";
    for (const std::string& garbage : {std::string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
                                       std::string{"SSH-2.0-x\r\n"},
                                       std::string{"\r\n"} + ok,
                                       ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                                       ok + "Content-Length: -1\r\n\r\n",
                                       ok + "no colon\r\n",
                                       ok + "a b: c\r\n",
                                       ok + ": c\r\n",
                                       ok + " folded, behind nothing\r\n",
                                       ok + "X: a\rContent-Length: 0\r\n",
                                       ok + std::string{"X: \0\r\n", 6},
                                       ok + "X: a\n",
                                       std::string{"HTTP/1.1 2000 OK\r\n"},
                                       std::string{"HTTP/1.1 20 OK\r\n"},
                                       std::string{"HTTP/1.1 020 OK\r\n"},
                                       std::string{"HTTP/1.1  200 OK\r\n"},
                                       std::string{"HTTP/1.1200 OK\r\n"},
                                       std::string{"HTTP/1.1\r\n"},
                                       "HTTP/1.1 200 " + std::string(std::size_t{2} << 20, 'r'),
                                       std::string{"HTTP/2 200\r\n"},
                                       std::string{"HTTP/1.1 101 Switching Protocols\r\n\r\n"},
                                       ok + "Connection: x" + std::string(70000, 'x') + "\r\n",
                                       ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
        CAPTURE(garbage.substr(0, 60));
        Exchange e;
        e.start();
        e.peer->say(garbage);
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::malformed_answer});
        CHECK(e.result->reply.status == (garbage.starts_with(ok) ? 200U : 0U));
        CHECK(e.result->reply.sent == Sent::complete);
        CHECK(e.peer->closed);
        CHECK(e.result->reply.detail.find("cannot be understood") != std::string::npos);
        for (const char c : e.result->reply.detail) CHECK(static_cast<unsigned char>(c) >= 0x20);
    }
}

TEST_CASE("a peer that speaks TLS is not taken for one that has answered", "[F062][F221]") {
    Exchange e;
    e.start();
    e.peer->say({"\x15\x03\x01\x00\x02\x02\x28", 7});
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK(e.result->reply.error == error_code{errc::protocol_error});
    CHECK(e.result->reply.detail == "the server speaks TLS on this port");
}

TEST_CASE("a status counts when the head behind it cannot be understood", "[F221]") {
    Exchange e;
    e.start();
    e.peer->say("HTTP/1.1 429 Too Many Requests\r\nno colon\r\n");
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK(e.result->reply.status == 429);
    CHECK(e.result->reply.error);
}

TEST_CASE("a status line without a reason is taken, with the blank and without it", "[F219]") {
    for (const std::string line : {"HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200", "HTTP/1.1 200 \xFF\x01 reason"}) {
        for (const bool in_pieces : {false, true}) {
            CAPTURE(line, in_pieces);
            Exchange e;
            if (in_pieces) e.peer->most_per_read = 1;
            e.start();
            e.peer->say(line + "\r\nContent-Length: 15\r\n\r\n{\"errors\":true}");
            test::run_ready(e.context);
            REQUIRE(e.result);
            CHECK_FALSE(e.result->reply.error);
            CHECK(e.result->reply.status == 200);
            CHECK(e.result->reply.body_complete);
            CHECK(e.result->reusable == line.starts_with("HTTP/1.1"));
            CHECK(e.sink.bytes == "{\"errors\":true}");
        }
    }
}

TEST_CASE("fields that nobody needs are passed over within a bound", "[F170][F220]") {
    const auto answer = [](const std::string& fields) {
        return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 15\r\n\r\n{\"errors\":true}";
    };
    std::string warnings;
    while (warnings.size() < 150'000) warnings += "Warning: 299 Elasticsearch \"" + std::string(200, 'w') + "\"\r\n";
    for (const std::string& fields :
         {warnings, "Warning: " + std::string(900'000, 'w') + "\r\n", std::string{"Warning: \xE4\x01\x7F\r\n"},
          std::string{"Warning: folded\r\n into lines\r\n\tand lines\r\n"}, std::string{"Warning:\r\n"}}) {
        Exchange e;
        e.start();
        e.peer->say(answer(fields));
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK_FALSE(e.result->reply.error);
        CHECK(e.result->reply.body_complete);
        CHECK(e.result->reusable);
        CHECK(e.sink.bytes == "{\"errors\":true}");
        CHECK(e.buffer.capacity() <= 256U << 10);
    }
    for (const bool in_one_line : {true, false}) { // endless
        CAPTURE(in_one_line);
        Exchange e;
        e.start();
        e.peer->say("HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 16; ++i) e.peer->say("W: " + std::string(100'000, 'w') + (in_one_line ? "" : "\r\n"));
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::answer_too_large});
        CHECK(e.result->reply.status == 200);
        CHECK(e.buffer.capacity() <= 256U << 10);
    }
}

TEST_CASE("an answer in a content coding is named, and not handed on", "[F218]") {
    const std::string coded = "\x1F\x8B\x08 not for the sink";
    for (const auto& [fields, coding] : {std::pair<std::string, std::string>{"Content-Encoding: gzip", "gzip"},
                                         {"content-encoding: identity, X-GZip", "x-gzip"},
                                         {"Content-Encoding: br", "br"},
                                         {"Content-Encoding: utf-8", ""},
                                         {"Content-Encoding: identity", ""}}) {
        CAPTURE(fields);
        Exchange e;
        e.start();
        e.peer->say("HTTP/1.1 200 OK\r\n" + fields + "\r\nContent-Length: " + std::to_string(coded.size()) +
                    "\r\n\r\n" + coded);
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK_FALSE(e.result->reply.error);
        CHECK(e.result->reusable);
        const std::string said =
            coding.empty() ? "" : "the answer has the content coding " + coding + ", which was not asked for";
        CHECK(e.result->reply.detail == said);
        CHECK(e.sink.bytes == (coding.empty() ? coded : said));
    }
}

TEST_CASE("a connection is not used again after close, HTTP/1.0 or bytes that nobody asked for", "[F061]") {
    for (const std::string& answer :
         {std::string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"},
          std::string{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"},
          std::string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n"}}) {
        Exchange e;
        e.start();
        e.peer->say(answer);
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK_FALSE(e.result->reply.error);
        CHECK(e.result->reply.body_complete);
        CHECK_FALSE(e.result->reusable);
    }
}

TEST_CASE("a large answer streams through; one that is larger than allowed is cut off", "[F020][F021]") {
    Exchange e;
    e.max_answer_bytes = 20U << 20;
    e.start();
    e.peer->say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 18; ++i) e.peer->say("100000\r\n" + std::string(1U << 20, 'x') + "\r\n");
    e.peer->say("0\r\n\r\n");
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK(e.result->reply.body_complete);
    CHECK(e.sink.bytes.size() == 18U << 20);

    Exchange cut;
    cut.max_answer_bytes = 1U << 20;
    cut.start();
    cut.peer->say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 18; ++i) cut.peer->say("100000\r\n" + std::string(1U << 20, 'x') + "\r\n");
    test::run_ready(cut.context);
    REQUIRE(cut.result);
    CHECK(cut.result->reply.error == error_code{errc::answer_too_large});
    CHECK(cut.sink.bytes.size() <= 1U << 20);
}

TEST_CASE("what comes between the chunks, and behind them, takes no more memory than header fields", "[F020]") {
    for (const char* begins : {"5;x=", "0\r\nX: "}) {
        CAPTURE(begins);
        Exchange e;
        e.start();
        e.peer->say(std::string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"} + begins);
        for (int i = 0; i < 16; ++i) e.peer->say(std::string(1U << 20, 'a'));
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::malformed_answer});
        CHECK_FALSE(e.result->reusable);
        CHECK(e.buffer.capacity() <= 256U << 10);
    }
}

TEST_CASE("a sink that wants no more ends the reading") {
    Exchange e;
    e.sink.wanted = false;
    e.start();
    e.peer->say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<html>");
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK(e.result->reply.error == error_code{errc::malformed_answer});
    CHECK(e.peer->closed);
}

TEST_CASE("a success before the request is whole: the peer has a second to take the rest", "[F034]") {
    Exchange e;
    e.peer->takes = head.size() + 5;
    e.start();
    e.peer->say(ok_answer);
    e.pass(900ms);
    CHECK_FALSE(e.result);
    SECTION("it takes it") {
        e.peer->take(1000);
        test::run_ready(e.context);
        REQUIRE(e.result);
        CHECK_FALSE(e.result->reply.error);
        CHECK(e.result->reply.sent == Sent::complete);
        CHECK(e.result->reply.body_complete);
    }
    SECTION("it does not") {
        e.pass(200ms);
        REQUIRE(e.result);
        CHECK(e.result->reply.error == error_code{errc::early_answer});
        CHECK(e.result->reply.status == 200);
        CHECK(e.result->reply.sent == Sent::partial);
        CHECK_FALSE(e.result->reply.body_complete);
        CHECK_FALSE(e.result->reusable);
        CHECK(e.peer->closed);
    }
}

TEST_CASE("a sink that throws, while the request is still being sent: it ends, and lets go of the body", "[F096]") {
    struct Throwing final : AnswerSink {
        bool on_body(std::string_view) override { throw std::bad_alloc{}; }
    } sink;
    Exchange e;
    e.peer->takes = head.size() + 5;
    asio::co_spawn(
        e.context,
        [](Exchange& x, AnswerSink& s) -> asio::awaitable<void> {
            bulkhead::detail::ExchangeOptions<ManualClock> options;
            options.head = head;
            options.body = x.body;
            options.deadline = ManualClock::now() + 10s;
            x.result = co_await bulkhead::detail::http_exchange<ManualClock>(x.stream, x.buffer, options, s);
        }(e, sink),
        asio::detached);
    e.peer->say(ok_answer);
    test::run_ready(e.context);
    REQUIRE(e.result);
    CHECK(e.result->reply.error);
    CHECK_FALSE(e.result->reply.body_complete);
    CHECK_FALSE(e.result->reusable);
    CHECK(e.peer->closed);
    CHECK_FALSE(e.peer->writer);
}
