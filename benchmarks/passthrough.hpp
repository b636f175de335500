// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/record.hpp>

#include <array>
#include <charconv>
#include <cstdint>
#include <string>

/// The payload as it is, under the id `topic-partition-offset@timestamp`.
struct Passthrough {
    bulkhead::Mapped operator()(const bulkhead::Record& record, bulkhead::Batch& out) {
        id.assign(record.topic).append("-");
        append(record.partition);
        id.append("-");
        append(record.offset);
        const auto wrong = out.append({.action = bulkhead::Action::create,
                                       .index = "logs",
                                       .id = id,
                                       .on_conflict = bulkhead::OnConflict::already_there,
                                       .source = *record.payload});
        return wrong ? bulkhead::Mapped::invalid : bulkhead::Mapped::operations;
    }
    void append(std::int64_t number) {
        std::array<char, 24> digits{};
        id.append(digits.data(), std::to_chars(digits.begin(), digits.end(), number).ptr);
    }
    std::string id;
};
