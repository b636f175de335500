// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/close_report.hpp>
#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/close/close_state.hpp>
#include <bulkhead/detail/deadlines.hpp>
#include <bulkhead/detail/encode/preparation.hpp>
#include <bulkhead/detail/encode/request_target.hpp>
#include <bulkhead/detail/event_reporter.hpp>
#include <bulkhead/detail/intake/failure_counter.hpp>
#include <bulkhead/detail/intake/intake.hpp>
#include <bulkhead/detail/judge/answer_parser.hpp>
#include <bulkhead/detail/judge/dispositions.hpp>
#include <bulkhead/detail/judge/judge_items.hpp>
#include <bulkhead/detail/judge/verdicts.hpp>
#include <bulkhead/detail/send/endpoint.hpp>
#include <bulkhead/detail/send/id_sequencer.hpp>
#include <bulkhead/detail/send/in_flight.hpp>
#include <bulkhead/detail/send/request_sizing.hpp>
#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/detail/send/retry_queue.hpp>
#include <bulkhead/detail/settle/dead_letter_batch.hpp>
#include <bulkhead/detail/settle/dead_letter_queue.hpp>
#include <bulkhead/detail/settle/notification.hpp>
#include <bulkhead/detail/settle/settlement_plan.hpp>
#include <bulkhead/detail/settle/shared_state.hpp>
#include <bulkhead/detail/util/on_failure.hpp>
#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/detail/wait/flush_waiters.hpp>
#include <bulkhead/detail/wait/index_waiters.hpp>
#include <bulkhead/detail/wait/wait_list.hpp>
#include <bulkhead/subscription.hpp>
#include <bulkhead/transport.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>

#include <array>
#include <atomic>
#include <list>
#include <map>
#include <set>
#include <unordered_map>

namespace bulkhead::inline v1::detail {

/// What `BulkIndexer` is a handle of. It reads in the order of the flow: enqueue → seal → flush → judge → settle →
/// acknowledge, then who waits, then close. All but the first part runs on the strand.
template <Transport T, class Clock>
class IndexerCore : public std::enable_shared_from_this<IndexerCore<T, Clock>> {
public:
    using time_point = typename Clock::time_point;
    using bulk_type = Bulk<time_point>;
    using intake_type = Intake<Clock>;

    IndexerCore(asio::any_io_executor executor, T transport, IndexerOptions options, DeadLetters sink)
        : options_{std::move(options)}, strand_{executor}, timer_{strand_}, transport_{std::move(transport)},
          sink_{std::move(sink)}, targets_{target_of(options_, false), target_of(options_, true)},
          shared_{std::make_shared<Shared>(options_, *this)}, endpoint_{options_.max_in_flight, options_.min_in_flight},
          sizing_{{options_.max_batch_operations, options_.max_batch_bytes}}, budget_{options_.retry.budget_percent,
                                                                                      options_.max_batch_operations *
                                                                                          options_.max_in_flight},
          flood_{options_.flood} {}
    IndexerCore(const IndexerCore&) = delete;
    IndexerCore& operator=(const IndexerCore&) = delete;
    ~IndexerCore() { shared_->detach(); }

    [[nodiscard]] const IndexerOptions& options() const noexcept { return options_; }
    [[nodiscard]] const auto& strand() const noexcept { return strand_; }
    [[nodiscard]] Stats stats() const { return intake_.stats(); }
    [[nodiscard]] intake_type& intake() noexcept { return intake_; }
    [[nodiscard]] const std::shared_ptr<Observers>& observers() const noexcept { return shared_->observers; }

    // ---- enqueue → append: any thread ----

    Admission enqueue(const Operation& op, Ticket ticket) noexcept {
        return measured([&] { return take(op, ticket); });
    }
    Admission enqueue(const Batch& scratch, Ticket ticket) noexcept {
        return measured([&] { return take(scratch, ticket); });
    }
    template <class F>
    Admission measured(const F& take) noexcept {
        if (!intake_.wants_time()) [[likely]]
            return take();
        const auto begin = Clock::now();
        const auto admission = take();
        intake_.note_append(Clock::now() - begin);
        return admission;
    }
    Admission take(const Operation& op, Ticket ticket) noexcept {
        try {
            Prepared prepared;
            if (const auto wrong = preparation_.prepare(op, prepared)) return admit(intake_.refuse_invalid(*wrong));
            return admit(intake_.offer(prepared, ticket));
        } catch (const std::bad_alloc&) {
            return admit(intake_.refuse_full(1));
        }
    }
    Admission take(const Batch& scratch, Ticket ticket) noexcept {
        try {
            if (const auto wrong = preparation_.check(scratch))
                return admit(intake_.refuse_invalid(*wrong, scratch.operations()));
            if (!preparation_.gives_ids()) return admit(intake_.offer(scratch, ticket));
            return admit(intake_.offer(preparation_.with_ids(scratch), ticket));
        } catch (const std::bad_alloc&) {
            return admit(intake_.refuse_full(scratch.operations()));
        }
    }
    [[nodiscard]] Preparation& preparation() noexcept { return preparation_; }
    /// See `BulkIndexer::change_limits`.
    std::optional<FieldError> change_limits(const Limits& limits) {
        if (auto wrong = intake_.change(limits)) return wrong;
        limits_changed_ = true;
        wake(); // once for however many changes: who changes them all the time must not keep the strand busy
        return std::nullopt;
    }

    Admission admit(typename intake_type::Offered offered) noexcept {
        if (offered.wake) post_pump();
        return offered.admission;
    }
    /// Lets the strand run, unless it is about to.
    void wake() noexcept {
        if (intake_.claim_wake()) post_pump();
    }

    // ---- seal → flush ----

    /// One look at everything whose time may have come. Whatever changes something on the strand ends with this. When
    /// memory runs out, the thread that runs the context does not suffer for it: the next occasion looks again, and
    /// there is one soon, if there is memory for a timer.
    void pump() noexcept {
        if (guarded([this] { run_due_steps(); })) return;
        guarded([this] { arm_timer(); });
    }

    // ---- who waits ----

    /// Throws `std::bad_alloc`; then nobody waits. Any thread, as the next two.
    void wait_for_flush(std::uint64_t id, std::uint64_t epoch, time_point deadline, Completion<error_code> done) {
        typename Flushes::Place place{id, epoch, deadline, std::move(done)};
        asio::post(strand_, [self = this->shared_from_this(), place = std::move(place)]() mutable {
            self->flush_waiters_.add(std::move(place));
            self->pump();
        });
    }
    void wait_for_room(std::uint64_t id, Batch scratch, Ticket ticket, Completion<error_code, Admission> done) {
        if (preparation_.gives_ids()) scratch = preparation_.with_ids(scratch);
        typename Rooms::Place place{id, RoomWaiter{std::move(scratch), ticket, std::move(done)}};
        asio::post(strand_, [self = this->shared_from_this(), place = std::move(place)]() mutable {
            self->room_waiters_.add(std::move(place));
            self->pump();
        });
    }
    void wait_for_close(std::uint64_t id, time_point deadline, Completion<error_code, CloseReport> done) {
        typename Closes::Place place{id, std::move(done)};
        asio::post(strand_, [self = this->shared_from_this(), place = std::move(place), deadline]() mutable {
            self->close_by(deadline);
            self->close_waiters_.add(std::move(place));
            self->pump();
        });
    }
    /// The calls of `async_index` that wait. Any thread.
    [[nodiscard]] IndexWaiters& index_waiters() noexcept { return index_waiters_; }
    void close_by(time_point deadline) { close_.request(deadline, Clock::now()); }
    [[nodiscard]] std::uint64_t next_id() noexcept { return next_id_.fetch_add(1, std::memory_order_relaxed); }

    /// The waiter no longer wants to wait; the work goes on.
    void cancel_waiter(std::uint64_t id) noexcept {
        guarded([&] { end_waiting(id); });
    }

private:
    /// When memory runs out on the strand, the thread that runs the context does not suffer for it. False then.
    template <class F>
    bool guarded(const F& f) noexcept {
        try {
            f();
            return true;
        } catch (const std::exception& error) {
            intake_.note_failure("out_of_memory", error.what(), 0);
            look_again_ = later(Clock::now(), std::chrono::milliseconds{100});
            return false;
        }
    }
    void end_waiting(std::uint64_t id) {
        const error_code aborted = asio::error::operation_aborted;
        if (auto done = flush_waiters_.take(id)) {
            completions_.add(std::move(*done), aborted);
        } else if (auto room = room_waiters_.take(id)) {
            completions_.add(std::move(room->done), aborted, Admission::full);
            intake_.end_reservation();
            pump(); // those behind it may fit
        } else if (close_waiters_.contains(id)) {
            auto now = report();
            completions_.add(std::move(*close_waiters_.take(id)), aborted, std::move(now));
        } else if (auto index = index_waiters_.take(id)) {
            completions_.add(std::move(index), aborted, IndexResult{});
        }
        completions_.post_all();
    }

