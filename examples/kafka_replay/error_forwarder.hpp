// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace replay {

/// Passes events of level error and above to a second topic, for whoever alarms people. Fire and forget: `forward`
/// never waits, and what happens to the copies holds up nobody; it is only counted. What does not fit into the
/// producer's queue is dropped, and counted. One thread at a time.
class ErrorLogForwarder {
public:
    struct Counts {
        std::uint64_t forwarded = 0; ///< handed to the producer
        std::uint64_t delivered = 0; ///< acknowledged by the broker
        std::uint64_t failed = 0;    ///< refused or timed out
        std::uint64_t dropped = 0;   ///< the producer's queue was full
    };

    /// `settings` are librdkafka's. Throws `UsageError` when librdkafka does not take them.
    ErrorLogForwarder(const std::string& brokers, const std::string& topic,
                      const std::vector<std::pair<std::string, std::string>>& settings);
    ~ErrorLogForwarder();
    ErrorLogForwarder(const ErrorLogForwarder&) = delete;
    ErrorLogForwarder& operator=(const ErrorLogForwarder&) = delete;

    void forward(std::optional<std::string_view> key, std::string_view event) noexcept;
    /// Takes in acknowledgements. Never waits. Now and then.
    void poll() noexcept;
    /// Gives what is still queued a last chance, at most so long.
    void finish(std::chrono::milliseconds timeout) noexcept;
    [[nodiscard]] Counts counts() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace replay
