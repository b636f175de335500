// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <chrono>
#include <memory>
#include <vector>

using namespace bulkhead;

namespace {

using ScriptIndexer = BulkIndexer<test::ScriptedTransport>;

} // namespace

TEST_CASE("script: it may outlive the context, with requests that were answered",
          "[F290]") { // seen by AddressSanitizer
    const auto script = std::make_shared<test::Script>();
    script->respond = [](const test::SeenRequest& request) { return test::Answer::ok(request.operations); };
    bool drained = false;
    {
        asio::io_context context;
        ScriptIndexer indexer{context.get_executor(), test::ScriptedTransport{script}, {.index = "i"}};
        indexer.enqueue({.source = "{}"});
        indexer.async_close(std::chrono::seconds{5}, [&](error_code, const CloseReport& r) { drained = r.drained; });
        context.run();
    }
    CHECK(drained);
    REQUIRE(script->requests().size() == 1);
    CHECK(script->requests()[0].answered);
    script->answer(0, test::Answer::ok(1)); // a request that is over stays as it is
}

TEST_CASE("script: it may outlive the context, with a request that still waits", "[F290]") {
    const auto script = std::make_shared<test::Script>();
    {
        asio::io_context context;
        ScriptIndexer indexer{context.get_executor(), test::ScriptedTransport{script}, {.index = "i"}};
        indexer.enqueue({.source = "{}"});
        indexer.flush();
        while (script->requests().empty()) context.run_one();
        CHECK(script->waiting() == std::vector<std::size_t>{0});
    }
    REQUIRE(script->requests().size() == 1);
    CHECK_FALSE(script->requests()[0].answered);
    CHECK(script->waiting().empty()); // nobody waits any longer
    script->answer(0, test::Answer::ok(1));
    script->answer_all_ok();
}
