// SPDX-License-Identifier: BSL-1.0
#include "kafka/world.hpp"
#include "support/catch.hpp"

#include <dlfcn.h>

using namespace bulkhead_test;

namespace {

using RebalanceCallback = void (*)(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*, void*);

std::atomic<RebalanceCallback> drivers_own{nullptr};

/// What librdkafka called it with, when it did so last on this thread.
thread_local rd_kafka_t* seen_client = nullptr;
thread_local void* seen_opaque = nullptr;

void noticed(rd_kafka_t* client, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list, void* opaque) {
    seen_client = client;
    seen_opaque = opaque;
    drivers_own.load()(client, what, list, opaque);
}

} // namespace

/// The one that this whole program calls, instead of librdkafka's: the mock cluster brings no error into the callback.
extern "C" void rd_kafka_conf_set_rebalance_cb(rd_kafka_conf_t* conf, RebalanceCallback callback) {
    using Setter = void (*)(rd_kafka_conf_t*, RebalanceCallback);
    static const auto real = reinterpret_cast<Setter>(::dlsym(RTLD_NEXT, "rd_kafka_conf_set_rebalance_cb")); // NOLINT
    drivers_own = callback;
    real(conf, &noticed);
}

TEST_CASE("driver: a rebalance that fails takes the partitions away; what was not committed is read again",
          "[rdkafka][F141]") {
    const Watchdog watchdog;
    World world;
    world.kafka.create_topic("events", 2);
    world.produce("events", 2, 50);
    auto options = options_for(world, "events");
    int errors = 0;
    int lost = 0;
    options.on_event = [&](const kafka::ClientEvent& event) {
        errors += event.kind == kafka::ClientEvent::Kind::error ? 1 : 0;
        lost += event.kind == kafka::ClientEvent::Kind::lost ? 1 : 0;
    };
    {
        TestDriver driver{world.indexer, EventMapper{}, options};
        world.store->black_hole = true;
        while (driver.stats().source.consumed < 100) driver.poll_once(milliseconds{10});

        const auto assignment = [] {
            rd_kafka_topic_partition_list_t* list = nullptr;
            REQUIRE(rd_kafka_assignment(seen_client, &list) == RD_KAFKA_RESP_ERR_NO_ERROR);
            return std::unique_ptr<rd_kafka_topic_partition_list_t, decltype(&rd_kafka_topic_partition_list_destroy)>{
                list, &rd_kafka_topic_partition_list_destroy};
        };
        REQUIRE(assignment()->cnt == 2);
        drivers_own.load()(seen_client, RD_KAFKA_RESP_ERR__FAIL, assignment().get(), seen_opaque);
        CHECK(assignment()->cnt == 0);
        CHECK(errors == 1);
        CHECK(lost == 1);
        CHECK(driver.source().stats().assigned_partitions == 0);
        CHECK(driver.source().stats().tracked == 0);

        world.store->black_hole = false; // what was under way settles now, for nobody
        while (driver.stats().source.late < 100) driver.poll_once(milliseconds{10});
        CHECK(driver.stats().source.offsets_stored == 0);
        static_cast<void>(driver.close(seconds{10}));
        CHECK(world.committed("events", 2) == 0);
    }
    TestDriver again{world.indexer, EventMapper{}, options};
    while (again.stats().source.settled < 100) again.poll_once(milliseconds{10});
    CHECK(again.close(seconds{10}).drained);
    CHECK(world.committed("events", 2) == 100);
    CHECK(world.store->size() == 100);
}
