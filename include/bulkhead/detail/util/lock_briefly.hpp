// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <mutex>

namespace bulkhead::inline v1::detail {

/// Locks a mutex that is nearly always held for some tens of nanoseconds only: tries for a microsecond or two before it
/// lets the kernel put the thread to sleep, which would take longer and cost the holder a wake-up.
[[nodiscard]] inline std::unique_lock<std::mutex> lock_briefly(std::mutex& mutex) {
    constexpr int tries = 40;
    std::unique_lock lock{mutex, std::try_to_lock};
    for (int i = 0; !lock && i < tries; ++i) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
        (void)lock.try_lock();
    }
    if (!lock) lock.lock();
    return lock;
}

} // namespace bulkhead::inline v1::detail
