// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/encode/ndjson.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/settlement.hpp>
#include <bulkhead/stats.hpp>

#include <functional>
#include <limits>
#include <set>
#include <string>
#include <string_view>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

std::string refused_field(const std::function<void(IndexerOptions&)>& change) {
    IndexerOptions options;
    change(options);
    const auto error = validate(options);
    if (!error) return "nothing";
    CHECK_FALSE(error->limit.empty());
    CHECK(error->message().find(error->field) == 0);
    return error->field;
}

} // namespace

TEST_CASE("every errc has a name and a message of its own", "[error]") {
    std::set<std::string> names;
    std::set<std::string> messages;
    constexpr int last = static_cast<int>(errc::letters_not_taken);
    for (int value = 1; value <= last; ++value) {
        const auto code = make_error_code(static_cast<errc>(value));
        CHECK(code);
        CHECK(code.category() == bulkhead_category());
        CHECK(code.message() != "unknown bulkhead error");
        messages.insert(code.message());
        names.insert(std::string{to_string(static_cast<errc>(value))});
    }
    CHECK(names.size() == static_cast<std::size_t>(last));
    CHECK(messages.size() == static_cast<std::size_t>(last));
    CHECK(make_error_code(static_cast<errc>(9999)).message() == "unknown bulkhead error");
    CHECK(to_string(errc::closed) == "closed");
    CHECK(to_string(errc::too_old) == "too_old");
    CHECK(to_string(errc::would_deadlock) == "would_deadlock");
}

TEST_CASE("an errc converts and compares like any error code", "[error]") {
    const error_code code = errc::too_old;
    CHECK(code == errc::too_old);
    CHECK(code != errc::closed);
    CHECK(code.value() == static_cast<int>(errc::too_old));
    CHECK(std::string_view{bulkhead_category().name()} == "bulkhead");
    CHECK(error_code{} != errc::closed);
    INFO("by its fixed id, so that two copies of the category are the same");
    const bulkhead::detail::Category copy;
    CHECK(copy == bulkhead_category());
    CHECK(error_code{static_cast<int>(errc::too_old), copy} == code);
    CHECK(error_code{static_cast<int>(errc::too_old), boost::system::generic_category()} != code);
}

TEST_CASE("a refused option or operation says which field, what is allowed, and what was found", "[error][F168]") {
    const InvalidOption refused{{"max_batch_bytes", "1024 to 2048", "7"}};
    CHECK(std::string{refused.what()} == "max_batch_bytes: expected 1024 to 2048, found 7");
    CHECK(refused.error().field == "max_batch_bytes");
    CHECK(refused.error().limit == "1024 to 2048");
    CHECK(refused.error().value == "7");
    const auto from_a_record = check_index_name("a\nINFO all is well\x1b[2J"); // one line, and commands no terminal
    REQUIRE(from_a_record);
    CHECK(from_a_record->message().ends_with("found a INFO all is well [2J"));
    CHECK(from_a_record->value == "a\nINFO all is well\x1b[2J");
}

TEST_CASE("the defaults are valid, and are what the documentation says", "[options]") {
    const IndexerOptions options;
    CHECK_FALSE(validate(options));
    CHECK(options.max_batch_operations == 1000);
    CHECK(options.max_batch_bytes == 5U * 1024 * 1024);
    CHECK(options.flush_interval == 1s);
    CHECK(options.max_in_flight == 4);
    CHECK(options.max_buffered_bytes == 64U * 1024 * 1024);
    CHECK(options.overflow == Overflow::refuse);
    CHECK(options.duplicates == Duplicates::forbid);
    CHECK(options.retry.max_attempts == 10);
    CHECK(options.retry.max_age == 10min);
}

TEST_CASE("each option is checked at both ends", "[options]") {
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    constexpr std::size_t gib = std::size_t{1} << 30;
    const auto size = [](std::size_t IndexerOptions::*member, std::size_t value) {
        return refused_field([=](IndexerOptions& o) { o.*member = value; });
    };
    using O = IndexerOptions;
    CHECK(size(&O::max_batch_operations, 0) == "max_batch_operations");
    CHECK(size(&O::max_batch_operations, 1) == "nothing");
    CHECK(size(&O::max_batch_operations, 1'000'000) == "nothing");
    CHECK(size(&O::max_batch_operations, 1'000'001) == "max_batch_operations");
    CHECK(size(&O::max_batch_bytes, 1023) == "max_batch_bytes");
    CHECK(size(&O::max_batch_bytes, 1024) == "nothing");
    CHECK(size(&O::max_batch_bytes, gib) == "nothing");
    CHECK(size(&O::max_batch_bytes, gib + 1) == "max_batch_bytes");
    CHECK(size(&O::max_in_flight, 0) == "max_in_flight");
    CHECK(size(&O::max_in_flight, 1) == "nothing");
    CHECK(size(&O::max_in_flight, 1024) == "nothing");
    CHECK(size(&O::max_in_flight, 1025) == "max_in_flight");
    CHECK(size(&O::max_buffered_bytes, 64 * 1024 - 1) == "max_buffered_bytes");
    CHECK(size(&O::max_buffered_bytes, 64 * 1024) == "nothing");
    CHECK(size(&O::max_buffered_bytes, most) == "nothing");
    CHECK(size(&O::max_buffered_operations, 0) == "max_buffered_operations");
    CHECK(size(&O::max_buffered_operations, most) == "nothing");
    CHECK(size(&O::max_operation_bytes, 63) == "max_operation_bytes");
    CHECK(size(&O::max_operation_bytes, 64) == "nothing");
    CHECK(size(&O::max_operation_bytes, gib + 1) == "max_operation_bytes");

    const auto time = [](std::chrono::milliseconds O::*member, std::chrono::milliseconds value) {
        return refused_field([=](IndexerOptions& o) { o.*member = value; });
    };
    for (const auto member : {&O::flush_interval, &O::request_timeout}) {
        const std::string name = member == &O::flush_interval ? "flush_interval" : "request_timeout";
        CHECK(time(member, 0ms) == name);
        CHECK(time(member, -1ms) == name);
        CHECK(time(member, 1ms) == "nothing");
        CHECK(time(member, 1h) == "nothing");
        CHECK(time(member, 1h + 1ms) == name);
        CHECK(time(member, unlimited) == name);
    }
}

