// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/http/secret.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// Who we are to the server: the `Authorization` field of a request.
namespace bulkhead::inline v1 {

namespace detail {

/// How many bytes `write_base64` writes for so many.
[[nodiscard]] constexpr std::size_t base64_size(std::size_t bytes) noexcept { return (bytes + 2) / 3 * 4; }
/// RFC 4648 with padding. `out` has room for `base64_size(bytes.size())`.
constexpr void write_base64(std::string_view bytes, char* out) noexcept {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const auto byte = [&](std::size_t k) -> unsigned {
            return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
        };
        const auto three = byte(0) << 16U | byte(1) << 8U | byte(2);
        *out++ = digits[three >> 18U];
        *out++ = digits[three >> 12U & 63U];
        *out++ = i + 1 < bytes.size() ? digits[three >> 6U & 63U] : '=';
        *out++ = i + 2 < bytes.size() ? digits[three & 63U] : '=';
    }
}

constexpr bool is_letter_or_digit(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
/// What RFC 9110 calls `token68`: base64 in either alphabet, tokens, the three parts of a JWT. Nothing that could end a
/// header field, and nothing that a slip of the hand brings along, such as a space, a colon or a quote.
[[nodiscard]] inline bool is_token68(std::string_view text) noexcept {
    while (text.ends_with('=')) text.remove_suffix(1);
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_letter_or_digit(c) || std::string_view{"-._~+/"}.find(c) != std::string_view::npos;
    });
}
/// What RFC 7617 lets a user's name and a password be.
[[nodiscard]] inline bool is_user_text(std::string_view text) noexcept {
    return is_utf8(text) && std::none_of(text.begin(), text.end(),
                                         [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

/// A part of a URL's user information with each %XX made a byte, once; nothing when it is none (RFC 3986).
[[nodiscard]] inline std::optional<Secret> percent_decoded(std::string_view text) {
    const auto digit = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    };
    bool good = true;
    auto decoded = Secret::written(text.size(), [&](std::span<char> room) {
        std::size_t size = 0;
        for (std::size_t i = 0; good && i < text.size(); ++i) {
            char c = text[i];
            if (c == '%') {
                const int high = i + 2 < text.size() ? digit(text[i + 1]) : -1;
                const int low = high >= 0 ? digit(text[i + 2]) : -1;
                good = low >= 0;
                c = static_cast<char>(high * 16 + low);
                i += 2;
            } else {
                good = is_letter_or_digit(c) || std::string_view{"-._~!$&'()*+,;=:"}.find(c) != std::string_view::npos;
            }
            room[size++] = c;
        }
        return size;
    });
    if (!good) return std::nullopt;
    return decoded;
}

} // namespace detail

/// What goes into the `Authorization` field of every request: nothing, or one of the kinds below, its secret from a
/// `SecretSource` (a value, an environment variable, a file, a callback). What would not be a valid field is refused
/// and never sent: the whole is at most 8192 bytes of visible ASCII and single spaces. Copies share the secret; written
/// to a stream, credentials are e.g. `basic [secret]`. Thread-safe as long as nobody assigns.
class Credentials {
public:
    /// None.
    Credentials() = default;
    /// User and password (RFC 7617). Both UTF-8, not empty and without control characters; the user also without `:`.
    [[nodiscard]] static Credentials basic(std::string user, SecretSource password) {
        return {Kind::basic, std::move(user), std::move(password)};
    }
    /// An API key as Elasticsearch shows it under `encoded` when it is made: base64 of its id, a colon and the key.
    [[nodiscard]] static Credentials api_key(SecretSource encoded) { return {Kind::api_key, {}, std::move(encoded)}; }
    /// The same from its two parts, which are as user and password above.
    [[nodiscard]] static Credentials api_key(std::string id, SecretSource key) {
        return {Kind::api_key_parts, std::move(id), std::move(key)};
    }
    /// A token, e.g. a JWT or a service account's (RFC 6750): letters, digits and `-._~+/`, perhaps `=` at its end.
    [[nodiscard]] static Credentials bearer(SecretSource token) { return {Kind::bearer, {}, std::move(token)}; }

    /// Whether there are none.
    [[nodiscard]] bool empty() const noexcept { return !source_; }
    /// Whether asking again, after a 401, can bring another value.
    [[nodiscard]] bool can_change() const noexcept { return source_ && source_->can_change(); }
    /// Asks the source: the field's value (`"Basic …"`, `"ApiKey …"`, `"Bearer …"`), or a problem that names what is
    /// wrong and never the value. Both empty when there are no credentials. Throws nothing but `std::bad_alloc`.
    [[nodiscard]] SecretSource::Answer authorization() const {
        Secret value;
        if (auto wrong = find(value)) return {Secret{}, wrong->message()};
        return {std::move(value), {}};
    }

    friend std::optional<FieldError> validate(const Credentials& credentials);
    template <class Char, class Traits>
    friend std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out, const Credentials& c) {
        switch (c.empty() ? Kind::none : c.kind_) {
        case Kind::none: return out << "none";
        case Kind::basic: return out << "basic [secret]";
        case Kind::api_key:
        case Kind::api_key_parts: return out << "api_key [secret]";
        case Kind::bearer: break;
        }
        return out << "bearer [secret]";
    }

private:
    enum class Kind : std::uint8_t { none, basic, api_key, api_key_parts, bearer };

    Credentials(Kind kind, std::string name, SecretSource source)
        : kind_{kind}, name_{std::move(name)}, source_{std::move(source)} {}

    /// Whether name and secret travel together, in base64.
    [[nodiscard]] bool is_pair() const noexcept { return kind_ == Kind::basic || kind_ == Kind::api_key_parts; }
    [[nodiscard]] const char* scheme() const noexcept {
        return kind_ == Kind::basic ? "Basic " : kind_ == Kind::bearer ? "Bearer " : "ApiKey ";
    }
    [[nodiscard]] const char* secret_field() const noexcept {
        return kind_ == Kind::basic    ? "credentials.password"
               : kind_ == Kind::bearer ? "credentials.token"
                                       : "credentials.api_key";
    }
    [[nodiscard]] FieldError no_secret(const std::string& problem) const {
        return {secret_field(), "a secret", "none: " + problem};
    }

    [[nodiscard]] std::optional<FieldError> check_beforehand() const {
        if (is_pair() && (name_.empty() || name_.find(':') != std::string::npos || !detail::is_user_text(name_)))
            return FieldError{kind_ == Kind::basic ? "credentials.user" : "credentials.id",
                              "UTF-8 without colon and control characters, not empty",
                              name_.empty() ? "nothing" : "something else"};
        if (const auto fault = source_->fault(); !fault.empty()) return no_secret(fault);
        return std::nullopt;
    }
    /// The field's value, or what is wrong.
    [[nodiscard]] std::optional<FieldError> find(Secret& value) const {
        constexpr std::size_t most = 8192;
        if (empty()) return std::nullopt;
        if (auto wrong = check_beforehand()) return wrong;
        const auto found = source_->ask();
        if (!found.problem.empty()) return no_secret(found.problem);
        const auto secret = found.secret.reveal();
        const auto refuse = [&](const char* limit) {
            return FieldError{secret_field(), limit, "something else in " + source_->origin()};
        };
        if (is_pair() && !detail::is_user_text(secret)) return refuse("UTF-8 without control characters");
        if (!is_pair() && !detail::is_token68(secret))
            return refuse(kind_ == Kind::bearer ? "a token: letters, digits and -._~+/, perhaps = at its end"
                                                : "base64 of id:api_key, which the server calls `encoded`");
        const std::string_view scheme_name = scheme();
        const auto size = is_pair() ? detail::base64_size(name_.size() + 1 + secret.size()) : secret.size();
        if (scheme_name.size() + size > most) return refuse("an Authorization field of at most 8192 bytes");
        if (!is_pair()) {
            value = Secret::joined({scheme_name, secret});
            return std::nullopt;
        }
        const auto pair = Secret::joined({name_, ":", secret});
        value = Secret::written(scheme_name.size() + size, [&](std::span<char> room) {
            detail::write_base64(pair.reveal(), std::copy(scheme_name.begin(), scheme_name.end(), room.data()));
            return room.size();
        });
        return std::nullopt;
    }

    Kind kind_ = Kind::none;
    std::string name_; ///< the user, or the API key's id
    std::optional<SecretSource> source_;
};

/// What is wrong with the credentials as far as it can be known without asking anybody: a value that was given is
/// looked at, an environment variable, a file or a callback is not. Transports throw it as `InvalidOption`.
[[nodiscard]] inline std::optional<FieldError> validate(const Credentials& credentials) {
    if (credentials.can_change()) return credentials.check_beforehand();
    Secret value;
    return credentials.find(value);
}

/// What stands before the `@` of a URL, `user:password`, percent-encoded, as `Credentials::basic`; nothing when it is
/// something else: no colon, an empty part, a wrong or forbidden encoding, a colon in the user's name, bytes that are
/// no text. Decoded once: `%2540` is `%40`.
[[nodiscard]] inline std::optional<Credentials> credentials_from_userinfo(std::string_view encoded) {
    const auto colon = encoded.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto user = detail::percent_decoded(encoded.substr(0, colon));
    auto password = detail::percent_decoded(encoded.substr(colon + 1));
    if (!user || !password) return std::nullopt;
    auto found = Credentials::basic(std::string{user->reveal()}, std::move(*password));
    if (validate(found)) return std::nullopt;
    return found;
}

} // namespace bulkhead::inline v1
