// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// One seeded life of a `BulkIndexer` in virtual time, against a model of Elasticsearch behind a network that does what
/// networks do. After every step the promises are checked by code that shares nothing with the library.
namespace simulation {

using namespace std::chrono_literals;
using namespace bulkhead;
using test::Answer;
using test::ManualClock;

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

/// What was seen, over all seeds: a simulation in which something never happened proves nothing about it.
struct Coverage {
    std::array<std::uint64_t, fates> fate{};
    std::array<std::uint64_t, outcome_count> outcome{};
    std::uint64_t operations = 0;
    std::uint64_t requests = 0;
    std::uint64_t repeated = 0; ///< operations that were sent more than once
};

class Broken : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Simulation {
public:
    Simulation(std::uint64_t seed, Coverage& coverage) : random_{seed}, coverage_{coverage} {
        ManualClock::reset();
        choose();
        indexer_.emplace(context_.get_executor(), test::ScriptedTransport{script_}, options_);
        subscription_ = indexer_->subscribe(context_.get_executor(), [this](std::span<const Settlement> told) {
            for (const auto& one : told) settled(one);
        });
        script_->respond = [this](const test::SeenRequest& request) { return arrived(request); };
    }

    void run() {
        const auto steps = random_.between(5, 60);
        for (std::size_t i = 0; i < steps; ++i) step();
        if (random_.once_in(4)) {
            close(std::chrono::milliseconds{random_.below(3000)}); // in the middle of it all
        } else {
            calm_ = true;
            for (int i = 0; i < 20'000 && indexer_->stats().pending != 0; ++i) pass(i < 1000 ? 10ms : 1s);
            expect(indexer_->stats().pending == 0, "without faults everything settles");
            close(5s);
        }
        for (const auto& op : operations_) {
            expect(op.settled == (op.accepted ? 1 : 0), "an accepted operation settles exactly once, no other ever",
                   op);
            coverage_.repeated += op.sent > 1 ? 1U : 0U;
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
        bool lost = false; ///< it was sent, and no proof came back
        bool read = false; ///< a request with it was refused as malformed, perhaps after a part of it was applied
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
        options_.duplicates = random_.once_in(3) ? Duplicates::allow : Duplicates::forbid;
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
        if (random_.once_in(20)) largest_body_ = random_.between(100, 6000); // a proxy was configured anew
        pass(std::chrono::milliseconds{random_.below(200)});
    }
    void put() {
        Op op;
        op.number = operations_.size();
        const auto n = std::to_string(op.number);
        op.poison = allowed_[std::size_t(Fate::malformed)] && random_.once_in(40);
        op.bad = !op.poison && random_.once_in(25);
        op.source = "{\"n\":" + n + ",\"t\":\"" + std::string(random_.below(120), 'x') + "\"}";
        Operation made;
        switch (random_.below(6)) {
        case 0: // the server makes the id
            op.action = random_.once_in(2) ? Action::index : Action::create;
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
        default:
            op.action = Action::index;
            op.id = "own-" + n;
            op.repeatable = true;
        }
        if (op.action == Action::delete_) op.bad = op.poison = false;
        made.action = op.action;
        made.source = op.source;
        if (!op.id.empty()) made.id = op.id;
        operations_.push_back(op);
        operations_.back().accepted =
            indexer_->try_enqueue(made, subscription_.ticket(op.number)) == Admission::accepted;
    }

    void pass(ManualClock::duration time) {
        test::run_ready(context_);
        while (time > 0ns) {
            const auto by = std::min<ManualClock::duration>(time, time > 1s ? 100ms : 10ms);
            ManualClock::advance(by);
            time -= by;
            network();
            test::run_ready(context_);
            check();
        }
        network();
        test::run_ready(context_);
        check();
    }
    void close(std::chrono::milliseconds timeout) {
        std::optional<CloseReport> report;
        indexer_->async_close(timeout, [&](error_code, CloseReport r) { report = std::move(r); });
        for (int i = 0; i < 10'000 && !report; ++i) pass(10ms);
        expect(report.has_value(), "a close ends by its deadline");
        pass(100ms);
        const auto stats = indexer_->stats();
        expect(stats.pending == 0 && stats.accepted == stats.settled(), "after a close the books balance");
        const auto requests = script_->requests().size();
        pass(10s);
        expect(script_->requests().size() == requests, "nothing is sent after a close");
    }

    // ---- The network and the server ----

    std::optional<Answer> arrived(const test::SeenRequest& request) {
        const auto found = read(request.body);
        expect(found.size() == request.operations, "a request says how many operations it holds");
        expect(found.size() <= options_.max_batch_operations, "a request holds no more operations than a batch may");
        expect(found.size() == 1 || request.body.size() <= options_.max_batch_bytes,
               "a request is no larger than a batch may be");
        for (const auto& one : found) {
            auto& op = operations_[one.number];
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
                items[i] = test::item(400, "document_parsing_exception");
            } else if (refuse_some && random_.once_in(2)) {
                items[i] = test::item(429, "es_rejected_execution_exception");
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
            if (!item.as_object().begin()->value().as_object().contains("error")) ++op.applied;
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
            const std::string_view mark = has_source ? "{\"n\":" : "\"gone-";
            const auto text = has_source ? body.substr(action_end, end - action_end) : action;
            const auto at = text.find(mark);
            expect(at != std::string_view::npos, "a line is one that was handed in");
            const auto number = std::stoull(std::string{text.substr(at + mark.size(), 20)});
            expect(number < operations_.size(), "an operation is one that was handed in");
            const auto& op = operations_[number];
            if (has_source) expect(text.substr(0, text.size() - 1) == op.source, "a source travels byte for byte", op);
            expect(op.id.empty() == (action.find("\"_id\"") == std::string_view::npos) &&
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
        expect(op.accepted && ++op.settled == 1, "an accepted operation settles once", op);
        switch (told.outcome) {
        case Outcome::indexed:
            expect(op.applied > 0, "what is reported as indexed was applied before", op);
            expect(told.status < 300 || (told.status == 404 && op.action == Action::delete_),
                   "a success is reported with its own status", op);
            break;
        case Outcome::superseded: expect(!op.id.empty(), "only what has an id can be superseded", op); break;
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
        default: expect(false, "no other outcome was asked for", op);
        }
    }
    void check() const {
        if (!broken_.empty()) throw Broken{broken_};
        const auto stats = indexer_->stats();
        expect(stats.offered == operations_.size() && stats.offered == stats.accepted + stats.refused() &&
                   stats.accepted == stats.settled() + stats.pending,
               "the counters add up");
        expect(stats.buffered_bytes <= options_.max_buffered_bytes, "the byte budget holds");
        expect(stats.pending <= options_.max_buffered_operations, "the operation budget holds");
        expect(stats.in_flight <= options_.max_in_flight, "no more requests are in flight than may be");
    }
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
    mutable std::string broken_; ///< the first promise that was
    test::ModelElasticsearch server_;
    std::vector<Op> operations_;
    std::vector<Later> later_;
    asio::io_context context_;
    std::shared_ptr<test::Script> script_ = std::make_shared<test::Script>();
    std::optional<BulkIndexer<test::ScriptedTransport, ManualClock>> indexer_;
    Subscription subscription_;
};

} // namespace simulation
