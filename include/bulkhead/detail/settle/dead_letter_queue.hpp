// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Dead letters that wait for the sink, batch by batch; one write is in progress at a time. Pure. `Letters` is what the
/// sink takes at once.
template <class Letters, class TimePoint>
class DeadLetterQueue {
public:
    using LettersPtr = std::shared_ptr<Letters>;
    /// A place with all the memory that it needs.
    using Place = std::list<LettersPtr>;

    void push(Place place) noexcept { waiting_.splice(waiting_.end(), place); }
    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    /// The batch that is being written, or will be next. Not when the queue is empty.
    [[nodiscard]] const LettersPtr& front() const noexcept { return waiting_.front(); }
    void pop_front() noexcept { waiting_.pop_front(); }
    template <class F>
    void for_each(const F& f) const {
        for (const auto& letters : waiting_) f(*letters);
    }

    /// Whether the sink has failed, or does not keep up with what it has to take. Nothing is sent meanwhile.
    [[nodiscard]] bool is_behind() const noexcept { return failures_ != 0 || waiting_.size() >= most_waiting; }
    /// Why the sink is behind. Empty when it has not failed.
    [[nodiscard]] std::string_view trouble() const noexcept {
        return failures_ == 0 ? std::string_view{} : std::string_view{trouble_};
    }

    /// Whether a write begins now: of the front.
    [[nodiscard]] bool begin_write(TimePoint now) noexcept {
        if (waiting_.empty() || writing_ || now < resume_at_) return false;
        return writing_ = true;
    }
    [[nodiscard]] bool is_writing() const noexcept { return writing_; }
    /// The write that began has ended, or could not start.
    void end_write() noexcept { writing_ = false; }
    /// The sink has taken a batch.
    void succeeded() noexcept { failures_ = 0; }
    /// The sink has failed. Returns how often in a row.
    std::uint32_t count_failure() noexcept {
        if (failures_ < 0xffffffffU) ++failures_;
        return failures_;
    }
    /// The next write begins at `resume_at` or later.
    void rest_until(TimePoint resume_at) noexcept { resume_at_ = resume_at; }
    void note_trouble(std::string trouble) noexcept { trouble_ = std::move(trouble); }
    /// When the next write can begin; `max()` when none is due.
    [[nodiscard]] TimePoint next_deadline() const noexcept {
        return waiting_.empty() || writing_ ? TimePoint::max() : resume_at_;
    }

private:
    static constexpr std::size_t most_waiting = 8;

    std::list<LettersPtr> waiting_;
    bool writing_ = false;
    std::uint32_t failures_ = 0; ///< in a row
    TimePoint resume_at_ = TimePoint::min();
    std::string trouble_;
};

} // namespace bulkhead::inline v1::detail
