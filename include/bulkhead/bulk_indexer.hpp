// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/indexer_core.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

namespace bulkhead::inline v1 {

/// When an operation gives up waiting: a point in time, or a duration from now (saturating, so that `max()` means
/// never).
template <class Clock>
class Deadline {
public:
    /// A point in time.
    Deadline(typename Clock::time_point at) noexcept : at_{at} {} // NOLINT: both are meant to convert
    /// A duration from now on.
    template <class Rep, class Period>
    Deadline(std::chrono::duration<Rep, Period> from_now) noexcept // NOLINT
        : at_{detail::saturating_add<Clock>(Clock::now(), from_now)} {}
    /// The point in time.
    [[nodiscard]] typename Clock::time_point at() const noexcept { return at_; }

private:
    typename Clock::time_point at_;
};

/// Collects operations from any number of threads and sends them to the `_bulk` endpoint in the background.
///
/// `enqueue` copies an operation's bytes into the open batch and returns; the batch is sealed by count, bytes or time,
/// flushed by `Transport`, its answer judged item by item, what the server refused for now is sent again, and every
/// accepted operation is settled exactly once: counted in `stats()`, and told to the observer whose ticket it carries.
///
/// A move-only handle. All member functions may be called from any thread, also from observers; the exceptions are
/// moving and destroying. Everything in the background runs on a strand of the given executor: the indexer needs no
/// thread of its own, and does its work while that context runs. An idle indexer does not keep the context running
/// (`HttpTransport` does while it holds idle connections: at most for its `idle_max`).
///
/// The destructor is a close with no time left: what is queued is settled as `undelivered`, what is in flight as
/// `unknown`, as soon as the context runs; it does not wait. Use `async_close` to drain. The handle must not outlive
/// its context. The context may end without a close: its end waits for an observer on another executor only while that
/// hands its room back, and what the observer itself uses must live until it has returned.
///
/// `Clock` is the time that all deadlines are on; tests use a manual one.
template <Transport T, class Clock = std::chrono::steady_clock>
class BulkIndexer {
    using Core = detail::IndexerCore<T, Clock>;

public:
    /// Of `get_executor`.
    using executor_type = asio::any_io_executor;
    /// Of `Clock`.
    using time_point = typename Clock::time_point;
    /// A time point or a duration.
    using deadline_type = Deadline<Clock>;
    /// `T`.
    using transport_type = T;

    /// Throws `InvalidOption` when an option is out of its range; allocates next to nothing until used. `sink` takes
    /// what the server refuses for good (see `DeadLetterSink`); without one that settles as `Outcome::rejected`.
    BulkIndexer(asio::any_io_executor executor, T transport, IndexerOptions options = {}, DeadLetters sink = {})
        : executor_{executor} {
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        core_ = std::make_shared<Core>(std::move(executor), std::move(transport), std::move(options), std::move(sink));
    }
    /// Moves the handle; the work goes on. A handle that was moved from may only be assigned to or destroyed.
    BulkIndexer(BulkIndexer&&) noexcept = default;
    /// Exchanges the handles: what this one held is closed when the other is destroyed.
    BulkIndexer& operator=(BulkIndexer&& other) noexcept {
        std::swap(executor_, other.executor_);
        std::swap(core_, other.core_);
        return *this;
    }
    BulkIndexer(const BulkIndexer&) = delete;
    BulkIndexer& operator=(const BulkIndexer&) = delete;
    ~BulkIndexer() {
        if (!core_) return;
        core_->intake().close();
        try {
            asio::post(core_->strand(), [core = core_] {
                core->close_by(time_point::min());
                core->pump();
            });
        } catch (const std::exception&) { // out of memory: the context's end frees everything
        }
    }

    // ---- Handing in, without waiting ----

