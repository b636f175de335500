// SPDX-License-Identifier: BSL-1.0
// The events' way from Kafka into the index. docs/testing-your-service.md explains it.
#include "check.hpp"
#include "service.hpp"

#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/standalone_indexer.hpp>
#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/test/mock_kafka.hpp>

#include <chrono>
#include <functional>

using namespace std::chrono_literals;

namespace {

/// Drives the consumer until something holds.
template <class Driver>
void poll_until(Driver& driver, const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!holds()) {
        check(driver.poll_once(10ms), "the driver goes on");
        check(std::chrono::steady_clock::now() < deadline, "in time");
    }
}

void an_offset_is_committed_only_when_its_event_is_stored() {
    bulkhead::test::MockKafka kafka;
    kafka.create_topic("orders", 1);
    for (int i = 0; i < 100; ++i) kafka.produce("orders", 0, "A1", R"({"state":"paid"})");
    kafka.flush();

    bulkhead::test::BulkServer server;
    server.misbehave([](const auto&) { return bulkhead::test::CannedAnswer{.status = 503}; });
    bulkhead::StandaloneIndexer<bulkhead::HttpTransport> indexer{
        bulkhead::HttpOptions{.url = server.url()},
        {.flush_interval = 50ms, .retry = {.max_age = bulkhead::unlimited}}};
    bulkhead::kafka::Driver driver{
        *indexer, shop::map_order_event, {.brokers = kafka.bootstrap_servers(), .group = "shop", .topics = {"orders"}}};

    poll_until(driver, [&] { return driver.stats().source.consumed == 100 && server.bulk_requests() >= 3; });
    check(driver.stats().source.offsets_stored == 0, "no offset moves while nothing is stored");

    server.misbehave({});
    poll_until(driver, [&] { return driver.stats().source.settled == 100; });
    const auto report = driver.close(30s);
    check(report.drained && report.committed, "closed cleanly");
    check(server.count("order-events") == 100, "all are stored");
    check(kafka.committed("shop", "orders", 0) == 100, "and committed");
}

} // namespace

int main() {
    return run_cases({
        {"an offset is committed only when its event is stored", an_offset_is_committed_only_when_its_event_is_stored},
    });
}
