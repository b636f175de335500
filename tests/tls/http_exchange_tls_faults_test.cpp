// SPDX-License-Identifier: BSL-1.0
// Every fault at every kind of byte of the encrypted traffic: of the handshake, of a request and of its answer, on a
// new connection and on a kept one; there, of TLS 1.3, at each byte. What must come of it is told from what the server
// could decrypt, and from how much of its own words the client was given.
#include "support/catch.hpp"
#include "support/memory_stream.hpp"
#include "support/still_clock.hpp"
#include "tls/client.hpp"

#include <boost/asio/detached.hpp>

#include <ostream>
#include <set>

using namespace tls_client;
using bulkhead_test::StillClock;

namespace {

constexpr auto handshake_time = 3s;
constexpr auto exchange_time = 10s;

const std::string request_head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n";
const std::string request_action = "{\"index\":{}}\n";
const std::string request_source = "{\"a\":1}";
const std::string whole_request = request_head + request_action + request_source;
const std::string answer_body = R"({"errors":true})";
const std::string whole_answer = answer(answer_body);

/// How the two speak.
struct Way {
    const char* name;
    int version;
    bool long_tickets; ///< in several records each, so that writing may have to wait for reading
    std::size_t grain; ///< the kernel takes and gives so many bytes at once
    bool kept;         ///< the faults are in the second exchange
};
constexpr auto all = std::numeric_limits<std::size_t>::max();

std::ostream& operator<<(std::ostream& out, const Way& way) {
    return out << way.name << (way.grain == 1 ? ", byte by byte" : "") << (way.kept ? ", kept" : "");
}

/// The peer of the stream in memory: OpenSSL by itself, and somebody who decides how much of its words gets through.
class MemoryServer {
public:
    explicit MemoryServer(SSL_CTX* context) : ssl_{SSL_new(context)} {
        in_ = BIO_new(BIO_s_mem());
        out_ = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(in_, -1);
        SSL_set_bio(ssl_.get(), in_, out_);
        SSL_set_accept_state(ssl_.get());
    }
    /// Takes what has come; true when there was something.
    bool take(memory::Peer& peer) {
        auto fresh = peer.received.substr(taken);
        if (fresh.empty()) return false;
        if (spoilt_byte >= taken && spoilt_byte - taken < fresh.size())
            fresh[spoilt_byte - taken] = static_cast<char>(fresh[spoilt_byte - taken] ^ 1);
        taken += fresh.size();
        BIO_write(in_, fresh.data(), static_cast<int>(fresh.size()));
        ERR_clear_error();
        char bytes[1000];
        int size = 0;
        while ((size = SSL_read(ssl_.get(), bytes, sizeof bytes)) > 0)
            heard.append(bytes, static_cast<std::size_t>(size));
        if (SSL_get_error(ssl_.get(), size) == SSL_ERROR_SSL) broken = true;
        ERR_clear_error();
        collect();
        return true;
    }
    void change_keys() {
        SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(ssl_.get());
        collect();
    }
    void say(const std::string& text) {
        SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
        collect();
    }

    std::string heard; ///< in plain text
    std::string said;  ///< encrypted, all of it, whether it gets through or not
    std::size_t taken = 0;
    std::size_t spoilt_byte = all; ///< of what the client sends
    bool broken = false;

private:
    void collect() {
        char* data = nullptr;
        const auto size = BIO_get_mem_data(out_, &data);
        said.append(data, static_cast<std::size_t>(size));
        (void)BIO_reset(out_);
    }
    detail::SslPtr ssl_;
    BIO* in_;
    BIO* out_;
};

int long_ticket(SSL* ssl, void* /*unused*/) {
    const std::string data(1500, 't');
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.data(), data.size());
}
SSL_TICKET_RETURN any_ticket(SSL* /*ssl*/, SSL_SESSION* /*session*/, const unsigned char* /*name*/, size_t /*size*/,
                             SSL_TICKET_STATUS /*status*/, void* /*unused*/) {
    return SSL_TICKET_RETURN_IGNORE;
}

SSL_CTX* server_context(const Way& way) {
    static std::map<std::pair<int, bool>, detail::SslContextPtr> contexts;
    auto& context = contexts[{way.version, way.long_tickets}];
    if (!context) {
        context.reset(SSL_CTX_new(TLS_server_method()));
        auto* const c = context.get();
        SSL_CTX_use_certificate(c, house.server.certificate.get());
        SSL_CTX_use_PrivateKey(c, house.server.key.get());
        SSL_CTX_set_max_proto_version(c, way.version);
        if (way.long_tickets) {
            SSL_CTX_set_max_send_fragment(c, 512);
            SSL_CTX_set_session_ticket_cb(c, &long_ticket, &any_ticket, nullptr);
        }
    }
    return context.get();
}

