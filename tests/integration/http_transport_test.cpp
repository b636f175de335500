// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/loopback_server.hpp"

#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;
using loopback::Peer;
using loopback::Server;
using test::ManualClock;

namespace {

using ManualConnector = PlainConnector<ManualClock>;
template <class C>
using ManualTransport = basic_http_transport<C, IdentityEncoder, ManualClock>;

std::string answer(const std::string& body, const std::string& status = "200 OK", const std::string& fields = {}) {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" +
           body;
}

struct Sink final : AnswerSink {
    std::string bytes;
    bool on_body(std::string_view more) override {
        bytes += more;
        return true;
    }
};

/// A send under way, and what became of it.
struct Send {
    std::string text = "{\"index\":{}}\n{\"a\":1}\n";
    std::array<asio::const_buffer, 1> body{};
    Sink sink;
    std::optional<Reply> reply;
};

/// Real sockets on one thread, virtual time.
template <class C = ManualConnector>
struct Client {
    explicit Client(asio::io_context& io, HttpOptions options) : context{io}, transport{io.get_executor(), options} {
        ManualClock::reset();
    }
    std::unique_ptr<Send> start(std::string text = {}) {
        auto send = std::make_unique<Send>();
        if (!text.empty()) send->text = std::move(text);
        send->body[0] = asio::buffer(send->text);
        asio::co_spawn(context, run(transport, *send), asio::detached);
        return send;
    }
    static asio::awaitable<void> run(ManualTransport<C>& transport, Send& send) {
        Request request;
        request.target = "/_bulk?x=1";
        request.body = send.body;
        request.body_bytes = send.text.size();
        request.operations = 1;
        request.timeout = 30s;
        send.reply = co_await transport.send(request, send.sink);
    }
    /// Runs until `done`; time stands still.
    template <class F>
    void until(F done) {
        while (!done()) {
            context.restart();
            context.poll_one(); // not `poll`: a script that waits by posting is never idle
        }
    }
    Reply finish(Send& send) {
        until([&] { return send.reply.has_value(); });
        return *send.reply;
    }
    std::unique_ptr<Send> exchange() {
        auto send = start();
        finish(*send);
        return send;
    }

    asio::io_context& context;
    ManualTransport<C> transport;
};

/// Answers every request on every connection with an empty object.
asio::awaitable<void> obliging(Peer& peer) {
    for (;;) {
        const auto request = co_await peer.request();
        if (request.head.empty()) co_return;
        co_await peer.say(answer("{}"));
    }
}

/// Every name is this machine's, after some turns of the context.
struct LoopbackName {
    explicit LoopbackName(const asio::any_io_executor& executor_in) : executor{executor_in} {}
    template <class Handler>
    void async_resolve(const std::string& host, const std::string& service, Handler handler) {
        const asio::ip::tcp::endpoint found{asio::ip::address_v4::loopback(), port};
        using Results = asio::ip::tcp::resolver::results_type;
        asio::co_spawn(executor, later(std::move(handler), Results::create(found, host, service)), asio::detached);
    }
    template <class Handler, class Results>
    static asio::awaitable<void> later(Handler handler, Results results) {
        for (int i = 0; i < 100; ++i) co_await asio::post(asio::use_awaitable);
        handler(error_code{}, std::move(results));
    }
    void cancel() {}
    asio::any_io_executor executor;
    inline static std::uint16_t port = 0;
};

/// A resolver that never comes to an end, until it is told to give up.
struct HungResolver {
    explicit HungResolver(const asio::any_io_executor&) {}
    template <class Handler>
    void async_resolve(const std::string&, const std::string&, Handler) {}
    void cancel() {}
};

} // namespace

TEST_CASE("a request is sent byte for byte, and the next one uses the same connection") {
    asio::io_context context;
    std::vector<loopback::Request> requests;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          requests.push_back(std::move(request));
                          co_await peer.say(answer("{\"n\":" + std::to_string(requests.size()) + "}"));
                      }
                  }};
    Client client{context,
                  {.url = server.url() + "/search/", .headers = {{"Authorization", "ApiKey x"}}, .user_agent = "me"}};
    const auto first = client.exchange();
    const auto second = client.exchange();
    CHECK_FALSE(first->reply->error);
    CHECK(first->reply->status == 200);
    CHECK(first->reply->sent == Sent::complete);
    CHECK(first->reply->body_complete);
    CHECK_FALSE(first->reply->connection_reused);
    CHECK(first->sink.bytes == "{\"n\":1}");
    CHECK(second->reply->connection_reused);
    CHECK(second->sink.bytes == "{\"n\":2}");
    CHECK(server.connections() == 1);
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].head ==
          "POST /search/_bulk?x=1 HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
              "\r\nUser-Agent: me\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
              "Authorization: ApiKey x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 21\r\n\r\n");
    CHECK(requests[0].body == first->text);
    CHECK(requests[1].head == requests[0].head);
}

TEST_CASE("sends at the same time use connections of their own, and keep as many as they may") {
    asio::io_context context;
    Server server{context, obliging};
    Client client{context, {.url = server.url(), .max_idle_connections = 2}};
    std::vector<std::unique_ptr<Send>> sends;
    for (int i = 0; i < 3; ++i) sends.push_back(client.start());
    for (auto& send : sends) CHECK(client.finish(*send).status == 200);
    CHECK(server.connections() == 3);
    client.until([&] { return server.open_connections() == 2; });
}

