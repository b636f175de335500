// SPDX-License-Identifier: BSL-1.0
// Tests of `OrderEvents`. docs/testing-your-service.md explains them.
#include "check.hpp"
#include "service.hpp"

#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>

#include <future>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using bulkhead::test::Answer;
using bulkhead::test::ManualClock;
using bulkhead::test::run_for;
using bulkhead::test::run_ready;
using shop::OrderEvent;

namespace {

/// The service in virtual time, before a model of the server. A test may put something between them.
struct VirtualShop {
    VirtualShop() {
        ManualClock::reset();
        script->respond = [this](const auto& request) { return from_model(request); };
    }
    Answer from_model(const bulkhead::test::SeenRequest& request) {
        const auto answer = model.bulk(request.body);
        return Answer::status(answer.status, answer.body);
    }

    boost::asio::io_context context;
    bulkhead::test::ModelElasticsearch model;
    std::shared_ptr<bulkhead::test::Script> script = std::make_shared<bulkhead::test::Script>();
    std::vector<shop::NotStored> not_stored;
    shop::OrderEvents<bulkhead::test::ScriptedTransport, ManualClock> service{
        context.get_executor(), bulkhead::test::ScriptedTransport{script},
        [this](const shop::NotStored& what) { not_stored.push_back(what); }};
};

void events_travel_together_after_the_flush_interval() {
    VirtualShop shop;
    check(shop.service.submit({"A1", 1, R"({"state":"paid"})"}), "taken");
    check(shop.service.submit({"A1", 2, R"({"state":"sent"})"}), "taken");
    run_for(shop.context, 199ms);
    check(shop.script->requests().empty(), "nothing travels before its time");
    run_for(shop.context, 1ms);
    check(shop.script->requests().size() == 1, "one request for both");
    check(shop.model.source("order-events", "A1-2") == R"({"order":"A1","details":{"state":"sent"}})", "stored");
}

void an_outage_is_waited_out() {
    VirtualShop shop;
    shop.script->respond = [](const auto&) { return Answer::unreachable(); };
    for (std::uint64_t i = 1; i <= 300; ++i) {
        check(shop.service.submit({"A1", i, "{}"}), "taken, whatever the server does");
        run_for(shop.context, 1s, 100ms); // in steps of 100 ms: five minutes are many
    }
    check(shop.service.stats().health == bulkhead::Health::backing_off, "the outage shows");
    check(shop.service.stats().pending == 300, "nothing is given up");

    shop.script->respond = [&shop](const auto& request) { return shop.from_model(request); };
    run_for(shop.context, 60s); // longer than the longest backoff
    check(shop.model.count("order-events") == 300, "all are stored");
    check(shop.service.stats().health == bulkhead::Health::ok, "and that shows");
    check(shop.not_stored.empty(), "nobody was bothered");
}

void a_429_is_obeyed() {
    VirtualShop shop;
    shop.script->respond = [&shop](const auto& request) {
        if (shop.script->requests().size() == 1) return Answer::status(429, {}, 5s); // Retry-After: 5
        return shop.from_model(request);
    };
    check(shop.service.submit({"A1", 1, "{}"}), "taken");
    run_for(shop.context, 5s);
    check(shop.script->requests().size() == 1, "not asked again before its time");
    run_for(shop.context, 5s);
    check(shop.script->requests().size() == 2, "but then");
    check(shop.model.count("order-events") == 1, "stored");
}

void a_full_item_queue_is_not_the_end() {
    VirtualShop shop;
    shop.script->respond = [&shop](const auto& request) {
        if (shop.script->requests().size() > 1) return shop.from_model(request);
        return Answer::items({bulkhead::test::item(201, {}, "create"),
                              bulkhead::test::item(429, "es_rejected_execution_exception", "create")});
    };
    check(shop.service.submit({"A1", 1, "{}"}), "taken");
    check(shop.service.submit({"A1", 2, "{}"}), "taken");
    run_for(shop.context, 10s);
    check(shop.script->requests().back().operations == 1, "only what was refused travels again");
    check(shop.model.count("order-events") == 1 && shop.service.stats().indexed == 2, "stored");
}

void a_poison_document_harms_only_itself() {
    VirtualShop shop;
    check(shop.service.submit({"A1", 1, R"({"state":"paid"})"}), "taken");
    check(shop.service.submit({"A1", 2, R"({"state":)"}), "taken: `submit` puts it into an object");
    check(shop.service.submit({"A1", 3, R"({"state":"sent"})"}), "taken");
    run_for(shop.context, 1s);
    check(shop.model.count("order-events") == 2, "its neighbours are stored");
    check(shop.not_stored.size() == 1, "it is reported once");
    check(shop.not_stored[0].outcome == bulkhead::Outcome::rejected, "as refused for good");
    check(shop.not_stored[0].source == R"({"order":"A1","details":{"state":})", "with its bytes");
}

void a_lost_answer_stores_nothing_twice() {
    VirtualShop shop;
    shop.script->respond = [&shop](const auto& request) {
        const auto answer = shop.from_model(request);                                                 // applied, …
        return shop.script->requests().size() == 1 ? Answer::lost(bulkhead::Sent::complete) : answer; // … not answered
    };
    check(shop.service.submit({"A1", 1, "{}"}), "taken");
    run_for(shop.context, 10s);
    check(shop.script->requests().size() == 2, "sent again");
    check(shop.model.times_applied("order-events", "A1-1") == 1, "applied once");
    check(shop.service.stats().superseded == 1, "and found to be there");
    check(shop.not_stored.empty(), "which is no failure");
}

void without_room_submit_says_so() {
    VirtualShop shop;
    auto options = shop::order_options();
    options.max_buffered_operations = 3;
    shop::OrderEvents<bulkhead::test::ScriptedTransport, ManualClock> small{
        shop.context.get_executor(), bulkhead::test::ScriptedTransport{shop.script}, [](const auto&) {}, options};
    for (std::uint64_t i = 1; i <= 3; ++i) check(small.submit({"A1", i, "{}"}), "there is room for three");
    check(!small.submit({"A1", 4, "{}"}), "not for a fourth");
    check(small.stats().refused_full == 1, "it is counted");
    run_for(shop.context, 1s);
    check(small.submit({"A1", 4, "{}"}), "once they are stored there is room again");
    run_for(shop.context, 1s);
}

void shutdown_drains() {
    VirtualShop shop;
    check(shop.service.submit({"A1", 1, "{}"}), "taken");
    std::optional<bulkhead::CloseReport> report;
    shop.service.shutdown(10s, [&](auto, const auto& r) { report = r; });
    check(!shop.service.submit({"A1", 2, "{}"}), "nothing is taken from now on");
    run_ready(shop.context); // no time passes: what is open does not wait for the flush interval
    check(report && report->drained, "everything was delivered");
    check(shop.model.count("order-events") == 1, "stored");
}

void shutdown_ends_by_its_deadline() {
    VirtualShop shop;
    shop.script->respond = [](const auto&) { return Answer::unreachable(); };
    check(shop.service.submit({"A1", 1, "{}"}), "taken");
    std::optional<bulkhead::CloseReport> report;
    shop.service.shutdown(10s, [&](auto, const auto& r) { report = r; });
    run_for(shop.context, 9s);
    check(!report, "it still tries");
    run_for(shop.context, 1s);
    check(report && !report->drained, "it gave up, and says so");
    check(report->stats.pending == 0 && report->stats.undelivered == 1, "the report adds up");
    check(shop.not_stored.size() == 1, "the event is handed back, to be written somewhere else");
}

/// The service over a real socket, in real time, on a thread of its own.
struct RealShop {
    explicit RealShop(const std::string& url)
        : service{context.get_executor(), bulkhead::HttpTransport{context.get_executor(), {.url = url}},
                  [](const auto&) {}} {}
    RealShop(const RealShop&) = delete;
    RealShop& operator=(const RealShop&) = delete;
    ~RealShop() {
        shutdown(0ms);
        work.reset();
        thread.join();
    }
    bulkhead::CloseReport shutdown(std::chrono::milliseconds timeout) {
        std::promise<bulkhead::CloseReport> done;
        auto report = done.get_future();
        service.shutdown(timeout, [done = std::move(done)](auto, const auto& r) mutable { done.set_value(r); });
        return report.get();
    }

