// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/request_target.hpp>
#include <bulkhead/http/http_transport.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Whether a cluster can be written to, asked before anything is: reachable, which product, credentials, index.
namespace bulkhead::inline v1 {

/// Which server answers.
enum class Product : std::uint8_t { unknown, elasticsearch, opensearch };
/// Its name as in the documentation.
[[nodiscard]] constexpr std::string_view to_string(Product product) noexcept {
    constexpr std::string_view names[] = {"unknown", "Elasticsearch", "OpenSearch"};
    return names[static_cast<std::size_t>(product)];
}

/// What one node says of itself.
struct NodeCheck {
    std::string name; ///< host and port
    /// What it says it is.
    Product product = Product::unknown;
    std::string version; ///< e.g. `"8.19.0"`; empty when it may not be asked
    std::string problem; ///< one line, fit for a log; empty: well
};

/// What is known of the index that documents are to go to.
enum class IndexState : std::uint8_t {
    not_asked, ///< no index was named, or no node could be asked
    unknown,   ///< the credentials do not allow to ask
    missing,   ///< will be made by the first document, where the cluster allows that
    writable,
    data_stream, ///< writable, by `Action::create` only
    blocked,     ///< a block (`index.blocks.…`) refuses writes
};

/// What `async_check` found.
struct ServerReport {
    /// In the order of the URLs.
    std::vector<NodeCheck> nodes;
    /// What is known of the index.
    IndexState index = IndexState::not_asked;
    std::string index_problem; ///< one line; empty: well
    /// The first problem found, or empty: then each node answers and the index takes documents, as far as can be asked.
    [[nodiscard]] std::string problem() const {
        for (const auto& node : nodes)
            if (!node.problem.empty()) return node.name + ": " + node.problem;
        return index_problem;
    }
    /// At least one node is well, and nothing stands against the index.
    [[nodiscard]] bool usable() const {
        bool one = false;
        for (const auto& node : nodes) one = one || node.problem.empty();
        return one && index_problem.empty();
    }
};

namespace detail {

/// Keeps the beginning of an answer.
class KeptAnswer final : public AnswerSink {
public:
    bool on_body(std::string_view bytes) override {
        constexpr std::size_t most = std::size_t{1} << 20;
        if (text_.size() + bytes.size() > most) return false;
        text_.append(bytes);
        return true;
    }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    /// Null when it is not JSON.
    [[nodiscard]] boost::json::value json() const {
        error_code error;
        auto value = boost::json::parse(text_, error);
        return error ? boost::json::value{} : value;
    }

private:
    std::string text_;
};

[[nodiscard]] inline const boost::json::value* member(const boost::json::value& value, std::string_view name) {
    const auto* object = value.if_object();
    return object == nullptr ? nullptr : object->if_contains(boost::json::string_view{name.data(), name.size()});
}
[[nodiscard]] inline std::string text_of(const boost::json::value* value) {
    const auto* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string{} : printable({text->data(), text->size()});
}

/// From the reply to `GET /`.
[[nodiscard]] inline NodeCheck judge_node(std::string name, const Reply& reply, const boost::json::value& body) {
    NodeCheck check;
    check.name = std::move(name);
    const auto status = std::to_string(reply.status);
    auto said = reply.detail;
    if (said.starts_with(check.name + ": ")) said.erase(0, check.name.size() + 2);
    // Who may only write documents may not ask (403), and a server may lack the module that answers (405).
    // A 404 in a search server's words comes of a path that it takes for an index's name.
    const bool in_their_words =
        member(body, "error") != nullptr && member(body, "status") != nullptr && reply.status != 404;
    if (reply.error && reply.status == 0) {
        check.problem = "cannot be reached: " + (said.empty() ? reply.error.message() : said);
        // What a server that expects TLS does when it is spoken to in the clear; Elasticsearch 8 expects it by default.
        const bool cut = reply.sent != Sent::none && reply.error != error_code{errc::request_timeout} &&
                         reply.error != error_code{errc::malformed_answer} &&
                         reply.error != asio::error::operation_aborted;
        if (cut) check.problem += "; it took the connection and gave no answer: does it want https, or http?";
    } else if (reply.status == 401 || reply.status == 407) {
        check.problem = "does not accept the credentials (" + status + "): see HttpOptions::credentials";
    } else if (reply.status >= 500 || reply.status == 429) {
        check.problem = "answers, but is not ready (" + status + ")";
    } else if (reply.status >= 300 && reply.status != 403 && !in_their_words) {
        check.problem = "is not a search server, or the URL's path is wrong (" + status + " to GET /)";
    } else if (reply.status < 300) {
        const auto* version = member(body, "version");
        if (version != nullptr) check.version = text_of(member(*version, "number"));
        const bool opensearch = version != nullptr && text_of(member(*version, "distribution")) == "opensearch";
        if (check.version.empty())
            check.problem = "answers, but not as Elasticsearch or OpenSearch do: " +
                            (reply.detail.empty() ? "is it the right port?" : said);
        else
            check.product = opensearch ? Product::opensearch : Product::elasticsearch;
    }
    return check;
}

/// From the reply to `GET /<index>/_settings?flat_settings=true`.
[[nodiscard]] inline IndexState judge_index(const std::string& index, const Reply& reply,
                                            const boost::json::value& body, std::string& problem) {
    if (reply.error && reply.status == 0) return IndexState::not_asked;
    if (reply.status == 404) return IndexState::missing;
    const auto* backing = body.if_object();
    if (reply.status != 200 || backing == nullptr) return IndexState::unknown;
    auto state = backing->empty() ? IndexState::missing : IndexState::writable;
    for (const auto& [name, about] : *backing) {
        if (std::string_view{name.data(), name.size()}.starts_with(".ds-")) state = IndexState::data_stream;
        const auto* settings = member(about, "settings");
        if (settings == nullptr) continue;
        for (const std::string block :
             {"index.blocks.write", "index.blocks.read_only", "index.blocks.read_only_allow_delete"}) {
            if (text_of(member(*settings, block)) != "true") continue;
            problem = "the index " + printable(index) + " is blocked for writing: " + block + " is set on " +
                      printable({name.data(), name.size()});
            return IndexState::blocked;
        }
    }
    return state;
}

template <class T>
asio::awaitable<ServerReport> check_server(T transport, std::string index, std::chrono::nanoseconds timeout) {
    ServerReport report;
    bool asked = index.empty();
    for (std::uint32_t node = 0; node < transport.node_count(); ++node) {
        KeptAnswer answer;
        Question version;
        const Reply reply = co_await transport.ask(node, std::move(version), timeout, answer);
        report.nodes.push_back(judge_node(transport.node_name(node), reply, answer.json()));
        if (asked || !report.nodes.back().problem.empty()) continue;
        asked = true;
        KeptAnswer settings;
        Question blocks;
        blocks.target = "/" + percent_encoded(index) + "/_settings?flat_settings=true";
        const Reply about = co_await transport.ask(node, std::move(blocks), timeout, settings);
        report.index = judge_index(index, about, settings.json(), report.index_problem);
    }
    co_return report;
}

} // namespace detail

/// Asks each node of `transport` (a `basic_http_transport`; what is asked shares its connections and counts as no
/// request) for its version, and the first that answers about `index`, unless that is empty; each question for at most
/// `timeout`. Writes nothing. What an account may not ask is not a problem: it may still be allowed to write.
///
/// Completion signature: `void(std::exception_ptr, ServerReport)`; the exception only for want of memory. Runs on
/// `executor`. Cancelling is seen between two questions, and ends it with an exception. The check has a handle of its
/// own: `transport.shutdown()` does not end it.
template <class T, class CompletionToken>
auto async_check(const asio::any_io_executor& executor, T transport, std::string index,
                 std::chrono::nanoseconds timeout, CompletionToken&& token) {
    return asio::co_spawn(executor, detail::check_server(std::move(transport), std::move(index), timeout),
                          std::forward<CompletionToken>(token));
}

} // namespace bulkhead::inline v1
