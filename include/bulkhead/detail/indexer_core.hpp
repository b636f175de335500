// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/close_report.hpp>
#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/close_margin.hpp>
#include <bulkhead/detail/completion.hpp>
#include <bulkhead/detail/encode/client_id.hpp>
#include <bulkhead/detail/encode/document_check.hpp>
#include <bulkhead/detail/encode/request_target.hpp>
#include <bulkhead/detail/flush_waiters.hpp>
#include <bulkhead/detail/intake/intake.hpp>
#include <bulkhead/detail/judge/answer_parser.hpp>
#include <bulkhead/detail/judge/verdicts.hpp>
#include <bulkhead/detail/send/id_sequencer.hpp>
#include <bulkhead/detail/send/in_flight_limiter.hpp>
#include <bulkhead/detail/send/request_ceiling.hpp>
#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/detail/send/size_suspicion.hpp>
#include <bulkhead/detail/util/on_failure.hpp>
#include <bulkhead/subscription.hpp>
#include <bulkhead/transport.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
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

namespace bulkhead::inline v1 {

/// How one document ended, for who waited for it with `async_index`. Owns its texts.
struct IndexResult {
    /// How it ended.
    Outcome outcome = Outcome::unknown;
    /// What a proven success did, where the answer says so.
    Result result = Result::unspecified;
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server has answered about it.
    std::uint32_t attempts = 0;
    std::string type;   ///< the server's error type, or the name of a `bulkhead::errc`; empty on success
    std::string reason; ///< the server's reason, at most 1 KiB; may quote the document
};

} // namespace bulkhead::inline v1

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
        : options_{std::move(options)}, strand_{executor}, timer_{strand_},
          transport_{std::move(transport)}, sink_{std::move(sink)},
          targets_{target_of(options_, false), target_of(options_, true)}, books_{std::make_shared<Books>(options_)},
          concurrency_{options_.max_in_flight, options_.min_in_flight}, ceiling_{options_.max_batch_bytes},
          suspicion_{{options_.max_batch_operations, options_.max_batch_bytes}}, budget_{options_.retry.budget_percent,
                                                                                         options_.max_batch_operations *
                                                                                             options_.max_in_flight},
          flood_{options_.flood} {
        books_->core = this;
    }
    IndexerCore(const IndexerCore&) = delete;
    IndexerCore& operator=(const IndexerCore&) = delete;
    ~IndexerCore() { books_->leave(); }

    [[nodiscard]] const IndexerOptions& options() const noexcept { return options_; }
    [[nodiscard]] const auto& strand() const noexcept { return strand_; }
    [[nodiscard]] Stats stats() const { return intake_.stats(); }
    [[nodiscard]] intake_type& intake() noexcept { return intake_; }
    [[nodiscard]] const std::shared_ptr<Observers>& observers() const noexcept { return books_->observers; }

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
            if (const auto wrong = prepare(op, prepared)) return admit(intake_.refuse_invalid(*wrong));
            return admit(intake_.offer(prepared, ticket));
        } catch (const std::bad_alloc&) {
            return admit(intake_.refuse_full(1));
        }
    }
    Admission take(const Batch& scratch, Ticket ticket) noexcept {
        try {
            if (const auto wrong = check(scratch)) return admit(intake_.refuse_invalid(*wrong, scratch.operations()));
            if (options_.duplicates != Duplicates::client_id) return admit(intake_.offer(scratch, ticket));
            return admit(intake_.offer(with_client_ids(scratch, client_ids_), ticket));
        } catch (const std::bad_alloc&) {
            return admit(intake_.refuse_full(scratch.operations()));
        }
    }
    /// Checks and measures an operation, with the id that it shall have.
    [[nodiscard]] std::optional<FieldError> prepare(const Operation& op, Prepared& out) {
        const bool wants_id =
            options_.duplicates == Duplicates::client_id && wants_client_id(op.action, op.id.has_value());
        if (auto wrong =
                wants_id ? prepare_with_id(op, out) : detail::prepare(op, options_.index, out, options_.validate))
            return wrong;
        const bool looks = options_.validate == Validation::full && op.action != Action::delete_;
        return looks ? check_document(out.source) : std::nullopt;
    }
    [[nodiscard]] std::optional<FieldError> prepare_with_id(const Operation& op, Prepared& out) {
        ClientIds::Room room;
        auto with_id = op;
        with_id.action = Action::create;
        with_id.id = client_ids_.next(room);
        with_id.on_conflict = OnConflict::already_there;
        return detail::prepare(with_id, options_.index, out, options_.validate);
    }
    /// What is wrong with the first document of a caller's batch that is not what `IndexerOptions::validate` asks for.
    [[nodiscard]] std::optional<FieldError> check(const Batch& batch) const {
        if (options_.validate != Validation::full) return std::nullopt;
        std::size_t offset = 0;
        for (const auto& entry : BatchAccess::encoded(batch).entries()) {
            const auto lines = batch.body().substr(offset, entry.bytes());
            offset += entry.bytes();
            if (entry.source_bytes == 0) continue;
            if (entry.altered) return FieldError{"source", "one valid JSON object", "a newline inside a string"};
            if (auto wrong = check_document(lines.substr(entry.action_bytes, entry.source_bytes - 1))) return wrong;
        }
        return std::nullopt;
    }
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
        if (guarded([this] { look_at_everything(); })) return;
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
        if (options_.duplicates == Duplicates::client_id) scratch = with_client_ids(scratch, client_ids_);
        auto place = place_of<RoomWaiter>(id, {std::move(scratch), ticket, std::move(done)});
        asio::post(strand_, [self = this->shared_from_this(), place = std::move(place)]() mutable {
            self->room_waiters_.insert(std::move(place));
            self->pump();
        });
    }
    void wait_for_close(std::uint64_t id, time_point deadline, Completion<error_code, CloseReport> done) {
        auto place = place_of<Completion<error_code, CloseReport>>(id, std::move(done));
        asio::post(strand_, [self = this->shared_from_this(), place = std::move(place), deadline]() mutable {
            self->close_by(deadline);
            self->close_waiters_.insert(std::move(place));
            self->pump();
        });
    }
    /// `done` is told how the operation with ticket `{waiter_slot, 0, id}` ended. Any thread; before it is enqueued.
    void add_index_waiter(std::uint64_t id, Completion<error_code, IndexResult> done) {
        const std::lock_guard lock{index_waiters_mutex_};
        index_waiters_.emplace(id, std::move(done));
    }
    Completion<error_code, IndexResult> take_index_waiter(std::uint64_t id) {
        const std::lock_guard lock{index_waiters_mutex_};
        auto node = index_waiters_.extract(id);
        return node ? std::move(node.mapped()) : Completion<error_code, IndexResult>{};
    }
    void close_by(time_point deadline) {
        if (deadline < close_deadline_) {
            close_deadline_ = deadline;
            close_called_at_ = Clock::now();
        }
        if (!std::exchange(closing_, true)) given_up_before_close_ = given_up_;
    }
    [[nodiscard]] std::uint64_t next_id() noexcept { return next_id_.fetch_add(1, std::memory_order_relaxed); }

    /// The waiter no longer wants to wait; the work goes on.
    void cancel_waiter(std::uint64_t id) noexcept {
        guarded([&] { end_waiting(id); });
    }

    /// The slot of tickets that belong to `async_index`.
    static constexpr std::uint32_t waiter_slot = Ticket::nobody - 1;

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
        } else if (auto room = room_waiters_.extract(id)) {
            completions_.add(std::move(room.mapped().done), aborted, Admission::full);
            intake_.end_reservation();
            pump(); // those behind it may fit
        } else if (const auto close = close_waiters_.find(id); close != close_waiters_.end()) {
            auto now = report();
            completions_.add(std::move(close->second), aborted, std::move(now));
            close_waiters_.erase(close);
        } else if (auto index = take_index_waiter(id)) {
            completions_.add(std::move(index), aborted, IndexResult{});
        }
        completions_.post_all();
    }

    /// What observers' executors touch when they have been told. They may be others than the indexer's, and run when
    /// the indexer and its context are gone: nothing here belongs to Asio.
    struct Books {
        explicit Books(const IndexerOptions& options) : intake{options} {}
        intake_type intake;
        const std::shared_ptr<Observers> observers = std::make_shared<Observers>();
        std::mutex mutex;
        IndexerCore* core = nullptr;    ///< until the close ends
        std::uint64_t on_their_way = 0; ///< settlements for observers whose calls have not begun
        bool silenced = false;          ///< the close has ended: no observer is called any more

        void wake() {
            const std::lock_guard lock{mutex};
            if (core != nullptr) core->wake();
        }
        void leave() {
            const std::lock_guard lock{mutex};
            core = nullptr;
        }
        /// Settlements set out for their observers.
        void set_out(std::uint64_t settlements) {
            const std::lock_guard lock{mutex};
            on_their_way += settlements;
        }
        /// They have arrived at their observer's executor. False when it is too late.
        [[nodiscard]] bool arrive(std::uint64_t settlements) {
            const std::lock_guard lock{mutex};
            if (silenced) return false;
            on_their_way -= settlements;
            return true;
        }
        /// From now on no call of an observer begins. Returns how many settlements never arrived.
        [[nodiscard]] std::uint64_t silence() {
            const std::lock_guard lock{mutex};
            core = nullptr;
            silenced = true;
            return std::exchange(on_their_way, 0);
        }
    };

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
    };
    using FlightPtr = std::shared_ptr<Flight>;

    /// What an answer means for one operation. Small, since there is one for each.
    struct Ending {
        enum class Next : std::uint8_t { settle, again, letter };
        std::uint32_t said = 0; ///< which of `said_`
        std::uint16_t status = 0;
        Outcome outcome = Outcome::indexed;
        Result result = Result::unspecified;
        Next next = Next::settle;
    };
    using Next = typename Ending::Next;
    /// Error type and reason. The views live as long as the answer.
    struct Said {
        std::string_view type{};
        std::string_view reason{};
    };

    /// Operations of one bulk that were refused for good, on their way to the sink. The letters point into the rest.
    struct Letters {
        bulk_type bulk;
        std::string texts;
        std::vector<DeadLetter> letters;
        bool abandoned = false; ///< settled without waiting for the sink
        bool safe = false;      ///< the sink has them
    };
    using LettersPtr = std::shared_ptr<Letters>;

    /// A place among what waits to be sent again, with its memory.
    struct RetryPlace {
        typename std::multimap<time_point, bulk_type>::node_type bulk;
        typename std::multiset<time_point>::node_type age;
    };

    /// Settlements of one bulk on their way to the observers, with the bytes and texts that they refer to.
    struct Settled {
        struct Group {
            Ticket who;
            typename Observers::Address address; ///< until its call is posted: a call keeps only its own observer
            std::size_t count = 0;               ///< 0: the subscription is gone
            std::size_t failed = 0;
            std::size_t text_bytes = 0;
            std::vector<Settlement> settlements;
        };
        std::vector<Group> groups;
        std::size_t posted = 0; ///< so many of them
        std::vector<Failure> failures;
        std::string texts;
        std::shared_ptr<const Batch> kept;
        std::uint64_t epoch = 0;
        std::uint64_t operations = 0;
        std::size_t charge = 0;
        std::atomic<std::size_t> untold{0};
    };

    void post_pump() noexcept {
        try {
            asio::post(strand_, [self = this->shared_from_this()] { self->pump(); });
        } catch (const std::exception&) { // out of memory: the next enqueue tries again
            intake_.wake_failed();
        }
    }

    void look_at_everything() {
        again_ = true;
        if (pumping_) return; // below us on the stack: a send that completed at once
        struct Pumping {
            explicit Pumping(bool& flag) : flag_{flag} { flag_ = true; }
            ~Pumping() { flag_ = false; }
            bool& flag_;
        };
        const Pumping pumping{pumping_};
        while (std::exchange(again_, false)) {
            const auto now = Clock::now();
            look_again_ = time_point::max();
            intake_.begin_pump(now);
            if (limits_changed_.exchange(false)) take_limits();
            catch_up();
            tell_dropped();
            give_up_aged(now);
            write_letters(now);
            flush(now);
            tell_events(now);
            serve_waiters(now);
        }
        arm_timer();
        note_oldest();
    }
    /// Does what there was no memory for when its time came.
    void catch_up() {
        place_released();
        deliver();
        completions_.post_all();
        if (!doomed_.batch.empty()) give_up(doomed_, doomed_why_);
        while (true) {
            const auto found = std::find_if(in_flight_.begin(), in_flight_.end(),
                                            [](const FlightPtr& flight) { return flight->unjudged; });
            if (found == in_flight_.end()) return;
            charging_ = false; // the first time has charged what is to be charged
            const bool judged = arrive(*found);
            charging_ = true;
            if (!judged) return;
        }
    }
    void take_limits() {
        const auto now = intake_.limits();
        concurrency_.bound(*now.min_in_flight, *now.max_in_flight);
        ceiling_.most(*now.max_batch_bytes);
        suspicion_.most({*now.max_batch_operations, *now.max_batch_bytes});
        limit_batches();
        tell_concurrency();
    }
    /// What the endpoint takes decides how large batches become.
    void limit_batches() { intake_.limit_batches(std::min(ceiling_.bytes(), suspicion_.ceiling().bytes)); }
    /// What an operator may want to know: everything once, and no more often than once a second.
    void tell_events(time_point now, bool last = false) {
        if (told_ == nullptr || (ended_ && !last)) return; // after a close the hook may be gone
        untold_ = intake_.trouble() != std::pair{trouble_count(*told_), told_->health};
        if (!untold_ || (now < tell_at_ && !last)) return;
        intake_.telling();
        auto stats = intake_.stats();
        std::swap(*told_, stats);
        untold_ = false;
        tell_at_ = later(now, std::chrono::seconds{1});
        events_between(stats, *told_, [&](const IndexerEvent& event) {
            try {
                options_.on_event(event);
            } catch (...) { // it was told
            }
        });
    }
    /// For `Stats`: of what the strand has taken and not settled.
    void note_oldest() {
        auto letter = time_point::max();
        for (const auto& letters : letters_) letter = std::min(letter, letters->bulk.opened);
        auto oldest = std::min(letter, oldest_retry());
        for (const auto& flight : in_flight_) oldest = std::min(oldest, flight->bulk.opened);
        if (!in_hand_.batch.empty()) oldest = std::min(oldest, in_hand_.opened);
        if (id_order_.oldest() != nullptr) oldest = std::min(oldest, id_order_.oldest()->opened);
        intake_.note_oldest(oldest, letter);
    }

    // ---- flush ----

    void flush(time_point now) {
        while (!ended_ && !sink_is_behind() && concurrency_.may_launch(now, in_flight_.size())) {
            auto& bulk = in_hand_; // and there it stays when memory runs out
            if (bulk.batch.empty() && !take_next(now, bulk)) return;
            if (options_.ordering == Ordering::per_id && !hold_back(bulk)) continue;
            if (bulk.batch.operations() > 1 && std::exchange(bulk.in_halves, false)) {
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
        const auto limit = suspicion_.limit();
        return batch.bytes() > std::min(ceiling_.bytes(), limit.bytes) || batch.operations() > limit.operations;
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
        FlightPtr flight;
        if (spare_flights_.empty()) {
            flight = std::make_shared<Flight>();
        } else {
            flight = std::move(spare_flights_.back());
            spare_flights_.pop_back();
        }
        in_flight_.reserve(in_flight_.size() + 1);
        spare_flights_.reserve(in_flight_.size() + 1); // so that landing needs no memory for these
        flight->answer.start(bulk.batch.operations());
        flight->bulk = std::exchange(bulk, bulk_type{});
        flight->sent = now;
        const bool first = flight->bulk.travelled == 0;
        if (!first) {
            ++repeating_;
            budget_.spend(flight->bulk.batch.operations());
        }
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
        flight->generation = concurrency_.launched();
        flight->alone = in_flight_.empty();
        for (auto& other : in_flight_) other->alone = false;
        in_flight_.push_back(flight);
        intake_.update_stats([&](Stats& stats) {
            ++stats.requests;
            stats.request_bytes += batch.bytes();
            if (first) stats.queue_time.record(intake_type::age_of(flight->bulk.opened, now));
            stats.in_flight = in_flight_.size();
        });
        OnFailure never_started{[&] { take_back(flight, bulk); }};
        asio::co_spawn(strand_, fly(this->shared_from_this(), flight), on_its_own());
        never_started.dismiss();
    }
    /// The flight could not start, for want of memory: as if nobody had tried.
    void take_back(const FlightPtr& flight, bulk_type& bulk) noexcept {
        if (std::erase(in_flight_, flight) == 0) return; // it has landed already
        bulk = std::move(flight->bulk);
        if (--bulk.travelled != 0) --repeating_;
        concurrency_.not_launched();
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
        if (guarded([&] { land(flight, flight->reply); })) return true;
        flight->unjudged = true;
        in_flight_.push_back(flight); // where there is room, since it was taken out
        if (flight->bulk.travelled > 1) ++repeating_;
        return false;
    }
    void land(FlightPtr flight, Reply& reply) {
        if (flight->abandoned) return;
        std::erase(in_flight_, flight);
        if (flight->bulk.travelled > 1) --repeating_;
        const auto now = Clock::now();
        intake_.update_stats([&](Stats& stats) {
            stats.in_flight = in_flight_.size();
            stats.request_time.record(intake_type::age_of(flight->sent, now));
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
        if (spare_flights_.size() < spare_flights_.capacity())
            spare_flights_.push_back(std::move(flight)); // for its parser's memory
    }
    /// A whole, well-formed answer: each operation by the item at its position.
    void judge_items(Flight& flight, time_point now) {
        auto& bulk = flight.bulk;
        const auto entries = bulk.batch.entries();
        const auto items = flight.answer.items();
        const auto refusal = refused_as_one(flight);
        if (refusal && pauses_all(bulk, *refusal, now)) {
            // As if it had said 429 once for all of them.
            if (refusal->overload && suspect(flight, true) == Blame::bulk) return retry_apart(flight, now);
            ++bulk.refusals;
            return push_back(flight, *refusal, now);
        }
        lone_refusals_ = 0;
        start_endings(items.size());
        std::size_t again = 0;
        std::size_t letters = 0;
        std::size_t pushed_back = 0; // for want of capacity
        std::size_t blocked = 0;     // for too long
        bool any_charged = false;
        bool any_blocked = false;
        std::size_t offset = 0;
        FailureCounter failures{intake_};
        for (std::size_t i = 0; i < items.size(); ++i) {
            auto& ending = endings_[i];
            auto& entry = entries[i];
            ending.status = items[i].status;
            if (const auto* error = flight.answer.error_of(items[i])) ending.said = say(error->type, error->reason);
            const auto& said = said_[ending.said];
            const auto verdict = judge_item(items[i], said.type, entry, options_.verdicts);
            if (verdict != Verdict::push_back && verdict != Verdict::environment) count_attempt(entry);
            if (entry.not_allowed != (verdict == Verdict::environment)) note_allowed(entry, !entry.not_allowed);
            const bool waits = verdict == Verdict::push_back || verdict == Verdict::environment;
            const auto line =
                bulk.batch.body().substr(std::exchange(offset, offset + entry.bytes()), entry.action_bytes);
            if (verdict != Verdict::indexed && verdict != Verdict::superseded)
                failures.add(said.type, said.reason, ending.status, waits ? index_of(line) : std::string_view{});
            if (ending.status == 429 && (verdict == Verdict::push_back || verdict == Verdict::retry)) ++pushed_back;
            switch (verdict) {
            case Verdict::indexed: ending.result = result_of(items[i], entry); break;
            case Verdict::superseded: ending.outcome = Outcome::superseded; break;
            case Verdict::reject:
                if (perhaps_with_itself(entry, ending.status))
                    ending.outcome = Outcome::unknown;
                else
                    refuse_for_good(ending);
                break;
            case Verdict::discard: ending.outcome = Outcome::rejected; break;
            case Verdict::push_back:
            case Verdict::environment:
                ending.next = Next::again;
                any_blocked = true;
                if (!blocked_too_long(bulk, now)) break;
                end_in_vain(entry, ending);
                blocked += ending.next == Next::letter ? 1U : 0U;
                break;
            case Verdict::retry:
                ending.next = Next::again;
                any_charged = true;
                // A fault of the server may be an outage, so time must pass as well.
                if (ending.status >= 500 ? had_its_tries(entry, bulk, now)
                                         : entry.attempts >= options_.retry.max_attempts)
                    end_in_vain(entry, ending);
                break;
            }
            again += ending.next == Next::again ? 1U : 0U;
            letters += ending.next == Next::letter ? 1U : 0U;
        }
        failures.flush();
        if (again != items.size()) {
            bulk.apart = false;
            bulk.failed_after = bulk.failures = 0;
            ++taken_;
            suspicion_.taken(size_of(bulk.batch));
            (void)ceiling_.taken(bulk.batch.bytes());
            limit_batches();
        }
        budget_.earn(items.size() - again - letters);
        auto due = now;
        if (again != 0) {
            due = later(now, backoff(options_.retry, ++bulk.refusals, jitter_()));
            if (any_charged) bulk.charged_since = std::min(bulk.charged_since, now);
            bulk.blocked_since = any_blocked ? std::min(bulk.blocked_since, now) : time_point::max();
        }
        if (sink_.get() != nullptr && flood_.judge(items.size(), letters - blocked)) {
            endpoint_in_trouble(flight, {}, spare_the_sink(entries), Health::flooded, now);
        } else if (refusal && concurrency_.failures() != 0) {
            concurrency_.inconclusive(flight.generation);
        } else {
            endpoint_works(flight, pushed_back != 0);
        }
        settle(bulk, due);
    }
    /// The operation is not tried again.
    void end_in_vain(const Entry& entry, Ending& ending) const noexcept {
        ending.next = Next::settle;
        ending.outcome = Outcome::unknown;
        if (!entry.ambiguous) refuse_for_good(ending);
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
    /// The index that an action line names, as it stands there.
    [[nodiscard]] static std::string_view index_of(std::string_view line) noexcept {
        constexpr std::string_view field = "\"_index\":\"";
        const auto at = line.find(field);
        if (at == std::string_view::npos) return {};
        line.remove_prefix(at + field.size());
        return line.substr(0, line.find('"'));
    }
    void refuse_for_good(Ending& ending) const noexcept {
        ending.outcome = Outcome::rejected;
        if (sink_.get() != nullptr) ending.next = Next::letter;
    }
    /// In a flood: what would become a dead letter waits instead, and is charged nothing. Returns what was said of one.
    std::string spare_the_sink(std::span<Entry> entries) {
        std::string said;
        for (std::size_t i = 0; i < endings_.size(); ++i) {
            if (endings_[i].next != Next::letter) continue;
            endings_[i].next = Next::again;
            if (charging_ && entries[i].attempts != 0) --entries[i].attempts;
            if (said.empty()) said = said_[endings_[i].said].type;
        }
        return said;
    }
    /// What every item of an answer says alike.
    struct AsOne {
        Health health = Health::unauthorized;
        bool busy = false;     ///< 429 at one of them: fewer requests may cure it
        bool overload = false; ///< 429 at all of them, and no block: a smaller request may cure it
    };
    /// What is wrong when no operation of the request may be written now.
    [[nodiscard]] std::optional<AsOne> refused_as_one(Flight& flight) const {
        const auto items = flight.answer.items();
        const auto entries = flight.bulk.batch.entries();
        AsOne all{.overload = true};
        for (std::size_t i = 0; i < items.size(); ++i) {
            const auto* error = flight.answer.error_of(items[i]);
            const auto type = error == nullptr ? std::string_view{} : std::string_view{error->type};
            const auto verdict = judge_item(items[i], type, entries[i], options_.verdicts);
            if (verdict != Verdict::push_back && verdict != Verdict::environment) return std::nullopt;
            if (verdict == Verdict::push_back) all.health = Health::backing_off;
            all.busy = all.busy || items[i].status == 429;
            all.overload = all.overload && items[i].status == 429 && type != "cluster_block_exception";
        }
        return all;
    }
    /// Whether such an answer is the endpoint's trouble. Not when it is these operations alone: they have met this
    /// before, and others have been taken since. Not when they have waited long enough.
    [[nodiscard]] bool pauses_all(const bulk_type& bulk, const AsOne& refusal, time_point now) const noexcept {
        if (blocked_too_long(bulk, now)) return false;
        if (refusal.overload) return true; // unless `suspect` decides otherwise
        return bulk.refusals == 0 || concurrency_.failures() != 0;
    }
    /// No operation was taken, for want of capacity or of permission: nobody is charged an attempt.
    void push_back(Flight& flight, const AsOne& refusal, time_point now) {
        auto& bulk = flight.bulk;
        note_pushed_back(flight);
        if (refusal.health == Health::unauthorized)
            for (auto& entry : bulk.batch.entries())
                if (!entry.not_allowed) note_allowed(entry, true);
        const auto index = index_of(bulk.batch.body().substr(0, bulk.batch.entries()[0].action_bytes));
        endpoint_in_trouble(flight, {}, join(first_said(flight).first, index), refusal.health, now, refusal.busy);
        bulk.blocked_since = std::min(bulk.blocked_since, now);
        const auto due = due_again(bulk, now);
        requeue(std::move(bulk), due);
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
        FailureCounter failures{intake_};
        failures.add(said.first, said.second, flight.answer.items()[0].status,
                     index_of(batch.body().substr(0, batch.entries()[0].action_bytes)), batch.operations());
        failures.flush();
    }

    // ---- a request that keeps failing ----

    /// Whose trouble a failure is that a smaller request might cure.
    enum class Blame : std::uint8_t { endpoint, bulk };
    /// The bulk is to blame when it failed before, and others were taken between. Where others failed as well, that is
    /// no more than an overloaded endpoint does: three must have been taken for each that failed for the first time.
    /// An operation that was charged before is to blame as long as no other fails. `overload`: 429 or 503, which fewer
    /// requests at once may cure, so the size is not to blame yet.
    [[nodiscard]] Blame suspect(Flight& flight, bool overload) {
        auto& bulk = flight.bulk;
        const auto size = size_of(bulk.batch);
        const bool fewer_first = overload && concurrency_.limit() > *intake_.limits().min_in_flight;
        const bool again = bulk.failed_after != 0;
        const auto taken_between = taken_ - bulk.failed_after;
        const auto failed_between = fresh_failures_ - bulk.fresh_failures;
        const bool to_blame =
            again && (taken_between > 3 * failed_between || (was_charged(bulk) && failed_between == 0));
        if (!again) ++fresh_failures_;
        bulk.failed_after = taken_;
        bulk.fresh_failures = fresh_failures_;
        if (bulk.failures < 0xffffffffU) ++bulk.failures;
        if (!to_blame || size.operations > 1) suspicion_.failed(size, flight.alone, fewer_first);
        if (!to_blame) return Blame::endpoint;
        if (!fewer_first) suspicion_.failed_twice(size);
        bulk.apart = bulk.apart || size.operations == 1;
        return Blame::bulk;
    }
    /// 429 or 503 for the request as a whole.
    void refuse_whole(Flight& flight, const Reply& reply, time_point now) {
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
    /// A bulk that is refused while others are taken travels in halves, without pausing anybody. One operation is
    /// charged for it.
    void retry_apart(Flight& flight, const std::pair<std::string, std::string>& said, std::uint16_t status,
                     time_point now, std::optional<std::chrono::seconds> retry_after = {}) {
        auto& bulk = flight.bulk;
        concurrency_.inconclusive(flight.generation);
        tell_concurrency();
        if (!charge_apart(bulk, now)) {
            auto due = apart_due(bulk, now);
            if (retry_after) due = std::max(due, later(now, clamp_retry_after(*retry_after, options_.retry)));
            return requeue(std::move(bulk), due);
        }
        start_endings(1);
        endings_[0].status = status;
        endings_[0].said = say(said.first, said.second);
        end_in_vain(bulk.batch.entries()[0], endings_[0]);
        settle(bulk, now);
    }
    /// True when the bulk is one operation, which has had its tries.
    [[nodiscard]] bool charge_apart(bulk_type& bulk, time_point now) {
        if (bulk.batch.operations() > 1) {
            bulk.in_halves = bulk.failures >= failures_before_halving;
            return false;
        }
        auto& entry = bulk.batch.entries()[0];
        count_attempt(entry);
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
    void note_allowed(Entry& entry, bool not_allowed) {
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
            intake_.update_stats([](Stats& stats) { ++stats.malformed_answers; });
        }
        auto& bulk = flight.bulk;
        const auto type = malformed ? std::string{to_string(why)} : type_of(reply);
        auto due = now;
        bool tried = false; // it is one operation, which has had its tries
        std::size_t again = 0;
        // Nonsense is charged, and so ends, at whatever size: a smaller request would only be understood as little.
        if ((malformed && !too_large) || suspect(flight, false) == Blame::endpoint) {
            endpoint_fails(flight, reply, type, Health::backing_off, now);
            due = due_again(bulk, now);
        } else {
            note_failed(flight, reply, type);
            concurrency_.inconclusive(flight.generation);
            tell_concurrency();
            tried = !malformed && charge_apart(bulk, now);
            due = apart_due(bulk, now);
        }
        bulk.blocked_since = time_point::max();
        if (too_large) bulk.in_halves = true; // fewer operations, a smaller answer
        const auto entries = bulk.batch.entries();
        start_endings(entries.size());
        const auto said = say(to_string(why), reply.detail);
        std::size_t offset = 0;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            auto& entry = entries[i];
            auto& ending = endings_[i];
            const auto source = bulk.batch.body().substr(offset + entry.action_bytes, entry.source_bytes);
            offset += entry.bytes();
            entry.ambiguous = entry.unanswered = true;
            // An answer that says nothing is an answer all the same: without this an endless stream of them would
            // never end for an operation without `max_age`.
            if (malformed) count_attempt(entry);
            if (malformed) tried = entry.attempts >= options_.retry.max_attempts;
            if (!tried && safe_to_repeat(entry, source, options_.duplicates)) ending.next = Next::again;
            ending.outcome = Outcome::unknown;
            ending.status = static_cast<std::uint16_t>(reply.status);
            ending.said = said;
            again += ending.next == Next::again ? 1U : 0U;
        }
        if (again != entries.size()) bulk.failed_after = bulk.failures = 0; // the rest has no history of its own
        settle(bulk, due);
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
        if (reply.status == 400 && lone_refusals_ >= most_lone_refusals && type == lone_refusal_type_)
            return split_slowly(flight, reply, now);
        endpoint_works(flight, false);
        intake_.note_failed_request(type, error.reason, static_cast<std::uint16_t>(reply.status));
        if (count == 1) {
            if (reply.status == 400) count_lone_refusal(type);
            count_attempt(bulk.batch.entries()[0]);
            start_endings(1);
            // A 400 is about the operation itself; a 413 only about what may pass now, and an earlier attempt may have.
            const bool perhaps_there = reply.status == 413 && bulk.batch.entries()[0].ambiguous;
            endings_[0].outcome = Outcome::unknown;
            if (!perhaps_there) refuse_for_good(endings_[0]);
            endings_[0].status = static_cast<std::uint16_t>(reply.status);
            endings_[0].said = say(type, error.reason);
            settle(bulk, now);
            return;
        }
        if (reply.status == 413) {
            ceiling_.refused(bulk.batch.bytes());
            limit_batches();
        }
        intake_.update_stats([&](Stats& stats) { stats.retried_operations += count; });
        bulk.apart = true;
        halve(std::move(bulk));
    }
    /// One operation after the other was refused alone, all alike, and nothing succeeded: not the operations' fault.
    /// None is refused for good any more, and one request at a time looks whether it is over. What comes in parts goes
    /// on being parted meanwhile: otherwise a bad operation in each bulk would hide for ever that good ones are taken.
    void split_slowly(Flight& flight, const Reply& reply, time_point now) {
        auto& bulk = flight.bulk;
        bulk.in_halves = true;
        requeue_whole(flight, reply, Health::misconfigured, now);
    }
    void count_lone_refusal(const std::string& type) {
        if (type != lone_refusal_type_) lone_refusals_ = 0;
        lone_refusal_type_ = type;
        ++lone_refusals_;
    }
    /// Takes the bulk, unless it throws.
    void halve(bulk_type&& bulk) {
        const auto count = bulk.batch.operations();
        const auto before = bulk.batch.footprint();
        std::size_t after = 0;
        bulk.failed_after = bulk.failures = 0; // each half has a history of its own
        std::array<bulk_type, 2> halves;
        std::array<RetryPlace, 2> places;
        for (const bool second : {true, false}) {
            auto& half = halves[second ? 1 : 0];
            half = bulk.with(bulk.batch.extract([&](std::size_t i) { return (i >= count / 2) == second; }));
            after += half.batch.footprint();
            places[second ? 1 : 0] = place_at(half.opened, half.opened);
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
        concurrency_.succeeded(flight.generation, pushed_back);
        tell_concurrency();
    }
    /// The request failed as a whole.
    void endpoint_fails(const Flight& flight, const Reply& reply, std::string_view type, Health health,
                        time_point now) {
        endpoint_in_trouble(flight, reply.retry_after, note_failed(flight, reply, type), health, now);
    }
    /// Counts a request that failed as a whole. Returns what may be shown of it.
    std::string note_failed(const Flight& flight, const Reply& reply, std::string_view type) {
        std::string detail = reply.detail;
        if (detail.empty() && reply.error) detail = reply.error.message();
        const auto said = detail.empty() ? describe_error(flight.answer.head()) : ItemError{};
        intake_.note_failed_request(type, detail.empty() ? said.reason : detail,
                                    static_cast<std::uint16_t>(reply.status));
        return join(type, detail.empty() ? said.type : detail); // the server's own words may repeat what it was sent
    }
    /// Nobody travels for a while; then a single probe.
    void endpoint_in_trouble(const Flight& flight, std::optional<std::chrono::seconds> retry_after, std::string trouble,
                             Health health, time_point now, bool overload = true) {
        if (concurrency_.is_news(flight.generation)) {
            auto pause = backoff(options_.retry, concurrency_.failures() + 1, jitter_());
            if (retry_after)
                pause = std::max(pause, std::chrono::nanoseconds{clamp_retry_after(*retry_after, options_.retry)});
            concurrency_.failed(later(now, pause), health, overload);
        }
        trouble_ = std::move(trouble);
        tell_concurrency();
    }
    void tell_concurrency() noexcept {
        const auto tell = [&](Stats& stats) {
            stats.health = sink_is_behind() ? Health::sink_failing : concurrency_.health();
            stats.in_flight_limit = concurrency_.limit();
            if (sink_is_behind()) {
                stats.health_detail = sink_failures_ != 0 ? sink_trouble_ : "the dead-letter sink does not keep up";
            } else if (concurrency_.failures() != 0) {
                stats.health_detail = trouble_;
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
    void requeue(bulk_type&& bulk, time_point due) { put_off(place_at(due, bulk.opened), std::move(bulk)); }
    /// Throws `std::bad_alloc`.
    [[nodiscard]] static RetryPlace place_at(time_point due, time_point opened) {
        std::multimap<time_point, bulk_type> bulks;
        std::multiset<time_point> ages;
        bulks.emplace(due, bulk_type{});
        ages.insert(opened);
        return {bulks.extract(bulks.begin()), ages.extract(ages.begin())};
    }
    void put_off(RetryPlace place, bulk_type&& bulk) noexcept {
        intake_.update_stats([&](Stats& stats) {
            ++stats.sealed_batches;
            stats.retried_operations += bulk.batch.operations();
        });
        place.bulk.mapped() = std::exchange(bulk, bulk_type{});
        retries_.insert(std::move(place.bulk));
        retry_ages_.insert(std::move(place.age));
    }
    /// Before everything of its age and younger. Halves so go in depth: the first culprit stands alone after log2(N)
    /// requests, not after N.
    void put_first(RetryPlace place, bulk_type&& bulk) noexcept {
        intake_.update_stats([](Stats& stats) { ++stats.sealed_batches; });
        place.bulk.mapped() = std::exchange(bulk, bulk_type{});
        retries_.insert(retries_.lower_bound(place.bulk.key()), std::move(place.bulk));
        retry_ages_.insert(std::move(place.age));
    }
    [[nodiscard]] bool take_retry(time_point now, bulk_type& out) {
        if (retries_.empty() || retries_.begin()->first > now || !may_repeat()) return false;
        take_retry(retries_.begin(), out);
        if (!stays_apart(out)) merge_due(now, out);
        return true;
    }
    [[nodiscard]] static bool stays_apart(const bulk_type& bulk) noexcept { return bulk.apart || bulk.in_halves; }
    /// Bulks that failed are merged among themselves only, so that what makes one fail is found among few.
    [[nodiscard]] static bool has_failed(const bulk_type& bulk) noexcept { return bulk.failed_after != 0; }
    /// While the retry budget is used up, one request at a time repeats operations.
    [[nodiscard]] bool may_repeat() const noexcept { return repeating_ == 0 || !budget_.used_up(); }
    /// What is due as well travels in the same request, as far as it fits: many batches leave a few survivors each.
    /// Only what one flush waits for, and what is of the same age within an interval.
    void merge_due(time_point now, bulk_type& bulk) {
        const auto limits = intake_.limits();
        const auto suspected = suspicion_.limit();
        const auto most_bytes = std::min({*limits.max_batch_bytes, ceiling_.bytes(), suspected.bytes});
        const auto most_operations = std::min(*limits.max_batch_operations, suspected.operations);
        auto bytes = bulk.batch.bytes();
        auto operations = bulk.batch.operations();
        merging_.clear();
        std::size_t looked_at = 0;
        for (auto it = retries_.begin(); it != retries_.end() && it->first <= now; ++it) {
            if (++looked_at > most_looked_at) break; // or many that do not fit together would take quadratic time
            const auto& other = it->second;
            if (operations >= most_operations || bytes >= most_bytes) break;
            if (stays_apart(other) || has_failed(other) != has_failed(bulk) || other.epoch != bulk.epoch ||
                operations + other.batch.operations() > most_operations || bytes + other.batch.bytes() > most_bytes ||
                std::max(other.opened, bulk.opened) - std::min(other.opened, bulk.opened) > *limits.flush_interval)
                continue;
            bytes += other.batch.bytes();
            operations += other.batch.operations();
            merging_.push_back(it);
        }
        if (merging_.empty()) return;
        auto before = bulk.batch.footprint();
        bulk.batch.reserve_more(bytes - bulk.batch.bytes(), operations - bulk.batch.operations(), Growth{0, 0});
        for (const auto it : merging_) {
            bulk_type other;
            take_retry(it, other);
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
        }
        intake_.settle({}, before, bulk.batch.footprint(), bulk.epoch, 0, BulkBatch{});
    }
    auto take_retry(typename std::multimap<time_point, bulk_type>::iterator it, bulk_type& out) {
        out = std::move(it->second);
        if (const auto age = retry_ages_.find(out.opened); age != retry_ages_.end()) retry_ages_.erase(age);
        intake_.update_stats([](Stats& stats) { --stats.sealed_batches; });
        return retries_.erase(it);
    }
    [[nodiscard]] time_point oldest_retry() const noexcept {
        return retry_ages_.empty() ? time_point::max() : *retry_ages_.begin();
    }
    /// What became older than `max_age` while it waited is not sent again.
    void give_up_aged(time_point now) {
        const auto is_aged = [&](time_point opened) {
            return intake_type::saturating_add(opened, options_.retry.max_age) <= now;
        };
        while (is_aged(intake_.oldest_sealed()) && intake_.take(doomed_)) give_up(doomed_, errc::too_old);
        if (!in_hand_.batch.empty() && is_aged(in_hand_.opened)) give_up(in_hand_, errc::too_old);
        while (is_aged(oldest_retry())) { // the end of one may let another of its id in, as old as that
            for (auto it = retries_.begin(); it != retries_.end();) {
                if (is_aged(it->second.opened)) {
                    it = take_retry(it, doomed_);
                    give_up(doomed_, errc::too_old);
                } else {
                    ++it;
                }
            }
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
        start_endings(bulk.batch.operations());
        const auto said = say(to_string(why), trouble());
        const bool to_sink = why == errc::too_old && options_.expired_to_sink && sink_.get() != nullptr;
        for (std::size_t i = 0; i < endings_.size(); ++i) {
            endings_[i].outcome = bulk.batch.entries()[i].ambiguous ? Outcome::unknown : Outcome::undelivered;
            endings_[i].said = said;
            if (to_sink) endings_[i].next = Next::letter;
        }
        const auto count = endings_.size();
        if (why == errc::closed) {
            hand_back(bulk);
        } else {
            settle(bulk, time_point{});
        }
        bulk = bulk_type{};
        given_up_ += count;
        intake_.note_failure(to_string(why), trouble(), 0, count);
    }
    /// Settles what a close gives up, and keeps what is certainly not applied for the report.
    void hand_back(bulk_type& bulk) {
        const auto is_undelivered = [&](std::size_t i) { return endings_[i].outcome == Outcome::undelivered; };
        std::size_t count = 0;
        for (std::size_t i = 0; i < endings_.size(); ++i) count += is_undelivered(i) ? 1U : 0U;
        if (undelivered_.size() == undelivered_.capacity()) undelivered_.reserve(2 * undelivered_.size() + 8);
        if (count != endings_.size()) {
            std::shared_ptr<const Batch> part;
            if (count != 0) part = std::make_shared<const Batch>(bulk.batch.extract(is_undelivered));
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

    /// What keeps the endpoint from being used, if anything does.
    [[nodiscard]] std::string_view trouble() const noexcept {
        return concurrency_.failures() == 0 ? std::string_view{} : std::string_view{trouble_};
    }

    // ---- dead letters ----

    /// Nothing is sent while the sink does not keep up with what it has to take.
    [[nodiscard]] bool sink_is_behind() const noexcept {
        return sink_failures_ != 0 || letters_.size() >= most_letters;
    }
    /// The operations of `bulk` for the sink: those of which `endings_` says so, in order. Takes the bulk, unless it
    /// throws.
    [[nodiscard]] std::list<LettersPtr> letters_of(bulk_type&& bulk) const {
        std::list<LettersPtr> one{std::make_shared<Letters>()};
        auto& kept = *one.front();
        const auto entries = bulk.batch.entries();
        const auto body = bulk.batch.body();
        std::size_t text_bytes = 0;
        for (const auto& ending : endings_)
            if (ending.next == Next::letter)
                text_bytes += said_[ending.said].type.size() + said_[ending.said].reason.size();
        kept.texts.reserve(text_bytes); // the letters point into it
        kept.letters.reserve(entries.size());
        const auto own = [&](std::string_view text) {
            const auto from = kept.texts.size();
            kept.texts.append(text);
            return std::string_view{kept.texts}.substr(from);
        };
        const auto age = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - bulk.opened);
        std::size_t offset = 0;
        std::size_t i = 0;
        for (const auto& ending : endings_) {
            if (ending.next != Next::letter) continue;
            const auto& entry = entries[i++];
            const auto [line, source] = lines_of(entry, body.substr(offset, entry.bytes()));
            offset += entry.bytes();
            const auto& said = said_[ending.said];
            const auto ticket = entry.ticket.slot == waiter_slot ? Ticket{} : entry.ticket; // `async_index`: our own
            kept.letters.push_back(
                {line, source, own(said.type), own(said.reason), ending.status, entry.attempts, ticket, age});
        }
        kept.bulk = std::exchange(bulk, bulk_type{}); // its bytes stay where they are
        return one;
    }
    void keep_letters(std::list<LettersPtr> one) noexcept {
        const auto count = one.front()->letters.size();
        intake_.update_stats([&](Stats& stats) { stats.dead_letters_waiting += count; });
        letters_.splice(letters_.end(), one);
        if (sink_is_behind()) tell_concurrency();
    }
    void write_letters(time_point now) {
        while (!letters_.empty() && letters_.front()->safe) settle_written();
        if (letters_.empty() || writing_ || now < sink_resume_) return;
        writing_ = true;
        OnFailure never_started{[this] { writing_ = false; }};
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
        writing_ = false;
        if (ended_) sink_ = {};
        if (letters->abandoned) return;
        const auto now = Clock::now();
        if (error) {
            if (sink_failures_ < 0xffffffffU) ++sink_failures_;
            sink_resume_ = later(now, backoff(options_.retry, sink_failures_, jitter_()));
            sink_trouble_ = join(to_string(errc::sink_failed), error.message());
            intake_.note_failure(to_string(errc::sink_failed), error.message(), 0, letters->letters.size());
        } else {
            sink_failures_ = 0;
            letters->safe = true;
            settle_written();
        }
        tell_concurrency();
    }
    void settle_written() {
        settle_letters(*letters_.front(), Outcome::dead_lettered);
        letters_.pop_front();
    }
    void settle_letters(Letters& letters, Outcome outcome, std::shared_ptr<const Batch> in_use = nullptr) {
        start_endings(letters.letters.size());
        for (std::size_t i = 0; i < endings_.size(); ++i) {
            const auto& letter = letters.letters[i];
            endings_[i].outcome = outcome;
            // Nobody has refused what grew too old.
            if (outcome == Outcome::rejected && letter.status == 0)
                endings_[i].outcome =
                    letters.bulk.batch.entries()[i].ambiguous ? Outcome::unknown : Outcome::undelivered;
            endings_[i].status = letter.status;
            endings_[i].said = say(letter.type, letter.reason);
        }
        settle(letters.bulk, time_point{}, std::move(in_use));
        intake_.update_stats([&](Stats& stats) { stats.dead_letters_waiting -= letters.letters.size(); });
    }

    // ---- settle → acknowledge ----

    /// Counts the operations of `bulk` as `endings_` says, tells their observers, and requeues the survivors at `due`.
    /// `in_use`: the transport may still read the batch's bytes; it is left where it is, kept alive by this. When this
    /// throws, nothing has happened: first all is prepared that needs memory.
    void settle(bulk_type& bulk, time_point due, std::shared_ptr<const Batch> in_use = nullptr) {
        const auto entries = bulk.batch.entries();
        const auto before = bulk.batch.footprint();
        const bool in_order = options_.ordering == Ordering::per_id;
        Tally tally;
        std::uint64_t survivors = 0;
        std::uint64_t letters = 0;
        std::uint64_t silent = 0; // settled, and no observer is told
        std::uint64_t waited_for = 0;
        std::uint64_t unobserved = 0;
        std::list<std::shared_ptr<Settled>> one{std::make_shared<Settled>()};
        auto* const told = one.front().get();
        groups_at_.assign(entries.size(), no_group);
        GroupFinder find_group{*told, *books_->observers};
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const auto& ending = endings_[i];
            if (entries[i].not_allowed && ending.next != Next::again) note_allowed(entries[i], false);
            if (ending.next != Next::settle) {
                ++(ending.next == Next::again ? survivors : letters);
                continue;
            }
            ++tally[ending.outcome];
            tally.redirected += ending.result == Result::redirected ? 1U : 0U;
            if (entries[i].ticket.slot >= waiter_slot) {
                ++silent;
                waited_for += entries[i].ticket.slot == waiter_slot ? 1U : 0U;
                continue;
            }
            groups_at_[i] = find_group(entries[i].ticket);
            auto& group = told->groups[groups_at_[i]];
            ++group.count;
            if (!is_failure(ending)) continue;
            ++group.failed;
            group.text_bytes += said_[ending.said].type.size() + said_[ending.said].reason.size();
        }
        for (auto& group : told->groups) { // subscriptions that are gone
            if (group.address.observer) continue;
            unobserved += group.count;
            silent += group.count;
            group.count = group.failed = group.text_bytes = 0;
        }
        if (survivors == entries.size()) return requeue(std::move(bulk), due);
        if (letters == entries.size()) return keep_letters(letters_of(std::move(bulk)));

        // What survives and what is told as failed is copied out, each exactly, so that together they hold no more
        // than the batch did; if either is all there is, the batch itself goes.
        std::size_t after = 0;
        bulk_type again;
        RetryPlace again_at;
        if (survivors != 0) {
            again = bulk.with(bulk.batch.extract([&](std::size_t i) { return endings_[i].next == Next::again; }));
            after += again.batch.footprint();
            again_at = place_at(due, again.opened);
        }
        std::list<LettersPtr> kept_letters;
        if (letters != 0) {
            auto kept = bulk.with(bulk.batch.extract([&](std::size_t i) { return endings_[i].next == Next::letter; }));
            after += kept.batch.footprint();
            kept_letters = letters_of(std::move(kept));
        }
        std::size_t failed = 0;
        std::size_t text_bytes = 0;
        for (const auto& group : told->groups) {
            failed += group.failed;
            text_bytes += group.text_bytes;
            told->operations += group.count;
            told->untold += group.count != 0 ? 1U : 0U;
        }
        const bool telling = told->operations != 0;
        const auto settlement_bytes = static_cast<std::size_t>(told->operations) * sizeof(Settlement);
        const bool whole = failed != 0 && (in_use || survivors + letters == 0);
        const auto is_told_failed = [&](std::size_t i) { return is_told(*told, i) && is_failure(endings_[i]); };
        std::shared_ptr<BulkBatch> kept;
        if (telling) {
            told->epoch = bulk.epoch;
            told->texts.reserve(text_bytes);
            told->failures.reserve(failed);
            for (auto& group : told->groups) group.settlements.reserve(group.count);
            if (in_use) {
                told->kept = in_use;
            } else if (failed != 0) {
                kept = std::make_shared<BulkBatch>();
                told->kept = kept;
                if (whole) {
                    told->charge = before;
                } else {
                    *kept = bulk.batch.extract(is_told_failed);
                    told->charge = kept->footprint() + settlement_bytes - failed * sizeof(Settlement);
                }
            } else {
                told->charge = settlement_bytes;
            }
            after += told->charge;
        }
        const auto bytes = kept && !whole ? kept->body() : bulk.batch.body();
        auto results = tell(*told, entries, bytes, whole, waited_for);

        // From here on nothing fails.
        if (in_order) release_ids(entries, bulk.batch.body());
        if (survivors != 0) put_off(std::move(again_at), std::move(again));
        if (letters != 0) keep_letters(std::move(kept_letters));
        for (auto& [id, result] : results)
            if (auto done = take_index_waiter(id)) completions_.add(std::move(done), {}, std::move(result));
        if (unobserved != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += unobserved; });
        if (tally.total() != 0) tally.age = intake_type::age_of(bulk.opened, Clock::now());
        BulkBatch done;
        if (kept && whole) {
            *kept = std::move(bulk.batch); // what points into it stays valid: the memory only changes hands
        } else if (!in_use) {
            done = std::exchange(bulk.batch, BulkBatch{});
        }
        intake_.settle(tally, before, after, bulk.epoch, silent, std::move(done));
        if (telling) acknowledge(std::move(one));
        guarded([this] {
            completions_.post_all();
            place_released();
        });
    }
    /// The operations that have ended: the next ones of their ids may travel.
    void release_ids(std::span<Entry> entries, std::string_view body) noexcept {
        std::size_t at = 0;
        std::uint64_t uncertain = 0;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            auto& entry = entries[i];
            const auto from = std::exchange(at, at + entry.bytes());
            if (endings_[i].next != Next::settle || !entry.holds_id) continue;
            if (entry.unanswered && !entry.has_version) ++uncertain;
            id_order_.release(key_of(entry, body.substr(from)));
            entry.holds_id = false;
        }
        if (uncertain != 0) intake_.update_stats([&](Stats& stats) { stats.order_uncertain += uncertain; });
    }
    void place_released() {
        while (auto* const next = id_order_.released()) {
            auto place = place_at(next->opened, next->opened); // it is past
            next->batch.entries()[0].holds_id = true;
            put_first(std::move(place), std::move(*next));
            id_order_.pop_released();
            intake_.update_stats([&](Stats& stats) { stats.waiting_for_id = id_order_.waiting(); });
        }
    }
    void start_endings(std::size_t operations) {
        endings_.assign(operations, Ending{});
        said_.assign(1, Said{}); // what is said of a success
    }
    [[nodiscard]] std::uint32_t say(std::string_view type, std::string_view reason) {
        said_.push_back({type, reason});
        return static_cast<std::uint32_t>(said_.size() - 1);
    }
    [[nodiscard]] static bool is_failure(const Ending& ending) noexcept {
        return ending.outcome != Outcome::indexed && ending.outcome != Outcome::superseded;
    }
    static constexpr std::uint32_t no_group = 0xffffffffU;
    /// Which group a ticket's settlement is told with: the last one again, one of few, or one that is looked up.
    class GroupFinder {
    public:
        GroupFinder(Settled& told, const Observers& observers) : groups_{told.groups}, observers_{observers} {}
        [[nodiscard]] std::uint32_t operator()(Ticket ticket) {
            constexpr std::size_t few = 8;
            const auto is_it = [&](std::uint32_t at) {
                return groups_[at].who.slot == ticket.slot && groups_[at].who.generation == ticket.generation;
            };
            if (!groups_.empty() && is_it(last_)) return last_;
            if (index_.empty()) {
                for (std::uint32_t at = 0; at < groups_.size(); ++at)
                    if (is_it(at)) return last_ = at;
            } else if (const auto found = index_.find(key_of(ticket)); found != index_.end()) {
                return last_ = found->second;
            }
            last_ = static_cast<std::uint32_t>(groups_.size());
            groups_.push_back({ticket, observers_.find(ticket), 0, 0, 0, {}});
            if (groups_.size() > few && index_.empty()) {
                for (std::uint32_t at = 0; at < groups_.size(); ++at) index_.emplace(key_of(groups_[at].who), at);
            } else if (!index_.empty()) {
                index_.emplace(key_of(ticket), last_);
            }
            return last_;
        }

    private:
        [[nodiscard]] static std::uint64_t key_of(Ticket ticket) noexcept {
            return std::uint64_t{ticket.slot} << 32U | ticket.generation;
        }
        std::vector<typename Settled::Group>& groups_;
        const Observers& observers_;
        boost::unordered_flat_map<std::uint64_t, std::uint32_t> index_;
        std::uint32_t last_ = 0;
    };
    /// Whether an observer is told how this operation of the bulk ended.
    [[nodiscard]] bool is_told(const Settled& told, std::size_t i) const noexcept {
        return groups_at_[i] != no_group && told.groups[groups_at_[i]].count != 0;
    }
    /// An operation's two lines, without their newlines.
    [[nodiscard]] static std::pair<std::string_view, std::string_view> lines_of(const Entry& entry,
                                                                                std::string_view bytes) noexcept {
        const auto source = bytes.substr(entry.action_bytes);
        return {bytes.substr(0, entry.action_bytes - 1), source.substr(0, source.empty() ? 0 : source.size() - 1)};
    }
    /// Writes the settlements; `bytes` holds all operations when `whole`, else the failures that are told. Returns what
    /// is for those that wait with `async_index`.
    [[nodiscard]] std::vector<std::pair<std::uint64_t, IndexResult>>
    tell(Settled& told, std::span<const Entry> entries, std::string_view bytes, bool whole, std::size_t waited_for) {
        std::vector<std::pair<std::uint64_t, IndexResult>> results;
        results.reserve(waited_for);
        std::size_t offset = 0;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const auto& ending = endings_[i];
            const auto& entry = entries[i];
            const auto at = offset;
            if (whole) offset += entry.bytes();
            if (ending.next != Next::settle) continue;
            const auto& said = said_[ending.said];
            if (entry.ticket.slot == waiter_slot) {
                results.emplace_back(entry.ticket.key,
                                     IndexResult{ending.outcome, ending.result, ending.status, entry.attempts,
                                                 std::string{said.type}, std::string{said.reason}});
                continue;
            }
            if (!is_told(told, i)) continue;
            Settlement settlement{entry.ticket.key, ending.outcome, ending.result, ending.status, entry.attempts};
            if (is_failure(ending)) {
                const auto own = [&](std::string_view text) {
                    const auto from = told.texts.size();
                    told.texts.append(text);
                    return std::string_view{told.texts}.substr(from);
                };
                if (!whole) offset += entry.bytes();
                const auto [line, source] = lines_of(entry, bytes.substr(at, entry.bytes()));
                told.failures.push_back({own(said.type), own(said.reason), line, source});
                settlement.failure = &told.failures.back();
            }
            told.groups[groups_at_[i]].settlements.push_back(settlement);
        }
        return results;
    }
    /// Lets the settlements set out for their observers. What cannot be posted for want of memory is posted later.
    void acknowledge(std::list<std::shared_ptr<Settled>> one) noexcept {
        books_->set_out(one.front()->operations);
        deliveries_.splice(deliveries_.end(), one);
        guarded([this] { deliver(); });
    }
    void deliver() {
        while (!deliveries_.empty()) {
            const auto told = deliveries_.front();
            for (; told->posted < told->groups.size(); ++told->posted) {
                auto& group = told->groups[told->posted];
                if (group.count == 0) continue;
                asio::post(group.address.executor,
                           [books = books_, told, which = told->posted, observer = group.address.observer] {
                               call_observer(*books, *told, which, *observer);
                           });
                group.address = {};
            }
            deliveries_.pop_front();
        }
    }
    /// On the observer's executor.
    static void call_observer(Books& books, Settled& told, std::size_t which, AnyObserver& observer) {
        const auto& group = told.groups[which];
        if (!books.arrive(group.count)) { // the close has counted them
        } else if (!books.observers->find(group.who).observer) {
            books.intake.update_stats([&](Stats& stats) { stats.unobserved += group.count; });
        } else {
            try {
                observer.tell(group.settlements);
            } catch (const std::exception& error) { // it was told; what it makes of it is its own affair
                books.intake.note_failure("observer_threw", error.what(), 0);
            } catch (...) {
                books.intake.note_failure("observer_threw", {}, 0);
            }
        }
        if (--told.untold != 0) return;
        books.intake.release(told.epoch, told.operations, told.charge);
        books.wake();
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
        std::list<std::shared_ptr<Settled>> one{std::make_shared<Settled>()};
        auto& told = *one.front();
        told.charge = dropped.charge();
        told.failures.push_back({to_string(errc::overflow), {}, {}, {}});
        std::vector<std::pair<std::uint64_t, IndexResult>> results;
        GroupFinder find_group{told, *books_->observers};
        for (const auto& ticket : dropped.tickets) {
            if (ticket.slot == waiter_slot) {
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
            told.untold += group.count != 0 ? 1U : 0U;
            told.operations += group.count;
        }
        told.epoch = dropped.epoch;
        // From here on nothing fails.
        for (auto& [id, result] : results)
            if (auto done = take_index_waiter(id)) completions_.add(std::move(done), {}, std::move(result));
        if (unobserved != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += unobserved; });
        const auto silent = dropped.tickets.size() - told.operations;
        const auto charge = told.operations == 0 ? std::exchange(told.charge, 0) : 0;
        if (silent != 0 || charge != 0) intake_.release(told.epoch, silent, charge);
        if (told.operations != 0) acknowledge(std::move(one));
        guarded([this] { completions_.post_all(); });
    }

    // ---- who waits ----

    using Flushes = FlushWaiters<time_point, Completion<error_code>>;
    struct RoomWaiter {
        Batch scratch;
        Ticket ticket;
        Completion<error_code, Admission> done;
    };
    template <class Waiter>
    using ById = std::map<std::uint64_t, Waiter>;

    /// A waiter with all the memory that it needs. Throws `std::bad_alloc`.
    template <class Waiter>
    [[nodiscard]] static typename ById<Waiter>::node_type place_of(std::uint64_t id, Waiter waiter) {
        ById<Waiter> one;
        one.emplace(id, std::move(waiter));
        return one.extract(one.begin());
    }
    void serve_waiters(time_point now) {
        while (!room_waiters_.empty()) { // in the order of their coming
            auto& first = room_waiters_.begin()->second;
            const auto offered = intake_.offer(first.scratch, first.ticket, intake_type::IfFull::reserve);
            again_ = again_ || offered.wake; // the strand is awake: here
            if (offered.admission == Admission::full) break;
            completions_.add(std::move(first.done), {}, offered.admission);
            room_waiters_.erase(room_waiters_.begin());
        }
        if (!flush_waiters_.empty()) {
            const auto first_epoch = intake_.first_epoch();
            while (auto done = flush_waiters_.take_drained(first_epoch)) completions_.add(std::move(*done), {});
            while (auto done = flush_waiters_.take_overdue(now))
                completions_.add(std::move(*done), errc::deadline_exceeded);
        }
        completions_.post_all();
        if (closing_) close(now);
        if (in_flight_.empty()) trim();
    }
    /// After a burst: gives back what nothing needs now.
    void trim() {
        intake_.trim();
        if (spare_flights_.size() > 1) spare_flights_.erase(spare_flights_.begin() + 1, spare_flights_.end());
        give_back(endings_);
        give_back(said_);
        give_back(groups_at_);
        give_back(held_);
        give_back(merging_);
        id_order_.trim();
        const std::lock_guard lock{index_waiters_mutex_};
        if (index_waiters_.empty() && index_waiters_.bucket_count() > endings_worth_keeping)
            decltype(index_waiters_){}.swap(index_waiters_);
    }
    template <class Vector>
    static void give_back(Vector& vector) noexcept {
        if (vector.capacity() > endings_worth_keeping) Vector{}.swap(vector); // `= {}` would keep the memory
    }
    /// One timer for everything: the earliest time at which `pump` has something to do.
    void arm_timer() {
        auto next = intake_.flush_due();
        const auto max_age = options_.retry.max_age;
        next = std::min(next, intake_type::saturating_add(intake_.oldest_sealed(), max_age));
        next = std::min(next, intake_type::saturating_add(oldest_retry(), max_age));
        if (id_order_.oldest() != nullptr)
            next = std::min(next, intake_type::saturating_add(id_order_.oldest()->opened, max_age));
        if (!letters_.empty() && !writing_) next = std::min(next, sink_resume_);
        if (in_flight_.size() < concurrency_.limit() && !sink_is_behind()) {
            if (!retries_.empty() && may_repeat())
                next = std::min(next, std::max(retries_.begin()->first, resume_at()));
            if (intake_.oldest_sealed() != time_point::max()) next = std::min(next, resume_at());
        }
        next = std::min({next, flush_waiters_.earliest(), look_again_});
        if (untold_) next = std::min(next, tell_at_);
        if (closing_ && !ended_) next = std::min(next, gave_up_ ? close_deadline_ : give_up_at());
        if (ended_) next = time_point::max();
        if (next == time_point::max()) { // an idle indexer keeps no context running
            if (std::exchange(armed_at_, next) != next) timer_.cancel();
            return;
        }
        if (armed_at_ <= Clock::now()) armed_at_ = time_point::max(); // it comes too late, or never: Asio had no memory
        if (next >= armed_at_) return;                                // it looks again then
        armed_at_ = time_point::max();                                // as long as memory may run out
        timer_.expires_at(next);
        timer_.async_wait([self = this->shared_from_this(), next](error_code error) {
            if (self->armed_at_ == next) self->armed_at_ = time_point::max();
            if (!error) self->pump();
        });
        armed_at_ = next;
    }
    /// When a waiting bulk may be launched, as far as the endpoint's pause is concerned.
    [[nodiscard]] time_point resume_at() const {
        return concurrency_.failures() == 0 ? time_point::min() : concurrency_.resume_at(in_flight_.size());
    }

    // ---- close ----

    /// Somewhat before the deadline, so that observers learn what became of it.
    [[nodiscard]] time_point give_up_at() const {
        if (close_deadline_ == time_point::max() || close_deadline_ <= close_called_at_) return close_deadline_;
        const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(close_deadline_ - close_called_at_);
        return close_deadline_ -
               std::chrono::duration_cast<typename Clock::duration>(close_margin(time, intake_.pending()));
    }
    void close(time_point now) {
        if (!ended_) {
            if (!intake_.idle() && now < give_up_at()) return;
            if (!intake_.idle()) {
                give_up_everything();
                if (!std::exchange(gave_up_, true)) {
                    transport_.shutdown();
                    if (writing_) sink_.get()->shutdown();
                }
            }
            if (!intake_.idle() && now < close_deadline_) return; // observers on other executors are being told
            ended_ = true;
            drained_ = given_up_ == given_up_before_close_;
            if (!gave_up_) transport_.shutdown();
            if (!writing_) sink_ = {}; // what it keeps open, it keeps no longer
            timer_.cancel();
            armed_at_ = time_point::max();
            trim();
        }
        while (auto done = flush_waiters_.take_any()) completions_.add(std::move(*done), errc::closed);
        completions_.post_all();
        if (!silenced_) {
            // Calls that are posted already may still begin: those on an executor that runs come before this.
            if (!intake_.idle() && (silencing_ || post_silence())) return;
            silence();
        }
        while (!close_waiters_.empty()) {
            auto final = report();
            completions_.add(std::move(close_waiters_.begin()->second), {}, std::move(final));
            close_waiters_.erase(close_waiters_.begin());
        }
        completions_.post_all();
    }
    /// False when there is no memory for it.
    bool post_silence() noexcept {
        silencing_ = guarded([this] {
            asio::post(strand_, [self = this->shared_from_this()] {
                self->silence();
                self->pump();
            });
        });
        return silencing_;
    }
    /// No call of an observer begins from now on. What was not delivered is counted here, not where it would have been.
    void silence() {
        if (std::exchange(silenced_, true)) return;
        const auto late = books_->silence();
        if (late != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += late; });
        tell_events(Clock::now(), true); // also of what the last observers did
    }
    /// No time is left: nothing is sent any more, and everything is settled as what it is. When memory runs out, it is
    /// called again for the rest.
    void give_up_everything() {
        if (!in_hand_.batch.empty()) give_up(in_hand_, errc::closed);
        while (!retries_.empty()) {
            take_retry(retries_.begin(), doomed_);
            give_up(doomed_, errc::closed);
            place_released();
        }
        give_up_waiting(errc::closed, [](time_point) { return true; }); // older than what is sealed, of the same id
        (void)intake_.flush();
        while (intake_.take(doomed_)) give_up(doomed_, errc::closed);
        while (!letters_.empty()) { // refused, and nobody has taken them over
            const auto letters = letters_.front();
            if (!letters->safe) given_up_ += letters->letters.size();
            settle_letters(*letters, letters->safe ? Outcome::dead_lettered : Outcome::rejected,
                           {letters, &letters->bulk.batch});
            letters->abandoned = true;
            letters_.pop_front();
        }
        while (!in_flight_.empty()) {
            const auto flight = in_flight_.front();
            start_endings(flight->bulk.batch.operations());
            const auto said = say(to_string(errc::closed), trouble());
            for (auto& ending : endings_) {
                ending.outcome = Outcome::unknown;
                ending.said = said;
            }
            const auto count = endings_.size();
            settle(flight->bulk, time_point{}, std::shared_ptr<const Batch>{flight, &flight->bulk.batch});
            given_up_ += count;
            intake_.note_failure(to_string(errc::closed), trouble(), 0, count);
            flight->abandoned = true;
            in_flight_.erase(in_flight_.begin());
        }
        intake_.update_stats([](Stats& stats) { stats.in_flight = 0; });
    }
    [[nodiscard]] CloseReport report() const { return {intake_.stats(), drained_, undelivered_}; }

    /// Counts failures in runs of one type, so that a batch that fails alike takes the lock once.
    class FailureCounter {
    public:
        explicit FailureCounter(intake_type& intake) : intake_{intake} {}
        /// `index`: where the operations wait, and others may not.
        void add(std::string_view type, std::string_view reason, std::uint16_t status, std::string_view index = {},
                 std::size_t count = 1) {
            if (count_ != 0 && (type != type_ || index != index_)) flush();
            type_ = type;
            reason_ = reason;
            status_ = status;
            index_ = index;
            count_ += count;
        }
        void flush() {
            if (count_ == 0) return;
            intake_.note_failure(type_, reason_, status_, std::exchange(count_, 0), index_);
        }

    private:
        intake_type& intake_;
        std::string_view type_;
        std::string_view reason_;
        std::string_view index_;
        std::uint16_t status_ = 0;
        std::uint64_t count_ = 0;
    };
    [[nodiscard]] static std::string target_of(const IndexerOptions& options, bool with_results) {
        return bulk_target(with_server_timeout(options.request, options.request_timeout), with_results);
    }

    void count_attempt(Entry& entry) const noexcept {
        if (charging_ && entry.attempts < 0xffffU) ++entry.attempts;
    }
    [[nodiscard]] static time_point later(time_point now, std::chrono::nanoseconds by) {
        return intake_type::saturating_add(now, by);
    }

    const IndexerOptions options_;
    using Strand = asio::strand<asio::any_io_executor>;
    Strand strand_;
    // By the strand's own type: what Asio needs memory for within `any_io_executor` ends the process when there is
    // none.
    asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Strand> timer_;
    T transport_;
    DeadLetters sink_;
    const std::array<std::string, 2> targets_; ///< without and with `items.*.result`
    const std::shared_ptr<Books> books_;
    intake_type& intake_ = books_->intake;
    ClientIds client_ids_ = ClientIds::of<Clock>();
    std::atomic<std::uint64_t> next_id_{1};
    std::atomic<bool> limits_changed_{false};
    std::mutex index_waiters_mutex_;
    std::unordered_map<std::uint64_t, Completion<error_code, IndexResult>> index_waiters_;

    // The strand's own.
    Concurrency<time_point> concurrency_;
    RequestCeiling ceiling_;
    SizeSuspicion suspicion_;
    std::uint64_t taken_ = 1;          ///< requests that were taken, and one
    std::uint64_t fresh_failures_ = 0; ///< bulks that failed, as far as a smaller one might not, for the first time
    RetryBudget budget_;
    std::size_t lone_refusals_ = 0; ///< 400s of one type for single operations, since an answer was one item for each
    std::string lone_refusal_type_;
    static constexpr std::size_t most_lone_refusals = 32;
    /// A bulk is halved for its own failures only after so many, lest random overload takes it to pieces.
    static constexpr std::uint32_t failures_before_halving = 4;
    std::size_t repeating_ = 0; ///< requests in flight whose operations were sent before
    bool fresh_turn_ = false;   ///< something new travels next
    Jitter jitter_ = std::is_same_v<Clock, std::chrono::steady_clock> ? Jitter{} : Jitter{1}; // virtual: repeatable
    std::string trouble_; ///< what was last wrong with the endpoint
    std::vector<FlightPtr> in_flight_;
    std::vector<FlightPtr> spare_flights_;
    std::multimap<time_point, bulk_type> retries_; ///< by when they are due
    std::multiset<time_point> retry_ages_;         ///< by when they were opened
    std::vector<typename std::multimap<time_point, bulk_type>::iterator> merging_;
    IdOrder<bulk_type> id_order_;
    struct HeldBack {
        std::size_t position;
        typename IdOrder<bulk_type>::Place place;
    };
    std::vector<HeldBack> held_; ///< of the bulk that is held back in parts
    FloodGauge flood_;
    std::list<LettersPtr> letters_; ///< the first of them is being written, or will be
    static constexpr std::size_t most_letters = 8;
    static constexpr std::size_t most_looked_at = 256;
    bool writing_ = false;
    std::uint32_t sink_failures_ = 0; ///< in a row
    std::string sink_trouble_;
    time_point sink_resume_ = time_point::min();
    std::vector<Ending> endings_; ///< of the bulk that is being judged
    std::vector<Said> said_;      ///< about its operations
    static constexpr std::size_t endings_worth_keeping = 4096;
    const std::unique_ptr<Stats> told_ = options_.on_event ? std::make_unique<Stats>() : nullptr; ///< by `on_event`
    time_point tell_at_ = time_point::min(); ///< again, at the earliest
    bool untold_ = false;
    std::vector<std::uint32_t>
        groups_at_; ///< of the bulk that is being settled: which group each operation is told with
    std::list<std::shared_ptr<Settled>> deliveries_; ///< whose calls are still to be posted
    bulk_type in_hand_;                              ///< on its way to being sent
    bulk_type doomed_;                               ///< on its way to being given up
    errc doomed_why_{};
    typename intake_type::Dropped dropped_;
    bool telling_dropped_ = false;              ///< `dropped_` is being told
    bool charging_ = true;                      ///< false while an answer is judged a second time
    time_point look_again_ = time_point::max(); ///< memory ran out
    Flushes flush_waiters_;
    ById<RoomWaiter> room_waiters_;
    ById<Completion<error_code, CloseReport>> close_waiters_;
    Completions completions_;
    time_point armed_at_ = time_point::max();
    bool pumping_ = false;
    bool again_ = false;
    bool closing_ = false;
    bool ended_ = false;
    bool silencing_ = false; ///< the step that silences the observers is posted
    bool silenced_ = false;
    bool drained_ = false;
    std::uint64_t given_up_ = 0;
    std::uint64_t given_up_before_close_ = 0;
    time_point close_deadline_ = time_point::max();
    time_point close_called_at_ = time_point::min();
    bool gave_up_ = false;
    std::vector<std::shared_ptr<const Batch>> undelivered_; ///< for the report
};

} // namespace bulkhead::inline v1::detail
