// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <utility>

namespace bulkhead::inline v1::detail {

/// Undoes a step when the block is left by an exception: at the end of its life it calls `undo`, unless it was
/// dismissed. `undo` must not throw.
template <class Undo>
class OnFailure {
public:
    explicit OnFailure(Undo undo) : undo_{std::move(undo)} {}
    OnFailure(const OnFailure&) = delete;
    OnFailure& operator=(const OnFailure&) = delete;
    ~OnFailure() {
        if (armed_) undo_();
    }
    /// The step is done.
    void dismiss() noexcept { armed_ = false; }

private:
    Undo undo_;
    bool armed_ = true;
};

} // namespace bulkhead::inline v1::detail
