// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The parts of a request's URI: path and query, percent-decoded.
namespace bulkhead::inline v1::test::detail {

[[nodiscard]] inline std::string decoded(std::string_view text) {
    std::string out;
    const auto hex = [](char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                      : -1;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

/// The steps of a path.
[[nodiscard]] inline std::vector<std::string> path_steps(std::string_view path) {
    std::vector<std::string> steps;
    for (std::size_t from = 1; from < path.size();) {
        const auto to = std::min(path.find('/', from), path.size());
        steps.push_back(decoded(path.substr(from, to - from)));
        from = to + 1;
    }
    return steps;
}

/// Nothing when it is not there; empty when it has no value.
[[nodiscard]] inline std::optional<std::string> query_parameter(std::string_view target, std::string_view name) {
    target.remove_prefix(std::min(target.find('?'), target.size()));
    while (!target.empty()) {
        target.remove_prefix(1); // the '?' or '&'
        const auto pair = target.substr(0, target.find('&'));
        target.remove_prefix(pair.size());
        const auto equals = std::min(pair.find('='), pair.size());
        if (pair.substr(0, equals) == name) return decoded(pair.substr(std::min(equals + 1, pair.size())));
    }
    return std::nullopt;
}

} // namespace bulkhead::inline v1::test::detail
