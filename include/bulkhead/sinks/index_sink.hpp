// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>

namespace bulkhead::inline v1 {

/// A dead-letter sink that stores each dead letter as a document in another index or data stream, through an indexer of
/// its own: as `append_dead_letter` writes it, with an automatic id. Map `action` and `source` as `keyword` with
/// `"index": false` and `"doc_values": false`, since a keyword is otherwise at most 32,766 bytes long.
///
/// The dead letters of a bulk are taken over when the server has stored all of them. If it has not, within `timeout`,
/// all are offered again: one may be stored twice. What that index refuses never becomes a dead letter itself; the sink
/// then fails, and the first indexer waits (`Health::sink_failing`).
template <Transport T, class Clock = std::chrono::steady_clock>
class IndexSink {
public:
    /// `options.index` names the index. Throws `InvalidOption`.
    IndexSink(asio::any_io_executor executor, T transport, IndexerOptions options,
              std::chrono::milliseconds timeout = std::chrono::seconds{30})
        : shared_{std::make_shared<Shared>(asio::make_strand(executor), std::move(transport), with_retries(options),
                                           timeout)} {}

    /// See `DeadLetterSink`.
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        const auto shared = shared_;
        const auto round = std::make_shared<Round>();
        const auto subscription =
            shared->indexer.subscribe(shared->strand, [round](std::span<const Settlement> settlements) {
                for (const auto& one : settlements) round->stored += durable(one.outcome) ? 1U : 0U;
            });
        const auto now = std::chrono::system_clock::now();
        for (const auto& letter : letters) {
            shared->text.clear();
            append_dead_letter(shared->text, letter, now);
            const Operation op{.action = Action::create, .source = shared->text};
            if (shared->indexer.try_enqueue(op, subscription.ticket(0)) != Admission::accepted) break;
        }
        error_code error;
        co_await shared->indexer.async_flush(shared->timeout, asio::redirect_error(asio::use_awaitable, error));
        if (!error && round->stored != letters.size()) error = errc::sink_failed;
        co_return error;
    }
    /// Of the sink's own indexer.
    [[nodiscard]] Stats stats() const { return shared_->indexer.stats(); }

private:
    struct Round {
        std::atomic<std::size_t> stored{0};
    };
    struct Shared {
        Shared(asio::any_io_executor strand_in, T transport, IndexerOptions options,
               std::chrono::milliseconds timeout_in)
            : strand{strand_in}, indexer{strand_in, std::move(transport), std::move(options)}, timeout{timeout_in} {}
        asio::any_io_executor strand;
        BulkIndexer<T, Clock> indexer;
        std::chrono::milliseconds timeout;
        std::string text;
    };
    static IndexerOptions with_retries(IndexerOptions options) {
        options.duplicates = Duplicates::allow;
        return options;
    }

    std::shared_ptr<Shared> shared_;
};

} // namespace bulkhead::inline v1
