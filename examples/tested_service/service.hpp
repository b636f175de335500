// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/record.hpp>

#include <boost/asio/strand.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace shop {

namespace asio = boost::asio;

struct OrderEvent {
    std::string order;
    std::uint64_t number = 0; ///< of this event among the order's
    std::string details;      ///< a JSON value that somebody else wrote, passed on as it is
};

/// What operations has to look at: an event that is not known to be stored.
struct NotStored {
    bulkhead::Outcome outcome{};
    std::string type;   ///< the server's error type, or why the indexer gave up
    std::string source; ///< the document
};

inline bulkhead::IndexerOptions order_options() {
    using namespace std::chrono_literals;
    return {.index = "order-events", .flush_interval = 200ms, .request_timeout = 10s};
}

/// Records what happens to orders. The transport and the clock are parameters, so that a test can bring its own.
template <bulkhead::Transport T, class Clock = std::chrono::steady_clock>
class OrderEvents {
public:
    using OnNotStored = std::function<void(const NotStored&)>;

    OrderEvents(const asio::any_io_executor& executor, T transport, OnNotStored on_not_stored,
                bulkhead::IndexerOptions options = order_options())
        : indexer_{executor, std::move(transport), std::move(options)},
          subscription_{indexer_.subscribe(asio::make_strand(executor), Report{std::move(on_not_stored)})} {}

    /// Never waits. False: there is no room, or the service is shutting down; the caller still has the event.
    [[nodiscard]] bool submit(const OrderEvent& event) {
        // The id is derived from the event: whoever sends it again, be it the indexer or our caller, stores it once.
        const auto id = event.order + "-" + std::to_string(event.number);
        const auto source = "{\"order\":" + boost::json::serialize(boost::json::value(event.order)) +
                            ",\"details\":" + event.details + "}";
        bulkhead::Operation operation;
        operation.action = bulkhead::Action::create;
        operation.id = id;
        operation.on_conflict = bulkhead::OnConflict::already_there;
        operation.source = source;
        return indexer_.try_enqueue(operation, subscription_.ticket(event.number)) == bulkhead::Admission::accepted;
    }

    /// Takes no more events, and completes, with the final counters, when all are stored or the time is up.
    template <class Token>
    auto shutdown(std::chrono::milliseconds timeout, Token&& token) {
        return indexer_.async_close(timeout, std::forward<Token>(token));
    }

    [[nodiscard]] bulkhead::Stats stats() const { return indexer_.stats(); }
    [[nodiscard]] bulkhead::BulkIndexer<T, Clock>& indexer() noexcept { return indexer_; }

private:
    struct Report {
        OnNotStored on_not_stored;
        void operator()(std::span<const bulkhead::Settlement> settlements) const {
            for (const auto& settlement : settlements) {
                if (settlement.failure == nullptr) continue; // stored
                // The views are valid only until we return.
                on_not_stored({settlement.outcome, std::string{settlement.failure->type},
                               std::string{settlement.failure->source}});
            }
        }
    };
    bulkhead::BulkIndexer<T, Clock> indexer_;
    bulkhead::Subscription subscription_;
};

/// The same events from Kafka, for a service that reads them there: each record is a document.
inline bulkhead::Mapped map_order_event(const bulkhead::Record& record, bulkhead::Batch& out) {
    const auto id = std::to_string(record.partition) + "-" + std::to_string(record.offset);
    bulkhead::Operation operation;
    operation.action = bulkhead::Action::create;
    operation.id = id;
    operation.on_conflict = bulkhead::OnConflict::already_there;
    operation.source = *record.payload;
    return out.append(operation, "order-events") ? bulkhead::Mapped::invalid : bulkhead::Mapped::operations;
}

} // namespace shop