TEST_CASE("a connection that was closed while it was idle, or on which something unasked came, is not used", "[F051]") {
    const bool closes = GENERATE(true, false);
    CAPTURE(closes);
    asio::io_context context;
    bool asked_to_spoil = false;
    bool spoilt = false;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      if (peer.number() > 1) {
                          co_await obliging(peer);
                          co_return;
                      }
                      (void)co_await peer.request();
                      co_await peer.say(answer("{}"));
                      while (!asked_to_spoil) co_await asio::post(asio::use_awaitable);
                      if (!closes) co_await peer.say(answer("{\"of\":\"nobody\"}"));
                      spoilt = true;
                      if (!closes) co_await peer.wait_for_close();
                  }};
    Client client{context, {.url = server.url()}};
    CHECK_FALSE(client.exchange()->reply->error);
    asked_to_spoil = true;
    client.until([&] { return spoilt && server.open_connections() == (closes ? 0U : 1U); });
    const auto second = client.exchange();
    CHECK_FALSE(second->reply->error);
    CHECK(second->sink.bytes == "{}");
    CHECK_FALSE(second->reply->connection_reused);
    CHECK(server.connections() == 2);
    client.until([&] { return server.open_connections() == 1; });
}

TEST_CASE("closed with the request in flight: it says so and does not send it again", "[F051]") {
    asio::io_context context;
    std::size_t requests = 0;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      ++requests;
                      (void)co_await peer.request();
                      co_await peer.say(answer("{}"));
                      (void)co_await peer.request();
                      ++requests;
                  }};
    Client client{context, {.url = server.url()}};
    (void)client.exchange();
    const auto second = client.exchange();
    CHECK(second->reply->error);
    CHECK(second->reply->sent == Sent::complete);
    CHECK(second->reply->status == 0);
    CHECK(second->reply->connection_reused);
    CHECK(requests == 2);
    CHECK(server.connections() == 1);
}

TEST_CASE("an idle connection is closed after idle_max, also when nothing more is sent", "[F052]") {
    asio::io_context context;
    Server server{context, obliging};
    Client client{context, {.url = server.url(), .idle_max = 30s}};
    (void)client.exchange();
    test::run_for(context, 29s, 1s);
    CHECK(client.exchange()->reply->connection_reused); // used at 29 s, so it rests from then on
    test::run_for(context, 29s, 1s);
    CHECK(server.open_connections() == 1);
    test::run_for(context, 2s, 1s);
    client.until([&] { return server.open_connections() == 0; });
    CHECK_FALSE(client.exchange()->reply->connection_reused);
    CHECK(server.connections() == 2);
}

TEST_CASE("idle_max 0: every request has a connection of its own") {
    asio::io_context context;
    Server server{context, obliging};
    Client client{context, {.url = server.url(), .idle_max = 0ms}};
    for (int i = 0; i < 3; ++i) CHECK_FALSE(client.exchange()->reply->connection_reused);
    CHECK(server.connections() == 3);
}

TEST_CASE("a look-up that hangs ends at resolve_timeout, and at once on shutdown", "[F043]") {
    asio::io_context context;
    Client<PlainConnector<ManualClock, HungResolver>> client{
        context, {.url = "http://search.invalid:9200", .resolve_timeout = 5s}};
    const auto send = client.start();
    test::run_for(context, 4900ms, 100ms);
    CHECK_FALSE(send->reply);
    SECTION("time") {
        test::run_for(context, 200ms, 100ms);
        REQUIRE(send->reply);
        CHECK(send->reply->error == error_code{errc::resolve_timeout});
    }
    SECTION("shutdown") {
        client.transport.shutdown();
        test::run_ready(context);
        REQUIRE(send->reply);
        CHECK(send->reply->error == error_code{asio::error::operation_aborted});
    }
    CHECK(send->reply->sent == Sent::none);
}

TEST_CASE("connecting into a black hole ends at connect_timeout, and at once on shutdown", "[F045]") {
    asio::io_context context;
    // A full queue that nobody accepts from: Linux leaves the next SYN unanswered.
    using asio::ip::tcp;
    tcp::acceptor hole{context};
    const tcp::endpoint any{asio::ip::address_v4::loopback(), 0};
    hole.open(any.protocol());
    hole.bind(any);
    hole.listen(0);
    std::vector<tcp::socket> fillers;
    for (int i = 0; i < 3; ++i) {
        fillers.emplace_back(context);
        fillers.back().async_connect(hole.local_endpoint(), [](error_code) {});
    }
    test::run_ready(context);

    Client client{context,
                  {.url = "http://127.0.0.1:" + std::to_string(hole.local_endpoint().port()), .connect_timeout = 5s}};
    const auto send = client.start();
    test::run_for(context, 4900ms, 100ms);
    CHECK_FALSE(send->reply);
    SECTION("time") {
        test::run_for(context, 200ms, 100ms);
        REQUIRE(send->reply);
        CHECK(send->reply->error == error_code{errc::connect_timeout});
    }
    SECTION("shutdown") {
        client.transport.shutdown();
        test::run_ready(context);
        REQUIRE(send->reply);
        CHECK(send->reply->error == error_code{asio::error::operation_aborted});
    }
    CHECK(send->reply->sent == Sent::none);
}

TEST_CASE("nobody listens: refused, nothing sent, and the peer is named", "[F044]") {
    asio::io_context context;
    std::uint16_t port = 0;
    {
        const asio::ip::tcp::acceptor gone{context, {asio::ip::address_v4::loopback(), 0}};
        port = gone.local_endpoint().port();
    }
    Client client{context, {.url = "http://127.0.0.1:" + std::to_string(port)}};
    const auto send = client.exchange();
    CHECK(send->reply->error == error_code{asio::error::connection_refused});
    CHECK(send->reply->sent == Sent::none);
    CHECK(send->reply->detail.find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
}

TEST_CASE("reset or closed at every stage: never a success, and what may have been applied is said", "[F047][F048]") {
    const auto stage = GENERATE(0, 1, 2, 3, 4);
    const bool orderly = GENERATE(true, false);
    CAPTURE(stage, orderly);
    asio::io_context context;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      const std::string full = answer("{\"errors\":false}");
                      if (stage == 1) (void)co_await peer.head();
                      if (stage >= 2) (void)co_await peer.request();
                      if (stage == 3) co_await peer.say(full.substr(0, 20));
                      if (stage == 4) co_await peer.say(full.substr(0, full.size() - 1));
                      if (!orderly) peer.reset();
                  }};
    Client client{context, {.url = server.url()}};
    const auto send = client.exchange();
    CHECK(send->reply->error);
    CHECK_FALSE(send->reply->body_complete);
    CHECK_FALSE(send->reply->connection_reused);
    if (stage >= 2) CHECK(send->reply->sent == Sent::complete);
    if (stage == 4 && orderly) CHECK(send->reply->status == 200);
    CHECK(server.connections() == 1); // it is never sent again from here
}

