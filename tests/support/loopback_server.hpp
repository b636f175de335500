// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A server on loopback that says exactly the bytes it is told to, on the test's own `io_context`.
namespace loopback {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

struct Request {
    std::string head; ///< with its empty line
    std::string body;
};

/// The server's end of one connection.
class Peer {
public:
    Peer(tcp::socket socket, std::size_t number) : socket_{std::move(socket)}, number_{number} {}

    [[nodiscard]] std::size_t number() const noexcept { return number_; } ///< 1 for the first connection

    /// Up to and including the empty line; empty when the client has closed.
    asio::awaitable<std::string> head() {
        error_code error;
        const auto size = co_await asio::async_read_until(socket_, asio::dynamic_buffer(input_), "\r\n\r\n",
                                                          asio::redirect_error(asio::use_awaitable, error));
        std::string head = error ? std::string{} : input_.substr(0, size);
        input_.erase(0, head.size());
        co_return head;
    }
    asio::awaitable<Request> request() {
        Request request;
        request.head = co_await head();
        const auto field = request.head.find("Content-Length: ");
        if (field == std::string::npos) co_return request;
        const std::size_t size = std::stoul(request.head.substr(field + 16));
        if (input_.size() < size) {
            error_code error;
            co_await asio::async_read(socket_, asio::dynamic_buffer(input_),
                                      asio::transfer_exactly(size - input_.size()),
                                      asio::redirect_error(asio::use_awaitable, error));
        }
        request.body = input_.substr(0, size);
        input_.erase(0, size);
        co_return request;
    }
    /// What has come and is not read yet, or the next that comes; empty when the client has closed.
    asio::awaitable<std::string> some() {
        std::string bytes(std::size_t{64} << 10, '\0');
        error_code error;
        const auto size =
            co_await socket_.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
        bytes.resize(size);
        co_return bytes;
    }
    asio::awaitable<void> say(std::string bytes) {
        error_code error;
        co_await asio::async_write(socket_, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
    }
    /// Until the client has closed the connection.
    asio::awaitable<void> wait_for_close() {
        error_code error;
        std::string rest;
        co_await asio::async_read(socket_, asio::dynamic_buffer(rest),
                                  asio::redirect_error(asio::use_awaitable, error));
    }
    /// Hangs up with a reset instead of an orderly end.
    void reset() {
        error_code ignored;
        socket_.set_option(asio::socket_base::linger{true, 0}, ignored);
        socket_.close(ignored);
    }

private:
    tcp::socket socket_;
    std::size_t number_;
    std::string input_;
};

/// Each connection is served by `script`, and closed when it returns.
class Server {
public:
    using Script = std::function<asio::awaitable<void>(Peer&)>;

    Server(asio::io_context& context, Script script)
        : acceptor_{context, tcp::endpoint{asio::ip::address_v4::loopback(), 0}}, script_{std::move(script)} {
        asio::co_spawn(context, accept(), asio::detached);
    }
    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
    [[nodiscard]] std::size_t connections() const noexcept { return connections_; }
    [[nodiscard]] std::size_t open_connections() const noexcept { return open_; }

private:
    asio::awaitable<void> accept() {
        for (;;) {
            error_code error;
            tcp::socket socket{acceptor_.get_executor()};
            co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
            if (error) co_return;
            ++connections_;
            asio::co_spawn(acceptor_.get_executor(), serve(Peer{std::move(socket), connections_}), asio::detached);
        }
    }
    asio::awaitable<void> serve(Peer peer) {
        ++open_;
        co_await script_(peer);
        --open_;
    }

    tcp::acceptor acceptor_;
    Script script_;
    std::size_t connections_ = 0;
    std::size_t open_ = 0;
};

} // namespace loopback
