// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/send/in_flight_limiter.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// What is known of the endpoint: how many requests it takes at once, whether it pauses or is probed, what is wrong
/// with it, and whether it rejects everything. Pure.
template <class TimePoint>
class Endpoint {
public:
    Endpoint(std::size_t max_in_flight, std::size_t min_in_flight) noexcept : limiter_{max_in_flight, min_in_flight} {}

    [[nodiscard]] Concurrency<TimePoint>& limiter() noexcept { return limiter_; }
    [[nodiscard]] const Concurrency<TimePoint>& limiter() const noexcept { return limiter_; }
    /// Whether it has failed as a whole, and was not seen to work since.
    [[nodiscard]] bool is_failing() const noexcept { return limiter_.failures() != 0; }
    /// When a bulk that waits may be sent, as far as the pause is concerned.
    [[nodiscard]] TimePoint resume_at(std::size_t in_flight) const noexcept {
        return is_failing() ? limiter_.resume_at(in_flight) : TimePoint::min();
    }

    /// What is wrong with it.
    void note_trouble(std::string trouble) noexcept { trouble_ = std::move(trouble); }
    /// What keeps it from being used. Empty when nothing does.
    [[nodiscard]] std::string_view trouble() const noexcept {
        return is_failing() ? std::string_view{trouble_} : std::string_view{};
    }

    /// Whether so many single operations in a row were rejected alike that the endpoint is presumed to be
    /// misconfigured, and one more of this type is not rejected for good.
    [[nodiscard]] bool rejects_everything(std::string_view type) const noexcept {
        return single_rejections_ >= most_single_rejections && type == rejection_type_;
    }
    /// A request of one operation was rejected as malformed. Throws `std::bad_alloc`; then nothing was counted.
    void rejected_alone(const std::string& type) {
        if (type != rejection_type_) {
            rejection_type_ = type;
            single_rejections_ = 0;
        }
        ++single_rejections_;
    }
    /// An answer had one item for each operation.
    void answered_items() noexcept { single_rejections_ = 0; }

    /// What judging an answer changes here.
    struct Memory {
        Concurrency<TimePoint> limiter;
        std::size_t single_rejections;
    };
    [[nodiscard]] Memory memory() const noexcept { return {limiter_, single_rejections_}; }
    /// As if the answer had not been judged. Of a type that was rejected for the first time, none has been then.
    void restore(const Memory& before) noexcept {
        limiter_ = before.limiter;
        if (single_rejections_ != before.single_rejections)
            single_rejections_ =
                single_rejections_ == before.single_rejections + 1 ? before.single_rejections : std::size_t{0};
    }

private:
    static constexpr std::size_t most_single_rejections = 32;

    Concurrency<TimePoint> limiter_;
    std::string trouble_;
    std::size_t single_rejections_ = 0; ///< of one type, since an answer had one item for each operation
    std::string rejection_type_;
};

} // namespace bulkhead::inline v1::detail
