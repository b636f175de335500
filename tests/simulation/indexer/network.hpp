// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/endpoint_oracle.hpp"
#include "simulation/indexer/faulty_endpoint.hpp"
#include "simulation/indexer/life.hpp"
#include "simulation/indexer/oracle.hpp"
#include "simulation/kit/faulty_network.hpp"
#include <bulkhead/test/scripted_transport.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// What becomes of each request on its way to the server and back.
namespace bulkhead::inline v1::test::simulation {

class Network {
public:
    Network(Life& life, Oracle& oracle, std::shared_ptr<Script> script)
        : life_{life}, oracle_{oracle}, script_{std::move(script)}, endpoint_{life}, answers_{life} {}

    std::optional<Answer> arrived(const SeenRequest& request) {
        auto& expect = life_.expect;
        const auto found = life_.operations.read(request.body);
        expect(found.size() == request.operations, "a request says how many operations it holds");
        expect(found.size() <= life_.bounds.batch_operations, "a request holds no more operations than a batch may");
        expect(found.size() == 1 || request.body.size() <= life_.bounds.batch_bytes,
               "a request is no larger than a batch may be");
        answers_.request_arrived();
        life_.coverage.digest.sent(request.body, ManualClock::now().time_since_epoch());
        oracle_.sent(found);
        const auto fate = choose_fate(request.body, found);
        life_.coverage.fates.count(fate);
        auto answer = meet(fate, request.body, found);
        if (answer) oracle_.landed(found);
        return answer;
    }
    /// What was under way for some time arrives.
    void deliver() {
        later_.deliver(life_.calm, [this](Later& event) {
            if (!event.apply.empty()) (void)endpoint_.apply(life_.operations.read(event.apply));
            if (!event.answer || script_->requests()[event.position].answered) return;
            const auto found = life_.operations.read(script_->requests()[event.position].body);
            oracle_.landed(found);
            (void)answers_.landed();
            script_->answer(event.position, whole(found, *event.answer));
        });
    }
    [[nodiscard]] bool empty() const noexcept { return later_.empty(); }

private:
    struct Later {
        std::size_t position = 0;
        std::optional<Items> answer;
        std::string apply;
    };

