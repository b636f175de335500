// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/transport.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::test {

/// The answer of a scripted server to one bulk request.
struct Answer {
    /// What `send` completes with.
    Reply reply;
    /// What the sink is given before.
    std::string body;

    /// A complete answer with this status and body.
    [[nodiscard]] static Answer status(unsigned status, std::string body = {},
                                       std::optional<std::chrono::seconds> retry_after = {}) {
        Answer answer;
        answer.reply.sent = Sent::complete;
        answer.reply.status = status;
        answer.reply.body_complete = true;
        answer.reply.retry_after = retry_after;
        answer.body = std::move(body);
        return answer;
    }
    /// A 200 with these items, each a JSON object such as `{"index":{"status":201}}`.
    [[nodiscard]] static Answer items(const std::vector<std::string>& items) {
        std::string body = R"({"errors":false,"items":[)";
        for (std::size_t i = 0; i < items.size(); ++i) body.append(i == 0 ? "" : ",").append(items[i]);
        return status(200, body + "]}");
    }
    /// Every operation was stored.
    [[nodiscard]] static Answer ok(std::size_t operations) {
        return items(std::vector<std::string>(operations, R"({"index":{"status":201}})"));
    }
    /// No connection: certainly not applied.
    [[nodiscard]] static Answer unreachable() { return lost(Sent::none); }
    /// The connection broke with so much of the body sent, and no answer.
    [[nodiscard]] static Answer lost(Sent sent) {
        Answer answer;
        answer.reply.sent = sent;
        answer.reply.error = sent == Sent::none ? error_code{asio::error::connection_refused}
                                                : error_code{asio::error::connection_reset};
        return answer;
    }
};

/// One item of an answer: `item(201)`, `item(400, "document_parsing_exception")`.
[[nodiscard]] inline std::string item(unsigned status, const std::string& error_type = {},
                                      const std::string& action = "index") {
    auto text = "{\"" + action + "\":{\"status\":" + std::to_string(status);
    if (!error_type.empty()) text += R"(,"error":{"type":")" + error_type + R"(","reason":"because"})";
    return text + "}}";
}

/// A bulk request as the scripted transport saw it.
struct SeenRequest {
    /// Path and query.
    std::string target;
    /// In one piece.
    std::string body;
    /// How many it holds.
    std::size_t operations = 0;
    /// 1 for the first time that it travels.
    std::uint32_t attempt = 0;
    /// What `send` may take.
    std::chrono::nanoseconds timeout{};
    /// Whether it has its answer.
    bool answered = false;
};

/// The test's side of a `ScriptedTransport`: what was sent, and what is answered. One thread only.
class Script {
public:
    /// Asked for each request as it arrives. Without it, or when it returns nothing, the request waits for `answer`.
    std::function<std::optional<Answer>(const SeenRequest&)> respond;
    /// `shutdown()` is ignored: the requests under way stay so.
    bool deaf = false;

    /// Copies of all that was sent, in order.
    [[nodiscard]] const std::deque<SeenRequest>& requests() const noexcept { return requests_; }
    /// The requests that wait for an answer, oldest first, as positions in `requests()`.
    [[nodiscard]] std::vector<std::size_t> waiting() const {
        std::vector<std::size_t> positions;
        for (const auto& [position, exchange] : under_way_)
            if (!requests_[position].answered) positions.push_back(position);
        return positions;
    }
    /// Answers a waiting request; it completes when the context runs. A request that is over stays as it is.
    void answer(std::size_t position, Answer answer) {
        requests_.at(position).answered = true;
        const auto found = under_way_.find(position);
        if (found == under_way_.end()) return;
        found->second->answer = std::move(answer);
        found->second->timer.cancel();
    }
    /// Answers every waiting request with success.
    void answer_all_ok() {
        for (const auto position : waiting()) answer(position, Answer::ok(requests_[position].operations));
    }
    /// How often the transport was shut down.
    [[nodiscard]] int shutdowns() const noexcept { return shutdowns_; }

private:
    friend class ScriptedTransport;
    /// A request under way. It lives in the coroutine of its `send`, so that its timer never outlives the context: the
    /// script may.
    struct Exchange {
        Exchange(const asio::any_io_executor& executor, Script& of, std::size_t at)
            : timer{executor, asio::steady_timer::time_point::max()}, script{of}, position{at} {
            script.under_way_.emplace(position, this);
        }
        Exchange(const Exchange&) = delete;
        Exchange& operator=(const Exchange&) = delete;
        ~Exchange() { script.under_way_.erase(position); }
        asio::steady_timer timer;
        std::optional<Answer> answer{};
        Script& script;
        std::size_t position;
    };
    std::deque<SeenRequest> requests_;
    std::map<std::size_t, Exchange*> under_way_; ///< by position
    int shutdowns_ = 0;
};

/// A transport whose every answer a test decides. Requests are recorded by copy.
class ScriptedTransport {
public:
    /// Shares the script with the test.
    explicit ScriptedTransport(std::shared_ptr<Script> script) : script_{std::move(script)} {}

    /// See `Transport`.
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        const auto script = script_;
        const auto executor = co_await asio::this_coro::executor;
        SeenRequest seen{std::string{request.target}, {}, request.operations, request.attempt, request.timeout};
        for (const auto& buffer : request.body)
            seen.body.append(static_cast<const char*>(buffer.data()), buffer.size());
        const auto position = script->requests_.size();
        script->requests_.push_back(std::move(seen));
        Script::Exchange exchange{executor, *script, position};
        if (script->shutdowns_ > 0 && !script->deaf) {
            abort(*script, position);
        } else if (script->respond) {
            exchange.answer = script->respond(script->requests_[position]);
            if (exchange.answer) script->requests_[position].answered = true;
        }
        while (!exchange.answer) {
            error_code ignored;
            co_await exchange.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        auto answer = std::move(*exchange.answer);
        if (!answer.body.empty() && !sink.on_body(answer.body)) answer.reply.error = errc::malformed_answer;
        co_return answer.reply;
    }

    /// See `Transport`.
    void shutdown() noexcept {
        if (!script_) return;
        ++script_->shutdowns_;
        if (script_->deaf) return;
        for (const auto position : script_->waiting()) abort(*script_, position);
    }

private:
    static void abort(Script& script, std::size_t position) {
        auto answer = Answer::lost(Sent::partial);
        answer.reply.error = asio::error::operation_aborted;
        script.answer(position, std::move(answer));
    }
    std::shared_ptr<Script> script_;
};
static_assert(Transport<ScriptedTransport>);

} // namespace bulkhead::inline v1::test
