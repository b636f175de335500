// SPDX-License-Identifier: BSL-1.0
// A search server to try a client against, where there is no cluster: the library's own model of one, on loopback. It
// parses, stores and counts what it is sent, in memory.
//
//     bulk_server [PORT]          9200 when none is given, 0 for any that is free; Ctrl-C ends
#include <bulkhead/test/bulk_server.hpp>

#include <charconv>
#include <csignal>
#include <iostream>
#include <string_view>

int main(int argc, char** argv) try {
    std::uint16_t port = 9200;
    const std::string_view wanted = argc > 1 ? argv[1] : "9200";
    const auto [end, wrong] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), port);
    if (wrong != std::errc{} || end != wanted.data() + wanted.size())
        return std::cerr << "usage: bulk_server [PORT]; not a port: " << wanted << '\n', 2;

    sigset_t ends;
    sigemptyset(&ends);
    for (const int number : {SIGINT, SIGTERM}) sigaddset(&ends, number);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr); // in the server's thread too: `sigwait` gets them
    const bulkhead::test::BulkServer server{{.port = port}};
    std::cerr << "a model of a search server is at " << server.url() << "\nlook: curl " << server.url()
              << "/INDEX/_search\n";
    int number = 0;
    sigwait(&ends, &number);
    std::cerr << "bulk requests: " << server.bulk_requests() << '\n';
} catch (const std::exception& e) {
    return std::cerr << "bulk_server: " << e.what() << '\n', 1;
}
