// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/request_target.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/http/signer.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// AWS Signature Version 4, which Amazon OpenSearch Service and OpenSearch Serverless want of every request.
/// Needs OpenSSL 3: link `bulkhead::tls`.
namespace bulkhead::inline v1 {

/// What AWS knows a caller by. Its memory is overwritten when it is destroyed; copies that were made of the strings
/// before are not ours.
struct AwsCredentials {
    /// The key's name. 1 to 128 letters, digits and `-._`; it travels in the clear. When to change: always.
    std::string access_key_id;
    /// The key. 1 to 1024 visible ASCII characters; it never travels. When to change: always.
    std::string secret_access_key;
    /// Of temporary credentials (a role, an instance, a pod), else empty. At most 8192 visible ASCII characters. It
    /// travels, as `X-Amz-Security-Token`. When to change: with temporary credentials.
    std::string session_token{};

    // No constructors, so that it stays an aggregate. Moving copies: nothing is left in what was moved from.
    ~AwsCredentials() {
        detail::wipe(access_key_id);
        detail::wipe(secret_access_key);
        detail::wipe(session_token);
    }
};

/// For whom and how `AwsSigV4` signs. Checked at its construction (`InvalidOption`).
struct AwsSigV4Options {
    /// E.g. `"eu-central-1"`. 1 to 64 of `a` to `z`, digits and `-`. Required. When to change: always.
    std::string region;
    /// `"es"`: Amazon OpenSearch Service; `"aoss"`: Serverless. 1 to 64 of `a` to `z`, digits and `-`. When to change:
    /// `"aoss"` for Serverless.
    std::string service = "es";
    /// Either the credentials or a function that gives them. The function is asked at every request, so that temporary
    /// credentials may change; it keeps `Signer`'s rules: any thread, several at once, no blocking (refresh elsewhere,
    /// ahead of expiry). If it throws, or what it gives is out of its limits, that attempt fails. When to change:
    /// always; a function for a role, an instance or a pod, `AwsSigV4::from_environment()` otherwise.
    std::variant<AwsCredentials, std::function<AwsCredentials()>> credentials;
};

namespace detail {

/// `field` with a limit when a text is not `least` to `most` characters that are allowed. Its value is never shown.
template <class Allowed>
[[nodiscard]] std::optional<FieldError> not_made_of(const char* field, const std::string& text, std::size_t least,
                                                    std::size_t most, const char* limit, Allowed allowed) {
    if (text.size() >= least && text.size() <= most && std::all_of(text.begin(), text.end(), allowed))
        return std::nullopt;
    return FieldError{field, limit, text.empty() ? "none" : "another value"};
}

} // namespace detail

/// The first field that is out of its limits, if any. The error shows no value.
[[nodiscard]] inline std::optional<FieldError> validate(const AwsCredentials& credentials) {
    const auto visible = [](char c) { return c > ' ' && c < '\x7f'; };
    const auto of_an_id = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
               c == '_';
    };
    using detail::not_made_of;
    if (auto e = not_made_of("access_key_id", credentials.access_key_id, 1, 128, "1 to 128 letters, digits and -._",
                             of_an_id))
        return e;
    if (auto e = not_made_of("secret_access_key", credentials.secret_access_key, 1, 1024,
                             "1 to 1024 visible ASCII characters (no newline)", visible))
        return e;
    return not_made_of("session_token", credentials.session_token, 0, 8192,
                       "at most 8192 visible ASCII characters (no newline)", visible);
}

/// The first option that is out of its limits, if any. The error shows no value.
[[nodiscard]] inline std::optional<FieldError> validate(const AwsSigV4Options& o) {
    const auto of_a_name = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    constexpr auto* names = "1 to 64 of a to z, digits and -";
    if (auto e = detail::not_made_of("region", o.region, 1, 64, names, of_a_name)) return e;
    if (auto e = detail::not_made_of("service", o.service, 1, 64, names, of_a_name)) return e;
    if (const auto* value = std::get_if<AwsCredentials>(&o.credentials)) return validate(*value);
    const auto* source = std::get_if<std::function<AwsCredentials()>>(&o.credentials);
    if (source == nullptr || !*source)
        return FieldError{"credentials", "a function that can be called", "an empty one"};
    return std::nullopt;
}

