// SPDX-License-Identifier: BSL-1.0
// Certificates in files that are replaced while connections come and go.
#include "support/catch.hpp"
#include "tls/client.hpp"

using namespace tls_client;
using tls_loopback::Server;
using tls_loopback::ServerEnd;

namespace {

/// One server after the other at one port, and what the client was told of its files.
struct Renewal {
    explicit Renewal(const tls_loopback::Options& first) {
        server.emplace(context, first, script());
        port = server->port();
    }
    void serve(const tls_loopback::Options& next) {
        connection.reset();
        server.reset();
        test::run_ready(context);
        server.emplace(context, next, script(), port);
    }
    Server::Script script() {
        return [this](ServerEnd& end) -> asio::awaitable<void> {
            resumed.push_back(end.resumed());
            const std::unique_ptr<X509, decltype(&X509_free)> shown{SSL_get1_peer_certificate(end.ssl()), &X509_free};
            subjects.push_back(shown ? detail::subject_of(shown.get()) : "");
            co_await obliging(end);
        };
    }
    TlsOptions heard(TlsOptions options) {
        options.on_files_changed = [this](const std::string& problem) { told.push_back(problem); };
        return options;
    }
    /// Connects anew and asks; the error, if any, and what was said of it in `said`.
    error_code ask(Client<>& client) {
        connection = client.connect("search.example", port);
        said = connection->opened->detail;
        if (connection->opened->error) return connection->opened->error;
        const auto reply = client.ask(*connection);
        if (reply.error) said = reply.detail;
        return reply.error;
    }

    asio::io_context context;
    std::optional<Server> server;
    std::uint16_t port = 0;
    std::unique_ptr<Client<>::Connection> connection;
    std::vector<bool> resumed;
    std::vector<std::string> subjects; ///< of clients' certificates
    std::vector<std::string> told;
    std::string said;
};

} // namespace

TEST_CASE("an authority that is replaced in its file is trusted, and the one before is not", "[F225]") {
    const Files files;
    const auto renewed =
        certificates::make({.common_name = "renewed", .names = "DNS:search.example", .issuer = &house.stranger});
    TlsOptions options;
    options.ca_file = files.put("ca.pem", house.authority.pem());
    Renewal life{{.identity = house.server}};
    Client client{life.context, life.heard(options)};
    CHECK_FALSE(life.ask(client));
    CHECK_FALSE(life.ask(client));
    CHECK(life.resumed == std::vector<bool>{false, true});
    CHECK(life.told.empty());

    life.serve({.identity = renewed});
    CHECK(life.ask(client) == error_code{errc::untrusted_certificate});
    files.put("ca.pem", house.authority.pem() + house.stranger.pem());
    CHECK_FALSE(life.ask(client));
    CHECK(life.told == std::vector<std::string>{""});

    life.serve({.identity = house.server});
    CHECK_FALSE(life.ask(client));
    files.put("ca.pem", house.stranger.pem());
    CHECK(life.ask(client) == error_code{errc::untrusted_certificate});
    CHECK(life.told == std::vector<std::string>(2, ""));
}

TEST_CASE("a session that was agreed under other files is not resumed", "[F225]") {
    const Files files;
    TlsOptions options;
    options.ca_file = files.put("ca.pem", house.authority.pem());
    Renewal life{{.identity = house.server}};
    Client client{life.context, life.heard(options)};
    CHECK_FALSE(life.ask(client));
    files.put("ca.pem", house.stranger.pem());
    CHECK(life.ask(client) == error_code{errc::untrusted_certificate}); // a session would have been enough
    files.put("ca.pem", house.authority.pem());
    CHECK_FALSE(life.ask(client));
    CHECK_FALSE(life.ask(client));
    CHECK(life.resumed == std::vector<bool>{false, false, true});
}

TEST_CASE("a file that does not parse leaves the old one in use, and is told once", "[F226]") {
    const Files files;
    TlsOptions options;
    options.ca_file = files.put("ca.pem", house.authority.pem());
    Renewal life{{.identity = house.server}};
    Client client{life.context, life.heard(options)};
    const std::string broken = GENERATE("", "no certificate at all\n", "-----BEGIN CERTIFICATE-----\nMII");
    const bool gone = GENERATE(false, true);
    CAPTURE(broken, gone);
    files.put("ca.pem", broken);
    if (gone) std::filesystem::remove(files.path("ca.pem"));
    for (int i = 0; i < 3; ++i) CHECK_FALSE(life.ask(client));
    REQUIRE(life.told.size() == 1);
    CHECK(contains(life.told[0], "ca_file"));
    CHECK(contains(life.told[0], "ca.pem"));
    INFO("what fails meanwhile says that the files are not in use");
    life.serve({.identity = certificates::make(
                    {.common_name = "x", .names = "DNS:search.example", .issuer = &house.stranger})});
    CHECK(life.ask(client) == error_code{errc::untrusted_certificate});
    CHECK(contains(life.said, "the old ones are in use"));
    files.put("ca.pem", house.stranger.pem());
    CHECK_FALSE(life.ask(client));
    CHECK(life.told.back().empty());
    CHECK(life.told.size() == 2);
}

