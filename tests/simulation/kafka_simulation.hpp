// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka_facts.hpp"
#include "simulation/simulation.hpp"
#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/source.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/model_kafka.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// One seeded life of a consumer group in virtual time: up to three members, each a real `KafkaSource` over a real
/// `BulkIndexer`, between a model of Kafka and a model of Elasticsearch, behind a network that does what networks do.
/// Members come, go, hang and are killed at any step, also while they give partitions back; the group moves; commits,
/// stores, pauses and dead letters fail. After every step the promises are checked by code that shares nothing with the
/// library; then the faults end, and everything must come to rest with nothing lost.
///
///     KafkaCoverage coverage;
///     KafkaSimulation{seed, coverage}.run(); // throws `Broken`, which says which promise and where
///
/// A seed lives the same life on every machine.
namespace bulkhead::inline v1::test::simulation {

/// What must have happened beside what is counted otherwise.
enum class KafkaMark : std::uint8_t {
    eager,
    cooperative,
    moved_nothing,    ///< a member was told of a rebalance in which nothing of its own moved
    lost,             ///< the group had given a member up
    taken_over,       ///< a static member's successor had its partitions without a rebalance
    drained,          ///< a revoke waited, and all settled
    drain_timed_out,  ///< a revoke waited in vain
    left,             ///< with everything settled
    left_early,       ///< because its time was up
    closed_first,     ///< its indexer was closed under it
    killed_idle,      ///< with nothing under way
    killed_in_flight, ///< with requests out
    killed_paused,
    killed_in_drain,   ///< while it gave partitions back
    killed_in_letters, ///< with dead letters on their way
    killed_in_stash,   ///< with the record that did not fit
    applied_late,      ///< by the server, when its sender was dead
    taken_again,       ///< a record
    rewound,           ///< the client went back
    in_order,          ///< records were handed over as a span
    foreign,           ///< a record of a partition that was not assigned
    full,              ///< the indexer, and a record was stashed
    waited_to_pause,   ///< `pause_after`
    stash_dropped,     ///< its partition was taken away
    span_paused,       ///< one partition, for its span
    letters_full,      ///< `max_letter_bytes`
    kept_full,         ///< `max_kept_bytes`
    woken,
    store_failed,
    pause_failed,
    commit_failed,
    commit_unanswered, ///< it had succeeded
    commit_refused,    ///< of a generation that was over
    letter_failed,
    sink_failed,
    late,          ///< a settlement of a delivery that was abandoned
    retention,     ///< had removed what was committed
    mended,        ///< a member that had stopped was started again
    created_again, ///< a topic, while a member had read it
    truncated,     ///< a log
    lowered,       ///< the group's offset, after that
    stranded,      ///< a group that stood above records that nobody had read yet, by no fault of a member's
    called_back,   ///< an observer of events called its source
};
inline constexpr std::size_t kafka_marks = 43;
inline constexpr std::array<std::string_view, kafka_marks> kafka_mark_names{"eager",
                                                                            "cooperative",
                                                                            "moved nothing",
                                                                            "lost",
                                                                            "taken over",
                                                                            "drained",
                                                                            "drain timed out",
                                                                            "left",
                                                                            "left early",
                                                                            "closed first",
                                                                            "killed idle",
                                                                            "killed in flight",
                                                                            "killed paused",
                                                                            "killed in a drain",
                                                                            "killed with letters",
                                                                            "killed with a stash",
                                                                            "applied late",
                                                                            "taken again",
                                                                            "rewound",
                                                                            "handed over as a span",
                                                                            "foreign",
                                                                            "full",
                                                                            "waited to pause",
                                                                            "stash dropped",
                                                                            "paused for its span",
                                                                            "letters full",
                                                                            "kept records full",
                                                                            "woken",
                                                                            "store failed",
                                                                            "pause failed",
                                                                            "commit failed",
                                                                            "commit unanswered",
                                                                            "commit refused",
                                                                            "letter failed",
                                                                            "sink failed",
                                                                            "late",
                                                                            "retention",
                                                                            "mended",
                                                                            "topic created again",
                                                                            "log truncated",
                                                                            "group's offset lowered",
                                                                            "group stranded",
                                                                            "called back"};

/// Each policy, where it decided something.
enum class KafkaPolicy : std::uint8_t {
    invalid_skip,
    invalid_letter,
    invalid_stop,
    tombstone_delete,
    tombstone_skip,
    tombstone_letter,
    rejected_letter,
    rejected_skip,
    rejected_stop,
    large_letter,
    large_skip,
    large_stop,
    unknown_stop,
    unknown_skip,
    unknown_letter,
    letter_stop,
    closed_stop,
};
inline constexpr std::size_t kafka_policies = 17;
inline constexpr std::array<std::string_view, kafka_policies> kafka_policy_names{
    "invalid: skip",     "invalid: letter",  "invalid: stop",  "tombstone: delete", "tombstone: skip",
    "tombstone: letter", "rejected: letter", "rejected: skip", "rejected: stop",    "too large: letter",
    "too large: skip",   "too large: stop",  "unknown: stop",  "unknown: skip",     "unknown: letter",
    "letter lost: stop", "closed: stop"};

/// What was seen, over all seeds.
struct KafkaCoverage {
    std::array<std::uint64_t, fates> fate{};
    std::array<std::uint64_t, outcome_count> outcome{};
    std::array<std::uint64_t, kinds> kind{};
    std::array<std::uint64_t, kafka_marks> mark{};
    std::array<std::uint64_t, kafka_policies> policy{};
    std::uint64_t records = 0;
    std::uint64_t taken = 0;
    std::uint64_t crashes = 0;
    std::uint64_t letters = 0;
    Digest digest; ///< of every byte that was sent, and of every settlement, with its time

    /// Calls `f(std::string_view name, std::uint64_t times)` for each thing that must have happened.
    template <class F>
    void for_each(F f) const {
        for (std::size_t i = 0; i < std::size_t(Fate::too_many); ++i) f(fate_names[i], fate[i]);
        for (std::size_t i = 0; i < outcome_count; ++i)
            if (Outcome(i) != Outcome::dropped) f(to_string(Outcome(i)), outcome[i]); // a source's indexer refuses
        for (std::size_t i = 0; i < kinds; ++i) f(kind_names[i], kind[i]);
        for (std::size_t i = 0; i < kafka_marks; ++i) f(kafka_mark_names[i], mark[i]);
        for (std::size_t i = 0; i < kafka_policies; ++i) f(kafka_policy_names[i], policy[i]);
    }
};

class KafkaSimulation {
public:
    KafkaSimulation(std::uint64_t seed, KafkaCoverage& coverage)
        : random_{seed}, coverage_{coverage},
          kafka_{random_.once_in(2) ? Rebalancing::eager : Rebalancing::cooperative}, facts_{kafka_} {
        ManualClock::reset();
        choose();
    }
    KafkaSimulation(const KafkaSimulation&) = delete;
    KafkaSimulation& operator=(const KafkaSimulation&) = delete;

    void run() {
        for (auto& process : processes_)
            if (random_.below(3) != 0) start(process);
        const auto acts = random_.between(20, 200);
        for (std::size_t i = 0; i < acts; ++i) {
            act();
            for (auto ticks = random_.below(12); ticks != 0; --ticks) tick(10ms);
        }
        heal();
        for (int i = 0; i < 20'000 && !at_rest(); ++i) {
            for (auto& process : processes_)
                if (!process && (&process == &processes_[0] || random_.once_in(50))) start(process);
            tick(i < 300 ? 10ms : 100ms);
        }
        expect(at_rest(), "L1, L3: without faults everything settles, is committed, and goes on", why_not());
        std::size_t flushed = 0;
        for (auto& process : processes_)
            if (process) process->indexer->async_flush(1s, [&](error_code error) { flushed += error ? 0U : 1U; });
        const auto members =
            std::size_t(std::count_if(processes_.begin(), processes_.end(), [](auto& p) { return !!p; }));
        idle();
        expect(flushed == members, "L2: a flush completes");
        for (auto& process : processes_)
            if (process) leave(*process, 5s, false);
        for (int i = 0; i < 1200 && anybody(); ++i) tick(10ms);
        expect(!anybody(), "L2: a member that leaves has left by its deadline");
        check_end();
    }

private:
    class Process;
    using Log = ModelKafka::Log;
    using Books = MemberBooks;
    using Inner = BulkIndexer<ScriptedTransport, ManualClock>;
    using Time = ManualClock::time_point;
    /// Thrown where a process is killed.
    struct Killed {};

