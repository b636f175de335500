// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/sinks/file_sink.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace replay {

/// Writes the source's own dead letters (records that never became an operation, and operations whose outcome is
/// unknown) to the file of the indexer's: by a copy of its sink, so that one at a time writes. A letter's receipt is
/// given when it is on the disk; letters that come meanwhile are written together. A record's key and headers are not
/// kept.
class FileLetters {
public:
    /// `executor`: a strand, or of a context with one thread. The sink's copies share the file.
    FileLetters(bulkhead::asio::any_io_executor executor, bulkhead::FileSink sink)
        : state_{std::make_shared<State>(std::move(executor), std::move(sink))} {}

    /// Copies the letter. Any thread. Without memory it throws, and the receipt says that the letter is not safe.
    void write(const bulkhead::KafkaLetter& letter, bulkhead::LetterReceipt receipt) {
        Kept kept{letter, std::move(receipt)};
        const std::lock_guard lock{state_->mutex};
        state_->waiting.push_back(std::move(kept));
        if (state_->writing) return;
        bulkhead::asio::co_spawn(state_->executor, write_all(state_), bulkhead::asio::detached);
        state_->writing = true;
    }

private:
    struct Kept {
        Kept(const bulkhead::KafkaLetter& letter, bulkhead::LetterReceipt receipt_in)
            : action_line{letter.action_line}, source{letter.record != nullptr ? letter.record->payload.value_or("")
                                                                               : letter.source},
              type{letter.type}, reason{letter.reason}, topic{letter.topic}, status{letter.status},
              attempts{letter.attempts}, partition{letter.partition}, offset{letter.offset}, receipt{std::move(
                                                                                                 receipt_in)} {}
        [[nodiscard]] bulkhead::DeadLetter letter() const {
            bulkhead::DeadLetter view{action_line, source, type, reason, status, attempts, {}, {}};
            view.topic = topic;
            view.partition = partition;
            view.offset = offset;
            return view;
        }
        std::string action_line, source, type, reason, topic;
        std::uint16_t status;
        std::uint32_t attempts;
        std::int32_t partition;
        std::int64_t offset;
        bulkhead::LetterReceipt receipt;
    };
    struct State {
        State(bulkhead::asio::any_io_executor executor_in, bulkhead::FileSink sink_in)
            : executor{std::move(executor_in)}, sink{std::move(sink_in)} {}
        bulkhead::asio::any_io_executor executor;
        bulkhead::FileSink sink;
        std::mutex mutex;
        std::vector<Kept> waiting;
        bool writing = false;
    };
    /// Until none waits. What an exception or the context's end leaves unwritten is reported by its receipt's
    /// destructor.
    static bulkhead::asio::awaitable<void> write_all(std::shared_ptr<State> state) {
        for (;;) {
            std::vector<Kept> now;
            {
                const std::lock_guard lock{state->mutex};
                if (state->waiting.empty()) {
                    state->writing = false;
                    co_return;
                }
                now.swap(state->waiting);
            }
            std::vector<bulkhead::DeadLetter> letters;
            for (const auto& kept : now) letters.push_back(kept.letter());
            bulkhead::error_code error = co_await state->sink.write(letters);
            for (auto& kept : now) kept.receipt(error);
        }
    }

    std::shared_ptr<State> state_;
};

} // namespace replay