    boost::asio::io_context context{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{context.get_executor()};
    shop::OrderEvents<bulkhead::HttpTransport> service;
    std::thread thread{[this] { context.run(); }};
};

void over_a_real_socket() {
    bulkhead::test::BulkServer server;
    server.misbehave([](const auto& request) -> std::optional<bulkhead::test::CannedAnswer> {
        if (request.number == 1) return bulkhead::test::CannedAnswer{.status = 503};
        if (request.number == 2) return bulkhead::test::CannedAnswer{.apply_at_most = 1, .close_without_answer = true};
        return std::nullopt;
    });
    RealShop shop{server.url()};
    for (std::uint64_t i = 1; i <= 10; ++i) check(shop.service.submit({"A1", i, "{}"}), "taken");
    const auto report = shop.shutdown(30s);
    check(report.drained, "all was delivered");
    check(server.count("order-events") == 10, "stored, over a 503 and a broken connection");
    check(server.bulk_requests() == 4, "at the third attempt, in two parts");
    check(server.times_applied("order-events", "A1-1") == 1, "the one that was applied before the break: once");
}

void a_server_that_restarts() {
    bulkhead::test::BulkServer server;
    RealShop shop{server.url()};
    check(shop.service.submit({"A1", 1, "{}"}), "taken");
    shop.service.indexer().async_flush(30s, boost::asio::use_future).get();
    check(server.count("order-events") == 1, "stored");

    server.stop();
    check(shop.service.submit({"A1", 2, "{}"}), "taken while the server is away");
    server.start(); // on the same port, with what it had stored
    const auto report = shop.shutdown(30s);
    check(report.drained && server.count("order-events") == 2, "stored as well");
}

} // namespace

int main() {
    return run_cases({
        {"events travel together after the flush interval", events_travel_together_after_the_flush_interval},
        {"an outage is waited out", an_outage_is_waited_out},
        {"a 429 is obeyed", a_429_is_obeyed},
        {"a full item queue is not the end", a_full_item_queue_is_not_the_end},
        {"a poison document harms only itself", a_poison_document_harms_only_itself},
        {"a lost answer stores nothing twice", a_lost_answer_stores_nothing_twice},
        {"without room, submit says so", without_room_submit_says_so},
        {"shutdown drains", shutdown_drains},
        {"shutdown ends by its deadline", shutdown_ends_by_its_deadline},
        {"over a real socket", over_a_real_socket},
        {"a server that restarts", a_server_that_restarts},
    });
}
