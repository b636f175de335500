// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/auditor.hpp"
#include "simulation/kafka/network.hpp"
#include "simulation/kafka/spies.hpp"
#include "simulation/kafka/world.hpp"
#include "simulation/kit/faulty_sink.hpp"
#include <bulkhead/kafka/source.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// One member of the group: a process with a real `KafkaSource` over a real `BulkIndexer`, from its start to its end.
namespace bulkhead::inline v1::test::simulation {

using namespace std::chrono_literals;

/// Thrown where a process is killed.
struct Killed {};

class Member final : public SourceWait {
    KafkaWorld& world_;
    LetterFaults& faults_;

public:
    using Source = KafkaSource<WatchedIndexer, WatchedClient, FactMapper, ManualClock>;
    enum class Phase : std::uint8_t { running, draining, closing };
    /// How it leaves the group.
    struct Leaving {
        Time by{};
        Time close_by{};
        bool close_first = false; ///< its indexer is closed under its source
        std::optional<CloseReport> report{};
    };
    /// A revoke that waits.
    struct Revoke {
        bool under_way = false;
        Time until{};
        bool woken = false;
    };

    const std::size_t place;
    KafkaSourceOptions options;
    Phase phase = Phase::running;
    Leaving leaving;
    Revoke revoke;
    Time last_turn = ManualClock::now();
    Time stalled_until{};
    Time commit_at{};
    bool busy = false;       ///< it is at its turn
    std::size_t kill_in = 0; ///< so many points from here; 0: not
    Auditor auditor{world_, faults_, options};
    std::deque<ModelRecord> held; ///< fetched, and not taken

    asio::io_context context{};
    std::shared_ptr<Script> script = std::make_shared<Script>();
    std::optional<WatchedIndexer::Indexer> indexer{};
    std::optional<WatchedIndexer> watched{};
    WatchedClient client;
    std::optional<Source> source{};

    Member(KafkaWorld& world, KafkaNetwork& network, LetterFaults& faults, std::size_t slot, std::string instance)
        : world_{world}, faults_{faults}, place{slot}, options{world.scenario.source}, client{auditor, world.kafka,
                                                                                              std::move(instance)} {
        script->respond = [this, &network](const SeenRequest& request) { return network.arrived(script, request); };
        options.on_wake = [this] {
            revoke.woken = true;
            world_.mark(KafkaMark::woken);
        };
        options.on_event = [this](const SourceEvent& event) { on_event(event); };
        client.dead_letter_topic = world.scenario.with_topic;
        DeadLetters sink;
        if (world.scenario.sink == SinkKind::topic) {
            options.dead_letters.emplace();
            sink = DeadLetters{options.dead_letters->sink(context.get_executor())};
        } else if (world.scenario.sink == SinkKind::own) {
            sink = DeadLetters{FaultySink{faults_}};
        }
        indexer.emplace(context.get_executor(), ScriptedTransport{script}, world.scenario.indexer, std::move(sink));
        watched.emplace(auditor, *this, *indexer);
        source.emplace(*watched, client, FactMapper{world.facts}, options);
        client.on_assigned = [this](auto partitions) { assigned(partitions); };
        client.on_revoked = [this](auto partitions) { revoked(partitions); };
        client.on_lost = [this](auto partitions) { lost(partitions); };
    }
    ~Member() { script->respond = nullptr; }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    /// Between any two steps a process can be gone.
    void point() {
        if (kill_in != 0 && --kill_in == 0) throw Killed{};
    }
    /// Runs what is ready.
    void run() {
        do {
            context.restart();
            const auto handlers = context.poll();
            world_.handlers += handlers;
            if (handlers == 0) return;
        } while (true);
    }
    void close() {
        auditor.closed = true;
        const auto began = ManualClock::now();
        const auto time = std::max(leaving.by - began, ManualClock::duration{0});
        leaving.close_by = began + time;
        indexer->async_close(std::chrono::ceil<std::chrono::milliseconds>(time),
                             [this](error_code, CloseReport report) { leaving.report = std::move(report); });
    }
    void leave(std::chrono::milliseconds time, bool close_first) {
        phase = Phase::draining;
        leaving.by = ManualClock::now() + time;
        leaving.close_first = close_first;
        if (close_first) {
            world_.mark(KafkaMark::closed_first);
            close();
        } else {
            world_.still([&] { source->drain(); });
        }
    }
    void commit() {
        switch (client.commit()) {
        case Committed::refused: return world_.mark(KafkaMark::commit_refused);
        case Committed::failed:
            return world_.mark(world_.kafka.fail_commits ? KafkaMark::commit_failed : KafkaMark::commit_unanswered);
        default: return check_lowered();
        }
    }
    /// The brokers have some of its letters, or will never have them.
    void acknowledge() {
        auto& letters = auditor.letters.posted;
        while (!letters.empty() && (letters.front().due <= ManualClock::now() || world_.calm)) {
            const auto posted = letters.front();
            letters.pop_front();
            if (faults_.fails() && world_.random.once_in(3)) {
                world_.mark(KafkaMark::letter_failed);
                client.acknowledge_letter(errc::sink_failed);
                if (!posted.of_sink) auditor.fail(posted.delivery, true, KafkaPolicy::letter_stop);
            } else {
                client.acknowledge_letter();
                auditor.letter_written(posted, world_.kafka.letters().back());
            }
            if (!world_.random.once_in(3)) return;
        }
    }
    /// What it had taken its source has looked at since.
    void meet_epochs() {
        auto& positions = auditor.positions;
        for (const auto& [log, epoch] : positions.epochs)
            if (epoch == world_.kafka.epoch(log) && auditor.books.next(log) >= 0) positions.met.insert(log);
    }

private:
    // ---- What the group does with it ----

