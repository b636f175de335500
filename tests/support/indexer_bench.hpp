// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <map>
#include <string>
#include <vector>

namespace bench {

using namespace std::chrono_literals;
using namespace bulkhead;
using test::Answer;
using test::item;
using test::ManualClock;
using test::Script;
using test::ScriptedTransport;

/// What an observer was told, with the views copied.
struct Told {
    std::uint64_t key;
    Outcome outcome;
    std::uint16_t status;
    std::uint32_t attempts;
    std::string type;
    std::string reason;
    std::string action_line;
    std::string source;
};

/// An indexer in virtual time over a scripted transport, with one observer that keeps what it is told.
struct Bench {
    using Indexer = BulkIndexer<ScriptedTransport, ManualClock>;

    explicit Bench(IndexerOptions options = {}, DeadLetters sink = {})
        : script{std::make_shared<Script>()}, indexer{std::in_place, context.get_executor(), ScriptedTransport{script},
                                                      with_index(std::move(options)), std::move(sink)} {
        subscription = indexer->subscribe(context.get_executor(), [this](std::span<const Settlement> settlements) {
            ++calls;
            for (const auto& s : settlements) {
                Told one{s.key, s.outcome, s.status, s.attempts, {}, {}, {}, {}};
                if (s.failure != nullptr) {
                    one.type = s.failure->type;
                    one.reason = s.failure->reason;
                    one.action_line = s.failure->action_line;
                    one.source = s.failure->source;
                }
                told.push_back(std::move(one));
            }
        });
    }
    static IndexerOptions with_index(IndexerOptions options) {
        if (options.index.empty()) options.index = "logs";
        return options;
    }

    Admission put(std::uint64_t key, Operation op = {}) {
        const auto source = "{\"n\":" + std::to_string(key) + "}";
        if (op.source.empty() && op.action != Action::delete_) op.source = source;
        return indexer->try_enqueue(op, subscription.ticket(key));
    }
    /// Puts `count` operations with keys from `first`; all must be accepted.
    bool put_many(std::uint64_t first, std::uint64_t count) {
        for (auto key = first; key < first + count; ++key)
            if (put(key) != Admission::accepted) return false;
        return true;
    }
    void run() { test::run_ready(context); }
    void run_for(ManualClock::duration time, ManualClock::duration step = 10ms) { test::run_for(context, time, step); }
    /// Seals what is open and lets it travel.
    void flush() {
        indexer->flush();
        run();
    }
    [[nodiscard]] Stats stats() const { return indexer->stats(); }
    [[nodiscard]] bool books_balance() const {
        const auto s = stats();
        return s.offered == s.accepted + s.refused() && s.accepted == s.settled() + s.pending;
    }
    /// How often each key was told.
    [[nodiscard]] std::map<std::uint64_t, int> times_told() const {
        std::map<std::uint64_t, int> times;
        for (const auto& one : told) ++times[one.key];
        return times;
    }
    [[nodiscard]] std::size_t count(Outcome outcome) const {
        std::size_t n = 0;
        for (const auto& one : told) n += one.outcome == outcome ? 1U : 0U;
        return n;
    }

    asio::io_context context;
    std::shared_ptr<Script> script;
    std::vector<Told> told;
    int calls = 0;
    std::optional<Indexer> indexer;
    Subscription subscription;
};

/// The lines of a bulk body.
inline std::vector<std::string> lines(const std::string& body) {
    std::vector<std::string> all;
    for (std::size_t from = 0; from < body.size();) {
        const auto to = body.find('\n', from);
        all.push_back(body.substr(from, to - from));
        from = to + 1;
    }
    return all;
}

} // namespace bench