TEST_CASE("a late answer is never taken for that of the next request", "[F053]") {
    asio::io_context context;
    bool late = false;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.request();
                      while (peer.number() == 1 && !late) co_await asio::post(asio::use_awaitable);
                      co_await peer.say(answer("{\"n\":" + std::to_string(peer.number()) + "}"));
                      co_await peer.wait_for_close();
                  }};
    Client client{context, {.url = server.url()}};
    const auto first = client.start();
    client.until([&] { return server.open_connections() == 1; });
    for (int i = 0; i < 31; ++i) { // not `run_for`, as above
        ManualClock::advance(1s);
        context.restart();
        context.poll_one();
    }
    CHECK(client.finish(*first).error == error_code{errc::request_timeout});
    CHECK(first->reply->sent == Sent::complete);
    late = true;
    const auto second = client.exchange();
    CHECK(second->sink.bytes == "{\"n\":2}");
    CHECK(first->sink.bytes.empty());
}

TEST_CASE("an error status that comes while a large body is still on its way", "[F034]") {
    asio::io_context context;
    bool over = false;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.head(); // and no more than the beginning of the body
                      co_await peer.say(answer("{}", "429 Too Many Requests", "Retry-After: 3\r\n"));
                      while (!over) co_await asio::post(asio::use_awaitable);
                  }};
    Client client{context, {.url = server.url()}};
    const auto send = client.start(std::string(std::size_t{64} << 20, 'x')); // more than socket buffers hold
    client.finish(*send);
    CHECK(send->reply->error == error_code{errc::early_answer});
    CHECK(send->reply->status == 429);
    CHECK(send->reply->retry_after == 3s);
    CHECK(send->reply->sent == Sent::partial);
    over = true;
    client.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("a status other than 200 comes with its body, and the connection is kept", "[F023][F036]") {
    const std::string status = GENERATE("400 Bad Request", "502 Bad Gateway", "503 Service Unavailable", "302 Found");
    CAPTURE(status);
    asio::io_context context;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          co_await peer.say(answer("<html>", status, "Location: http://127.0.0.1:1/\r\n"));
                      }
                  }};
    Client client{context, {.url = server.url()}};
    const auto first = client.exchange();
    CHECK_FALSE(first->reply->error);
    CHECK(std::to_string(first->reply->status) == status.substr(0, 3));
    CHECK(first->sink.bytes == "<html>");
    CHECK(client.exchange()->reply->connection_reused);
}

TEST_CASE("the server asks to close: the next request has a fresh connection", "[F061]") {
    asio::io_context context;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.request();
                      co_await peer.say(answer("{}", "200 OK", "Connection: close\r\n"));
                      co_await peer.wait_for_close();
                  }};
    Client client{context, {.url = server.url()}};
    for (int i = 0; i < 2; ++i) {
        const auto send = client.exchange();
        CHECK_FALSE(send->reply->error);
        CHECK_FALSE(send->reply->connection_reused);
    }
    CHECK(server.connections() == 2);
}

TEST_CASE("an answer larger than any default of Beast's", "[F020]") {
    asio::io_context context;
    const std::string large(std::size_t{12} << 20, 'x');
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.request();
                      co_await peer.say(answer(large));
                      co_await peer.wait_for_close();
                  }};
    Client client{context, {.url = server.url()}};
    const auto send = client.exchange();
    CHECK_FALSE(send->reply->error);
    CHECK(send->reply->body_complete);
    CHECK((send->sink.bytes == large));
}

TEST_CASE("two lengths, a negative one, or a length beside chunks: an error, and the connection is dropped", "[F058]") {
    const std::string fields =
        GENERATE("Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length: -2\r\n",
                 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 99999999999999999999\r\n");
    CAPTURE(fields);
    asio::io_context context;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.request();
                      co_await peer.say("HTTP/1.1 200 OK\r\n" + fields + "\r\n{}");
                      co_await peer.wait_for_close();
                  }};
    Client client{context, {.url = server.url()}};
    const auto send = client.exchange();
    CHECK(send->reply->error == error_code{errc::malformed_answer});
    CHECK_FALSE(send->reply->body_complete);
    client.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("shutdown ends what is under way, closes what is idle, and refuses what comes later") {
    asio::io_context context;
    std::size_t requests = 0;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          if (++requests <= 2) co_await peer.say(answer("{}"));
                      }
                  }};
    Client client{context, {.url = server.url()}};
    const auto one = client.start();
    const auto two = client.start();
    client.until([&] { return one->reply && two->reply; });
    const auto silent = client.start();
    client.until([&] { return requests == 3; });
    REQUIRE(server.open_connections() == 2);
    client.transport.shutdown();
    client.transport.shutdown();
    CHECK(client.finish(*silent).error == error_code{asio::error::operation_aborted});
    CHECK(silent->reply->sent == Sent::complete);
    client.until([&] { return server.open_connections() == 0; });
    const auto later = client.exchange();
    CHECK(later->reply->error == error_code{asio::error::operation_aborted});
    CHECK(later->reply->sent == Sent::none);
}

