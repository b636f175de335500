// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Blocking waits for room. Each change has a number, so that a change between a refusal and the wait is not missed.
/// The owner's mutex guards it.
class RoomEvent {
public:
    /// The number of the latest change.
    [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }
    /// Something was released, or will never be. Unlocks before it notifies: those that wake need the lock.
    void notify(std::unique_lock<std::mutex> lock) {
        ++generation_;
        const bool awaited = waiters_ != 0;
        lock.unlock();
        if (awaited) changed_.notify_all();
    }
    /// Blocks until there was a change after `seen`, or `closed` is set, or `deadline` has passed (then false).
    bool wait(std::unique_lock<std::mutex>& lock, std::uint64_t seen, const bool& closed,
              std::chrono::steady_clock::time_point deadline) {
        ++waiters_;
        const bool in_time = changed_.wait_until(lock, deadline, [&] { return closed || generation_ != seen; });
        --waiters_;
        return in_time;
    }

private:
    std::condition_variable changed_;
    std::uint64_t generation_ = 0;
    std::size_t waiters_ = 0;
};

} // namespace bulkhead::inline v1::detail
