// SPDX-License-Identifier: BSL-1.0
// The code of docs/architecture.md: a transport and a sink of one's own.
#include "../tested_service/check.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/dead_letter.hpp>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;

/// A dry run: prints what would be sent, and says that it was indexed.
struct PrintTransport {
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        for (const auto& buffer : request.body)
            std::cout.write(static_cast<const char*>(buffer.data()), static_cast<std::streamsize>(buffer.size()));
        std::string answer = R"({"errors":false,"items":[)";
        for (std::size_t i = 0; i < request.operations; ++i)
            answer += i == 0 ? R"({"index":{"status":201}})" : R"(,{"index":{"status":201}})";
        answer += "]}";
        Reply reply;
        reply.sent = Sent::complete;
        reply.status = 200;
        reply.body_complete = true;
        if (!sink.on_body(answer)) reply.error = errc::malformed_answer;
        co_return reply;
    }
    void shutdown() noexcept {}
};
static_assert(Transport<PrintTransport>);

/// Counts, and throws away: acknowledging without keeping is a choice too.
struct CountingSink {
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        *count += letters.size();
        co_return error_code{}; // an error instead: all of them are offered again
    }
    std::shared_ptr<std::size_t> count;
};
static_assert(DeadLetterSink<CountingSink>);

void a_transport_and_a_sink() {
    asio::io_context context;
    const auto refused = std::make_shared<std::size_t>(0);
    BulkIndexer<PrintTransport> indexer{context.get_executor(), PrintTransport{}, IndexerOptions{.index = "orders"},
                                        CountingSink{refused}};
    indexer.enqueue({.source = R"({"state":"paid"})"});
    indexer.async_close(10s, [](error_code, const CloseReport&) {});
    context.run();
    check(indexer.stats().indexed == 1 && *refused == 0, "proven");
}

void a_verdict() {
    IndexerOptions options{.index = "orders"};
    options.verdicts.push_back({.first = 400,
                                .last = 400,
                                .type = "illegal_argument_exception",
                                .verdict = Verdict::retry}); // a plugin of ours says that when it is busy
    check(!validate(options), "valid");
}

} // namespace

int main() { return run_cases({{"a transport and a sink", a_transport_and_a_sink}, {"a verdict", a_verdict}}); }
