// SPDX-License-Identifier: BSL-1.0
// The examples of a source in someone's own loop: this file's definitions are their paths.
#include "kafka/child.hpp"
#include "kafka/world.hpp"
#include "support/catch.hpp"

#include <bulkhead/test/bulk_server.hpp>

using namespace bulkhead_test;

namespace {

void live(const std::string& program, const std::string& group) {
    const Watchdog watchdog;
    MockKafka kafka;
    kafka.create_topic("t", 2);
    for (int p = 0; p < 2; ++p)
        for (int i = 0; i < 500; ++i) kafka.produce("t", p, "key", R"({"level":"info"})");
    kafka.flush();
    test::BulkServer server;
    server.misbehave([](const test::BulkRequestInfo& request) -> std::optional<test::CannedAnswer> {
        if (request.number > 2) return std::nullopt;
        return test::CannedAnswer{}; // 503
    });
    Child child{{program, kafka.bootstrap_servers(), "t", server.url()}};
    Store clock; // for its waiting only
    clock.wait_until([&] { return server.count("logs") == 1000; });
    child.signal(SIGINT);
    CHECK(child.wait() == 0);
    for (int p = 0; p < 2; ++p) CHECK(kafka.committed(group, "t", p) == 500);
}

} // namespace

#ifdef BULKHEAD_LIBRDKAFKA_LOOP
TEST_CASE("a source in a loop of one's own over librdkafka's C API", "[kafka_loops]") {
    live(BULKHEAD_LIBRDKAFKA_LOOP, "librdkafka_loop");
}
#endif
#ifdef BULKHEAD_RDKAFKACPP_LOOP
TEST_CASE("a source in a loop of one's own over librdkafka's C++ wrapper", "[kafka_loops]") {
    live(BULKHEAD_RDKAFKACPP_LOOP, "rdkafkacpp_loop");
}
#endif
