// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/world.hpp"
#include "simulation/kit/faulty_network.hpp"
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What becomes of each request of a member on its way to the server and back.
namespace bulkhead::inline v1::test::simulation {

class KafkaNetwork {
public:
    explicit KafkaNetwork(KafkaWorld& world) : world_{world} {}

    std::optional<Answer> arrived(const std::shared_ptr<Script>& script, const SeenRequest& request) {
        std::optional<Answer> answer;
        world_.expect.noting([&] {
            const auto found = world_.read_lines(request.body);
            world_.coverage.digest.sent(request.body, ManualClock::now().time_since_epoch());
            world_.expect(found.size() == request.operations, "a request says how many operations it holds");
            const auto fate = choose_fate(request.body, found);
            world_.coverage.fates.count(fate);
            answer = meet(script, fate, request.body);
        });
        return answer;
    }
    /// What was under way for some time arrives.
    void deliver() {
        later_.deliver(world_.calm, [this](Later& event) {
            const auto script = event.script.lock();
            if (!event.apply.empty()) {
                (void)apply(event.apply, false);
                if (!script) world_.mark(KafkaMark::applied_late);
            }
            if (script && event.answer && !script->requests()[event.position].answered)
                script->answer(event.position, std::move(*event.answer));
        });
    }
    [[nodiscard]] bool empty() const noexcept { return later_.empty(); }

private:
    struct Later {
        std::weak_ptr<Script> script; ///< null when the sender is dead
        std::size_t position = 0;
        std::optional<Answer> answer;
        std::string apply;
    };

    Fate choose_fate(const std::string& body, const std::vector<Facts::Found>& found) {
        const auto& scenario = world_.scenario;
        if (scenario.faults.allows(Fate::too_large) && body.size() > scenario.max_body_taken) return Fate::too_large;
        for (const auto& one : found)
            if (one.record->kind == Kind::poison) return Fate::malformed;
        return scenario.faults.draw(world_.random, world_.calm);
    }
    std::optional<Answer> meet(const std::shared_ptr<Script>& script, Fate fate, const std::string& body) {
        auto& random = world_.random;
        const auto some_time = std::chrono::milliseconds{random.between(1, 2000)};
        const auto position = script->requests().size() - 1;
        const auto later = [&](auto time, std::optional<Answer> answer, std::string to_apply) {
            later_.add(ManualClock::now() + time, {script, position, std::move(answer), std::move(to_apply)});
        };
        switch (fate) {
        case Fate::fine: return Answer::items(apply(body, false));
        case Fate::items_429: return Answer::items(apply(body, true));
        case Fate::refused: return Answer::unreachable();
        case Fate::lost_before: return Answer::lost(random.once_in(2) ? Sent::partial : Sent::complete);
        case Fate::lost_after: (void)apply(body, false); return Answer::lost(Sent::complete);
        case Fate::prefix: (void)apply(body, false, random.below(10)); return Answer::lost(Sent::partial);
        case Fate::late:
            later(some_time, std::nullopt, body);
            if (random.once_in(2)) return Answer::lost(Sent::complete);
            later(some_time * 2, Answer::lost(Sent::complete), {});
            return std::nullopt;
        case Fate::slow: later(some_time, Answer::items(apply(body, false)), {}); return std::nullopt;
        case Fate::busy: return busy();
        case Fate::unauthorized: return Answer::status(401, "{}");
        case Fate::gateway:
            if (random.once_in(2)) (void)apply(body, false);
            return Answer::status(random.once_in(2) ? 502 : 504, "<html>");
        case Fate::html:
            if (random.once_in(2)) (void)apply(body, false);
            return Answer::status(200, "<html>welcome</html>");
        case Fate::short_answer:
        case Fate::surplus: return answer_nonsense(fate, body);
        case Fate::too_large: return Answer::status(413, "<html>too large</html>");
        case Fate::malformed:
            return Answer::status(400, R"({"error":{"type":"illegal_argument_exception","reason":"no"},"status":400})");
        default: return Answer::unreachable();
        }
    }
    Answer busy() {
        const auto status =
            world_.random.once_in(2) ? 429U : 503U; // statements, since compilers order arguments otherwise
        const auto wish =
            world_.random.once_in(2) ? std::optional{std::chrono::seconds{world_.random.below(3)}} : std::nullopt;
        return Answer::status(status, "busy", wish);
    }
    Answer answer_nonsense(Fate fate, const std::string& body) {
        auto items = apply(body, false);
        if (fate == Fate::short_answer) {
            items.pop_back();
        } else {
            items.push_back(items.back());
        }
        return Answer::items(items);
    }
    /// Gives the model what the server takes, at most so many operations, and returns an item for each operation.
    std::vector<std::string> apply(std::string_view body, bool refuse_some, std::size_t max = std::size_t(-1)) {
        std::vector<std::string> items;
        std::vector<std::pair<std::size_t, Facts::Found>> taken;
        std::string rest;
        world_.for_each_line(body, [&](std::string_view lines, const Facts::Found& found) {
            const bool refused =
                found.record->kind == Kind::bad && found.operation + 1 == found.record->operations.size();
            if (items.size() >= max) return;
            if (refused) {
                items.push_back(item(400, "document_parsing_exception"));
            } else if (refuse_some && world_.random.once_in(2)) {
                items.push_back(item(429, "es_rejected_execution_exception"));
            } else {
                rest += lines;
                taken.emplace_back(items.size(), found);
                items.emplace_back();
            }
        });
        if (taken.empty()) return items;
        const auto answer = boost::json::parse(world_.server.bulk(rest).body);
        for (std::size_t i = 0; i < taken.size(); ++i) {
            const auto& result = answer.at("items").at(i);
            if (!result.as_object().begin()->value().as_object().contains("error"))
                world_.facts.applied(taken[i].second);
            items[taken[i].first] = boost::json::serialize(result);
        }
        return items;
    }

    KafkaWorld& world_;
    LateEvents<Later> later_;
};

} // namespace bulkhead::inline v1::test::simulation
