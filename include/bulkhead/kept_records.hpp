// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka_types.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Copies of records, by a ticket's key, until what became of them is settled (`KafkaSourceOptions::keep_records`).
class KeptRecords {
public:
    /// Instead of an earlier copy with this key. Throws `std::bad_alloc`; then there is none.
    void keep(std::uint64_t key, const Record& record) {
        Copy copy;
        if (record.key) copy.key.emplace(*record.key);
        if (record.payload) copy.payload.emplace(*record.payload);
        copy.timestamp_ms = record.timestamp_ms;
        for (const auto& header : record.headers()) {
            copy.headers.emplace_back(header.name, std::nullopt);
            if (header.value) copy.headers.back().second.emplace(*header.value);
        }
        const auto bytes = copy.bytes();
        drop(key);
        copies_.emplace(key, std::move(copy));
        bytes_ += bytes;
    }
    void drop(std::uint64_t key) noexcept { drop(copies_.find(key)); }
    /// Those of whose key `gone` is true.
    template <class F>
    void drop_if(F gone) noexcept {
        for (auto it = copies_.begin(); it != copies_.end();) it = gone(it->first) ? drop(it) : std::next(it);
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// Calls `use` with the record, or with null when it was not kept.
    template <class F>
    void with(std::uint64_t key, F use) const {
        const auto found = copies_.find(key);
        if (found == copies_.end()) return use(static_cast<const Record*>(nullptr));
        const auto& copy = found->second;
        std::vector<RecordHeader> headers;
        for (const auto& [name, value] : copy.headers) headers.push_back({name, value});
        Record record;
        record.key = copy.key;
        record.payload = copy.payload;
        record.timestamp_ms = copy.timestamp_ms;
        record.headers = RecordHeaders{headers};
        use(static_cast<const Record*>(&record));
    }

private:
    struct Copy {
        std::optional<std::string> key, payload;
        std::int64_t timestamp_ms = -1;
        std::vector<std::pair<std::string, std::optional<std::string>>> headers;
        [[nodiscard]] std::size_t bytes() const noexcept {
            auto sum = sizeof(Copy) + sizeof(std::uint64_t) + (key ? key->size() : 0) + (payload ? payload->size() : 0);
            for (const auto& [name, value] : headers)
                sum += sizeof(std::pair<std::string, std::optional<std::string>>) + name.size() +
                       (value ? value->size() : 0);
            return sum;
        }
    };
    using Copies = std::unordered_map<std::uint64_t, Copy>;
    Copies::iterator drop(Copies::iterator it) noexcept {
        if (it == copies_.end()) return it;
        bytes_ -= it->second.bytes();
        return copies_.erase(it);
    }
    Copies copies_;
    std::size_t bytes_ = 0;
};

} // namespace bulkhead::inline v1::detail