TEST_CASE("options are checked at construction, and secrets do not get into the message", "[F162][F163][F215][F230]") {
    asio::io_context context;
    const auto refusal = [&](HttpOptions options) -> std::string {
        try {
            const HttpTransport transport{context.get_executor(), std::move(options)};
        } catch (const InvalidOption& refused) {
            return refused.error().field + "|" + refused.what();
        }
        return {};
    };
    for (const std::string url :
         {"http://127.0.0.1:9200", "http://[::1]:9200/", "http://search/a%20b/c/", "HTTP://search"}) {
        CAPTURE(url);
        CHECK(refusal({.url = url}).empty());
    }
    for (const std::string url :
         {"", "127.0.0.1:9200", "localhost", "https://search", "ftp://search", "http://", "http:///x", "http://h:0",
          "http://h:65536", "http://h:99999", "http://h:", "http://h?x=1", "http://h#x", "http://h/first/_bulk",
          "http://h/_bulk/", "http://h/\r\nX: y", "http://h h"}) {
        CAPTURE(url);
        CHECK(refusal({.url = url}).substr(0, 4) == "url|");
    }
    for (const std::string url :
         {"http://h:abc", "https://h:abc", "http://h:92x0/path", "http://[::1]:x", "http://h:9200:1"}) {
        CAPTURE(url);
        CHECK(refusal({.url = url}).find("a port from 1 to 65535") != std::string::npos);
    }
    for (const std::string url : {"http://[fe80::1%25eth0]:9200", "http://[fe80::1%eth0]"}) {
        CAPTURE(url);
        CHECK(refusal({.url = url}).find("without a zone") != std::string::npos);
    }
    CHECK(refusal({.url = "http://elastic:hunter2"}).find("hunter2") == std::string::npos);
    CHECK(refusal({.url = "https://search"}).find("bulkhead/tls.hpp") != std::string::npos);
    for (const std::string url :
         {"http://elastic:hunter2@search", "http://elastic:hunter2@127.0.0.1:0", "https://elastic:hunter2@search",
          "http://elastic:hunter2%zz@127.0.0.1", "http://hunter2@127.0.0.1", "http:elastic:hunter2@127.0.0.1"}) {
        const auto with_password = refusal({.url = url});
        CHECK(with_password.substr(0, 4) == "url|");
        CHECK(with_password.find("hunter2") == std::string::npos);
    }

    const auto header = [&](std::string name, std::string value) {
        return refusal({.headers = {{std::move(name), std::move(value)}}});
    };
    CHECK(header("X-Opaque-Id", "a\tb c~").empty());
    for (const std::string name : {"", "a b", "a:", "a\r\n", "\xC3\xA4", "host", "Content-Length", "Transfer-Encoding"})
        CHECK_FALSE(header(name, "x").empty());
    // What frames a request or an answer, or changes what the answer is.
    for (const std::string name :
         {"Accept-Encoding", "accept-encoding", "TE", "Trailer", "Expect", "Upgrade", "Range", "If-Range", "Connection",
          "Keep-Alive", "Proxy-Connection", "Content-Range", "HTTP2-Settings", "User-Agent", "Content-Encoding"}) {
        CAPTURE(name);
        CHECK(header(name, "x").substr(0, 8) == "headers|");
    }
    for (const std::string& value : {std::string{"hunter2\r\nX: y"}, std::string{"hunter2\n"},
                                     std::string{"hunter2\0", 8}, std::string{"hunter2\xC3\xA4"}}) {
        const auto message = header("Authorization", value);
        CHECK_FALSE(message.empty());
        CHECK(message.find("hunter2") == std::string::npos);
    }
    CHECK_FALSE(refusal({.user_agent = "a\nb"}).empty());
    CHECK_FALSE(refusal({.compatible_with = 6}).empty());
    CHECK_FALSE(refusal({.compression_level = 13}).empty());
    CHECK_FALSE(refusal({.resolve_timeout = 0ms}).empty());
    CHECK_FALSE(refusal({.connect_timeout = 0ms}).empty());
    CHECK_FALSE(refusal({.handshake_timeout = 0ms}).empty());
    CHECK_FALSE(refusal({.write_timeout = 0ms}).empty());
    CHECK_FALSE(refusal({.node_first_rest = 5s, .node_longest_rest = 4s}).empty());
    CHECK(refusal({.more_urls = {"ftp://x"}}).substr(0, 10) == "more_urls|");
    CHECK_FALSE(refusal({.max_answer_bytes = 0}).empty());
    CHECK_FALSE(refusal({.idle_max = -1ms}).empty());
    CHECK_FALSE(refusal({.max_idle_connections = 1025}).empty());
    CHECK_FALSE(refusal({.connection_max_age = 999ms}).empty());
    CHECK_FALSE(refusal({.connection_max_age = 25h}).empty());
    CHECK(refusal({.connection_max_age = 0ms}).empty());
    CHECK_FALSE(refusal({.more_urls = std::vector<std::string>(256, "http://x")}).empty());
    CHECK_FALSE(refusal({.credentials = Credentials::basic("a:b", "hunter2")}).empty());
    CHECK_FALSE(refusal({.compatible_with = 100}).empty());
    CHECK(refusal({.url = "http://h%20h"}).substr(0, 4) == "url|"); // visible ASCII also when it is decoded
}

