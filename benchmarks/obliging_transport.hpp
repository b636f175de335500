// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/transport.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <string>
#include <string_view>

/// What Elasticsearch answers with our `filter_path` when all is stored.
inline std::string clean_answer(std::size_t operations, std::string_view item = R"({"index":{"status":201}})") {
    std::string answer = R"({"errors":false,"items":[)";
    for (std::size_t i = 0; i < operations; ++i) answer.append(i == 0 ? "" : ",").append(item);
    return answer += "]}";
}

/// Stores nothing, and says at once that all is stored.
class ObligingTransport {
public:
    ObligingTransport(const boost::asio::any_io_executor& /*executor*/, int /*nothing*/) {}
    boost::asio::awaitable<bulkhead::Reply> send(bulkhead::Request request, bulkhead::AnswerSink& sink) {
        bulkhead::Reply reply;
        reply.sent = bulkhead::Sent::complete;
        reply.status = 200;
        reply.body_complete = true;
        if (request.operations != operations_) {
            answer_ = clean_answer(request.operations);
            operations_ = request.operations;
        }
        (void)sink.on_body(answer_);
        co_return reply;
    }
    void shutdown() noexcept {}

private:
    std::size_t operations_ = 0;
    std::string answer_;
};