    using Flushes = FlushWaiters<time_point, Completion<error_code>>;
    struct RoomWaiter {
        Batch scratch;
        Ticket ticket;
        Completion<error_code, Admission> done;
    };
    using Rooms = WaitList<RoomWaiter>;
    using Closes = WaitList<Completion<error_code, CloseReport>>;

    using Shared = SharedState<intake_type, IndexerCore>;

    /// One request on its way.
    struct Flight {
        bulk_type bulk;
        BulkAnswerParser answer;
        std::array<asio::const_buffer, 1> body;
        Request request;
        Reply reply;
        std::uint64_t generation = 0;
        time_point sent{};
        bool alone = false;     ///< no other request has been in flight with it
        bool abandoned = false; ///< settled without waiting for it
        bool unjudged = false;  ///< it has its reply; there was no memory to judge that
        // What judging an answer has done already, should it be judged again.
        std::size_t charged = 0;  ///< so many of its operations have their attempt, from the first on
        std::uint8_t counted = 0; ///< see `once`
        bool took_back = false;   ///< charges, in a flood
    };
    using FlightPtr = std::shared_ptr<Flight>;

    using Letters = DeadLetterBatch<bulk_type>;
    using LetterQueue = DeadLetterQueue<Letters, time_point>;
    using LettersPtr = typename LetterQueue::LettersPtr;

    using Retries = RetryQueue<bulk_type, time_point>;

    using Notifications = NotificationQueue<Shared>;

    void post_pump() noexcept {
        try {
            asio::post(strand_, [self = this->shared_from_this()] { self->pump(); });
        } catch (const std::exception&) { // out of memory: the next enqueue tries again
            intake_.wake_failed();
        }
    }

    void run_due_steps() {
        const bool ran = guard_.run([this] {
            const auto now = Clock::now();
            look_again_ = time_point::max();
            intake_.begin_pump(now);
            if (limits_changed_.exchange(false)) take_limits();
            catch_up();
            tell_dropped();
            give_up_aged(now);
            write_letters(now);
            flush(now);
            report_events(now);
            serve_waiters(now);
        });
        if (!ran) return; // below us on the stack: a send that completed at once
        arm_timer();
        note_oldest();
    }
    /// Does what there was no memory for when its time came.
    void catch_up() {
        place_released();
        notifications_.post_all(shared_);
        completions_.post_all();
        if (!doomed_.batch.empty()) give_up(doomed_, doomed_why_);
        while (true) {
            const auto found = in_flight_.find([](const Flight& flight) { return flight.unjudged; });
            if (!found || !arrive(found)) return;
        }
    }
    void take_limits() {
        const auto now = intake_.limits();
        limiter().bound(*now.min_in_flight, *now.max_in_flight);
        sizing_.most({*now.max_batch_operations, *now.max_batch_bytes});
        limit_batches();
        tell_concurrency();
    }
    /// What the endpoint takes decides how large batches become.
    void limit_batches() { intake_.limit_batches(sizing_.batch_bytes()); }
    [[nodiscard]] Concurrency<time_point>& limiter() noexcept { return endpoint_.limiter(); }
    /// Calls `on_event`, if that is due.
    void report_events(time_point now, bool last = false) {
        if (!events_.has_hook() || (close_.ended() && !last)) return; // after a close the hook may be gone
        if (!events_.due(now, intake_.trouble(), last)) return;
        intake_.telling();
        events_.report(now, intake_.stats(), options_.on_event);
    }
    /// For `Stats`: of what the strand has taken and not settled.
    void note_oldest() {
        auto letter = time_point::max();
        letters_.for_each([&](const Letters& letters) { letter = std::min(letter, letters.bulk.opened); });
        auto oldest = std::min(letter, retries_.oldest());
        in_flight_.for_each([&](const Flight& flight) { oldest = std::min(oldest, flight.bulk.opened); });
        if (!in_hand_.batch.empty()) oldest = std::min(oldest, in_hand_.opened);
        if (id_order_.oldest() != nullptr) oldest = std::min(oldest, id_order_.oldest()->opened);
        intake_.note_oldest(oldest, letter);
    }

    // ---- flush ----

    void flush(time_point now) {
        while (!close_.ended() && !letters_.is_behind() && limiter().may_launch(now, in_flight_.size())) {
            auto& bulk = in_hand_; // and there it stays when memory runs out
            if (bulk.batch.empty() && !take_next(now, bulk)) return;
            if (options_.ordering == Ordering::per_id && !hold_back(bulk)) continue;
            if (bulk.batch.operations() > 1 && (bulk.in_halves || makes_nonsense(bulk))) {
                bulk.apart = true;
                halve(std::move(bulk));
            } else if (bulk.batch.operations() > 1 && too_much(bulk.batch)) {
                halve(std::move(bulk));
            } else {
                launch(std::move(bulk), now);
            }
        }
    }
    /// More than the endpoint takes, as far as is known: the batch was sealed before.
    [[nodiscard]] bool too_much(const Batch& batch) const noexcept {
        const auto limit = sizing_.limit();
        return batch.bytes() > limit.bytes || batch.operations() > limit.operations;
    }
    /// What travels next: by turns what is sent again and what is new, so that neither starves the other. In a flood
    /// first what is new: what was refused says nothing new.
    [[nodiscard]] bool take_next(time_point now, bulk_type& out) {
        if (fresh_turn_ || flood_.flooded()) {
            fresh_turn_ = false;
            return intake_.take(out) || take_retry(now, out);
        }
        fresh_turn_ = take_retry(now, out);
        return fresh_turn_ || intake_.take(out);
    }
    /// Lets the operations wait whose id is under way. False when nothing is left to travel.
    [[nodiscard]] bool hold_back(bulk_type& bulk) {
        auto entries = bulk.batch.entries();
        std::size_t offset = 0;
        std::size_t held_bytes = 0;
        held_.clear();
        for (std::size_t i = 0; i < entries.size(); offset += entries[i].bytes(), ++i) {
            auto& entry = entries[i];
            if (entry.id_end == 0 || entry.holds_id) continue;
            const auto key = key_of(entry, bulk.batch.body().substr(offset));
            entry.holds_id = id_order_.claim(key);
            if (entry.holds_id) continue;
            auto one = bulk.with(bulk.batch.extract_one(i, offset));
            held_bytes += one.batch.footprint();
            held_.push_back({i, typename IdOrder<bulk_type>::Place{key, std::move(one)}});
        }
        if (held_.empty()) return true;
        auto rest = bulk.batch.extract([&](std::size_t i) {
            const auto at = std::lower_bound(held_.begin(), held_.end(), i,
                                             [](const HeldBack& held, std::size_t n) { return held.position < n; });
            return at == held_.end() || at->position != i;
        });
        for (auto& held : held_) id_order_.wait(std::move(held.place)); // nothing fails from here on
        held_.clear();
        const auto before = bulk.batch.footprint();
        std::swap(bulk.batch, rest);
        intake_.update_stats([&](Stats& stats) { stats.waiting_for_id = id_order_.waiting(); });
        const bool any_left = !bulk.batch.empty();
        intake_.settle({}, before, held_bytes + bulk.batch.footprint(), bulk.epoch, 0, std::move(rest));
        return any_left;
    }
    /// Stands for index and id. `bytes` begin with the operation's.
    [[nodiscard]] static std::uint64_t key_of(const Entry& entry, std::string_view bytes) noexcept {
        const auto from = action_name(entry.action).size() + 5; // {"index":{
        return std::hash<std::string_view>{}(bytes.substr(from, entry.id_end - from));
    }
    /// Takes the bulk, unless it throws.
    void launch(bulk_type&& bulk, time_point now) {
        const auto flight = in_flight_.acquire();
        flight->answer.start(bulk.batch.operations());
        flight->charged = flight->counted = 0;
        flight->took_back = false;
        flight->bulk = std::exchange(bulk, bulk_type{});
        flight->sent = now;
        const bool first = flight->bulk.travelled == 0;
        if (!first) budget_.spend(flight->bulk.batch.operations());
        ++flight->bulk.travelled;
        const auto& batch = flight->bulk.batch;
        const auto entries = batch.entries();
        const bool with_results = std::any_of(entries.begin(), entries.end(),
                                              [](const Entry& entry) { return entry.action >= Action::update; });
        flight->body[0] = asio::buffer(batch.body());
        flight->request = Request{targets_[with_results ? 1 : 0],
                                  flight->body,
                                  batch.bytes(),
                                  batch.operations(),
                                  flight->bulk.travelled,
                                  options_.request_timeout,
                                  flight->bulk.avoid_node};
        flight->generation = limiter().launched();
        in_flight_.add(flight, !first);
        intake_.update_stats([&](Stats& stats) {
            ++stats.requests;
            stats.request_bytes += batch.bytes();
            if (first) stats.queue_time.record(age_of(flight->bulk.opened, now));
            stats.in_flight = in_flight_.size();
        });
        OnFailure never_started{[&] { take_back(flight, bulk); }};
        asio::co_spawn(strand_, fly(this->shared_from_this(), flight), on_its_own());
        never_started.dismiss();
    }
    /// The flight could not start, for want of memory: as if nobody had tried.
    void take_back(const FlightPtr& flight, bulk_type& bulk) noexcept {
        if (!in_flight_.remove(flight, flight->bulk.travelled > 1)) return; // it has landed already
        bulk = std::move(flight->bulk);
        --bulk.travelled;
        limiter().not_launched();
        intake_.update_stats([&](Stats& stats) {
            --stats.requests;
            stats.request_bytes -= bulk.batch.bytes();
            stats.in_flight = in_flight_.size();
        });
    }
    /// For a coroutine that nobody waits for. Its end needs no memory: otherwise Asio would throw it out of the
    /// context.
    [[nodiscard]] static auto on_its_own() { return asio::bind_executor(asio::system_executor{}, asio::detached); }
    static asio::awaitable<void> fly(std::shared_ptr<IndexerCore> self, FlightPtr flight) {
        auto& reply = flight->reply;
        try {
            reply = co_await self->transport_.send(flight->request, flight->answer);
        } catch (...) { // a transport must not; what it did is then unknown
            reply = Reply{};
            reply.error = errc::no_answer;
            reply.sent = Sent::partial;
            self->guarded([&] { reply.detail = current_error(); });
        }
        (void)self->arrive(std::move(flight));
        self->pump();
    }