TEST_CASE("credentials do not travel in clear to another machine, unless that is wished for", "[F164]") {
    asio::io_context context;
    const auto refused = [&](HttpOptions options) {
        try {
            const HttpTransport transport{context.get_executor(), std::move(options)};
        } catch (const InvalidOption& wrong) {
            CHECK(std::string{wrong.what()}.find("hunter2") == std::string::npos);
            return true;
        }
        return false;
    };
    const auto secret = [] { return Credentials::basic("elastic", "hunter2"); };
    for (const std::string url : {"http://127.0.0.1:9200", "http://127.9.9.9", "http://localhost:9200", "http://[::1]",
                                  "http://search.localhost"}) {
        CAPTURE(url);
        CHECK_FALSE(refused({.url = url, .credentials = secret()}));
    }
    for (const std::string url : {"http://search:9200", "http://10.0.0.1", "http://[::2]", "http://localhost.evil.org",
                                  "http://notlocalhost"}) {
        CAPTURE(url);
        CHECK_FALSE(refused({.url = url}));
        CHECK(refused({.url = url, .credentials = secret()}));
        CHECK(refused({.more_urls = {url}, .credentials = secret()}));
        CHECK(refused({.url = url, .headers = {{"authorization", "ApiKey hunter2"}}}));
        CHECK(refused({.url = url, .headers = {{"Proxy-Authorization", "Basic hunter2"}}}));
        CHECK(refused({.url = url, .headers = {{"ES-Secondary-Authorization", "ApiKey hunter2"}}}));
        CHECK(refused({.url = "http://elastic:hunter2@" + url.substr(7)}));
        CHECK(refused({.url = url, .more_urls = {"http://elastic:hunter2@127.0.0.1:9201"}})); // they go to all nodes
        CHECK(refused({.url = url, .signer = [](const SigningInput&, HeaderFields&) {}}));
        CHECK_FALSE(refused({.url = url, .credentials = secret(), .allow_credentials_in_clear = true}));
    }
    // Two of them would be one too many, wherever the second stands.
    const std::string with_user = "http://elastic:hunter2@127.0.0.1:9200";
    CHECK_FALSE(refused({.url = with_user}));
    CHECK(refused({.url = with_user, .credentials = secret()}));
    CHECK(refused({.url = with_user, .signer = [](const SigningInput&, HeaderFields&) {}}));
    CHECK(refused({.url = with_user, .headers = {{"authorization", "ApiKey hunter2"}}}));
    // Boost.URL before 1.9x makes it 127.0.0.1.
    CHECK(refused({.url = "http://127.0.0.1.evil.org", .credentials = secret()}));
}

namespace {

/// Answers every request with an empty object, and keeps the heads.
struct Listener {
    explicit Listener(asio::io_context& context)
        : server{context, [this](Peer& peer) -> asio::awaitable<void> {
                     for (;;) {
                         const auto request = co_await peer.request();
                         if (request.head.empty()) co_return;
                         heads.push_back(request.head);
                         co_await peer.say(answer("{}", status));
                     }
                 }} {}
    [[nodiscard]] bool heard(std::string_view text) const {
        return !heads.empty() && heads.back().find(text) != std::string::npos;
    }
    std::vector<std::string> heads{};
    std::string status = "200 OK";
    Server server;
};

} // namespace

TEST_CASE("user and password of the URL become the Authorization field, decoded once", "[F162]") {
    asio::io_context context;
    Listener listener{context};
    Client client{context, {.url = "http://elastic:p%40ss%3A@" + listener.server.url().substr(7)}};
    const auto send = client.exchange();
    CHECK(listener.heard("\r\nAuthorization: Basic ZWxhc3RpYzpwQHNzOg==\r\n")); // elastic:p@ss:
    CHECK_FALSE(listener.heard("p%40ss"));
    CHECK(listener.heard("\r\nHost: 127.0.0.1:"));
    CHECK(send->reply->detail.empty());
}

TEST_CASE("after a 401 the source of the credentials is asked again, once, and not otherwise", "[F029]") {
    asio::io_context context;
    Listener listener{context};
    int asked = 0;
    Client client{context,
                  {.url = listener.server.url(), .credentials = Credentials::bearer(SecretSource::callback([&] {
                                                     return Secret{"token" + std::to_string(++asked)};
                                                 }))}};
    for (int i = 0; i < 3; ++i) (void)client.exchange();
    CHECK(asked == 1);
    listener.status = "401 Unauthorized";
    const auto one = client.start();
    const auto two = client.start();
    CHECK(client.finish(*one).status == 401);
    CHECK(client.finish(*two).status == 401);
    CHECK(asked == 1);
    listener.status = "200 OK";
    CHECK(client.exchange()->reply->status == 200);
    CHECK(listener.heard("Authorization: Bearer token2\r\n"));
    CHECK(asked == 2);
    listener.status = "403 Forbidden"; // known, but not allowed: another secret would not help
    (void)client.exchange();
    (void)client.exchange();
    CHECK(asked == 2);
}

TEST_CASE("without credentials to be had nothing is sent, and what is missing is named") {
    asio::io_context context;
    Listener listener{context};
    Client client{
        context,
        {.url = listener.server.url(), .credentials = Credentials::api_key(SecretSource::file("/nowhere/api.key"))}};
    const auto send = client.exchange();
    CHECK(send->reply->error == error_code{errc::credentials_unavailable});
    CHECK(send->reply->sent == Sent::none);
    CHECK(send->reply->detail.find("/nowhere/api.key") != std::string::npos);
    CHECK(listener.heads.empty());
}

TEST_CASE("a signer sees what travels, and its fields travel too") {
    asio::io_context context;
    Listener listener{context};
    bool broken = false;
    std::string seen;
    const auto sign = [&](const SigningInput& input, HeaderFields& fields) {
        if (broken) throw std::runtime_error{"no key"};
        seen = std::string{input.method} + " " + std::string{input.path} + " " + std::string{input.query} + " " +
               std::to_string(asio::buffer_size(input.body));
        fields.emplace_back("X-Signature", "abc");
    };
    Client client{context, {.url = listener.server.url() + "/es", .signer = sign}};
    (void)client.exchange();
    CHECK(seen == "POST /es/_bulk x=1 21");
    CHECK(listener.heard("\r\nX-Signature: abc\r\n"));
    broken = true;
    const auto send = client.exchange();
    CHECK(send->reply->error == error_code{errc::credentials_unavailable});
    CHECK(send->reply->sent == Sent::none);
    CHECK(send->reply->detail.find("no key") != std::string::npos);
    CHECK(listener.heads.size() == 1);
}

TEST_CASE("a signer that throws what is no exception fails its attempt, and no more") {
    asio::io_context context;
    Listener listener{context};
    Client client{context,
                  {.url = listener.server.url(), .signer = [](const SigningInput&, HeaderFields&) { throw 42; }}};
    const auto send = client.exchange();
    CHECK(send->reply->error == error_code{errc::credentials_unavailable});
    CHECK(send->reply->sent == Sent::none);
    CHECK(listener.heads.empty());
}

