// SPDX-License-Identifier: BSL-1.0
#include "server_api.hpp"

#include "failure.hpp"

#include <bulkhead/request_target.hpp>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>
#include <boost/url/parse.hpp>

namespace replay {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

/// The first line of what the server said, short enough for a message.
std::string excerpt(const std::string& body) {
    auto text = body.substr(0, std::min<std::size_t>(body.find('\n'), 200));
    for (auto& c : text)
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    return text.empty() ? "no explanation" : text;
}

} // namespace

ServerApi::ServerApi(std::string url, std::chrono::milliseconds timeout) : url_{std::move(url)}, timeout_{timeout} {
    const auto parsed = boost::urls::parse_uri(url_);
    if (!parsed) throw UsageError{"--url: " + url_ + " is not a URL"};
    host_ = parsed->host_address();
    port_ = parsed->has_port() ? std::string{parsed->port()} : "80";
    path_ = std::string{parsed->encoded_path()};
    while (!path_.empty() && path_.back() == '/') path_.pop_back();
}

void ServerApi::check_reachable() const {
    const auto answer = request("GET", "/");
    if (answer.status >= 500) fail("is not well", answer);
}

std::uint64_t ServerApi::count(const std::string& index) const {
    const auto answer = request("GET", "/" + bulkhead::percent_encoded(index) + "/_count");
    if (answer.status == 404) return 0;
    boost::json::error_code error;
    const auto value = boost::json::parse(answer.body, error);
    const auto* const object = answer.status == 200 && !error ? value.if_object() : nullptr;
    const auto* const number = object != nullptr ? object->if_contains("count") : nullptr;
    if (number == nullptr || !number->is_int64()) fail("does not count " + index, answer);
    return static_cast<std::uint64_t>(number->get_int64());
}

void ServerApi::refresh(const std::string& index) const {
    const auto answer = request("POST", "/" + bulkhead::percent_encoded(index) + "/_refresh");
    if (answer.status >= 300 && answer.status != 404) fail("does not refresh " + index, answer);
}

void ServerApi::put_index_template(const std::string& name, std::string_view body) const {
    const auto answer = request("PUT", "/_index_template/" + bulkhead::percent_encoded(name), body);
    if (answer.status >= 300) fail("does not take the index template " + name, answer);
}

ServerApi::Answer ServerApi::request(const char* method, const std::string& path, std::string_view body) const {
    asio::io_context context;
    boost::system::error_code error;
    asio::ip::tcp::resolver resolver{context};
    const auto endpoints = resolver.resolve(host_, port_, error);
    if (error)
        throw Failure{"search server " + url_ + ": cannot resolve " + host_ + ": " + error.message(), exit_search};

    beast::tcp_stream stream{context};
    http::request<http::string_body> request{http::string_to_verb(method), path_ + path, 11};
    request.set(http::field::host, host_ + ":" + port_);
    request.set(http::field::accept, "application/json");
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = body;
    request.prepare_payload();
    beast::flat_buffer buffer;
    http::response<http::string_body> response;

    const char* doing = "cannot be reached";
    stream.expires_after(timeout_);
    stream.async_connect(endpoints, [&](boost::system::error_code failed, const asio::ip::tcp::endpoint&) {
        error = failed;
        if (error) return;
        doing = "broke off";
        http::async_write(stream, request, [&](boost::system::error_code write_failed, std::size_t) {
            error = write_failed;
            if (error) return;
            http::async_read(stream, buffer, response,
                             [&](boost::system::error_code read_failed, std::size_t) { error = read_failed; });
        });
    });
    context.run();
    if (error) {
        const auto why = error == beast::error::timeout ? "no answer in " + std::to_string(timeout_.count()) + " ms"
                                                        : error.message();
        throw Failure{"search server " + url_ + " " + doing + ": " + why, exit_search};
    }
    return {response.result_int(), std::move(response.body())};
}

void ServerApi::fail(const std::string& what, const Answer& answer) const {
    throw Failure{"search server " + url_ + " " + what + ": status " + std::to_string(answer.status) + ": " +
                  excerpt(answer.body)};
}

} // namespace replay