/// What is signed, and how: pure, in the order and the words of AWS's description.
namespace detail::sigv4 {

/// A SHA-256 or HMAC-SHA-256, also used as a key: overwritten when it is destroyed.
struct Digest {
    std::array<unsigned char, 32> bytes{};
    ~Digest() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
    [[nodiscard]] std::string_view view() const noexcept {
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
};

[[nodiscard]] inline std::string hex(const Digest& digest) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(digest.bytes.size() * 2);
    for (const auto byte : digest.bytes) out += {digits[byte >> 4U], digits[byte & 0xFU]};
    return out;
}

/// Of the bytes where they lie.
[[nodiscard]] inline Digest sha256(std::span<const asio::const_buffer> pieces) {
    Digest out;
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
    bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
    for (const auto& piece : pieces) ok = ok && EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1;
    if (!ok || EVP_DigestFinal_ex(context.get(), out.bytes.data(), nullptr) != 1)
        throw std::runtime_error{"OpenSSL has no SHA-256"};
    return out;
}
[[nodiscard]] inline Digest sha256(std::string_view text) {
    const asio::const_buffer piece{text.data(), text.size()};
    return sha256(std::span{&piece, 1});
}

[[nodiscard]] inline Digest hmac(std::string_view key, std::string_view text) {
    Digest out;
    const auto* const data = reinterpret_cast<const unsigned char*>(text.data());
    if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data, text.size(), out.bytes.data(), nullptr) ==
        nullptr)
        throw std::runtime_error{"OpenSSL has no HMAC-SHA-256"};
    return out;
}

/// Without `.`, `..` and empty segments, and what is left is percent-encoded once more: every service but S3 wants that
/// of a path that is encoded already.
[[nodiscard]] inline std::string canonical_path(std::string_view path) {
    std::vector<std::string_view> segments;
    for (std::size_t at = 0; at < path.size();) {
        const auto end = std::min(path.find('/', at), path.size());
        const auto segment = path.substr(at, end - at);
        if (segment == ".." && !segments.empty()) segments.pop_back();
        if (!segment.empty() && segment != "." && segment != "..") segments.push_back(segment);
        at = end + 1;
    }
    std::string out;
    for (const auto segment : segments) out.append("/").append(percent_encoded(segment));
    if (out.empty() || path.back() == '/') out += '/';
    return out;
}

