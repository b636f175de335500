// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/record.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Copies of records until what became of them is settled (`KafkaSourceOptions::keep_records`). A copy is named by its
/// partition's slot and its number there.
class RecordCache {
public:
    /// Instead of an earlier copy with this name. Throws `std::bad_alloc`; then there is none.
    void keep(std::uint64_t slot, std::uint64_t number, const Record& record) {
        Copy copy;
        if (record.key) copy.key.emplace(*record.key);
        if (record.payload) copy.payload.emplace(*record.payload);
        copy.timestamp_ms = record.timestamp_ms;
        for (const auto& header : record.headers()) {
            copy.headers.emplace_back(header.name, std::nullopt);
            if (header.value) copy.headers.back().second.emplace(*header.value);
        }
        const auto bytes = copy.bytes();
        drop(slot, number);
        slots_[slot].emplace(number, std::move(copy));
        bytes_ += bytes;
    }
    void drop(std::uint64_t slot, std::uint64_t number) noexcept {
        const auto copies = slots_.find(slot);
        if (copies == slots_.end()) return;
        if (const auto copy = copies->second.find(number); copy != copies->second.end()) drop(copies->second, copy);
    }
    /// Drops those of a slot for whose number `gone` is true. Takes time in proportion to what this slot holds.
    template <class F>
    void drop_if(std::uint64_t slot, F gone) noexcept {
        const auto found = slots_.find(slot);
        if (found == slots_.end()) return;
        auto& copies = found->second;
        for (auto it = copies.begin(); it != copies.end();) it = gone(it->first) ? drop(copies, it) : std::next(it);
        if (copies.empty()) slots_.erase(found);
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// Calls `use` with the record, or with null when it was not kept.
    template <class F>
    void with(std::uint64_t slot, std::uint64_t number, F use) const {
        const auto copies = slots_.find(slot);
        if (copies == slots_.end()) return use(static_cast<const Record*>(nullptr));
        const auto found = copies->second.find(number);
        if (found == copies->second.end()) return use(static_cast<const Record*>(nullptr));
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
    Copies::iterator drop(Copies& copies, Copies::iterator it) noexcept {
        bytes_ -= it->second.bytes();
        return copies.erase(it);
    }
    std::unordered_map<std::uint64_t, Copies> slots_;
    std::size_t bytes_ = 0;
};

} // namespace bulkhead::inline v1::detail
