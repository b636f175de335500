// SPDX-License-Identifier: BSL-1.0
// An indexer in a process that starts others, and in one that ends without having closed it.
#include "support/catch.hpp"
#include "support/child.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <cstdlib>
#include <filesystem>

#include <netinet/in.h>
#include <sys/socket.h>

using namespace bulkhead;
using namespace std::chrono_literals;
using bulkhead_test::Child;

namespace {

/// Our descriptors that are connected to this port of loopback.
std::vector<int> connected_to(std::uint16_t port) {
    std::vector<int> found;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        const auto fd = std::stoi(entry.path().filename().string());
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue; // NOLINT: that is its way
        if (peer.sin_family == AF_INET && ntohs(peer.sin_port) == port) found.push_back(fd);
    }
    return found;
}

} // namespace

TEST_CASE("a program that the service starts does not hold the service's connections open", "[F114]") {
    const test::BulkServer server;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = server.url()}, IndexerOptions{.index = "logs"}};
    indexer->enqueue({.source = "{}"});
    REQUIRE(!indexer.flush(30s));
    const auto connections = connected_to(server.port());
    REQUIRE(connections.size() == 1);                                                  // idle, to be used again
    for (const auto fd : connections) CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0); // NOLINT(*-vararg)
}

TEST_CASE("a static indexer that nobody closed lets its program end", "[F114]") {
    test::BulkServer server;
    SECTION("with a server") {}
    SECTION("with one that does not answer") {
        server.misbehave([](const auto&) { return test::CannedAnswer{.no_answer = true}; });
    }
    Child child{{"/proc/self/exe", "[child_with_static]"}, {"BULKHEAD_URL=" + server.url()}};
    CHECK(child.wait() == 0);
}

TEST_CASE("a program with a static indexer", "[.][child_with_static]") {
    const auto* const url = std::getenv("BULKHEAD_URL"); // NOLINT(concurrency-mt-unsafe)
    if (url == nullptr) return;                          // run by hand
    static StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = url},
                                                    IndexerOptions{.index = "logs", .flush_interval = 5ms}};
    static const auto subscription = indexer.subscribe([](std::span<const Settlement>) {});
    for (std::uint64_t i = 0; i < 1000; ++i)
        REQUIRE(indexer->try_enqueue({.source = R"({"n":1})"}, subscription.ticket(i)) == Admission::accepted);
    static_cast<void>(indexer.flush(100ms));
    for (std::uint64_t i = 0; i < 1000; ++i) // on their way, or not yet, when main returns
        REQUIRE(indexer->try_enqueue({.source = R"({"n":1})"}, subscription.ticket(i)) == Admission::accepted);
}
