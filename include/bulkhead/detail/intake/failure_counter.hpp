// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Counts failures of operations in runs of one type, so that a bulk whose items fail alike takes the intake's lock
/// once.
template <class Intake>
class FailureCounter {
public:
    explicit FailureCounter(Intake& intake) : intake_{intake} {}
    /// `index`: where the operations wait, and others may not.
    void add(std::string_view type, std::string_view reason, std::uint16_t status, std::string_view index = {},
             std::size_t count = 1) {
        if (count_ != 0 && (type != type_ || index != index_)) flush();
        type_ = type;
        reason_ = reason;
        status_ = status;
        index_ = index;
        count_ += count;
    }
    void flush() {
        if (count_ == 0) return;
        intake_.note_failure(type_, reason_, status_, std::exchange(count_, 0), index_);
    }

private:
    Intake& intake_;
    std::string_view type_;
    std::string_view reason_;
    std::string_view index_;
    std::uint16_t status_ = 0;
    std::uint64_t count_ = 0;
};

} // namespace bulkhead::inline v1::detail
