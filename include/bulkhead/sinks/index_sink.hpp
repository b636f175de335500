// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

/// A dead-letter sink that stores each dead letter as a document in another index or data stream, through an indexer of
/// its own: as `append_dead_letter` writes it, with an automatic id. Map `action` and `source` as `keyword` with
/// `"index": false` and `"doc_values": false`, since a keyword is otherwise at most 32,766 bytes long.
///
/// The dead letters of a bulk are taken over when the server has stored all of them. If it has not, within `timeout`,
/// all are offered again, and those that are not stored or under way are enqueued again: one may be stored twice only
/// when its answer was lost. What that index refuses never becomes a dead letter itself; the sink then fails, and the
/// first indexer waits (`Health::sink_failing`) until the index takes it. A letter is larger than its document: where
/// documents may be refused for their size, let this index, or what stands before it, take larger ones, or use a
/// `FileSink`.
template <Transport T, class Clock = std::chrono::steady_clock>
class IndexSink {
public:
    /// `options.index` names the index. Throws `InvalidOption`.
    IndexSink(asio::any_io_executor executor, T transport, IndexerOptions options,
              std::chrono::milliseconds timeout = std::chrono::seconds{30})
        : shared_{std::make_shared<Shared>(asio::make_strand(executor), std::move(transport), with_retries(options),
                                           timeout)} {}

    /// See `DeadLetterSink`. One call at a time; after an error the same letters are expected again, as `BulkIndexer`
    /// offers them; with others it begins anew.
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        if (letters.empty()) co_return error_code{};
        const auto shared = shared_;
        if (!round_ || !round_->is_of(letters)) round_ = std::make_shared<Round>(*shared, letters);
        const auto round = round_;
        const auto until = detail::saturating_add<Clock>(Clock::now(), shared->timeout);
        while (true) {
            const auto [taken, admission] = round->enqueue(*shared, letters);
            error_code error;
            co_await shared->indexer.async_flush(until, asio::redirect_error(asio::use_awaitable, error));
            if (error) co_return error; // those under way may still be stored
            if (round->all_stored()) {
                round_.reset();
                co_return error_code{};
            }
            // More, when others have made room. What was refused travels again when the indexer offers it again.
            if (admission != Admission::full || taken == 0) co_return errc::sink_failed;
        }
    }
    /// See `DeadLetterSink`. The sink's own indexer closes with no time left; of what it had in flight, the letters may
    /// still be stored.
    void shutdown() noexcept {
        try {
            shared_->indexer.async_close(std::chrono::nanoseconds{0}, [](error_code, const CloseReport&) {});
        } catch (const std::bad_alloc&) { // then it closes when it is destroyed, after this `write`
        }
    }
    /// Of the sink's own indexer.
    [[nodiscard]] Stats stats() const { return shared_->indexer.stats(); }

private:
    struct Shared;
    enum class Fate : std::uint8_t { outside, under_way, stored };
    /// What has become of the letters of one bulk, over several offers.
    class Round {
    public:
        Round(Shared& shared, std::span<const DeadLetter> letters)
            : fates_{std::make_shared<Fates>(letters.size())}, text_{letters.front().action_line.data()},
              subscription_{
                  shared.indexer.subscribe(shared.strand, [fates = fates_](std::span<const Settlement> settlements) {
                      for (const auto& one : settlements)
                          (*fates)[one.key] = durable(one.outcome) ? Fate::stored : Fate::outside;
                  })} {}
        [[nodiscard]] bool is_of(std::span<const DeadLetter> letters) const noexcept {
            return fates_->size() == letters.size() && letters.front().action_line.data() == text_;
        }
        /// Those that are neither stored nor under way, as far as there is room: how many, and what the last was told.
        std::pair<std::size_t, Admission> enqueue(Shared& shared, std::span<const DeadLetter> letters) {
            const auto now = std::chrono::system_clock::now();
            std::size_t taken = 0;
            for (std::size_t i = 0; i < letters.size(); ++i) {
                if ((*fates_)[i] != Fate::outside) continue;
                shared.text.clear();
                append_dead_letter(shared.text, letters[i], now);
                (*fates_)[i] = Fate::under_way; // or else its end could be there first
                const Operation op{.action = Action::create, .source = shared.text};
                const auto admission = shared.indexer.try_enqueue(op, subscription_.ticket(i));
                if (admission != Admission::accepted) {
                    (*fates_)[i] = Fate::outside;
                    return {taken, admission};
                }
                ++taken;
            }
            return {taken, Admission::accepted};
        }
        [[nodiscard]] bool all_stored() const noexcept {
            return std::all_of(fates_->begin(), fates_->end(), [](const auto& fate) { return fate == Fate::stored; });
        }

    private:
        using Fates = std::vector<std::atomic<Fate>>;
        std::shared_ptr<Fates> fates_;
        const char* text_; ///< of the first letter: where it lies
        Subscription subscription_;
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
    std::shared_ptr<Round> round_; ///< what the last call has left
};

} // namespace bulkhead::inline v1