/// One for all connections, but sessions are not used again: what travels would depend on the order of the tests.
std::shared_ptr<detail::TlsContext> client_context() {
    static const auto context = std::make_shared<detail::TlsContext>(trusting(house.authority));
    return context;
}

/// A connection over memory, in virtual time: a handshake, and then one or two exchanges.
struct Line {
    explicit Line(const Way& way_in) : way{way_in} {
        ManualClock::reset();
        peer->most_per_read = way.grain;
        peer->most_per_write = way.grain;
        static int number = 0;
        (void)client_context()->expect(stream.native_handle(), "search.example", std::to_string(++number));
    }
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    ~Line() { // also when a check has failed, since the context lives on
        peer->close();
        run();
        next.cancel();
        run();
    }

    /// Starts, and comes to where faults begin.
    void begin() {
        asio::co_spawn(
            context, [](Line& line) -> asio::awaitable<void> { co_await whole(line); }(*this), asio::detached);
        run();
        if (!way.kept) return;
        pump();
        REQUIRE(exchanges == 1);
        REQUIRE(server.heard == whole_request);
        REQUIRE(result);
        REQUIRE(result->reusable);
        server.heard.clear();
        result.reset();
        sink.bytes.clear();
        from_client = peer->received.size();
        from_server = server.said.size();
    }
    /// What the client does, one after the other.
    static asio::awaitable<void> whole(Line& line) {
        const asio::any_io_executor executor = line.context.get_executor();
        {
            const auto began = StillClock::now();
            detail::Watchdog<StillClock> watchdog{executor, began + handshake_time,
                                                  [&line] { abort_stream(line.stream); }};
            line.handshake = co_await line.stream.handshake();
            CHECK(StillClock::now() - began <= handshake_time);
        }
        if (*line.handshake) {
            line.over = true;
            co_return;
        }
        for (int i = line.way.kept ? 0 : 1; i < 2; ++i) {
            line.began = StillClock::now();
            bulkhead::detail::ExchangeOptions<StillClock> options;
            options.head = request_head;
            options.body = line.body;
            options.deadline = line.began + exchange_time;
            auto exchanged =
                co_await bulkhead::detail::http_exchange<StillClock>(line.stream, line.buffer, options, line.sink);
            line.took = StillClock::now() - line.began;
            line.result = std::move(exchanged);
            ++line.exchanges;
            if (i == 0) { // until the test has looked at it
                line.next.expires_at(StillClock::time_point::max());
                error_code ignored;
                co_await line.next.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            }
        }
        line.over = true;
    }
    void go_on() {
        if (way.kept) next.cancel();
        pump();
    }
    void run() { test::run_ready(context); }
    /// Lets the two speak until neither has anything to say that gets through.
    void pump() {
        for (bool more = true; more;) {
            run();
            more = server.take(*peer);
            if (server.heard.size() == request_head.size() + asio::buffer_size(body) && !answered()) {
                server.say(whole_answer);
                answer_end = server.said.size();
            }
            const auto end = std::min(server.said.size(), lets_through);
            if (end > given) {
                auto bytes = server.said.substr(given, end - given);
                if (spoilt_byte >= given && spoilt_byte < end)
                    bytes[spoilt_byte - given] = static_cast<char>(bytes[spoilt_byte - given] ^ 1);
                given = end;
                peer->say(bytes);
                more = true;
            }
        }
    }
    /// Waits as long as it all may take.
    void end() {
        for (int i = 0; !over && i < 2; ++i) {
            StillClock::pass(context, (handshake && !*handshake ? StillClock::duration{exchange_time}
                                                                : StillClock::duration{handshake_time}) -
                                          1ms);
            pump();
            if (over) break;
            StillClock::pass(context, 1ms);
            pump();
        }
        REQUIRE(over);
        CHECK_FALSE(peer->reader);
        CHECK_FALSE(peer->writer);
    }
    [[nodiscard]] bool answered() const { return answer_end > from_server; }

    // One for all: opening and closing its descriptors would be most of these tests' time.
    static asio::io_context& shared_context() {
        static asio::io_context context;
        return context;
    }

