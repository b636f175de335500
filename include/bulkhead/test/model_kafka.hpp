// SPDX-License-Identifier: BSL-1.0
#pragma once

// A Kafka and a consumer group small enough to be read at a glance: the brokers (`ModelKafka`) and a member of the
// group
// (`ModelConsumer`).
#include <bulkhead/test/model_brokers.hpp>
#include <bulkhead/test/model_consumer.hpp>
