// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <string_view>

/// What a message of the dead-letter topic looks like: see `DriverOptions`.
namespace bulkhead::inline v1::kafka::detail {

using HeadersPtr = std::unique_ptr<rd_kafka_headers_t, Destroy<rd_kafka_headers_destroy>>;

inline constexpr const char* operation_header = "bulkhead.operation";

/// The operation as it was sent, in lines of NDJSON; empty when the record never became one.
[[nodiscard]] inline std::string operation_lines(const KafkaLetter& letter) {
    std::string lines;
    if (!letter.action_line.empty()) lines.append(letter.action_line).append("\n");
    lines.append(letter.source);
    if (!letter.action_line.empty() && !letter.source.empty()) lines.append("\n");
    return lines;
}

/// The record's own headers, and those that describe the letter. `operation`: see `operation_lines`.
[[nodiscard]] inline HeadersPtr headers_of(const KafkaLetter& letter, std::string_view operation) {
    HeadersPtr headers{rd_kafka_headers_new(8)};
    const auto add = [&](const char* name, std::string_view value) {
        rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
    };
    const auto* const record = letter.record;
    if (record != nullptr)
        for (const auto& header : record->headers())
            rd_kafka_header_add(headers.get(), header.name.data(), static_cast<ssize_t>(header.name.size()),
                                header.value ? header.value->data() : nullptr,
                                header.value ? static_cast<ssize_t>(header.value->size()) : 0);
    if (!letter.topic.empty()) {
        add("bulkhead.topic", letter.topic);
        add("bulkhead.partition", std::to_string(letter.partition));
        if (letter.offset >= 0) add("bulkhead.offset", std::to_string(letter.offset));
    }
    add("bulkhead.type", letter.type);
    if (!letter.reason.empty()) add("bulkhead.reason", letter.reason);
    if (letter.status != 0) add("bulkhead.status", std::to_string(letter.status));
    if (letter.attempts != 0) add("bulkhead.attempts", std::to_string(letter.attempts));
    if (record != nullptr && !operation.empty()) add(operation_header, operation);
    return headers;
}

/// The record alone may fit where it does not with its operation, as it fitted its own topic. False when there was no
/// operation.
inline bool drop_operation(rd_kafka_headers_t& headers) noexcept {
    return rd_kafka_header_remove(&headers, operation_header) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

} // namespace bulkhead::inline v1::kafka::detail