    /// The indexer of a source, looked over its shoulder.
    class Watched {
    public:
        Watched(Process& process, Inner& inner) : process_{process}, inner_{inner} {}
        [[nodiscard]] Admission try_enqueue(const Batch& scratch, Ticket ticket) noexcept {
            const auto admission = inner_.try_enqueue(scratch, ticket);
            process_.world.offered(process_, scratch, ticket.key, admission);
            return admission;
        }
        void flush() noexcept { inner_.flush(); }
        template <class Observer>
        [[nodiscard]] Subscription subscribe(const asio::any_io_executor& executor, Observer observer) {
            return inner_.subscribe(executor, [process = &process_, observer](std::span<const Settlement> told) {
                for (const auto& one : told) process->world.settled(*process, one);
                observer(told);
            });
        }
        [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return inner_.get_executor(); }
        [[nodiscard]] const IndexerOptions& options() const noexcept { return inner_.options(); }
        /// Asked before a source waits: here time passes until there is something for it.
        [[nodiscard]] bool running_in_this_thread() { return process_.world.wait(process_); }

    private:
        Process& process_;
        Inner& inner_;
    };
    /// The client, looked over its shoulder.
    class Client : public ModelConsumer {
    public:
        Client(Process& process, ModelKafka& kafka, std::string instance)
            : ModelConsumer{kafka, std::move(instance)}, process_{process} {}
        error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
            const auto error = ModelConsumer::store_offset(topic, partition, next);
            process_.world.stored(process_, topic, partition, next, error);
            return error;
        }
        error_code set_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
            const auto error = ModelConsumer::set_offset(topic, partition, next);
            process_.world.set(process_, topic, partition, next, error);
            return error;
        }
        error_code pause(std::string_view topic, std::int32_t partition) {
            if (pause_error) process_.world.mark(KafkaMark::pause_failed);
            return ModelConsumer::pause(topic, partition);
        }
        void write_letter(const KafkaLetter& letter, LetterReceipt receipt) {
            process_.world.posted(process_, letter);
            ModelConsumer::write_letter(letter, std::move(receipt));
        }

