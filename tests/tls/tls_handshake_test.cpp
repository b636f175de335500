// SPDX-License-Identifier: BSL-1.0
// Whom TLS lets in, and what it says about whom it does not.
#include "support/catch.hpp"
#include "tls/client.hpp"

#include <cstdlib>

using namespace tls_client;
using tls_loopback::Server;
using tls_loopback::ServerEnd;

namespace {

/// Opens one connection to a server with these options; the server must not have got as far as a request.
Opened refused(const tls_loopback::Options& server_options, const TlsOptions& options,
               const std::string& host = "search.example") {
    asio::io_context context;
    std::size_t requests = 0;
    Server server{context, server_options, [&](ServerEnd& peer) -> asio::awaitable<void> {
                      const auto request = co_await peer.request();
                      if (!request.head.empty()) ++requests;
                  }};
    Client client{context, options};
    const auto connection = client.connect(host, server.port());
    CHECK(connection->opened->error);
    abort_stream(connection->stream);
    client.until([&] { return server.open_connections() == 0; });
    CHECK(requests == 0);
    return *connection->opened;
}

/// The same, and the certificate must be the reason.
std::string distrusted(const Identity& identity, const TlsOptions& options, const std::string& host = "search.example",
                       std::vector<Identity> chain = {}) {
    const auto opened = refused({.identity = identity, .chain = std::move(chain)}, options, host);
    CHECK(opened.error == error_code{errc::untrusted_certificate});
    CHECK(opened.detail.size() < 1024);
    return opened.detail;
}

/// Opens one connection and has one answer; what went wrong, if anything.
std::string accepted(const tls_loopback::Options& server_options, const TlsOptions& options,
                     const std::string& host = "search.example") {
    asio::io_context context;
    Server server{context, server_options, obliging};
    Client client{context, options};
    const auto connection = client.connect(host, server.port());
    if (connection->opened->error) return connection->opened->detail;
    const auto& reply = client.ask(*connection);
    return reply.error ? reply.detail : std::string{};
}

} // namespace

TEST_CASE("a server whose certificate is right in every way is spoken to", "[F046][F165]") {
    asio::io_context context;
    std::string asked_for;
    Server server{context, {.identity = house.server}, [&](ServerEnd& peer) -> asio::awaitable<void> {
                      asked_for = peer.asked_for();
                      co_await obliging(peer);
                  }};
    Client client{context, trusting_house()};
    const auto connection = client.connect("search.example", server.port());
    CHECK_FALSE(connection->opened->error);
    CHECK(connection->opened->detail.empty());
    const auto& reply = client.ask(*connection);
    CHECK_FALSE(reply.error);
    CHECK(reply.status == 200);
    CHECK(reply.sent == Sent::complete);
    CHECK(connection->sink.bytes == "{}");
    CHECK(asked_for == "search.example");
    CHECK(SSL_version(connection->stream.native_handle()) == TLS1_3_VERSION);
}

TEST_CASE("a certificate of an authority that is not trusted: refused, and it says what to set", "[F046]") {
    const auto detail = distrusted(house.server, trusting(house.stranger));
    CHECK(contains(detail, "unable to get local issuer certificate"));
    CHECK(contains(detail, "not in TlsOptions::ca_file"));
    INFO("nor does the system trust it, which is asked when nothing else is");
    const auto by_system = distrusted(house.server, {});
    CHECK(contains(by_system, "set TlsOptions::ca_file or ca_fingerprint"));
    INFO("nor when the server sends its authority along");
    CHECK(contains(distrusted(house.server, {}, "search.example", {house.authority}), "self-signed certificate in"));
}

TEST_CASE("where nothing is set the system's authorities are trusted", "[F166]") {
    const Files files;
    const auto system = files.put("system.pem", house.authority.pem());
    ::setenv("SSL_CERT_FILE", system.c_str(), 1); // the system's, for OpenSSL
    const TlsOptions options;
    CHECK(accepted({.identity = house.server}, options).empty());
    INFO("but not beside what is set");
    CHECK_FALSE(distrusted(house.server, trusting(house.stranger)).empty());
    TlsOptions pinned;
    pinned.ca_fingerprint = house.stranger.fingerprint();
    CHECK_FALSE(distrusted(house.server, pinned).empty());
    ::unsetenv("SSL_CERT_FILE");
}