    /// Fire and forget: never waits, never throws. What cannot be accepted is counted (`Stats::refused_*`).
    void enqueue(const Operation& op) noexcept { core_->enqueue(op, Ticket{}); }
    /// The operations of a scratch batch, all or none of them.
    void enqueue(const Batch& scratch) noexcept { core_->enqueue(scratch, Ticket{}); }

    /// The same, and says what became of it. `accepted` means that the ticket's observer will be told exactly once;
    /// after any other admission nothing is kept and nobody is told.
    [[nodiscard]] Admission try_enqueue(const Operation& op, Ticket ticket = {}) noexcept {
        return core_->enqueue(op, ticket);
    }
    /// All or nothing; each operation carries the ticket, so that the observer gets one settlement for each.
    [[nodiscard]] Admission try_enqueue(const Batch& scratch, Ticket ticket = {}) noexcept {
        return core_->enqueue(scratch, ticket);
    }

    /// Whether this many operations of so many encoded bytes in all (`Batch::bytes()`: action lines, sources and their
    /// newlines) would be accepted now, in one piece. True for whatever fits the whole budget when nothing is pending
    /// and every observer has returned. Reserves nothing: another producer may be quicker. Any thread.
    [[nodiscard]] bool has_room(std::size_t bytes, std::size_t operations = 1) const {
        return core_->intake().has_room(bytes, operations);
    }

    // ---- Handing in, waiting for room ----

    /// Enqueues when there is room, in the order of the calls. Room for the first that waits is held back from all
    /// other producers, so that a large operation is accepted beside many small ones. The operation is copied at once;
    /// copies that wait are not counted against the budget: bound how many wait.
    ///
    /// Completion signature: `void(error_code, Admission)`; the admission is never `full` unless the wait was
    /// cancelled. Cancelling (any type) stops waiting with `operation_aborted`: the operation was not accepted.
    template <class Token>
    auto async_enqueue(const Operation& op, Token&& token) {
        return async_enqueue(op, Ticket{}, std::forward<Token>(token));
    }
    /// The same with a ticket, whose observer is told how an accepted operation ended.
    template <class Token>
    auto async_enqueue(const Operation& op, Ticket ticket, Token&& token) {
        Batch scratch;
        auto wrong = detail::BatchAccess::append_alone(scratch, op, options().index, options().validate);
        if (!wrong) wrong = core_->check(scratch);
        return asio::async_initiate<Token, void(error_code, Admission)>(
            [core = core_, executor = executor_, ticket](auto handler, Batch held, std::optional<FieldError> error) {
                detail::Completion<error_code, Admission> done;
                const auto id = start(core, executor, done, std::move(handler));
                if (error) return done({}, core->admit(core->intake().refuse_invalid(*error)));
                core->wait_for_room(id, std::move(held), ticket, std::move(done));
            },
            token, std::move(scratch), wrong);
    }

    /// Blocks until there is room, at most for `timeout`; then `full`. Never waits on a thread that runs the indexer
    /// (see `running_in_this_thread`), because that thread is the one to make room: there it is `try_enqueue`.
    [[nodiscard]] Admission enqueue_wait(const Operation& op, Deadline<std::chrono::steady_clock> timeout,
                                         Ticket ticket = {}) {
        using IfFull = typename Core::intake_type::IfFull;
        detail::Prepared prepared;
        if (const auto wrong = core_->prepare(op, prepared))
            return core_->admit(core_->intake().refuse_invalid(*wrong));
        auto& intake = core_->intake();
        bool wait = !running_in_this_thread();
        while (true) {
            const auto offered = intake.offer(prepared, ticket, wait ? IfFull::wait : IfFull::refuse);
            const auto admission = core_->admit(offered);
            if (admission != Admission::full || !wait) return admission;
            wait = intake.wait_for_room(offered.room, timeout.at());
        }
    }

    // ---- Waiting for the end ----

