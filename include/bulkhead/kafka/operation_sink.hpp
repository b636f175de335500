// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/operation.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/settlement.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <utility>

namespace bulkhead::inline v1 {

namespace detail {

/// An observer, for the concept.
using AnyObserverFunction = void (*)(std::span<const Settlement>);

} // namespace detail

/// What `OperationSink::subscribe` returns. It ends with the subscription's `reset()` or destruction.
template <class S>
using OperationSubscription =
    decltype(std::declval<S&>().subscribe(std::declval<S&>().get_executor(), detail::AnyObserverFunction{}));

/// Where a `KafkaSource` hands over operations and learns how they end. `BulkIndexer` is one; a test or a wrapper may
/// be another.
///
/// - `try_enqueue(batch, ticket)`: takes all operations of the batch or none. Never waits, never throws. After
///   `Admission::accepted` each operation is settled exactly once, under this ticket.
/// - `flush()`: sends what is buffered now. Returns at once.
/// - `subscribe(executor, observer)`: calls `observer(std::span<const Settlement>)` with settlements from now on, on
/// any
///   thread. The type that it returns must not depend on the observer's. Its `ticket(key)` names this observer.
/// - `get_executor()`: what `subscribe` takes to call the observer where the settlements arise.
/// - `running_in_this_thread()`: whether waiting for a settlement on this thread could wait for ever.
/// - `options()`: the options that matter to a source: `index`, `overflow` and `retry.max_age`.
template <class S>
concept OperationSink = requires(S& sink, const Batch& operations, Ticket ticket, std::uint64_t key,
                                 OperationSubscription<S>& subscription) {
    { sink.try_enqueue(operations, ticket) } -> std::same_as<Admission>;
    sink.flush();
    { sink.subscribe(sink.get_executor(), detail::AnyObserverFunction{}) } -> std::same_as<OperationSubscription<S>>;
    { subscription.ticket(key) } -> std::same_as<Ticket>;
    subscription.reset();
    { sink.running_in_this_thread() } -> std::convertible_to<bool>;
    { sink.options() } -> std::convertible_to<const IndexerOptions&>;
};

} // namespace bulkhead::inline v1
