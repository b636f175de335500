// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/reply.hpp>

#include <boost/asio/awaitable.hpp>

#include <concepts>

/// The concept of a transport: the seam between the indexer and the network.
namespace bulkhead::inline v1 {

/// Carries one request and its answer. The seam between the indexer and the network.
///
/// `send` is called on the indexer's strand, and up to `max_in_flight` sends are under way at once. It must complete
/// on that same executor, within `Request::timeout`, must not throw, and once it has completed it holds no reference to
/// the body or the sink. It never sends a request twice on its own once the kernel has taken a byte of the body.
///
/// `shutdown()` closes everything: sends under way complete soon with `operation_aborted`, later ones at once. It is
/// called on the indexer's strand, possibly more than once, and does not throw.
template <class T>
concept Transport = std::move_constructible<T> && requires(T& transport, const Request& request, AnswerSink& sink) {
    { transport.send(request, sink) } -> std::same_as<asio::awaitable<Reply>>;
    { transport.shutdown() }
    noexcept;
};

} // namespace bulkhead::inline v1
