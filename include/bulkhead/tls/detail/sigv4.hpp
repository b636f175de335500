// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/request_target.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/http/signer.hpp>

#include <boost/asio/buffer.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What AWS Signature Version 4 signs, and how, in the order and the words of AWS's description. Pure.
namespace bulkhead::inline v1::detail::sigv4 {

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

} // namespace bulkhead::inline v1::detail::sigv4
