// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>

#include <concepts>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

namespace bulkhead::inline v1 {

/// A `BulkIndexer` for programs without Asio: it brings its own context and one thread that runs it.
///
///     StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = "http://127.0.0.1:9200"}, {.index = "logs"}};
///     indexer->enqueue({.source = R"({"message":"hello"})"});
///     const CloseReport report = indexer.close(std::chrono::seconds{10});
///
/// Over TLS, where the transport is made of two things:
///
///     StandaloneIndexer<HttpsTransport> indexer{HttpOptions{.url = "https://es:9200"}, TlsOptions{.ca_file =
///     "ca.crt"},
///                                               {.index = "logs"}};
///
/// `operator->` gives the indexer, whose functions may be called from any thread. Observers are called on the indexer's
/// own thread unless they bring an executor. An exception from a completion handler, or from work that was posted to
/// `get_executor()`, ends the process, as it does on any thread that runs an `io_context`; what an observer throws does
/// not.
///
/// The destructor closes with no time left and joins the thread: it waits for a look-up of a host's name, or a write of
/// a `FileSink`, that is under way. On the indexer's own thread (an observer or a completion handler that destroys it)
/// it does not wait: the thread settles what is pending, and ends by itself soon after.
template <Transport T>
class StandaloneIndexer {
public:
    /// What `operator*` gives.
    using indexer_type = BulkIndexer<T>;

    /// Makes `T` of the context's executor and `transport_options`. `sink` as for `BulkIndexer`. Throws
    /// `InvalidOption`.
    template <class TransportOptions>
    requires std::constructible_from<T, asio::any_io_executor, TransportOptions>
    StandaloneIndexer(TransportOptions transport_options, IndexerOptions options, DeadLetters sink = {})
        : StandaloneIndexer{Made{}, std::move(options), std::move(sink), [&](const asio::any_io_executor& executor) {
                                return T{executor, std::move(transport_options)};
                            }} {}
    /// The same for a transport that is made of two things, as `HttpsTransport` is of `HttpOptions` and `TlsOptions`.
    template <class TransportOptions, class Connector>
    requires std::constructible_from<T, asio::any_io_executor, TransportOptions, Connector>
    StandaloneIndexer(TransportOptions transport_options, Connector connector, IndexerOptions options,
                      DeadLetters sink = {})
        : StandaloneIndexer{Made{}, std::move(options), std::move(sink), [&](const asio::any_io_executor& executor) {
                                return T{executor, std::move(transport_options), std::move(connector)};
                            }} {}
    /// The same for any other transport: `make(executor)` returns it.
    template <class Make>
    requires std::same_as<std::invoke_result_t<Make&, asio::any_io_executor>, T>
    StandaloneIndexer(Make make, IndexerOptions options, DeadLetters sink = {})
        : StandaloneIndexer{Made{}, std::move(options), std::move(sink), make} {}
    StandaloneIndexer(const StandaloneIndexer&) = delete;
    StandaloneIndexer& operator=(const StandaloneIndexer&) = delete;
    ~StandaloneIndexer() {
        indexer_.reset(); // what is pending settles now, and the observers that are left are notified
        running_->work.reset();
        if (thread_.get_id() == std::this_thread::get_id()) {
            thread_.detach(); // it is below us on the stack, and holds its context
        } else {
            thread_.join();
        }
    }

    /// The indexer. Any thread.
    [[nodiscard]] indexer_type* operator->() noexcept { return &*indexer_; }
    /// The indexer. Any thread.
    [[nodiscard]] indexer_type& operator*() noexcept { return *indexer_; }
    /// Of its own context, which its own thread runs.
    [[nodiscard]] asio::any_io_executor get_executor() noexcept { return running_->context.get_executor(); }

    /// Calls `observer` on the indexer's own thread; see `BulkIndexer::subscribe`.
    template <class Observer>
    [[nodiscard]] Subscription subscribe(Observer observer) {
        return indexer_->subscribe(get_executor(), std::move(observer));
    }

    /// Blocks until everything accepted so far has been settled: success, or `errc::deadline_exceeded` after `timeout`.
    /// On the indexer's own thread, where waiting could never end, `errc::would_deadlock` at once.
    [[nodiscard]] error_code flush(typename indexer_type::deadline_type timeout) {
        if (indexer_->running_in_this_thread()) return errc::would_deadlock;
        std::promise<error_code> done;
        auto result = done.get_future();
        indexer_->async_flush(timeout, [done = std::move(done)](error_code error) mutable { done.set_value(error); });
        return result.get();
    }
    /// Refuses new operations, drains for at most `timeout`, and reports: `CloseReport::drained` says whether
    /// everything has settled by itself. On the indexer's own thread it gives up at once what is pending, and the
    /// report says what was pending.
    CloseReport close(typename indexer_type::deadline_type timeout) {
        if (indexer_->running_in_this_thread()) {
            indexer_->async_close(std::chrono::nanoseconds{0}, [](error_code, const CloseReport&) {});
            return {indexer_->stats(), false};
        }
        std::promise<CloseReport> done;
        auto result = done.get_future();
        indexer_->async_close(timeout, [done = std::move(done)](error_code, CloseReport report) mutable {
            done.set_value(std::move(report));
        });
        return result.get();
    }

private:
    /// What the thread holds as long as it runs.
    struct Running {
        asio::io_context context{1};
        asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    };

    struct Made {};
    template <class Make>
    StandaloneIndexer(Made /*one for all*/, IndexerOptions options, DeadLetters sink, Make&& make)
        : indexer_{std::in_place, get_executor(), make(get_executor()), std::move(options), std::move(sink)} {
        thread_ = std::thread{[running = running_] { running->context.run(); }};
    }

    std::shared_ptr<Running> running_ = std::make_shared<Running>();
    std::optional<indexer_type> indexer_;
    std::thread thread_;
};

} // namespace bulkhead::inline v1