TEST_CASE("what a signer makes is checked like any other field", "[F163][F215]") {
    asio::io_context context;
    Listener listener{context};
    const std::pair<const char*, const char*> bad[] = {{"X-Signature", "hunter2\r\nX-Forged: yes"},
                                                       {"X-Signature", "hunter2\n"},
                                                       {"X Signature", "hunter2"},
                                                       {"Accept-Encoding", "hunter2"},
                                                       {"Content-Length", "0"},
                                                       {"", "hunter2"}};
    for (const auto& [name, value] : bad) {
        CAPTURE(name, value);
        const auto sign = [field = std::string{name}, text = std::string{value}](const SigningInput&,
                                                                                 HeaderFields& fields) {
            fields.emplace_back("X-First", "good");
            fields.emplace_back(field, text);
        };
        Client client{context, {.url = listener.server.url(), .signer = sign}};
        const auto send = client.exchange();
        CHECK(send->reply->error == error_code{errc::credentials_unavailable});
        CHECK(send->reply->sent == Sent::none);
        CHECK(send->reply->detail.find("hunter2") == std::string::npos);
    }
    CHECK(listener.heads.empty());
}

TEST_CASE("versioned media types only when asked for") {
    asio::io_context context;
    Listener listener{context};
    Client client{context, {.url = listener.server.url(), .compatible_with = 8}};
    (void)client.exchange();
    CHECK(listener.heard("\r\nContent-Type: application/vnd.elasticsearch+x-ndjson; compatible-with=8\r\n"));
    CHECK(listener.heard("\r\nAccept: application/vnd.elasticsearch+json; compatible-with=8\r\n"));
}

TEST_CASE("a server that stops taking the request is given up after write_timeout", "[F055]") {
    asio::io_context context;
    bool over = false;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.head(); // and no more than the beginning of the body
                      while (!over) co_await asio::post(asio::use_awaitable);
                  }};
    Client client{context, {.url = server.url(), .write_timeout = 5s}};
    const auto send = client.start(std::string(std::size_t{64} << 20, 'x')); // more than socket buffers hold
    client.until([&] { return server.open_connections() == 1; });
    for (int i = 0; i < 2000; ++i) { // until no more is taken
        context.restart();
        context.poll_one();
    }
    for (int i = 0; i < 12; ++i) {
        ManualClock::advance(1s);
        for (int turn = 0; turn < 100; ++turn) {
            context.restart();
            context.poll_one();
        }
    }
    REQUIRE(send->reply);
    CHECK(send->reply->error == error_code{errc::write_timeout});
    CHECK(send->reply->sent == Sent::partial);
    over = true;
    client.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("each attempt is told, with sizes and status, and never with what it carried") {
    asio::io_context context;
    Listener listener{context};
    std::vector<RequestEvent> started;
    std::vector<RequestEvent> ended;
    std::string host;
    HttpOptions options{.url = listener.server.url()};
    options.on_request_started = [&](const RequestEvent& event) { started.push_back(event); };
    options.on_request_ended = [&](const RequestEvent& event) {
        ended.push_back(event);
        host = event.host;
    };
    Client client{context, std::move(options)};
    (void)client.exchange();
    listener.status = "429 Too Many Requests";
    (void)client.exchange();
    REQUIRE(started.size() == 2);
    REQUIRE(ended.size() == 2);
    CHECK(started[0].operations == 1);
    CHECK(started[0].body_bytes == 21);
    CHECK(started[0].status == 0);
    CHECK(ended[0].status == 200);
    CHECK(ended[0].wire_bytes == 21);
    CHECK_FALSE(ended[0].connection_reused);
    CHECK(ended[1].status == 429);
    CHECK(ended[1].connection_reused);
    CHECK(host == listener.server.url().substr(7));
}

namespace {

std::uint16_t unused_port(asio::io_context& context) {
    const asio::ip::tcp::acceptor gone{context, {asio::ip::address_v4::loopback(), 0}};
    return gone.local_endpoint().port();
}

} // namespace

TEST_CASE("three nodes, one of which is gone: nothing is lost, it is left alone, and found again by a probe",
          "[F044][F063]") {
    asio::io_context context;
    Listener one{context};
    Listener two{context};
    std::unique_ptr<Listener> three;
    const auto port = unused_port(context);
    Client client{context,
                  {.url = one.server.url(),
                   .more_urls = {two.server.url(), "http://127.0.0.1:" + std::to_string(port)},
                   .node_first_rest = 1s}};
    for (int i = 0; i < 30; ++i) {
        const auto send = client.exchange();
        CHECK(send->reply->status == 200);
        CHECK(send->reply->node < 2);
    }
    CHECK(one.heads.size() == 15);
    CHECK(two.heads.size() == 15);
    // Each rest is twice as long, and ends with a probe that fails.
    for (int i = 0; i < 8; ++i) {
        ManualClock::advance(1s);
        CHECK(client.exchange()->reply->status == 200);
        test::run_ready(context);
    }
}

TEST_CASE("a node that comes back is probed with something harmless before it gets documents", "[F063][F064]") {
    asio::io_context context;
    bool dead = true;
    std::vector<std::string> heads;
    Listener other{context};
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          heads.push_back(request.head.substr(0, request.head.find(' ', 5)));
                          co_await peer.say(answer("{}", dead ? "503 Service Unavailable" : "200 OK"));
                      }
                  }};
    Client client{context, {.url = server.url(), .more_urls = {other.server.url()}, .node_first_rest = 1s}};
    CHECK(client.exchange()->reply->status == 503);
    for (int i = 0; i < 5; ++i) CHECK(client.exchange()->reply->status == 200);
    CHECK(heads == std::vector<std::string>{"POST /_bulk?x=1"});
    ManualClock::advance(1s);
    CHECK(client.exchange()->reply->node == 1);
    client.until([&] { return heads.size() == 2; });
    CHECK(heads.back() == "GET /");
    test::run_ready(context);
    dead = false;
    CHECK(client.exchange()->reply->node == 1); // the probe was answered by a 503
    ManualClock::advance(2s);
    CHECK(client.exchange()->reply->node == 1);
    client.until([&] { return heads.size() == 3; });
    CHECK(heads.back() == "GET /");
    std::size_t tries = 0;
    while (client.exchange()->reply->node != 0 && tries < 100) ++tries;
    CHECK(tries < 100);
    CHECK(heads.back() == "POST /_bulk?x=1");
}

