// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/kafka/detail/letters/letter_inbox.hpp>
#include <bulkhead/kafka/letter_writer.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <mutex>
#include <span>
#include <utility>

/// Dead letters that remember which Kafka record they came from.
namespace bulkhead::inline v1 {

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
                auto request = std::make_unique<detail::PositionRequest>(
                    placed, detail::Completion<error_code>{std::move(handler), executor});
                if (const auto inbox = shared->inbox()) inbox->put_request(std::move(request));
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
