// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/mappers.hpp>
#include <bulkhead/kafka/source.hpp>

/// `KafkaSource` and its mappers, for the consumer loop of any Kafka client. The driver for librdkafka is
/// `<bulkhead/kafka/rdkafka/driver.hpp>`.
