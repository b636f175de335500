// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/reply.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace bulkhead_test {

/// Keeps an answer's body.
struct KeptBody final : bulkhead::AnswerSink {
    std::string bytes;
    bool wanted = true; ///< false: the exchange is to end, as the reader has seen enough
    bool on_body(std::string_view more) override {
        bytes += more;
        return wanted;
    }
};

/// Which field was refused.
inline std::string field_of(const std::optional<bulkhead::FieldError>& error) {
    return error ? error->field : "nothing";
}

} // namespace bulkhead_test
