// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/letters/letter_inbox.hpp>

#include <boost/asio/io_context.hpp>

#include <array>
#include <functional>
#include <memory>
#include <vector>

using namespace bulkhead;
using bulkhead::detail::LetterInbox;
using bulkhead::detail::PlacedLetters;
using bulkhead::detail::PositionRequest;
using bulkhead::detail::SettlementInbox;
using bulkhead::detail::SinkWrite;

namespace {

/// Collects how a call of the sink ended.
bulkhead::detail::Completion<error_code> ends_with(asio::io_context& context, std::vector<error_code>& ends) {
    return {[&ends](error_code error) { ends.push_back(error); }, context.get_executor()};
}

} // namespace

TEST_CASE("the inbox of letters: receipts, a sink's writes and questions, and nothing after its close",
          "[kafka_source][kafka_parts][F245]") {
    asio::io_context context;
    const auto wakes = std::make_shared<SettlementInbox>(std::function<void()>{}, false);
    LetterInbox inbox{wakes};
    std::vector<error_code> ends;
    const std::array<DeadLetter, 2> letters{};
    const auto write = [&] { return std::make_shared<SinkWrite>(letters, ends_with(context, ends)); };
    const auto ask = [&] {
        inbox.put_request(
            std::make_unique<PositionRequest>(std::make_shared<PlacedLetters>(letters), ends_with(context, ends)));
    };
    const auto run = [&] {
        context.restart();
        context.poll();
        return ends;
    };
    using Ends = std::vector<error_code>;

    inbox.received({5, 100, true}, errc::sink_failed);
    CHECK(wakes->ready());
    CHECK(inbox.put_write(write()));
    ask();
    {
        auto mail = inbox.take();
        REQUIRE(mail.receipts.size() == 1);
        CHECK(mail.receipts[0].token.key == 5);
        CHECK(mail.receipts[0].token.bytes == 100);
        CHECK(mail.receipts[0].error == errc::sink_failed);
        REQUIRE(mail.writes.size() == 1);
        CHECK(mail.requests.size() == 1);
        CHECK(run().empty());
        mail.writes[0]->received({}, {});
        CHECK(run().empty()); // the other letter's receipt is still to come
        mail.writes[0]->received({}, errc::sink_failed);
        CHECK(run() == Ends{errc::sink_failed});
    }
    CHECK(run() == Ends{errc::sink_failed, {}}); // a question that is dropped is answered
    CHECK(inbox.take().receipts.empty());

    ends.clear();
    CHECK(inbox.put_write(write()));
    ask();
    inbox.received({6, 1, false}, {});
    CHECK_FALSE(inbox.closed());
    inbox.close();
    CHECK(inbox.closed());
    CHECK(run().size() == 2); // both are given back
    CHECK_FALSE(inbox.put_write(write()));
    ask();
    CHECK(run().size() == 3);
    const auto rest = inbox.take();
    CHECK(rest.receipts.size() == 1); // what was written is still accounted for
    CHECK(rest.writes.empty());
    CHECK(rest.requests.empty());
}
