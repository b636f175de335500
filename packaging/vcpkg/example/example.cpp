// SPDX-License-Identifier: BSL-1.0
// What each feature brings, named once.
#include <bulkhead/gzip.hpp>
#include <bulkhead/kafka/rdkafka/driver.hpp>
#include <bulkhead/prometheus.hpp>
#include <bulkhead/tls.hpp>
#include <bulkhead/version.hpp>

#include <iostream>

int main() {
    const bulkhead::TlsConnector<> tls;
    const bulkhead::GzipEncoder gzip{1};
    bulkhead::PrometheusCollector collector;
    collector.add([] { return bulkhead::Stats{}; });
    std::cout << "bulkhead " << bulkhead::library_version << " with " << OpenSSL_version(OPENSSL_VERSION)
              << ", libdeflate " << LIBDEFLATE_VERSION_STRING << ", librdkafka " << rd_kafka_version_str() << ", "
              << collector.Collect().size() << " metrics\n";
}
