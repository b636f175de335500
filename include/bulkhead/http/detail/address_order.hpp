// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <optional>
#include <vector>

/// Which of a name's addresses a connection begins at. A decision only: no I/O.
namespace bulkhead::inline v1::detail {

using Endpoint = boost::asio::ip::tcp::endpoint;

/// The resolver's order, but for `failed`, where a connection broke after it was made: the addresses behind it come
/// first, then those before it, and it comes last. Two failures in turn so reach three addresses.
[[nodiscard]] inline std::vector<Endpoint> address_order(std::vector<Endpoint> found,
                                                         const std::optional<Endpoint>& failed) {
    if (!failed) return found;
    const auto at = std::find(found.begin(), found.end(), *failed);
    if (at == found.end()) return found;
    std::rotate(found.begin(), at, found.end());
    std::stable_partition(found.begin(), found.end(), [&](const Endpoint& one) { return one != *failed; });
    return found;
}

} // namespace bulkhead::inline v1::detail