    // ---- judge ----

    /// A request has come to its end. Out of memory, it is judged again later: then it counts as in flight still. False
    /// then.
    bool arrive(FlightPtr flight) noexcept {
        flight->unjudged = false;
        const auto before = memory_of_judging(*flight);
        if (guarded([&] { land(flight, flight->reply); })) return true;
        restore(*flight, before);
        flight->unjudged = true;
        in_flight_.add_again(flight, flight->bulk.travelled > 1);
        return false;
    }
    /// What judging an answer changes and needs no memory to keep.
    struct Learnt {
        typename Endpoint<time_point>::Memory endpoint;
        RequestSizing sizing;
        RetryBudget budget;
        FloodGauge flood;
        BulkHistory<time_point> history;
    };
    [[nodiscard]] Learnt memory_of_judging(const Flight& flight) const noexcept {
        return {endpoint_.memory(), sizing_, budget_, flood_, flight.bulk};
    }
    /// There was no memory to judge the answer to its end: as if it had not begun.
    void restore(Flight& flight, const Learnt& before) noexcept {
        endpoint_.restore(before.endpoint);
        sizing_ = before.sizing;
        budget_ = before.budget;
        flood_ = before.flood;
        static_cast<BulkHistory<time_point>&>(flight.bulk) = before.history;
        limit_batches();
        tell_concurrency();
    }
    enum : std::uint8_t { landing = 1, request_failure = 2, operation_failures = 4, malformed_answer = 8 };
    /// Whether this is to be counted: it has not been, for this answer. Nothing may fail between this and counting.
    [[nodiscard]] static bool once(Flight& flight, std::uint8_t what) noexcept {
        const bool counted = (flight.counted & what) != 0;
        flight.counted = static_cast<std::uint8_t>(flight.counted | what);
        return !counted;
    }
    /// Charges the operation at position `i`; positions rise.
    void count_attempt(Flight& flight, std::size_t i) const noexcept {
        if (i < flight.charged) return;
        flight.charged = i + 1;
        auto& entry = flight.bulk.batch.entries()[i];
        if (entry.attempts < 0xffffU) ++entry.attempts;
    }
    void land(FlightPtr flight, Reply& reply) {
        if (flight->abandoned) return;
        in_flight_.remove(flight, flight->bulk.travelled > 1);
        const auto now = Clock::now();
        intake_.update_stats([&](Stats& stats) {
            stats.in_flight = in_flight_.size();
            if (once(*flight, landing)) stats.request_time.record(age_of(flight->sent, now));
        });
        auto& bulk = flight->bulk;
        bulk.avoid_node = reply.node;
        const bool success_status = reply.status >= 200 && reply.status < 300;
        const bool proven = success_status && !reply.error && reply.body_complete && flight->answer.finish();
        // Nonsense, as opposed to a connection that broke: it came to its end, or to where nobody wanted more of it, or
        // to where nobody could understand it, which may be before its status.
        const bool malformed = (reply.status == 0 && reply.error == error_code{errc::malformed_answer}) ||
                               (success_status && !proven &&
                                (!reply.error || reply.error == error_code{errc::malformed_answer} ||
                                 reply.error == error_code{errc::answer_too_large}));
        switch (judge_reply(reply, proven)) {
        case ReplyVerdict::per_item: judge_items(*flight, now); break;
        case ReplyVerdict::too_large: split(*flight, reply, now); break;
        case ReplyVerdict::bad_request: split(*flight, reply, now); break;
        case ReplyVerdict::retry_unsent: requeue_whole(*flight, reply, Health::backing_off, now); break;
        case ReplyVerdict::refused: refuse_whole(*flight, reply, now); break;
        case ReplyVerdict::unauthorized: requeue_whole(*flight, reply, Health::unauthorized, now); break;
        case ReplyVerdict::misconfigured: requeue_whole(*flight, reply, Health::misconfigured, now); break;
        case ReplyVerdict::ambiguous: judge_ambiguous(*flight, reply, malformed, now); break;
        }
        in_flight_.recycle(std::move(flight)); // for its parser's memory
    }
    /// A whole, well-formed answer: each operation by the item at its position.
    void judge_items(Flight& flight, time_point now) {
        auto& bulk = flight.bulk;
        const auto entries = bulk.batch.entries();
        const auto refusal = refused_as_one(flight.answer, entries, options_.verdicts);
        if (refusal && pauses_all(bulk, *refusal, now)) {
            // As if it had said 429 once for all of them.
            if (refusal->overload && suspect(flight, true) == Blame::bulk) return retry_apart(flight, now);
            ++bulk.refusals;
            return push_back(flight, *refusal, now);
        }
        endpoint_.answered_items();
        const auto counts = detail::judge_items(
            flight.answer, entries, bulk.batch.body(), rules_for(bulk, now), dispositions_,
            [&](std::size_t i) { count_attempt(flight, i); },
            [&](Entry& entry, bool not_allowed) { note_allowed(entry, not_allowed); });
        if (once(flight, operation_failures)) note_item_failures(bulk.batch);
        if (counts.retries != entries.size()) {
            bulk.apart = false;
            bulk.failed_after = bulk.failures = 0;
            bulk.nonsense_after = bulk.nonsense = 0;
            bulk.new_half = false;
            sizing_.taken(size_of(bulk.batch));
            limit_batches();
        }
        budget_.earn(entries.size() - counts.retries - counts.dead_letters);
        auto due = now;
        if (counts.retries != 0) {
            due = later(now, backoff(options_.retry, ++bulk.refusals, jitter_()));
            if (counts.any_charged) bulk.charged_since = std::min(bulk.charged_since, now);
            bulk.blocked_since = counts.any_blocked ? std::min(bulk.blocked_since, now) : time_point::max();
        }
        if (has_sink() && flood_.judge(entries.size(), counts.dead_letters - counts.blocked)) {
            endpoint_in_trouble(flight, {}, spare_the_sink(flight), Health::flooded, now);
        } else if (refusal && endpoint_.is_failing()) {
            limiter().inconclusive(flight.generation);
        } else {
            endpoint_works(flight, counts.pushed_back != 0);
        }
        settle(bulk, due);
    }
    /// The operations that did not succeed, by what `dispositions_` says of them.
    void note_item_failures(const BulkBatch& batch) {
        FailureCounter<intake_type> failures{intake_};
        std::size_t offset = 0;
        const auto entries = batch.entries();
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const auto& disposition = dispositions_[i];
            const auto line =
                batch.body().substr(std::exchange(offset, offset + entries[i].bytes()), entries[i].action_bytes);
            if (disposition.next == Next::settle && !disposition.is_failure()) continue;
            const auto& said = dispositions_.error_of(disposition);
            failures.add(said.type, said.reason, disposition.status,
                         disposition.waits ? index_of(line) : std::string_view{});
        }
        failures.flush();
    }
    [[nodiscard]] bool has_sink() const noexcept { return sink_.get() != nullptr; }
    [[nodiscard]] ItemRules rules_for(const bulk_type& bulk, time_point now) const noexcept {
        return {options_.verdicts,           options_.retry,
                options_.duplicates,         has_sink(),
                blocked_too_long(bulk, now), since(bulk.charged_since, now)};
    }
    /// The operation was charged often enough, and for long enough.
    [[nodiscard]] bool had_its_tries(const Entry& entry, const bulk_type& bulk, time_point now) const noexcept {
        return attempts_ended(options_.retry, entry.attempts, since(bulk.charged_since, now));
    }
    [[nodiscard]] bool blocked_too_long(const bulk_type& bulk, time_point now) const noexcept {
        return options_.retry.max_blocked != unlimited &&
               std::chrono::floor<std::chrono::milliseconds>(since(bulk.blocked_since, now)) >=
                   options_.retry.max_blocked;
    }
    [[nodiscard]] static std::chrono::nanoseconds since(time_point began, time_point now) noexcept {
        if (began >= now) return {};
        return std::chrono::duration_cast<std::chrono::nanoseconds>(now - began);
    }
    [[nodiscard]] static RequestSize size_of(const Batch& batch) noexcept {
        return {batch.operations(), batch.bytes()};
    }
    /// In a flood: what would become a dead letter waits instead, and is charged nothing. Returns what was said of one.
    std::string spare_the_sink(Flight& flight) {
        const auto entries = flight.bulk.batch.entries();
        const bool takes_back = !std::exchange(flight.took_back, true);
        std::string_view said;
        for (std::size_t i = 0; i < dispositions_.size(); ++i) {
            if (dispositions_[i].next != Next::dead_letter) continue;
            dispositions_[i].next = Next::retry;
            if (takes_back && entries[i].attempts != 0) --entries[i].attempts;
            if (said.empty()) said = dispositions_.error_of(dispositions_[i]).type;
        }
        return std::string{said};
    }
    /// Whether such an answer is the endpoint's trouble. Not when it is these operations alone: they have met this
    /// before, and others have been taken since. Not when they have waited long enough.
    [[nodiscard]] bool pauses_all(const bulk_type& bulk, const CommonRefusal& refusal, time_point now) const noexcept {
        if (blocked_too_long(bulk, now)) return false;
        if (refusal.overload) return true; // unless `suspect` decides otherwise
        return bulk.refusals == 0 || endpoint_.is_failing();
    }
    /// No operation was taken, for want of capacity or of permission: nobody is charged an attempt.
    void push_back(Flight& flight, const CommonRefusal& refusal, time_point now) {
        auto& bulk = flight.bulk;
        note_pushed_back(flight);
        const auto entries = bulk.batch.entries();
        judge_pushed_back(flight.answer, entries, bulk.batch.body(), rules_for(bulk, now), dispositions_,
                          [&](Entry& entry, bool not_allowed) { note_allowed(entry, not_allowed); });
        const auto index = index_of(bulk.batch.body().substr(0, entries[0].action_bytes));
        endpoint_in_trouble(flight, {}, join(first_said(flight).first, index), refusal.health, now, refusal.busy);
        bulk.blocked_since = std::min(bulk.blocked_since, now);
        settle(bulk, due_again(bulk, now));
    }
    /// Type and reason of the first item.
    [[nodiscard]] static std::pair<std::string, std::string> first_said(Flight& flight) {
        const auto& item = flight.answer.items()[0];
        const auto* error = flight.answer.error_of(item);
        std::pair<std::string, std::string> said;
        if (error != nullptr) said = {std::string{error->type}, std::string{error->reason}};
        if (said.first.empty()) said.first = "http_" + std::to_string(item.status);
        return said;
    }
    void note_pushed_back(Flight& flight) {
        const auto& batch = flight.bulk.batch;
        const auto said = first_said(flight);
        if (!once(flight, operation_failures)) return;
        FailureCounter<intake_type> failures{intake_};
        failures.add(said.first, said.second, flight.answer.items()[0].status,
                     index_of(batch.body().substr(0, batch.entries()[0].action_bytes)), batch.operations());
        failures.flush();
    }