    Fate choose_fate(const std::string& body, const std::vector<Found>& found) {
        const auto& scenario = life_.scenario;
        if (scenario.faults.allows(Fate::too_large) && body.size() > scenario.max_body_taken) return Fate::too_large;
        for (const auto& one : found)
            if (life_.operations[one].poison) return Fate::malformed;
        for (const auto& one : found)
            if (life_.operations[one].unpassable) return Fate::unpassable;
        if (found.size() > scenario.max_operations_taken) return Fate::too_many;
        return scenario.faults.draw(life_.random, life_.calm);
    }
    std::optional<Answer> meet(Fate fate, const std::string& body, const std::vector<Found>& found) {
        auto& random = life_.random;
        const auto some_time = std::chrono::milliseconds{random.between(1, 5000)};
        const bool alone_now = answers_.landed();
        switch (fate) {
        case Fate::fine: return whole(found, endpoint_.apply(found));
        case Fate::items_429: return whole(found, endpoint_.apply(found, {Refusal::capacity}));
        case Fate::items_refused: return whole(found, endpoint_.apply(found, endpoint_.some_refusals()));
        case Fate::too_many: answers_.failed_by_size(); return fail_under_any_name(found, alone_now);
        case Fate::unpassable: return fail_under_any_name(found, alone_now);
        case Fate::refused: answers_.trouble(); return Answer::unreachable();
        case Fate::lost_before: return lose(found, random.once_in(2) ? Sent::partial : Sent::complete);
        case Fate::lost_after: (void)endpoint_.apply(found); return lose(found, Sent::complete);
        case Fate::prefix: (void)endpoint_.apply(endpoint_.some_first(found)); return lose(found, Sent::partial);
        case Fate::late:
            later_.add(ManualClock::now() + some_time, {position(), std::nullopt, body});
            return lose(found, Sent::complete);
        case Fate::slow:
            later_.add(ManualClock::now() + some_time, {position(), endpoint_.apply(found), {}});
            return std::nullopt;
        case Fate::busy: return busy(found, alone_now);
        case Fate::unauthorized:
            answers_.trouble();
            return Answer::status(random.pick<unsigned>({401, 403, 407}), "{}");
        case Fate::misconfigured:
            answers_.trouble();
            return Answer::status(random.pick<unsigned>({302, 404, 405, 415, 501}), "<html>nothing here</html>");
        case Fate::gateway:
            if (random.once_in(2)) (void)endpoint_.apply(found);
            answers_.lost(found);
            return Answer::status(random.once_in(2) ? 502 : 504, "<html>");
        case Fate::early: return answer_early(found, alone_now);
        case Fate::html:
        case Fate::short_answer:
        case Fate::surplus:
        case Fate::oversized: return answer_nonsense(fate, found);
        case Fate::too_large: return refuse_by_size(found);
        case Fate::malformed: return refuse_malformed(found);
        }
        return std::nullopt;
    }
    [[nodiscard]] std::size_t position() const { return script_->requests().size() - 1; }
    Answer whole(const std::vector<Found>& found, const Items& items) {
        answers_.judged(found, items);
        return Answer::items(items.text);
    }
    Answer lose(const std::vector<Found>& found, Sent sent) {
        answers_.lost(found);
        return Answer::lost(sent);
    }
    /// Always in one way in one life: what a proxy, a circuit breaker or a time-out makes of it.
    Answer fail_under_any_name(const std::vector<Found>& found, bool alone_now) {
        switch (life_.scenario.bulky_failure) {
        case 0:
        case 1: return busy(found, alone_now);
        case 2: return lose(found, Sent::partial);
        case 3: (void)endpoint_.apply(found); return lose(found, Sent::complete);
        default:
            if (life_.random.once_in(2)) (void)endpoint_.apply(found);
            answers_.lost(found);
            return Answer::status(504, "<html>");
        }
    }
    Answer busy(const std::vector<Found>& found, bool alone_now) {
        auto& random = life_.random;
        const auto wish = random.once_in(2) ? std::optional{std::chrono::seconds{random.below(10)}} : std::nullopt;
        answers_.busy(found, alone_now, wish);
        return Answer::status(random.once_in(2) ? 429 : 503, "busy", wish);
    }
    static Answer early(Answer answer) {
        answer.reply.error = errc::early_answer;
        answer.reply.sent = Sent::partial;
        return answer;
    }
    Answer answer_early(const std::vector<Found>& found, bool alone_now) {
        if (life_.random.once_in(2)) return early(busy(found, alone_now));
        // It looks like a success, and cannot be one: it came before all of the operations had.
        (void)endpoint_.apply(endpoint_.some_first(found));
        answers_.lost(found);
        return early(Answer::items(std::vector<std::string>(found.size(), item(201))));
    }
    Answer answer_nonsense(Fate fate, const std::vector<Found>& found) {
        if (fate == Fate::html) {
            if (life_.random.once_in(2)) (void)endpoint_.apply(found);
            answers_.nonsense(found);
            return Answer::status(200, "<html>welcome</html>");
        }
        auto items = endpoint_.apply(found).text;
        if (fate == Fate::short_answer) items.pop_back();
        if (fate == Fate::surplus) items.push_back(items.back());
        auto answer = Answer::items(items);
        if (fate == Fate::oversized) {
            answer.body.resize(answer.body.size() / 2);
            answer.reply.body_complete = false;
            answer.reply.error = errc::answer_too_large;
        }
        answers_.nonsense(found, fate == Fate::oversized);
        return answer;
    }
    Answer refuse_by_size(const std::vector<Found>& found) {
        if (found.size() == 1) answers_.refused_alone(found);
        auto answer = Answer::status(413, "<html>too large</html>");
        return life_.random.once_in(2) ? early(std::move(answer)) : answer;
    }
    /// Some servers read a bulk in pieces: what stands before the malformed operation is then applied.
    Answer refuse_malformed(const std::vector<Found>& found) {
        if (answers_.malformed(found) && !life_.random.once_in(2)) {
            const auto poison = std::find_if(found.begin(), found.end(),
                                             [this](const Found& one) { return life_.operations[one].poison; });
            const std::vector<Found> before{found.begin(), poison};
            for (const auto& one : before) life_.operations[one].half = true;
            if (!before.empty()) life_.mark(Mark::half_applied);
            (void)endpoint_.apply(before);
        }
        return Answer::status(400, R"({"error":{"type":"illegal_argument_exception","reason":"no"},"status":400})");
    }

    Life& life_;
    Oracle& oracle_;
    std::shared_ptr<Script> script_;
    FaultyEndpoint endpoint_;
    EndpointOracle answers_;
    LateEvents<Later> later_;
};

} // namespace bulkhead::inline v1::test::simulation
