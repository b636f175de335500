// SPDX-License-Identifier: BSL-1.0
// A test's server that is sent compressed bodies.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/kept.hpp"

#include <bulkhead/gzip.hpp>
#include <bulkhead/standalone_indexer.hpp>
#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/test/gunzip.hpp>

#include <zlib.h>

#include <array>
#include <optional>
#include <string>

using namespace bulkhead;
using test::BulkServer;
using test::gunzip;

namespace {

/// One gzip member, by zlib.
std::string gzipped(std::string body) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string bytes(deflateBound(&stream, static_cast<uLong>(body.size())), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(body.data());
    stream.avail_in = static_cast<uInt>(body.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_out = static_cast<uInt>(bytes.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    bytes.resize(bytes.size() - stream.avail_out);
    deflateEnd(&stream);
    return bytes;
}

/// Status and body of the server's answer to a bulk that travels compressed.
std::pair<unsigned, std::string> sent_to(const BulkServer& server, const std::string& bulk) {
    asio::io_context context;
    GzipTransport transport{context.get_executor(), HttpOptions{.url = server.url()}};
    const std::array<asio::const_buffer, 1> body{asio::buffer(bulk)};
    Request request;
    request.target = "/_bulk";
    request.body = body;
    request.body_bytes = bulk.size();
    request.operations = 1;
    request.timeout = std::chrono::seconds{30};
    bulkhead_test::KeptBody sink;
    Reply reply;
    asio::co_spawn(context, transport.send(request, sink), [&](const std::exception_ptr& failed, Reply got) {
        if (failed) std::rethrow_exception(failed);
        reply = std::move(got);
        transport.shutdown();
    });
    context.run();
    return {reply.status, sink.bytes};
}

} // namespace

TEST_CASE("gunzip: what is one whole member, and no longer than allowed, is unpacked; nothing else is", "[gzip]") {
    const std::string body = "{\"index\":{}}\n{\"message\":\"" + std::string(5000, 'x') + "\"}\n";
    const auto bytes = gzipped(body);
    CHECK(gunzip(bytes, body.size()) == body);
    CHECK(gunzip(gzipped(""), 0) == "");
    const std::string same(10'000'000, 'x'); // as short as deflate makes anything
    CHECK(gunzip(gzipped(same), same.size()) == same);
    CHECK(!gunzip(bytes, body.size() - 1));
    CHECK(!gunzip("", 100));
    CHECK(!gunzip(body, 100'000));
    CHECK(!gunzip(bytes + bytes, 100'000)); // Netty's decoder, and so the servers, read the first member only
    auto lie = bytes;                       // 4 GiB in a hundred bytes, which it must not ask memory for
    lie.replace(lie.size() - 4, 4, 4, '\xff');
    std::optional<std::string> unpacked{"not asked"};
    {
        const bulkhead_test::FailingAllocations all{0};
        unpacked = gunzip(lie, std::size_t{1} << 33);
    }
    CHECK(!unpacked);
    const auto trailer = bytes.substr(bytes.size() - 8); // CRC and size
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) CHECK(!gunzip(bytes.substr(0, cut), 100'000));
    for (std::size_t cut = 0; cut < bytes.size() - 8; ++cut) CHECK(!gunzip(bytes.substr(0, cut) + trailer, 100'000));
    for (std::size_t at = bytes.size() - 8; at < bytes.size(); ++at) {
        auto wrong = bytes;
        wrong[at] = static_cast<char>(wrong[at] ^ 1);
        CHECK(!gunzip(wrong, 100'000));
    }
}

TEST_CASE("gzip: a server with gunzip stores what came compressed", "[gzip]") {
    BulkServer server{{.gunzip = gunzip}};
    std::string seen;
    server.misbehave([&](const test::BulkRequestInfo& request) {
        seen = request.body;
        return std::optional<test::CannedAnswer>{};
    });
    StandaloneIndexer<GzipTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{.index = "logs"}};
    for (int i = 0; i < 100; ++i)
        REQUIRE(indexer->try_enqueue({.source = "{\"n\":" + std::to_string(i) + "}"}) == Admission::accepted);
    const auto report = indexer.close(std::chrono::seconds{30});
    CHECK(report.drained);
    CHECK(report.stats.indexed == 100);
    CHECK(server.count("logs") == 100);
    CHECK(seen.ends_with("{\"n\":99}\n"));
}

TEST_CASE("gzip: a server without gunzip, or with a limit below the body's size, says so", "[gzip]") {
    const std::string bulk = "{\"index\":{\"_index\":\"logs\"}}\n{\"message\":\"" + std::string(5000, 'x') + "\"}\n";
    {
        const BulkServer server;
        const auto [status, body] = sent_to(server, bulk);
        CHECK(status == 415);
        CHECK(body.find("BulkServerOptions::gunzip is null") != std::string::npos);
        CHECK(server.bulk_requests() == 0);
    }
    {
        const BulkServer server{{.max_body_bytes = 1000, .gunzip = gunzip}};
        CHECK(sent_to(server, bulk).first == 400);
        CHECK(server.count("logs") == 0);
    }
    const BulkServer server{{.gunzip = gunzip}};
    CHECK(sent_to(server, bulk).first == 200);
    CHECK(server.count("logs") == 1);
}
