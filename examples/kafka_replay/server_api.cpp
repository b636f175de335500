// SPDX-License-Identifier: BSL-1.0
#include "server_api.hpp"

#include "failure.hpp"
#include "tool/server_options.hpp"

#include <boost/asio/use_future.hpp>
#include <boost/json/parse.hpp>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

#include <algorithm>
#include <utility>

namespace replay {

namespace {

namespace asio = boost::asio;

/// The first line of what the server said, short enough for a message.
std::string excerpt(const std::string& body) {
    const auto text = bulkhead::printable(body.substr(0, std::min<std::size_t>(body.find('\n'), 200)));
    return text.empty() ? "no explanation" : text;
}

std::string percent_encoded(const std::string& text) {
    return boost::urls::encode(text, boost::urls::unreserved_chars);
}

/// An answer's text; too much of it ends the answer.
struct KeptText final : bulkhead::AnswerSink {
    bool on_body(std::string_view bytes) override {
        constexpr std::size_t max_bytes = std::size_t{1} << 20;
        if (text.size() + bytes.size() > max_bytes) return false;
        text.append(bytes);
        return true;
    }
    std::string text;
};

asio::awaitable<bulkhead::Reply> ask(SearchTransport transport, std::uint32_t node, bulkhead::Question question,
                                     std::chrono::milliseconds timeout, bulkhead::AnswerSink& sink) {
    bulkhead::Reply reply = co_await transport.ask(node, std::move(question), timeout, sink);
    co_return reply;
}

} // namespace

ServerApi::ServerApi(asio::any_io_executor executor, SearchTransport transport, std::chrono::milliseconds timeout)
    : executor_{std::move(executor)}, transport_{std::move(transport)}, timeout_{timeout} {}

bulkhead::ServerReport ServerApi::check_one(const std::string& index) {
    return bulkhead::async_check(executor_, transport_, index, timeout_, asio::use_future).get();
}

std::uint64_t ServerApi::count(const std::string& index) {
    const auto answer = request("GET", "/" + percent_encoded(index) + "/_count");
    if (answer.status == 404) return 0;
    boost::system::error_code error;
    const auto value = boost::json::parse(answer.body, error);
    const auto* const object = answer.status == 200 && !error ? value.if_object() : nullptr;
    const auto* const number = object != nullptr ? object->if_contains("count") : nullptr;
    if (number == nullptr || !number->is_int64()) fail("does not count " + index, answer);
    return static_cast<std::uint64_t>(number->get_int64());
}

void ServerApi::refresh(const std::string& index) {
    const auto answer = request("POST", "/" + percent_encoded(index) + "/_refresh");
    if (answer.status >= 300 && answer.status != 404) fail("does not refresh " + index, answer);
}

void ServerApi::put_index_template(const std::string& name, std::string_view body) {
    const auto answer = request("PUT", "/_index_template/" + percent_encoded(name), body);
    if (answer.status >= 300) fail("does not take the index template " + name, answer);
}

ServerApi::Answer ServerApi::request(const char* method, const std::string& target, std::string_view body) {
    std::string problem;
    for (std::uint32_t node = 0; node < transport_.node_count(); ++node) {
        const auto& name = transport_.node_name(node);
        KeptText kept;
        bulkhead::Question question{method, target, std::string{body}};
        const auto reply =
            asio::co_spawn(executor_, ask(transport_, node, std::move(question), timeout_, kept), asio::use_future)
                .get();
        if (!reply.error) return {name, reply.status, std::move(kept.text)};
        problem = reply.detail.empty() ? name + ": " + reply.error.message() : reply.detail;
        if (reply.sent != bulkhead::Sent::none) break;
    }
    fail(problem);
}

void ServerApi::fail(const std::string& problem) {
    throw Failure{"search server " + tool::in_our_options(problem), exit_search};
}

void ServerApi::fail(const std::string& what, const Answer& answer) {
    throw Failure{"search server " + answer.node + " " + what + ": status " + std::to_string(answer.status) + ": " +
                  excerpt(answer.body)};
}

} // namespace replay