    // ---- a request that keeps failing ----

    /// `overload`: 429 or 503, which fewer requests at once may cure.
    [[nodiscard]] Blame suspect(Flight& flight, bool overload) {
        auto& bulk = flight.bulk;
        const bool fewer_first = overload && limiter().limit() > *intake_.limits().min_in_flight;
        return sizing_.blame(bulk, size_of(bulk.batch), was_charged(bulk), flight.alone, fewer_first);
    }
    /// 429 or 503 for the request as a whole.
    void refuse_whole(Flight& flight, const Reply& reply, time_point now) {
        for (auto& entry : flight.bulk.batch.entries()) note_allowed(entry, false);
        if (suspect(flight, true) == Blame::endpoint) return requeue_whole(flight, reply, Health::backing_off, now);
        note_failed(flight, reply, type_of(reply));
        const auto said = describe_error(flight.answer.head());
        retry_apart(flight, {said.type.empty() ? type_of(reply) : said.type, said.reason},
                    static_cast<std::uint16_t>(reply.status), now, reply.retry_after);
    }
    void retry_apart(Flight& flight, time_point now) {
        note_pushed_back(flight);
        retry_apart(flight, first_said(flight), flight.answer.items()[0].status, now);
    }
    /// A bulk that is refused while others are taken travels in halves, without pausing anybody; 429 shrinks
    /// `max_in_flight`. One operation is charged for it, and shrinks nothing: it is the cause itself.
    void retry_apart(Flight& flight, const std::pair<std::string, std::string>& said, std::uint16_t status,
                     time_point now, std::optional<std::chrono::seconds> retry_after = {}) {
        auto& bulk = flight.bulk;
        if (status == 429 && bulk.batch.operations() > 1) {
            limiter().pushed_back(flight.generation);
        } else {
            limiter().inconclusive(flight.generation);
        }
        tell_concurrency();
        if (!charge_apart(flight, now)) {
            auto due = apart_due(bulk, now);
            if (retry_after) due = std::max(due, later(now, clamp_retry_after(*retry_after, options_.retry)));
            return requeue(std::move(bulk), due);
        }
        dispositions_.start(1);
        dispositions_[0].status = status;
        dispositions_[0].error = dispositions_.add_error(said.first, said.second);
        end_in_vain(bulk.batch.entries()[0], dispositions_[0], has_sink());
        settle(bulk, now);
    }
    /// True when the bulk is one operation, which has had its tries.
    [[nodiscard]] bool charge_apart(Flight& flight, time_point now) {
        auto& bulk = flight.bulk;
        if (bulk.batch.operations() > 1) {
            bulk.in_halves = bulk.failures >= RequestSizing::failures_before_halving;
            return false;
        }
        const auto& entry = bulk.batch.entries()[0];
        count_attempt(flight, 0);
        bulk.charged_since = std::min(bulk.charged_since, now);
        return had_its_tries(entry, bulk, now);
    }
    /// The bulk is one operation, which failed while others were taken.
    [[nodiscard]] static bool was_charged(const bulk_type& bulk) noexcept {
        return bulk.batch.operations() == 1 && bulk.apart && bulk.charged_since != time_point::max();
    }
    /// At once when the endpoint pauses, but for one operation that was charged: others are to travel first.
    [[nodiscard]] time_point due_again(bulk_type& bulk, time_point now) {
        return was_charged(bulk) ? apart_due(bulk, now) : now;
    }
    [[nodiscard]] time_point apart_due(bulk_type& bulk, time_point now) {
        return later(now, backoff(options_.retry, ++bulk.refusals, jitter_()));
    }
    /// What was last answered about an operation was, or is no longer, that it is not allowed.
    void note_allowed(Entry& entry, bool not_allowed) noexcept {
        if (entry.not_allowed == not_allowed) return;
        entry.not_allowed = not_allowed;
        intake_.update_stats([&](Stats& stats) {
            if (not_allowed) ++stats.waiting_for_environment;
            if (!not_allowed) --stats.waiting_for_environment;
        });
    }
    /// Sent, perhaps applied, not proven: repeated where that can do no harm.
    void judge_ambiguous(Flight& flight, Reply& reply, bool malformed, time_point now) {
        const auto why = malformed ? errc::malformed_answer : errc::no_answer;
        const bool too_large = reply.error == error_code{errc::answer_too_large};
        if (malformed) {
            if (reply.detail.empty()) reply.detail = flight.answer.problem();
            if (once(flight, malformed_answer)) intake_.update_stats([](Stats& stats) { ++stats.malformed_answers; });
        }
        auto& bulk = flight.bulk;
        const auto type = malformed ? std::string{to_string(why)} : type_of(reply);
        auto due = now;
        bool tried = false; // it is one operation, which has had its tries
        const bool contrast =
            sizing_.requests_taken() != bulk.nonsense_after; // others were understood since its last answer
        // Nonsense is charged, and so ends. Where others are understood, an operation of this bulk may be the cause:
        // it travels in halves then, and only one that is alone ends.
        if ((malformed && !too_large) || suspect(flight, false) == Blame::endpoint) {
            endpoint_fails(flight, reply, type, Health::backing_off, now);
            due = due_again(bulk, now);
        } else {
            note_failed(flight, reply, type);
            limiter().inconclusive(flight.generation);
            tell_concurrency();
            tried = !malformed && charge_apart(flight, now);
            due = apart_due(bulk, now);
        }
        bulk.blocked_since = time_point::max();
        const bool lasts = !contrast && !bulk.new_half && !too_large; // also for parts, and for everything else
        if (malformed) note_nonsense(bulk, contrast);
        if (too_large) bulk.in_halves = true; // fewer operations, a smaller answer
        const auto entries = bulk.batch.entries();
        const bool may_end = entries.size() == 1 || lasts || options_.retry.max_attempts == 1;
        // An answer that says nothing is an answer all the same: without the charge an endless stream of them would
        // never end for an operation without `max_age`.
        const auto ends = [&](std::size_t i) {
            if (!malformed) return tried;
            count_attempt(flight, i);
            return may_end && entries[i].attempts >= options_.retry.max_attempts;
        };
        const auto again =
            judge_unproven(entries, bulk.batch.body(), {to_string(why), reply.detail},
                           static_cast<std::uint16_t>(reply.status), options_.duplicates, dispositions_, ends);
        if (again != entries.size()) bulk.failed_after = bulk.failures = 0; // the rest has no history of its own
        settle(bulk, due);
    }
    /// So many nonsensical answers in a row are the endpoint's affair. At least two attempts are left for the halves.
    [[nodiscard]] std::uint32_t nonsense_before_halving() const noexcept {
        return std::clamp(options_.retry.max_attempts, 3U, RequestSizing::failures_before_halving + 2) - 2;
    }
    void note_nonsense(bulk_type& bulk, bool contrast) const noexcept {
        const auto most = nonsense_before_halving();
        if (bulk.nonsense < 0xffffffffU) ++bulk.nonsense;
        if (bulk.nonsense == most || (bulk.nonsense > most && contrast)) bulk.in_halves = true;
        bulk.nonsense_after = sizing_.requests_taken();
        bulk.new_half = false;
    }
    /// A half whose answer was nonsense while nothing else was understood; now something has been.
    [[nodiscard]] bool makes_nonsense(const bulk_type& bulk) const noexcept {
        return bulk.nonsense > nonsense_before_halving() && !bulk.new_half &&
               bulk.nonsense_after != sizing_.requests_taken();
    }
    /// A request that was refused as too large or malformed: halved until the culprit stands alone.
    void split(Flight& flight, const Reply& reply, time_point now) {
        auto& bulk = flight.bulk;
        // Servers that read a bulk in pieces may have applied what came before a malformed line. The operations travel
        // again all the same: almost always nothing was applied, and they must not suffer for one that is bad. What has
        // an id then meets itself, which `judge_conflict` knows.
        if (reply.status == 400 && bulk.batch.operations() > 1)
            for (auto& entry : bulk.batch.entries()) entry.ambiguous = true;
        const auto count = bulk.batch.operations();
        const auto error = describe_error(flight.answer.head());
        const auto type = error.type.empty() ? type_of(reply) : error.type;
        // So Elasticsearch and OpenSearch say that the URL's path is not that of a bulk endpoint.
        if (reply.status == 400 && error.reason.starts_with("no handler found for uri"))
            return requeue_whole(flight, reply, Health::misconfigured, now);
        if (reply.status == 400 && endpoint_.rejects_everything(type)) return split_slowly(flight, reply, now);
        endpoint_works(flight, false);
        if (once(flight, request_failure))
            intake_.note_failed_request(type, error.reason, static_cast<std::uint16_t>(reply.status));
        if (count == 1) {
            if (reply.status == 400) endpoint_.rejected_alone(type);
            count_attempt(flight, 0);
            dispositions_.start(1);
            // A 400 is about the operation itself; a 413 only about what may pass now, and an earlier attempt may have.
            const bool perhaps_there = reply.status == 413 && bulk.batch.entries()[0].ambiguous;
            dispositions_[0].outcome = Outcome::unknown;
            if (!perhaps_there) reject(dispositions_[0], has_sink());
            dispositions_[0].status = static_cast<std::uint16_t>(reply.status);
            dispositions_[0].error = dispositions_.add_error(type, error.reason);
            settle(bulk, now);
            return;
        }
        if (reply.status == 413) {
            sizing_.too_large(bulk.batch.bytes());
            limit_batches();
        }
        bulk.apart = true;
        halve(std::move(bulk));
        intake_.update_stats([&](Stats& stats) { stats.retried_operations += count; });
    }
    /// One operation after the other was refused alone, all alike, and nothing succeeded: not the operations' fault.
    /// None is refused for good any more, and one request at a time looks whether it is over. What comes in parts goes
    /// on being parted meanwhile: otherwise a bad operation in each bulk would hide for ever that good ones are taken.
    void split_slowly(Flight& flight, const Reply& reply, time_point now) {
        auto& bulk = flight.bulk;
        bulk.in_halves = true;
        requeue_whole(flight, reply, Health::misconfigured, now);
    }
    /// Takes the bulk, unless it throws.
    void halve(bulk_type&& bulk) {
        const auto count = bulk.batch.operations();
        const auto before = bulk.batch.footprint();
        std::size_t after = 0;
        std::array<bulk_type, 2> halves;
        std::array<typename Retries::Place, 2> places;
        for (const bool second : {true, false}) {
            auto& half = halves[second ? 1 : 0];
            half = bulk.with(bulk.batch.extract([&](std::size_t i) { return (i >= count / 2) == second; }));
            half.failed_after = half.failures = 0; // each half has a history of its own
            half.new_half = true;
            half.in_halves = false;
            after += half.batch.footprint();
            places[second ? 1 : 0] = typename Retries::Place{half.opened, half.opened};
        }
        put_first(std::move(places[1]), std::move(halves[1]));
        put_first(std::move(places[0]), std::move(halves[0]));
        intake_.settle({}, before, after, bulk.epoch, 0, std::exchange(bulk.batch, BulkBatch{}));
    }
    /// The endpoint failed as a whole and applied nothing: nobody is charged an attempt.
    void requeue_whole(Flight& flight, const Reply& reply, Health health, time_point now) {
        endpoint_fails(flight, reply, type_of(reply), health, now);
        flight.bulk.blocked_since = time_point::max();
        const auto due = due_again(flight.bulk, now);
        requeue(std::move(flight.bulk), due);
    }

