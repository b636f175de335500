// SPDX-License-Identifier: BSL-1.0
#include "kafka/world.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"

#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/standalone_indexer.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <cstdlib>
#include <limits>
#include <random>

#include <sys/prctl.h>

using namespace bulkhead_test;

namespace {

constexpr int lived_partitions = 2;
constexpr std::int64_t records = 6000; // in each

/// What runs the test below this one.
std::vector<std::string> environment(const MockKafka& kafka, const test::BulkServer& server) {
    return {"BULKHEAD_BROKERS=" + kafka.bootstrap_servers(), "BULKHEAD_URL=" + server.url()};
}

/// What goes wrong in a life with three violent deaths, by seed. Nothing: empty.
std::string live_and_die(std::uint32_t seed) {
    std::mt19937 random{seed};
    std::string wrong;
    MockKafka kafka;
    kafka.create_topic("t", lived_partitions);
    for (int p = 0; p < lived_partitions; ++p)
        for (std::int64_t i = 0; i < records; ++i) kafka.produce("t", p, {}, R"({"level":"info"})");
    kafka.flush();
    const auto committed = [&](int p) { return kafka.committed("group", "t", p).value_or(0); };

    test::BulkServer server;
    Store sent; // how often each document was
    std::atomic<std::uint64_t> deadly{std::numeric_limits<std::uint64_t>::max()};
    std::size_t applied = 0;
    std::atomic<const Child*> child{nullptr};
    server.misbehave([&](const test::BulkRequestInfo& request) -> std::optional<test::CannedAnswer> {
        sent.note(request.body);
        const auto* const victim = child.load();
        if (victim == nullptr || request.number < deadly) return std::nullopt;
        victim->signal(SIGKILL);
        test::CannedAnswer none;
        none.apply_at_most = request.number == deadly ? applied : 0;
        none.close_without_answer = true;
        sent.changed.notify_all();
        return none;
    });
    const auto until = Clock::now() + seconds{45};
    const auto wait = [&](auto predicate) {
        sent.wait_until([&] { return predicate() || Clock::now() > until; });
        return Clock::now() <= until;
    };
    std::map<std::string, int> done; // what was committed at some death, and how often it had been sent
    for (int death = 0; death < 3; ++death) {
        // At a request of this life: before anything of it is applied, after a part, or after all of it.
        const auto after = 1 + random() % 90;
        if (death != 0) deadly = server.bulk_requests() + after;
        applied = std::array<std::size_t, 3>{0, 10, 20}[random() % 3];
        Child one{{"/proc/self/exe", "[child]"}, environment(kafka, server)};
        child = &one;
        if (death == 0) { // the first of them when something is committed
            static_cast<void>(wait([&] { return committed(0) + committed(1) > 0; }));
            deadly = server.bulk_requests() + after;
        }
        const bool died = wait([&] { return server.bulk_requests() >= deadly; });
        child = nullptr;
        if (!died)
            return "death " + std::to_string(death) + " did not come, " + std::to_string(committed(0)) + " and " +
                   std::to_string(committed(1)) + " are committed of " + std::to_string(sent.size());
        one.wait();
        static_cast<void>(server.bulk_requests()); // by its lock: nobody looks at this child any more
        for (int p = 0; p < lived_partitions; ++p)
            for (std::int64_t i = 0, end = committed(p); i < end; ++i)
                done.emplace(id_of("t", p, i), sent.times(id_of("t", p, i)));
    }
    const Child last{{"/proc/self/exe", "[child]"}, environment(kafka, server)};
    if (!wait([&] { return committed(0) + committed(1) == lived_partitions * records; }))
        wrong += "not all is committed; ";
    std::size_t lost = 0;
    for (int p = 0; p < lived_partitions; ++p)
        for (std::int64_t i = 0; i < records; ++i) lost += server.source("logs", id_of("t", p, i)) ? 0U : 1U;
    if (lost != 0) wrong += std::to_string(lost) + " are lost; ";
    int again = 0;
    for (const auto& [id, times] : done) again += sent.times(id) > times ? 1 : 0;
    if (again != 0) wrong += std::to_string(again) + " were sent again that had been committed; ";
    if (done.empty()) wrong += "nothing was ever committed before a death; ";
    if (server.count("logs") != lived_partitions * records) wrong += "other documents are there; ";
    return wrong;
}

} // namespace

TEST_CASE("driver: killed at any request, and started again: nothing is lost, only what was not committed is repeated",
          "[kafka_kill][F156]") {
    const Watchdog watchdog;
    std::vector<std::string> wrong(3);
    std::vector<std::thread> lives;
    for (std::uint32_t i = 0; i < wrong.size(); ++i)
        lives.emplace_back([&, i] { wrong[i] = live_and_die(20260000 + i); });
    for (auto& life : lives) life.join();
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        CAPTURE(i);
        CHECK(wrong[i] == "");
    }
}

TEST_CASE("a consumer that runs until it is killed", "[.][child]") {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto* const brokers = std::getenv("BULKHEAD_BROKERS");
    const auto* const url = std::getenv("BULKHEAD_URL");
    if (brokers == nullptr || url == nullptr) return; // run by hand, or by a filter that only leaves others out
    IndexerOptions options;
    options.max_batch_operations = 20;
    options.max_in_flight = 2;
    options.retry.max_age = unlimited;
    options.flush_interval = milliseconds{20};
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = url}, options};
    kafka::DriverOptions driver;
    driver.brokers = brokers;
    driver.group = "group";
    driver.topics = {"t"};
    driver.commit_interval = milliseconds{10};
    driver.config = {{"session.timeout.ms", "3000"}, {"heartbeat.interval.ms", "200"}, {"fetch.wait.max.ms", "50"}};
    driver.on_event = [](const kafka::ClientEvent&) {};
    kafka::Driver{*indexer, EventMapper{}, driver}.run();
}
