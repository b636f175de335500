// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "failure.hpp"

#include <librdkafka/rdkafka.h>

#include <array>
#include <string>

namespace replay {

/// Sets a property of librdkafka. Throws `UsageError` with the property's name, and never with the value: it may be a
/// password, also of a property that is only misspelt.
inline void set_property(rd_kafka_conf_t* conf, const std::string& key, const std::string& value) {
    std::array<char, 512> error{}; // it quotes the value
    switch (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), error.data(), error.size())) {
    case RD_KAFKA_CONF_OK: return;
    case RD_KAFKA_CONF_UNKNOWN: throw UsageError{"--kafka-option: librdkafka does not know the property " + key};
    case RD_KAFKA_CONF_INVALID: break;
    }
    throw UsageError{"--kafka-option: librdkafka does not take this value for " + key};
}

} // namespace replay
