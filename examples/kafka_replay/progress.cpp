// SPDX-License-Identifier: BSL-1.0
#include "progress.hpp"

#include "summary.hpp"

#include <cstdio>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

namespace replay {

namespace {
constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::milliseconds plain_interval{2000};
constexpr std::uint64_t told_in_full = 3;

std::string mebibytes(std::uint64_t bytes) { return grouped(bytes >> 20U) + " MiB"; }
} // namespace

Progress::Progress(bool quiet)
    : quiet_{quiet}, terminal_{isatty(STDERR_FILENO) == 1},
      log_{std::make_shared<spdlog::logger>("kafka_replay", std::make_shared<spdlog::sinks::stderr_color_sink_mt>())} {
    log_->set_pattern("%H:%M:%S %^%l%$ %v");
    log_->set_level(quiet ? spdlog::level::warn : spdlog::level::info);
}

Progress::~Progress() { clear_line(); }

void Progress::say(spdlog::level::level_enum level, const std::string& text) {
    clear_line();
    log_->log(level, text);
}
void Progress::info(const std::string& text) {
    const std::lock_guard lock{mutex_};
    say(spdlog::level::info, text);
}
void Progress::answer(const std::string& text) {
    const std::lock_guard lock{mutex_};
    clear_line();
    std::fprintf(stderr, "%s\n", text.c_str());
    std::fflush(stderr);
}
void Progress::warn(const std::string& text) {
    const std::lock_guard lock{mutex_};
    say(spdlog::level::warn, text);
}
void Progress::error(const std::string& text) {
    const std::lock_guard lock{mutex_};
    say(spdlog::level::err, text);
}

void Progress::trouble(Trouble kind, const std::string& text) {
    const std::lock_guard lock{mutex_};
    auto& held = troubles_[static_cast<std::size_t>(kind)];
    const auto now = Clock::now();
    if (held.told >= told_in_full && now - held.last < std::chrono::seconds{1}) {
        ++held.held_back;
        held.latest = text;
        return;
    }
    ++held.told;
    held.last = now;
    say(spdlog::level::warn, held.held_back == 0 ? text : text + " (and " + grouped(held.held_back) + " more like it)");
    held.held_back = 0;
}

bool Progress::due() const {
    const std::lock_guard lock{mutex_};
    return Clock::now() - shown_at_ >= (terminal_ ? live_interval : plain_interval);
}

void Progress::show(const Standing& now) {
    const std::lock_guard lock{mutex_};
    const auto time = Clock::now();
    const std::chrono::duration<double> passed = time - shown_at_;
    const bool first = shown_at_ == Clock::time_point{};
    const auto rate = first ? 0.0 : static_cast<double>(now.indexed - shown_indexed_) / passed.count();
    shown_at_ = time;
    shown_indexed_ = now.indexed;
    if (quiet_) return;
    const auto line = "consumed " + grouped(now.consumed) + "  indexed " + grouped(now.indexed) + "  " +
                      grouped(static_cast<std::uint64_t>(rate)) + " docs/s  lag " + grouped(now.lag) + "  buffered " +
                      mebibytes(now.buffered_bytes) + " of " + mebibytes(now.budget_bytes) + "  in flight " +
                      std::to_string(now.in_flight) + "  failures " + grouped(now.failures);
    if (terminal_) {
        std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
        std::fflush(stderr);
        line_shown_ = true;
    } else {
        log_->info(line);
    }
}

void Progress::finish() {
    const std::lock_guard lock{mutex_};
    for (auto& held : troubles_) {
        if (held.held_back > 0)
            say(spdlog::level::warn,
                grouped(held.held_back) + " more warnings like this were held back: " + held.latest);
        held.held_back = 0;
    }
    clear_line();
}

void Progress::clear_line() noexcept {
    if (!line_shown_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
    line_shown_ = false;
}

} // namespace replay