    const Way way;
    asio::io_context& context = shared_context();
    std::shared_ptr<memory::Peer> peer = std::make_shared<memory::Peer>();
    bulkhead::detail::TlsStream<memory::MemoryStream> stream =
        client_context()->make_stream(memory::MemoryStream{context.get_executor(), peer});
    MemoryServer server{server_context(way)};
    boost::beast::flat_buffer buffer;
    std::array<asio::const_buffer, 2> body{asio::buffer(request_action), asio::buffer(request_source)};
    Sink sink;
    asio::basic_waitable_timer<StillClock> next{context};
    StillClock::time_point began;
    StillClock::duration took{};
    std::optional<error_code> handshake;
    std::optional<bulkhead::detail::ExchangeResult> result;
    int exchanges = 0;
    bool over = false;
    std::size_t from_client = 0; ///< where in what the client says the faults begin
    std::size_t from_server = 0;
    std::size_t answer_end = 0; ///< in what the server says
    std::size_t given = 0;      ///< of what the server has said
    std::size_t lets_through = all;
    std::size_t spoilt_byte = all; ///< of what the server says
};

/// What holds however it ended.
void check(const Line& line) {
    const bool all_came = line.answered() && line.given >= line.answer_end;
    if (*line.handshake) {
        CHECK(line.server.heard.empty()); // not a byte before the server is known
        CHECK_FALSE(line.result);
        return;
    }
    REQUIRE(line.result);
    const auto& reply = line.result->reply;
    const auto heard = line.server.heard.size();
    CHECK(line.server.heard == whole_request.substr(0, heard));
    const auto sent = heard == whole_request.size() ? Sent::complete
                      : heard > request_head.size() ? Sent::partial
                                                    : Sent::none;
    if (line.server.spoilt_byte != all) // the server may not have understood it
        CHECK(reply.sent >= sent);
    else
        CHECK(reply.sent == sent);
    CHECK(line.took <= exchange_time);
    CHECK(answer_body.substr(0, line.sink.bytes.size()) == line.sink.bytes);
    if (line.spoilt_byte == all && all_came) {
        CHECK_FALSE(reply.error);
        CHECK(reply.status == 200);
        CHECK(reply.body_complete);
        CHECK(line.sink.bytes == answer_body);
    } else {
        CHECK(reply.error);
        CHECK_FALSE(reply.body_complete);
        CHECK_FALSE(line.result->reusable);
        CHECK(line.peer->closed);
        CHECK(line.sink.bytes.size() < answer_body.size());
    }
}

/// Where to be faulty: at every so many bytes, and at all of those that differ by what they are.
std::set<std::size_t> positions(const std::string& traffic, std::size_t step) {
    std::set<std::size_t> out;
    for (std::size_t at = 0; at < traffic.size(); at += step) out.insert(at);
    for (std::size_t at = 0; at + 5 <= traffic.size();) { // records, and a few bytes around each beginning
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(traffic[at + i]); };
        const auto next = at + 5U + byte(3) * 256U + byte(4);
        for (auto near = at; near < at + 8; ++near) out.insert(near);
        out.insert((at + next) / 2);
        for (auto near = next - 3; near < next; ++near) out.insert(near);
        at = next;
    }
    for (auto near = traffic.size(); near < traffic.size() + 3; ++near) out.insert(near);
    return out;
}

const Way ways[] = {
    {"TLS 1.3", TLS1_3_VERSION, false, all, false}, {"TLS 1.3", TLS1_3_VERSION, false, all, true},
    {"TLS 1.3", TLS1_3_VERSION, false, 1, false},   {"TLS 1.3", TLS1_3_VERSION, false, 1, true},
    {"TLS 1.2", TLS1_2_VERSION, false, all, false}, {"TLS 1.2", TLS1_2_VERSION, false, all, true},
    {"TLS 1.2", TLS1_2_VERSION, false, 1, false},   {"long tickets", TLS1_3_VERSION, true, all, false},
};

enum class Side { client, server };

/// Calls `f(line, at)` for each way and each place in what one side says; the line has come to where faults begin.
template <class F>
void everywhere(Side side, F f) {
    for (const auto& way : ways) {
        std::set<std::size_t> places; // from where faults begin, since signatures differ in length
        {
            Line clean{way};
            clean.begin();
            clean.go_on();
            clean.end();
            CHECK_FALSE(*clean.handshake);
            check(clean);
            CHECK(clean.result->reusable);
            const bool plain = way.grain == all && way.version == TLS1_3_VERSION && !way.long_tickets;
            const std::size_t step = !plain ? 100 : way.kept ? 1 : 7;
            places = positions(side == Side::client ? clean.peer->received.substr(clean.from_client)
                                                    : clean.server.said.substr(clean.from_server),
                               step);
        }
        for (const auto place : places) {
            Line line{way};
            if (!way.kept) (side == Side::client ? line.peer->takes : line.lets_through) = place;
            line.begin();
            if (way.kept && side == Side::client) line.peer->takes = place;
            if (way.kept && side == Side::server) line.lets_through = line.from_server + place;
            const auto at = place + (side == Side::client ? line.from_client : line.from_server);
            INFO(way << ", " << (side == Side::client ? "client" : "server") << " byte " << at);
            f(line, at);
        }
    }
}

} // namespace

