// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <deque>
#include <map>
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
    std::size_t below(std::size_t limit) noexcept { return static_cast<std::size_t>(next() % limit); }
    std::size_t between(std::size_t least, std::size_t most) noexcept { return least + below(most - least + 1); }
    bool once_in(std::size_t times) noexcept { return below(times) == 0; }
    template <class T>
    const T& pick(const std::vector<T>& choices) noexcept {
        return choices[below(choices.size())];
    }

private:
    std::uint64_t state_;
};

/// What may happen to a request. Each seed allows some of it.
enum class Fate : std::uint8_t {
    fine,         ///< applied and answered, item by item
    items_429,    ///< the same, but some items are refused for lack of capacity
    refused,      ///< no connection
    lost_before,  ///< sent, not applied, no answer
    lost_after,   ///< sent, applied, no answer
    prefix,       ///< a part was applied, no answer
    late,         ///< no answer, and applied some time later
    slow,         ///< applied, and answered some time later
    busy,         ///< 429 or 503 as a whole, not applied
    unauthorized, ///< 401
    gateway,      ///< 502 or 504 from a proxy, applied or not
    html,         ///< 200 with something else than a bulk answer, applied or not
    short_answer, ///< applied, an item is missing
    surplus,      ///< applied, an item too many
    too_large,    ///< 413, by the request's size
    malformed,    ///< 400, because of one of the operations
};
inline constexpr std::size_t fates = 16;
inline constexpr std::array<std::string_view, fates> fate_names{
    "fine", "items_429",    "refused", "lost_before", "lost_after", "prefix",  "late", "slow",
    "busy", "unauthorized", "gateway", "html",        "short",      "surplus", "413",  "400"};

/// What else must have happened.
enum class Mark : std::uint8_t {
    sent_again,     ///< an operation
    waited_for_id,  ///< an operation, for an earlier one of its id
    order_proven,   ///< the store ended with the last operation of an id
    sink_failed,    ///< the dead-letter sink
    sink_slow,      ///< it took its time
    flooded,        ///< the health said so
    limits_changed, ///< while it ran
    flushed,        ///< a flush completed, and what came before it had settled
    flush_late,     ///< a flush came to its deadline
    closed_early,   ///< a close gave something up
    handed_back,    ///< and handed operations back
    called_back,    ///< an observer enqueued
    threw,          ///< an observer threw
    told_nobody,    ///< a subscription was gone
};
inline constexpr std::size_t marks = 14;
inline constexpr std::array<std::string_view, marks> mark_names{
    "sent again", "waited for an id", "order proven", "sink failed", "sink slow",   "flooded", "limits changed",
    "flushed",    "flush late",       "closed early", "handed back", "called back", "threw",   "told nobody"};

/// What was seen, over all seeds: a simulation in which something never happened proves nothing about it.
struct Coverage {
    std::array<std::uint64_t, fates> fate{};
    std::array<std::uint64_t, outcome_count> outcome{};
    std::array<std::uint64_t, marks> mark{};
    std::uint64_t operations = 0;
    std::uint64_t requests = 0;
};

class Broken : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Simulation {
public:
    Simulation(std::uint64_t seed, Coverage& coverage) : random_{seed}, coverage_{coverage} {
        ManualClock::reset();
        choose();
        indexer_.emplace(context_.get_executor(), ScriptedTransport{script_}, options_,
                         with_sink_ ? DeadLetters{Sink{*this}} : DeadLetters{});
        subscription_ = subscribe();
        script_->respond = [this](const SeenRequest& request) { return arrived(request); };
    }
    Simulation(const Simulation&) = delete;
    Simulation& operator=(const Simulation&) = delete;

