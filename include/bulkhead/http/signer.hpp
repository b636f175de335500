// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/buffer.hpp>

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The hook by which a request is signed just before it is sent.
namespace bulkhead::inline v1 {

namespace asio = boost::asio;

/// Names and values.
using HeaderFields = std::vector<std::pair<std::string, std::string>>;

/// A request as it is about to travel. Valid during the call.
struct SigningInput {
    std::string_view method;                  ///< `POST`, `GET`, …
    std::string_view host;                    ///< as in the `Host` field: with the port, where the URL names one
    std::string_view path;                    ///< percent-encoded, beginning with a slash
    std::string_view query;                   ///< percent-encoded, without the question mark; may be empty
    std::span<const asio::const_buffer> body; ///< as it travels: compressed, if it is
    /// When it is signed, by the system's clock.
    std::chrono::system_clock::time_point now;
};

/// Adds header fields, e.g. `Authorization`. Called for each attempt on its connection's strand, so perhaps on several
/// threads at once; must not block. Throwing fails the attempt as `errc::credentials_unavailable`, with nothing sent;
/// what the exception says is shown.
using Signer = std::function<void(const SigningInput&, HeaderFields&)>;

} // namespace bulkhead::inline v1