TEST_CASE("TLS: reset or ended at every byte that the server says", "[F047][F048][F049]") {
    for (const error_code fault : {error_code{asio::error::connection_reset}, error_code{asio::error::eof}}) {
        everywhere(Side::server, [&](Line& line, std::size_t at) {
            line.go_on();
            const bool cut = line.given == at;
            if (cut) {
                line.peer->hang_up(fault);
                line.pump();
                CHECK(line.over);
            }
            line.end();
            check(line);
            if (line.result) CHECK(line.took == 0s);
            const bool done = line.result && !line.result->reply.error;
            if (!done && fault == asio::error::eof) { // never taken for a proper end
                const auto error = line.result ? line.result->reply.error : *line.handshake;
                CHECK(error == error_code{asio::ssl::error::stream_truncated});
            }
        });
    }
}

TEST_CASE("TLS: silence from every byte on that the server says ends in time", "[F046][F053]") {
    everywhere(Side::server, [](Line& line, std::size_t) {
        line.go_on();
        line.end();
        check(line);
        if (line.result && line.result->reply.error) {
            CHECK(line.result->reply.error == error_code{errc::request_timeout});
            CHECK(line.took == exchange_time);
        }
    });
}

TEST_CASE("TLS: a pause at every byte that the server says changes nothing", "[F056]") {
    everywhere(Side::server, [](Line& line, std::size_t) {
        line.go_on();
        StillClock::pass(line.context, 1s);
        line.lets_through = all;
        line.pump();
        line.end();
        check(line);
        CHECK_FALSE(*line.handshake);
        CHECK_FALSE(line.result->reply.error);
        CHECK(line.result->reusable);
        CHECK(line.took <= 1s);
    });
}

TEST_CASE("TLS: a bit that flips in whatever the server says is never believed", "[F049]") {
    for (const auto& way : ways) {
        if (way.grain == 1 || way.long_tickets) continue;
        std::size_t size = 0;
        {
            Line clean{way};
            clean.begin();
            clean.go_on();
            clean.end();
            size = clean.answer_end - clean.from_server;
        }
        for (std::size_t place = 0; place < size; ++place) {
            if (!way.kept && place == 2) continue; // the first record's minor version, which means nothing
            INFO(way << ", server byte " << place);
            Line line{way};
            if (!way.kept) line.spoilt_byte = place;
            line.begin();
            if (way.kept) line.spoilt_byte = line.from_server + place;
            line.go_on();
            line.end();
            if (line.spoilt_byte >= line.given) line.spoilt_byte = all; // a shorter signature, so nothing was spoilt
            check(line);
        }
    }
}

TEST_CASE("TLS: reset at every byte that the client says", "[F047]") {
    everywhere(Side::client, [](Line& line, std::size_t) {
        line.peer->then = asio::error::connection_reset;
        line.peer->serve_write();
        line.go_on();
        if (!line.over) {
            line.peer->hang_up(asio::error::connection_reset);
            line.pump();
        }
        CHECK(line.over);
        line.end();
        check(line);
        if (line.result) CHECK(line.took == 0s);
    });
}

TEST_CASE("TLS: the peer ends the connection at every byte that the client says", "[F048][F051]") {
    everywhere(Side::client, [](Line& line, std::size_t) {
        line.go_on();
        if (!line.over) {
            line.peer->hang_up(asio::error::eof);
            line.pump();
        }
        line.end();
        check(line);
        if (line.result) CHECK(line.took == 0s);
    });
}

TEST_CASE("TLS: the peer stops reading at every byte that the client says: over in time", "[F053][F055]") {
    everywhere(Side::client, [](Line& line, std::size_t) {
        line.go_on();
        line.end();
        check(line);
        if (line.result && line.result->reply.error) {
            CHECK(line.result->reply.error == error_code{errc::request_timeout});
            CHECK(line.took == exchange_time);
        }
    });
}

