// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/http/signer.hpp>
#include <bulkhead/tls/detail/sigv4.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

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
