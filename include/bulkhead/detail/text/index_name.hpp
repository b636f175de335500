// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/error.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::inline v1 {

/// What is wrong with an index, alias or data stream name by Elasticsearch's rules, if anything.
[[nodiscard]] inline std::optional<FieldError> check_index_name(std::string_view name) {
    constexpr const char* limit = "1 to 255 bytes of lower-case UTF-8, not beginning with - _ +, "
                                  "without \\ / * ? \" < > | , # space or control characters";
    const auto wrong = [&] {
        return FieldError{"index", limit, name.empty() ? "nothing" : std::string{name.substr(0, 64)}};
    };
    if (name.empty() || name.size() > 255 || name == "." || name == "..") return wrong();
    if (name[0] == '-' || name[0] == '_' || name[0] == '+') return wrong();
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte == 0x7F || (c >= 'A' && c <= 'Z')) return wrong();
        if (std::string_view{"\\/*?\"<>|,#"}.find(c) != std::string_view::npos) return wrong();
    }
    if (!is_utf8(name)) return wrong();
    return std::nullopt;
}

} // namespace bulkhead::inline v1