    private:
        Process& process_;
    };
    using Source = KafkaSource<Watched, Client, FactMapper, ManualClock>;

    /// A dead-letter sink of the indexer's own.
    class Sink {
    public:
        explicit Sink(Process& process) : process_{&process} {}
        asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
            auto& world = process_->world;
            if (world.letters_are_slow()) {
                asio::basic_waitable_timer<ManualClock> timer{co_await asio::this_coro::executor, 200ms};
                error_code ignored;
                co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            }
            error_code error;
            if (world.letters_fail()) {
                world.mark(KafkaMark::sink_failed);
                error = errc::sink_full;
            } else {
                world.noting([&] {
                    for (const auto& letter : letters) world.bury(letter.action_line, letter.source);
                });
            }
            co_return error;
        }

    private:
        Process* process_;
    };

    /// A dead letter on its way, as the client's producer has it.
    struct Posted {
        Books::Delivery delivery{};
        RecordFact* record = nullptr;
        bool whole_record = false;
        bool of_sink = false;
        std::size_t bytes = 0; ///< of the user's
        Time due{};
    };
    enum class Phase : std::uint8_t { running, draining, closing };

    /// A process from its start to its end. The order of the members is that of their making.
    class Process {
    public:
        Process(KafkaSimulation& of, std::size_t slot, std::string instance)
            : world{of}, number{++of.last_process_}, place{slot}, options{of.source_options_},
              with_topic{of.with_topic_}, client{*this, of.kafka_, std::move(instance)} {
            script->respond = [this](const SeenRequest& request) { return world.arrived(*this, request); };
            options.on_wake = [this] {
                woken = true;
                world.mark(KafkaMark::woken);
            };
            options.on_event = [this](const SourceEvent& event) { world.told(*this, event); };
            client.dead_letter_topic = with_topic;
            DeadLetters sink;
            if (of.sink_ == SinkKind::topic) {
                options.dead_letters.emplace();
                sink = DeadLetters{options.dead_letters->sink(context.get_executor())};
            } else if (of.sink_ == SinkKind::own) {
                sink = DeadLetters{Sink{*this}};
            }
            indexer.emplace(context.get_executor(), ScriptedTransport{script}, of.indexer_options_, std::move(sink));
            watched.emplace(*this, *indexer);
            source.emplace(*watched, client, FactMapper{of.facts_}, options);
            client.on_assigned = [this](auto partitions) { world.assigned(*this, partitions); };
            client.on_revoked = [this](auto partitions) { world.revoked(*this, partitions); };
            client.on_lost = [this](auto partitions) { world.lost(*this, partitions); };
            last_turn = ManualClock::now();
        }
        ~Process() = default;
        Process(const Process&) = delete;
        Process& operator=(const Process&) = delete;

        KafkaSimulation& world;
        const std::uint64_t number;
        const std::size_t place;
        KafkaSourceOptions options;
        bool with_topic;
        Phase phase = Phase::running;
        Time last_turn{};
        Time stalled_until{};
        Time leave_by{};
        Time close_by{};
        Time commit_at{};
        bool close_first = false;
        bool closed = false;
        bool in_revoke = false;
        bool busy = false; ///< it is at its turn
        Time revoke_until{};
        bool woken = false;
        std::size_t kill_in = 0; ///< so many points from here; 0: not
        const char* must_stop = nullptr;
        Books books;
        std::map<std::uint64_t, Books::Delivery> keys;
        std::vector<std::uint64_t> fresh;                         ///< keys of deliveries that are not in the books yet
        std::map<std::pair<Log, std::int64_t>, Admission> offers; ///< of the delivery that is going on
        std::optional<std::pair<Log, std::int64_t>> stash;
        bool was_full = false; ///< since it took records
        std::deque<Posted> letters;
        std::deque<ModelRecord> held;                              ///< fetched, and not taken
        std::map<Log, std::int64_t> stored{};                      ///< in this assignment; at first where it began
        std::map<std::pair<Log, std::int64_t>, RecordFact*> shown; ///< the record of an offset that its source has seen
        std::map<Log, std::size_t> epochs{};        ///< of the log, by the latest record that it has taken
        std::set<Log> met;                          ///< and whose source has been polled since
        std::map<Log, int> went_back{};             ///< its client, in this assignment
        std::map<Log, std::int64_t> settled_before; ///< it sought back
        std::map<Log, std::int64_t> sought; ///< what it had read when it sought back, until it has read that again
        std::optional<CloseReport> report{};

        asio::io_context context{};
        std::shared_ptr<Script> script = std::make_shared<Script>();
        std::optional<Inner> indexer{};
        std::optional<Watched> watched{};
        Client client;
        std::optional<Source> source{};
    };
    using Slot = std::unique_ptr<Process>;

    /// Something that the network still has to do.
    struct Later {
        Time due{};
        std::weak_ptr<Script> script;
        std::size_t position = 0;
        std::optional<Answer> answer;
        std::string apply;
    };
    enum class SinkKind : std::uint8_t { none, topic, own };

    // ---- What this life is like ----

    void choose() {
        auto& indexer = indexer_options_;
        indexer.index = "logs";
        indexer.max_batch_operations = random_.between(1, 30);
        indexer.max_batch_bytes = random_.between(1024, 8000);
        indexer.max_in_flight = random_.between(1, 5);
        indexer.max_buffered_operations = random_.once_in(2) ? random_.between(4, 40) : random_.between(40, 1000);
        indexer.max_buffered_bytes = random_.between(65'536, 200'000);
        indexer.max_operation_bytes = 700;
        indexer.flush_interval = std::chrono::milliseconds{random_.between(1, 300)};
        indexer.retry.max_attempts = static_cast<std::uint32_t>(random_.between(2, 8));
        indexer.retry.initial_backoff = std::chrono::milliseconds{random_.between(1, 100)};
        indexer.retry.max_backoff = std::chrono::milliseconds{random_.between(100, 2000)};
        indexer.retry.max_age = unlimited; // a source refuses another
        indexer.duplicates = random_.pick<Duplicates>({Duplicates::forbid, Duplicates::allow, Duplicates::client_id});
        indexer.ordering = random_.once_in(3) ? Ordering::per_id : Ordering::none;
        indexer.flood.percent = 0; // a flood waits for whoever mends the mapping; the other simulation has it

        with_topic_ = random_.once_in(2);
        sink_ = random_.once_in(3)                  ? SinkKind::own
                : with_topic_ && random_.once_in(2) ? SinkKind::topic
                                                    : SinkKind::none;
        auto& source = source_options_;
        source.on_invalid = with_topic_          ? OnInvalid(random_.below(3))
                            : random_.once_in(3) ? OnInvalid::stop
                                                 : OnInvalid::skip;
        source.on_tombstone = OnTombstone(random_.below(with_topic_ ? 3 : 2));
        source.on_rejected = OnRejected(random_.below(3));
        source.on_unknown = OnUnknown(random_.below(with_topic_ ? 3 : 2));
        source.max_span_per_partition = random_.once_in(2) ? random_.between(1, 60) : 1000;
        source.max_letter_bytes = random_.once_in(2) ? 1024 : std::size_t{1} << 20;
        source.keep_records = random_.once_in(2);
        source.max_kept_bytes = random_.once_in(2) ? 1024 : std::size_t{1} << 20;
        source.pause_after = std::chrono::milliseconds{random_.once_in(2) ? 0 : random_.between(10, 400)};
        revoke_drain_ = std::chrono::milliseconds{random_.once_in(3) ? 0 : 10 * random_.between(1, 50)};
        statically_ = random_.once_in(3);

        processes_.resize(random_.between(2, 3));
        const auto topics = random_.between(1, 2);
        for (std::size_t i = 0; i < topics; ++i)
            kafka_.create_topic(i == 0 ? "apm.logs" : "apm.traces", static_cast<std::int32_t>(random_.between(1, 4)));
        proven_.resize(kafka_.logs());
        stale_.resize(kafka_.logs());
        sets_.resize(kafka_.logs());
        for (std::size_t kind = 1; kind < kinds; ++kind)
            if (random_.once_in(2)) kinds_.push_back(Kind(kind));
        for (std::size_t fate = 1; fate < fates; ++fate) {
            allowed_[fate] = random_.once_in(3);
            if (allowed_[fate] && Fate(fate) < Fate::too_large) troubles_.push_back(Fate(fate));
        }
        trouble_ = random_.between(1, 6);
        largest_body_ = random_.between(1500, 6000);
        letter_trouble_ = random_.once_in(2) ? random_.between(1, 4) : 0;
        commit_every_ = std::chrono::milliseconds{random_.between(10, 500)};
        produce(random_.between(10, 60));
    }

    // ---- What happens ----

    void act() {
        auto& slot = processes_[random_.below(processes_.size())];
        switch (random_.below(26)) {
        default: return produce(random_.below(25));
        case 8: return kafka_.leave_gap(random_.below(kafka_.logs()), 1 + std::int64_t(random_.below(90)));
        case 9:
        case 10:
        case 11:
            if (!slot) return start(slot);
            return;
        case 12:
            if (slot && slot->phase == Phase::running)
                leave(*slot, std::chrono::milliseconds{random_.below(1500)}, random_.once_in(4));
            return;
        case 13:
            if (slot) kill(slot);
            return;
        case 14: // at some point of what it does next
            if (slot) slot->kill_in = random_.between(1, 30);
            return;
        case 15: // it hangs; the group may lose patience before it wakes up
            if (!slot) return;
            slot->stalled_until = ManualClock::now() + std::chrono::milliseconds{random_.between(50, 1500)};
            if (random_.once_in(2)) expiries_.emplace_back(ManualClock::now() + 300ms, slot->client.member());
            return;
        case 16:
            if (slot && random_.once_in(2)) kafka_.expire(slot->client.member());
            return;
        case 17: return kafka_.rebalance();
        case 18:
            if (slot) slot->client.store_error = random_.once_in(2) ? error_code{errc::full} : error_code{};
            return;
        case 19:
            if (slot) slot->client.pause_error = random_.once_in(3) ? error_code{errc::full} : error_code{};
            return;
        case 20:
            kafka_.fail_commits = random_.once_in(3);
            kafka_.lose_commit_answers = random_.once_in(3);
            return;
        case 21:
            for (auto& process : processes_)
                if (process) rewind(*process);
            return;
        case 22: { // retention, as far as nothing is lost by it
            const auto log = random_.below(kafka_.logs());
            if (const auto committed = kafka_.committed(log); committed && !stale_[log]) {
                kafka_.remove_below(log, *committed);
                mark(KafkaMark::retention);
            }
            return;
        }
        case 23: return change_limits();
        case 24: return create_again(std::string{kafka_.name(random_.below(kafka_.logs())).topic});
        case 25: return truncate(random_.below(kafka_.logs()));
        }
    }
    void create_again(const std::string& topic) {
        if (!random_.once_in(3)) return;
        for (Log log = 0; log < kafka_.logs(); ++log)
            if (kafka_.name(log).topic == topic && reads_again(log)) return;
        for (Log log = 0; log < kafka_.logs(); ++log)
            if (kafka_.name(log).topic == topic && kafka_.end(log) != 0 && kafka_.committed(log))
                mark(KafkaMark::created_again);
        kafka_.create_again(topic, random_.once_in(2));
        for (Log log = 0; log < kafka_.logs(); ++log)
            if (kafka_.name(log).topic == topic) was_cut(log, 0);
    }
    void truncate(Log log) {
        if (kafka_.end(log) == 0 || reads_again(log)) return;
        kafka_.truncate(log, kafka_.end(log) - 1 - std::int64_t(random_.below(20)));
        mark(KafkaMark::truncated);
        was_cut(log, kafka_.end(log));
    }
    /// A member has sought back and reads what it had read. Where the log is cut meanwhile it never goes back, and
    /// cannot know that the records are other ones.
    [[nodiscard]] bool reads_again(Log log) const {
        return std::any_of(processes_.begin(), processes_.end(),
                           [log](const Slot& slot) { return slot && slot->sought.count(log) != 0; });
    }
    void was_cut(Log log, std::int64_t from) {
        facts_.cut(log, from);
        proven_[log] = std::min(proven_[log], from);
        stale_[log] = true;
        for (auto& process : processes_)
            if (process) process->met.erase(log);
    }
    void produce(std::size_t records) {
        for (; records != 0; --records) {
            auto kind = Kind::document;
            if (!kinds_.empty() && random_.once_in(4)) kind = random_.pick(kinds_);
            if ((kind == Kind::poison && !allowed_[std::size_t(Fate::malformed)]) ||
                (kind == Kind::bad && !random_.once_in(3)))
                kind = Kind::document;
            const auto log = random_.below(kafka_.logs());
            if (random_.once_in(12)) kafka_.leave_gap(log, 1 + std::int64_t(random_.below(3)));
            facts_.produce(log, kind, kind == Kind::oversize ? 1000 : random_.below(120), random_.below(100));
            ++coverage_.kind[std::size_t(kind)];
            ++coverage_.records;
        }
    }
    void start(Slot& slot) {
        const auto place = std::size_t(&slot - processes_.data());
        const auto instance = statically_ ? "instance-" + std::to_string(place) : std::string{};
        if (statically_) {
            // Who comes back in time has what it had.
            for (auto& [due, member] : expiries_)
                if (place < killed_.size() && member == killed_[place] && kafka_.has_member(member))
                    mark(KafkaMark::taken_over);
        }
        slot = std::make_unique<Process>(*this, place, instance);
    }
    /// Between any two steps a process can be gone.
    void point(Process& process) {
        if (process.kill_in != 0 && --process.kill_in == 0) throw Killed{};
    }
    void kill(Slot& slot) {
        auto& process = *slot;
        ++coverage_.crashes;
        if (process.books.waiting() == 0) mark(KafkaMark::killed_idle);
        if (!process.script->waiting().empty()) mark(KafkaMark::killed_in_flight);
        if (process.in_revoke) mark(KafkaMark::killed_in_drain);
        if (!process.letters.empty()) mark(KafkaMark::killed_in_letters);
        if (process.stash) mark(KafkaMark::killed_in_stash);
        for (const auto log : process.client.owned())
            if (process.client.paused(log)) mark(KafkaMark::killed_paused);
        coverage_.taken += process.books.taken();
        if (killed_.size() <= process.place) killed_.resize(process.place + 1);
        killed_[process.place] = process.client.member();
        expiries_.emplace_back(ManualClock::now() + std::chrono::milliseconds{random_.between(10, 1500)},
                               process.client.member());
        if (random_.once_in(3)) { // not killed quite dead: what it has posted still runs
            process.source.reset();
            process.indexer.reset();
            run(process);
        }
        bury_process(slot);
    }
    static void bury_process(Slot& slot) {
        slot->script->respond = nullptr;
        slot.reset();
    }
    void leave(Process& process, std::chrono::milliseconds time, bool close_first) {
        process.phase = Phase::draining;
        process.leave_by = ManualClock::now() + time;
        process.close_first = close_first;
        if (close_first) {
            mark(KafkaMark::closed_first);
            close(process);
        } else {
            still([&] { process.source->drain(); });
        }
    }
    void close(Process& process) {
        process.closed = true;
        const auto began = ManualClock::now();
        const auto time = std::max(process.leave_by - began, ManualClock::duration{0});
        process.close_by = began + time;
        process.indexer->async_close(
            std::chrono::ceil<std::chrono::milliseconds>(time),
            [&process](error_code, CloseReport report) { process.report = std::move(report); });
    }
    void rewind(Process& process) {
        const auto owned = process.client.owned();
        if (owned.empty()) return;
        const auto log = random_.pick(owned);
        if (process.client.store_error) return;  // where it stood before may not be set yet
        if (process.books.next(log) < 0) return; // below what is committed a source cannot know that it is
        if (process.epochs.at(log) != kafka_.epoch(log)) return; // it would not see that the records are other ones
        const auto back = std::int64_t(random_.below(40));
        const auto to = std::max<std::int64_t>(0, process.books.next(log) - back);
        const auto name = kafka_.name(log);
        process.client.seek(log, to);
        process.source->seeking(name.topic, name.partition, to);
        auto& settled = process.settled_before[log];
        settled = std::max(settled, process.books.watermark(log));
        auto& read = process.sought[log];
        read = std::max(read, process.books.next(log));
        std::erase_if(process.held, [&](const ModelRecord& record) { return log_of(record) == log; });
    }
    void change_limits() {
        for (auto& process : processes_) {
            if (!process) continue;
            Limits limits;
            limits.max_buffered_operations = random_.once_in(2) ? random_.between(4, 20) : random_.between(20, 1000);
            expect(!process->indexer->change_limits(limits), "limits within their ranges are taken");
        }
    }
    /// The faults end, and somebody looks at what has stopped.
    void heal() {
        calm_ = true;
        kafka_.fail_commits = kafka_.lose_commit_answers = false;
        auto& options = source_options_;
        if (options.on_invalid == OnInvalid::stop) options.on_invalid = OnInvalid::skip;
        if (options.on_rejected != OnRejected::skip && (sink_ == SinkKind::none || !with_topic_))
            options.on_rejected = OnRejected::skip;
        if (options.on_rejected == OnRejected::stop) options.on_rejected = OnRejected::dead_letter;
        indexer_options_.max_buffered_operations = std::max<std::size_t>(indexer_options_.max_buffered_operations, 30);
        for (auto& process : processes_) {
            if (!process) continue;
            process->client.store_error = process->client.pause_error = {};
            process->kill_in = 0;
            process->stalled_until = {};
        }
    }

    // ---- Time ----

    void tick(ManualClock::duration time) {
        ManualClock::advance(time);
        network();
        for (std::size_t i = 0; i < expiries_.size();) {
            if (expiries_[i].first > ManualClock::now()) {
                ++i;
                continue;
            }
            kafka_.expire(expiries_[i].second);
            expiries_.erase(expiries_.begin() + std::ptrdiff_t(i));
        }
        const auto first = random_.below(processes_.size());
        for (std::size_t i = 0; i < processes_.size(); ++i) {
            auto& slot = processes_[(first + i) % processes_.size()];
            if (!slot) continue;
            run(*slot);
            if (!slot->busy) take_turn(slot);
        }
        check();
    }
    void run(Process& process) {
        do {
            process.context.restart();
            const auto handlers = process.context.poll();
            handlers_ += handlers;
            if (handlers == 0) return;
        } while (true);
    }
    void take_turn(Slot& slot) {
        auto& process = *slot;
        if (process.stalled_until > ManualClock::now()) return;
        process.busy = true;
        bool over = false;
        try {
            over = turn(process);
            process.busy = false;
        } catch (const Killed&) {
            return kill(slot);
        }
        if (!over) return;
        coverage_.taken += process.books.taken();
        bury_process(slot);
    }
    /// A call that must not let time pass: nobody who polls may be held up.
    template <class F>
    auto still(F f) -> decltype(f()) {
        struct Check {
            KafkaSimulation& world;
            Time began = ManualClock::now();
            ~Check() {
                if (ManualClock::now() != began) world.note("I25: nothing but a revoke waits");
            }
        } const check{*this};
        return f();
    }

    // ---- A member's loop ----

    /// Once round a member's loop. True: it has ended.
    bool turn(Process& process) {
        process.last_turn = ManualClock::now();
        poll(process);
        point(process);
        // While another one gives partitions back, the group does not move on.
        if (waiting_ == 0 && process.phase != Phase::closing) process.client.serve();
        point(process);
        if (process.phase != Phase::running) return go_on_leaving(process);
        if (process.source->stopped() && (calm_ || random_.once_in(10))) {
            mark(KafkaMark::mended);
            leave(process, calm_ ? 1000ms : std::chrono::milliseconds{random_.below(500)}, false);
            return false;
        }
        hand_over(process);
        point(process);
        acknowledge(process);
        point(process);
        if (process.commit_at <= ManualClock::now()) {
            process.commit_at = ManualClock::now() + commit_every_;
            commit(process);
            point(process);
        }
        if (random_.once_in(4)) poll(process);
        return false;
    }
    void poll(Process& process) {
        still([&] { process.source->poll(); });
        meet_epochs(process);
        check_books(process);
    }
    /// What it had taken its source has looked at since.
    void meet_epochs(Process& process) {
        for (const auto& [log, epoch] : process.epochs)
            if (epoch == kafka_.epoch(log) && process.books.next(log) >= 0) process.met.insert(log);
    }
    void hand_over(Process& process) {
        if (process.source->about_to_pause()) mark(KafkaMark::waited_to_pause);
        while (process.held.size() < 6) {
            auto record = process.client.fetch();
            if (!record) break;
            process.held.push_back(std::move(*record));
        }
        if (random_.once_in(60)) foreign(process);
        if (process.held.empty()) return;
        const auto most = 1 + random_.below(process.held.size());
        process.offers.clear();
        for (std::size_t i = 0; i < most; ++i) {
            const auto& record = process.held[i];
            process.shown[{log_of(record), record.offset}] = facts_.find(record.view());
        }
        std::size_t taken = 0;
        if (random_.once_in(3)) {
            std::vector<Record> records;
            for (std::size_t i = 0; i < most; ++i) records.push_back(process.held[i].view());
            taken = still([&] { return process.source->deliver(records); });
            if (taken > 1) mark(KafkaMark::in_order);
            for (std::size_t i = 0; i < taken; ++i) book(process, process.held[i]);
        } else {
            for (; taken < most; ++taken) {
                const auto& record = process.held[taken];
                const auto said = still([&] { return process.source->deliver(record.view()); });
                if (said == Delivered::busy) break;
                expect(said == Delivered::taken, "a record of an owned partition is not ignored", record);
                book(process, record);
                point(process);
            }
        }
        process.held.erase(process.held.begin(), process.held.begin() + std::ptrdiff_t(taken));
        check_books(process);
    }
    /// A record that reaches a member whose partition it is not.
    void foreign(Process& process) {
        for (Log log = 0; log < kafka_.logs(); ++log) {
            if (process.client.owns(log) || kafka_.records(log).empty() || !process.source->accepting()) continue;
            const auto said = process.source->deliver(kafka_.records(log).begin()->second.view());
            if (said == Delivered::busy) continue; // what had settled in the meantime made it stop
            expect(said == Delivered::ignored, "a record of another member's partition is ignored");
            mark(KafkaMark::foreign);
            return;
        }
    }
    void commit(Process& process) {
        switch (process.client.commit()) {
        case Committed::refused: return mark(KafkaMark::commit_refused);
        case Committed::failed:
            return mark(kafka_.fail_commits ? KafkaMark::commit_failed : KafkaMark::commit_unanswered);
        default: return check_lowered(process);
        }
    }
    /// Everything that a member had to commit is committed. Where its log was created again or truncated, and it has
    /// taken a record of after that, the group does not stand above what it has not settled.
    void check_lowered(Process& process) {
        if (process.client.store_error) return;
        for (const auto log : process.client.owned()) {
            if (!stale_[log] || process.met.count(log) == 0) continue;
            const auto committed = kafka_.committed(log).value_or(0);
            const auto before = process.settled_before.find(log);
            const auto settled = before == process.settled_before.end() ? 0 : before->second;
            expect(committed <= std::max(process.books.watermark(log), settled),
                   "I21: after its client went back a member sets the group's offset back", log, committed);
            stale_[log] = false;
            mark(KafkaMark::lowered);
        }
    }
    bool go_on_leaving(Process& process) {
        acknowledge(process);
        poll(process);
        expect(!process.closed || process.report || ManualClock::now() <= process.close_by + 150ms,
               "L5: a close ends by its deadline");
        if (process.close_first && process.phase == Phase::draining) hand_over(process);
        const bool time_is_up = process.leave_by <= ManualClock::now();
        if (process.phase == Phase::draining) {
            if (!time_is_up && !process.source->drained() && !(process.close_first && process.report)) return false;
            // One thread has them all: a member that left while another one waits would hold that one up.
            if (waiting_ != 0) return false;
            mark(process.source->drained() ? KafkaMark::left : KafkaMark::left_early);
            commit(process);
            point(process);
            process.client.leave();
            point(process);
            process.source->close_letters();
            if (!process.closed) {
                close(process);
            }
            process.phase = Phase::closing;
        }
        if (process.report) {
            const auto stats = process.indexer->stats();
            expect(stats.pending == 0 && stats.accepted == stats.settled(), "after a close the books balance");
            return true;
        }
        return false;
    }

    // ---- What the group does with a member ----

    void assigned(Process& process, std::span<const TopicPartition> partitions) {
        mark(kafka_.rebalancing() == Rebalancing::eager ? KafkaMark::eager : KafkaMark::cooperative);
        if (partitions.empty()) mark(KafkaMark::moved_nothing);
        for (const auto& p : partitions) {
            const auto log = kafka_.find(p.topic, p.partition);
            process.books.assigned(log);
            const auto committed = kafka_.committed(log).value_or(0);
            process.stored[log] = committed;
            process.epochs[log] = kafka_.epoch(log);
            process.met.erase(log);
            process.went_back.erase(log);
            process.sought.erase(log);
            process.settled_before.erase(log);
            if (stale_[log] && committed <= kafka_.end(log)) {
                // The member before had no time to set it back, and the brokers do not know that it is of another log.
                if (facts_.first_unsafe(log, 0, committed) != nullptr) mark(KafkaMark::stranded);
                facts_.strand(log, committed);
                stale_[log] = false;
            }
            still([&] { process.source->assigned(p.topic, p.partition); });
        }
    }
    void revoked(Process& process, std::span<const TopicPartition> partitions) {
        drop_held(process, partitions);
        auto time = revoke_drain_;
        if (process.phase != Phase::running)
            time = std::min(time, std::chrono::ceil<std::chrono::milliseconds>(
                                      std::max(process.leave_by - ManualClock::now(), ManualClock::duration{0})));
        const auto began = ManualClock::now();
        process.revoke_until = began + time;
        process.in_revoke = true;
        if (!calm_ && random_.once_in(20)) process.kill_in = random_.between(1, 5);
        process.source->revoked(partitions, time);
        process.in_revoke = false;
        meet_epochs(process);
        expect(ManualClock::now() <= began + time, "I25: a revoke ends in its time");
        if (ManualClock::now() > began)
            mark(waits(process, partitions) ? KafkaMark::drain_timed_out : KafkaMark::drained);
        process.last_turn = ManualClock::now();
        point(process);
        commit(process);
        point(process);
        forget(process, partitions);
    }
    void lost(Process& process, std::span<const TopicPartition> partitions) {
        mark(KafkaMark::lost);
        drop_held(process, partitions);
        for (const auto& p : partitions)
            process.stored.erase(kafka_.find(p.topic, p.partition)); // nothing more of these
        still([&] { process.source->lost(partitions); });
        forget(process, partitions);
    }
    [[nodiscard]] bool waits(const Process& process, std::span<const TopicPartition> partitions) const {
        for (const auto& p : partitions) {
            const auto log = kafka_.find(p.topic, p.partition);
            if (process.books.watermark(log) != process.books.next(log)) return true;
        }
        return false;
    }
    void forget(Process& process, std::span<const TopicPartition> partitions) {
        for (const auto& p : partitions) {
            const auto log = kafka_.find(p.topic, p.partition);
            process.books.gone(log);
            process.stored.erase(log);
            process.epochs.erase(log);
            process.met.erase(log);
            process.sought.erase(log);
            if (process.stash && process.stash->first == log) {
                process.stash.reset();
                mark(KafkaMark::stash_dropped);
            }
        }
    }
    void drop_held(Process& process, std::span<const TopicPartition> partitions) {
        std::erase_if(process.held, [&](const ModelRecord& record) {
            return std::any_of(partitions.begin(), partitions.end(), [&](const TopicPartition& p) {
                return p.partition == record.partition && p.topic == record.topic;
            });
        });
    }
    /// A source wants to wait: in virtual time, with everything else going on. True: its time is up.
    bool wait(Process& process) {
        expect(process.in_revoke, "I25: nothing but a revoke waits");
        expect(ManualClock::now() < process.revoke_until, "I25: a revoke waits no longer than it may");
        process.woken = false;
        ++waiting_;
        struct Done {
            std::size_t& waiting;
            ~Done() { --waiting; }
        } const done{waiting_};
        while (!process.woken) {
            if (ManualClock::now() + 10ms > process.revoke_until) return true;
            tick(10ms);
            if (random_.once_in(3)) acknowledge(process); // its producer has a thread of its own
            point(process);
        }
        return false;
    }

    // ---- What a source does ----

    /// It has handed a record's operations to its indexer, or tried to.
    void offered(Process& process, const Batch& scratch, std::uint64_t key, Admission admission) noexcept {
        noting([&] {
            const auto found = read_lines(scratch.body());
            expect(!found.empty(), "a record's operations are handed to the indexer");
            const auto& record = *found.front().record;
            expect(found.size() == record.operations.size(), "a record's operations are handed over together", record);
            const auto place = std::pair{record.log, record.offset};
            const auto known = process.keys.find(key);
            if (known == process.keys.end()) {
                process.keys[key] = {record.log, record.offset, 0};
                process.fresh.push_back(key);
            } else {
                expect(known->second.offset == record.offset && known->second.log == record.log &&
                           process.stash == place,
                       "I23: only what was stashed is handed over again", record);
            }
            process.offers[place] = admission;
            if (admission == Admission::full) {
                if (!process.stash) mark(KafkaMark::full);
                expect(!process.stash || process.stash == place, "I23: one record is stashed at most", record);
                process.stash = place;
            } else {
                process.stash.reset();
                if (admission == Admission::closed && known != process.keys.end())
                    fail(process, known->second, true, KafkaPolicy::closed_stop);
            }
        });
    }
    /// It has taken a record: what has to end before its offset may be stored?
    void book(Process& process, const ModelRecord& from) {
        const auto log = log_of(from);
        auto& fact = *facts_.find(from.view());
        if (fact.delivered++ != 0) mark(KafkaMark::taken_again);
        const auto& options = process.options;
        std::size_t waiting = 0;
        std::optional<KafkaPolicy> failed;
        const auto offer = process.offers.find({log, from.offset});
        const auto said = offer == process.offers.end() ? Admission::invalid : offer->second;
        if (said == Admission::accepted || said == Admission::full) {
            waiting = fact.operations.size();
            if (fact.kind == Kind::tombstone) count(KafkaPolicy::tombstone_delete);
        } else if (said == Admission::too_large) {
            expect(fact.kind == Kind::oversize, "what is too large is too large", fact);
            if (options.on_rejected == OnRejected::skip) {
                count(KafkaPolicy::large_skip);
            } else if (options.on_rejected == OnRejected::dead_letter && process.with_topic) {
                count(KafkaPolicy::large_letter);
                waiting = 1;
            } else {
                failed = KafkaPolicy::large_stop;
            }
        } else if (said == Admission::closed) {
            failed = KafkaPolicy::closed_stop;
        } else if (fact.kind == Kind::invalid || fact.kind == Kind::throwing) {
            switch (options.on_invalid) {
            case OnInvalid::skip: count(KafkaPolicy::invalid_skip); break;
            case OnInvalid::dead_letter:
                count(KafkaPolicy::invalid_letter);
                waiting = 1;
                break;
            case OnInvalid::stop: failed = KafkaPolicy::invalid_stop; break;
            }
        } else if (fact.kind == Kind::tombstone) {
            expect(options.on_tombstone != OnTombstone::delete_document, "a tombstone deletes", fact);
            const bool letter = options.on_tombstone == OnTombstone::dead_letter;
            count(letter ? KafkaPolicy::tombstone_letter : KafkaPolicy::tombstone_skip);
            waiting = letter ? 1 : 0;
        } else {
            expect(fact.kind == Kind::nothing, "I23: a record is handed to the indexer, or its policy says why not",
                   fact);
        }
        if (failed) {
            count(*failed);
            process.must_stop = "a record whose policy is to stop";
        }
        if (from.offset < process.books.next(log)) {
            mark(KafkaMark::rewound);
            if (process.sought.count(log) == 0) {
                ++process.went_back[log];
                process.settled_before.erase(log);
            }
        }
        if (const auto sought = process.sought.find(log);
            sought != process.sought.end() && from.offset + 1 >= sought->second)
            process.sought.erase(sought);
        process.epochs[log] = std::max(process.epochs[log], fact.epoch);
        const auto delivery = process.books.taken(log, from.offset, waiting, failed.has_value());
        bool found = false; // one key a delivery: after a rewind another one of this offset may be fresh as well
        std::erase_if(process.fresh, [&](std::uint64_t key) {
            auto& known = process.keys[key];
            const bool its = known.log == log && known.offset == from.offset && !found;
            found = found || its;
            if (its) known.serial = delivery.serial;
            return its;
        });
        for (auto& letter : process.letters)
            if (letter.delivery.serial == 0 && letter.delivery.log == log && letter.delivery.offset == from.offset)
                letter.delivery.serial = delivery.serial;
    }
    /// Its indexer has settled one of its operations.
    void settled(Process& process, const Settlement& told) {
        noting([&] {
            ++coverage_.outcome[std::size_t(told.outcome)];
            coverage_.digest.settled(told.key, told.outcome, ManualClock::now().time_since_epoch());
            const auto known = process.keys.find(told.key);
            expect(known != process.keys.end(), "a settlement is for an operation that was handed over");
            const auto& delivery = known->second;
            const auto& options = process.options;
            const bool closing = told.failure != nullptr && told.failure->type == to_string(errc::closed);
            const bool awaited = process.books.waiting(delivery);
            if (!awaited) mark(KafkaMark::late);
            if (durable(told.outcome)) {
                process.books.ended(delivery, false, false);
                if (told.outcome != Outcome::dead_lettered) return;
                count(KafkaPolicy::rejected_letter);
                if (options.on_rejected != OnRejected::stop) return;
                count(KafkaPolicy::rejected_stop);
                process.must_stop = "a refused operation whose policy is to stop";
                return;
            }
            if (closing) return fail(process, delivery, false, KafkaPolicy::closed_stop);
            if (told.outcome == Outcome::rejected) {
                if (options.on_rejected != OnRejected::skip)
                    return fail(process, delivery, false, KafkaPolicy::rejected_stop);
                count(KafkaPolicy::rejected_skip);
                process.books.ended(delivery, false, false);
            } else if (told.outcome == Outcome::unknown) {
                if (options.on_unknown == OnUnknown::skip) {
                    count(KafkaPolicy::unknown_skip);
                    process.books.ended(delivery, false, false);
                } else if (options.on_unknown == OnUnknown::stop) {
                    fail(process, delivery, false, KafkaPolicy::unknown_stop);
                } else if (awaited) {
                    count(KafkaPolicy::unknown_letter); // and the letter ends it
                }
            } else {
                expect(false, "an operation is not given up by age");
            }
        });
    }
    void fail(Process& process, const Books::Delivery& delivery, bool all, KafkaPolicy policy) {
        if (!process.books.ended(delivery, true, all)) return;
        count(policy);
        process.must_stop = "an operation that is not proven";
    }
    /// It has stored an offset, or tried to.
    void stored(Process& process, std::string_view topic, std::int32_t partition, std::int64_t next, error_code error) {
        noting([&] {
            if (error) return mark(KafkaMark::store_failed);
            const auto log = kafka_.find(topic, partition);
            const auto at = process.stored.find(log);
            expect(at != process.stored.end(), "I22: offsets are stored by the owner only", log, next);
            expect(next <= process.books.watermark(log), "I20: no offset is stored above what is not settled", log,
                   next);
            if (process.sought.count(log) != 0) process.settled_before[log] = next;
            expect(next > at->second, "I21: offsets only rise within an assignment, unless they are set", log, next);
            if (process.epochs.at(log) == kafka_.epoch(log)) { // else it stores what it has read of the log before
                const auto* const unsafe = facts_.first_unsafe(log, at->second, next);
                if (unsafe != nullptr) expect(false, "I20: what is below a stored offset is safe", *unsafe);
            }
            at->second = next;
        });
    }
    /// It has set an offset, or tried to.
    void set(Process& process, std::string_view topic, std::int32_t partition, std::int64_t next, error_code error) {
        noting([&] {
            if (error) return mark(KafkaMark::store_failed);
            const auto log = kafka_.find(topic, partition);
            const auto at = process.stored.find(log);
            expect(at != process.stored.end(), "I22: offsets are set by the owner only", log, next);
            expect(next <= process.books.watermark(log), "I20: no offset is set above what is not settled", log, next);
            at->second = next;
        });
    }
    /// It has posted a dead letter.
    void posted(Process& process, const KafkaLetter& letter) {
        noting([&] {
            Posted posted;
            posted.due = ManualClock::now() + std::chrono::milliseconds{letters_are_slow() ? random_.below(1500) : 0};
            posted.whole_record = letter.action_line.empty();
            const bool unknown = letter.type == "unknown_outcome";
            posted.of_sink = !posted.whole_record && !unknown;
            posted.bytes = letter.action_line.size() + letter.source.size();
            if (letter.record != nullptr)
                posted.bytes += letter.record->key.value_or("").size() + letter.record->payload.value_or("").size();
            const auto log = kafka_.find(letter.topic, letter.partition);
            RecordFact* fact = nullptr;
            if (!posted.whole_record) {
                fact = facts_.read(letter.action_line, letter.source).record;
            } else if (letter.record != nullptr) {
                fact = facts_.find(*letter.record);
            } else { // a stash: its operations are all there is
                fact = read_lines(letter.source).front().record;
            }
            const bool given_up = process.closed && letter.offset < 0; // by its indexer, already
            expect(fact != nullptr && fact->log == log && (fact->offset == letter.offset || given_up),
                   "a dead letter says where it came from", log, letter.offset);
            posted.record = fact;
            posted.delivery = {log, fact->offset, 0};
            if (posted.whole_record) {
                expect(letter.record != nullptr || fact->kind == Kind::oversize, "the record itself is the letter",
                       *fact);
            } else {
                const auto found = facts_.read(letter.action_line, letter.source);
                expect(found.record == fact && found.fact().source == letter.source,
                       "a dead letter holds its operation, byte for byte, and where it came from", *fact);
                if (unknown) posted.delivery = process.books.latest(log, letter.offset);
            }
            if (letter.record != nullptr)
                expect(letter.record->payload == fact->payload && letter.record->key == fact->key,
                       "a dead letter's record is the one it came from", *fact);
            process.letters.push_back(posted);
        });
    }
    /// What it tells an operator: nothing is given up without.
    void told(Process& process, const SourceEvent& event) {
        noting([&] {
            using Event = SourceEvent::Kind;
            if (event.kind == Event::stopped || event.offset < 0) return;
            const auto log = kafka_.find(event.topic, event.partition);
            if (event.kind == Event::rewound) {
                if (event.reason.find("third time") == std::string_view::npos) return;
                expect(process.went_back[log] >= 2, "a member's client has gone back again and again", log,
                       event.offset);
                process.must_stop = "a client that turns in a circle";
                return;
            }
            if (event.kind == Event::store_failed) return;
            // The record of this offset that its source saw last.
            const auto shown = process.shown.find({log, event.offset});
            expect(shown != process.shown.end() && shown->second != nullptr,
                   "an event is of a record that was delivered", log, event.offset);
            auto* const fact = shown->second;
            const auto& options = process.options;
            if ((event.kind == Event::without_payload && options.on_tombstone != OnTombstone::dead_letter) ||
                (event.kind == Event::invalid && options.on_invalid == OnInvalid::skip) ||
                (event.kind == Event::too_large && options.on_rejected == OnRejected::skip))
                fact->passed = true;
            const bool closing = event.type == to_string(errc::closed);
            if (event.kind == Event::failed && !closing &&
                ((event.outcome == Outcome::rejected && options.on_rejected == OnRejected::skip) ||
                 (event.outcome == Outcome::unknown && options.on_unknown == OnUnknown::skip))) {
                const auto found = facts_.read(event.action_line, event.source);
                expect(found.record != nullptr && found.record->log == log && found.record->offset == event.offset,
                       "a failure says which operation it is about", *fact);
                found.fact().passed = true;
            }
            if (random_.once_in(4)) call_back(process, *fact);
        });
    }
    /// An observer of events may call its source.
    void call_back(Process& process, const RecordFact& fact) {
        mark(KafkaMark::called_back);
        const auto before = process.source->stats();
        const auto name = kafka_.name(fact.log);
        Record record;
        record.topic = name.topic;
        record.partition = name.partition;
        record.offset = fact.offset;
        expect(process.source->deliver(record) == Delivered::busy, "nothing is taken within a callback", fact);
        process.source->poll();
        expect(process.source->stats().consumed == before.consumed &&
                   process.source->stats().offsets_stored == before.offsets_stored &&
                   process.source->stats().offsets_set == before.offsets_set,
               "nothing happens within a callback", fact);
    }

    // ---- Dead letters ----

    [[nodiscard]] bool letters_fail() { return !calm_ && random_.below(10) < letter_trouble_; }
    [[nodiscard]] bool letters_are_slow() { return !calm_ && random_.below(10) < letter_trouble_; }
    void bury(std::string_view action_line, std::string_view source) {
        const auto found = facts_.read(action_line, source);
        expect(found.record != nullptr, "a dead letter is an operation of ours");
        found.fact().buried = true;
        ++coverage_.letters;
    }
    /// The brokers have some of its letters, or will never have them.
    void acknowledge(Process& process) {
        while (!process.letters.empty() && (process.letters.front().due <= ManualClock::now() || calm_)) {
            const auto posted = process.letters.front();
            process.letters.pop_front();
            const bool fails = letters_fail() && random_.once_in(3);
            if (fails) mark(KafkaMark::letter_failed);
            if (!fails) {
                auto& fact = *posted.record;
                process.client.acknowledge_letter();
                const auto& letter = kafka_.letters().back();
                ++coverage_.letters;
                if (!posted.whole_record) {
                    facts_.read(letter.action_line, letter.source).fact().buried = true;
                } else if (letter.has_record) {
                    fact.buried = true;
                } else { // a stash: its operations are all there is
                    for (const auto& found : read_lines(letter.source)) found.fact().buried = true;
                }
                if (!posted.of_sink) process.books.ended(posted.delivery, false, posted.whole_record);
            } else {
                process.client.acknowledge_letter(errc::sink_failed);
                if (!posted.of_sink) fail(process, posted.delivery, true, KafkaPolicy::letter_stop);
            }
            if (!random_.once_in(3)) return;
        }
    }

    // ---- The network and the server ----

    std::optional<Answer> arrived(Process& process, const SeenRequest& request) {
        std::optional<Answer> answer;
        noting([&] {
            const auto found = read_lines(request.body);
            coverage_.digest.sent(request.body, ManualClock::now().time_since_epoch());
            expect(found.size() == request.operations, "a request says how many operations it holds");
            const auto fate = choose_fate(request.body, found);
            ++coverage_.fate[std::size_t(fate)];
            answer = meet(process, fate, request.body);
        });
        return answer;
    }
    Fate choose_fate(const std::string& body, const std::vector<Facts::Found>& found) {
        if (allowed_[std::size_t(Fate::too_large)] && body.size() > largest_body_) return Fate::too_large;
        for (const auto& one : found)
            if (one.record->kind == Kind::poison) return Fate::malformed;
        if (calm_ || troubles_.empty() || random_.below(10) >= trouble_) return Fate::fine;
        return random_.pick(troubles_);
    }
    std::optional<Answer> meet(Process& process, Fate fate, const std::string& body) {
        const auto some_time = std::chrono::milliseconds{random_.between(1, 2000)};
        const auto position = process.script->requests().size() - 1;
        switch (fate) {
        case Fate::fine: return Answer::items(apply(body, false));
        case Fate::items_429: return Answer::items(apply(body, true));
        case Fate::refused: return Answer::unreachable();
        case Fate::lost_before: return Answer::lost(random_.once_in(2) ? Sent::partial : Sent::complete);
        case Fate::lost_after: (void)apply(body, false); return Answer::lost(Sent::complete);
        case Fate::prefix: (void)apply(body, false, random_.below(10)); return Answer::lost(Sent::partial);
        case Fate::late:
            later_.push_back({ManualClock::now() + some_time, process.script, position, std::nullopt, body});
            if (random_.once_in(2)) return Answer::lost(Sent::complete);
            later_.push_back(
                {ManualClock::now() + some_time * 2, process.script, position, Answer::lost(Sent::complete), {}});
            return std::nullopt;
        case Fate::slow:
            later_.push_back(
                {ManualClock::now() + some_time, process.script, position, Answer::items(apply(body, false)), {}});
            return std::nullopt;
        case Fate::busy:
            return Answer::status(random_.once_in(2) ? 429 : 503, "busy",
                                  random_.once_in(2) ? std::optional{std::chrono::seconds{random_.below(3)}}
                                                     : std::nullopt);
        case Fate::unauthorized: return Answer::status(401, "{}");
        case Fate::gateway:
            if (random_.once_in(2)) (void)apply(body, false);
            return Answer::status(random_.once_in(2) ? 502 : 504, "<html>");
        case Fate::html:
            if (random_.once_in(2)) (void)apply(body, false);
            return Answer::status(200, "<html>welcome</html>");
        case Fate::short_answer: {
            auto items = apply(body, false);
            items.pop_back();
            return Answer::items(items);
        }
        case Fate::surplus: {
            auto items = apply(body, false);
            items.push_back(items.back());
            return Answer::items(items);
        }
        case Fate::too_large: return Answer::status(413, "<html>too large</html>");
        case Fate::malformed:
            return Answer::status(400, R"({"error":{"type":"illegal_argument_exception","reason":"no"},"status":400})");
        default: return Answer::unreachable();
        }
    }
    /// Gives the model what the server takes, and returns an item for each operation.
    std::vector<std::string> apply(std::string_view body, bool refuse_some, std::size_t most = std::size_t(-1)) {
        std::vector<std::string> items;
        std::vector<std::pair<std::size_t, Facts::Found>> taken;
        std::string rest;
        for_each_line(body, [&](std::string_view lines, const Facts::Found& found) {
            const bool refused =
                found.record->kind == Kind::bad && found.operation + 1 == found.record->operations.size();
            if (items.size() >= most) return;
            if (refused) {
                items.push_back(item(400, "document_parsing_exception"));
            } else if (refuse_some && random_.once_in(2)) {
                items.push_back(item(429, "es_rejected_execution_exception"));
            } else {
                rest += lines;
                taken.emplace_back(items.size(), found);
                items.emplace_back();
            }
        });
        if (taken.empty()) return items;
        const auto answer = boost::json::parse(server_.bulk(rest).body);
        for (std::size_t i = 0; i < taken.size(); ++i) {
            const auto& said = answer.at("items").at(i);
            if (!said.as_object().begin()->value().as_object().contains("error")) facts_.applied(taken[i].second);
            items[taken[i].first] = boost::json::serialize(said);
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
            const auto script = event.script.lock();
            if (!event.apply.empty()) {
                (void)apply(event.apply, false);
                if (!script) mark(KafkaMark::applied_late);
            }
            if (script && event.answer && !script->requests()[event.position].answered)
                script->answer(event.position, std::move(*event.answer));
        }
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
            const auto found = facts_.read(action, source);
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

    // ---- What must hold ----

    /// After a source was polled, its books are ours.
    void check_books(Process& process) {
        rethrow();
        const auto stats = process.source->stats();
        const auto& books = process.books;
        expect(stats.consumed == stats.settled + stats.tracked + stats.stashed + stats.failed + stats.abandoned,
               "I23: the counters add up");
        expect(stats.consumed == books.taken(), "I23: every record is counted once");
        expect(stats.stashed == (process.stash ? 1U : 0U), "I23: the stash is what did not fit");
        if (stats.tracked + stats.stashed != books.waiting() || stats.failed != books.failed() ||
            stats.abandoned != books.abandoned())
            fail_with("I23: every record that waits is tracked once, and nothing is forgotten (waiting " +
                      std::to_string(stats.tracked + stats.stashed) + ", in our books " +
                      std::to_string(books.waiting()) + "; failed " + std::to_string(stats.failed) + ", " +
                      std::to_string(books.failed()) + "; abandoned " + std::to_string(stats.abandoned) + ", " +
                      std::to_string(books.abandoned()) + ")");
        std::size_t letter_bytes = 0;
        for (const auto& letter : process.letters)
            if (!letter.of_sink) letter_bytes += letter.bytes;
        if (letter_bytes >= process.options.max_letter_bytes) {
            mark(KafkaMark::letters_full);
            expect(!process.source->accepting(), "letters on their way are bounded");
        }
        if (process.source->accepting()) {
            process.was_full = false;
        } else if (process.stash) {
            process.was_full = true;
        } else if (!process.was_full && letter_bytes < 512 && process.phase == Phase::running &&
                   !process.source->stopped()) {
            mark(KafkaMark::kept_full);
        }
        if (process.must_stop != nullptr) expect(process.source->stopped(), "a source stops", process.must_stop);
        expect(!process.source->stopped() || process.must_stop != nullptr, "a source does not stop without a reason");
        if (process.client.pause_error) return;
        for (const auto log : process.client.owned()) {
            const auto limit = process.options.max_span_per_partition;
            const auto span = std::size_t(books.next(log) < 0 ? 0 : books.next(log) - books.watermark(log));
            const bool paused = process.client.paused(log);
            if (span > limit) {
                mark(KafkaMark::span_paused);
                expect(paused, "I24: a partition that is far ahead is paused", log, books.next(log));
            }
            expect(books.held(log) <= 2 * limit + 1, "I24: what is tracked is bounded", log, books.next(log));
            if (process.stash && process.options.pause_after == 0ms)
                expect(paused, "a full indexer pauses everything", log, books.next(log));
        }
    }
    void check() {
        rethrow();
        for (const auto& violation : kafka_.violations()) expect(false, ("Kafka: " + violation).c_str());
        for (Log log = 0; log < kafka_.logs(); ++log) {
            if (stale_[log]) continue; // it is of before
            const auto committed = kafka_.committed(log).value_or(0);
            const bool was_set = std::exchange(sets_[log], kafka_.times_set(log)) != sets_[log];
            if (was_set && kafka_.epoch(log) != 0) proven_[log] = std::min(proven_[log], committed);
            expect(committed >= proven_[log],
                   "I21: what the group has committed goes back only where a log was created again or truncated", log,
                   committed);
            if (committed == proven_[log]) continue;
            const auto* const unsafe = facts_.first_unsafe(log, proven_[log], committed);
            if (unsafe != nullptr) expect(false, "I26: what is below a committed offset is safe", *unsafe);
            proven_[log] = committed;
        }
        for (const auto& process : processes_) {
            if (!process) continue;
            const auto stats = process->indexer->stats();
            expect(stats.buffered_bytes <= indexer_options_.max_buffered_bytes, "I12: the byte budget holds");
            expect(stats.accepted == stats.settled() + stats.pending, "I19: the counters add up");
            if (process->stalled_until <= process->last_turn)
                expect(ManualClock::now() - process->last_turn <= revoke_drain_ + 200ms,
                       "I25: a member polls in time, whatever happens");
        }
    }
    [[nodiscard]] bool anybody() const {
        return std::any_of(processes_.begin(), processes_.end(), [](const Slot& slot) { return slot != nullptr; });
    }
    [[nodiscard]] bool at_rest() const { return anybody() && why_not().empty(); }
    /// Why the group is not at rest; empty when it is.
    [[nodiscard]] std::string why_not() const {
        if (!kafka_.stable() || !later_.empty() || !expiries_.empty()) return "the group moves";
        for (Log log = 0; log < kafka_.logs(); ++log)
            if (kafka_.committed(log).value_or(0) < facts_.end(log) || (stale_[log] && facts_.unread(log)))
                return "partition " + std::to_string(log) + " is committed to " +
                       std::to_string(kafka_.committed(log).value_or(0)) + " of " + std::to_string(facts_.end(log));
        for (const auto& process : processes_) {
            if (!process) continue;
            if (process->phase != Phase::running || process->source->stopped()) return "a member ends";
            if (!kafka_.has_member(process->client.member())) return "a member is not in the group";
            if (process->indexer->stats().pending != 0) return "an indexer has operations pending";
            if (!process->source->drained() || !process->source->accepting()) return "a source is not done";
            for (const auto log : process->client.owned())
                if (process->client.paused(log)) return "a partition is still paused";
        }
        return {};
    }
    /// Nobody has anything to do, and nothing is done.
    void idle() {
        handlers_ = 0;
        for (int i = 0; i < 100; ++i) tick(100ms);
        expect(handlers_ <= 50 * processes_.size(), "L4: who is idle runs nothing");
    }
    void check_end() {
        std::size_t documents = 0;
        for (const auto& record : facts_.records()) {
            if (!record.gone) {
                if (!facts_.safe(record)) expect(false, "I26: nothing is lost", record);
                expect(record.delivered != 0, "every record is read", record);
            }
            for (const auto& operation : record.operations) {
                if (operation.id.empty()) documents += operation.applied;
                if (operation.id.empty() || operation.version >= 0 || operation.applied == 0) continue;
                ++documents;
                expect(server_.source("logs", operation.id) == operation.source,
                       "a document is stored under its id, byte for byte", record);
                expect(operation.applied == 1, "a document is created once", record);
            }
        }
        for (const auto& [id, newest] : facts_.newest()) {
            const auto source = server_.source("logs", id);
            if (newest.fact().source.empty()) {
                expect(!source, "what was deleted last is gone", *newest.record);
            } else {
                ++documents;
                expect(source == newest.fact().source, "the newest of a key is what is stored", *newest.record);
            }
        }
        expect(server_.count("logs") == documents, "I26: a record leaves one document, however often it was sent");
    }

    void mark(KafkaMark what) noexcept { ++coverage_.mark[std::size_t(what)]; }
    void count(KafkaPolicy what) noexcept { ++coverage_.policy[std::size_t(what)]; }
    [[nodiscard]] Log log_of(const ModelRecord& record) const { return kafka_.find(record.topic, record.partition); }

    // What is thrown out of an observer or a callback the library takes care of, so it is remembered as well.
    template <class F>
    void noting(F f) noexcept {
        try {
            f();
        } catch (const std::exception& e) {
            if (broken_.empty()) broken_ = e.what();
        }
    }
    void note(const char* promise) const {
        if (broken_.empty()) broken_ = promise;
    }
    void rethrow() const {
        if (!broken_.empty()) throw Broken{broken_};
    }
    void expect(bool holds, const char* promise) const {
        if (!holds) fail_with(promise);
    }
    void expect(bool holds, const char* promise, const std::string& what) const {
        if (!holds) fail_with(std::string{promise} + " (" + what + ")");
    }
    void expect(bool holds, const char* promise, Log log, std::int64_t offset) const {
        if (!holds)
            fail_with(std::string{promise} + " (partition " + std::to_string(log) + ", offset " +
                      std::to_string(offset) + ")");
    }
    void expect(bool holds, const char* promise, const ModelRecord& record) const {
        expect(holds, promise, log_of(record), record.offset);
    }
    void expect(bool holds, const char* promise, const RecordFact& record) const {
        if (holds) return;
        std::string text = std::string{promise} + " (partition " + std::to_string(record.log) + ", offset " +
                           std::to_string(record.offset) + ", " + std::string{kind_names[std::size_t(record.kind)]} +
                           ", taken " + std::to_string(record.delivered) + " times";
        for (const auto& operation : record.operations)
            text += ", applied " + std::to_string(operation.applied) + (operation.buried ? " and buried" : "") +
                    (operation.passed ? " and given up" : "");
        fail_with(text + ")");
    }
    void fail_with(const std::string& promise) const {
        if (broken_.empty()) broken_ = promise;
        throw Broken{broken_};
    }

    Random random_;
    KafkaCoverage& coverage_;
    ModelKafka kafka_;
    Facts facts_;
    ModelElasticsearch server_;
    IndexerOptions indexer_options_;
    KafkaSourceOptions source_options_;
    SinkKind sink_{};
    bool with_topic_ = false;
    bool statically_ = false; ///< members have names that outlive them
    std::chrono::milliseconds revoke_drain_{};
    std::chrono::milliseconds commit_every_{};
    std::vector<Kind> kinds_;
    std::array<bool, fates> allowed_{true};
    std::vector<Fate> troubles_;
    std::size_t trouble_ = 0; ///< of ten requests
    std::size_t largest_body_ = 0;
    std::size_t letter_trouble_ = 0; ///< of ten
    bool calm_ = false;
    std::vector<Later> later_;
    std::vector<std::pair<Time, std::uint64_t>> expiries_; ///< when the group gives which member up
    std::vector<std::uint64_t> killed_;                    ///< by place: the member that was killed last
    std::vector<std::int64_t> proven_;                     ///< by log: committed, and looked at
    std::vector<bool> stale_; ///< by log: the group's offset is one of before the log was created again or truncated
    std::vector<std::size_t> sets_; ///< by log: how often a member had set it
    std::uint64_t last_process_ = 0;
    std::size_t waiting_ = 0; ///< revokes that wait
    std::uint64_t handlers_ = 0;
    mutable std::string broken_; ///< the first promise that was
    std::vector<Slot> processes_;
};

} // namespace bulkhead::inline v1::test::simulation
