// SPDX-License-Identifier: BSL-1.0
// The whole transport over TLS: what is kept, what is said when it cannot be, and that nothing is sent otherwise.
#include "support/catch.hpp"
#include "tls/client.hpp"

#include <bulkhead/http/http_transport.hpp>

using namespace tls_client;
using tls_loopback::Server;
using tls_loopback::ServerEnd;

namespace {

using Connector = TlsConnector<ManualClock, LoopbackResolver>;
using HttpsTransportInVirtualTime = basic_http_transport<Connector, IdentityEncoder, ManualClock>;

/// Real sockets on one thread, virtual time.
struct Https {
    Https(asio::io_context& context_in, std::uint16_t port, const TlsOptions& tls, HttpOptions options = {})
        : context{context_in}, transport{context.get_executor(), at(std::move(options), port), Connector{tls}} {
        ManualClock::reset();
    }
    static HttpOptions at(HttpOptions options, std::uint16_t port) {
        options.url = "https://search.example:" + std::to_string(port);
        return options;
    }
    struct Send {
        std::string text = "{\"index\":{}}\n{\"a\":1}\n";
        std::array<asio::const_buffer, 1> body{asio::buffer(text)};
        Sink sink;
        std::optional<Reply> reply;
    };
    Reply send() {
        Send one;
        asio::co_spawn(context, run(transport, one), asio::detached);
        until([&] { return one.reply.has_value(); });
        return *one.reply;
    }
    static asio::awaitable<void> run(HttpsTransportInVirtualTime& transport, Send& one) {
        Request request;
        request.target = "/_bulk";
        request.body = one.body;
        request.body_bytes = one.text.size();
        request.operations = 1;
        request.timeout = 30s;
        one.reply = co_await transport.send(request, one.sink);
    }
    template <class F>
    void until(F done) {
        while (!done()) {
            context.restart();
            context.poll_one();
        }
    }
    asio::io_context& context;
    HttpsTransportInVirtualTime transport;
};

} // namespace

TEST_CASE("https: a connection is kept, though tickets and new keys come behind an answer", "[F051]") {
    asio::io_context context;
    Server server{context, {.identity = house.server}, [](ServerEnd& end) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await end.request();
                          if (request.head.empty()) co_return;
                          co_await end.say(answer("{}"));
                          error_code ignored;
                          end.stream().next_layer().non_blocking(true, ignored);
                          SSL_new_session_ticket(end.ssl());
                          end.stream().handshake(asio::ssl::stream_base::server, ignored);
                          SSL_key_update(end.ssl(), SSL_KEY_UPDATE_REQUESTED);
                          end.stream().handshake(asio::ssl::stream_base::server, ignored);
                      }
                  }};
    Https https{context, server.port(), trusting_house()};
    for (int i = 0; i < 10; ++i) {
        const auto reply = https.send();
        CHECK_FALSE(reply.error);
        CHECK(reply.connection_reused == (i != 0));
    }
    CHECK(server.connections() == 1);
}

TEST_CASE("https: what has been idle for too long is ended in TLS's own way, and the next handshake is short",
          "[F052][F120]") {
    asio::io_context context;
    std::vector<bool> resumed;
    std::vector<error_code> ended;
    Server server{context, {.identity = house.server}, [&](ServerEnd& end) -> asio::awaitable<void> {
                      resumed.push_back(end.resumed());
                      co_await obliging(end);
                      ended.push_back(end.ended);
                  }};
    HttpOptions options;
    options.idle_max = 30s;
    Https https{context, server.port(), trusting_house(), options};
    CHECK_FALSE(https.send().error);
    test::run_for(context, 31s, 1s);
    https.until([&] { return server.open_connections() == 0; });
    CHECK_FALSE(https.send().connection_reused);
    https.transport.shutdown();
    https.until([&] { return server.open_connections() == 0; });
    CHECK(resumed == std::vector<bool>{false, true});
    CHECK(ended == std::vector<error_code>(2, asio::error::eof));
}

TEST_CASE("https: a server that is not trusted gets nothing, and the reply says why", "[F046]") {
    asio::io_context context;
    Server server{context, {.identity = house.server}, obliging};
    Https https{context, server.port(), trusting(house.stranger)};
    for (int i = 0; i < 2; ++i) {
        const auto reply = https.send();
        CHECK(reply.error == error_code{errc::untrusted_certificate});
        CHECK(reply.sent == Sent::none);
        CHECK(contains(reply.detail, "search.example"));
        CHECK(contains(reply.detail, "TlsOptions::ca_file"));
    }
    CHECK(server.handshakes() == 0);
}

TEST_CASE("https: a server that wants a client certificate and speaks TLS 1.3 counts as one that got nothing",
          "[F046][F166]") {
    asio::io_context context;
    Server server{context, {.identity = house.server, .client_authority = house.authority}, obliging};
    Https https{context, server.port(), trusting_house()};
    const auto reply = https.send();
    CHECK(reply.error == error_code{errc::handshake_failed});
    CHECK(reply.sent == Sent::none);
    CHECK(contains(reply.detail, "TlsOptions::certificate_file"));
}

TEST_CASE("https: a handshake that stalls ends at handshake_timeout, and at once on shutdown", "[F046]") {
    asio::io_context context;
    bool over = false;
    loopback::Server server{context, [&](loopback::Peer&) -> asio::awaitable<void> {
                                while (!over) co_await asio::post(asio::use_awaitable);
                            }};
    HttpOptions options;
    options.handshake_timeout = 5s;
    Https https{context, server.port(), trusting_house(), options};
    Https::Send one;
    asio::co_spawn(context, Https::run(https.transport, one), asio::detached);
    https.until([&] { return server.open_connections() == 1; });
    const auto turns = [&] {
        for (int i = 0; i < 200 && !one.reply; ++i) {
            context.restart();
            context.poll_one();
        }
    };
    turns();
    ManualClock::advance(4999ms);
    turns();
    CHECK_FALSE(one.reply);
    error_code expected = errc::handshake_timeout;
    SECTION("time") { ManualClock::advance(1ms); }
    SECTION("shutdown") {
        https.transport.shutdown();
        expected = asio::error::operation_aborted;
    }
    turns();
    REQUIRE(one.reply);
    CHECK(one.reply->error == expected);
    CHECK(one.reply->sent == Sent::none);
    over = true;
    https.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("https: a URL of http is refused, and one of https by the plain transport, which names this one", "[F046]") {
    asio::io_context context;
    HttpOptions options;
    options.url = "http://search.example:9200";
    CHECK_THROWS_AS((HttpsTransport{context.get_executor(), options}), InvalidOption);
    options.url = "https://search.example:9200";
    std::string said;
    try {
        const HttpTransport plain{context.get_executor(), options};
    } catch (const InvalidOption& wrong) {
        said = wrong.what();
    }
    CHECK(contains(said, "bulkhead/tls.hpp"));
    CHECK_NOTHROW(HttpsTransport{context.get_executor(), options});
}