    /// Enqueues one operation and waits for its settlement: for the few documents whose end matters to who hands them
    /// in. One at a time this is as slow as the flush interval; see the README.
    ///
    /// Completion signature: `void(error_code, IndexResult)`. The error is `errc::full`, `closed`, `invalid_operation`
    /// or `too_large` when it was not accepted; otherwise success, and `IndexResult::outcome` says how it ended.
    /// Cancelling stops waiting with `operation_aborted`; the operation goes on.
    template <class Token>
    auto async_index(const Operation& op, Token&& token) {
        // The bytes are only valid now, while the initiation may come later (a deferred token).
        auto scratch = std::make_unique<Batch>();
        const auto wrong = detail::BatchAccess::append_alone(*scratch, op, options().index, options().validate);
        return asio::async_initiate<Token, void(error_code, IndexResult)>(
            [core = core_, executor = executor_](auto handler, std::unique_ptr<Batch> held,
                                                 std::optional<FieldError> error) {
                detail::Completion<error_code, IndexResult> done;
                const auto id = start(core, executor, done, std::move(handler));
                if (error) {
                    core->admit(core->intake().refuse_invalid(*error));
                    return done(errc::invalid_operation, IndexResult{});
                }
                core->index_waiters().add(id, std::move(done));
                const auto admission = core->enqueue(*held, Ticket{detail::index_waiter_slot, 0, id});
                if (admission == Admission::accepted) return;
                if (auto refused = core->index_waiters().take(id)) refused(error_of(admission), IndexResult{});
            },
            token, std::move(scratch), wrong);
    }

    /// Lets what is open travel now. Returns at once.
    void flush() noexcept {
        core_->intake().flush_and_forget();
        core_->wake();
    }

    /// Flushes, and waits until everything accepted before this call has been settled and its observers have returned.
    ///
    /// Completion signature: `void(error_code)`: success, or `errc::deadline_exceeded` (the work goes on), or
    /// `errc::closed` when a close came first. Cancelling stops waiting with `operation_aborted`; the work goes on.
    template <class Token>
    auto async_flush(deadline_type deadline, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [core = core_, executor = executor_](auto handler, time_point at) {
                detail::Completion<error_code> done;
                const auto id = start(core, executor, done, std::move(handler));
                const auto epoch = core->intake().flush();
                core->wait_for_flush(id, epoch, at, std::move(done));
            },
            token, deadline.at());
    }

    /// Refuses new operations from this call on, drains until the deadline, then gives up: what is queued settles as
    /// `undelivered` and is handed back in the report, what is in flight (or was, unanswered) as `unknown`. May be
    /// called again, with an earlier deadline too; every call completes.
    ///
    /// Completion signature: `void(error_code, CloseReport)`. Success means that the indexer is closed, also when the
    /// deadline came before everything had settled: look at `CloseReport::drained`. The report adds up. What must be
    /// given up is given up a tenth of the time before the deadline, at most 100 ms, so that observers on other
    /// executors can be called, and one microsecond earlier for each pending operation; together at most half of the
    /// time. When it completes, observers have been called, and are no longer called; but an executor that has not run
    /// its observer by the deadline is not waited for (its settlements count as `Stats::unobserved`, also in the
    /// report), nor is a call that has begun. Cancelling stops waiting with `operation_aborted`; closing goes on.
    template <class Token>
    auto async_close(deadline_type deadline, Token&& token) {
        return asio::async_initiate<Token, void(error_code, CloseReport)>(
            [core = core_, executor = executor_](auto handler, time_point at) {
                detail::Completion<error_code, CloseReport> done;
                const auto id = start(core, executor, done, std::move(handler));
                core->intake().close();
                core->wait_for_close(id, at, std::move(done));
            },
            token, deadline.at());
    }

    // ---- Being told ----

