// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <string_view>

/// Names and values of HTTP header fields: which may be sent, and which are the transport's own.
namespace bulkhead::inline v1::detail {

/// A header's value as it may be sent: no CR, LF or NUL, which would let it end the field (Beast does not check).
[[nodiscard]] inline bool is_header_value(std::string_view value) noexcept {
    for (const char c : value)
        if (const auto byte = static_cast<unsigned char>(c); (byte < 0x20 && c != '\t') || byte >= 0x7F) return false;
    return value.size() <= 8192;
}
[[nodiscard]] inline bool is_header_name(std::string_view name) noexcept {
    constexpr std::string_view allowed =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return !name.empty() && name.size() <= 256 && name.find_first_not_of(allowed) == std::string_view::npos;
}
[[nodiscard]] inline bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

/// Whether the transport alone sets this field: it frames the request, or it decides how the answer is framed, coded
/// or cut. Neither a user's header nor a signer's field can have such a name.
[[nodiscard]] inline bool is_own_header(std::string_view name) noexcept {
    for (const std::string_view own :
         {"Host", "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Accept", "Accept-Encoding",
          "Transfer-Encoding", "TE", "Trailer", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade",
          "HTTP2-Settings", "Expect", "Range", "If-Range", "User-Agent"})
        if (equal_ignoring_case(name, own)) return true;
    return false;
}

} // namespace bulkhead::inline v1::detail