    void assigned(std::span<const TopicPartition> partitions) {
        auto& kafka = world_.kafka;
        world_.mark(kafka.rebalancing() == Rebalancing::eager ? KafkaMark::eager : KafkaMark::cooperative);
        if (partitions.empty()) world_.mark(KafkaMark::moved_nothing);
        for (const auto& p : partitions) {
            const auto log = kafka.find(p.topic, p.partition);
            const auto committed = world_.committed(log);
            auditor.books.assigned(log);
            auditor.positions.assigned(log, committed, kafka.epoch(log));
            auto& group = world_.group[log];
            if (group.stale && committed <= kafka.end(log)) {
                // The member before had no time to set it back, and the brokers do not know that it is of another log.
                if (world_.facts.first_unsafe(log, 0, committed) != nullptr) world_.mark(KafkaMark::stranded);
                world_.facts.strand(log, committed);
                group.stale = false;
            }
            world_.still([&] { source->assigned(p.topic, p.partition); });
        }
    }
    void revoked(std::span<const TopicPartition> partitions) {
        drop_held(partitions);
        auto time = world_.scenario.revoke_drain;
        if (phase != Phase::running)
            time = std::min(time, std::chrono::ceil<std::chrono::milliseconds>(
                                      std::max(leaving.by - ManualClock::now(), ManualClock::duration{0})));
        const auto began = ManualClock::now();
        revoke.until = began + time;
        revoke.under_way = true;
        if (!world_.calm && world_.random.once_in(20)) kill_in = world_.random.between(1, 5);
        source->revoked(partitions, time);
        revoke.under_way = false;
        meet_epochs();
        world_.expect(ManualClock::now() <= began + time, "I25: a revoke ends in its time");
        if (ManualClock::now() > began)
            world_.mark(has_unsettled(partitions) ? KafkaMark::drain_timed_out : KafkaMark::drained);
        last_turn = ManualClock::now();
        point();
        commit();
        point();
        forget(partitions);
    }
    void lost(std::span<const TopicPartition> partitions) {
        world_.mark(KafkaMark::lost);
        drop_held(partitions);
        for (const auto& p : partitions) // nothing more of these may be stored
            auditor.positions.stored.erase(world_.kafka.find(p.topic, p.partition));
        world_.still([&] { source->lost(partitions); });
        forget(partitions);
    }
    [[nodiscard]] bool has_unsettled(std::span<const TopicPartition> partitions) const {
        return std::any_of(partitions.begin(), partitions.end(), [this](const TopicPartition& p) {
            const auto log = world_.kafka.find(p.topic, p.partition);
            return auditor.books.watermark(log) != auditor.books.next(log);
        });
    }
    void forget(std::span<const TopicPartition> partitions) {
        for (const auto& p : partitions) {
            const auto log = world_.kafka.find(p.topic, p.partition);
            auditor.books.gone(log);
            auditor.positions.gone(log);
            if (auditor.stash && auditor.stash->first == log) {
                auditor.stash.reset();
                world_.mark(KafkaMark::stash_dropped);
            }
        }
    }
    void drop_held(std::span<const TopicPartition> partitions) {
        std::erase_if(held, [&](const ModelRecord& record) {
            return std::any_of(partitions.begin(), partitions.end(), [&](const TopicPartition& p) {
                return p.partition == record.partition && p.topic == record.topic;
            });
        });
    }

