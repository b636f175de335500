// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>

#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace bulkhead::inline v1 {

/// A `BulkIndexer` for programs without Asio: it brings its own context and one thread that runs it.
///
///     StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = "http://127.0.0.1:9200"}, {.index = "logs"}};
///     indexer->enqueue({.source = R"({"message":"hello"})"});
///     const CloseReport report = indexer.close(std::chrono::seconds{10});
///
/// `operator->` gives the indexer, whose functions may be called from any thread. Observers are called on the indexer's
/// own thread unless they bring an executor. The destructor closes with no time left and joins the thread: it waits for
/// a look-up of a host's name, or a write of a `FileSink`, that is under way.
template <Transport T>
class StandaloneIndexer {
public:
    /// What `operator*` gives.
    using indexer_type = BulkIndexer<T>;

    /// `T` is made of the context's executor and `transport_options`. `sink` as for `BulkIndexer`. Throws
    /// `InvalidOption`.
    template <class TransportOptions>
    StandaloneIndexer(TransportOptions transport_options, IndexerOptions options, DeadLetters sink = {})
        : indexer_{std::in_place, context_.get_executor(), T{context_.get_executor(), std::move(transport_options)},
                   std::move(options), std::move(sink)} {
        thread_ = std::thread{[this] { context_.run(); }};
    }
    StandaloneIndexer(const StandaloneIndexer&) = delete;
    StandaloneIndexer& operator=(const StandaloneIndexer&) = delete;
    ~StandaloneIndexer() {
        indexer_.reset(); // what is pending settles now, told to whoever still listens
        work_.reset();
        thread_.join();
    }

    /// The indexer. Any thread.
    [[nodiscard]] indexer_type* operator->() noexcept { return &*indexer_; }
    /// The indexer. Any thread.
    [[nodiscard]] indexer_type& operator*() noexcept { return *indexer_; }
    /// Of its own context, which its own thread runs.
    [[nodiscard]] asio::any_io_executor get_executor() noexcept { return context_.get_executor(); }

    /// Calls `observer` on the indexer's own thread; see `BulkIndexer::subscribe`.
    template <class Observer>
    [[nodiscard]] Subscription subscribe(Observer observer) {
        return indexer_->subscribe(context_.get_executor(), std::move(observer));
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
    /// Refuses new operations, drains for at most `timeout`, and reports. On the indexer's own thread it gives up at
    /// once what is pending, and the report says what was pending.
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
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    std::optional<indexer_type> indexer_;
    std::thread thread_;
};

} // namespace bulkhead::inline v1
