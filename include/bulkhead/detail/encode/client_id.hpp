// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/bulk_batch.hpp>

#include <array>
#include <atomic>
#include <charconv>
#include <random>

namespace bulkhead::inline v1::detail {

/// Ids for operations that have none (`Duplicates::client_id`): 120 random bits of this object, then a counter. Unlike
/// random ids they share a beginning, which Lucene stores and looks up cheaply. Thread-safe.
class ClientIds {
public:
    ClientIds() {
        constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        std::random_device random;
        for (auto& c : prefix_) c = digits[random() % digits.size()];
    }
    /// Repeatable, for tests in virtual time. Two objects of one seed make the same ids.
    explicit ClientIds(std::uint64_t seed) noexcept {
        prefix_.fill('-');
        std::to_chars(prefix_.data(), prefix_.data() + prefix_.size(), seed, 36);
    }
    /// By the clock: one that hands out seeds is not real.
    template <class Clock>
    [[nodiscard]] static ClientIds of() {
        if constexpr (requires { Clock::next_seed(); })
            return ClientIds{Clock::next_seed()};
        else
            return {};
    }
    using Room = std::array<char, 40>;
    [[nodiscard]] std::string_view next(Room& room) noexcept {
        auto* const end = std::copy(prefix_.begin(), prefix_.end(), room.begin());
        const auto number = counter_.fetch_add(1, std::memory_order_relaxed);
        const auto* const last = std::to_chars(end, room.data() + room.size(), number, 36).ptr;
        return {room.data(), static_cast<std::size_t>(last - room.data())};
    }

private:
    std::array<char, 20> prefix_{};
    std::atomic<std::uint64_t> counter_{0};
};

[[nodiscard]] inline bool wants_client_id(Action action, bool has_id) noexcept {
    return action <= Action::create && !has_id;
}

/// A copy of the batch in which every operation that wants an id has one.
[[nodiscard]] inline BulkBatch with_client_ids(const Batch& batch, ClientIds& ids) {
    BulkBatch out;
    ClientIds::Room room;
    std::string action;
    std::size_t offset = 0;
    for (auto entry : BatchAccess::encoded(batch).entries()) {
        const auto bytes = batch.body().substr(offset, entry.bytes());
        offset += entry.bytes();
        if (!wants_client_id(entry.action, entry.has_id)) {
            out.encoded().append_encoded(bytes.substr(0, entry.action_bytes), bytes.substr(entry.action_bytes), entry);
            continue;
        }
        // {"index":{"_index":"logs"}}  ->  {"create":{"_index":"logs","_id":"…"}}
        const auto name = action_name(entry.action).size() + 2;
        action.assign("{\"create").append(bytes.substr(name, entry.action_bytes - name - 3));
        action.append(",\"_id\":\"").append(ids.next(room)).append("\"}}\n");
        entry.action = Action::create;
        entry.has_id = entry.already_there = true;
        out.encoded().append_encoded(action, bytes.substr(entry.action_bytes), entry);
    }
    return out;
}

} // namespace bulkhead::inline v1::detail