TEST_CASE("retry options and request defaults are checked", "[options]") {
    using O = IndexerOptions;
    CHECK(refused_field([](O& o) { o.retry.max_attempts = 0; }) == "retry.max_attempts");
    CHECK(refused_field([](O& o) { o.retry.max_attempts = 1; }) == "nothing");
    CHECK(refused_field([](O& o) { o.retry.max_attempts = 1001; }) == "retry.max_attempts");
    CHECK(refused_field([](O& o) { o.retry.initial_backoff = 0ms; }) == "retry.initial_backoff");
    CHECK(refused_field([](O& o) { o.retry.initial_backoff = 1h + 1ms; }) == "retry.initial_backoff");
    CHECK(refused_field([](O& o) { o.retry.max_backoff = o.retry.initial_backoff; }) == "nothing");
    CHECK(refused_field([](O& o) { o.retry.max_backoff = o.retry.initial_backoff - 1ms; }) == "retry.max_backoff");
    CHECK(refused_field([](O& o) { o.retry.max_backoff = 24h + 1ms; }) == "retry.max_backoff");
    CHECK(refused_field([](O& o) { o.retry.max_age = 0ms; }) == "retry.max_age");
    CHECK(refused_field([](O& o) { o.retry.max_age = unlimited; }) == "nothing");
    CHECK(refused_field([](O& o) { o.retry.budget_percent = 10'000; }) == "nothing");
    CHECK(refused_field([](O& o) { o.retry.budget_percent = 10'001; }) == "retry.budget_percent");
    CHECK(refused_field([](O& o) { o.flood.percent = 100; }) == "nothing");
    CHECK(refused_field([](O& o) { o.flood.percent = 101; }) == "flood.percent");
    CHECK(refused_field([](O& o) { o.flood.operations = 0; }) == "flood.operations");
    CHECK(refused_field([](O& o) { o.flood.operations = 1'000'000'000; }) == "nothing");
    CHECK(refused_field([](O& o) { o.flood.operations = 1'000'000'001; }) == "flood.operations");
    CHECK(refused_field([](O& o) { o.min_in_flight = 0; }) == "min_in_flight");
    CHECK(refused_field([](O& o) { o.min_in_flight = o.max_in_flight; }) == "nothing");
    CHECK(refused_field([](O& o) { o.min_in_flight = o.max_in_flight + 1; }) == "min_in_flight");
    const auto rule = [](std::uint16_t first, std::uint16_t last) {
        return refused_field([=](O& o) { o.verdicts = {{.first = first, .last = last, .verdict = Verdict::retry}}; });
    };
    CHECK(rule(300, 599) == "nothing");
    CHECK(rule(299, 400) == "verdicts.first"); // a success is none of the rules' business
    CHECK(rule(600, 600) == "verdicts.first");
    CHECK(rule(400, 399) == "verdicts.last");
    CHECK(rule(400, 600) == "verdicts.last");
    CHECK(refused_field([](O& o) { o.target_makes_ids = true; }) == "nothing");
    CHECK(refused_field([](O& o) {
              o.target_makes_ids = true;
              o.duplicates = Duplicates::client_id;
          }) == "duplicates");
    for (const auto* good : {"", "true", "false", "wait_for"})
        CHECK(refused_field([&](O& o) { o.request.refresh = good; }) == "nothing");
    for (const auto* bad : {"yes", "True", " true", "wait"})
        CHECK(refused_field([&](O& o) { o.request.refresh = bad; }) == "request.refresh");
}

TEST_CASE("which outcomes move a Kafka offset", "[settlement]") {
    CHECK(durable(Outcome::indexed));
    CHECK(durable(Outcome::superseded));
    CHECK(durable(Outcome::dead_lettered));
    CHECK_FALSE(durable(Outcome::rejected));
    CHECK_FALSE(durable(Outcome::dropped));
    CHECK_FALSE(durable(Outcome::undelivered));
    CHECK_FALSE(durable(Outcome::unknown));
    CHECK(to_string(Outcome::indexed) == "indexed");
    CHECK(to_string(Outcome::rejected) == "rejected");
    CHECK(to_string(Outcome::undelivered) == "undelivered");
    CHECK(to_string(Outcome::unknown) == "unknown");
    CHECK(to_string(Health::misconfigured) == "misconfigured");
}

TEST_CASE("the identities of the counters", "[stats]") {
    Stats stats;
    stats.refused_full = 1;
    stats.refused_closed = 2;
    stats.refused_invalid = 4;
    stats.refused_too_large = 8;
    CHECK(stats.refused() == 15);
    stats.indexed = 1;
    stats.superseded = 2;
    stats.rejected = 4;
    stats.dead_lettered = 8;
    stats.dropped = 16;
    stats.undelivered = 32;
    stats.unknown = 64;
    stats.redirected = 1000; // part of `indexed`
    CHECK(stats.settled() == 127);
}
