// SPDX-License-Identifier: BSL-1.0
// The code of docs/monitoring.md.
#include <bulkhead/bulkhead.hpp>
#include <bulkhead/prometheus.hpp>

#include <iostream>

#include <prometheus/text_serializer.h>

int main(int argc, char** argv) try {
    using namespace bulkhead;
    std::vector<std::shared_ptr<prometheus::Collectable>> registry;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = argc > 1 ? argv[1] : "http://127.0.0.1:9200"},
                                             IndexerOptions{.index = "monitored"}};

    auto collector = std::make_shared<bulkhead::PrometheusCollector>();
    collector->add([&] { return indexer->stats(); }, {{"indexer", "logs"}});
    registry.push_back(collector); // yours: `Exposer::RegisterCollectable`

    indexer->enqueue({.source = R"({"message":"hello"})"});
    indexer.close(std::chrono::seconds{10});
    const auto text = prometheus::TextSerializer{}.Serialize(registry.front()->Collect());
    std::cout << text;
    return text.find("bulkhead_operations_settled_total{indexer=\"logs\",outcome=\"indexed\"} 1\n") ==
           std::string::npos;
} catch (const bulkhead::InvalidOption& wrong) {
    return std::cerr << wrong.what() << '\n', 2;
}