    void endpoint_works(const Flight& flight, bool pushed_back) {
        limiter().succeeded(flight.generation, pushed_back);
        tell_concurrency();
    }
    /// The request failed as a whole.
    void endpoint_fails(Flight& flight, const Reply& reply, std::string_view type, Health health, time_point now) {
        endpoint_in_trouble(flight, reply.retry_after, note_failed(flight, reply, type), health, now);
    }
    /// Counts a request that failed as a whole. Returns what may be shown of it.
    std::string note_failed(Flight& flight, const Reply& reply, std::string_view type) {
        std::string detail = reply.detail;
        if (detail.empty() && reply.error) detail = reply.error.message();
        const auto said = detail.empty() ? describe_error(flight.answer.head()) : ItemError{};
        if (once(flight, request_failure))
            intake_.note_failed_request(type, detail.empty() ? said.reason : detail,
                                        static_cast<std::uint16_t>(reply.status));
        return join(type, detail.empty() ? said.type : detail); // the server's own words may repeat what it was sent
    }
    /// Nobody travels for a while; then a single probe.
    void endpoint_in_trouble(const Flight& flight, std::optional<std::chrono::seconds> retry_after, std::string trouble,
                             Health health, time_point now, bool overload = true) {
        if (limiter().is_news(flight.generation)) {
            auto pause = backoff(options_.retry, limiter().failures() + 1, jitter_());
            if (retry_after)
                pause = std::max(pause, std::chrono::nanoseconds{clamp_retry_after(*retry_after, options_.retry)});
            limiter().failed(later(now, pause), health, overload);
        }
        endpoint_.note_trouble(std::move(trouble));
        tell_concurrency();
    }
    void tell_concurrency() noexcept {
        const auto tell = [&](Stats& stats) {
            stats.health = letters_.is_behind() ? Health::sink_failing : limiter().health();
            stats.in_flight_limit = limiter().limit();
            if (letters_.is_behind()) {
                stats.health_detail =
                    letters_.trouble().empty() ? "the dead-letter sink does not keep up" : letters_.trouble();
            } else if (endpoint_.is_failing()) {
                stats.health_detail = endpoint_.trouble();
            }
        };
        guarded([&] { intake_.update_stats(tell); }); // only the text needs memory
    }
    [[nodiscard]] static std::string type_of(const Reply& reply) {
        return reply.status != 0 ? "http_" + std::to_string(reply.status) : "transport";
    }
    [[nodiscard]] static std::string join(std::string_view type, std::string_view detail) {
        std::string text{type};
        return detail.empty() ? text : text.append(": ").append(detail);
    }

    // ---- retry ----

