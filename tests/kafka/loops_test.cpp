// SPDX-License-Identifier: BSL-1.0
// The examples that copy a topic into an index, until a signal ends them: this file's definitions are their paths.
#include "kafka/world.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"

#include <bulkhead/test/bulk_server.hpp>

using namespace bulkhead_test;

namespace {

void live(const std::string& program, const std::string& group, int signal) {
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
    child.signal(signal);
    CHECK(child.wait() == 0);
    for (int p = 0; p < 2; ++p) CHECK(kafka.committed(group, "t", p) == 500);
}

/// Ends by itself, and says so, when the client does not go on.
void die(const std::string& program, const std::string& group) {
    const Watchdog watchdog;
    MockKafka kafka;
    kafka.create_topic("t", 1);
    for (int i = 0; i < 10; ++i) kafka.produce("t", 0, "key", R"({"level":"info"})");
    kafka.flush();
    test::BulkServer server;
    Child child{{program, kafka.bootstrap_servers(), "t", server.url()}};
    Store clock; // for its waiting only
    clock.wait_until([&] { return kafka.committed(group, "t", 0) == 10; });
    const auto fenced = RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    rd_kafka_mock_push_request_errors_array(kafka.cluster(), 12 /* Heartbeat */, 1, &fenced);
    CHECK(child.wait() == 1);
}

} // namespace

#ifdef BULKHEAD_KAFKA_TO_LOGS
TEST_CASE("the driver in a program of ten lines, ended by its supervisor", "[kafka_loops][F123]") {
    live(BULKHEAD_KAFKA_TO_LOGS, "kafka_to_logs", SIGTERM);
}
TEST_CASE("the driver in a program of ten lines: a fatal error is its exit status", "[kafka_loops][F159]") {
    die(BULKHEAD_KAFKA_TO_LOGS, "kafka_to_logs");
}
#endif
#ifdef BULKHEAD_LIBRDKAFKA_LOOP
TEST_CASE("a source in a loop of one's own over librdkafka's C API", "[kafka_loops]") {
    live(BULKHEAD_LIBRDKAFKA_LOOP, "librdkafka_loop", SIGINT);
}
TEST_CASE("a loop of one's own over librdkafka's C API ends at a fatal error", "[kafka_loops]") {
    die(BULKHEAD_LIBRDKAFKA_LOOP, "librdkafka_loop");
}
#endif
#ifdef BULKHEAD_RDKAFKACPP_LOOP
TEST_CASE("a source in a loop of one's own over librdkafka's C++ wrapper", "[kafka_loops]") {
    live(BULKHEAD_RDKAFKACPP_LOOP, "rdkafkacpp_loop", SIGTERM);
}
TEST_CASE("a loop of one's own over librdkafka's C++ wrapper ends at a fatal error", "[kafka_loops]") {
    die(BULKHEAD_RDKAFKACPP_LOOP, "rdkafkacpp_loop");
}
#endif
