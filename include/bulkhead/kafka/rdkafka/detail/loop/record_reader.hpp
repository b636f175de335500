// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/record.hpp>

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

/// Turns a message into a `Record`. Its headers are read only when the mapper asks for them.
class RecordReader {
public:
    RecordReader() = default;
    RecordReader(const RecordReader&) = delete;
    RecordReader& operator=(const RecordReader&) = delete;

    /// Views into the message. The record's headers may be read until the next call.
    [[nodiscard]] Record read(const rd_kafka_message_t& message) noexcept {
        message_ = &message;
        Record record;
        record.topic = rd_kafka_topic_name(message.rkt);
        record.partition = message.partition;
        record.offset = message.offset;
        if (message.key != nullptr) record.key = {static_cast<const char*>(message.key), message.key_len};
        if (message.payload != nullptr) record.payload = {static_cast<const char*>(message.payload), message.len};
        rd_kafka_timestamp_type_t type{};
        const auto timestamp = rd_kafka_message_timestamp(&message, &type);
        if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) record.timestamp_ms = timestamp;
        record.headers = {[](void* self) { return static_cast<RecordReader*>(self)->headers(); }, this};
        return record;
    }

private:
    [[nodiscard]] std::span<const RecordHeader> headers() {
        rd_kafka_headers_t* list = nullptr;
        if (rd_kafka_message_headers(message_, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
        headers_.clear();
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(list, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
             ++i) {
            headers_.push_back({name, std::nullopt});
            if (value != nullptr) headers_.back().value = std::string_view{static_cast<const char*>(value), size};
        }
        return headers_;
    }

    const rd_kafka_message_t* message_ = nullptr;
    std::vector<RecordHeader> headers_;
};

} // namespace bulkhead::inline v1::kafka::detail
