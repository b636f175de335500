// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/coverage.hpp"
#include "simulation/kafka/facts.hpp"
#include "simulation/kafka/scenario.hpp"
#include "simulation/kit/expectations.hpp"
#include "simulation/kit/faulty_sink.hpp"
#include "simulation/kit/random.hpp"
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/model_kafka.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

/// What all parts of one consumer group's life share.
namespace bulkhead::inline v1::test::simulation {

using Log = ModelKafka::Log;
using Time = ManualClock::time_point;

/// What the simulation has seen of the group's committed offset of a log.
struct GroupOffset {
    std::int64_t proven = 0; ///< committed, and everything below it was checked
    bool stale = false;      ///< it is of before the log was created again or truncated
    std::size_t sets = 0;    ///< how often a member had set it
};

struct KafkaWorld {
    KafkaWorld(std::uint64_t seed, KafkaCoverage& to) : random{seed}, coverage{to} {
        ManualClock::reset();
        group.resize(kafka.logs());
    }
    KafkaWorld(const KafkaWorld&) = delete;
    KafkaWorld& operator=(const KafkaWorld&) = delete;

    void mark(KafkaMark what) noexcept { coverage.marks.count(what); }
    void count(KafkaPolicy what) noexcept { coverage.policies.count(what); }
    [[nodiscard]] Log log_of(const ModelRecord& record) const { return kafka.find(record.topic, record.partition); }
    [[nodiscard]] std::int64_t committed(Log log) const { return kafka.committed(log).value_or(0); }

    /// Calls `f()`, which must not let time pass: no member that polls may be held up.
    template <class F>
    auto still(F f) -> decltype(f()) {
        struct Check {
            const Expectations& expect;
            Time began = ManualClock::now();
            ~Check() {
                if (ManualClock::now() != began) expect.note("I25: nothing but a revoke waits");
            }
        } const check{expect};
        return f();
    }
    /// Calls `f(lines, found)` for each operation in a body, by a reader of its own.
    template <class F>
    void for_each_line(std::string_view body, F f) {
        expect(!body.empty() && body.back() == '\n', "I5: a body ends with a newline");
        while (!body.empty()) {
            const auto action_end = body.find('\n');
            const auto action = body.substr(0, action_end);
            const bool has_source = !action.starts_with("{\"delete\"");
            const auto end = has_source ? body.find('\n', action_end + 1) : action_end;
            expect(end != std::string_view::npos, "I5: an action is followed by its source");
            const auto source = has_source ? body.substr(action_end + 1, end - action_end - 1) : std::string_view{};
            const auto found = facts.read(action, source);
            expect(found.record != nullptr && found.fact().source == source, "I5: an operation is one that was mapped");
            f(body.substr(0, end + 1), found);
            body.remove_prefix(end + 1);
        }
    }
    std::vector<Facts::Found> read_lines(std::string_view body) {
        std::vector<Facts::Found> all;
        for_each_line(body, [&](std::string_view, const Facts::Found& found) { all.push_back(found); });
        return all;
    }

    Random random;
    KafkaCoverage& coverage;
    Expectations expect;
    ModelKafka kafka{random.once_in(2) ? Rebalancing::eager : Rebalancing::cooperative};
    KafkaScenario scenario = KafkaScenarioChooser{random, kafka}();
    Facts facts{kafka};
    ModelElasticsearch server;
    std::vector<GroupOffset> group;                  ///< by log
    bool calm = false;                               ///< the faults have ended
    std::size_t waiting = 0;                         ///< revokes that wait
    std::uint64_t handlers = 0;                      ///< that ran
    std::function<void(ManualClock::duration)> tick; ///< time passes for everything
};

/// Whether dead letters get where they go; also what an indexer's own sink does, for `FaultySink`.
class LetterFaults {
public:
    explicit LetterFaults(KafkaWorld& world) : world_{world} {}
    [[nodiscard]] bool fails() { return trouble(); }
    [[nodiscard]] bool is_slow() { return trouble(); }

    SinkAttempt begin_write() { return {std::chrono::milliseconds{is_slow() ? 200 : 0}, false}; }
    error_code end_write(SinkAttempt /*attempt*/, std::span<const DeadLetter> letters) {
        if (fails()) {
            world_.mark(KafkaMark::sink_failed);
            return errc::sink_full;
        }
        world_.expect.noting([&] {
            for (const auto& letter : letters) record(letter);
        });
        return {};
    }

private:
    [[nodiscard]] bool trouble() { return !world_.calm && world_.random.below(10) < world_.scenario.letter_trouble; }
    void record(const DeadLetter& letter) {
        const auto found = world_.facts.read(letter.action_line, letter.source);
        world_.expect(found.record != nullptr, "a dead letter is an operation of ours");
        found.fact().dead_lettered = true;
        ++world_.coverage.letters;
    }

    KafkaWorld& world_;
};

} // namespace bulkhead::inline v1::test::simulation
