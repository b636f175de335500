// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace bulkhead::inline v1::kafka::detail {

/// The receipts of letters under way, by number. Any thread. Those that are left report, when they are destroyed, that
/// their letters are not safe.
class LetterReceipts {
public:
    /// Its number. Throws `std::bad_alloc`; the receipt is destroyed then.
    std::uint64_t keep(LetterReceipt receipt) {
        const std::lock_guard lock{mutex_};
        receipts_.emplace(++last_, std::move(receipt));
        return last_;
    }
    /// Each number once.
    LetterReceipt take(std::uint64_t id) noexcept {
        const std::lock_guard lock{mutex_};
        const auto found = receipts_.find(id);
        auto receipt = std::move(found->second);
        receipts_.erase(found);
        return receipt;
    }

private:
    std::mutex mutex_;
    std::uint64_t last_ = 0;
    std::unordered_map<std::uint64_t, LetterReceipt> receipts_;
};

} // namespace bulkhead::inline v1::kafka::detail
