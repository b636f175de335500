// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/settlement.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace bulkhead::inline v1 {

/// How one document ended, for who waited for it with `async_index`. Owns its texts.
struct IndexResult {
    /// How it ended.
    Outcome outcome = Outcome::unknown;
    /// What a proven success did, where the answer says so.
    Result result = Result::unspecified;
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server has answered about it.
    std::uint32_t attempts = 0;
    std::string type;   ///< the server's error type, or the name of a `bulkhead::errc`; empty on success
    std::string reason; ///< the server's reason, at most 1 KiB; may quote the document
};

} // namespace bulkhead::inline v1

namespace bulkhead::inline v1::detail {

/// Calls of `async_index` that wait for the end of one operation, by the key of its ticket. Thread-safe.
class IndexWaiters {
public:
    using Done = Completion<boost::system::error_code, IndexResult>;

    /// The slot of the tickets of these operations: no observer has it.
    static constexpr std::uint32_t slot = Ticket::nobody - 1;

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
