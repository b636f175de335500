// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/loopback_server.hpp"

#include <bulkhead/http/http_transport.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

using namespace bulkhead;
using namespace std::chrono_literals;
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BULKHEAD_ASAN
extern "C" void __sanitizer_purge_allocator();
#endif
#endif

using loopback::Peer;
using loopback::Server;

namespace {

struct Nothing final : AnswerSink {
    bool on_body(std::string_view) override { return true; }
};

asio::awaitable<void> carry(HttpTransport& transport, std::string body, std::optional<Reply>& reply) {
    Nothing sink;
    const asio::const_buffer pieces[] = {asio::buffer(body)};
    Request request;
    request.target = "/_bulk";
    request.body = pieces;
    request.body_bytes = body.size();
    request.operations = 1;
    request.timeout = 30s;
    reply = co_await transport.send(request, sink);
}

Reply exchange(asio::io_context& context, HttpTransport& transport, std::string body = "{\"index\":{}}\n{}\n") {
    std::optional<Reply> reply;
    asio::co_spawn(context, carry(transport, std::move(body), reply), asio::detached);
    while (!reply) {
        context.restart();
        context.run_one();
    }
    return *reply;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) ++count;
    return count;
}

std::size_t resident_bytes() {
#ifdef BULKHEAD_ASAN
    __sanitizer_purge_allocator(); // what is freed stays in the sanitizer's quarantine
#endif
    std::ifstream file{"/proc/self/statm"};
    std::size_t size = 0;
    std::size_t resident = 0;
    file >> size >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// So many, or what BULKHEAD_REQUESTS says.
std::size_t requests_to_send(std::size_t usually) {
    const char* const text = std::getenv("BULKHEAD_REQUESTS");
    return text == nullptr ? usually : std::stoul(text);
}

} // namespace

TEST_CASE("no descriptor, connection or memory is left behind by many requests with faults") {
    asio::io_context context;
    const std::string fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    std::size_t served = 0;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          switch (++served % 17) {
                          case 3: peer.reset(); co_return;
                          case 5: co_return;
                          case 7: co_await peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"); co_return;
                          case 9: co_await peer.say("nonsense\r\n\r\n"); co_return;
                          case 11: co_await peer.say(fine + fine); break; // one nobody asked for
                          case 13:
                              co_await peer.say("HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                              co_return;
                          default: co_await peer.say(fine);
                          }
                      }
                  }};
    HttpTransport transport{context.get_executor(), {.url = server.url()}};
    const auto total = requests_to_send(5000);
    std::size_t failed = 0;
    std::size_t descriptors = 0;
    std::size_t memory = 0;
    for (std::size_t i = 0; i < total; ++i) {
        if (i == total / 10) { // warm
            descriptors = open_descriptors();
            memory = resident_bytes();
        }
        if (exchange(context, transport).error) ++failed;
    }
    CHECK(failed > total / 10);
    CHECK(failed < total / 2);
    while (server.open_connections() > 1) context.poll_one();
    CHECK(open_descriptors() <= descriptors + 4);
    const auto grown = static_cast<double>(resident_bytes()) - static_cast<double>(memory);
    INFO("requests: " << total << ", failed: " << failed << ", memory grown by " << grown << " bytes");
#ifdef BULKHEAD_ASAN
    CHECK(grown < 64e6); // the sanitizer keeps what is freed: 26 MB after 5,000 requests, 34 MB after 20,000
#else
    CHECK(grown < 4e6);
#endif
}

TEST_CASE("without a descriptor to be had nothing is sent, and it goes on when there is one", "[F067]") {
    asio::io_context context;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.request();
                      co_await peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
                  }};
    HttpTransport transport{context.get_executor(), {.url = server.url()}};
    struct Limit {
        Limit() {
            ::getrlimit(RLIMIT_NOFILE, &before);
            auto none = before;
            none.rlim_cur = 0;
            ::setrlimit(RLIMIT_NOFILE, &none);
        }
        ~Limit() { ::setrlimit(RLIMIT_NOFILE, &before); }
        ::rlimit before{};
    };
    CHECK(exchange(context, transport).status == 200); // now the server waits for the next connection
    while (server.open_connections() > 0) context.poll_one();
    std::vector<Reply> replies;
    {
        const Limit limit;
        for (int i = 0; i < 3; ++i) replies.push_back(exchange(context, transport));
    }
    for (const auto& reply : replies) {
        CHECK(reply.error == boost::system::errc::too_many_files_open);
        CHECK(reply.sent == Sent::none);
        CHECK(reply.detail.find("127.0.0.1:") == 0);
    }
    CHECK(exchange(context, transport).status == 200);
}

TEST_CASE("writing to a connection that was reset raises no signal", "[F068]") {
    static volatile std::sig_atomic_t raised = 0;
    raised = 0;
    const auto before = std::signal(SIGPIPE, [](int) { raised = 1; });
    asio::io_context context;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.head();
                      peer.reset();
                  }};
    HttpTransport transport{context.get_executor(), {.url = server.url()}};
    for (int i = 0; i < 20; ++i) {
        const auto reply = exchange(context, transport, std::string(std::size_t{8} << 20, 'x'));
        CHECK(reply.error);
    }
    CHECK(raised == 0);
    std::signal(SIGPIPE, before);
}
