// SPDX-License-Identifier: BSL-1.0
// A TLS connection in use: how it ends, what may rest on it, and what is remembered of it.
#include "support/catch.hpp"
#include "tls/client.hpp"

#include <atomic>
#include <thread>

using namespace tls_client;
using tls_loopback::Server;
using tls_loopback::ServerEnd;

namespace {

/// Lets the server say what is its own in TLS: a ticket, a change of keys, a wish to negotiate anew.
void say_own(ServerEnd& end) {
    error_code ignored;
    end.stream().next_layer().non_blocking(true, ignored); // it does not wait for an answer
    end.stream().handshake(asio::ssl::stream_base::server, ignored);
}

/// Tickets that take several records each.
void with_long_tickets(SSL_CTX* context) {
    const auto lengthen = [](SSL* ssl, void*) -> int {
        const std::string data(1500, 't');
        return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.data(), data.size());
    };
    const auto take = [](SSL*, SSL_SESSION*, const unsigned char*, size_t, SSL_TICKET_STATUS,
                         void*) -> SSL_TICKET_RETURN { return SSL_TICKET_RETURN_USE; };
    SSL_CTX_set_max_send_fragment(context, 512);
    SSL_CTX_set_session_ticket_cb(context, lengthen, take, nullptr);
}
/// Only the first record of one.
void say_part_of_a_ticket(ServerEnd& end) {
    auto* const instead = BIO_new(BIO_s_mem());
    SSL_set0_wbio(end.ssl(), instead);
    SSL_new_session_ticket(end.ssl());
    SSL_do_handshake(end.ssl());
    char* data = nullptr;
    const auto size = static_cast<std::size_t>(BIO_get_mem_data(instead, &data));
    const std::size_t first = 5U + static_cast<unsigned char>(data[3]) * 256U + static_cast<unsigned char>(data[4]);
    CHECK(first < size);
    end.stream().next_layer().send(asio::buffer(data, first));
}

using Connector = TlsConnector<ManualClock, LoopbackResolver>;

} // namespace

