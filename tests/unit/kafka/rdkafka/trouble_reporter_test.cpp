// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/detail/progress/trouble_reporter.hpp>

#include <string>
#include <vector>

using bulkhead::kafka::ClientEvent;
using bulkhead::kafka::ClientTrouble;
using bulkhead::kafka::detail::TroubleReporter;
using namespace std::chrono_literals;

namespace {

constexpr TroubleReporter::time_point trouble_begin{1h};

ClientTrouble stall_of(std::int32_t partition) { return {"events", partition, true, {}, "stands still", 30s}; }

/// The events of one report, as texts.
std::vector<std::string> reports(TroubleReporter& reporter, const std::vector<ClientTrouble>& troubles,
                                 TroubleReporter::time_point now) {
    std::vector<std::string> all;
    const auto given_back = [](const std::string&, std::int32_t partition) { return partition == 7; };
    reporter.report(troubles, now, given_back, [&](const ClientEvent& event) {
        CHECK(event.level == (event.kind == ClientEvent::Kind::trouble ? 3 : 6));
        all.push_back(std::string{event.topic} + " " + std::to_string(event.partition) + ": " +
                      std::string{event.text});
    });
    return all;
}
using Texts = std::vector<std::string>;

} // namespace

TEST_CASE("a trouble is reported, again after every interval, and once when it is over", "[trouble_reporter]") {
    TroubleReporter reporter{30s};
    CHECK(reports(reporter, {}, trouble_begin).empty());
    CHECK(reports(reporter, {stall_of(1)}, trouble_begin) == Texts{"events 1: stands still"});
    CHECK(reports(reporter, {stall_of(1)}, trouble_begin + 29s).empty());
    CHECK(reports(reporter, {stall_of(1)}, trouble_begin + 30s) == Texts{"events 1: stands still"});
    CHECK(reports(reporter, {}, trouble_begin + 31s) == Texts{"events 1: events-1 goes on"});
    CHECK(reports(reporter, {}, trouble_begin + 32s).empty());
    CHECK(reports(reporter, {stall_of(1)}, trouble_begin + 33s) == Texts{"events 1: stands still"}); // a new one
}

TEST_CASE("an error is a trouble once it has lasted the interval", "[trouble_reporter]") {
    TroubleReporter reporter{30s};
    ClientTrouble error{"", -1, false, {}, "no coordinator", 29s};
    CHECK(reports(reporter, {error}, trouble_begin).empty());
    CHECK(reports(reporter, {}, trouble_begin + 1s).empty()); // it was not reported, so neither is its end
    error.lasted = 30s;
    CHECK(reports(reporter, {error}, trouble_begin + 2s) == Texts{" -1: no coordinator"});
    CHECK(reports(reporter, {}, trouble_begin + 3s) == Texts{" -1: the consumer group goes on"});
}

TEST_CASE("each partition has its own times", "[trouble_reporter]") {
    TroubleReporter reporter{30s};
    CHECK(reports(reporter, {stall_of(1)}, trouble_begin) == Texts{"events 1: stands still"});
    CHECK(reports(reporter, {stall_of(0), stall_of(1)}, trouble_begin + 20s) == Texts{"events 0: stands still"});
    CHECK(reports(reporter, {stall_of(0), stall_of(1)}, trouble_begin + 30s) == Texts{"events 1: stands still"});
    CHECK(reports(reporter, {stall_of(1)}, trouble_begin + 31s) == Texts{"events 0: events-0 goes on"});
}

TEST_CASE("a trouble of a partition that is given back does not go on", "[trouble_reporter]") {
    TroubleReporter reporter{30s};
    CHECK(reports(reporter, {stall_of(7)}, trouble_begin) == Texts{"events 7: stands still"});
    CHECK(reports(reporter, {}, trouble_begin + 1s) == Texts{"events 7: events-7 is given back"});
}