TEST_CASE("an authority of the same name with another key is another authority", "[F046]") {
    const auto impostor = certificates::make({.common_name = "test authority", .authority = true});
    const auto server =
        certificates::make({.common_name = "server", .names = "DNS:search.example", .issuer = &impostor});
    CHECK_FALSE(distrusted(server, trusting_house(), "search.example", {impostor}).empty());
}

TEST_CASE("a certificate signed by one that may not sign is refused", "[F046]") {
    const auto server =
        certificates::make({.common_name = "server", .names = "DNS:search.example", .issuer = &house.client});
    CHECK_FALSE(distrusted(server, trusting_house(), "search.example", {house.client}).empty());
}

TEST_CASE("a self-signed certificate is refused, but where it is trusted itself", "[F046][F166]") {
    const auto itself = certificates::make({.common_name = "itself", .names = "DNS:search.example"});
    CHECK(contains(distrusted(itself, trusting_house()), "self-signed certificate (depth 0, CN=itself)"));
    CHECK(accepted({.identity = itself}, trusting(itself)).empty());
}

TEST_CASE("an expired certificate, and one that is not valid yet, are refused with their dates", "[F046]") {
    const auto old = certificates::make(
        {.common_name = "old", .names = "DNS:search.example", .from = -7200, .until = -60, .issuer = &house.authority});
    const auto old_detail = distrusted(old, trusting_house());
    CHECK(contains(old_detail, "has expired (depth 0, CN=old): it was valid until "));
    CHECK(contains(old_detail, "GMT"));
    const auto young = certificates::make(
        {.common_name = "young", .names = "DNS:search.example", .from = 1800, .issuer = &house.authority});
    const auto young_detail = distrusted(young, trusting_house());
    CHECK(contains(young_detail, "not yet valid")); // OpenSSL's own words, which change
    CHECK(contains(young_detail, " (depth 0, CN=young): it is valid from "));
    const auto old_authority =
        certificates::make({.common_name = "old authority", .authority = true, .from = -7200, .until = -60});
    const auto server =
        certificates::make({.common_name = "server", .names = "DNS:search.example", .issuer = &old_authority});
    CHECK(contains(distrusted(server, trusting(old_authority)), "has expired (depth 1, CN=old authority)"));
}

TEST_CASE("the chain may have a certificate between, which the server has to send", "[F046]") {
    const auto server =
        certificates::make({.common_name = "server", .names = "DNS:search.example", .issuer = &house.intermediate});
    CHECK(accepted({.identity = server, .chain = {house.intermediate}}, trusting_house()).empty());
    CHECK(contains(distrusted(server, trusting_house()), "unable to get local issuer certificate"));
    INFO("who trusts the one between needs no other");
    CHECK(accepted({.identity = server}, trusting(house.intermediate)).empty());
}

TEST_CASE("the certificate has to be for the host: names, wildcards and addresses by RFC 6125", "[F046][F165]") {
    struct Case {
        std::string names;
        std::string host;
        bool right;
    };
    const auto c = GENERATE(values<Case>({
        {"DNS:search.example", "search.example", true},
        {"DNS:search.example", "SEARCH.Example", true},
        {"DNS:search.example", "search.example.", true}, // the dot at the end is the resolver's
        {"DNS:other.example,DNS:search.example", "search.example", true},
        {"DNS:search.example", "other.example", false},
        {"DNS:search.example", "a.search.example", false},
        {"DNS:search.example", "search.example.org", false},
        {"DNS:*.search.example", "a.search.example", true},
        {"DNS:*.search.example", "a.b.search.example", false},
        {"DNS:*.search.example", "search.example", false},
        {"DNS:*.example", "search.example", false}, // not for all of a top-level domain
        {"DNS:*", "search.example", false},
        {"DNS:a*.search.example", "ab.search.example", false}, // no part of a label
        {"DNS:*b.search.example", "ab.search.example", false},
        {"DNS:a.*.example", "a.search.example", false},
        {"DNS:xn--bcher-kva.example", "xn--bcher-kva.example", true},
        {"DNS:127.0.0.1", "127.0.0.1", false}, // an address is no name
        {"IP:127.0.0.1", "127.0.0.1", true},
        {"IP:127.0.0.2", "127.0.0.1", false},
        {"DNS:*.0.0.1", "127.0.0.1", false},
        {"IP:127.0.0.1", "search.example", false},
        {"", "search.example", false}, // its common name is search.example
        {"email:search@example", "search.example", false},
    }));
    CAPTURE(c.names, c.host);
    const auto server =
        certificates::make({.common_name = "search.example", .names = c.names, .issuer = &house.authority});
    if (c.right) {
        CHECK(accepted({.identity = server}, trusting_house(), c.host).empty());
        return;
    }
    const auto detail = distrusted(server, trusting_house(), c.host);
    CHECK(contains(detail, "not for " + c.host + " but for "));
    const auto colon = c.names.find(':');
    const bool host_names = colon != std::string::npos && !contains(c.names, "email");
    CHECK(contains(detail, host_names ? c.names.substr(colon + 1) : "a common name does not count"));
}