TEST_CASE("an end without TLS's own after a whole answer is no harm, before it is an error", "[F049]") {
    struct Case {
        std::string said;
        bool whole;
        bool goodbye;
        error_code error;
        bool complete;
    };
    const error_code truncated = asio::ssl::error::stream_truncated;
    const error_code partial = boost::beast::http::error::partial_message;
    const error_code none;
    const std::string head = "HTTP/1.1 200 OK\r\n";
    const auto c = GENERATE_COPY(values<Case>({
        {answer("{\"errors\":false}"), true, false, none, true},
        {answer("{\"errors\":false}"), true, true, none, true},
        {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true, false, none, true},
        {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", false, false, truncated, false},
        {head + "Content-Length: 3\r\n\r\n{}", false, false, truncated, false},
        {head + "Content-Length: 3\r\n\r\n{}", false, true, partial, false},
        {head + "X: y\r\n\r\n{}", false, false, truncated, false}, // anybody could have cut it there
        {head + "X: y\r\n\r\n{}", true, true, none, false},
        {head, false, false, truncated, false},
        {"", false, false, truncated, false},
        {"", false, true, error_code{boost::beast::http::error::end_of_stream}, false},
    }));
    CAPTURE(c.said, c.goodbye);
    asio::io_context context;
    Server server{context, {.identity = house.server}, [&](ServerEnd& end) -> asio::awaitable<void> {
                      (void)co_await end.request();
                      co_await end.say(c.said);
                      if (c.goodbye) end.say_goodbye();
                  }};
    Client client{context, trusting_house()};
    const auto connection = client.connect("search.example", server.port());
    const auto& reply = client.ask(*connection);
    CHECK(reply.error == c.error);
    CHECK(reply.body_complete == c.complete);
    CHECK(reply.sent == Sent::complete);
    client.until([&] { return server.open_connections() == 0; });
    CHECK_FALSE(Connector::alive(connection->stream));
}

TEST_CASE("a goodbye is said, and never waited for", "[F120]") {
    asio::io_context context;
    error_code ended;
    Server server{context, {.identity = house.server}, [&](ServerEnd& end) -> asio::awaitable<void> {
                      (void)co_await end.request();
                      co_await end.say(answer("{}"));
                      co_await end.wait_for_close();
                      ended = end.ended;
                  }};
    Client client{context, trusting_house()};
    auto connection = client.connect("search.example", server.port());
    client.ask(*connection);
    SECTION("in peace") {
        Connector::closing(connection->stream);
        connection.reset();
        client.until([&] { return server.open_connections() == 0; });
        CHECK(ended == error_code{asio::error::eof});
    }
    SECTION("where there is no room for it") {
        auto& socket = connection->stream.next_layer();
        socket.non_blocking(true);
        const std::string noise(1 << 16, '\0');
        error_code full;
        while (!full) socket.send(asio::buffer(noise), 0, full);
        CHECK(full == error_code{asio::error::would_block});
        Connector::closing(connection->stream);
        connection.reset();
        client.until([&] { return server.open_connections() == 0; });
    }
    SECTION("where there is nobody") {
        connection->stream.next_layer().close();
        Connector::closing(connection->stream);
        const asio::any_io_executor executor = context.get_executor();
        auto never_opened = client.connector().make_stream(executor);
        Connector::closing(never_opened);
        CHECK_FALSE(Connector::alive(never_opened));
    }
}

TEST_CASE("an idle connection rests on TLS's own messages, and on nothing else", "[F049][F051]") {
    enum class Says {
        nothing,
        tickets,
        new_keys,
        data,
        a_byte,
        part_of_a_record,
        part_of_a_ticket,
        goodbye,
        hangs_up,
        resets
    };
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const auto says =
        GENERATE(Says::nothing, Says::tickets, Says::new_keys, Says::data, Says::a_byte, Says::part_of_a_record,
                 Says::part_of_a_ticket, Says::goodbye, Says::hangs_up, Says::resets);
    const bool of_1_3 = says == Says::tickets || says == Says::new_keys || says == Says::part_of_a_ticket;
    if (version == TLS1_2_VERSION && of_1_3) return;
    CAPTURE(version, static_cast<int>(says));
    const bool stays = says == Says::nothing || says == Says::tickets || says == Says::new_keys;

    asio::io_context context;
    bool asked = false;
    bool said = false;
    std::function<void(SSL_CTX*)> tune;
    if (says == Says::part_of_a_ticket) tune = &with_long_tickets;
    Server server{context,
                  {.identity = house.server, .highest_version = version, .tune = tune},
                  [&](ServerEnd& end) -> asio::awaitable<void> {
                      (void)co_await end.request();
                      co_await end.say(answer("{}"));
                      while (!asked) co_await asio::post(asio::use_awaitable);
                      if (says == Says::tickets) {
                          for (int i = 0; i < 3; ++i) {
                              SSL_new_session_ticket(end.ssl());
                              say_own(end);
                          }
                      }
                      if (says == Says::new_keys) {
                          SSL_key_update(end.ssl(), SSL_KEY_UPDATE_REQUESTED);
                          say_own(end);
                      }
                      if (says == Says::data) co_await end.say(answer("{\"of\":\"nobody\"}"));
                      if (says == Says::a_byte) co_await end.say("x");
                      if (says == Says::part_of_a_record) {
                          const std::string part{"\x17\x03\x03\x00\x40xyz", 8};
                          end.stream().next_layer().send(asio::buffer(part));
                      }
                      if (says == Says::part_of_a_ticket) say_part_of_a_ticket(end);
                      if (says == Says::goodbye) end.say_goodbye();
                      if (says == Says::resets) end.reset();
                      said = true;
                      if (says != Says::hangs_up && says != Says::resets) co_await obliging(end);
                  }};
    Client client{context, trusting_house()};
    const auto connection = client.connect("search.example", server.port());
    client.ask(*connection);
    REQUIRE(connection->result->reusable);
    CHECK(Connector::alive(connection->stream));
    CHECK(Connector::alive(connection->stream));
    asked = true;
    client.until([&] { return said && (server.open_connections() == 1 || !stays); });
    if (says == Says::hangs_up || says == Says::resets) client.until([&] { return server.open_connections() == 0; });
    CHECK(Connector::alive(connection->stream) == stays);
    if (stays) {
        const auto& reply = client.ask(*connection);
        CHECK_FALSE(reply.error);
        CHECK(connection->sink.bytes == "{}");
        CHECK(Connector::alive(connection->stream));
    }
    abort_stream(connection->stream);
    CHECK_FALSE(Connector::alive(connection->stream));
    client.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("the second handshake with a server is a short one, however the first connection ended") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const bool in_peace = GENERATE(true, false);
    CAPTURE(version, in_peace);
    asio::io_context context;
    std::vector<bool> resumed;
    const auto script = [&](ServerEnd& end) -> asio::awaitable<void> {
        resumed.push_back(end.resumed());
        co_await obliging(end);
    };
    Server server{context, {.identity = house.server, .highest_version = version}, script};
    Server other{context, {.identity = house.server, .highest_version = version}, script};
    Client client{context, trusting_house()};
    const auto once = [&](Client<>& by, Server& to) {
        auto connection = by.connect("search.example", to.port());
        REQUIRE_FALSE(connection->opened->error);
        CHECK_FALSE(by.ask(*connection).error);
        if (in_peace) Connector::closing(connection->stream);
        connection.reset();
        by.until([&] { return to.open_connections() == 0; });
    };
    once(client, server);
    once(client, server);
    once(client, server);
    CHECK(resumed == std::vector<bool>{false, true, true});
    INFO("with another server, or by another connector, it is a first one");
    resumed.clear();
    once(client, other);
    once(client, server);
    Client stranger{context, trusting_house()};
    once(stranger, server);
    CHECK(resumed == std::vector<bool>{false, true, false});
}

TEST_CASE("a server that has forgotten the session, or is another now, is verified in full") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const bool trusted = GENERATE(true, false);
    CAPTURE(version, trusted);
    asio::io_context context;
    std::optional<Server> server;
    server.emplace(context, tls_loopback::Options{.identity = house.server, .highest_version = version}, obliging);
    const auto port = server->port();
    Client client{context, trusting_house()};
    auto connection = client.connect("search.example", port);
    client.ask(*connection);
    connection.reset();
    client.until([&] { return server->open_connections() == 0; });
    const auto identity =
        trusted ? house.server
                : certificates::make({.common_name = "x", .names = "DNS:search.example", .issuer = &house.stranger});
    server.reset();
    test::run_ready(context); // the acceptor is gone
    server.emplace(context, tls_loopback::Options{.identity = identity, .highest_version = version}, obliging, port);
    connection = client.connect("search.example", port);
    if (trusted) {
        CHECK_FALSE(connection->opened->error);
        CHECK_FALSE(client.ask(*connection).error);
    } else {
        CHECK(connection->opened->error == error_code{errc::untrusted_certificate});
    }
}

