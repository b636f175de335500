// SPDX-License-Identifier: BSL-1.0
#include <bulkhead/prometheus.hpp>

#include <prometheus/text_serializer.h>

#include <iostream>

int main() {
    bulkhead::PrometheusCollector collector;
    collector.add([] { return bulkhead::Stats{}; });
    const auto text = prometheus::TextSerializer{}.Serialize(collector.Collect());
    std::cout << text.size() << " bytes of metrics\n";
    return text.find("bulkhead_operations_pending 0\n") == std::string::npos ? 1 : 0;
}
