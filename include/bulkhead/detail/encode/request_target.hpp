// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/options.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

namespace bulkhead::inline v1 {

/// Percent-encodes everything but RFC 3986's unreserved characters.
[[nodiscard]] inline std::string percent_encoded(std::string_view text) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    constexpr std::string_view plain = "-._~";
    std::string out;
    for (const char c : text) {
        const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (alphanumeric || plain.find(c) != std::string_view::npos) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += {'%', hex[byte >> 4U], hex[byte & 0xFU]};
        }
    }
    return out;
}

/// What travels in the query, with the server's `timeout` where the caller gives none: a quarter of `request_timeout`,
/// at most 1 min (the default of Elasticsearch and OpenSearch). A server that waits for a primary shard then answers
/// before the client gives up, also when it waits more than once.
[[nodiscard]] inline RequestDefaults with_server_timeout(RequestDefaults defaults,
                                                         std::chrono::milliseconds request_timeout) {
    using namespace std::chrono_literals;
    const auto quarter = std::clamp<std::chrono::milliseconds>(request_timeout / 4, 1ms, 1min);
    if (defaults.timeout.empty()) defaults.timeout = std::to_string(quarter.count()) + "ms";
    return defaults;
}

/// The path and query of every bulk request. The filter keeps a leaf in each item, so that positions survive it. What
/// an item did (`items.*.result`) is requested only with updates and deletes, where the status does not show it. An
/// error's `caused_by` is left out: no verdict depends on it, and in a bulk of refused documents it would double the
/// answer.
[[nodiscard]] inline std::string bulk_target(const RequestDefaults& defaults, bool with_results) {
    std::string target = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,"
                         "items.*.failure_store";
    if (with_results) target += ",items.*.result";
    const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) target.append("&").append(name).append("=").append(percent_encoded(value));
    };
    add("pipeline", defaults.pipeline);
    add("refresh", defaults.refresh);
    add("timeout", defaults.timeout);
    add("wait_for_active_shards", defaults.wait_for_active_shards);
    return target;
}

} // namespace bulkhead::inline v1