TEST_CASE("with every node gone each is tried once, and the reply says that nothing was sent", "[F064]") {
    asio::io_context context;
    const auto gone = [&] { return "http://127.0.0.1:" + std::to_string(unused_port(context)); };
    Client client{context, {.url = gone(), .more_urls = {gone(), gone()}}};
    for (int i = 0; i < 3; ++i) {
        const auto send = client.exchange();
        CHECK(send->reply->error == error_code{asio::error::connection_refused});
        CHECK(send->reply->sent == Sent::none);
    }
}

TEST_CASE("a request that a node may have taken is not given to another node by the transport") {
    asio::io_context context;
    Listener other{context};
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> { (void)co_await peer.request(); }};
    Client client{context, {.url = server.url(), .more_urls = {other.server.url()}}};
    const auto send = client.exchange();
    CHECK(send->reply->error);
    CHECK(send->reply->sent == Sent::complete);
    CHECK(send->reply->node == 0);
    CHECK(other.heads.empty());
}

namespace {

/// Finds two addresses, at the first of which nobody answers.
struct TwoAddresses {
    explicit TwoAddresses(const asio::any_io_executor& executor_in) : executor{executor_in} {}
    template <class Handler>
    void async_resolve(const std::string& host, const std::string& port, Handler handler) {
        using Results = asio::ip::tcp::resolver::results_type;
        const std::vector<asio::ip::tcp::endpoint> both{first, second};
        asio::post(executor, [handler = std::move(handler), both, host, port]() mutable {
            handler(error_code{}, Results::create(both.begin(), both.end(), host, port));
        });
    }
    void cancel() {}
    asio::any_io_executor executor;
    inline static asio::ip::tcp::endpoint first, second;
};

} // namespace

TEST_CASE("an address that never answers leaves time for the next one") {
    asio::io_context context;
    using asio::ip::tcp;
    tcp::acceptor hole{context};
    hole.open(tcp::v4());
    hole.bind({asio::ip::address_v4::loopback(), 0});
    hole.listen(0);
    std::vector<tcp::socket> fillers;
    for (int i = 0; i < 3; ++i) {
        fillers.emplace_back(context);
        fillers.back().async_connect(hole.local_endpoint(), [](error_code) {});
    }
    test::run_ready(context);
    Listener listener{context};
    TwoAddresses::first = hole.local_endpoint();
    TwoAddresses::second = {asio::ip::address_v4::loopback(), listener.server.port()};
    Client<PlainConnector<ManualClock, TwoAddresses>> client{
        context, {.url = "http://search.localhost:9200", .connect_timeout = 4s}};
    const auto send = client.start();
    test::run_for(context, 1900ms, 100ms);
    CHECK_FALSE(send->reply);
    test::run_for(context, 200ms, 100ms);
    CHECK(client.finish(*send).status == 200);
}

TEST_CASE("shutdown of one handle ends what was sent through it, and no other handle's", "[F217]") {
    asio::io_context context;
    std::vector<std::string> heads;
    bool answers = false;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          heads.push_back(request.head);
                          while (!answers) co_await asio::post(asio::use_awaitable);
                          co_await peer.say(answer("{}"));
                      }
                  }};
    Client client{context, {.url = server.url()}};
    auto other = client.transport;
    auto late = std::make_optional(other);
    Send one;
    Send two;
    for (auto* send : {&one, &two}) send->body[0] = asio::buffer(send->text);
    asio::co_spawn(context, Client<>::run(client.transport, one), asio::detached);
    asio::co_spawn(context, Client<>::run(other, two), asio::detached);
    client.until([&] { return heads.size() == 2; });
    client.transport.shutdown();
    CHECK(client.finish(one).error == error_code{asio::error::operation_aborted});
    CHECK(client.exchange()->reply->error == error_code{asio::error::operation_aborted});
    CHECK(heads.size() == 2);
    const auto copy_of_closed = client.transport;
    CHECK_FALSE(two.reply);
    answers = true;
    CHECK(client.finish(two).status == 200);
    Send three;
    three.body[0] = asio::buffer(three.text);
    asio::co_spawn(context, Client<>::run(*late, three), asio::detached);
    CHECK(client.finish(three).status == 200);
    late->shutdown();
    late.reset();
    client.until([&] { return server.open_connections() == 0; }); // idle ones are closed
    Send four;
    four.body[0] = asio::buffer(four.text);
    asio::co_spawn(context, Client<>::run(other, four), asio::detached);
    CHECK(client.finish(four).status == 200);
    CHECK_FALSE(four.reply->connection_reused);
    Send five;
    five.body[0] = asio::buffer(five.text);
    auto closed = copy_of_closed;
    asio::co_spawn(context, Client<>::run(closed, five), asio::detached);
    CHECK(client.finish(five).error == error_code{asio::error::operation_aborted});
    other.shutdown();
    client.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("without credentials to be had a connection is kept, and the source is asked once", "[F227]") {
    asio::io_context context;
    Listener listener{context};
    int asked = 0;
    bool there = true;
    Client client{context,
                  {.url = listener.server.url(), .credentials = Credentials::bearer(SecretSource::callback([&] {
                                                     ++asked;
                                                     return there ? Secret{"token"} : Secret{};
                                                 }))}};
    listener.status = "401 Unauthorized";
    CHECK(client.exchange()->reply->status == 401);
    there = false;
    asked = 0;
    const auto send = client.exchange();
    CHECK(send->reply->error == error_code{errc::credentials_unavailable});
    CHECK(send->reply->sent == Sent::none);
    CHECK(asked == 1);
    there = true;
    listener.status = "200 OK";
    const auto next = client.exchange();
    CHECK(next->reply->status == 200);
    CHECK(next->reply->connection_reused);
    CHECK(listener.server.connections() == 1);
}

