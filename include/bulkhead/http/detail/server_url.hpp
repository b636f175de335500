// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/credentials.hpp>
#include <bulkhead/http/detail/header_field.hpp>
#include <bulkhead/http/http_options.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// A node's URL: host, port, path and credentials, and which URLs are refused.
namespace bulkhead::inline v1::detail {

/// A URL taken apart.
struct ServerUrl {
    std::string host; ///< without the brackets of an IPv6 address
    std::string port;
    std::string host_field;                 ///< for the `Host` header
    std::string path;                       ///< without a slash at its end
    std::optional<Credentials> credentials; ///< what stood before the host
};

/// A URL as an error may show it: not when there could be a password in it, wherever a slip of the hand has put that.
[[nodiscard]] inline std::string showable(const std::string& url) {
    if (url.find('@') != std::string::npos) return "something with an @ in it";
    const auto mark = url.find_first_of("?#"); // a key may follow
    return mark == std::string::npos ? url : url.substr(0, mark) + " and more behind it";
}

/// What is wrong with host and port of a URL, where a parser of URLs says less, or something else; empty when nothing
/// is.
[[nodiscard]] inline std::string authority_problem(std::string_view url) {
    const auto begin = url.find("://");
    if (begin == std::string_view::npos) return {};
    auto authority = url.substr(begin + 3);
    authority = authority.substr(0, authority.find_first_of("/?#"));
    if (const auto at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
    const auto bracket = authority.find(']');
    if (authority.starts_with('[') && authority.substr(0, bracket).find('%') != std::string_view::npos)
        return "an IPv6 address without a zone (the part from % on)";
    if (bracket != std::string_view::npos) authority.remove_prefix(bracket + 1);
    const auto colon = authority.find(':');
    const bool digits = colon == std::string_view::npos ||
                        authority.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
    return digits ? "" : "a port from 1 to 65535 behind the host's colon";
}

/// `scheme` is the one that the connector speaks. Secrets in the URL never reach the error.
[[nodiscard]] inline std::optional<FieldError> parse_server_url(const std::string& text, std::string_view scheme,
                                                                std::string_view default_port, ServerUrl& out) {
    const auto expected = std::string{scheme} + "://host[:port][/path]";
    if (const auto problem = authority_problem(text); !problem.empty())
        return FieldError{"url", problem, "something else"}; // it may be a password whose @ is missing
    const auto parsed = boost::urls::parse_uri(text);
    if (!parsed)
        return FieldError{"url", expected,
                          text.find("://") != std::string::npos
                              ? "something that is no URL"
                              : "something that is no URL; does it begin with " + std::string{scheme} + "://?"};
    const auto& url = *parsed;
    if (const std::string_view found{url.scheme().data(), url.scheme().size()}; !equal_ignoring_case(found, scheme)) {
        if (equal_ignoring_case(found, "https") && scheme == "http")
            return FieldError{"url",
                              expected + " (for https: HttpsTransport of bulkhead/tls.hpp, target bulkhead::tls)",
                              showable(text)};
        return FieldError{"url", expected, showable(text)};
    }
    // Boost.URL 1.81 takes `127.0.0.1.example.org` for the address 127.0.0.1 and a path `.example.org`.
    if (!url.encoded_path().empty() && url.encoded_path().front() != '/')
        return FieldError{"url", "a host whose name does not begin with an address", showable(text)};
    if (url.host().empty() || url.has_query() || url.has_fragment()) return FieldError{"url", expected, showable(text)};
    if (url.has_port()) { // Boost.URL takes any digits
        const std::string_view digits{url.port()};
        unsigned port = 0;
        const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (failed != std::errc{} || end != digits.data() + digits.size() || port == 0 || port > 65535)
            return FieldError{"url", "a port from 1 to 65535", showable(text)};
    }
    if (url.has_userinfo()) {
        auto found = credentials_from_userinfo({url.encoded_userinfo().data(), url.encoded_userinfo().size()});
        if (!found) return FieldError{"url", "user:password, percent-encoded, before the @", "something else"};
        out.credentials = std::move(*found);
    }
    out.host = url.host_address(); // decoded: a resolver would take what comes before a NUL for the name
    if (std::any_of(out.host.begin(), out.host.end(), [](char c) { return c <= ' ' || c == '\x7f'; }))
        return FieldError{"url", "a host name of visible ASCII", showable(text)};
    out.port = url.has_port() ? std::string{url.port()} : std::string{default_port};
    out.host_field = std::string{url.encoded_host()} + (url.has_port() ? ":" + out.port : "");
    out.path = std::string{url.encoded_path()};
    while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
    if (out.path.ends_with("/_bulk")) return FieldError{"url", expected + ", without /_bulk", showable(text)};
    return std::nullopt;
}

/// What a URL says of user and password becomes the credentials, unless there are others.
[[nodiscard]] inline std::optional<FieldError> take_over(const Credentials& found, Credentials& credentials) {
    if (!credentials.empty()) return FieldError{"url", "user and password in one place", "in two"};
    credentials = found;
    return std::nullopt;
}

/// This machine, by name or by address.
[[nodiscard]] inline bool is_loopback(std::string_view host) {
    boost::system::error_code not_an_address;
    const auto address = boost::asio::ip::make_address(std::string{host}, not_an_address);
    if (!not_an_address) return address.is_loopback();
    return equal_ignoring_case(host, "localhost") ||
           (host.size() > 10 && equal_ignoring_case(host.substr(host.size() - 10), ".localhost"));
}

/// Header fields that say who we are: HTTP's own, Elasticsearch's (`es-secondary-authorization`, and the shared secret
/// of `ES-Client-Authentication` with its secondary form) and AWS's.
[[nodiscard]] inline bool is_secret_header(std::string_view name) noexcept {
    for (const std::string_view secret :
         {"Authorization", "Proxy-Authorization", "Cookie", "es-secondary-authorization", "ES-Client-Authentication",
          "es-secondary-x-client-authentication", "X-Amz-Security-Token"})
        if (equal_ignoring_case(name, secret)) return true;
    return false;
}

[[nodiscard]] inline std::optional<FieldError> refuse_secrets_in_clear(const HttpOptions& o, std::string_view host) {
    const bool secrets = !o.credentials.empty() || o.signer ||
                         std::any_of(o.headers.begin(), o.headers.end(),
                                     [](const auto& header) { return is_secret_header(header.first); });
    if (!secrets || o.allow_credentials_in_clear || is_loopback(host)) return std::nullopt;
    return FieldError{"url", "https where there are credentials (or allow_credentials_in_clear)",
                      "http to another host"};
}

} // namespace bulkhead::inline v1::detail
