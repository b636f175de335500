// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/settlement.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Where settlements wait for the source's thread. Thread-safe.
class SettlementInbox {
public:
    struct Note {
        std::uint64_t key = 0;
        std::uint32_t failure = 0; ///< position in `failures` plus one; 0 for none kept
        std::uint32_t attempts = 0;
        std::uint16_t status = 0;
        Outcome outcome{};
        bool closing = false; ///< given up because the indexer closed
    };
    struct KeptFailure {
        std::string type, reason, action_line, source;
        [[nodiscard]] std::size_t bytes() const noexcept {
            return type.size() + reason.size() + action_line.size() + source.size();
        }
    };
    struct Drained {
        std::vector<Note> notes;
        std::vector<KeptFailure> failures;
        bool incomplete = false; ///< memory ran out: settlements are missing
    };

    /// `keep_failures`: as long as they are few. `keep_unknown`: the failures of unknown outcomes in any case.
    SettlementInbox(std::function<void()> on_wake, bool keep_failures, bool keep_unknown = false)
        : keep_failures_{keep_failures}, keep_unknown_{keep_unknown}, on_wake_{std::move(on_wake)} {}

    void put(std::span<const Settlement> settlements) noexcept {
        bool first = false;
        {
            const std::lock_guard lock{mutex_};
            first = !ready_.load(std::memory_order_relaxed);
            try {
                add(settlements);
            } catch (const std::exception&) {
                waiting_.incomplete = true;
            }
            ready_.store(true, std::memory_order_release);
        }
        if (!first) return;
        arrived_.notify_all();
        const std::lock_guard lock{wake_mutex_};
        if (!on_wake_) return;
        try {
            on_wake_();
        } catch (...) { // NOLINT: an exception of a waker concerns no caller
        }
    }

    /// There is something to do for the source's thread, here or elsewhere.
    void wake() noexcept { put({}); }

    [[nodiscard]] bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }

    /// Takes everything; `into`, emptied, becomes the new inbox, so that memory is reused.
    void take(Drained& into) noexcept {
        into.notes.clear();
        into.failures.clear();
        into.incomplete = false;
        const std::lock_guard lock{mutex_};
        std::swap(into, waiting_);
        kept_bytes_ = 0;
        ready_.store(false, std::memory_order_relaxed);
    }

    /// Whether something waits, at the latest after `timeout`.
    bool wait(std::chrono::nanoseconds timeout) {
        std::unique_lock lock{mutex_};
        return arrived_.wait_for(lock, timeout, [this] { return ready_.load(std::memory_order_relaxed); });
    }

    /// After this `on_wake` is not running and will not be called.
    void stop_waking() {
        const std::lock_guard lock{wake_mutex_};
        on_wake_ = nullptr;
    }

private:
    static constexpr std::size_t most_kept_bytes = std::size_t{4} << 20;

    void add(std::span<const Settlement> settlements) {
        waiting_.notes.reserve(waiting_.notes.size() + settlements.size());
        for (const auto& settlement : settlements) {
            Note note{settlement.key, 0, settlement.attempts, settlement.status, settlement.outcome, false};
            if (const auto* failure = settlement.failure) {
                note.closing = failure->type == to_string(errc::closed);
                const bool must = keep_unknown_ && settlement.outcome == Outcome::unknown;
                if (must || (keep_failures_ && kept_bytes_ <= most_kept_bytes)) note.failure = keep(*failure);
            }
            waiting_.notes.push_back(note);
        }
    }
    std::uint32_t keep(const Failure& failure) {
        waiting_.failures.push_back({std::string{failure.type}, std::string{failure.reason},
                                     std::string{failure.action_line}, std::string{failure.source}});
        kept_bytes_ += waiting_.failures.back().bytes() + sizeof(KeptFailure);
        return static_cast<std::uint32_t>(waiting_.failures.size());
    }

    std::mutex mutex_;
    std::condition_variable arrived_;
    std::atomic<bool> ready_{false};
    Drained waiting_;
    std::size_t kept_bytes_ = 0;
    const bool keep_failures_;
    const bool keep_unknown_;
    std::recursive_mutex wake_mutex_; ///< `on_wake` may poll the source, and what that posts wakes again
    std::function<void()> on_wake_;
};

/// The observer that a source subscribes: it only fills the inbox, so it may outlive the source.
struct InboxObserver {
    std::shared_ptr<SettlementInbox> inbox;
    void operator()(std::span<const Settlement> settlements) const noexcept { inbox->put(settlements); }
};

} // namespace bulkhead::inline v1::detail
