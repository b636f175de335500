// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

/// What a run of simulated lives must have seen at least once. A run that never saw something proves nothing about it,
/// but a short run may miss what is rare by mere chance.
namespace bulkhead::inline v1::test::simulation {

/// Something that comes up, by its name in `Coverage` or `KafkaCoverage`, in one life out of so many or more often.
/// `simulate --rates` measures it.
struct Rarity {
    std::string_view name;
    std::uint32_t one_in;
};
/// Of everything that has no `Rarity`.
inline constexpr std::uint32_t usual_rarity = 10;
/// A run of so many times `one_in` lives misses something once in 480 million runs (e^20).
inline constexpr std::uint64_t certainty = 20;

/// Of lives of an indexer (`Coverage`).
inline constexpr std::array rare_for_an_indexer{Rarity{"own rule indexed", 160},
                                                Rarity{"own rule superseded", 160},
                                                Rarity{"own rule retry", 160},
                                                Rarity{"own rule push back", 160},
                                                Rarity{"own rule reject", 160},
                                                Rarity{"own rule environment", 160},
                                                Rarity{"own rule discard", 160},
                                                Rarity{"item lost race", 25},
                                                Rarity{"closed waiting", 25},
                                                Rarity{"item disk full", 15},
                                                Rarity{"item read-only", 15},
                                                Rarity{"item forbidden", 15},
                                                Rarity{"item conflict", 15},
                                                Rarity{"item 401", 15},
                                                Rarity{"item 403", 15},
                                                Rarity{"item 408", 15},
                                                Rarity{"item 425", 15},
                                                Rarity{"item 5xx", 15},
                                                Rarity{"attempts ended", 15},
                                                Rarity{"lone poison", 15},
                                                Rarity{"dropped", 12}};

/// Of lives of a group of Kafka sources (`KafkaCoverage`).
inline constexpr std::array rare_for_a_group{
    Rarity{"letters full", 80},  Rarity{"group stranded", 15},      Rarity{"unknown: letter", 60},
    Rarity{"413", 30},           Rarity{"sink failed", 30},         Rarity{"unknown: stop", 30},
    Rarity{"unknown: skip", 30}, Rarity{"letter lost: stop", 18},   Rarity{"killed in a drain", 18},
    Rarity{"letter failed", 15}, Rarity{"killed with letters", 15}, Rarity{"tombstone: letter", 15}};

/// Whether a run of so many lives must have seen it: no shorter run fails because it did not.
[[nodiscard]] constexpr bool must_be_seen(std::string_view name, std::uint64_t lives,
                                          std::span<const Rarity> rarities) {
    const auto found =
        std::find_if(rarities.begin(), rarities.end(), [name](const Rarity& rarity) { return rarity.name == name; });
    return lives >= certainty * (found == rarities.end() ? usual_rarity : found->one_in);
}

} // namespace bulkhead::inline v1::test::simulation