    /// Takes the bulk, unless it throws.
    void requeue(bulk_type&& bulk, time_point due) {
        typename Retries::Place place{due, bulk.opened};
        put_off(std::move(place), std::move(bulk));
    }
    void put_off(typename Retries::Place place, bulk_type&& bulk) noexcept {
        intake_.update_stats([&](Stats& stats) {
            ++stats.sealed_batches;
            stats.retried_operations += bulk.batch.operations();
        });
        retries_.push(std::move(place), std::move(bulk));
    }
    void put_first(typename Retries::Place place, bulk_type&& bulk) noexcept {
        intake_.update_stats([](Stats& stats) { ++stats.sealed_batches; });
        retries_.push_front(std::move(place), std::move(bulk));
    }
    [[nodiscard]] bool take_retry(time_point now, bulk_type& out) {
        if (retries_.empty() || retries_.next_due() > now || !may_repeat()) return false;
        out = taken_out(retries_.pop());
        if (!stays_apart(out)) merge_due(now, out);
        return true;
    }
    [[nodiscard]] static bool stays_apart(const bulk_type& bulk) noexcept { return bulk.apart || bulk.in_halves; }
    /// Bulks that failed are merged among themselves only, so that what makes one fail is found among few.
    [[nodiscard]] static bool has_failed(const bulk_type& bulk) noexcept {
        return bulk.failed_after != 0 || bulk.nonsense != 0;
    }
    /// While the retry budget is used up, one request at a time repeats operations.
    [[nodiscard]] bool may_repeat() const noexcept { return in_flight_.repeating() == 0 || !budget_.used_up(); }
    /// What is due as well travels in the same request, as far as it fits: many batches leave a few survivors each.
    /// Only what one flush waits for, and what is of the same age within an interval.
    void merge_due(time_point now, bulk_type& bulk) {
        const auto limits = intake_.limits();
        const auto sized = sizing_.limit();
        const auto most_bytes = std::min(*limits.max_batch_bytes, sized.bytes);
        const auto most_operations = std::min(*limits.max_batch_operations, sized.operations);
        auto bytes = bulk.batch.bytes();
        auto operations = bulk.batch.operations();
        using Choice = typename Retries::Choice;
        const auto fits = [&](const bulk_type& other) {
            if (operations >= most_operations || bytes >= most_bytes) return Choice::stop;
            if (stays_apart(other) || has_failed(other) != has_failed(bulk) || other.epoch != bulk.epoch ||
                operations + other.batch.operations() > most_operations || bytes + other.batch.bytes() > most_bytes ||
                std::max(other.opened, bulk.opened) - std::min(other.opened, bulk.opened) > *limits.flush_interval)
                return Choice::pass;
            bytes += other.batch.bytes();
            operations += other.batch.operations();
            return Choice::accept;
        };
        if (!retries_.choose_due(now, fits)) return;
        auto before = bulk.batch.footprint();
        bulk.batch.reserve_more(bytes - bulk.batch.bytes(), operations - bulk.batch.operations(), Growth{0, 0});
        retries_.pop_chosen([&](bulk_type chosen) {
            const auto other = taken_out(std::move(chosen));
            before += other.batch.footprint();
            bulk.batch.append_unchecked(other.batch);
            bulk.opened = std::min(bulk.opened, other.opened);
            bulk.travelled = std::max(bulk.travelled, other.travelled);
            bulk.refusals = std::max(bulk.refusals, other.refusals);
            bulk.charged_since = std::max(bulk.charged_since, other.charged_since);
            bulk.blocked_since = std::max(bulk.blocked_since, other.blocked_since);
            bulk.failed_after = std::max(bulk.failed_after, other.failed_after);
            bulk.fresh_failures = std::max(bulk.fresh_failures, other.fresh_failures);
            bulk.failures = std::max(bulk.failures, other.failures);
            bulk.nonsense = std::max(bulk.nonsense, other.nonsense);
            bulk.nonsense_after = std::max(bulk.nonsense_after, other.nonsense_after);
        });
        intake_.settle({}, before, bulk.batch.footprint(), bulk.epoch, 0, BulkBatch{});
    }
    /// A bulk that waited to be sent again.
    [[nodiscard]] bulk_type taken_out(bulk_type bulk) {
        intake_.update_stats([](Stats& stats) { --stats.sealed_batches; });
        return bulk;
    }
    /// What became older than `max_age` while it waited is not sent again.
    void give_up_aged(time_point now) {
        const auto is_aged = [&](time_point opened) {
            return saturating_add<Clock>(opened, options_.retry.max_age) <= now;
        };
        while (is_aged(intake_.oldest_sealed()) && intake_.take(doomed_)) give_up(doomed_, errc::too_old);
        if (!in_hand_.batch.empty() && is_aged(in_hand_.opened)) give_up(in_hand_, errc::too_old);
        while (is_aged(retries_.oldest())) { // the end of one may let another of its id in, as old as that
            retries_.pop_all([&](const bulk_type& bulk) { return is_aged(bulk.opened); },
                             [&](bulk_type bulk) {
                                 doomed_ = taken_out(std::move(bulk));
                                 give_up(doomed_, errc::too_old);
                             });
            give_up_waiting(errc::too_old, is_aged);
        }
        give_up_waiting(errc::too_old, is_aged);
    }
    /// What waits for an earlier operation of its id, the oldest first, as long as `goes` is true for when it was
    /// opened. Many at a time: each alone would cost more than a close has time for.
    template <class Goes>
    void give_up_waiting(errc why, const Goes& goes) {
        constexpr std::size_t most_operations = 4096;
        constexpr std::size_t most_bytes = std::size_t{4} << 20;
        while (id_order_.oldest() != nullptr && goes(id_order_.oldest()->opened)) {
            const auto& first = *id_order_.oldest();
            std::size_t count = 0;
            std::size_t operations = 0;
            std::size_t bytes = 0;
            id_order_.for_oldest([&](const bulk_type& bulk) {
                if (count != 0 && (operations >= most_operations || bytes >= most_bytes)) return false;
                if (bulk.epoch != first.epoch || !goes(bulk.opened)) return false;
                ++count;
                operations += bulk.batch.operations();
                bytes += bulk.batch.bytes();
                return true;
            });
            auto gathered = first.with(BulkBatch{});
            gathered.batch.reserve_more(bytes, operations, Growth{0, 0, 0, 0});
            std::size_t before = 0;
            for (; count != 0; --count) {
                const auto bulk = id_order_.take_oldest();
                before += bulk.batch.footprint();
                gathered.batch.append_unchecked(bulk.batch);
                gathered.opened = std::min(gathered.opened, bulk.opened);
            }
            intake_.settle({}, before, gathered.batch.footprint(), gathered.epoch, 0, BulkBatch{});
            intake_.update_stats([&](Stats& stats) { stats.waiting_for_id = id_order_.waiting(); });
            doomed_ = std::move(gathered);
            give_up(doomed_, why);
        }
    }
    /// Settles what is not on its way: certainly not applied, unless an earlier attempt may have been. Takes the bulk,
    /// unless it throws.
    void give_up(bulk_type& bulk, errc why) {
        doomed_why_ = why;
        const bool to_sink = why == errc::too_old && options_.expired_to_sink && has_sink();
        judge_abandoned(bulk.batch.entries(), {to_string(why), endpoint_.trouble()}, to_sink, dispositions_);
        const auto count = dispositions_.size();
        if (why == errc::closed) {
            hand_back(bulk);
        } else {
            settle(bulk, time_point{});
        }
        bulk = bulk_type{};
        close_.abandoned(count);
        intake_.note_failure(to_string(why), endpoint_.trouble(), 0, count);
    }
    /// Settles what a close gives up, and keeps what is certainly not applied for the report.
    void hand_back(bulk_type& bulk) {
        const auto count = count_undelivered();
        if (count != dispositions_.size()) {
            std::shared_ptr<const Batch> part;
            if (count != 0) part = undelivered_part(bulk.batch);
            settle(bulk, time_point{});
            if (part) undelivered_.push_back(std::move(part));
            return;
        }
        const auto whole = std::make_shared<bulk_type>();
        std::swap(*whole, bulk);
        OnFailure give_back{[&] { std::swap(*whole, bulk); }};
        const std::shared_ptr<const Batch> batch{whole, &whole->batch};
        settle(*whole, time_point{}, batch);
        give_back.dismiss();
        undelivered_.push_back(batch);
    }

    /// How many operations `dispositions_` calls undelivered. `undelivered_` then has room for one more batch.
    [[nodiscard]] std::size_t count_undelivered() {
        if (undelivered_.size() == undelivered_.capacity()) undelivered_.reserve(2 * undelivered_.size() + 8);
        return dispositions_.count(Outcome::undelivered);
    }
    [[nodiscard]] std::shared_ptr<const Batch> undelivered_part(const BulkBatch& batch) const {
        const auto is_undelivered = [&](std::size_t i) { return dispositions_[i].outcome == Outcome::undelivered; };
        return std::make_shared<const Batch>(batch.extract(is_undelivered));
    }

    // ---- dead letters ----

