// SPDX-License-Identifier: BSL-1.0
// The system's clock jumps while documents wait: an administrator, a virtual machine that was asleep, a time server.
#include "support/catch.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <atomic>
#include <ctime>
#include <future>

#include <sys/syscall.h>
#include <unistd.h>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {
std::atomic<std::time_t> jumped{0};
} // namespace

/// The one that this whole program calls, instead of the C library's.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
    const auto result = ::syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += jumped.load();
    return static_cast<int>(result);
}

TEST_CASE("the system's clock jumps by a day, there and back: nothing grows old, hangs or is given up", "[F069]") {
    const auto day = std::chrono::seconds{24h}.count();
    const auto jump = [&](std::time_t to) {
        const auto before = std::chrono::system_clock::now();
        jumped = to;
        const auto moved = std::chrono::abs(std::chrono::system_clock::now() - before);
        REQUIRE(moved > 23h); // otherwise this test shows nothing
    };
    test::BulkServer server;
    std::promise<void> asked;
    server.misbehave([&asked](const test::BulkRequestInfo& request) -> std::optional<test::CannedAnswer> {
        if (request.number == 1) asked.set_value();
        if (request.number <= 3) return test::CannedAnswer{}; // 503
        return std::nullopt;
    });
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()},
                                             IndexerOptions{.index = "logs",
                                                            .flush_interval = 100ms,
                                                            .max_buffered_operations = 10,
                                                            .retry = {.initial_backoff = 20ms, .max_backoff = 50ms}}};
    auto first = day;
    SECTION("forward first") {}
    SECTION("back first") { first = -day; }
    for (int i = 0; i < 10; ++i) REQUIRE(indexer->try_enqueue({.source = R"({"n":1})"}) == Admission::accepted);
    jump(first); // while the flush interval runs
    REQUIRE(asked.get_future().wait_for(30s) == std::future_status::ready);
    jump(-first);                                                                       // while it waits to send again
    CHECK(indexer->enqueue_wait({.source = R"({"n":1})"}, 30s) == Admission::accepted); // there was no room
    jump(0);
    const auto report = indexer.close(30s);
    CHECK(report.drained);
    CHECK(report.stats.indexed == 11);
    CHECK(report.stats.failed_requests == 3);
    CHECK(report.stats.settle_time.quantile(1.0) < 1h);
    CHECK(server.count("logs") == 11);
}
