// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::inline v1::test {

/// How a bulk request fails as a whole.
struct WholeFailure {
    /// What the client sees.
    enum class Kind : std::uint8_t {
        breaker,     ///< 429 `circuit_breaking_exception`
        unavailable, ///< 503 of a load balancer, HTML
        error,       ///< 500 `null_pointer_exception`
        gateway,     ///< 504 of a load balancer, HTML
        reset,       ///< no answer: the connection is reset
    };
    /// What the client sees.
    Kind kind = Kind::breaker;
    /// The server applies the operations although it answers with a failure.
    bool applied = false;
};

/// The error that the server answers for an operation instead of applying it.
struct ItemRefusal {
    /// Of the item.
    unsigned status = 503;
    /// The error's type.
    std::string type = "unavailable_shards_exception";
    /// The error's reason.
    std::string reason = "[1] primary shard is not active";
    /// Only the operations of one shard of so many are refused: an id always belongs to the same shard. An operation
    /// without an id belongs to the refused one. At least 1, which refuses all.
    unsigned one_shard_of = 1;
};

/// A server's lasting troubles, for a `ModelElasticsearch`: what fails by size, by time or by what a request holds.
/// Plain data, which a test sets and resets when it wants; nothing is set by default.
struct ServerTroubles {
    /// No limit.
    static constexpr auto unlimited = static_cast<std::size_t>(-1);

    /// A request whose body has more bytes fails by `over_limit`.
    std::size_t most_bytes = unlimited;
    /// A request with more operations fails by `over_limit`.
    std::size_t most_operations = unlimited;
    /// Of a request above one of the two limits.
    WholeFailure over_limit{};

    /// A request whose body has these bytes anywhere fails by `poisoned`. Empty: none does.
    std::string poison{};
    /// Of a request that holds `poison`.
    WholeFailure poisoned{WholeFailure::Kind::error, false};

    /// What the server needs for each operation. The answer comes after the sum; what was sent is applied at once, so
    /// that a client which does not wait that long has no proof of what is applied.
    std::chrono::nanoseconds time_per_operation{};

    /// Operations that the server refuses item by item. Nothing: none.
    std::optional<ItemRefusal> refused_items{};
    /// The same, by the name of the index: goes before `refused_items`.
    std::map<std::string, ItemRefusal, std::less<>> blocked_indices{};

    /// How a request fails as a whole; nothing: it does not.
    [[nodiscard]] std::optional<WholeFailure> whole(std::string_view body, std::size_t operations) const {
        if (body.size() > most_bytes || operations > most_operations) return over_limit;
        if (!poison.empty() && body.find(poison) != std::string_view::npos) return poisoned;
        return std::nullopt;
    }
    /// How an operation is refused; null: it is not.
    [[nodiscard]] const ItemRefusal* item(std::string_view index, std::optional<std::string_view> id) const {
        const auto blocked = blocked_indices.find(index);
        const auto* const refusal = blocked != blocked_indices.end() ? &blocked->second
                                    : refused_items                  ? &*refused_items
                                                                     : nullptr;
        if (refusal == nullptr || !id || shard(*id, refusal->one_shard_of) == 0) return refusal;
        return nullptr;
    }
    /// When the answer to a request of so many operations comes.
    [[nodiscard]] std::chrono::nanoseconds time_for(std::size_t operations) const {
        return time_per_operation * static_cast<std::int64_t>(operations);
    }
    /// The shard that an id belongs to, of so many (at least 1): the same on every machine.
    [[nodiscard]] static unsigned shard(std::string_view id, unsigned shards) {
        std::uint32_t hash = 2'166'136'261U; // FNV-1a
        for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619U;
        return hash % shards;
    }
};

} // namespace bulkhead::inline v1::test
