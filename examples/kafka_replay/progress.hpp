// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include <spdlog/logger.h>

namespace replay {

/// How the replay stands, for people.
struct Standing {
    std::uint64_t consumed = 0;
    std::uint64_t indexed = 0;
    std::uint64_t lag = 0;
    std::uint64_t buffered_bytes = 0;
    std::uint64_t budget_bytes = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t failures = 0;
};

/// What may go wrong record after record.
enum class Trouble : unsigned char { without_payload, invalid, failed, offsets, kafka };

/// Everything that goes to standard error: log lines, and how the replay stands: a line that is rewritten in place on a
/// terminal, a line every two seconds elsewhere. Any thread.
class Progress {
public:
    explicit Progress(bool quiet);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void info(const std::string& text);
    /// What was asked for, also when we are to be quiet.
    void answer(const std::string& text);
    void warn(const std::string& text);
    void error(const std::string& text);
    /// A warning that may come a million times: the first few in full, then at most one a second with a count.
    void trouble(Trouble kind, const std::string& text);
    /// Whether it is time to `show`.
    [[nodiscard]] bool due() const;
    void show(const Standing& now);
    /// Says what `trouble` has held back, and leaves the live line.
    void finish();

private:
    using Clock = std::chrono::steady_clock;
    struct Held {
        std::uint64_t told = 0;
        std::uint64_t held_back = 0;
        std::string latest;
        Clock::time_point last{};
    };
    void say(spdlog::level::level_enum level, const std::string& text);
    void clear_line() noexcept;

    mutable std::mutex mutex_; ///< for what is below; what is private is called under it
    bool quiet_;
    bool terminal_;
    bool line_shown_ = false;
    Clock::time_point shown_at_{};
    std::uint64_t shown_indexed_ = 0;
    std::array<Held, 5> troubles_;
    std::shared_ptr<spdlog::logger> log_;
};

} // namespace replay
