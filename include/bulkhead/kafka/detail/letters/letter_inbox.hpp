// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/kafka/detail/settlement_inbox.hpp>
#include <bulkhead/kafka/letter_writer.hpp>

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Where dead letters of a sink, receipts, and requests for positions wait for the source's thread.
namespace bulkhead::inline v1::detail {

/// One call of the sink: its letters wait for the source's thread, and then for their receipts.
class SinkWrite final : public ReceiptHandler {
public:
    SinkWrite(std::span<const DeadLetter> letters, Completion<error_code> done)
        : letters_{letters}, left_{letters.size()}, done_{std::move(done)} {}
    /// Valid until the last receipt.
    [[nodiscard]] std::span<const DeadLetter> letters() const noexcept { return letters_; }
    void received(const ReceiptToken&, error_code error) noexcept override {
        const std::lock_guard lock{mutex_};
        if (error && !error_) error_ = error;
        if (--left_ == 0) done_(error_);
    }
    /// Gives the receipts that are missing.
    void abandon(error_code error) noexcept {
        for (std::size_t left = letters_.size(); left != 0; --left) received({}, error);
    }

private:
    const std::span<const DeadLetter> letters_;
    std::mutex mutex_;
    std::size_t left_;
    error_code error_;
    Completion<error_code> done_;
};

/// Dead letters with the place of their records. It owns the topics' names; the rest is the indexer's.
class PlacedLetters {
public:
    explicit PlacedLetters(std::span<const DeadLetter> letters) : letters_{letters.begin(), letters.end()} {}
    [[nodiscard]] std::span<DeadLetter> letters() noexcept { return letters_; }
    void place(DeadLetter& letter, const KafkaLetter& from) {
        if (topics_.empty() || topics_.back() != from.topic) topics_.emplace_back(from.topic);
        letter.topic = topics_.back();
        letter.partition = from.partition;
        letter.offset = from.offset;
    }

private:
    std::vector<DeadLetter> letters_;
    std::deque<std::string> topics_; ///< a deque: what is there stays where it is
};
/// Asks a source for the positions of letters. Dropping it completes it.
class PositionRequest {
public:
    PositionRequest(std::shared_ptr<PlacedLetters> letters, Completion<error_code> done)
        : letters_{std::move(letters)}, done_{std::move(done)} {}
    PositionRequest(const PositionRequest&) = delete;
    PositionRequest& operator=(const PositionRequest&) = delete;
    ~PositionRequest() { done_({}); }
    [[nodiscard]] PlacedLetters& letters() noexcept { return *letters_; }

private:
    std::shared_ptr<PlacedLetters> letters_;
    Completion<error_code> done_;
};

/// The inbox of a source that takes dead letters too: those of a sink, and receipts. Thread-safe.
class LetterInbox final : public ReceiptHandler {
public:
    struct Receipt {
        ReceiptToken token;
        error_code error;
    };
    struct Drained {
        std::vector<Receipt> receipts;
        std::vector<std::shared_ptr<SinkWrite>> writes;
        std::vector<std::unique_ptr<PositionRequest>> requests;
    };

    explicit LetterInbox(std::shared_ptr<SettlementInbox> wakes) : wakes_{std::move(wakes)} {}

    void received(const ReceiptToken& token, error_code error) noexcept override {
        put([&] { waiting_.receipts.push_back({token, error}); });
    }
    /// False when the source is gone.
    bool put_write(const std::shared_ptr<SinkWrite>& write) noexcept {
        bool open = false;
        put([&] {
            if (closed_) return;
            waiting_.writes.push_back(write);
            open = true;
        });
        return open;
    }
    /// Drops the request when the source is gone.
    void put_request(std::unique_ptr<PositionRequest> request) noexcept {
        put([&] {
            if (!closed_) waiting_.requests.push_back(std::move(request));
        });
    }
    [[nodiscard]] Drained take() noexcept {
        const std::lock_guard lock{mutex_};
        return std::exchange(waiting_, {});
    }
    [[nodiscard]] bool closed() noexcept {
        const std::lock_guard lock{mutex_};
        return closed_;
    }
    /// Takes no more letters of a sink, and gives back those that wait.
    void close() noexcept {
        Drained rest;
        {
            const std::lock_guard lock{mutex_};
            closed_ = true;
            std::swap(rest.writes, waiting_.writes);
            std::swap(rest.requests, waiting_.requests);
        }
        for (const auto& write : rest.writes) write->abandon(errc::closed);
    }

private:
    template <class F>
    void put(F f) noexcept {
        {
            const std::lock_guard lock{mutex_};
            try {
                f();
            } catch (const std::exception&) { // a receipt is lost: its record stays unsettled, and is read again
            }
        }
        wakes_->wake();
    }
    std::mutex mutex_;
    Drained waiting_;
    bool closed_ = false;
    std::shared_ptr<SettlementInbox> wakes_;
};

} // namespace bulkhead::inline v1::detail