TEST_CASE("a limit of max() is no limit that has passed", "[F222]") {
    asio::io_context context;
    Listener listener{context};
    LoopbackName::port = listener.server.port();
    Client<PlainConnector<ManualClock, LoopbackName>> client{context, {.url = "http://search.localhost:9200"}};
    Sink sink;
    for (const auto limit : {std::chrono::nanoseconds::max(), std::chrono::nanoseconds{24h * 365 * 290}}) {
        std::optional<Reply> reply;
        const auto ask = [&](Question question) -> asio::awaitable<void> {
            Reply answer = co_await client.transport.ask(0, std::move(question), limit, sink);
            reply = std::move(answer);
        };
        asio::co_spawn(context, ask({}), asio::detached);
        for (int i = 0; i < 10'000 && !reply; ++i) {
            context.restart();
            context.poll_one();
        }
        REQUIRE(reply);
        CHECK(reply->status == 200);
        client.transport = decltype(client.transport){context.get_executor(), {.url = "http://search.localhost:9200"}};
    }
}

TEST_CASE("a name that means another address is found under steady traffic", "[F223]") {
    asio::io_context context;
    Listener old_place{context};
    Listener new_place{context};
    LoopbackName::port = old_place.server.port();
    const bool aged = GENERATE(true, false);
    Client<PlainConnector<ManualClock, LoopbackName>> client{
        context, {.url = "http://search.localhost:9200", .connection_max_age = aged ? 120s : 0s}};
    for (int second = 0; second < 60; ++second) {
        CHECK(client.exchange()->reply->status == 200);
        ManualClock::advance(1s);
    }
    CHECK(old_place.server.connections() == 1);
    LoopbackName::port = new_place.server.port(); // the old one still answers
    int fresh = 0;
    for (int second = 0; second < 600; ++second) {
        const auto send = client.exchange();
        CHECK(send->reply->status == 200);
        fresh += send->reply->connection_reused ? 0 : 1;
        ManualClock::advance(1s);
    }
    if (!aged) {
        CHECK(new_place.heads.empty());
        return;
    }
    CHECK(old_place.heads.size() <= 121);
    REQUIRE(fresh >= 5); // 120 s at the most …
    CHECK(fresh <= 7);   // … and 90 s at the least
    client.until([&] { return old_place.server.open_connections() == 0; });
}

TEST_CASE("connections that are made together do not grow old together", "[F223]") {
    asio::io_context context;
    Listener listener{context};
    Client client{context, {.url = listener.server.url(), .idle_max = 1h, .connection_max_age = 1h}};
    std::vector<std::unique_ptr<Send>> sends;
    for (int i = 0; i < 16; ++i) sends.push_back(client.start());
    for (auto& send : sends) CHECK(client.finish(*send).status == 200);
    std::size_t most = 0;
    for (int minute = 0; minute < 60; ++minute) {
        ManualClock::advance(1min);
        const auto before = listener.server.connections();
        sends.clear();
        for (int i = 0; i < 16; ++i) sends.push_back(client.start());
        for (auto& send : sends) CHECK(client.finish(*send).status == 200);
        most = std::max(most, listener.server.connections() - before);
    }
    CHECK(listener.server.connections() >= 32);
    CHECK(most < 12);
}

TEST_CASE("a connection that fails after it was made: the next one begins at another address", "[F224]") {
    asio::io_context context;
    bool broken = false;
    Listener second{context};
    Server first{context, [&](Peer& peer) -> asio::awaitable<void> {
                     for (;;) {
                         const auto request = co_await peer.request();
                         if (request.head.empty()) co_return;
                         if (broken) co_return peer.reset();
                         co_await peer.say(answer("{}"));
                     }
                 }};
    TwoAddresses::first = {asio::ip::address_v4::loopback(), first.port()};
    TwoAddresses::second = {asio::ip::address_v4::loopback(), second.server.port()};
    Client<PlainConnector<ManualClock, TwoAddresses>> client{context, {.url = "http://search.localhost:9200"}};
    std::vector<std::unique_ptr<Send>> sends;
    for (int i = 0; i < 4; ++i) sends.push_back(client.start());
    for (auto& send : sends) CHECK(client.finish(*send).status == 200);
    CHECK(first.connections() == 4);
    broken = true;
    CHECK(client.exchange()->reply->error);
    for (int i = 0; i < 4; ++i) CHECK(client.exchange()->reply->status == 200); // nor over another old connection
    CHECK(second.heads.size() == 4);
    CHECK(first.connections() == 4);
}

TEST_CASE("the order of a name's addresses begins behind the one that failed", "[F224]") {
    using bulkhead::detail::address_order; // Boost has a `detail` as well
    using bulkhead::detail::TcpEndpoint;
    const auto at = [](std::uint16_t port) { return TcpEndpoint{asio::ip::address_v4::loopback(), port}; };
    const std::vector<TcpEndpoint> found{at(1), at(2), at(3)};
    CHECK(address_order(found, {}) == found);
    CHECK(address_order(found, at(9)) == found);
    CHECK(address_order(found, at(1)) == std::vector<TcpEndpoint>{at(2), at(3), at(1)});
    CHECK(address_order(found, at(2)) == std::vector<TcpEndpoint>{at(3), at(1), at(2)});
    CHECK(address_order(found, at(3)) == found);
    CHECK(address_order({at(1), at(1), at(2)}, at(1)) == std::vector<TcpEndpoint>{at(2), at(1), at(1)});
    CHECK(address_order({}, at(1)).empty());
}
