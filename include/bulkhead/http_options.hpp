// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/options.hpp>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

/// Where the server is, and how to talk to it. Checked at construction of the transport (`InvalidOption`).
struct HttpOptions {
    /// `http://host[:port][/path]`; the path is put before `/_bulk`. Port 80 when none is given, as everywhere: name
    /// Elasticsearch's and OpenSearch's 9200. User and password, query and fragment are refused; so is `https` by the
    /// plain transport.
    std::string url = "http://127.0.0.1:9200";
    /// Sent with every request, e.g. `{"Authorization", "ApiKey …"}`. Names are tokens (RFC 9110); values are visible
    /// ASCII, spaces and tabs, at most 8 KiB. `Host`, `Content-Length`, `Content-Type`, `Transfer-Encoding`,
    /// `Connection` and `User-Agent` are the transport's own.
    std::vector<std::pair<std::string, std::string>> headers{};
    std::string user_agent = "bulkhead";
    /// How long resolving the host's name and connecting may take together. 1 ms to 10 min.
    std::chrono::milliseconds connect_timeout{5000};
    /// A connection that has been idle for longer is closed: load balancers drop idle connections without a word (60 s
    /// at AWS, 4 min at Azure). 0 ms (never reuse) to 1 h.
    std::chrono::milliseconds idle_max{30'000};
    /// Idle connections that are kept. 0 to 1024.
    std::size_t max_idle_connections = 16;
    /// A longer answer is cut off (`errc::answer_too_large`). 1 KiB to 2 GiB.
    std::size_t max_answer_bytes = std::size_t{256} << 20;
};

namespace detail {

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

/// A URL taken apart.
struct ServerUrl {
    std::string host; ///< without the brackets of an IPv6 address
    std::string port;
    std::string host_field; ///< for the `Host` header
    std::string path;       ///< without a slash at its end
};

/// A URL as an error may show it: not when there could be a password in it, wherever a slip of the hand has put that.
[[nodiscard]] inline std::string showable(const std::string& url) {
    return url.find('@') == std::string::npos ? url : "something with an @ in it";
}

/// `scheme` is the one that the connector speaks. Secrets in the URL never reach the error.
[[nodiscard]] inline std::optional<FieldError> parse_server_url(const std::string& text, std::string_view scheme,
                                                                ServerUrl& out) {
    const auto expected = std::string{scheme} + "://host[:port][/path]";
    const auto parsed = boost::urls::parse_uri(text);
    if (!parsed) return FieldError{"url", expected, "something that is no URL"};
    const auto& url = *parsed;
    if (url.has_userinfo())
        return FieldError{"url", expected + " without user and password (send an Authorization header)",
                          "a URL with user information"};
    if (!equal_ignoring_case({url.scheme().data(), url.scheme().size()}, scheme)) {
        auto hint = showable(text);
        if (equal_ignoring_case({url.scheme().data(), url.scheme().size()}, "https")) hint += " (TLS is not built yet)";
        return FieldError{"url", expected, hint};
    }
    if (url.host().empty() || url.has_query() || url.has_fragment()) return FieldError{"url", expected, showable(text)};
    if (url.has_port()) { // Boost.URL takes any digits
        const std::string_view digits{url.port()};
        unsigned port = 0;
        const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (failed != std::errc{} || end != digits.data() + digits.size() || port == 0 || port > 65535)
            return FieldError{"url", "a port from 1 to 65535", showable(text)};
    }
    out.host = url.host_address(); // decoded: a resolver would take what comes before a NUL for the name
    if (std::any_of(out.host.begin(), out.host.end(), [](char c) { return c <= ' ' || c == '\x7f'; }))
        return FieldError{"url", "a host name of visible ASCII", showable(text)};
    out.port = url.has_port() ? std::string{url.port()} : "80";
    out.host_field = std::string{url.encoded_host()} + (url.has_port() ? ":" + out.port : "");
    out.path = std::string{url.encoded_path()};
    while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
    return std::nullopt;
}

} // namespace detail

/// The first option that is out of its range, if any; the URL is checked by the transport, which knows its scheme.
/// Header values, which may be secrets, are never part of the error.
[[nodiscard]] inline std::optional<FieldError> validate(const HttpOptions& o) {
    using namespace std::chrono_literals;
    using detail::out_of_range;
    for (const auto& [name, value] : o.headers) {
        if (!detail::is_header_name(name)) return FieldError{"headers", "a token as name", "another name"};
        for (const std::string_view own :
             {"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "User-Agent"})
            if (detail::equal_ignoring_case(name, own))
                return FieldError{"headers", "none of the transport's own fields", name};
        if (!detail::is_header_value(value))
            return FieldError{"headers." + name, "visible ASCII, spaces and tabs, at most 8192 bytes", "another value"};
    }
    if (o.user_agent.empty() || !detail::is_header_value(o.user_agent))
        return FieldError{"user_agent", "visible ASCII, spaces and tabs, 1 to 8192 bytes", "another value"};
    if (auto e = out_of_range("connect_timeout", o.connect_timeout, 1ms, 10min)) return e;
    if (auto e = out_of_range("idle_max", o.idle_max, 0ms, 1h)) return e;
    if (auto e = out_of_range<std::size_t>("max_idle_connections", o.max_idle_connections, 0, 1024)) return e;
    return out_of_range<std::size_t>("max_answer_bytes", o.max_answer_bytes, 1024, std::size_t{2} << 30);
}

} // namespace bulkhead::inline v1
