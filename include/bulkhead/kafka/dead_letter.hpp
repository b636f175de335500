// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/kafka/detail/settlement_inbox.hpp>
#include <bulkhead/kafka/record.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/// Dead letters that remember which Kafka record they came from.
namespace bulkhead::inline v1 {

/// A record, or one operation of a record, on its way to a dead-letter topic. Views, valid only during the call.
/// `reason` and all bytes hold the user's data: treat them as sensitive.
struct KafkaLetter {
    std::string_view topic{}; ///< where it came from; empty when that is not known (another source's, or no record's)
    /// -1: not known.
    std::int32_t partition = -1;
    /// -1: not known.
    std::int64_t offset = -1;
    std::string_view type{}; ///< the server's error type, or `invalid`, `tombstone`, `too_large`, `unknown_outcome`
    /// Of the server or of the source; at most 1 KiB, may be empty. Sensitive.
    std::string_view reason{};
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server has answered about it.
    std::uint32_t attempts = 0;
    std::string_view action_line{}; ///< of the operation; empty when the record never became one
    std::string_view source{};      ///< of the operation
    const Record* record = nullptr; ///< the record itself, where it is at hand or was kept (`keep_records`)
};

namespace detail {

/// What a receipt is about: a ticket's key, and whether all of its record or one operation is settled by it.
struct LetterStub {
    std::uint64_t key = 0;
    std::size_t bytes = 0;
    bool whole_record = false;
};
/// Where receipts are handed in. Any thread.
class LetterDesk {
public:
    LetterDesk() = default;
    LetterDesk(const LetterDesk&) = delete;
    LetterDesk& operator=(const LetterDesk&) = delete;
    virtual ~LetterDesk() = default;
    virtual void received(const LetterStub& stub, error_code error) noexcept = 0;
};

} // namespace detail

/// Says that a letter is safe, or why it is not: to be called once, on any thread. Destroyed uncalled, it says
/// `errc::sink_failed`.
class LetterReceipt {
public:
    /// For the source: tells `desk` of the letter.
    LetterReceipt(std::shared_ptr<detail::LetterDesk> desk, detail::LetterStub stub) noexcept
        : desk_{std::move(desk)}, stub_{stub} {}
    /// Moves; what was moved from has nothing to tell.
    LetterReceipt(LetterReceipt&&) = default;
    LetterReceipt& operator=(LetterReceipt&&) = delete;
    ~LetterReceipt() {
        if (desk_) (*this)(errc::sink_failed);
    }
    /// Says how the letter fared: success means that it is safe. Once, from any thread.
    void operator()(error_code error) noexcept { std::exchange(desk_, nullptr)->received(stub_, error); }

private:
    std::shared_ptr<detail::LetterDesk> desk_;
    detail::LetterStub stub_;
};

/// A `Consumer` that can also write dead letters. Called on the source's thread; must not throw and must not block:
///
/// - `write_letter(letter, receipt)`: copy the letter, send it, and call the receipt when it is safe, or when it can
///   never be. Until then it counts as waiting, and the watermark does not pass it.
/// - `writes_letters()`: whether it is set up to do so.
template <class C>
concept LetterWriter = Consumer<C> && requires(C& client, const KafkaLetter& letter, LetterReceipt receipt) {
    client.write_letter(letter, std::move(receipt));
    { client.writes_letters() } -> std::convertible_to<bool>;
};

namespace detail {

/// One call of the sink: its letters wait for the source's thread, and then for their receipts.
class SinkWrite final : public LetterDesk {
public:
    SinkWrite(std::span<const DeadLetter> letters, Completion<error_code> done)
        : letters_{letters}, left_{letters.size()}, done_{std::move(done)} {}
    /// Valid until the last receipt.
    [[nodiscard]] std::span<const DeadLetter> letters() const noexcept { return letters_; }
    void received(const LetterStub&, error_code error) noexcept override {
        const std::lock_guard lock{mutex_};
        if (error && !error_) error_ = error;
        if (--left_ == 0) done_(error_);
    }
    /// The receipts that nobody can give any more.
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
/// Asks a source for the places of letters. Answered when it is dropped, by whomever.
class PlaceQuestion {
public:
    PlaceQuestion(std::shared_ptr<PlacedLetters> letters, Completion<error_code> done)
        : letters_{std::move(letters)}, done_{std::move(done)} {}
    PlaceQuestion(const PlaceQuestion&) = delete;
    PlaceQuestion& operator=(const PlaceQuestion&) = delete;
    ~PlaceQuestion() { done_({}); }
    [[nodiscard]] PlacedLetters& letters() noexcept { return *letters_; }

private:
    std::shared_ptr<PlacedLetters> letters_;
    Completion<error_code> done_;
};

/// The inbox of a source that takes dead letters too: those of a sink, and receipts. Thread-safe.
class LetterInbox final : public LetterDesk {
public:
    struct Receipt {
        LetterStub stub;
        error_code error;
    };
    struct Mail {
        std::vector<Receipt> receipts;
        std::vector<std::shared_ptr<SinkWrite>> writes;
        std::vector<std::unique_ptr<PlaceQuestion>> questions;
    };

    explicit LetterInbox(std::shared_ptr<SettlementInbox> wakes) : wakes_{std::move(wakes)} {}

