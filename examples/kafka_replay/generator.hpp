// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <string>

namespace replay {

/// What a generated record is.
enum class Kind : unsigned char {
    valid,
    invalid,         ///< a broken event: cut off, not an object, or without a required field
    without_payload, ///< a record with a key only
};

/// Makes log events (about 450 bytes) and spans: several services, levels, ways to write a time, Unicode, labels of all
/// kinds; about one in 1000 is invalid, and one in 1000 has no payload. The same seed and position give the same event.
class EventGenerator {
public:
    explicit EventGenerator(std::uint64_t seed) noexcept : seed_{seed} {}
    /// Replaces `event` by the payload of log event number `position`, and `key` by its record key.
    [[nodiscard]] Kind log(std::uint64_t position, std::string& key, std::string& event) const;
    /// The same for spans; these are all valid.
    [[nodiscard]] Kind span(std::uint64_t position, std::string& key, std::string& event) const;

private:
    std::uint64_t seed_;
};

} // namespace replay
