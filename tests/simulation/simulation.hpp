// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/simulation_coverage.hpp"
#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// One seeded life of a `BulkIndexer` in virtual time, against a model of Elasticsearch behind a network that does what
/// networks do. After every step the promises are checked by code that shares nothing with the library.
///
///     Coverage coverage;
///     Simulation{seed, coverage}.run(); // throws `Broken`, which says which promise and for which operation
///
/// A seed lives the same life on every machine.
namespace bulkhead::inline v1::test::simulation {

using namespace std::chrono_literals;

/// SplitMix64: the same on every machine.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}
    std::uint64_t next() noexcept {
        auto z = (state_ += 0x9e37'79b9'7f4a'7c15U);
        z = (z ^ (z >> 30U)) * 0xbf58'476d'1ce4'e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d0'49bb'1331'11ebU;
        return z ^ (z >> 31U);
    }
    /// 0 to limit - 1.
    std::size_t below(std::size_t limit) noexcept { return next() % limit; }
    std::size_t between(std::size_t least, std::size_t most) noexcept { return least + below(most - least + 1); }
    bool once_in(std::size_t times) noexcept { return below(times) == 0; }
    template <class T>
    const T& pick(const std::vector<T>& choices) noexcept {
        return choices[below(choices.size())];
    }

private:
    std::uint64_t state_;
};

class Broken : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Simulation {
public:
    Simulation(std::uint64_t seed, Coverage& coverage) : random_{seed}, coverage_{coverage} {
        ManualClock::reset();
        choose();
        if (options_.max_batch_bytes % 2 == 0) options_.on_event = [this](const IndexerEvent& event) { hear(event); };
        indexer_.emplace(context_.get_executor(), ScriptedTransport{script_}, options_,
                         with_sink_ ? DeadLetters{Sink{*this}} : DeadLetters{});
        subscription_ = subscribe();
        script_->respond = [this](const SeenRequest& request) { return arrived(request); };
    }
    Simulation(const Simulation&) = delete;
    Simulation& operator=(const Simulation&) = delete;

    void run() {
        if (lone_poison_) {
            find_lone_poison();
        } else {
            live();
        }
        expect(flushes_ == 0, "every flush completes");
        expect(waiting_ == 0, "who waits for room is told in the end");
        for (const auto& op : operations_) {
            expect(op.settled == (op.accepted && op.told ? 1 : 0),
                   "an accepted operation settles exactly once, no other ever", op);
            if (op.sent > 1) mark(Mark::sent_again);
        }
        coverage_.operations += operations_.size();
        coverage_.requests += script_->requests().size();
    }

private:
    using time_point = ManualClock::time_point;
    static constexpr auto never = time_point::min();
    static constexpr std::uint32_t most_halvings = 24; ///< answers that are nonsense, until an operation is alone

    /// What the server has said of an operation, by this simulation's own table.
    enum class Said : std::uint8_t {
        nothing,
        done,
        as_done,    ///< refused, which a rule of the user's takes for done
        there,      ///< it, or something newer, is there
        again,      ///< not now; that counts as an attempt
        wait,       ///< not now; that counts as none
        no,         ///< never
        never_mind, ///< never, and no dead letter of it
    };

    void live() {
        const auto steps = random_.between(5, 60);
        for (std::size_t i = 0; i < steps; ++i) step();
        if (random_.once_in(4)) {
            close(std::chrono::milliseconds{random_.below(3000)}); // in the middle of it all
        } else {
            calm_ = true;
            make_room(); // a flood that fills the buffer keeps out what would end it
            for (int i = 0; i < 20'000 && (indexer_->stats().pending != 0 || waiting_ != 0); ++i) {
                if (i % 100 == 99) put_good(); // a flood ends with what is good
                pass(i < 1000 ? 10ms : 1s);
            }
            expect(indexer_->stats().pending == 0, "without faults everything settles");
            check_order();
            if (later_.empty() && random_.once_in(3)) be_idle();
            close(5s);
        }
    }
    /// A malformed operation among good ones, and nothing else that is wrong: it alone is refused, and found in so many
    /// requests as halving takes.
    void find_lone_poison() {
        const auto count = options_.max_batch_operations;
        const auto place = random_.below(count);
        for (std::size_t i = 0; i < count; ++i) {
            auto op = good();
            op.poison = i == place;
            Operation made;
            made.action = op.action;
            made.id = op.id;
            enqueue(std::move(op), made);
        }
        for (int i = 0; i < 1000 && indexer_->stats().pending != 0; ++i) pass(10ms);
        const auto levels =
            static_cast<std::size_t>(std::numeric_limits<std::size_t>::digits - std::countl_zero(count - 1));
        expect(script_->requests().size() <= 2 * levels + 1, "a lone malformed operation is found by halving");
        for (const auto& op : operations_)
            expect(op.settled == 1 &&
                       (op.poison ? op.outcome == Outcome::rejected || op.outcome == Outcome::dead_lettered
                                  : op.outcome == Outcome::indexed || op.outcome == Outcome::superseded ||
                                        (op.outcome == Outcome::unknown && op.action == Action::create &&
                                         !op.already_there && op.applied == 1)), // it met itself: who can tell?
                   "a malformed operation does its neighbours no harm", op);
        mark(Mark::lone_poison);
        be_idle();
        close(5s);
    }
    /// Nothing is left to do: then nothing is done.
    void be_idle() {
        const auto before = events_;
        const auto requests = script_->requests().size();
        pass(5s);
        expect(events_ - before <= 4, "an idle indexer arms no timers");
        expect(script_->requests().size() == requests, "an idle indexer sends nothing");
        const auto stats = indexer_->stats();
        expect(stats.in_flight == 0 && stats.sealed_batches == 0 && stats.waiting_for_id == 0 &&
                   stats.dead_letters_waiting == 0,
               "an idle indexer holds nothing");
        mark(Mark::idle);
    }

    struct Op {
        std::uint64_t number = 0;
        Action action{};
        std::string id;
        std::string source;
        bool repeatable = false; ///< sending it twice leaves the store as once does
        bool poison = false;     ///< the server refuses any request that holds it
        bool bad = false;        ///< the server refuses it as an item
        bool accepted = false;
        bool versioned = false;     ///< it has an external version
        bool conditional = false;   ///< it has a condition on a sequence number
        bool already_there = false; ///< a conflict says that it is there
        bool waiting = false;       ///< for room
        bool waited = false;
        bool awaited = false;    ///< its end is told to who waits for it, not to the observer
        bool lost = false;       ///< it was sent, and no proof came back
        bool half = false;       ///< it was applied by a request that was refused because of another
        bool read = false;       ///< a request with it was refused as malformed, perhaps after a part of it was applied
        bool told = true;        ///< its subscription is there
        bool buried = false;     ///< the sink has taken it
        bool makes_id = false;   ///< the indexer gives it an id
        bool unpassable = false; ///< no request that holds it is taken
        std::string sent_as{};   ///< its lines, when it was sent first
        int settled = 0;
        int applied = 0;
        int in_flight = 0;
        int sent = 0;
        std::uint32_t charged = 0;                    ///< answers that count as attempts
        Said said{};                                  ///< in the last answer
        bool takes_time = false;                      ///< it may be given up only when a while has passed as well
        bool nonsense_with_others = false;            ///< so it was last charged: another may be the cause
        bool charged_alone = false;                   ///< at least once, perhaps
        std::uint32_t perhaps_charged = 0;            ///< of these
        time_point failed_at = never;                 ///< a request with it, and it was not answered since
        time_point failed_alone_at = never;           ///< a request with nothing else
        time_point refused_since = time_point::max(); ///< refused in every answer since
        time_point not_before{};                      ///< when it may be sent again
        time_point since = ManualClock::now();        ///< handed in, or let in after it had waited for room
        Outcome outcome{};
        /// An attempt that did not end as a success may have been applied all the same.
        [[nodiscard]] bool perhaps_there() const noexcept { return lost || half; }
    };
    /// An operation as it was found in a request.
    struct Found {
        std::uint64_t number = 0;
        std::string_view lines;
    };
    /// An item for each operation, and what it means.
    struct Items {
        std::vector<std::string> text;
        std::vector<Said> said;
        std::size_t busy = 0; ///< with 429, and no block
    };
    /// A dead-letter sink that fails and takes its time, as the seed says.
    class Sink {
    public:
        explicit Sink(Simulation& simulation) : simulation_{&simulation} {}
        asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
            auto& simulation = *simulation_;
            const bool fails = simulation.sink_fails();
            if (simulation.sink_is_slow()) {
                asio::basic_waitable_timer<ManualClock> timer{co_await asio::this_coro::executor, 300ms};
                error_code ignored;
                co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            }
            error_code error;
            if (fails) {
                error = errc::sink_full;
            } else {
                simulation.bury(letters);
            }
            co_return error;
        }