TEST_CASE("a host that is an IPv6 address is verified as one", "[F165]") {
    const auto name = detail::tls_name("fe80::1%eth0");
    CHECK(name.text == "fe80::1");
    CHECK(name.is_address);
    CHECK(detail::tls_name("::1").is_address);
    CHECK_FALSE(detail::tls_name("abcd").is_address);
    CHECK(detail::tls_name("search.example.").text == "search.example");

    asio::io_context context; // the resolver takes everything to where the server is
    const auto identity = certificates::make({.common_name = "six", .names = "IP:::1", .issuer = &house.authority});
    Server server{context, {.identity = identity}, obliging};
    auto options = trusting_house();
    options.server_name = "::1";
    Client client{context, options};
    CHECK_FALSE(client.connect("search.example", server.port())->opened->error);
}

TEST_CASE("the server is told which name is wanted, but never an address", "[F165]") {
    struct Case {
        std::string host;
        std::string server_name;
        std::string told;
    };
    const auto c = GENERATE(values<Case>({{"search.example", "", "search.example"},
                                          {"search.example.", "", "search.example"},
                                          {"127.0.0.1", "", ""},
                                          {"127.0.0.1", "search.example", "search.example"},
                                          {"elsewhere.example", "127.0.0.1", ""}}));
    CAPTURE(c.host, c.server_name);
    asio::io_context context;
    std::string told = "nothing yet";
    Server server{context, {.identity = house.server}, [&](ServerEnd& peer) -> asio::awaitable<void> {
                      told = peer.asked_for();
                      co_await obliging(peer);
                  }};
    auto options = trusting_house();
    options.server_name = c.server_name;
    Client client{context, options};
    const auto connection = client.connect(c.host, server.port());
    CHECK_FALSE(connection->opened->error);
    client.ask(*connection);
    CHECK(told == c.told);
}

TEST_CASE("a host that no certificate can be for is not even connected to", "[F165]") {
    asio::io_context context;
    Server server{context, {.identity = house.server}, obliging};
    Client client{context, trusting_house()};
    for (const std::string& host : {std::string{}, std::string{"."}, std::string(300, 'a'), std::string{"a\0b", 3}}) {
        const auto connection = client.connect(host, server.port());
        CHECK(connection->opened->error == error_code{errc::handshake_failed});
    }
    CHECK(server.connections() == 0);
}