    void received(const LetterStub& stub, error_code error) noexcept override {
        put([&] { mail_.receipts.push_back({stub, error}); });
    }
    /// False when the source is gone.
    bool put_write(const std::shared_ptr<SinkWrite>& write) noexcept {
        bool open = false;
        put([&] {
            if (closed_) return;
            mail_.writes.push_back(write);
            open = true;
        });
        return open;
    }
    /// Drops the question when the source is gone.
    void ask(std::unique_ptr<PlaceQuestion> question) noexcept {
        put([&] {
            if (!closed_) mail_.questions.push_back(std::move(question));
        });
    }
    [[nodiscard]] Mail take() noexcept {
        const std::lock_guard lock{mutex_};
        return std::exchange(mail_, {});
    }
    [[nodiscard]] bool closed() noexcept {
        const std::lock_guard lock{mutex_};
        return closed_;
    }
    /// Takes no more letters of a sink, and gives back those that wait.
    void close() noexcept {
        Mail rest;
        {
            const std::lock_guard lock{mutex_};
            closed_ = true;
            std::swap(rest.writes, mail_.writes);
            std::swap(rest.questions, mail_.questions);
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
    Mail mail_;
    bool closed_ = false;
    std::shared_ptr<SettlementInbox> wakes_;
};

} // namespace detail

/// Connects the dead letters of an indexer with the source that feeds it, so that they reach the consumer's dead-letter
/// topic with the record they came from:
///
///     KafkaDeadLetters letters;
///     BulkIndexer indexer{executor, transport, options, letters.sink(executor)};
///     kafka::Driver driver{indexer, mapper, {…, .dead_letter_topic = "logs.dead"}, {.dead_letters = letters}};
///
/// A handle, freely copied. One source at a time takes its letters; while there is none, or one whose consumer writes
/// no letters, the sink fails, and the indexer waits (`Health::sink_failing`). It completes at the receipt of the last
/// letter, e.g. the broker's delivery report. Letters of operations that came from elsewhere are written without a
/// position.
///
/// Another sink can learn the position likewise: `letters.sink(executor, FileSink{…})` writes to the file which topic,
/// partition and offset a letter came from. It needs no consumer that writes letters, and while there is no source it
/// writes all the same, without positions.
class KafkaDeadLetters {
public:
    /// A `DeadLetterSink`.
    class Sink {
    public:
        /// See `DeadLetterSink`.
        asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
            const auto shared = shared_;
            const auto executor = executor_;
            const auto initiate = [shared, executor, letters](auto handler) {
                const auto write = std::make_shared<detail::SinkWrite>(
                    letters, detail::Completion<error_code>{std::move(handler), executor});
                const auto inbox = shared->inbox();
                if (!inbox || !inbox->put_write(write)) write->abandon(errc::letters_not_taken);
            };
            error_code error;
            auto token = asio::redirect_error(asio::use_awaitable, error);
            co_await asio::async_initiate<decltype(token), void(error_code)>(initiate, token);
            co_return error;
        }

    private:
        friend class KafkaDeadLetters;
        struct Shared;
        Sink(std::shared_ptr<Shared> shared, asio::any_io_executor executor)
            : shared_{std::move(shared)}, executor_{std::move(executor)} {}

        struct Shared {
            [[nodiscard]] std::shared_ptr<detail::LetterInbox> inbox() {
                const std::lock_guard lock{mutex};
                return current.lock();
            }
            std::mutex mutex;
            std::weak_ptr<detail::LetterInbox> current;
        };
        std::shared_ptr<Shared> shared_;
        asio::any_io_executor executor_;
    };

    /// A `DeadLetterSink` that asks the source where the letters came from and hands them on to another.
    template <DeadLetterSink S>
    class PlacingSink {
    public:
        /// See `DeadLetterSink`.
        asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
            const auto shared = shared_;
            const auto sink = sink_;
            const auto executor = executor_;
            const auto placed = std::make_shared<detail::PlacedLetters>(letters);
            const auto initiate = [shared, executor, placed](auto handler) {
                auto question = std::make_unique<detail::PlaceQuestion>(
                    placed, detail::Completion<error_code>{std::move(handler), executor});
                if (const auto inbox = shared->inbox()) inbox->ask(std::move(question));
            };
            error_code never;
            auto token = asio::redirect_error(asio::use_awaitable, never);
            co_await asio::async_initiate<decltype(token), void(error_code)>(initiate, token);
            error_code error = co_await sink->write(placed->letters());
            co_return error;
        }
        /// See `DeadLetterSink`.
        void shutdown() noexcept { detail::shut_down_sink(*sink_); }

    private:
        friend class KafkaDeadLetters;
        PlacingSink(std::shared_ptr<Sink::Shared> shared, asio::any_io_executor executor, S sink)
            : shared_{std::move(shared)}, executor_{std::move(executor)}, sink_{std::make_shared<S>(std::move(sink))} {}
        std::shared_ptr<Sink::Shared> shared_;
        asio::any_io_executor executor_;
        std::shared_ptr<S> sink_;
    };

    KafkaDeadLetters() : shared_{std::make_shared<Sink::Shared>()} {}

    /// For the indexer, with its executor.
    [[nodiscard]] Sink sink(asio::any_io_executor executor) const { return Sink{shared_, std::move(executor)}; }
    /// The same for letters that go to another sink.
    template <DeadLetterSink S>
    [[nodiscard]] PlacingSink<S> sink(asio::any_io_executor executor, S sink) const {
        return PlacingSink<S>{shared_, std::move(executor), std::move(sink)};
    }

    /// For `KafkaSource`: from here on `inbox` takes the letters. False when another source does so already.
    [[nodiscard]] bool connect(const std::shared_ptr<detail::LetterInbox>& inbox) const {
        const std::lock_guard lock{shared_->mutex};
        const auto current = shared_->current.lock();
        if (current && !current->closed()) return false;
        shared_->current = inbox;
        return true;
    }

private:
    std::shared_ptr<Sink::Shared> shared_;
};

} // namespace bulkhead::inline v1