    /// The operations of `bulk` for the sink: those of which `dispositions_` says so, in order. Takes the bulk, unless
    /// it throws.
    [[nodiscard]] typename LetterQueue::Place letters_of(bulk_type&& bulk) const {
        typename LetterQueue::Place one{std::make_shared<Letters>()};
        const auto age = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - bulk.opened);
        one.front()->fill(std::move(bulk), dispositions_, age);
        return one;
    }
    void keep_letters(typename LetterQueue::Place one) noexcept {
        const auto count = one.front()->letters.size();
        intake_.update_stats([&](Stats& stats) { stats.dead_letters_waiting += count; });
        letters_.push(std::move(one));
        if (letters_.is_behind()) tell_concurrency();
    }
    void write_letters(time_point now) {
        while (!letters_.empty() && letters_.front()->safe) settle_written();
        if (!letters_.begin_write(now)) return;
        OnFailure never_started{[this] { letters_.end_write(); }};
        asio::co_spawn(strand_, write(this->shared_from_this(), letters_.front()), on_its_own());
        never_started.dismiss();
    }
    static asio::awaitable<void> write(std::shared_ptr<IndexerCore> self, LettersPtr letters) {
        error_code error;
        try {
            error = co_await self->sink_.get()->write(letters->letters);
        } catch (...) { // a sink must not
            error = errc::sink_failed;
        }
        self->guarded([&] { self->written(std::move(letters), error); });
        self->pump();
    }
    void written(LettersPtr letters, error_code error) {
        letters_.end_write();
        if (close_.ended()) sink_ = {};
        if (letters->abandoned) return;
        const auto now = Clock::now();
        if (error) {
            const auto failures = letters_.count_failure();
            letters_.rest_until(later(now, backoff(options_.retry, failures, jitter_())));
            letters_.note_trouble(join(to_string(errc::sink_failed), error.message()));
            intake_.note_failure(to_string(errc::sink_failed), error.message(), 0, letters->letters.size());
        } else {
            letters_.succeeded();
            letters->safe = true;
            settle_written();
        }
        tell_concurrency();
    }
    void settle_written() {
        settle_letters(*letters_.front(), Outcome::dead_lettered);
        letters_.pop_front();
    }
    void settle_letters(Letters& letters, Outcome outcome) {
        letters.judge(outcome, dispositions_);
        settle_ended(letters);
    }
    void settle_ended(Letters& letters, std::shared_ptr<const Batch> in_use = nullptr) {
        settle(letters.bulk, time_point{}, std::move(in_use));
        intake_.update_stats([&](Stats& stats) { stats.dead_letters_waiting -= letters.letters.size(); });
    }

    // ---- settle → acknowledge ----

    /// Counts the operations of `bulk` as `dispositions_` says, tells their observers, and requeues the survivors at
    /// `due`. `in_use`: the transport may still read the batch's bytes; it is left where it is, kept alive by this.
    /// When this throws, nothing has happened: first all is prepared that needs memory.
    void settle(bulk_type& bulk, time_point due, std::shared_ptr<const Batch> in_use = nullptr) {
        const auto entries = bulk.batch.entries();
        const auto before = bulk.batch.footprint();
        for (std::size_t i = 0; i < entries.size(); ++i)
            if (dispositions_[i].next != Next::retry) note_allowed(entries[i], false);
        SettlementPlan plan{entries, dispositions_, *shared_->observers, groups_at_};
        if (plan.only(Next::retry)) return requeue(std::move(bulk), due);
        if (plan.only(Next::dead_letter)) return keep_letters(letters_of(std::move(bulk)));

        // What is sent again and what becomes a dead letter is copied out, each exactly.
        std::size_t after = 0;
        const auto portion = [&](Next next) {
            auto part = bulk.with(bulk.batch.extract([&](std::size_t i) { return dispositions_[i].next == next; }));
            after += part.batch.footprint();
            return part;
        };
        bulk_type again;
        typename Retries::Place again_at;
        if (plan.count_of(Next::retry) != 0) {
            again = portion(Next::retry);
            again_at = typename Retries::Place{due, again.opened};
        }
        typename LetterQueue::Place letters;
        if (plan.count_of(Next::dead_letter) != 0) letters = letters_of(portion(Next::dead_letter));
        auto results = plan.prepare(bulk.batch, bulk.epoch, in_use);
        after += plan.charge();

        // From here on nothing fails.
        if (options_.ordering == Ordering::per_id) release_ids(entries, bulk.batch.body());
        if (!again.batch.empty()) put_off(std::move(again_at), std::move(again));
        if (!letters.empty()) keep_letters(std::move(letters));
        complete_index_waiters(results);
        if (const auto unobserved = plan.unobserved(); unobserved != 0)
            intake_.update_stats([&](Stats& stats) { stats.unobserved += unobserved; });
        auto tally = plan.tally();
        if (tally.total() != 0) tally.age = age_of(bulk.opened, Clock::now());
        BulkBatch done;
        if (plan.takes_batch()) {
            plan.take_batch(std::move(bulk.batch));
        } else if (!in_use) {
            done = std::exchange(bulk.batch, BulkBatch{});
        }
        intake_.settle(tally, before, after, bulk.epoch, plan.silent(), std::move(done));
        if (plan.notifies()) acknowledge(plan.take_notification());
        guarded([this] {
            completions_.post_all();
            place_released();
        });
    }
    void complete_index_waiters(SettlementPlan::Results& results) {
        for (auto& [id, result] : results)
            if (auto done = index_waiters_.take(id)) completions_.add(std::move(done), {}, std::move(result));
    }
    /// The operations that have ended: the next ones of their ids may travel.
    void release_ids(std::span<Entry> entries, std::string_view body) noexcept {
        std::size_t at = 0;
        std::uint64_t uncertain = 0;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            auto& entry = entries[i];
            const auto from = std::exchange(at, at + entry.bytes());
            if (dispositions_[i].next != Next::settle || !entry.holds_id) continue;
            if (entry.unanswered && !entry.has_version) ++uncertain;
            id_order_.release(key_of(entry, body.substr(from)));
            entry.holds_id = false;
        }
        if (uncertain != 0) intake_.update_stats([&](Stats& stats) { stats.order_uncertain += uncertain; });
    }
    void place_released() {
        while (auto* const next = id_order_.released()) {
            typename Retries::Place place{next->opened, next->opened}; // it is past
            next->batch.entries()[0].holds_id = true;
            put_first(std::move(place), std::move(*next));
            id_order_.pop_released();
            intake_.update_stats([&](Stats& stats) { stats.waiting_for_id = id_order_.waiting(); });
        }
    }
    /// Lets the settlements set out for their observers. What cannot be posted for want of memory is posted later.
    void acknowledge(typename Notifications::Place one) noexcept {
        shared_->expect(one.front()->operations);
        notifications_.push(std::move(one));
        guarded([this] { notifications_.post_all(shared_); });
    }
    void tell_dropped() {
        while (telling_dropped_ || intake_.take_dropped(dropped_)) {
            telling_dropped_ = true; // until it is done, however often that takes
            tell_dropped(dropped_);
            telling_dropped_ = false;
        }
    }
    /// When this throws, nothing has happened.
    void tell_dropped(const typename intake_type::Dropped& dropped) {
        typename Notifications::Place one{std::make_shared<Notification>()};
        auto& told = *one.front();
        told.charge = dropped.charge();
        told.failures.push_back({to_string(errc::overflow), {}, {}, {}});
        SettlementPlan::Results results;
        GroupFinder find_group{told, *shared_->observers};
        for (const auto& ticket : dropped.tickets) {
            if (ticket.slot == index_waiter_slot) {
                results.emplace_back(
                    ticket.key, IndexResult{Outcome::dropped, {}, 0, 0, std::string{to_string(errc::overflow)}, {}});
                continue;
            }
            auto& group = told.groups[find_group(ticket)];
            ++group.count;
            group.settlements.push_back({ticket.key, Outcome::dropped, {}, 0, 0, &told.failures.front()});
        }
        std::uint64_t unobserved = 0;
        for (auto& group : told.groups) {
            if (!group.address.observer) unobserved += std::exchange(group.count, 0);
            told.calls_left += group.count != 0 ? 1U : 0U;
            told.operations += group.count;
        }
        told.epoch = dropped.epoch;
        // From here on nothing fails.
        complete_index_waiters(results);
        if (unobserved != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += unobserved; });
        const auto silent = dropped.tickets.size() - told.operations;
        const auto charge = told.operations == 0 ? std::exchange(told.charge, 0) : 0;
        if (silent != 0 || charge != 0) intake_.release(told.epoch, silent, charge);
        if (told.operations != 0) acknowledge(std::move(one));
        guarded([this] { completions_.post_all(); });
    }

    // ---- who waits ----

    void serve_waiters(time_point now) {
        while (!room_waiters_.empty()) { // in the order of their coming
            auto& first = room_waiters_.front();
            const auto offered = intake_.offer(first.scratch, first.ticket, intake_type::IfFull::reserve);
            if (offered.wake) guard_.run_again(); // the strand is awake: here
            if (offered.admission == Admission::full) break;
            completions_.add(std::move(first.done), {}, offered.admission);
            room_waiters_.pop_front();
        }
        if (!flush_waiters_.empty()) {
            const auto first_epoch = intake_.first_epoch();
            while (auto done = flush_waiters_.take_drained(first_epoch)) completions_.add(std::move(*done), {});
            while (auto done = flush_waiters_.take_overdue(now))
                completions_.add(std::move(*done), errc::deadline_exceeded);
        }
        completions_.post_all();
        if (close_.requested()) close(now);
        if (in_flight_.empty()) trim();
    }
    /// After a burst: gives back what nothing needs now.
    void trim() {
        intake_.trim();
        in_flight_.trim();
        dispositions_.trim(operations_worth_keeping);
        give_back(groups_at_);
        give_back(held_);
        retries_.trim(operations_worth_keeping);
        id_order_.trim();
        index_waiters_.trim(operations_worth_keeping);
    }
    template <class Vector>
    static void give_back(Vector& vector) noexcept {
        if (vector.capacity() > operations_worth_keeping) Vector{}.swap(vector); // `= {}` would keep the memory
    }
    /// One timer for everything: the earliest time at which `pump` has something to do.
    void arm_timer() {
        auto next = intake_.flush_due();
        const auto max_age = options_.retry.max_age;
        next = std::min(next, saturating_add<Clock>(intake_.oldest_sealed(), max_age));
        next = std::min(next, saturating_add<Clock>(retries_.oldest(), max_age));
        if (id_order_.oldest() != nullptr)
            next = std::min(next, saturating_add<Clock>(id_order_.oldest()->opened, max_age));
        next = std::min(next, letters_.next_deadline());
        if (!in_hand_.batch.empty()) next = std::min(next, saturating_add<Clock>(in_hand_.opened, max_age));
        if (in_flight_.size() < limiter().limit() && !letters_.is_behind()) {
            if (!in_hand_.batch.empty()) next = std::min(next, endpoint_.resume_at(in_flight_.size()));
            if (!retries_.empty() && may_repeat())
                next = std::min(next, std::max(retries_.next_due(), endpoint_.resume_at(in_flight_.size())));
            if (intake_.oldest_sealed() != time_point::max())
                next = std::min(next, endpoint_.resume_at(in_flight_.size()));
        }
        next = std::min({next, flush_waiters_.earliest(), look_again_});
        next = std::min({next, events_.next_deadline(), close_.next_deadline(intake_.pending())});
        if (close_.ended()) next = time_point::max();
        timer_.wait_until(next, [self = this->shared_from_this()] { self->pump(); });
    }
    // ---- close ----

    void close(time_point now) {
        if (!close_.ended()) {
            if (close_.drains(now, intake_.idle(), intake_.pending())) return;
            if (!intake_.idle()) {
                give_up_everything();
                if (close_.begin_abandoning()) {
                    transport_.shutdown();
                    if (letters_.is_writing()) sink_.get()->shutdown();
                }
            }
            if (close_.waits_for_observers(now, intake_.idle())) return; // on other executors
            if (close_.end()) transport_.shutdown();
            if (!letters_.is_writing()) sink_ = {}; // what it keeps open, it keeps no longer
            timer_.cancel();
            trim();
        }
        while (auto done = flush_waiters_.take_any()) completions_.add(std::move(*done), errc::closed);
        completions_.post_all();
        if (!close_.is_silenced()) {
            // Calls that are posted already may still begin: those on an executor that runs come before this.
            if (!intake_.idle() && (close_.is_silencing() || post_silence())) return;
            silence();
        }
        while (!close_waiters_.empty()) {
            auto final = report();
            completions_.add(std::move(close_waiters_.front()), {}, std::move(final));
            close_waiters_.pop_front();
        }
        completions_.post_all();
    }
    /// False when there is no memory for it.
    bool post_silence() noexcept {
        close_.silencing(guarded([this] {
            asio::post(strand_, [self = this->shared_from_this()] {
                self->silence();
                self->pump();
            });
        }));
        return close_.is_silencing();
    }
    /// No call of an observer begins from now on. What was not delivered is counted here, not where it would have been.
    void silence() {
        if (!close_.silence()) return;
        const auto late = shared_->silence();
        if (late != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += late; });
        report_events(Clock::now(), true); // also of what the last observers did
    }
    /// No time is left: nothing is sent any more, and everything is settled as what it is. When memory runs out, it is
    /// called again for the rest.
    void give_up_everything() {
        if (!in_hand_.batch.empty()) give_up(in_hand_, errc::closed);
        while (!retries_.empty()) {
            doomed_ = taken_out(retries_.pop());
            give_up(doomed_, errc::closed);
            place_released();
        }
        give_up_waiting(errc::closed, [](time_point) { return true; }); // older than what is sealed, of the same id
        (void)intake_.flush();
        while (intake_.take(doomed_)) give_up(doomed_, errc::closed);
        while (!letters_.empty()) { // refused, and nobody has taken them over
            const auto letters = letters_.front();
            if (!letters->safe) close_.abandoned(letters->letters.size());
            letters->judge(letters->safe ? Outcome::dead_lettered : Outcome::rejected, dispositions_);
            const std::shared_ptr<const Batch> batch{letters, &letters->bulk.batch}; // the sink may still read it
            const auto count = count_undelivered();
            auto part = count == 0 || count == dispositions_.size() ? batch : undelivered_part(letters->bulk.batch);
            settle_ended(*letters, batch);
            if (count != 0) undelivered_.push_back(std::move(part));
            letters->abandoned = true;
            letters_.pop_front();
        }
        while (!in_flight_.empty()) {
            const auto flight = in_flight_.front();
            dispositions_.start(flight->bulk.batch.operations());
            const auto said = dispositions_.add_error(to_string(errc::closed), endpoint_.trouble());
            for (auto& disposition : dispositions_) {
                disposition.outcome = Outcome::unknown;
                disposition.error = said;
            }
            const auto count = dispositions_.size();
            settle(flight->bulk, time_point{}, std::shared_ptr<const Batch>{flight, &flight->bulk.batch});
            close_.abandoned(count);
            intake_.note_failure(to_string(errc::closed), endpoint_.trouble(), 0, count);
            flight->abandoned = true;
            in_flight_.remove(flight, flight->bulk.travelled > 1);
        }
        intake_.update_stats([](Stats& stats) { stats.in_flight = 0; });
    }
    [[nodiscard]] CloseReport report() const { return {intake_.stats(), close_.drained(), undelivered_}; }

    [[nodiscard]] static std::string target_of(const IndexerOptions& options, bool with_results) {
        return bulk_target(with_server_timeout(options.request, options.request_timeout), with_results);
    }

    [[nodiscard]] static time_point later(time_point now, std::chrono::nanoseconds by) {
        return saturating_add<Clock>(now, by);
    }

    const IndexerOptions options_;
    using Strand = asio::strand<asio::any_io_executor>;
    Strand strand_;
    DeadlineTimer<Clock, Strand> timer_;
    T transport_;
    DeadLetters sink_;
    const std::array<std::string, 2> targets_; ///< without and with `items.*.result`
    const std::shared_ptr<Shared> shared_;
    intake_type& intake_ = shared_->intake;
    Preparation preparation_{options_, std::type_identity<Clock>{}};
    std::atomic<std::uint64_t> next_id_{1};
    std::atomic<bool> limits_changed_{false};
    IndexWaiters index_waiters_;

    // The strand's own.
    Endpoint<time_point> endpoint_;
    RequestSizing sizing_;
    RetryBudget budget_;
    bool fresh_turn_ = false; ///< something new travels next
    Jitter jitter_ = std::is_same_v<Clock, std::chrono::steady_clock> ? Jitter{} : Jitter{1}; // virtual: repeatable
    InFlight<Flight> in_flight_;
    Retries retries_;
    IdOrder<bulk_type> id_order_;
    struct HeldBack {
        std::size_t position;
        typename IdOrder<bulk_type>::Place place;
    };
    std::vector<HeldBack> held_; ///< of the bulk that is held back in parts
    FloodGauge flood_;
    LetterQueue letters_;
    Dispositions dispositions_; ///< of the bulk that is being judged
    static constexpr std::size_t operations_worth_keeping = 4096;
    EventReporter<time_point> events_{options_.on_event != nullptr};
    std::vector<std::uint32_t>
        groups_at_; ///< of the bulk that is being settled: which group each operation is told with
    Notifications notifications_;
    bulk_type in_hand_; ///< on its way to being sent
    bulk_type doomed_;  ///< on its way to being given up
    errc doomed_why_{};
    typename intake_type::Dropped dropped_;
    bool telling_dropped_ = false;              ///< `dropped_` is being told
    time_point look_again_ = time_point::max(); ///< memory ran out
    Flushes flush_waiters_;
    Rooms room_waiters_;
    Closes close_waiters_;
    Completions completions_;
    PumpGuard guard_;
    CloseState<time_point> close_;
    std::vector<std::shared_ptr<const Batch>> undelivered_; ///< for the report
};

} // namespace bulkhead::inline v1::detail
