// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/buffer.hpp>

#include <concepts>
#include <span>
#include <string_view>

/// How a body travels: as it is, or compressed.
namespace bulkhead::inline v1 {

namespace asio = boost::asio;

/// One a connection, made of the compression level, used on that connection's strand only. `encode` returns the bytes
/// to send; what is not `body` itself is the encoder's and stays valid until the next call. It throws `bad_alloc` only.
template <class E>
concept BodyEncoder = std::constructible_from<E, int> &&
    requires(E& encoder, std::span<const asio::const_buffer> body) {
    { E::content_encoding } -> std::convertible_to<std::string_view>; // empty: no such field
    { encoder.encode(body) } -> std::same_as<std::span<const asio::const_buffer>>;
};

/// Bodies travel as they are.
class IdentityEncoder {
public:
    /// Empty: no header field.
    static constexpr std::string_view content_encoding{};
    /// The level means nothing here.
    explicit IdentityEncoder(int /*level*/) noexcept {}
    /// The body itself.
    [[nodiscard]] std::span<const asio::const_buffer> encode(std::span<const asio::const_buffer> body) const noexcept {
        return body;
    }
};

} // namespace bulkhead::inline v1
