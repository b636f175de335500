// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/subscription.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace bulkhead::inline v1::detail {

/// State that calls of observers reach from their executors. They may run when the indexer and its context are gone, so
/// it holds no Asio object. Thread-safe.
template <class Intake, class Core>
class SharedState {
public:
    template <class Options>
    SharedState(const Options& options, Core& core) : intake{options}, core_{&core} {}

    /// Lets the indexer's strand run, if the indexer still exists and is not closed.
    void wake() {
        const std::lock_guard lock{mutex_};
        if (core_ != nullptr) core_->wake();
    }
    /// The indexer is destroyed.
    void detach() {
        const std::lock_guard lock{mutex_};
        core_ = nullptr;
    }
    /// Calls with so many settlements are about to be posted.
    void expect(std::uint64_t settlements) {
        const std::lock_guard lock{mutex_};
        in_transit_ += settlements;
    }
    /// A call with so many settlements begins on its observer's executor. False when the observers are silenced.
    [[nodiscard]] bool begin_call(std::uint64_t settlements) {
        const std::lock_guard lock{mutex_};
        if (silenced_) return false;
        in_transit_ -= settlements;
        return true;
    }
    /// The close has ended: no call of an observer begins any more. Returns how many settlements were not delivered.
    [[nodiscard]] std::uint64_t silence() {
        const std::lock_guard lock{mutex_};
        core_ = nullptr;
        silenced_ = true;
        return std::exchange(in_transit_, 0);
    }

    Intake intake;
    const std::shared_ptr<Observers> observers = std::make_shared<Observers>();

private:
    std::mutex mutex_;
    Core* core_;                   ///< until the close ends
    std::uint64_t in_transit_ = 0; ///< settlements for observers whose calls have not begun
    bool silenced_ = false;
};

} // namespace bulkhead::inline v1::detail