TEST_CASE("TLS: the peer pauses at every byte that the client says: nothing is lost or repeated", "[F055][F056]") {
    everywhere(Side::client, [](Line& line, std::size_t) {
        line.go_on();
        StillClock::pass(line.context, 1s);
        line.peer->take(all);
        line.pump();
        line.end();
        check(line);
        CHECK_FALSE(*line.handshake);
        CHECK_FALSE(line.result->reply.error);
        CHECK(line.result->reusable);
        CHECK(line.server.heard == whole_request);
    });
}

TEST_CASE("TLS: a bit that flips in whatever the client says is no success", "[F049]") {
    for (const auto& way : ways) {
        if (way.grain == 1 || way.long_tickets) continue;
        std::size_t size = 0;
        {
            Line clean{way};
            clean.begin();
            clean.go_on();
            clean.end();
            size = clean.peer->received.size() - clean.from_client;
        }
        for (std::size_t place = 0; place < size; ++place) {
            INFO(way << ", client byte " << place);
            Line line{way};
            if (!way.kept) line.server.spoilt_byte = place;
            line.begin();
            if (way.kept) line.server.spoilt_byte = line.from_client + place;
            line.go_on();
            if (line.server.broken && !line.over) { // it has said why, and closes
                line.peer->hang_up(asio::error::eof);
                line.pump();
            }
            line.end();
            check(line);
        }
    }
}

namespace {

/// A body that takes several writes.
std::string large_body() {
    std::string body;
    while (body.size() < 300'000) body += "{\"n\":" + std::to_string(body.size()) + "}\n";
    return body;
}

/// How much the client says in its handshake, and the server in all.
std::pair<std::size_t, std::size_t> sizes_of(const Way& way) {
    Line clean{way};
    clean.begin();
    clean.go_on();
    clean.end();
    const std::size_t request_record = whole_request.size() + 22;
    return {clean.peer->received.size() - request_record, clean.server.said.size()};
}

} // namespace

TEST_CASE("TLS: writing waits where a ticket has been read in part, and goes on with the rest of it") {
    const Way way{"long tickets", TLS1_3_VERSION, true, all, false};
    const auto [handshake_size, all_said] = sizes_of(way);
    CHECK(all_said > 4000); // with two tickets, in many records
    const auto large = large_body();
    for (std::size_t at = 0; at < all_said; at += 50) {
        INFO("server byte " << at);
        Line line{way};
        line.body[1] = asio::buffer(large);
        line.peer->takes = handshake_size + 50; // the first write is under way, and more are to follow
        line.lets_through = at;
        line.begin();
        line.go_on();
        line.peer->take(all);
        line.pump();
        line.lets_through = all;
        line.pump();
        CHECK(line.over);
        line.end();
        CHECK(line.server.heard == request_head + request_action + large);
        REQUIRE(line.result);
        CHECK_FALSE(line.result->reply.error);
        CHECK(line.result->reusable);
        if (at + 100 < all_said) { // what has been read in part never comes to its end
            Line cut{way};
            cut.body[1] = asio::buffer(large);
            cut.peer->takes = handshake_size + 50;
            cut.lets_through = at;
            cut.begin();
            cut.go_on();
            cut.peer->take(all);
            cut.pump();
            if (!cut.over) cut.peer->hang_up(asio::error::connection_reset);
            cut.pump();
            CHECK(cut.over);
            cut.end();
            if (cut.result) CHECK(cut.result->reply.error);
        }
    }
}

TEST_CASE("TLS: keys that change while a write is under way: the answer to that goes out in its turn") {
    const Way way{"TLS 1.3", TLS1_3_VERSION, false, all, false};
    const auto handshake_size = sizes_of(way).first;
    const auto large = large_body();
    for (const std::size_t taken : {1U, 100U, 20'000U, 131'000U, 140'000U, 270'000U}) {
        INFO(taken << " bytes of the request are taken when the keys change");
        Line line{way};
        line.body[1] = asio::buffer(large);
        line.peer->takes = handshake_size + taken;
        line.begin();
        line.go_on();
        for (int i = 0; i < 3; ++i) {
            line.server.change_keys();
            line.pump();
        }
        line.peer->take(50'000);
        line.pump();
        line.server.change_keys();
        line.pump();
        line.peer->take(all);
        line.pump();
        line.end();
        CHECK(line.server.heard == request_head + request_action + large);
        REQUIRE(line.result);
        CHECK_FALSE(line.result->reply.error);
        CHECK(line.result->reusable);
    }
}
