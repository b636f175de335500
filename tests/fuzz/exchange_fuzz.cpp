// SPDX-License-Identifier: BSL-1.0
// An HTTP exchange with a peer that says anything: it ends by its deadline, and a truncated answer is no success.

#include "fuzz.hpp"
#include "support/memory_stream.hpp"

#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <array>

using namespace bulkhead;
using namespace std::chrono_literals;
using test::ManualClock;

namespace {

constexpr std::size_t most_answer = 4096;
const std::string head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n";
const std::string body = "{\"index\":{}}\n{\"a\":1}\n";

struct Sink final : AnswerSink {
    std::string bytes;
    std::size_t most = 0; ///< it wants no more than this
    bool on_body(std::string_view more) override {
        bytes += more;
        return bytes.size() <= most;
    }
};

asio::awaitable<void> exchange(memory::MemoryStream& stream, boost::beast::flat_buffer& buffer, Sink& sink,
                               std::optional<bulkhead::detail::ExchangeResult>& result) {
    const std::array<asio::const_buffer, 1> pieces{asio::buffer(body)};
    bulkhead::detail::ExchangeOptions<ManualClock> options;
    options.head = head;
    options.body = pieces;
    options.deadline = ManualClock::now() + 10s;
    options.max_answer_bytes = most_answer;
    result = co_await bulkhead::detail::http_exchange<ManualClock>(stream, buffer, options, sink);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    ManualClock::reset();
    asio::io_context context;
    const auto peer = std::make_shared<memory::Peer>();
    const auto shape = input.byte();
    if ((shape & 1U) != 0) peer->most_per_read = 1;
    if ((shape & 2U) != 0) peer->most_per_write = 3;
    if ((shape & 4U) != 0) peer->takes = input.byte() % 80U; // then it reads no more
    memory::MemoryStream stream{context.get_executor(), peer};
    boost::beast::flat_buffer buffer;
    Sink sink;
    sink.most = (shape & 8U) != 0 ? input.byte() : most_answer;
    std::optional<bulkhead::detail::ExchangeResult> result;
    asio::co_spawn(context, exchange(stream, buffer, sink, result), asio::detached);
    test::run_ready(context);
    const auto pieces = input.byte() % 4U;
    for (unsigned i = 0; i < pieces; ++i) {
        peer->say(input.text());
        test::run_for(context, 500ms, 100ms);
    }
    const std::string answer{input.rest()};
    peer->say(answer);
    test::run_ready(context);
    if ((shape & 16U) != 0)
        peer->hang_up((shape & 32U) != 0 ? error_code{asio::error::connection_reset} : error_code{asio::error::eof});
    test::run_for(context, 11s, 500ms);
    fuzz::expect(result.has_value(), "an exchange ends by its deadline");
    const auto& reply = result->reply;
    fuzz::expect(sink.bytes.size() <= most_answer, "no more of an answer is taken than may be");
    fuzz::expect(reply.detail.size() <= 1024, "what the peer said is bounded");
    for (const char c : reply.detail) fuzz::expect(static_cast<unsigned char>(c) >= 0x20, "and fit for a log");
    if (!reply.error) {
        fuzz::expect(reply.status >= 200 && reply.status <= 999, "a success has a final status");
        // A body of a known end: by length, by chunks, or none.
        if (reply.body_complete && peer->pending.find("Content-Length: 5\r\n") != std::string::npos &&
            peer->pending.find("ransfer") == std::string::npos)
            fuzz::expect(sink.bytes.size() <= 5 || peer->pending.find("HTTP", 5) != std::string::npos,
                         "a body is as long as it says");
    }
    if (result->reusable) {
        fuzz::expect(!reply.error && reply.body_complete && buffer.size() == 0,
                     "a connection is reused when it is clean");
        fuzz::expect(reply.sent == Sent::complete, "and everything was sent");
    }
    fuzz::expect(reply.sent != Sent::complete || peer->received == head + body, "sent is what the stream has taken");
    fuzz::expect(reply.sent != Sent::none || peer->received.size() <= head.size(), "none is nothing of the body");
    return 0;
}