TEST_CASE("sessions are bounded, and the newest of a server is the one that is used") {
    detail::TlsSessions sessions;
    CHECK(sessions.find("a 1") == nullptr);
    for (int i = 0; i < 200; ++i) sessions.keep(std::to_string(i), detail::SessionPtr{SSL_SESSION_new()});
    int kept = 0; // ours are not resumable, so only the pointers tell
    for (int i = 0; i < 200; ++i) kept += sessions.knows(std::to_string(i)) ? 1 : 0;
    CHECK(kept == 64);
    CHECK(sessions.knows("199"));
}

TEST_CASE("bodies of any shape arrive as they are, and so do large answers", "[F020]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(version);
    asio::io_context context;
    std::string body;
    const std::string large(std::size_t{3} << 20, 'x');
    Server server{
        context, {.identity = house.server, .highest_version = version}, [&](ServerEnd& end) -> asio::awaitable<void> {
            for (;;) {
                auto request = co_await end.request();
                if (request.head.empty()) co_return;
                body = std::move(request.body);
                co_await end.say(answer(large));
            }
        }};
    Client client{context, trusting_house()};
    const auto connection = client.connect("search.example", server.port());
    REQUIRE_FALSE(connection->opened->error);
    std::uint32_t random = 1;
    const auto text = [&](std::size_t size) {
        std::string out(size, ' ');
        for (auto& c : out) c = static_cast<char>('a' + ((random = random * 1664525 + 1013904223) >> 24U) % 26);
        return out;
    };
    for (const std::size_t size : {1U, 16'383U, 16'384U, 16'385U, 131'072U, 5'000'000U}) {
        CAPTURE(size);
        const auto whole = text(size);
        CHECK_FALSE(client.ask(*connection, whole).error);
        CHECK((body == whole));
        CHECK((connection->sink.bytes == large));
    }
    INFO("in many pieces, small and large");
    for (const std::size_t most : {10U, 3000U, 40'000U}) {
        CAPTURE(most);
        const auto whole = text(most * 100);
        std::vector<asio::const_buffer> pieces;
        for (std::size_t at = 0; at < whole.size();) {
            const auto size = std::min<std::size_t>(whole.size() - at, (random = random * 1664525 + 1013904223) % most);
            pieces.emplace_back(whole.data() + at, size); // some are empty
            at += size;
        }
        CHECK_FALSE(client.ask(*connection, pieces).error);
        CHECK((body == whole));
    }
    CHECK(server.connections() == 1);
}

TEST_CASE("the server changes its keys, or wants to negotiate anew, in the middle of an upload") {
    const bool keys = GENERATE(true, false);
    CAPTURE(keys);
    asio::io_context context;
    std::size_t size = 0;
    std::string seen;
    Server server{context,
                  {.identity = house.server, .highest_version = keys ? TLS1_3_VERSION : TLS1_2_VERSION},
                  [&](ServerEnd& end) -> asio::awaitable<void> {
                      for (;;) {
                          std::string head;
                          error_code error;
                          std::string input;
                          co_await asio::async_read_until(end.stream(), asio::dynamic_buffer(input), "\r\n\r\n",
                                                          asio::redirect_error(asio::use_awaitable, error));
                          if (error) co_return;
                          const auto until = input.find("\r\n\r\n") + 4 + size;
                          while (!error && input.size() < until) {
                              if (keys)
                                  SSL_key_update(end.ssl(), SSL_KEY_UPDATE_REQUESTED);
                              else
                                  SSL_renegotiate(end.ssl());
                              if (input.size() < 500'000) say_own(end);
                              co_await asio::async_read(end.stream(), asio::dynamic_buffer(input),
                                                        asio::transfer_at_least(1),
                                                        asio::redirect_error(asio::use_awaitable, error));
                          }
                          if (error) co_return;
                          seen = input.substr(until - size);
                          co_await end.say(answer("{}"));
                      }
                  }};
    Client client{context, trusting_house()};
    const auto connection = client.connect("search.example", server.port());
    const std::string text(2'000'000, 'y');
    size = text.size();
    for (int i = 0; i < 2; ++i) {
        const auto& reply = client.ask(*connection, text);
        if (!keys && reply.error) break; // the server may well give up; what matters is that we do not hang
        CHECK_FALSE(reply.error);
        CHECK((seen == text));
    }
}

TEST_CASE("one connector serves many strands on many threads") {
    asio::io_context server_context{1};
    Server server{server_context, {.identity = house.server}, obliging};
    const auto work = asio::make_work_guard(server_context);
    std::thread server_thread{[&] { server_context.run(); }};

    asio::io_context context;
    TlsConnector<std::chrono::steady_clock, LoopbackResolver> connector{trusting_house()};
    std::atomic<int> good{0};
    constexpr int strands = 8;
    constexpr int rounds = 5;
    for (int i = 0; i < strands; ++i) {
        const asio::any_io_executor strand = asio::make_strand(context);
        asio::co_spawn(
            strand,
            [](auto copy, asio::any_io_executor executor, std::uint16_t port,
               std::atomic<int>& counter) -> asio::awaitable<void> {
                for (int round = 0; round < rounds; ++round) {
                    auto stream = copy.make_stream(executor);
                    const bulkhead::NodeAddress peer{"search.example", std::to_string(port)};
                    const ConnectTimeouts timeouts{60s, 60s, 60s, 60s};
                    const auto opened = co_await copy.open(stream, peer, timeouts);
                    if (opened.error) co_return;
                    boost::beast::flat_buffer buffer;
                    Sink sink;
                    const std::string text(100'000, 'z');
                    const std::string head =
                        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n";
                    const std::array<asio::const_buffer, 1> body{asio::buffer(text)};
                    bulkhead::detail::ExchangeOptions<std::chrono::steady_clock> options;
                    options.head = head;
                    options.body = body;
                    options.deadline = std::chrono::steady_clock::now() + 60s;
                    const auto result = co_await bulkhead::detail::http_exchange<std::chrono::steady_clock>(
                        stream, buffer, options, sink);
                    if (result.reusable && copy.alive(stream)) ++counter;
                    copy.closing(stream);
                }
            }(connector, strand, server.port(), good),
            asio::detached);
    }
    std::thread one{[&] { context.run(); }};
    std::thread two{[&] { context.run(); }};
    one.join();
    two.join();
    server_context.stop();
    server_thread.join();
    CHECK(good == strands * rounds);
}