TEST_CASE("a server that speaks plain HTTP: said so, and nothing but TLS is sent to it", "[F046]") {
    struct Case {
        std::string says;
        std::string detail;
    };
    const auto c =
        GENERATE(values<Case>({{"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "speaks plain HTTP"},
                               {"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"},
                               {"", "hung up without a word of TLS"},
                               {std::string("\x16\x03\x03", 3), "hung up in the middle"}}));
    asio::io_context context;
    std::string heard;
    loopback::Server server{context, [&](loopback::Peer& peer) -> asio::awaitable<void> {
                                co_await peer.say(c.says);
                                heard = co_await peer.some();
                            }};
    Client client{context, trusting_house()};
    const auto connection = client.connect("search.example", server.port());
    CHECK(connection->opened->error == error_code{errc::handshake_failed});
    CHECK(contains(connection->opened->detail, c.detail));
    client.until([&] { return server.open_connections() == 0; });
    REQUIRE_FALSE(heard.empty());
    CHECK(heard[0] == 0x16);                   // a handshake record
    CHECK_FALSE(contains(heard, "HTTP/1.1 ")); // ALPN's has no space
    CHECK_FALSE(contains(heard, "POST"));
    CHECK(server.connections() == 1);
}

TEST_CASE("a handshake that stalls ends at its time, or at that of all, or when it is cancelled", "[F046]") {
    asio::io_context context;
    bool over = false;
    loopback::Server server{context, [&](loopback::Peer&) -> asio::awaitable<void> {
                                while (!over) co_await asio::post(asio::use_awaitable);
                            }};
    Client client{context, trusting_house()};
    const auto connection = client.start("search.example", server.port());
    client.until([&] { return server.open_connections() == 1; });
    const auto spin = [&] {
        for (int i = 0; i < 100; ++i) {
            context.restart();
            context.poll_one();
        }
    };
    spin();
    ManualClock::advance(2999ms);
    spin();
    CHECK_FALSE(connection->opened);
    SECTION("time") {
        ManualClock::advance(1ms);
        client.until([&] { return connection->opened.has_value(); });
        CHECK(connection->opened->error == error_code{errc::handshake_timeout});
    }
    SECTION("cancelled") {
        connection->stop.emit(asio::cancellation_type::terminal);
        client.until([&] { return connection->opened.has_value(); });
        CHECK(connection->opened->error == error_code{asio::error::operation_aborted});
    }
    SECTION("closed by our side") {
        abort_stream(connection->stream);
        client.until([&] { return connection->opened.has_value(); });
        CHECK(connection->opened->error == error_code{asio::error::operation_aborted});
    }
    over = true;
    client.until([&] { return server.open_connections() == 0; });
}

TEST_CASE("a server that wants a client certificate: told, whenever it says so, and nothing counts as sent",
          "[F046][F166]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(version);
    asio::io_context context;
    Server server{
        context, {.identity = house.server, .client_authority = house.authority, .highest_version = version}, obliging};
    const bool of_a_stranger = GENERATE(false, true);
    CAPTURE(of_a_stranger);
    const Files files;
    auto options = trusting_house();
    if (of_a_stranger) {
        const auto client = certificates::make({.common_name = "client", .issuer = &house.stranger});
        options.certificate_file = files.put("client.pem", client.pem() + client.key_pem());
    }
    Client client{context, options};
    const auto connection = client.connect("search.example", server.port());
    error_code error = connection->opened->error;
    std::string detail = connection->opened->detail;
    if (version == TLS1_3_VERSION) { // there, the client is done before the server has looked
        CHECK_FALSE(error);
        const auto& reply = client.ask(*connection);
        CHECK(reply.sent == Sent::none);
        error = reply.error;
        detail = reply.detail;
    }
    CHECK(error == error_code{errc::handshake_failed});
    CHECK(contains(detail, of_a_stranger ? "does not accept our client certificate (unknown CA)"
                                         : "set TlsOptions::certificate_file and key_file"));
    CHECK(server.handshakes() == 0);
}

TEST_CASE("a client certificate is shown to who asks for it", "[F166]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(version);
    const tls_loopback::Options server{
        .identity = house.server, .client_authority = house.authority, .highest_version = version};
    const Files files;
    auto options = trusting_house();
    SECTION("in one file with its key") {
        options.certificate_file = files.put("client.pem", house.client.pem() + house.client.key_pem());
    }
    SECTION("in two files") {
        options.certificate_file = files.put("client.pem", house.client.pem());
        options.key_file = files.put("key.pem", house.client.key_pem());
    }
    SECTION("with a password") {
        options.certificate_file = files.put("client.pem", house.client.pem());
        options.key_file = files.put("key.pem", house.client.key_pem("hunter2"));
        options.key_password = "hunter2";
    }
    SECTION("with a password in a file") {
        options.certificate_file = files.put("client.pem", house.client.pem());
        options.key_file = files.put("key.pem", house.client.key_pem("hunter2"));
        options.key_password = SecretSource::file(files.put("password", "hunter2\n"));
    }
    SECTION("with what leads to its authority") {
        const auto client = certificates::make({.common_name = "client", .issuer = &house.intermediate});
        options.certificate_file = files.put("client.pem", client.pem() + house.intermediate.pem() + client.key_pem());
    }
    CHECK(accepted(server, options).empty());
}

TEST_CASE("a fingerprint pins a certificate of the chain, and the rest is still verified", "[F166]") {
    const auto pinned = [](const Identity& identity, const std::string& separator = {}) {
        TlsOptions options;
        options.ca_fingerprint = identity.fingerprint(separator);
        return options;
    };
    const tls_loopback::Options with_authority{.identity = house.server, .chain = {house.authority}};
    CHECK(accepted(with_authority, pinned(house.authority)).empty());
    CHECK(accepted(with_authority, pinned(house.authority, ":")).empty());
    INFO("the server's own certificate, alone or with its chain");
    CHECK(accepted(with_authority, pinned(house.server)).empty());
    CHECK(accepted({.identity = house.server}, pinned(house.server)).empty());
    INFO("one in the middle");
    const auto below =
        certificates::make({.common_name = "server", .names = "DNS:search.example", .issuer = &house.intermediate});
    const std::vector<Identity> whole{house.intermediate, house.authority};
    CHECK(accepted({.identity = below, .chain = whole}, pinned(house.intermediate)).empty());
    CHECK(accepted({.identity = below, .chain = whole}, pinned(house.authority)).empty());

    INFO("another one");
    CHECK(contains(distrusted(house.server, pinned(house.stranger), "search.example", {house.authority}),
                   "none of the 2 certificates that the server sent"));
    INFO("one that the server does not send");
    CHECK(contains(distrusted(house.server, pinned(house.authority)), "none of the 1 certificates"));
    INFO("one that is sent, but has not signed the server's");
    CHECK_FALSE(
        distrusted(house.server, pinned(house.stranger), "search.example", {house.authority, house.stranger}).empty());
    const auto impostor = certificates::make({.common_name = "server", .names = "DNS:search.example"});
    CHECK_FALSE(distrusted(impostor, pinned(house.authority), "search.example", {house.authority}).empty());
    INFO("the wrong host");
    CHECK(contains(distrusted(house.server, pinned(house.authority), "other.example", {house.authority}),
                   "not for other.example"));
    CHECK(contains(distrusted(house.server, pinned(house.server), "other.example"), "not for other.example"));
    INFO("expired");
    const auto old = certificates::make(
        {.common_name = "old", .names = "DNS:search.example", .from = -7200, .until = -60, .issuer = &house.authority});
    CHECK(contains(distrusted(old, pinned(house.authority), "search.example", {house.authority}), "has expired"));
    CHECK(contains(distrusted(old, pinned(old), "search.example", {house.authority}), "has expired"));
}

TEST_CASE("older versions, and ciphers without encryption or authentication, are refused", "[F167]") {
    SECTION("TLS 1.1 and older") {
        const auto opened = refused({.identity = house.server,
                                     .lowest_version = TLS1_VERSION,
                                     .highest_version = TLS1_1_VERSION,
                                     .security_level = 0},
                                    trusting_house());
        CHECK(opened.error == error_code{errc::handshake_failed});
        CHECK(contains(opened.detail, "no TLS of version 1.2 or newer"));
    }
    SECTION("no encryption, or no authentication") {
        const std::string ciphers = GENERATE("eNULL", "aNULL");
        const auto opened = refused(
            {.identity = house.server, .highest_version = TLS1_2_VERSION, .security_level = 0, .ciphers = ciphers},
            trusting_house());
        CHECK(opened.error == error_code{errc::handshake_failed});
        CHECK(contains(opened.detail, "refuses the TLS handshake (handshake failure)"));
    }
    SECTION("TLS 1.2 is still taken") {
        CHECK(accepted({.identity = house.server, .highest_version = TLS1_2_VERSION}, trusting_house()).empty());
    }
}

TEST_CASE("without verification everybody is spoken to: only where it is asked for by its loud name", "[F046]") {
    CHECK(TlsOptions{}.verification == TlsVerification::full);
    TlsOptions options;
    options.verification = TlsVerification::none_this_is_insecure;
    const auto old =
        certificates::make({.common_name = "itself", .names = "DNS:elsewhere", .from = -7200, .until = -60});
    CHECK(accepted({.identity = old}, options).empty());
    CHECK(accepted({.identity = old}, options, "127.0.0.1").empty());
}

TEST_CASE("options that cannot be are refused at construction, by name", "[F166]") {
    const Files files;
    const auto refusal = [](const TlsOptions& options) -> std::string {
        try {
            const TlsConnector<> connector{options};
        } catch (const InvalidOption& wrong) {
            return wrong.error().field + "|" + wrong.what();
        }
        return {};
    };
    const auto starts = [](const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; };
    CHECK(refusal({}).empty());

    TlsOptions o;
    o.ca_file = files.path("missing.pem");
    CHECK(starts(refusal(o), "ca_file|"));
    CHECK(contains(refusal(o), "No such file"));
    o.ca_file = files.put("empty.pem", "");
    CHECK(starts(refusal(o), "ca_file|"));
    o.ca_file = files.put("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    CHECK(starts(refusal(o), "ca_file|"));
    o.ca_file = files.put("key.pem", house.authority.key_pem());
    CHECK(starts(refusal(o), "ca_file|"));
    o.ca_file = files.put("ca.pem", house.authority.pem() + house.stranger.pem());
    CHECK(refusal(o).empty());

    o = {};
    o.ca_pem = "nothing of the kind";
    CHECK(starts(refusal(o), "ca_pem|"));
    o.ca_pem = house.authority.pem() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    CHECK(starts(refusal(o), "ca_pem|"));
    o.ca_pem = house.authority.pem() + house.stranger.pem() + "a remark\n";
    CHECK(refusal(o).empty());

    const auto good = house.authority.fingerprint();
    const auto with_colons = house.authority.fingerprint(":");
    for (const auto& bad :
         {good.substr(1), good + "0", good.substr(0, 63) + "g", with_colons.substr(1), with_colons + ":",
          std::string(64, ' '), good.substr(0, 62) + ":a", std::string(95, ':'), "sha256:" + good, std::string{"0"}}) {
        o = {};
        o.ca_fingerprint = bad;
        CAPTURE(bad);
        CHECK(starts(refusal(o), "ca_fingerprint|"));
    }
    o.ca_fingerprint = good;
    CHECK(refusal(o).empty());
    o.ca_pem = house.authority.pem();
    CHECK(starts(refusal(o), "ca_fingerprint|"));
    o.verification = TlsVerification::none_this_is_insecure;
    o.ca_fingerprint.clear();
    CHECK(starts(refusal(o), "verification|"));

    o = {};
    o.key_file = files.put("key.pem", house.client.key_pem());
    CHECK(starts(refusal(o), "certificate_file|"));
    o.certificate_file = files.path("missing.pem");
    CHECK(starts(refusal(o), "certificate_file|"));
    o.certificate_file = files.put("client.pem", house.client.pem());
    CHECK(refusal(o).empty());
    o.key_file = files.put("other-key.pem", house.server.key_pem());
    CHECK(starts(refusal(o), "key_file|"));
    CHECK(contains(refusal(o), "mismatch"));
    const Identity of_another_kind{{}, {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), &EVP_PKEY_free}};
    o.key_file = files.put("ed25519.pem", of_another_kind.key_pem());
    CHECK(starts(refusal(o), "key_file|"));
    o.key_file.clear();
    CHECK(starts(refusal(o), "certificate_file|"));
    INFO("a password that is missing, or wrong, is not asked for on a terminal");
    o.key_file = files.put("locked.pem", house.client.key_pem("hunter2"));
    CHECK(starts(refusal(o), "key_file|"));
    o.key_password = "hunter3";
    CHECK(starts(refusal(o), "key_file|"));
    CHECK_FALSE(contains(refusal(o), "hunter3"));
    o.key_password = "hunter2";
    CHECK(refusal(o).empty());
    o.key_password = SecretSource::file(files.path("missing"));
    CHECK(starts(refusal(o), "key_password|"));
    CHECK(contains(refusal(o), "missing"));

    o = {};
    o.server_name = "a b";
    CHECK(starts(refusal(o), "server_name|"));
    o.server_name = std::string(254, 'a');
    CHECK(starts(refusal(o), "server_name|"));
}
