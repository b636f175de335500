// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/settlement.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Calls of `async_index` that wait for the end of one operation, by the key of its ticket. Thread-safe.
class IndexWaiters {
public:
    using Done = Completion<boost::system::error_code, IndexResult>;

    /// Before the operation is enqueued. Throws `std::bad_alloc`.
    void add(std::uint64_t key, Done done) {
        const std::lock_guard lock{mutex_};
        waiters_.emplace(key, std::move(done));
    }
    /// The one with this key; empty when it does not wait.
    [[nodiscard]] Done take(std::uint64_t key) {
        const std::lock_guard lock{mutex_};
        auto node = waiters_.extract(key);
        return node ? std::move(node.mapped()) : Done{};
    }
    /// Frees memory above `worth_keeping` buckets while nobody waits.
    void trim(std::size_t worth_keeping) noexcept {
        const std::lock_guard lock{mutex_};
        if (waiters_.empty() && waiters_.bucket_count() > worth_keeping) decltype(waiters_){}.swap(waiters_);
    }

private:
    std::mutex mutex_;
    std::unordered_map<std::uint64_t, Done> waiters_;
};

} // namespace bulkhead::inline v1::detail