    void run() {
        const auto steps = random_.between(5, 60);
        for (std::size_t i = 0; i < steps; ++i) step();
        if (random_.once_in(4)) {
            close(std::chrono::milliseconds{random_.below(3000)}); // in the middle of it all
        } else {
            calm_ = true;
            make_room(); // a flood that fills the buffer keeps out what would end it
            for (int i = 0; i < 20'000 && indexer_->stats().pending != 0; ++i) {
                if (i % 100 == 99) put_good(); // a flood ends with what is good
                pass(i < 1000 ? 10ms : 1s);
            }
            expect(indexer_->stats().pending == 0, "without faults everything settles");
            check_order();
            close(5s);
        }
        expect(flushes_ == 0, "every flush completes");
        for (const auto& op : operations_) {
            expect(op.settled == (op.accepted && op.told ? 1 : 0),
                   "an accepted operation settles exactly once, no other ever", op);
            if (op.sent > 1) mark(Mark::sent_again);
        }
        coverage_.operations += operations_.size();
        coverage_.requests += script_->requests().size();
    }

private:
    struct Op {
        std::uint64_t number = 0;
        Action action{};
        std::string id;
        std::string source;
        bool repeatable = false; ///< sending it twice leaves the store as once does
        bool poison = false;     ///< the server refuses any request that holds it
        bool bad = false;        ///< the server refuses it as an item
        bool accepted = false;
        bool lost = false;     ///< it was sent, and no proof came back
        bool read = false;     ///< a request with it was refused as malformed, perhaps after a part of it was applied
        bool told = true;      ///< its subscription is there
        bool buried = false;   ///< the sink has taken it
        bool makes_id = false; ///< the indexer gives it an id
        std::string sent_as{}; ///< its lines, when it was sent first
        int settled = 0;
        int applied = 0;
        int in_flight = 0;
        int sent = 0;
        Outcome outcome{};
    };
    /// An operation as it was found in a request.
    struct Found {
        std::uint64_t number = 0;
        std::string_view lines;
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
        std::optional<Answer> answer;
        std::string apply;
    };