TEST_CASE("a client certificate is renewed with its key, and not before", "[F225][F226]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(version);
    const Files files;
    const auto next = certificates::make({.common_name = "next", .issuer = &house.authority});
    auto options = trusting_house();
    options.certificate_file = files.put("client.pem", house.client.pem());
    options.key_file = files.put("key.pem", house.client.key_pem());
    Renewal life{{.identity = house.server, .client_authority = house.authority, .highest_version = version}};
    Client client{life.context, life.heard(options)};
    CHECK_FALSE(life.ask(client));
    files.put("client.pem", next.pem());
    CHECK_FALSE(life.ask(client));
    REQUIRE(life.told.size() == 1);
    CHECK(contains(life.told[0], "key"));
    CHECK(life.subjects == std::vector<std::string>(2, "CN=client"));
    files.put("key.pem", next.key_pem());
    CHECK_FALSE(life.ask(client));
    CHECK(life.subjects.back() == "CN=next");
    CHECK(life.told.size() == 2);
    CHECK(life.told.back().empty());
}

TEST_CASE("a key and its password are renewed one after the other", "[F226]") {
    const Files files;
    const auto next = certificates::make({.common_name = "next", .issuer = &house.authority});
    auto options = trusting_house();
    options.certificate_file = files.put("client.pem", house.client.pem() + house.client.key_pem("hunter2"));
    options.key_password = SecretSource::file(files.put("password", "hunter2"));
    Renewal life{{.identity = house.server, .client_authority = house.authority}};
    Client client{life.context, life.heard(options)};
    CHECK_FALSE(life.ask(client));
    files.put("client.pem", next.pem() + next.key_pem("hunter3"));
    for (int i = 0; i < 2; ++i) CHECK_FALSE(life.ask(client));
    CHECK(life.subjects.back() == "CN=client");
    CHECK(life.told.size() == 1);
    CHECK_FALSE(contains(life.told[0], "hunter"));
    files.put("password", "hunter3");
    CHECK_FALSE(life.ask(client));
    CHECK(life.subjects.back() == "CN=next");
    CHECK(life.told.size() == 2);
}

TEST_CASE("a hook of the files that throws does no harm", "[F226]") {
    const Files files;
    TlsOptions options;
    options.ca_file = files.put("ca.pem", house.authority.pem());
    options.on_files_changed = [](const std::string&) { throw std::runtime_error{"a logger that failed"}; };
    Renewal life{{.identity = house.server}};
    Client client{life.context, options};
    files.put("ca.pem", house.authority.pem() + house.stranger.pem());
    CHECK_FALSE(life.ask(client));
}

TEST_CASE("a fingerprint counts to its last digit", "[F229]") {
    using detail::parse_fingerprint;
    const auto text = house.authority.fingerprint();
    const auto right = parse_fingerprint(text);
    REQUIRE(right);
    asio::io_context context;
    Server server{context, {.identity = house.server, .chain = {house.authority}}, obliging};
    for (const std::size_t at :
         {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32}, std::size_t{62}, std::size_t{63}}) {
        CAPTURE(at);
        TlsOptions options;
        options.ca_fingerprint = text;
        options.ca_fingerprint[at] = options.ca_fingerprint[at] == '0' ? '1' : '0';
        CHECK(parse_fingerprint(options.ca_fingerprint) != right);
        Client client{context, options};
        const auto connection = client.connect("search.example", server.port());
        CHECK(connection->opened->error == error_code{errc::untrusted_certificate});
    }
}

TEST_CASE("a fingerprint is 64 hexadecimal digits, with all colons or none", "[F229]") {
    using detail::parse_fingerprint;
    std::string plain;
    std::string colons;
    detail::Fingerprint bytes{};
    for (unsigned i = 0; i < 32; ++i) {
        constexpr std::string_view digits = "0123456789aBcDeF";
        bytes[i] = static_cast<unsigned char>(i * 37 % 256);
        const std::string pair{digits[bytes[i] / 16], digits[bytes[i] % 16]};
        plain += pair;
        colons += (i == 0 ? "" : ":") + pair;
    }
    CHECK(parse_fingerprint(plain) == bytes);
    CHECK(parse_fingerprint(colons) == bytes);
    for (const auto& text : {plain, colons})
        for (std::size_t i = 0; i < text.size(); ++i) {
            auto wrong = text;
            wrong[i] = text[i] == ':' ? '-' : 'g';
            CHECK_FALSE(parse_fingerprint(wrong));
            CHECK_FALSE(parse_fingerprint(text.substr(0, i)));
        }
    CHECK_FALSE(parse_fingerprint(plain + "0"));
    CHECK_FALSE(parse_fingerprint(plain + "00"));
    CHECK_FALSE(parse_fingerprint(colons + ":"));
    CHECK_FALSE(parse_fingerprint(" " + plain));
}
