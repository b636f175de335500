// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/event_oracle.hpp"
#include "simulation/indexer/invariants.hpp"
#include "simulation/indexer/life.hpp"
#include "simulation/indexer/network.hpp"
#include "simulation/indexer/oracle.hpp"
#include "simulation/indexer/producers.hpp"
#include "simulation/kit/faulty_sink.hpp"
#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

/// One seeded life of a `BulkIndexer` in virtual time, against a model of Elasticsearch behind a network that does what
/// networks do. After every step the promises are checked by code that shares nothing with the library.
///
///     Coverage coverage;
///     Simulation{seed, coverage}.run(); // throws `Broken`, which names the promise and the operation
///
/// A seed lives the same life on every machine.
namespace bulkhead::inline v1::test::simulation {

using namespace std::chrono_literals;

class Simulation {
public:
    Simulation(std::uint64_t seed, Coverage& coverage) : life_{seed, coverage} {
        script_->respond = [this](const SeenRequest& request) { return network_.arrived(request); };
    }
    Simulation(const Simulation&) = delete;
    Simulation& operator=(const Simulation&) = delete;

    void run() {
        if (life_.scenario.lone_poison) {
            find_lone_poison();
        } else {
            live();
        }
        invariants_.check_end();
        life_.coverage.operations += life_.operations.size();
        life_.coverage.requests += requests();
    }

private:
    void live() {
        auto& random = life_.random;
        const auto steps = random.between(5, 60);
        for (std::size_t i = 0; i < steps; ++i) step();
        if (random.once_in(4)) return close(std::chrono::milliseconds{random.below(3000)}); // while all of it goes on
        life_.calm = true;
        make_room(); // a flood that fills the buffer keeps out what would end it
        for (int i = 0; i < 20'000 && (indexer_.stats().pending != 0 || producers_.waiting() != 0); ++i) {
            if (i % 100 == 99) producers_.put_good(); // a flood ends with what is good
            pass(i < 1000 ? 10ms : 1s);
        }
        life_.expect(indexer_.stats().pending == 0, "without faults everything settles");
        oracle_.check_order();
        if (network_.empty() && random.once_in(3)) be_idle();
        close(5s);
    }
    /// A malformed operation among good ones, and no other fault: it alone is refused, and found in so many requests as
    /// halving takes.
    void find_lone_poison() {
        const auto count = life_.options().max_batch_operations;
        const auto place = life_.random.below(count);
        for (std::size_t i = 0; i < count; ++i) producers_.put_good(i == place);
        for (int i = 0; i < 1000 && indexer_.stats().pending != 0; ++i) pass(10ms);
        const auto levels =
            static_cast<std::size_t>(std::numeric_limits<std::size_t>::digits - std::countl_zero(count - 1));
        life_.expect(requests() <= 2 * levels + 1, "a lone malformed operation is found by halving");
        for (const auto& op : life_.operations) {
            const bool in_doubt = op.outcome == Outcome::unknown && op.action == Action::create && !op.already_there &&
                                  op.applied == 1; // a conflict with itself looks like one with another document
            const bool refused = op.outcome == Outcome::rejected || op.outcome == Outcome::dead_lettered;
            const bool indexed = op.outcome == Outcome::indexed || op.outcome == Outcome::superseded || in_doubt;
            life_.expect(op.settled == 1 && (op.poison ? refused : indexed),
                         "a malformed operation does its neighbours no harm", op);
        }
        life_.mark(Mark::lone_poison);
        be_idle();
        close(5s);
    }
    /// Nothing is left to do: then nothing is done.
    void be_idle() {
        const auto before = events_;
        const auto sent = requests();
        pass(5s);
        life_.expect(events_ - before <= 4, "an idle indexer arms no timers");
        life_.expect(requests() == sent, "an idle indexer sends nothing");
        invariants_.check_idle();
        life_.mark(Mark::idle);
    }
    void step() {
        auto& random = life_.random;
        for (auto count = random.below(30); count != 0; --count) producers_.put();
        if (random.once_in(10)) indexer_.flush();
        if (random.once_in(life_.scenario.patient ? 2 : 10)) producers_.flush();
        if (random.once_in(20)) change_limits();
        if (random.once_in(40)) producers_.replace_observer();
        if (random.once_in(20)) life_.scenario.max_body_taken = random.between(100, 6000); // a proxy's new setting
        pass(std::chrono::milliseconds{random.below(200)});
    }
    void change_limits() {
        auto& random = life_.random;
        life_.mark(Mark::limits_changed);
        Limits limits;
        limits.max_batch_operations = random.between(1, 30);
        limits.max_batch_bytes = random.between(1024, 8000);
        limits.max_in_flight = random.between(1, 6);
        limits.min_in_flight = 1;
        limits.flush_interval = std::chrono::milliseconds{random.between(1, 500)};
        limits.max_buffered_bytes = random.between(65'536, 200'000);
        limits.max_buffered_operations = random.between(50, 2000);
        apply(limits);
    }
    void make_room() {
        Limits limits;
        limits.max_buffered_bytes = std::size_t{4} << 20U;
        limits.max_buffered_operations = 100'000;
        apply(limits);
    }
    void apply(const Limits& limits) {
        life_.bounds.raise(limits);
        life_.expect(!indexer_.change_limits(limits), "limits within their ranges are taken");
    }
    void close(std::chrono::milliseconds timeout) {
        std::optional<CloseReport> report;
        bool second = false;
        life_.closing = true;
        const auto began = ManualClock::now();
        indexer_.async_close(timeout, [&](error_code, CloseReport r) { report = std::move(r); });
        if (life_.random.once_in(3)) producers_.flush();
        indexer_.async_close(timeout + 1s, [&](error_code, const CloseReport&) { second = true; });
        for (int i = 0; i < 10'000 && !report; ++i) pass(10ms);
        life_.expect(report.has_value(), "a close ends");
        life_.expect(ManualClock::now() - began <= timeout + 20ms, "a close ends by its deadline");
        pass(100ms);
        life_.expect(second, "every close ends");
        check_report(*report);
        invariants_.check_closed();
        const auto sent = requests();
        pass(10s);
        life_.expect(requests() == sent, "nothing is sent after a close");
    }
    void check_report(const CloseReport& report) {
        std::size_t handed_back = 0;
        for (const auto& batch : report.undelivered)
            for (const auto& one : life_.operations.read(batch->body())) {
                const auto& op = life_.operations[one];
                ++handed_back;
                life_.expect(op.accepted && op.applied == 0, "what is handed back was not applied", op);
                life_.expect(!op.observed || (op.settled == 1 && op.outcome == Outcome::undelivered),
                             "what is handed back settled as undelivered", op);
            }
        event_oracle_.check(report.stats);
        if (!report.drained) life_.mark(Mark::closed_early);
        if (handed_back != 0) life_.mark(Mark::handed_back);
        life_.expect(handed_back <= report.stats.undelivered, "no more is handed back than was undelivered");
    }

    // ---- Time ----

    void pass(ManualClock::duration time) {
        run_what_is_ready();
        while (time > 0ns) {
            const auto by = std::min<ManualClock::duration>(time, time > 1s ? 100ms : 10ms);
            ManualClock::advance(by);
            time -= by;
            settle_down();
        }
        settle_down();
    }
    void settle_down() {
        network_.deliver();
        run_what_is_ready();
        invariants_.check();
    }
    void run_what_is_ready() {
        std::size_t events = 0;
        context_.restart();
        while (context_.poll_one() != 0)
            life_.expect(++events < 100'000, "an instant ends: no timer fires again and again without time passing");
        events_ += events;
    }
    [[nodiscard]] std::size_t requests() const { return script_->requests().size(); }
    [[nodiscard]] const IndexerOptions& options_with_events() {
        auto& options = life_.scenario.options;
        if (options.max_batch_bytes % 2 == 0)
            options.on_event = [this](const IndexerEvent& event) { event_oracle_.on_event(event); };
        return options;
    }
    [[nodiscard]] DeadLetters sink() {
        return life_.scenario.with_sink ? DeadLetters{FaultySink{sink_faults_}} : DeadLetters{};
    }

    Life life_;
    Oracle oracle_{life_};
    EventOracle event_oracle_{life_};
    SinkFaults sink_faults_{life_, oracle_};
    asio::io_context context_;
    std::shared_ptr<Script> script_ = std::make_shared<Script>();
    Network network_{life_, oracle_, script_};
    SimulatedIndexer indexer_{context_.get_executor(), ScriptedTransport{script_}, options_with_events(), sink()};
    Producers producers_{life_, oracle_, indexer_, context_.get_executor()};
    Invariants invariants_{life_, oracle_, indexer_, producers_};
    std::uint64_t events_ = 0; ///< handlers that ran
};

} // namespace bulkhead::inline v1::test::simulation