    void choose() {
        options_.index = "logs";
        options_.max_batch_operations = random_.between(1, 30);
        options_.max_batch_bytes = random_.between(1024, 8000);
        options_.max_in_flight = random_.between(1, 6);
        options_.max_buffered_bytes = random_.between(65'536, 200'000);
        options_.max_buffered_operations = random_.between(50, 2000);
        options_.flush_interval = std::chrono::milliseconds{random_.between(1, 500)};
        options_.retry.max_attempts = static_cast<std::uint32_t>(random_.between(1, 6));
        options_.retry.initial_backoff = std::chrono::milliseconds{random_.between(1, 200)};
        options_.retry.max_backoff = std::chrono::milliseconds{random_.between(200, 5000)};
        options_.retry.max_age =
            random_.once_in(2) ? unlimited : std::chrono::milliseconds{random_.between(500, 20'000)};
        options_.duplicates = random_.pick<Duplicates>({Duplicates::forbid, Duplicates::allow, Duplicates::client_id});
        options_.ordering = random_.once_in(3) ? Ordering::per_id : Ordering::none;
        options_.overflow = random_.once_in(5) ? Overflow::drop_oldest : Overflow::refuse;
        options_.retry.budget_percent = static_cast<std::uint32_t>(random_.below(3) * 10);
        options_.min_in_flight = random_.between(1, options_.max_in_flight);
        options_.flood.operations = random_.between(5, 200);
        options_.flood.percent = static_cast<std::uint32_t>(random_.between(20, 60));
        with_sink_ = random_.once_in(2);
        if (with_sink_) sink_trouble_ = random_.below(5);
        called_back_ = random_.once_in(4);
        most_operations_ = options_.max_batch_operations;
        most_bytes_ = options_.max_batch_bytes;
        most_in_flight_ = options_.max_in_flight;
        most_buffered_bytes_ = options_.max_buffered_bytes;
        most_buffered_operations_ = options_.max_buffered_operations;
        one_in_bad_ = with_sink_ && random_.once_in(4) ? 2 : 25;
        for (std::size_t fate = 1; fate < fates; ++fate) {
            allowed_[fate] = random_.once_in(3);
            if (allowed_[fate] && Fate(fate) < Fate::too_large) troubles_.push_back(Fate(fate));
        }
        trouble_ = random_.between(1, 6);
        largest_body_ = random_.between(600, 6000);
    }

    // ---- The producers ----

    void step() {
        for (auto count = random_.below(30); count != 0; --count) put();
        if (random_.once_in(10)) indexer_->flush();
        if (random_.once_in(10)) flush();
        if (random_.once_in(20)) change_limits();
        if (random_.once_in(40)) leave();
        if (random_.once_in(20)) largest_body_ = random_.between(100, 6000); // a proxy was configured anew
        pass(std::chrono::milliseconds{random_.below(200)});
    }
    void put() {
        Op op;
        op.number = operations_.size();
        const auto n = std::to_string(op.number);
        op.poison = allowed_[std::size_t(Fate::malformed)] && random_.once_in(40);
        op.bad = !op.poison && random_.once_in(one_in_bad_);
        op.source = "{\"n\":" + n + ",\"t\":\"" + std::string(random_.below(120), 'x') + "\"}";
        Operation made;
        switch (random_.below(8)) {
        case 0: // the server makes the id, or the indexer
            op.action = random_.once_in(2) ? Action::index : Action::create;
            op.makes_id = op.repeatable = options_.duplicates == Duplicates::client_id;
            break;
        case 1: // an id that others use too: the last one to arrive wins
            op.action = Action::index;
            op.id = "shared-" + std::to_string(random_.below(8));
            op.repeatable = true;
            break;
        case 2:
            op.action = Action::create;
            op.id = "once-" + n;
            op.repeatable = true;
            made.on_conflict = OnConflict::already_there;
            break;
        case 3:
            op.action = Action::delete_;
            op.id = "gone-" + n;
            op.repeatable = true;
            op.source.clear();
            break;
        case 4:
            op.action = Action::index;
            op.id = "versioned-" + std::to_string(random_.below(4));
            op.repeatable = true;
            made.version = static_cast<std::int64_t>(op.number + 1);
            break;
        case 5: // a script would run twice
            op.action = Action::update;
            op.id = "shared-" + std::to_string(random_.below(8));
            op.source = R"({"script":{"source":"ctx._source.n++"},"upsert":)" + op.source + "}";
            break;
        case 6: // a condition would conflict with itself
            op.action = Action::index;
            op.id = "shared-" + std::to_string(random_.below(8));
            made.if_seq_no = static_cast<std::int64_t>(random_.below(20));
            made.if_primary_term = 1;
            break;
        default:
            op.action = Action::index;
            op.id = "own-" + n;
            op.repeatable = true;
        }
        if (op.action == Action::delete_) op.bad = op.poison = false;
        made.action = op.action;
        made.source = op.source;
        if (!op.id.empty()) made.id = op.id;
        enqueue(std::move(op), made);
    }
    void put_good() {
        for (int i = 0; i < 10; ++i) {
            Op op;
            op.number = operations_.size();
            op.source = "{\"n\":" + std::to_string(op.number) + "}";
            op.id = "good-" + std::to_string(op.number);
            op.repeatable = true;
            Operation made;
            made.id = op.id;
            made.source = op.source;
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
        if (random_.once_in(8)) {
            Batch scratch;
            expect(!scratch.append(made, options_.index), "a well-formed operation is taken", kept);
            kept.accepted = indexer_->try_enqueue(scratch, subscription_.ticket(number)) == Admission::accepted;
        } else {
            kept.accepted = indexer_->try_enqueue(made, subscription_.ticket(number)) == Admission::accepted;
        }
        if (kept.accepted && !kept.id.empty()) by_id_[kept.id].push_back(number);
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
            if (op.settled == 0 && std::exchange(op.told, false)) mark(Mark::told_nobody);
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
                expect(!operations_[i].accepted || !operations_[i].told || operations_[i].settled == 1,
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
            expect(op.accepted && (op.settled == 0 || (closing_ && op.outcome == Outcome::rejected)),
                   "a dead letter is an operation that has not settled", op);
            expect(lines == op.sent_as, "a dead letter holds the bytes that were sent", op);
            op.buried = true;
        }
    }

    void pass(ManualClock::duration time) {
        run_ready(context_);
        while (time > 0ns) {
            const auto by = std::min<ManualClock::duration>(time, time > 1s ? 100ms : 10ms);
            ManualClock::advance(by);
            time -= by;
            network();
            run_ready(context_);
            check();
        }
        network();
        run_ready(context_);
        check();
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
        if (!report->drained) mark(Mark::closed_early);
        if (handed_back != 0) mark(Mark::handed_back);
        expect(handed_back <= report->stats.undelivered, "no more is handed back than was undelivered");
        const auto stats = indexer_->stats();
        expect(stats.pending == 0 && stats.accepted == stats.settled(), "after a close the books balance");
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
        for (const auto& one : found) {
            auto& op = operations_[one.number];
            if (op.sent_as.empty()) op.sent_as = one.lines;
            expect(one.lines == op.sent_as, "an operation is sent again byte for byte", op);
            expect(!op.buried, "a dead letter is not sent again", op);
            if (options_.ordering == Ordering::per_id && !op.id.empty()) await_turn(op);
            expect(op.accepted, "only what was accepted is sent", op);
            expect(op.settled == 0, "what has settled is not sent again", op);
            expect(op.in_flight == 0, "an operation is in one request at a time", op);
            expect(!op.lost || op.repeatable || options_.duplicates == Duplicates::allow,
                   "what may have been applied is repeated only where that does no harm", op);
            ++op.sent;
            ++op.in_flight;
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
        if (calm_ || troubles_.empty() || random_.below(10) >= trouble_) return Fate::fine;
        return random_.pick(troubles_);
    }
    std::optional<Answer> meet(Fate fate, const std::string& body, const std::vector<Found>& found,
                               std::size_t position) {
        const auto some_time = std::chrono::milliseconds{random_.between(1, 5000)};
        switch (fate) {
        case Fate::fine: return Answer::items(apply(found, false));
        case Fate::items_429: return Answer::items(apply(found, true));
        case Fate::refused: return Answer::unreachable();
        case Fate::lost_before: return lose(found, random_.once_in(2) ? Sent::partial : Sent::complete);
        case Fate::lost_after: (void)apply(found, false); return lose(found, Sent::complete);
        case Fate::prefix:
            (void)apply({found.begin(), found.begin() + std::ptrdiff_t(random_.below(found.size() + 1))}, false);
            return lose(found, Sent::partial);
        case Fate::late:
            later_.push_back({ManualClock::now() + some_time, position, std::nullopt, body});
            return lose(found, Sent::complete);
        case Fate::slow:
            later_.push_back({ManualClock::now() + some_time, position, Answer::items(apply(found, false)), {}});
            return std::nullopt;
        case Fate::busy:
            return Answer::status(random_.once_in(2) ? 429 : 503, "busy",
                                  random_.once_in(2) ? std::optional{std::chrono::seconds{random_.below(10)}}
                                                     : std::nullopt);
        case Fate::unauthorized: return Answer::status(401, "{}");
        case Fate::gateway:
            if (random_.once_in(2)) (void)apply(found, false);
            lost(found);
            return Answer::status(random_.once_in(2) ? 502 : 504, "<html>");
        case Fate::html:
            if (random_.once_in(2)) (void)apply(found, false);
            lost(found);
            return Answer::status(200, "<html>welcome</html>");
        case Fate::short_answer: {
            auto items = apply(found, false);
            items.pop_back();
            lost(found);
            return Answer::items(items);
        }
        case Fate::surplus: {
            auto items = apply(found, false);
            items.push_back(items.back());
            lost(found);
            return Answer::items(items);
        }
        case Fate::too_large: return Answer::status(413, "<html>too large</html>");
        case Fate::malformed:
            for (const auto& one : found) operations_[one.number].read = true;
            return Answer::status(400, R"({"error":{"type":"illegal_argument_exception","reason":"no"},"status":400})");
        }
        return std::nullopt;
    }
    Answer lose(const std::vector<Found>& found, Sent sent) {
        lost(found);
        return Answer::lost(sent);
    }
    void lost(const std::vector<Found>& found) {
        for (const auto& one : found) operations_[one.number].lost = true;
    }
    void landed(const std::vector<Found>& found) {
        for (const auto& one : found) --operations_[one.number].in_flight;
    }
    /// Gives the model what the server takes, and returns an item for each operation.
    std::vector<std::string> apply(const std::vector<Found>& found, bool refuse_some) {
        std::vector<std::string> items(found.size());
        std::string body;
        std::vector<std::size_t> taken;
        for (std::size_t i = 0; i < found.size(); ++i) {
            const auto& op = operations_[found[i].number];
            if (op.bad) {
                items[i] = item(400, "document_parsing_exception");
            } else if (refuse_some && random_.once_in(2)) {
                items[i] = item(429, "es_rejected_execution_exception");
            } else {
                body += found[i].lines;
                taken.push_back(i);
            }
        }
        if (taken.empty()) return items;
        const auto answer = boost::json::parse(server_.bulk(body).body);
        for (std::size_t i = 0; i < taken.size(); ++i) {
            const auto& item = answer.at("items").at(i);
            auto& op = operations_[found[taken[i]].number];
            if (!item.as_object().begin()->value().as_object().contains("error")) {
                ++op.applied;
                if (!op.id.empty()) last_applied_[op.id] = op.number;
            }
            expect(op.applied <= 1 || op.repeatable || options_.duplicates == Duplicates::allow,
                   "a document without an id is not stored twice", op);
            items[taken[i]] = boost::json::serialize(item);
        }
        return items;
    }
    void network() {
        for (std::size_t i = 0; i < later_.size();) {
            if (later_[i].due > ManualClock::now() && !calm_) {
                ++i;
                continue;
            }
            auto event = std::move(later_[i]);
            later_.erase(later_.begin() + std::ptrdiff_t(i));
            if (!event.apply.empty()) (void)apply(read(event.apply), false);
            if (event.answer && !script_->requests()[event.position].answered) {
                landed(read(script_->requests()[event.position].body));
                script_->answer(event.position, std::move(*event.answer));
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
        op.outcome = told.outcome;
        expect(op.told, "who is gone is told nothing", op);
        expect(op.accepted && ++op.settled == 1, "an accepted operation settles once", op);
        switch (told.outcome) {
        case Outcome::indexed:
            expect(op.applied > 0, "what is reported as indexed was applied before", op);
            expect(told.status < 300 || (told.status == 404 && op.action == Action::delete_),
                   "a success is reported with its own status", op);
            break;
        case Outcome::superseded:
            expect(!op.id.empty() || op.makes_id, "only what has an id can be superseded", op);
            break;
        case Outcome::dead_lettered:
            expect(op.buried, "a dead letter settles when the sink has taken it", op);
            expect(op.applied == 0 || op.lost, "a dead letter was not applied", op);
            break;
        case Outcome::dropped:
            expect(options_.overflow == Overflow::drop_oldest && op.sent == 0, "what is dropped was never sent", op);
            break;
        case Outcome::rejected: // what the server says of an attempt, it does not say of one before that was lost
            expect(op.applied == 0 || op.lost, "what is reported as rejected was not applied", op);
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
        expect(stats.offered == operations_.size() && stats.offered == stats.accepted + stats.refused() &&
                   stats.accepted == stats.settled() + stats.pending,
               "the counters add up");
        expect(stats.buffered_bytes <= most_buffered_bytes_, "the byte budget holds");
        expect(stats.pending <= most_buffered_operations_, "the operation budget holds");
        expect(stats.in_flight <= most_in_flight_, "no more requests are in flight than may be");
        if (stats.health == Health::flooded) mark(Mark::flooded);
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
             std::to_string(op.sent) + " times, applied " + std::to_string(op.applied) + ", settled " +
             std::to_string(op.settled) + (op.settled != 0 ? " as " + std::string{to_string(op.outcome)} : "") +
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
    std::size_t trouble_ = 0;      ///< of ten requests
    std::size_t largest_body_ = 0; ///< of which a 413 follows
    bool calm_ = false;
    bool closing_ = false;
    bool with_sink_ = false;
    bool called_back_ = false;     ///< the observer enqueues and throws
    std::size_t sink_trouble_ = 0; ///< of ten writes
    std::size_t one_in_bad_ = 25;
    std::size_t flushes_ = 0; ///< that have not completed
    std::size_t most_operations_ = 0;
    std::size_t most_bytes_ = 0;
    std::size_t most_in_flight_ = 0;
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
