// SPDX-License-Identifier: BSL-1.0
#include <bulkhead/bulkhead.hpp>

#include <iostream>

int main(int argc, char** argv) try {
    using namespace bulkhead;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = argc > 1 ? argv[1] : "http://127.0.0.1:9200"},
                                             IndexerOptions{.index = "quickstart"}};
    const auto subscription = indexer.subscribe([](std::span<const Settlement> settlements) {
        for (const auto& s : settlements) {
            std::cout << "document " << s.key << ": " << to_string(s.outcome) << ", status " << s.status;
            if (s.failure != nullptr) std::cout << ", " << s.failure->type << ": " << s.failure->reason;
            std::cout << '\n';
        }
    });
    const char* const documents[] = {R"({"message":"hello"})", R"({"message":"world"})", R"({"message":"cut off)",
                                     R"({"message":broken})"};
    std::uint64_t key = 0;
    for (const auto* document : documents) // returns at once; only what could never be sent is refused
        if (indexer->try_enqueue({.source = document}, subscription.ticket(++key)) != Admission::accepted)
            std::cout << "document " << key << ": not a JSON object\n";

    const auto report = indexer.close(std::chrono::seconds{10});
    std::cout << report.stats.indexed << " indexed, " << report.stats.rejected << " rejected, "
              << report.stats.undelivered + report.stats.unknown << " not delivered\n";
} catch (const bulkhead::InvalidOption& wrong) {
    return std::cerr << wrong.what() << '\n', 2;
}
