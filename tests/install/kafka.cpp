// SPDX-License-Identifier: BSL-1.0
#include <bulkhead/kafka/rdkafka/driver.hpp>

#include <iostream>

int main() { std::cout << "librdkafka " << rd_kafka_version_str() << '\n'; }
