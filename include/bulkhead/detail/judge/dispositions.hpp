// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace bulkhead::inline v1::detail {

/// What happens to an operation next.
enum class Next : std::uint8_t { settle, retry, dead_letter };

/// What an answer means for one operation. Small, since there is one for each.
struct Disposition {
    std::uint32_t error = 0; ///< which of the texts, see `Dispositions::error_of`
    std::uint16_t status = 0;
    Outcome outcome = Outcome::indexed;
    Result result = Result::unspecified;
    Next next = Next::settle;
    bool waits = false; ///< for its index, or for a permission

    /// Whether its outcome is a failure, which is reported with its text.
    [[nodiscard]] bool is_failure() const noexcept {
        return outcome != Outcome::indexed && outcome != Outcome::superseded;
    }
};

/// Error type and reason. The views live as long as what they were read from: the answer, or the letter.
struct ErrorText {
    std::string_view type{};
    std::string_view reason{};
};

/// What an answer means for each operation of a bulk, by position. Reusable: `start` keeps the memory. Pure.
class Dispositions {
public:
    /// So many operations, each of which succeeded until something else is written. Throws `std::bad_alloc`.
    void start(std::size_t operations) {
        each_.assign(operations, Disposition{});
        errors_.assign(1, ErrorText{}); // the text of a success
    }
    [[nodiscard]] std::size_t size() const noexcept { return each_.size(); }
    [[nodiscard]] Disposition& operator[](std::size_t i) noexcept { return each_[i]; }
    [[nodiscard]] const Disposition& operator[](std::size_t i) const noexcept { return each_[i]; }
    [[nodiscard]] auto begin() noexcept { return each_.begin(); }
    [[nodiscard]] auto end() noexcept { return each_.end(); }
    [[nodiscard]] auto begin() const noexcept { return each_.begin(); }
    [[nodiscard]] auto end() const noexcept { return each_.end(); }

    /// Keeps a text, for `Disposition::error`. Throws `std::bad_alloc`.
    [[nodiscard]] std::uint32_t add_error(std::string_view type, std::string_view reason) {
        errors_.push_back({type, reason});
        return static_cast<std::uint32_t>(errors_.size() - 1);
    }
    [[nodiscard]] const ErrorText& error_of(const Disposition& one) const noexcept { return errors_[one.error]; }

    [[nodiscard]] std::size_t count(Outcome outcome) const noexcept {
        const auto has_it = [&](const Disposition& one) { return one.outcome == outcome; };
        return static_cast<std::size_t>(std::count_if(each_.begin(), each_.end(), has_it));
    }
    /// Frees memory for more than so many operations.
    void trim(std::size_t worth_keeping) noexcept {
        if (each_.capacity() > worth_keeping) decltype(each_){}.swap(each_);
        if (errors_.capacity() > worth_keeping) decltype(errors_){}.swap(errors_);
    }

private:
    std::vector<Disposition> each_;
    std::vector<ErrorText> errors_;
};

} // namespace bulkhead::inline v1::detail