    private:
        Simulation* simulation_;
    };
    /// Something that the network still has to do.
    struct Later {
        ManualClock::time_point due{};
        std::size_t position = 0;
        std::optional<Items> answer;
        std::string apply;
    };

    void choose() {
        stream_ = random_.once_in(5);
        options_.index = stream_ ? "stream" : "logs";
        if (stream_) {
            server_.add_data_stream(options_.index);
            mark(Mark::data_stream);
        }
        options_.max_batch_operations = random_.between(1, 30);
        options_.max_batch_bytes = random_.between(1024, 8000);
        options_.max_in_flight = random_.between(1, 6);
        options_.max_buffered_bytes = random_.between(65'536, 200'000);
        options_.max_buffered_operations = random_.between(50, 2000);
        options_.flush_interval = std::chrono::milliseconds{random_.between(1, 500)};
        options_.retry.max_attempts = static_cast<std::uint32_t>(random_.between(1, 6));
        options_.retry.initial_backoff = std::chrono::milliseconds{random_.between(1, 200)};
        options_.retry.max_backoff = std::chrono::milliseconds{random_.between(200, 5000)};
        options_.retry.min_retry_time = std::chrono::milliseconds{random_.once_in(3) ? 0 : random_.below(4000)};
        options_.retry.max_age =
            random_.once_in(2) ? unlimited : std::chrono::milliseconds{random_.between(500, 20'000)};
        options_.duplicates = random_.pick<Duplicates>({Duplicates::forbid, Duplicates::allow, Duplicates::client_id});
        options_.ordering = random_.once_in(3) ? Ordering::per_id : Ordering::none;
        options_.overflow = random_.once_in(5) ? Overflow::drop_oldest : Overflow::refuse;
        patient_ = random_.once_in(4);
        if (patient_) options_.max_buffered_operations = options_.max_batch_operations + random_.below(40) + 1;
        options_.retry.budget_percent = static_cast<std::uint32_t>(random_.below(3) * 10);
        options_.min_in_flight = random_.between(1, options_.max_in_flight);
        options_.flood.operations = random_.between(5, 200);
        options_.flood.percent = static_cast<std::uint32_t>(random_.between(20, 60));
        with_sink_ = random_.once_in(2);
        if (with_sink_) sink_trouble_ = random_.below(5);
        called_back_ = random_.once_in(4);
        one_in_bad_ = with_sink_ && random_.once_in(4) ? 2 : 25;
        for (std::size_t fate = 1; fate < fates; ++fate) {
            allowed_[fate] = random_.once_in(3);
            if (allowed_[fate] && Fate(fate) < Fate::too_large) troubles_.push_back(Fate(fate));
        }
        trouble_ = random_.between(1, 6);
        largest_body_ = random_.between(600, 6000);
        most_at_once_ = random_.once_in(5) ? random_.between(1, options_.max_batch_operations) : no_limit;
        bulky_failure_ = random_.below(5);
        choose_refusals();
        lone_poison_ = random_.once_in(12);
        if (lone_poison_) only_a_poison();
        least_backoff_ = ManualClock::duration{options_.retry.initial_backoff} / 10;
        most_operations_ = options_.max_batch_operations;
        most_bytes_ = options_.max_batch_bytes;
        most_in_flight_ = options_.max_in_flight;
        most_buffered_bytes_ = options_.max_buffered_bytes;
        most_buffered_operations_ = options_.max_buffered_operations;
    }
    void choose_refusals() {
        for (auto kind = Refusal::capacity; kind < Refusal::own_indexed; kind = Refusal(std::size_t(kind) + 1))
            kinds_.push_back(kind);
        if (random_.once_in(3)) {
            const auto own = random_.below(7);
            constexpr std::array verdicts{Verdict::indexed,   Verdict::superseded,  Verdict::retry,
                                          Verdict::push_back, Verdict::environment, Verdict::reject,
                                          Verdict::discard};
            options_.verdicts.push_back({422, 422, random_.once_in(2) ? "house_rule_exception" : "", verdicts[own]});
            own_kind_ = Refusal(std::size_t(Refusal::own_indexed) + own);
            kinds_.push_back(*own_kind_);
        }
        discard_unparsable_ = random_.once_in(8);
        if (discard_unparsable_)
            options_.verdicts.push_back({400, 499, "document_parsing_exception", Verdict::discard});
    }
    void only_a_poison() {
        troubles_.clear();
        allowed_[std::size_t(Fate::too_large)] = false;
        allowed_[std::size_t(Fate::unpassable)] = false;
        most_at_once_ = no_limit;
        sink_trouble_ = 0;
        called_back_ = false;
        options_.max_batch_operations = random_.between(1, 300);
        options_.max_batch_bytes = std::size_t{1} << 20U;
        options_.max_buffered_bytes = std::size_t{4} << 20U;
        options_.max_buffered_operations = 1000;
    }

    // ---- The producers ----

    void step() {
        for (auto count = random_.below(30); count != 0; --count) put();
        if (random_.once_in(10)) indexer_->flush();
        if (random_.once_in(patient_ ? 2 : 10)) flush();
        if (random_.once_in(20)) change_limits();
        if (random_.once_in(40)) leave();
        if (random_.once_in(20)) largest_body_ = random_.between(100, 6000); // a proxy was configured anew
        pass(std::chrono::milliseconds{random_.below(200)});
    }
    void put() {
        Op op;
        op.number = operations_.size();
        op.poison = allowed_[std::size_t(Fate::malformed)] && random_.once_in(40);
        op.bad = !op.poison && random_.once_in(one_in_bad_);
        op.unpassable =
            allowed_[std::size_t(Fate::unpassable)] && !op.poison && !op.bad && unpassable_ < 2 && random_.once_in(60);
        unpassable_ += op.unpassable ? 1U : 0U;
        op.source = source_of(op.number, random_.below(120));
        Operation made;
        if (stream_) {
            draw_for_stream(op, made);
        } else {
            draw(op, made);
        }
        if (op.action == Action::delete_) op.bad = op.poison = op.unpassable = false;
        made.action = op.action;
        if (!op.id.empty()) made.id = op.id;
        op.versioned = made.version.has_value();
        op.conditional = made.if_seq_no.has_value();
        op.already_there = made.on_conflict == OnConflict::already_there;
        enqueue(std::move(op), made);
    }
    void draw(Op& op, Operation& made) {
        const auto n = std::to_string(op.number);
        op.repeatable = true;
        switch (random_.below(10)) {
        case 0: // the server makes the id, or the indexer
            op.action = random_.once_in(2) ? Action::index : Action::create;
            op.makes_id = op.repeatable = options_.duplicates == Duplicates::client_id;
            break;
        case 1: // an id that others use too: the last one to arrive wins
            op.action = Action::index;
            op.id = "shared-" + std::to_string(random_.below(8));
            break;
        case 2:
            op.action = Action::create;
            op.id = "once-" + n;
            made.on_conflict = OnConflict::already_there;
            break;
        case 3:
            op.action = Action::delete_;
            op.id = "gone-" + n;
            op.source.clear();
            break;
        case 4:
            op.action = Action::index;
            op.id = "versioned-" + std::to_string(random_.below(4));
            made.version = static_cast<std::int64_t>(op.number + 1);
            break;
        case 5: // a script would run twice
            op.action = Action::update;
            op.id = "shared-" + std::to_string(random_.below(8));
            op.source = R"({"script":{"source":"ctx._source.n++"},"upsert":)" + op.source + "}";
            op.repeatable = false;
            break;
        case 6: // a condition would conflict with itself
            op.action = Action::index;
            op.id = "shared-" + std::to_string(random_.below(8));
            made.if_seq_no = static_cast<std::int64_t>(random_.below(20));
            made.if_primary_term = 1;
            op.repeatable = false;
            break;
        case 7: // a part of a document, twice the same as once
            op.action = Action::update;
            op.id = "shared-" + std::to_string(random_.below(8));
            op.source = R"({"doc":)" + op.source + (random_.once_in(2) ? R"(,"doc_as_upsert":true})" : "}");
            break;
        case 8: // an id that others use too: the first one to arrive stays
            op.action = Action::create;
            op.id = "first-" + std::to_string(random_.below(20));
            break;
        default: op.action = Action::index; op.id = "own-" + n;
        }
    }
    /// A data stream takes only what is created, and has a time.
    void draw_for_stream(Op& op, Operation& made) {
        const auto n = std::to_string(op.number);
        op.action = Action::create;
        op.repeatable = true;
        switch (random_.below(8)) {
        case 0:
        case 1:
        case 2: op.makes_id = op.repeatable = options_.duplicates == Duplicates::client_id; break;
        case 3: op.id = "first-" + std::to_string(random_.below(20)); break;
        case 4:
            op.id = "timeless-" + n;
            op.source = R"({"n":)" + n + "}";
            break;
        case 5:
            op.id = "replaced-" + n;
            op.action = Action::index;
            break;
        default: op.id = "once-" + n; made.on_conflict = OnConflict::already_there;
        }
    }
    [[nodiscard]] std::string source_of(std::uint64_t number, std::size_t padding) const {
        return "{\"n\":" + std::to_string(number) + (stream_ ? R"(,"@timestamp":1)" : "") + ",\"t\":\"" +
               std::string(padding, 'x') + "\"}";
    }
    [[nodiscard]] Op good() const {
        Op op;
        op.number = operations_.size();
        op.source = source_of(op.number, 0);
        op.id = "good-" + std::to_string(op.number);
        op.action = stream_ ? Action::create : Action::index;
        op.repeatable = true;
        return op;
    }
    void put_good() {
        for (int i = 0; i < 10; ++i) {
            auto op = good();
            Operation made;
            made.action = op.action;
            made.id = op.id;
            enqueue(std::move(op), made);
        }
    }
    void enqueue(Op op, Operation& made) {
        const auto number = op.number;
        op.told = static_cast<bool>(subscription_);
        operations_.push_back(std::move(op));
        auto& kept = operations_.back();
        made.source = kept.source;
        if (made.id) made.id = kept.id;
        const bool is_shared = // "shared-6" may also be the id of operation 6
            kept.id.starts_with("shared-") || kept.id.starts_with("first-") || kept.id.starts_with("versioned-");
        const bool has_own_id = kept.id.empty() || (!is_shared && kept.id.ends_with("-" + std::to_string(number)));
        const auto how = lone_poison_ ? 15 : patient_ && random_.once_in(3) ? 2 : random_.below(16);
        switch (how) {
        case 0:
        case 1: {
            Batch scratch;
            expect(!scratch.append(made, options_.index), "a well-formed operation is taken", kept);
            kept.accepted = indexer_->try_enqueue(scratch, subscription_.ticket(number)) == Admission::accepted;
            break;
        }
        case 2: return wait_for_room(kept, made, has_own_id);
        case 3: wait_for_its_end(kept, made); break;
        default: kept.accepted = indexer_->try_enqueue(made, subscription_.ticket(number)) == Admission::accepted;
        }
        if (kept.accepted && !kept.id.empty()) by_id_[kept.id].push_back(number);
    }
    /// Others with its id could come in before it, unseen: so only what has an id of its own.
    void wait_for_room(Op& op, const Operation& made, bool has_own_id) {
        if (!has_own_id) {
            op.accepted = indexer_->try_enqueue(made, subscription_.ticket(op.number)) == Admission::accepted;
            if (op.accepted) by_id_[op.id].push_back(op.number);
            return;
        }
        ++waiting_;
        op.waiting = op.waited = true;
        const auto began = ManualClock::now();
        indexer_->async_enqueue(made, subscription_.ticket(op.number),
                                [this, number = op.number, began](error_code error, Admission admission) {
                                    auto& waited = operations_[number];
                                    --waiting_;
                                    waited.waiting = false;
                                    waited.accepted = admission == Admission::accepted;
                                    waited.since = ManualClock::now();
                                    expect(!error && admission != Admission::full, "who waits for room gets it",
                                           waited);
                                    if (admission == Admission::closed) mark(Mark::closed_waiting);
                                    if (!waited.accepted) return;
                                    if (ManualClock::now() != began) mark(Mark::waited_for_room);
                                    if (!waited.id.empty()) by_id_[waited.id].push_back(number);
                                });
    }
    void wait_for_its_end(Op& op, const Operation& made) {
        const auto before = indexer_->stats().accepted;
        op.told = op.awaited = true;
        indexer_->async_index(made, [this, number = op.number](error_code error, const IndexResult& result) {
            expect(operations_[number].accepted == !error, "who waits for an end is told of a refusal",
                   operations_[number]);
            if (error) return;
            mark(Mark::awaited);
            settled({number, result.outcome, result.result, result.status, result.attempts});
        });
        op.accepted = indexer_->stats().accepted != before;
    }
    Subscription subscribe() {
        return indexer_->subscribe(context_.get_executor(), [this](std::span<const Settlement> told) {
            for (const auto& one : told) settled(one);
            if (called_back_ && random_.once_in(4)) {
                mark(Mark::called_back);
                put();
                indexer_->flush();
            }
            if (called_back_ && random_.once_in(8)) {
                mark(Mark::threw);
                throw std::logic_error{"an observer's own affair"};
            }
        });
    }
    /// The observer goes, and another comes: what is under way is told to nobody.
    void leave() {
        for (auto& op : operations_)
            if (op.settled == 0 && !op.awaited && std::exchange(op.told, false)) mark(Mark::told_nobody);
        subscription_ = subscribe();
    }
    void flush() {
        ++flushes_;
        const auto before = operations_.size();
        const auto patience = std::chrono::milliseconds{random_.below(2000)};
        indexer_->async_flush(patience, [this, before](error_code error) {
            --flushes_;
            mark(error ? Mark::flush_late : Mark::flushed);
            for (std::size_t i = 0; !error && i < before; ++i)
                expect(!operations_[i].accepted || operations_[i].waited || !operations_[i].told ||
                           operations_[i].settled == 1,
                       "after a flush what was accepted before has settled", operations_[i]);
        });
    }
    void change_limits() {
        mark(Mark::limits_changed);
        Limits limits;
        limits.max_batch_operations = random_.between(1, 30);
        limits.max_batch_bytes = random_.between(1024, 8000);
        limits.max_in_flight = random_.between(1, 6);
        limits.min_in_flight = 1;
        limits.flush_interval = std::chrono::milliseconds{random_.between(1, 500)};
        limits.max_buffered_bytes = random_.between(65'536, 200'000);
        limits.max_buffered_operations = random_.between(50, 2000);
        expect(!indexer_->change_limits(limits), "limits within their ranges are taken");
        most_operations_ = std::max(most_operations_, *limits.max_batch_operations);
        most_bytes_ = std::max(most_bytes_, *limits.max_batch_bytes);
        most_in_flight_ = std::max(most_in_flight_, *limits.max_in_flight);
        most_buffered_bytes_ = std::max(most_buffered_bytes_, *limits.max_buffered_bytes);
        most_buffered_operations_ = std::max(most_buffered_operations_, *limits.max_buffered_operations);
    }
    void make_room() {
        most_buffered_bytes_ = 4U << 20U;
        most_buffered_operations_ = 100'000;
        Limits limits;
        limits.max_buffered_bytes = most_buffered_bytes_;
        limits.max_buffered_operations = most_buffered_operations_;
        expect(!indexer_->change_limits(limits), "limits within their ranges are taken");
    }

    // ---- The sink ----

    bool sink_fails() {
        const bool fails = !calm_ && random_.below(10) < sink_trouble_;
        if (fails) mark(Mark::sink_failed);
        return fails;
    }
    bool sink_is_slow() {
        const bool slow = random_.below(10) < sink_trouble_;
        if (slow) mark(Mark::sink_slow);
        return slow;
    }
    void bury(std::span<const DeadLetter> letters) {
        for (const auto& letter : letters) {
            const auto lines = std::string{letter.action_line} + "\n" +
                               (letter.source.empty() ? "" : std::string{letter.source} + "\n");
            const auto found = read(lines);
            expect(found.size() == 1, "a dead letter is one operation");
            auto& op = operations_[found[0].number];
            // A sink that had not ended at a close's deadline may take it all the same.
            expect((op.accepted || op.waiting) && (op.settled == 0 || (closing_ && op.outcome == Outcome::rejected)),
                   "a dead letter is an operation that has not settled", op);
            expect(lines == op.sent_as, "a dead letter holds the bytes that were sent", op);
            op.buried = true;
        }
    }

    void pass(ManualClock::duration time) {
        run_what_is_ready();
        while (time > 0ns) {
            const auto by = std::min<ManualClock::duration>(time, time > 1s ? 100ms : 10ms);
            ManualClock::advance(by);
            time -= by;
            network();
            run_what_is_ready();
            check();
        }
        network();
        run_what_is_ready();
        check();
    }
    void run_what_is_ready() {
        std::size_t events = 0;
        context_.restart();
        while (context_.poll_one() != 0)
            expect(++events < 100'000, "an instant ends: no timer fires again and again without time passing");
        events_ += events;
    }
    void close(std::chrono::milliseconds timeout) {
        std::optional<CloseReport> report;
        bool second = false;
        closing_ = true;
        const auto began = ManualClock::now();
        indexer_->async_close(timeout, [&](error_code, CloseReport r) { report = std::move(r); });
        if (random_.once_in(3)) flush();
        indexer_->async_close(timeout + 1s, [&](error_code, const CloseReport&) { second = true; });
        for (int i = 0; i < 10'000 && !report; ++i) pass(10ms);
        expect(report.has_value(), "a close ends");
        expect(ManualClock::now() - began <= timeout + 20ms, "a close ends by its deadline");
        pass(100ms);
        expect(second, "every close ends");
        std::size_t handed_back = 0;
        for (const auto& batch : report->undelivered)
            for (const auto& one : read(batch->body())) {
                const auto& op = operations_[one.number];
                ++handed_back;
                expect(op.accepted && op.applied == 0, "what is handed back was not applied", op);
                expect(!op.told || (op.settled == 1 && op.outcome == Outcome::undelivered),
                       "what is handed back settled as undelivered", op);
            }
        check_heard(report->stats);
        if (!report->drained) mark(Mark::closed_early);
        if (handed_back != 0) mark(Mark::handed_back);
        expect(handed_back <= report->stats.undelivered, "no more is handed back than was undelivered");
        const auto stats = indexer_->stats();
        expect(stats.pending == 0 && stats.accepted == stats.settled(), "after a close the books balance");
        expect(stats.buffered_bytes == 0, "after a close nothing is held");
        const auto requests = script_->requests().size();
        pass(10s);
        expect(script_->requests().size() == requests, "nothing is sent after a close");
    }

    // ---- The network and the server ----

    std::optional<Answer> arrived(const SeenRequest& request) {
        const auto found = read(request.body);
        expect(found.size() == request.operations, "a request says how many operations it holds");
        expect(found.size() <= most_operations_, "a request holds no more operations than a batch may");
        expect(found.size() == 1 || request.body.size() <= most_bytes_, "a request is no larger than a batch may be");
        const auto now = ManualClock::now();
        expect(now == trouble_at_ || now >= quiet_until_, "an endpoint in trouble is left alone for a while");
        if (wished_ && now >= quiet_until_) mark(Mark::wish_kept);
        wished_ = wished_ && now < quiet_until_;
        coverage_.digest.sent(request.body, now.time_since_epoch());
        for (const auto& one : found) {
            auto& op = operations_[one.number];
            if (op.sent_as.empty()) op.sent_as = one.lines;
            expect(one.lines == op.sent_as, "an operation is sent again byte for byte", op);
            expect(!op.buried, "a dead letter is not sent again", op);
            if (options_.ordering == Ordering::per_id && !op.id.empty()) await_turn(op);
            expect(op.accepted || op.waiting, "only what was accepted is sent", op);
            expect(now >= op.not_before, "what was refused is sent again after its backoff", op);
            expect(op.charged - op.perhaps_charged < options_.retry.max_attempts || op.takes_time ||
                       with_sink_ || // floods take charges back
                       (op.nonsense_with_others && op.charged < options_.retry.max_attempts + most_halvings),
                   "no operation is sent again when its attempts ran out", op);
            expect(op.settled == 0, "what has settled is not sent again", op);
            expect(op.in_flight == 0, "an operation is in one request at a time", op);
            expect(!op.lost || op.repeatable || options_.duplicates == Duplicates::allow,
                   "what may have been applied is repeated only where that does no harm", op);
            ++op.sent;
            ++op.in_flight;
            if (found.size() != 1) op.failed_alone_at = never; // from now on it has a history with others
        }
        const auto position = script_->requests().size() - 1;
        const auto fate = choose_fate(request.body, found);
        ++coverage_.fate[std::size_t(fate)];
        auto answer = meet(fate, request.body, found, position);
        if (answer) landed(found);
        return answer;
    }
    /// An operation of an id is sent only when all before it have settled: which their observers learn in this step.
    void await_turn(const Op& op) {
        for (const auto earlier : by_id_[op.id]) {
            if (earlier == op.number) return;
            const auto& before = operations_[earlier];
            expect(before.in_flight == 0, "one operation of an id is under way", before);
            if (before.settled == 0 && before.told) must_settle_.push_back(earlier);
            if (before.settled == 0) mark(Mark::waited_for_id);
        }
    }
    Fate choose_fate(const std::string& body, const std::vector<Found>& found) {
        if (allowed_[std::size_t(Fate::too_large)] && body.size() > largest_body_) return Fate::too_large;
        for (const auto& one : found)
            if (operations_[one.number].poison) return Fate::malformed;
        for (const auto& one : found)
            if (operations_[one.number].unpassable) return Fate::unpassable;
        if (found.size() > most_at_once_) return Fate::too_many;
        if (calm_ || troubles_.empty() || random_.below(10) >= trouble_) return Fate::fine;
        return random_.pick(troubles_);
    }
    std::optional<Answer> meet(Fate fate, const std::string& body, const std::vector<Found>& found,
                               std::size_t position) {
        const auto some_time = std::chrono::milliseconds{random_.between(1, 5000)};
        const bool alone_now = std::exchange(landed_at_, ManualClock::now()) != ManualClock::now();
        switch (fate) {
        case Fate::fine: return whole(found, apply(found));
        case Fate::items_429: return whole(found, apply(found, {Refusal::capacity}));
        case Fate::items_refused: return whole(found, apply(found, some_refusals()));
        case Fate::too_many: failed_by_size_ = true; return fail_under_any_name(found, alone_now);
        case Fate::unpassable: return fail_under_any_name(found, alone_now);
        case Fate::refused: trouble(); return Answer::unreachable();
        case Fate::lost_before: return lose(found, random_.once_in(2) ? Sent::partial : Sent::complete);
        case Fate::lost_after: (void)apply(found); return lose(found, Sent::complete);
        case Fate::prefix: (void)apply(some_first(found)); return lose(found, Sent::partial);
        case Fate::late:
            later_.push_back({ManualClock::now() + some_time, position, std::nullopt, body});
            return lose(found, Sent::complete);
        case Fate::slow:
            later_.push_back({ManualClock::now() + some_time, position, apply(found), {}});
            return std::nullopt;
        case Fate::busy: return busy(found, alone_now);
        case Fate::unauthorized: trouble(); return Answer::status(random_.pick<unsigned>({401, 403, 407}), "{}");
        case Fate::misconfigured:
            trouble();
            return Answer::status(random_.pick<unsigned>({302, 404, 405, 415, 501}), "<html>nothing here</html>");
        case Fate::gateway:
            if (random_.once_in(2)) (void)apply(found);
            lost(found);
            return Answer::status(random_.once_in(2) ? 502 : 504, "<html>");
        case Fate::html:
            if (random_.once_in(2)) (void)apply(found);
            nonsense(found);
            return Answer::status(200, "<html>welcome</html>");
        case Fate::short_answer: {
            auto items = apply(found).text;
            items.pop_back();
            nonsense(found);
            return Answer::items(items);
        }
        case Fate::surplus: {
            auto items = apply(found).text;
            items.push_back(items.back());
            nonsense(found);
            return Answer::items(items);
        }
        case Fate::early:
            if (random_.once_in(2)) return early(busy(found, alone_now));
            // It looks like a success, and cannot be one: it came before all of the operations had.
            (void)apply(some_first(found));
            lost(found);
            return early(Answer::items(std::vector<std::string>(found.size(), item(201))));
        case Fate::oversized: {
            auto answer = Answer::items(apply(found).text);
            answer.body.resize(answer.body.size() / 2);
            answer.reply.body_complete = false;
            answer.reply.error = errc::answer_too_large;
            nonsense(found, true);
            return answer;
        }
        case Fate::too_large: {
            if (found.size() == 1) refused_alone(found);
            auto answer = Answer::status(413, "<html>too large</html>");
            return random_.once_in(2) ? early(std::move(answer)) : answer;
        }
        case Fate::malformed:
            refuse_malformed(found);
            return Answer::status(400, R"({"error":{"type":"illegal_argument_exception","reason":"no"},"status":400})");
        }
        return std::nullopt;
    }
    Answer whole(const std::vector<Found>& found, const Items& items) {
        judged(found, items);
        return Answer::items(items.text);
    }
    /// Always in one way in one life: what a proxy, a circuit breaker or a time-out makes of it.
    Answer fail_under_any_name(const std::vector<Found>& found, bool alone_now) {
        switch (bulky_failure_) {
        case 0:
        case 1: return busy(found, alone_now);
        case 2: return lose(found, Sent::partial);
        case 3: (void)apply(found); return lose(found, Sent::complete);
        default:
            if (random_.once_in(2)) (void)apply(found);
            lost(found);
            return Answer::status(504, "<html>");
        }
    }
    Answer busy(const std::vector<Found>& found, bool alone_now) {
        const auto wish = random_.once_in(2) ? std::optional{std::chrono::seconds{random_.below(10)}} : std::nullopt;
        const bool pauses = suspicious(found, Said::again);
        // What met trouble before in this instant has set the pause.
        if (wish && alone_now && pauses) {
            quiet_until_ = std::max<time_point>(
                quiet_until_, ManualClock::now() + std::min<ManualClock::duration>(*wish, options_.retry.max_backoff));
            wished_ = *wish != 0s;
        }
        return Answer::status(random_.once_in(2) ? 429 : 503, "busy", wish);
    }
    static Answer early(Answer answer) {
        answer.reply.error = errc::early_answer;
        answer.reply.sent = Sent::partial;
        return answer;
    }
    std::vector<Found> some_first(const std::vector<Found>& found) {
        return {found.begin(), found.begin() + std::ptrdiff_t(random_.below(found.size() + 1))};
    }
    std::vector<Refusal> some_refusals() {
        if (own_kind_ && random_.once_in(2)) return {*own_kind_};
        if (random_.once_in(2)) return {random_.pick(kinds_)};
        return kinds_;
    }
    /// Some servers read a bulk in pieces: what stands before the malformed operation is then applied.
    void refuse_malformed(const std::vector<Found>& found) {
        for (const auto& one : found) operations_[one.number].read = true;
        if (found.size() == 1 && lone_refusals_ < 32) {
            ++lone_refusals_;
            return refused_alone(found);
        }
        if (lone_refusals_ >= 32) trouble();
        if (random_.once_in(2)) return;
        const auto poison = std::find_if(found.begin(), found.end(),
                                         [this](const Found& one) { return operations_[one.number].poison; });
        const std::vector<Found> before{found.begin(), poison};
        for (const auto& one : before) operations_[one.number].half = true;
        if (!before.empty()) mark(Mark::half_applied);
        (void)apply(before);
    }
    void refused_alone(const std::vector<Found>& found) {
        auto& op = operations_[found[0].number];
        ++op.charged;
        op.said = Said::no;
    }
    /// The endpoint failed as a whole: no request in the next while.
    void trouble() {
        if (trouble_at_ == ManualClock::now()) return; // it knows already
        trouble_at_ = ManualClock::now();
        quiet_until_ = trouble_at_ + least_backoff_;
        wished_ = false;
    }
    /// A request failed in a way that a smaller one might not. The endpoint is to blame, and nothing is sent for a
    /// while, unless an operation of it failed before and others were taken since. A lone one is then charged for it.
    /// True when it is certainly the endpoint. `means`: what it means for an operation that is charged.
    bool suspicious(const std::vector<Found>& found, Said means) {
        const auto now = ManualClock::now();
        bool fresh = true;
        for (const auto& one : found) {
            auto& op = operations_[one.number];
            const auto before = std::exchange(op.failed_at, now);
            const auto alone_before = std::exchange(op.failed_alone_at, found.size() == 1 ? now : never);
            fresh = fresh && (before == never || !any_taken(before, now)) && (found.size() > 1 || !op.charged_alone);
            if (found.size() != 1 || alone_before == never) continue;
            if (!any_taken(alone_before, now) && !op.charged_alone) continue;
            // What happens in one instant may be seen in another order; when others failed too, nobody may be to blame.
            const bool others_failed = std::count_if(suspicious_at_.begin(), suspicious_at_.end(),
                                                     [&](auto at) { return at >= alone_before; }) > 1;
            if (others_failed || !any_taken(alone_before + 1ns, now - 1ns)) ++op.perhaps_charged;
            op.charged_alone = true;
            if (means != Said::done) ++op.charged; // an answer that is nonsense is charged anyway
            if (means != Said::done) op.said = means;
            op.takes_time = true;
            op.refused_since = std::min(op.refused_since, now);
            mark(Mark::charged_alone);
        }
        suspicious_at_.push_back(now);
        if (fresh) trouble();
        return fresh;
    }
    /// Whether a request was taken between these two times, both included.
    [[nodiscard]] bool any_taken(time_point from, time_point to) const {
        const auto first = std::lower_bound(taken_at_.begin(), taken_at_.end(), from);
        return first != taken_at_.end() && *first <= to;
    }
    /// A whole answer arrives.
    void judged(const std::vector<Found>& found, const Items& items) {
        lone_refusals_ = 0;
        if (std::any_of(items.said.begin(), items.said.end(),
                        [](Said said) { return said != Said::wait && said != Said::again; })) {
            taken_at_.push_back(ManualClock::now());
            for (const auto& one : found)
                operations_[one.number].failed_at = operations_[one.number].failed_alone_at = never;
            if (std::exchange(failed_by_size_, false)) mark(Mark::passed_smaller);
        } else if (found.size() == 1 && items.busy == 1) {
            (void)suspicious(found, Said::again);
            return;
        }
        for (std::size_t i = 0; i < found.size(); ++i) {
            auto& op = operations_[found[i].number];
            op.said = items.said[i];
            if (op.said != Said::wait) ++op.charged;
            if (op.said != Said::wait) op.nonsense_with_others = false;
            op.takes_time = items.text[i].find("\"status\":5") != std::string::npos;
            if (op.said != Said::wait && op.said != Said::again) continue;
            op.not_before = ManualClock::now() + least_backoff_;
            op.refused_since = std::min(op.refused_since, ManualClock::now());
        }
    }
    Answer lose(const std::vector<Found>& found, Sent sent) {
        lost(found);
        return Answer::lost(sent);
    }
    void lost(const std::vector<Found>& found, Said means = Said::nothing) {
        if (means != Said::no) (void)suspicious(found, means);
        for (const auto& one : found) {
            operations_[one.number].lost = true;
            operations_[one.number].said = Said::nothing;
        }
    }
    /// A success that proves nothing is an answer all the same.
    void nonsense(const std::vector<Found>& found, bool too_large = false) {
        if (!too_large) trouble();
        lost(found, too_large ? Said::done : Said::no);
        for (const auto& one : found) {
            ++operations_[one.number].charged;
            operations_[one.number].nonsense_with_others = found.size() > 1 && options_.retry.max_attempts > 1;
        }
    }
    void landed(const std::vector<Found>& found) {
        for (const auto& one : found) --operations_[one.number].in_flight;
    }
    /// Gives the model what the server takes, and returns an item for each operation. About half of what may be refused
    /// for these reasons is.
    Items apply(const std::vector<Found>& found, const std::vector<Refusal>& may_refuse = {}) {
        Items items{std::vector<std::string>(found.size()), std::vector<Said>(found.size()), 0};
        std::string body;
        std::vector<std::size_t> taken;
        for (std::size_t i = 0; i < found.size(); ++i) {
            const auto& op = operations_[found[i].number];
            if (op.bad) {
                items.text[i] = item(400, "document_parsing_exception");
                items.said[i] = discard_unparsable_ ? Said::never_mind : Said::no;
            } else if (!may_refuse.empty() && random_.once_in(2) && refuse(random_.pick(may_refuse), op, items, i)) {
                items.busy += items.text[i].find("es_rejected") != std::string::npos ? 1U : 0U;
            } else {
                body += found[i].lines;
                taken.push_back(i);
            }
        }
        if (taken.empty()) return items;
        const auto answer = boost::json::parse(server_.bulk(body).body);
        for (std::size_t i = 0; i < taken.size(); ++i) {
            const auto& item = answer.at("items").at(i);
            const auto& fields = item.as_object().begin()->value().as_object();
            auto& op = operations_[found[taken[i]].number];
            const auto* const error = fields.if_contains("error");
            if (error == nullptr) {
                ++op.applied;
                if (!op.id.empty()) last_applied_[op.id] = op.number;
                if (op.action == Action::update && op.repeatable) mark(Mark::doc_updated);
            }
            expect(op.applied <= 1 || op.repeatable || op.half || options_.duplicates == Duplicates::allow,
                   "a document without an id is not stored twice", op);
            items.text[taken[i]] = boost::json::serialize(item);
            items.said[taken[i]] = error == nullptr
                                       ? Said::done
                                       : meaning_of(op, fields.at("status").as_int64(), error->at("type").as_string());
        }
        return items;
    }
    /// Of what the model refuses.
    [[nodiscard]] Said meaning_of(const Op& op, std::int64_t status, std::string_view type) const {
        if (discard_unparsable_ && type == "document_parsing_exception") return Said::never_mind;
        if (status != 409) return Said::no;
        if (op.versioned) return Said::there;
        if (op.conditional) return Said::no;
        expect(op.action == Action::create || op.makes_id, "only what is created conflicts here", op);
        return op.already_there || op.makes_id || op.lost || op.read ? Said::there : Said::no;
    }
    /// False where this operation cannot be refused so.
    bool refuse(Refusal kind, const Op& op, Items& items, std::size_t at) {
        struct Line {
            unsigned status;
            const char* type;
            Said said;
        };
        static constexpr std::array<Line, refusals> lines{{{429, "es_rejected_execution_exception", Said::wait},
                                                           {429, "cluster_block_exception", Said::wait},
                                                           {403, "cluster_block_exception", Said::wait},
                                                           {403, "security_exception", Said::wait},
                                                           {401, "security_exception", Said::wait},
                                                           {408, "timeout_exception", Said::again},
                                                           {425, "too_early_exception", Said::again},
                                                           {503, "unavailable_shards_exception", Said::wait},
                                                           {500, "illegal_state_exception", Said::again},
                                                           {409, "resource_busy_exception", Said::again},
                                                           {409, "version_conflict_engine_exception", Said::again},
                                                           {403, "index_closed_exception", Said::no},
                                                           {422, "house_rule_exception", Said::as_done},
                                                           {422, "house_rule_exception", Said::there},
                                                           {422, "house_rule_exception", Said::again},
                                                           {422, "house_rule_exception", Said::wait},
                                                           {422, "house_rule_exception", Said::wait},
                                                           {422, "house_rule_exception", Said::no},
                                                           {422, "house_rule_exception", Said::never_mind}}};
        if (kind == Refusal::lost_race &&
            (op.versioned || op.conditional || op.makes_id || op.action == Action::create))
            return false;
        const auto& line = lines[std::size_t(kind)];
        items.text[at] =
            item(line.status + (kind == Refusal::unavailable ? unsigned(random_.below(2)) : 0U), line.type);
        items.said[at] = line.said;
        ++coverage_.refusal[std::size_t(kind)];
        return true;
    }
    void network() {
        for (std::size_t i = 0; i < later_.size();) {
            if (later_[i].due > ManualClock::now() && !calm_) {
                ++i;
                continue;
            }
            auto event = std::move(later_[i]);
            later_.erase(later_.begin() + std::ptrdiff_t(i));
            if (!event.apply.empty()) (void)apply(read(event.apply));
            if (event.answer && !script_->requests()[event.position].answered) {
                const auto found = read(script_->requests()[event.position].body);
                landed(found);
                landed_at_ = ManualClock::now();
                script_->answer(event.position, whole(found, *event.answer));
            }
        }
    }

    // ---- What must hold ----

    /// A reader of bulk bodies of its own: pairs of lines, by the number in the source or in a delete's id.
    std::vector<Found> read(std::string_view body) const {
        std::vector<Found> found;
        expect(!body.empty() && body.back() == '\n', "a body ends with a newline");
        while (!body.empty()) {
            const auto action_end = body.find('\n') + 1;
            const auto action = body.substr(0, action_end);
            const bool has_source = !action.starts_with("{\"delete\"");
            const auto end = has_source ? body.find('\n', action_end) + 1 : action_end;
            expect(end != 0, "an action is followed by its source");
            const std::string_view sign = has_source ? "{\"n\":" : "\"gone-";
            const auto text = has_source ? body.substr(action_end, end - action_end) : action;
            const auto at = text.find(sign);
            expect(at != std::string_view::npos, "a line is one that was handed in");
            const auto number = std::stoull(std::string{text.substr(at + sign.size(), 20)});
            expect(number < operations_.size(), "an operation is one that was handed in");
            const auto& op = operations_[number];
            if (has_source) expect(text.substr(0, text.size() - 1) == op.source, "a source travels byte for byte", op);
            expect((op.id.empty() && !op.makes_id) == (action.find("\"_id\"") == std::string_view::npos) &&
                       action.find(op.id) != std::string_view::npos,
                   "an id travels with its own operation", op);
            found.push_back({number, body.substr(0, end)});
            body.remove_prefix(end);
        }
        return found;
    }
    void settled(const Settlement& told) {
        expect(told.key < operations_.size(), "a settlement is for an operation that was handed in");
        auto& op = operations_[told.key];
        ++coverage_.outcome[std::size_t(told.outcome)];
        coverage_.digest.settled(told.key, told.outcome, ManualClock::now().time_since_epoch());
        op.outcome = told.outcome;
        expect(told.attempts <= op.charged && (told.attempts + op.perhaps_charged >= op.charged || with_sink_),
               "attempts are counted by operation, wherever it travels", op);
        const auto least_time =
            options_.retry.max_attempts == 1 ? 0ms : std::min(options_.retry.min_retry_time, options_.retry.max_age);
        const bool exhausted = op.said == Said::again && op.charged >= options_.retry.max_attempts &&
                               (!op.takes_time || ManualClock::now() - op.refused_since >= least_time);
        if (exhausted) mark(Mark::attempts_ended);
        expect(op.told, "who is gone is told nothing", op);
        expect(op.accepted && ++op.settled == 1, "an accepted operation settles once", op);
        switch (told.outcome) {
        case Outcome::indexed:
            if (op.said == Said::as_done) break;
            expect(op.applied > 0, "what is reported as indexed was applied before", op);
            expect(told.status < 300 || (told.status == 404 && op.action == Action::delete_),
                   "a success is reported with its own status", op);
            break;
        case Outcome::superseded:
            expect(op.said == Said::there, "what is reported as superseded is said to be there", op);
            break;
        case Outcome::dead_lettered:
            expect(op.buried, "a dead letter settles when the sink has taken it", op);
            expect(op.applied == 0 || op.perhaps_there(), "a dead letter was not applied", op);
            expect(op.said == Said::no || exhausted, "a dead letter was refused for good", op);
            break;
        case Outcome::dropped:
            expect(options_.overflow == Overflow::drop_oldest && op.sent == 0, "what is dropped was never sent", op);
            break;
        case Outcome::rejected: // what the server says of an attempt, it does not say of one before that was lost
            expect(op.applied == 0 || op.perhaps_there(), "what is reported as rejected was not applied", op);
            expect(op.said == Said::no || op.said == Said::never_mind || exhausted,
                   "what is reported as rejected was refused for good", op);
            expect(!with_sink_ || closing_ || op.said == Said::never_mind, "what is refused for good goes to the sink",
                   op);
            expect(told.status >= 400, "a refusal is reported with its own status", op);
            break;
        case Outcome::undelivered:
            expect(op.applied == 0, "what is reported as undelivered was not applied", op);
            break;
        case Outcome::unknown:
            expect(op.lost || op.read || op.in_flight != 0, "unknown is what was sent and not answered", op);
            break;
        }
    }
    void hear(const IndexerEvent& event) {
        using What = IndexerEvent::Kind;
        const auto now = ManualClock::now();
        if (now != heard_at_) {
            expect(now - heard_at_ >= 1s || closing_, "an operator is told at most once a second");
            heard_at_ = now;
            heard_now_.clear();
        }
        const auto text = to_text(event);
        const auto what = text.find_first_not_of("0123456789");
        expect(what != text.npos && (heard_now_.insert(text.substr(what)).second || closing_),
               "an operator is told of each kind and class once");
        expect((event.count == 0) == (event.kind == What::health), "what is told is told with its count");
        if (event.kind == What::health) {
            expect(event.health != heard_health_, "a health is told when it is another");
            heard_health_ = event.health;
        }
        if (event.kind == What::operations_ended) heard_ended_[std::size_t(event.outcome)] += event.count;
        heard_[std::size_t(event.kind)] += event.count;
    }
    /// Everything was told exactly once.
    void check_heard(const Stats& stats) const {
        if (!options_.on_event) return;
        using What = IndexerEvent::Kind;
        const auto heard = [&](What kind) { return heard_[std::size_t(kind)]; };
        const auto ended = [&](Outcome outcome) { return heard_ended_[std::size_t(outcome)]; };
        expect(heard(What::requests_failed) == stats.failed_requests &&
                   heard(What::operations_failed) == stats.operation_failures.total() &&
                   heard(What::refused) == stats.refused() && ended(Outcome::rejected) == stats.rejected &&
                   ended(Outcome::dead_lettered) == stats.dead_lettered && ended(Outcome::dropped) == stats.dropped &&
                   ended(Outcome::undelivered) == stats.undelivered && ended(Outcome::unknown) == stats.unknown &&
                   heard_health_ == stats.health,
               "before a close ends, an operator was told of everything once");
        if (stats.failed_requests != 0) mark(Mark::told_operator);
    }
    /// The store ends with the last of each id that was applied, when every attempt was answered.
    void check_order() {
        if (options_.ordering != Ordering::per_id) return;
        for (const auto& [id, numbers] : by_id_) {
            std::uint64_t last = 0;
            bool certain = true;
            bool any = false;
            for (const auto number : numbers) {
                const auto& op = operations_[number];
                certain = certain && !op.lost && op.applied <= 1 && op.told;
                if (op.applied == 0) continue;
                any = true;
                last = number;
            }
            if (!certain || !any) continue;
            mark(Mark::order_proven);
            expect(last_applied_[id] == last, "the store ends with the last operation of an id", operations_[last]);
        }
    }
    void check() {
        if (!broken_.empty()) throw Broken{broken_};
        const auto stats = indexer_->stats();
        expect(stats.offered + waiting_ == operations_.size() && stats.offered == stats.accepted + stats.refused() &&
                   stats.accepted == stats.settled() + stats.pending,
               "the counters add up");
        expect(stats.settle_time.count() == stats.settled() &&
                   stats.request_failures.total() == stats.failed_requests &&
                   stats.request_time.count() + stats.in_flight <= stats.requests &&
                   stats.queue_time.count() <= stats.requests,
               "what is counted by time and by class is all that is counted");
        while (oldest_ < operations_.size() && (operations_[oldest_].settled != 0 || !operations_[oldest_].told ||
                                                (!operations_[oldest_].accepted && !operations_[oldest_].waiting)))
            ++oldest_;
        if (oldest_ < operations_.size() && operations_[oldest_].accepted)
            expect(stats.oldest_pending >= ManualClock::now() - operations_[oldest_].since,
                   "the oldest pending operation's age is told", operations_[oldest_]);
        if (stats.pending == 0) expect(stats.oldest_pending == 0ns, "without a pending operation there is no age");
        if (stats.pending == 0 && !closing_) { // and nothing is ready to run: every observer has returned
            expect(indexer_->has_room(stats.buffered_bytes_limit - Batch::operation_overhead),
                   "when nothing is pending, what fits the budget is taken");
            expect(waiting_ == 0, "when nothing is pending, nobody waits for room");
        }
        expect(stats.oldest_dead_letter <= (stats.dead_letters_waiting == 0 ? 0ns : stats.oldest_pending),
               "a dead letter's age is told while it waits for the sink");
        expect(stats.buffered_bytes <= most_buffered_bytes_, "the byte budget holds");
        expect(stats.pending <= most_buffered_operations_, "the operation budget holds");
        expect(stats.in_flight <= most_in_flight_, "no more requests are in flight than may be");
        ++coverage_.health[std::size_t(stats.health)];
        for (const auto number : must_settle_)
            expect(operations_[number].settled == 1 || !operations_[number].told,
                   "an operation of an id waits until the one before it has settled", operations_[number]);
        must_settle_.clear();
    }
    void mark(Mark what) const { ++coverage_.mark[std::size_t(what)]; }
    // What is thrown out of an observer or a transport the indexer takes care of, so it is remembered as well.
    void expect(bool holds, const char* promise) const {
        if (!holds) fail(promise);
    }
    void expect(bool holds, const char* promise, const Op& op) const {
        if (holds) return;
        fail(std::string{promise} + " (operation " + std::to_string(op.number) + ", id '" + op.id + "', sent " +
             std::to_string(op.sent) + " times, applied " + std::to_string(op.applied) + ", charged " +
             std::to_string(op.charged) + ", settled " + std::to_string(op.settled) +
             (op.settled != 0 ? " as " + std::string{to_string(op.outcome)} : "") +
             (op.lost ? ", an answer was lost" : "") + ")");
    }
    void fail(const std::string& promise) const {
        if (broken_.empty()) broken_ = promise;
        throw Broken{broken_};
    }

    Random random_;
    Coverage& coverage_;
    IndexerOptions options_;
    std::array<bool, fates> allowed_{true};
    std::vector<Fate> troubles_;
    std::size_t trouble_ = 0; ///< of ten requests
    static constexpr auto no_limit = static_cast<std::size_t>(-1);
    std::size_t most_at_once_ = no_limit;   ///< operations of a request that is taken
    std::size_t bulky_failure_ = 0;         ///< how a larger one fails
    bool failed_by_size_ = false;           ///< since the last request that was taken
    std::vector<time_point> taken_at_;      ///< requests
    std::vector<time_point> suspicious_at_; ///< requests failed
    std::size_t unpassable_ = 0;            ///< operations that no request is taken with
    std::size_t largest_body_ = 0;          ///< of which a 413 follows
    bool calm_ = false;
    bool closing_ = false;
    bool with_sink_ = false;
    bool patient_ = false;            ///< there is little room, and producers wait for it
    bool stream_ = false;             ///< everything goes to a data stream
    bool lone_poison_ = false;        ///< the one thing that is wrong is one operation
    bool discard_unparsable_ = false; ///< by a rule of the user's
    std::optional<Refusal> own_kind_; ///< by a rule of the user's
    std::vector<Refusal> kinds_;      ///< for which items may be refused
    ManualClock::duration least_backoff_{};
    time_point trouble_at_ = time_point::min();  ///< when the endpoint last failed as a whole
    time_point quiet_until_ = time_point::min(); ///< then it is asked again, at the earliest
    bool wished_ = false;                        ///< because it said so
    time_point landed_at_ = time_point::min();   ///< the last request
    std::size_t lone_refusals_ = 0;              ///< 400s for single operations since an answer was one item for each
    std::size_t waiting_ = 0;                    ///< operations that wait for room
    time_point heard_at_ = time_point{} - 1h;    ///< an operator, last
    std::set<std::string> heard_now_;            ///< then
    std::array<std::uint64_t, 5> heard_{};       ///< by kind
    std::array<std::uint64_t, outcome_count> heard_ended_{};
    Health heard_health_ = Health::ok;
    std::uint64_t events_ = 0;     ///< handlers that ran
    bool called_back_ = false;     ///< the observer enqueues and throws
    std::size_t sink_trouble_ = 0; ///< of ten writes
    std::size_t one_in_bad_ = 25;
    std::size_t flushes_ = 0; ///< that have not completed
    std::size_t most_operations_ = 0;
    std::size_t most_bytes_ = 0;
    std::size_t most_in_flight_ = 0;
    std::size_t oldest_ = 0; ///< all before it have settled, or are not told, or were not accepted
    std::size_t most_buffered_bytes_ = 0;
    std::size_t most_buffered_operations_ = 0;
    mutable std::string broken_; ///< the first promise that was
    ModelElasticsearch server_;
    std::deque<Op> operations_; ///< by number; an observer adds to them while one is looked at
    std::map<std::string, std::vector<std::uint64_t>> by_id_; ///< what was accepted, in order
    std::map<std::string, std::uint64_t> last_applied_;
    std::vector<std::uint64_t> must_settle_;
    std::vector<Later> later_;
    asio::io_context context_;
    std::shared_ptr<Script> script_ = std::make_shared<Script>();
    std::optional<BulkIndexer<ScriptedTransport, ManualClock>> indexer_;
    Subscription subscription_;
};

} // namespace bulkhead::inline v1::test::simulation
