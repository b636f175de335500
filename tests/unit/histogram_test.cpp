// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/failure_class.hpp>
#include <bulkhead/histogram.hpp>

using namespace bulkhead;
using namespace std::chrono_literals;

TEST_CASE("a quantile is the value of that rank, within a bucket's width", "[histogram]") {
    Histogram h;
    CHECK(h.quantile(0.99) == 0ns);
    for (int ms = 1; ms <= 1000; ++ms) h.record(std::chrono::milliseconds{ms});
    CHECK(h.count() == 1000);
    CHECK(h.sum() == 500'500ms);
    CHECK(h.max() == 1s);
    for (const auto rank : {1, 10, 250, 500, 900, 990, 999}) {
        const std::chrono::nanoseconds exact = std::chrono::milliseconds{rank};
        const auto found = h.quantile(rank / 1000.0);
        CAPTURE(rank, found.count());
        CHECK(found >= exact);
        CHECK(found <= exact * 5 / 4);
    }
    CHECK(h.quantile(1) == 1s);
}

TEST_CASE("what is below a power of two is counted exactly", "[histogram]") {
    Histogram h;
    h.record(1023ns);
    h.record(1024ns, 3);
    h.record(0ns);
    h.record(-5ns); // a clock that went back
    CHECK(h.count_below(10) == 3);
    CHECK(h.count_below(11) == 6);
    CHECK(h.count_below(2) == 2);
    CHECK(h.count() == 6);
}

TEST_CASE("hours and days are counted, at the end", "[histogram]") {
    Histogram h;
    h.record(240h);
    h.record(std::chrono::nanoseconds::max(), 0);
    CHECK(h.count() == 1);
    CHECK(h.count_below(Histogram::most_bits) == 0);
    CHECK(h.quantile(0.5) == 240h);
    CHECK(h.max() == 240h);
}

TEST_CASE("small values have a bucket each", "[histogram]") {
    BasicHistogram<5> fine;
    for (int ns = 0; ns < 32; ++ns) fine.record(std::chrono::nanoseconds{ns});
    CHECK(fine.quantile(0.5) == 15ns);
    CHECK(fine.quantile(1) == 31ns);
}

TEST_CASE("a failure's class is that of its status, or of what is its own", "[histogram]") {
    CHECK(classify("transport", 0) == FailureClass::transport);
    CHECK(classify("no_answer", 0) == FailureClass::transport);
    CHECK(classify("http_200", 200) == FailureClass::transport);
    CHECK(classify("malformed_answer", 200) == FailureClass::malformed_answer);
    CHECK(classify("es_rejected_execution_exception", 429) == FailureClass::pushed_back);
    CHECK(classify("http_401", 401) == FailureClass::not_allowed);
    CHECK(classify("cluster_block_exception", 403) == FailureClass::not_allowed);
    CHECK(classify("http_407", 407) == FailureClass::not_allowed);
    CHECK(classify("http_413", 413) == FailureClass::too_large);
    CHECK(classify("http_301", 301) == FailureClass::client_error);
    CHECK(classify("document_parsing_exception", 400) == FailureClass::client_error);
    CHECK(classify("unavailable_shards_exception", 503) == FailureClass::server_error);
    CHECK(classify("sink_failed", 0) == FailureClass::sink);
    for (const auto* type : {"overflow", "too_old", "closed", "invalid_operation", "observer_threw"})
        CHECK(classify(type, 0) == FailureClass::local);
}

TEST_CASE("what many waited in a long outage is not too much for the sum", "[stats]") {
    bulkhead::Histogram h;
    for (int i = 0; i < 3; ++i) h.record(6h, 1'000'000);
    CHECK(h.sum() == std::chrono::duration<double>{3 * 6 * 3600.0 * 1e6});
}
