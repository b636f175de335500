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

namespace bulkhead::inline v1 {

namespace asio = boost::asio;

/// Header fields, name and value, in the order in which they are sent.
using HeaderFields = std::vector<std::pair<std::string, std::string>>;

/// A request as it is about to be sent, for a signer. Everything it points to is valid during the call only.
struct SigningInput {
    std::string_view method;                  ///< `"POST"`, `"GET"` or `"HEAD"`
    std::string_view host;                    ///< the `Host` field's value: with the port if it is not the scheme's own
    std::string_view path;                    ///< as it travels: percent-encoded, begins with `/`
    std::string_view query;                   ///< as it travels: percent-encoded, without `?`; may be empty
    std::span<const asio::const_buffer> body; ///< the bytes as they travel (compressed if they are); may be empty
    std::chrono::system_clock::time_point now; ///< the moment to sign for
};

/// A hook that authenticates each request by itself: appends header fields (e.g. `Authorization`) to `fields`, whose
/// own it leaves alone. `AwsSigV4` is one.
///
/// It is called for each attempt, on the connection's strand, and perhaps on several threads at once for different
/// connections. It must not block. Throwing fails that attempt as `errc::credentials_unavailable`, with nothing sent;
/// the exception's text is not passed on.
using Signer = std::function<void(const SigningInput&, HeaderFields& fields)>;

} // namespace bulkhead::inline v1
