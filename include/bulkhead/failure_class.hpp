// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bulkhead::inline v1 {

/// What kind of thing went wrong: few enough to be a label of a metric, as opposed to a server's error types.
enum class FailureClass : std::uint8_t {
    transport,        ///< no whole answer: no connection, it broke, or it took too long
    malformed_answer, ///< a success status with a body that proves nothing
    pushed_back,      ///< 429
    not_allowed,      ///< 401, 403 or 407
    too_large,        ///< 413
    client_error,     ///< any other 4xx, or a redirect
    server_error,     ///< 5xx
    sink,             ///< the dead-letter sink
    local,            ///< the indexer's own: an operation was invalid, overflowed, grew too old, or a close came first
};
/// How many classes there are.
inline constexpr std::size_t failure_class_count = 9;

/// Its name as in the documentation, e.g. `"pushed_back"`.
[[nodiscard]] constexpr std::string_view to_string(FailureClass failure) noexcept {
    constexpr std::string_view names[] = {"transport",    "malformed_answer", "pushed_back", "not_allowed", "too_large",
                                          "client_error", "server_error",     "sink",        "local"};
    return names[static_cast<std::size_t>(failure)];
}

/// How often each class of failure was met.
class FailureCounts {
public:
    /// Of one class.
    [[nodiscard]] std::uint64_t of(FailureClass failure) const noexcept {
        return counts_[static_cast<std::size_t>(failure)];
    }
    /// Of all classes.
    [[nodiscard]] std::uint64_t total() const noexcept {
        std::uint64_t sum = 0;
        for (const auto count : counts_) sum += count;
        return sum;
    }
    /// Counts some more of one class.
    void add(FailureClass failure, std::uint64_t count) noexcept {
        counts_[static_cast<std::size_t>(failure)] += count;
    }

private:
    std::array<std::uint64_t, failure_class_count> counts_{};
};

/// The class of a failure of this type (see `FailureSample::type`) with this status; 0 when there was none.
[[nodiscard]] constexpr FailureClass classify(std::string_view type, std::uint16_t status) noexcept {
    if (type == "malformed_answer") return FailureClass::malformed_answer;
    if (status == 0) {
        if (type == "transport" || type == "no_answer") return FailureClass::transport;
        return type == "sink_failed" ? FailureClass::sink : FailureClass::local;
    }
    if (status == 429) return FailureClass::pushed_back;
    if (status == 401 || status == 403 || status == 407) return FailureClass::not_allowed;
    if (status == 413) return FailureClass::too_large;
    if (status < 300) return FailureClass::transport; // the answer began, and broke
    return status < 500 ? FailureClass::client_error : FailureClass::server_error;
}

} // namespace bulkhead::inline v1