    /// Registers `observer`, a `void(std::span<const Settlement>)`, called on `executor` once for each flush that
    /// settles operations with this subscription's tickets. Calls come one at a time only if the executor is a strand
    /// or runs on one thread. It must not block; it may call back into the indexer. What it throws is counted among
    /// `Stats::failures` as `observer_threw`.
    template <class Observer>
    [[nodiscard]] Subscription subscribe(asio::any_io_executor executor, Observer observer) {
        static_assert(
            std::invocable<Observer&, std::span<const Settlement>>,
            "an observer is called as observer(std::span<const Settlement>): once for all that settle together");
        auto held = std::make_shared<detail::ObserverOf<Observer>>(std::move(observer));
        const auto ticket = core_->observers()->add(std::move(held), std::move(executor));
        return Subscription{core_->observers(), ticket};
    }

    /// Other limits from now on. Returns what is wrong with them, if anything; then nothing has changed. A budget that
    /// becomes smaller than what is buffered refuses until there is room; what is sealed already travels as it is.
    /// Throws `std::bad_alloc`.
    std::optional<FieldError> change_limits(const Limits& limits) { return core_->change_limits(limits); }

    /// A consistent snapshot; the identities documented at `Stats` hold in each.
    [[nodiscard]] Stats stats() const { return core_->stats(); }
    /// The options that it was made with.
    [[nodiscard]] const IndexerOptions& options() const noexcept { return core_->options(); }
    /// The executor that it was made with. Handlers without one of their own complete there.
    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return executor_; }

    /// Whether blocking here could stop the indexer: this thread runs its strand, or its `io_context` or `thread_pool`.
    [[nodiscard]] bool running_in_this_thread() const noexcept {
        return core_->strand().running_in_this_thread() || runs_here(executor_);
    }

private:
    /// As it is, keeping its context in work, or within strands.
    [[nodiscard]] static bool runs_here(const asio::any_io_executor& executor) noexcept {
        if (const auto* strand = executor.target<asio::strand<asio::any_io_executor>>())
            return runs_here(strand->get_inner_executor());
        return runs_as<asio::io_context::executor_type>(executor) ||
               runs_as<asio::thread_pool::executor_type>(executor);
    }
    template <class Executor>
    [[nodiscard]] static bool runs_as(const asio::any_io_executor& executor) noexcept {
        namespace execution = asio::execution;
        using Working =
            std::decay_t<decltype(asio::require(std::declval<Executor>(), execution::outstanding_work.tracked))>;
        return runs_exactly<Executor>(executor) || runs_exactly<Working>(executor);
    }
    template <class Executor>
    [[nodiscard]] static bool runs_exactly(const asio::any_io_executor& executor) noexcept {
        if (const auto* plain = executor.target<Executor>()) return plain->running_in_this_thread();
        const auto* strand = executor.target<asio::strand<Executor>>();
        return strand != nullptr && strand->get_inner_executor().running_in_this_thread();
    }
    [[nodiscard]] static errc error_of(Admission admission) noexcept {
        switch (admission) {
        case Admission::full: return errc::full;
        case Admission::closed: return errc::closed;
        case Admission::too_large: return errc::too_large;
        default: return errc::invalid_operation;
        }
    }
    /// Takes a completion handler in, and lets its cancellation slot stop the wait. Returns the waiter's id.
    template <class Completion, class Handler>
    static std::uint64_t start(const std::shared_ptr<Core>& core, const asio::any_io_executor& executor,
                               Completion& done, Handler handler) {
        const auto id = core->next_id();
        auto slot = asio::get_associated_cancellation_slot(handler);
        done = Completion{std::move(handler), executor};
        if (slot.is_connected()) {
            slot.assign([weak = std::weak_ptr<Core>{core}, id](asio::cancellation_type /*any*/) {
                if (auto alive = weak.lock()) asio::post(alive->strand(), [alive, id] { alive->cancel_waiter(id); });
            });
        }
        return id;
    }

    asio::any_io_executor executor_;
    std::shared_ptr<Core> core_;
};

} // namespace bulkhead::inline v1
