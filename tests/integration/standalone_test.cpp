// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/standalone_indexer.hpp>

#include <future>
#include <memory>
#include <string>
#include <utility>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

/// Stores everything. What it holds lives as long as it does.
class WitnessedTransport {
public:
    explicit WitnessedTransport(std::shared_ptr<void> held) : held_{std::move(held)} {}
    WitnessedTransport(const asio::any_io_executor&, const std::string&) {}
    WitnessedTransport(const asio::any_io_executor&, const std::string&, int) {}

    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        Reply reply;
        reply.sent = Sent::complete;
        reply.status = 200;
        reply.body_complete = true;
        std::string body = R"({"items":[)";
        for (std::size_t i = 0; i < request.operations; ++i)
            body.append(i == 0 ? "" : ",").append(R"({"index":{"status":201}})");
        (void)sink.on_body(body + "]}");
        co_return reply;
    }
    void shutdown() noexcept {}

private:
    std::shared_ptr<void> held_;
};
using Standalone = StandaloneIndexer<WitnessedTransport>;

/// Ends when all that an indexer's thread held is gone.
struct LastWord {
    std::promise<void> said;
    std::future<void> gone = said.get_future();
    [[nodiscard]] auto transport() {
        std::shared_ptr<void> held{&said,
                                   [](void* promise) { static_cast<std::promise<void>*>(promise)->set_value(); }};
        return [held = std::move(held)](const asio::any_io_executor&) { return WitnessedTransport{held}; };
    }
};

} // namespace

TEST_CASE("an observer may destroy its own StandaloneIndexer", "[F204]") {
    LastWord last_word;
    auto indexer = std::make_unique<Standalone>(last_word.transport(), IndexerOptions{.index = "logs"});
    std::promise<std::vector<Outcome>> told;
    std::vector<Outcome> outcomes;
    const auto subscription = indexer->subscribe([&](std::span<const Settlement> settlements) {
        indexer.reset();
        for (const auto& settlement : settlements) outcomes.push_back(settlement.outcome);
        if (outcomes.size() == 2) told.set_value(outcomes);
    });
    // On its thread, so that it is not gone while it is still being used here.
    asio::post(indexer->get_executor(), [&] {
        (*indexer)->enqueue({.source = "{}"});
        CHECK((*indexer)->try_enqueue({.source = "{}"}, subscription.ticket(1)) == Admission::accepted);
        (*indexer)->flush();
        CHECK((*indexer)->try_enqueue({.source = "{}"}, subscription.ticket(2)) == Admission::accepted);
    });
    const auto ended = told.get_future().get();
    CHECK(ended.front() == Outcome::indexed); // what was pending then ends as in any destructor
    last_word.gone.wait();
    CHECK(indexer == nullptr);
}

TEST_CASE("a completion handler may destroy the StandaloneIndexer that calls it", "[F204]") {
    for (const bool closes : {false, true}) {
        INFO("closes " << closes);
        LastWord last_word;
        auto indexer = std::make_unique<Standalone>(last_word.transport(), IndexerOptions{.index = "logs"});
        asio::post(indexer->get_executor(), [&indexer, closes] {
            (*indexer)->enqueue({.source = "{}"});
            if (closes) {
                (*indexer)->async_close(10s, [&indexer](error_code, const CloseReport&) { indexer.reset(); });
            } else {
                (*indexer)->async_flush(10s, [&indexer](error_code) { indexer.reset(); });
            }
        });
        last_word.gone.wait();
        CHECK(indexer == nullptr);
    }
}

TEST_CASE("a StandaloneIndexer is made of whatever its transport is made of", "[F205]") {
    const auto settles = [](Standalone& indexer) {
        indexer->enqueue({.source = "{}"});
        return indexer.close(10s).stats.indexed == 1;
    };
    Standalone one{std::string{"one"}, IndexerOptions{.index = "logs"}};
    CHECK(settles(one));
    Standalone two{std::string{"one"}, 2, IndexerOptions{.index = "logs"}};
    CHECK(settles(two));
    Standalone braces{std::string{"one"}, 2, {.index = "logs"}};
    CHECK(settles(braces));
    Standalone with_sink{std::string{"one"}, 2, IndexerOptions{.index = "logs"},
                         CallbackSink{[](std::span<const DeadLetter>) { return error_code{}; }}};
    CHECK(settles(with_sink));
    Standalone made{[](const asio::any_io_executor& executor) {
                        return WitnessedTransport{executor, "made"};
                    },
                    IndexerOptions{.index = "logs"}};
    CHECK(settles(made));
    CHECK_THROWS_AS((Standalone{std::string{"one"}, 2, IndexerOptions{.max_in_flight = 0}}), InvalidOption);
}