/// Undoes percent-encoding; what is none stays as it is, a plus too.
[[nodiscard]] inline std::string percent_decoded(std::string_view text) {
    const auto value = [](char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
    };
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && value(text[i + 1]) >= 0 && value(text[i + 2]) >= 0) {
            out += static_cast<char>(value(text[i + 1]) * 16 + value(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

/// Names and values encoded in the one strict way, however they travel; sorted by name, then by value.
[[nodiscard]] inline std::string canonical_query(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> parameters;
    for (std::size_t at = 0; at < query.size();) {
        const auto end = std::min(query.find('&', at), query.size());
        const auto piece = query.substr(at, end - at);
        const auto equals = std::min(piece.find('='), piece.size());
        const auto value = piece.substr(std::min(equals + 1, piece.size()));
        if (!piece.empty())
            parameters.emplace_back(percent_encoded(percent_decoded(piece.substr(0, equals))),
                                    percent_encoded(percent_decoded(value)));
        at = end + 1;
    }
    std::sort(parameters.begin(), parameters.end());
    std::string out;
    for (const auto& [name, value] : parameters)
        out.append(out.empty() ? "" : "&").append(name).append("=").append(value);
    return out;
}

/// `fields` are those that are signed: names in lower case and in order, each once, values without blanks around them.
[[nodiscard]] inline std::string signed_names(const HeaderFields& fields) {
    std::string out;
    for (const auto& field : fields) out.append(out.empty() ? "" : ";").append(field.first);
    return out;
}

/// `fields`: see `signed_names`.
[[nodiscard]] inline std::string canonical_request(std::string_view method, std::string_view path,
                                                   std::string_view query, const HeaderFields& fields,
                                                   std::string_view body_hash) {
    std::string out;
    out.append(method).append("\n").append(canonical_path(path)).append("\n").append(canonical_query(query));
    out += '\n';
    for (const auto& [name, value] : fields) out.append(name).append(":").append(value).append("\n");
    out.append("\n").append(signed_names(fields)).append("\n").append(body_hash);
    return out;
}

/// `20150830T123600Z`, always UTC; its first eight characters are the day.
[[nodiscard]] inline std::string timestamp(std::chrono::system_clock::time_point now) {
    const auto day = std::chrono::floor<std::chrono::days>(now);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss time{std::chrono::floor<std::chrono::seconds>(now - day)};
    std::string out;
    const auto add = [&out](auto number, std::size_t width) {
        const auto digits = std::to_string(number);
        out.append(width - std::min(width, digits.size()), '0').append(digits);
    };
    add(static_cast<int>(date.year()), 4);
    add(static_cast<unsigned>(date.month()), 2);
    add(static_cast<unsigned>(date.day()), 2);
    out += 'T';
    add(time.hours().count(), 2);
    add(time.minutes().count(), 2);
    add(time.seconds().count(), 2);
    out += 'Z';
    return out;
}

/// What a signature is good for: one day, region and service.
[[nodiscard]] inline std::string scope(std::string_view day, std::string_view region, std::string_view service) {
    std::string out{day};
    return out.append("/").append(region).append("/").append(service).append("/aws4_request");
}

/// The key for one day, region and service.
[[nodiscard]] inline Digest signing_key(std::string_view secret, std::string_view day, std::string_view region,
                                        std::string_view service) {
    struct Wiped {
        std::string text;
        ~Wiped() { wipe(text); }
    } first{"AWS4"};
    first.text.reserve(first.text.size() + secret.size()); // growing would leave a copy behind
    first.text.append(secret);
    const auto of_day = hmac(first.text, day);
    const auto of_region = hmac(of_day.view(), region);
    const auto of_service = hmac(of_region.view(), service);
    return hmac(of_service.view(), "aws4_request");
}

/// Of a canonical request, in hexadecimal.
[[nodiscard]] inline std::string signature(const Digest& key, std::string_view timestamp, std::string_view scope,
                                           std::string_view canonical_request) {
    std::string to_sign = "AWS4-HMAC-SHA256\n";
    to_sign.append(timestamp).append("\n").append(scope).append("\n").append(hex(sha256(canonical_request)));
    return hex(hmac(key.view(), to_sign));
}

/// The last signing key, of always the same region and service: it is good for a day. Thread-safe.
class KeyCache {
public:
    [[nodiscard]] Digest get(const std::string& secret, std::string_view day, std::string_view region,
                             std::string_view service) {
        const std::scoped_lock lock{mutex_};
        if (day_ != day || secret_ != secret) {
            key_ = signing_key(secret, day, region, service);
            day_.clear(); // not valid, should the next line throw
            wipe(secret_);
            secret_ = secret;
            day_ = day;
            ++made_;
        }
        return key_;
    }
    /// How many keys were made.
    [[nodiscard]] std::size_t made() const {
        const std::scoped_lock lock{mutex_};
        return made_;
    }
    KeyCache() = default;
    KeyCache(const KeyCache&) = delete;
    KeyCache& operator=(const KeyCache&) = delete;
    ~KeyCache() { wipe(secret_); }

private:
    mutable std::mutex mutex_;
    std::string secret_;
    std::string day_;
    Digest key_;
    std::size_t made_ = 0;
};

} // namespace detail::sigv4

/// Signs each request for Amazon OpenSearch Service (`es`) or OpenSearch Serverless (`aoss`) by AWS Signature Version
/// 4, in the `Authorization` field. A `Signer`; copies share one state, and all of it is thread-safe.
///
/// It appends `X-Amz-Date`, `X-Amz-Content-Sha256` (Serverless demands it; both get it), `X-Amz-Security-Token` when
/// there is a token, and `Authorization`, and signs these, the method, `Host`, the path, the query and the whole body.
/// Other header fields are not signed, so that a proxy may change them; none of the four may be sent by anybody else.
/// Nothing is appended when it throws.
///
/// AWS refuses (403) what was signed more than five minutes from its own time, so this machine's clock must be right.
/// An attempt costs a SHA-256 of the body as it travels, where it lies. The key that depends on the secret is made once
/// a day, or when the secret changes. Credentials and keys are overwritten when they are no longer needed, and are in
/// no exception's text; the session token is part of the request and is not overwritten there.
///
///     AwsSigV4 signer{{.region = "eu-central-1", .credentials = AwsSigV4::from_environment()}};
class AwsSigV4 {
public:
    /// Throws `InvalidOption`.
    explicit AwsSigV4(AwsSigV4Options options) {
        if (auto error = validate(options)) throw InvalidOption{std::move(*error)};
        state_ = std::make_shared<State>(std::move(options));
    }

    /// Throws what the function for the credentials throws, `std::runtime_error` when they are out of their limits or
    /// OpenSSL fails, and `std::bad_alloc`.
    void operator()(const SigningInput& request, HeaderFields& fields) const {
        namespace sigv4 = detail::sigv4;
        const auto& options = state_->options;
        const auto* const fixed = std::get_if<AwsCredentials>(&options.credentials);
        std::optional<AwsCredentials> current;
        if (fixed == nullptr) {
            current.emplace(std::get<std::function<AwsCredentials()>>(options.credentials)());
            if (const auto error = validate(*current)) throw std::runtime_error{error->message()};
        }
        const auto& credentials = fixed != nullptr ? *fixed : *current;

        const auto stamp = sigv4::timestamp(request.now);
        const auto day = std::string_view{stamp}.substr(0, 8);
        const auto scope = sigv4::scope(day, options.region, options.service);
        const auto body_hash = sigv4::hex(sigv4::sha256(request.body));
        const auto key = state_->keys.get(credentials.secret_access_key, day, options.region, options.service);

        HeaderFields own{
            {"host", std::string{request.host}}, {"x-amz-content-sha256", body_hash}, {"x-amz-date", stamp}};
        if (!credentials.session_token.empty()) own.emplace_back("x-amz-security-token", credentials.session_token);
        const auto canonical = sigv4::canonical_request(request.method, request.path, request.query, own, body_hash);
        std::string authorization = "AWS4-HMAC-SHA256 Credential=";
        authorization.append(credentials.access_key_id).append("/").append(scope);
        authorization.append(", SignedHeaders=").append(sigv4::signed_names(own));
        authorization.append(", Signature=").append(sigv4::signature(key, stamp, scope, canonical));
        own.front() = {"authorization", std::move(authorization)}; // the transport sends the host itself
        fields.reserve(fields.size() + own.size());                // from here on nothing throws
        std::move(own.begin(), own.end(), std::back_inserter(fields));
    }

    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if it is set, `AWS_SESSION_TOKEN`, as they are now: call it at
    /// the start, while no other thread changes the environment. Throws `InvalidOption`, which names the variable but
    /// shows no value.
    [[nodiscard]] static AwsCredentials from_environment() {
        const auto text_of = [](const char* name) {
            const char* const value = std::getenv(name);
            return std::string{value != nullptr ? value : ""};
        };
        AwsCredentials found{text_of("AWS_ACCESS_KEY_ID"), text_of("AWS_SECRET_ACCESS_KEY"),
                             text_of("AWS_SESSION_TOKEN")};
        if (auto error = validate(found)) {
            for (auto& c : error->field) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
            error->field.insert(0, "AWS_");
            throw InvalidOption{std::move(*error)};
        }
        return found;
    }

private:
    struct State {
        explicit State(AwsSigV4Options o) : options{std::move(o)} {}
        const AwsSigV4Options options;
        detail::sigv4::KeyCache keys;
    };
    std::shared_ptr<State> state_;
};

} // namespace bulkhead::inline v1