    // ---- What its source does ----

    /// Its source waits: in virtual time, with everything else going on.
    bool wait() override {
        world_.expect(revoke.under_way, "I25: nothing but a revoke waits");
        world_.expect(ManualClock::now() < revoke.until, "I25: a revoke waits no longer than it may");
        revoke.woken = false;
        ++world_.waiting;
        struct Done {
            std::size_t& waiting;
            ~Done() { --waiting; }
        } const done{world_.waiting};
        while (!revoke.woken) {
            if (ManualClock::now() + 10ms > revoke.until) return true;
            world_.tick(10ms);
            if (world_.random.once_in(3)) acknowledge(); // its producer has a thread of its own
            point();
        }
        return false;
    }
    void on_event(const SourceEvent& event) {
        world_.expect.noting([&] {
            const auto* const fact = auditor.event(event);
            if (fact != nullptr && world_.random.once_in(4)) call_back(*fact);
        });
    }
    /// An observer of events may call its source.
    void call_back(const RecordFact& fact) {
        world_.mark(KafkaMark::called_back);
        const auto before = source->stats();
        const auto name = world_.kafka.name(fact.log);
        Record record;
        record.topic = name.topic;
        record.partition = name.partition;
        record.offset = fact.offset;
        world_.expect(source->deliver(record) == Delivered::busy, "nothing is taken within a callback", fact);
        source->poll();
        const auto after = source->stats();
        world_.expect(after.consumed == before.consumed && after.offsets_stored == before.offsets_stored &&
                          after.offsets_set == before.offsets_set,
                      "nothing happens within a callback", fact);
    }
    /// Everything that it had to commit is committed. Where its log was created again or truncated, and it has taken a
    /// record of after that, the group does not stand above what it has not settled.
    void check_lowered() {
        if (client.store_error) return;
        const auto& positions = auditor.positions;
        for (const auto log : client.owned()) {
            if (!world_.group[log].stale || positions.met.count(log) == 0) continue;
            const auto committed = world_.committed(log);
            const auto before = positions.settled_before.find(log);
            const auto settled = before == positions.settled_before.end() ? 0 : before->second;
            world_.expect(committed <= std::max(auditor.books.watermark(log), settled),
                          "I21: after its client went back a member sets the group's offset back",
                          Place{log, committed});
            world_.group[log].stale = false;
            world_.mark(KafkaMark::lowered);
        }
    }
};
/// By place; null where no process runs.
using Members = std::vector<std::unique_ptr<Member>>;

} // namespace bulkhead::inline v1::test::simulation
