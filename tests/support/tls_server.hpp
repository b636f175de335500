// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support/certificates.hpp"
#include "support/loopback_server.hpp"

#include <boost/asio/ssl.hpp>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The loopback server behind TLS, by Asio's own stream and so by other code than what is tested.
namespace tls_loopback {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using certificates::Identity;
using loopback::Request;

struct Options {
    Identity identity;
    std::vector<Identity> chain{};              ///< sent along, without the identity itself
    std::optional<Identity> client_authority{}; ///< clients must have a certificate of it
    int lowest_version = 0;
    int highest_version = 0;
    int security_level = 2;
    std::string ciphers{}; ///< those of TLS 1.2
    /// The last word, before the first connection.
    std::function<void(SSL_CTX*)> tune{};
};

/// The server's end of one connection, its handshake done.
class ServerEnd {
public:
    using Stream = asio::ssl::stream<tcp::socket>;
    ServerEnd(Stream stream, std::size_t number) : stream_{std::move(stream)}, number_{number} {}

    [[nodiscard]] std::size_t number() const noexcept { return number_; } ///< 1 for the first connection
    [[nodiscard]] SSL* ssl() noexcept { return stream_.native_handle(); }
    [[nodiscard]] Stream& stream() noexcept { return stream_; }
    [[nodiscard]] bool resumed() noexcept { return SSL_session_reused(ssl()) == 1; }
    /// The name that the client asked for; empty when it asked for none.
    [[nodiscard]] std::string asked_for() {
        const auto* const name = SSL_get_servername(ssl(), TLSEXT_NAMETYPE_host_name);
        return name == nullptr ? std::string{} : std::string{name};
    }

    asio::awaitable<Request> request() {
        Request request;
        error_code error;
        const auto size = co_await asio::async_read_until(stream_, asio::dynamic_buffer(input_), "\r\n\r\n",
                                                          asio::redirect_error(asio::use_awaitable, error));
        ended = error;
        if (error) co_return request;
        request.head = input_.substr(0, size);
        input_.erase(0, size);
        const auto field = request.head.find("Content-Length: ");
        if (field == std::string::npos) co_return request;
        const std::size_t length = std::stoul(request.head.substr(field + 16));
        if (input_.size() < length) {
            co_await asio::async_read(stream_, asio::dynamic_buffer(input_),
                                      asio::transfer_exactly(length - input_.size()),
                                      asio::redirect_error(asio::use_awaitable, error));
            ended = error;
        }
        request.body = input_.substr(0, length);
        input_.erase(0, request.body.size());
        co_return request;
    }
    asio::awaitable<void> say(std::string bytes) {
        error_code error;
        co_await asio::async_write(stream_, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
    }
    /// Until the client has ended the connection; how, is in `ended`.
    asio::awaitable<void> wait_for_close() {
        std::string rest;
        error_code error;
        co_await asio::async_read(stream_, asio::dynamic_buffer(rest),
                                  asio::redirect_error(asio::use_awaitable, error));
        ended = error;
    }
    /// Says that this is the end (`close_notify`), and does not wait for an answer.
    void say_goodbye() {
        error_code ignored;
        stream_.next_layer().non_blocking(true, ignored);
        stream_.shutdown(ignored);
    }
    void reset() {
        error_code ignored;
        stream_.next_layer().set_option(asio::socket_base::linger{true, 0}, ignored);
        stream_.next_layer().close(ignored);
    }

    error_code ended; ///< what ended the last read

private:
    Stream stream_;
    std::size_t number_;
    std::string input_;
};

/// Each connection whose handshake succeeds is served by `script`, and closed when it returns.
class Server {
public:
    using Script = std::function<asio::awaitable<void>(ServerEnd&)>;

    Server(asio::io_context& context, const Options& options, Script script, std::uint16_t port = 0)
        : tls_{asio::ssl::context::tls_server},
          acceptor_{context, tcp::endpoint{asio::ip::address_v4::loopback(), port}}, script_{std::move(script)} {
        auto* const c = tls_.native_handle();
        SSL_CTX_set_security_level(c, options.security_level);
        using certificates::must;
        must(SSL_CTX_use_certificate(c, options.identity.certificate.get()) == 1, "the server's certificate");
        must(SSL_CTX_use_PrivateKey(c, options.identity.key.get()) == 1, "the server's key");
        for (const auto& one : options.chain) must(SSL_CTX_add1_chain_cert(c, one.certificate.get()) == 1, "a chain");
        SSL_CTX_set_min_proto_version(c, options.lowest_version);
        SSL_CTX_set_max_proto_version(c, options.highest_version);
        if (!options.ciphers.empty()) must(SSL_CTX_set_cipher_list(c, options.ciphers.c_str()) == 1, "ciphers");
        static constexpr unsigned char id[] = "test";
        SSL_CTX_set_session_id_context(c, id, sizeof id);
        if (options.client_authority) {
            X509_STORE_add_cert(SSL_CTX_get_cert_store(c), options.client_authority->certificate.get());
            SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
        }
        if (options.tune) options.tune(c);
        asio::co_spawn(context, accept(), asio::detached);
    }
    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    [[nodiscard]] std::size_t connections() const noexcept { return connections_; }
    [[nodiscard]] std::size_t handshakes() const noexcept { return handshakes_; } ///< that succeeded
    [[nodiscard]] std::size_t open_connections() const noexcept { return open_; }
    /// What the last handshake failed by.
    [[nodiscard]] const error_code& failure() const noexcept { return failure_; }

private:
    asio::awaitable<void> accept() {
        for (;;) {
            error_code error;
            tcp::socket socket{acceptor_.get_executor()};
            co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
            if (error) co_return;
            socket.set_option(tcp::no_delay{true}, error); // what was said is there at once
            ++connections_;
            asio::co_spawn(acceptor_.get_executor(), serve(ServerEnd::Stream{std::move(socket), tls_}, connections_),
                           asio::detached);
        }
    }
    asio::awaitable<void> serve(ServerEnd::Stream stream, std::size_t number) {
        ++open_;
        error_code error;
        co_await stream.async_handshake(asio::ssl::stream_base::server,
                                        asio::redirect_error(asio::use_awaitable, error));
        if (error) {
            failure_ = error;
        } else {
            ++handshakes_;
            ServerEnd peer{std::move(stream), number};
            co_await script_(peer);
        }
        --open_;
    }

    asio::ssl::context tls_;
    tcp::acceptor acceptor_;
    Script script_;
    std::size_t connections_ = 0;
    std::size_t handshakes_ = 0;
    std::size_t open_ = 0;
    error_code failure_;
};

} // namespace tls_loopback
