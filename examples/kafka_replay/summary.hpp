// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "latency.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace replay {

/// What a replay came to. Counts records of the topics; every record becomes one document.
struct Summary {
    std::uint64_t consumed = 0;      ///< records taken from Kafka
    std::uint64_t indexed = 0;       ///< proven by the server
    std::uint64_t skipped = 0;       ///< no payload
    std::uint64_t invalid = 0;       ///< not an event
    bool invalid_kept = false;       ///< these went to the dead letters
    std::uint64_t rejected = 0;      ///< refused by the server for good, or too large
    std::uint64_t dead_lettered = 0; ///< taken over by a dead-letter sink
    std::uint64_t duplicates = 0;    ///< already there
    std::uint64_t refused = 0;       ///< accepted by nobody: the indexer was closing
    std::uint64_t pending = 0;       ///< consumed, and its end is not known: it will be read again
    std::uint64_t given_back = 0;    ///< did not fit, and then their partition went to another member, who reads them
    std::int64_t lag = 0;            ///< records of the assigned partitions that are not consumed yet
    /// What the server counts in the data streams; nothing when it could not be asked.
    std::optional<std::uint64_t> server_count;
    double seconds = 0;                ///< from the first record to the last settlement
    std::uint64_t requests = 0;        ///< bulk requests, repeated ones included
    std::uint64_t failed_requests = 0; ///< of these: refused or broken as a whole
    std::uint64_t peak_buffered_bytes = 0;
    std::uint64_t enqueue_p50 = 0, enqueue_p99 = 0, enqueue_p999 = 0, enqueue_max = 0; ///< nanoseconds
    std::string_view delivery;

    [[nodiscard]] double docs_per_second() const noexcept {
        return seconds > 0 ? static_cast<double>(indexed + duplicates) / seconds : 0;
    }
    void set_enqueue(const Latencies& latencies) noexcept;
};

/// What the embedded broker was filled with.
struct Produced {
    std::uint64_t records = 0;
    std::uint64_t without_payload = 0;
    std::optional<std::uint64_t> invalid; ///< known for generated events
    std::uint64_t bytes = 0;
    int partitions = 0;
};

/// What the counts are held against.
struct Expected {
    std::uint64_t count_before = 0; ///< documents in the data streams before the replay
    bool server_is_ours = false;    ///< embedded: nobody else writes there
    bool whole_topic = false;       ///< the replay was to end at the end
    /// Present when the broker was ours too and ids are the records' own: then every document is known.
    std::optional<Produced> produced{};
};

/// What is wrong with the counts, for people, in one line; empty when everything consumed is accounted for and the
/// server holds what it should.
[[nodiscard]] std::string find_fault(const Summary& summary, const Expected& expected);

/// One line of JSON, without the newline.
[[nodiscard]] std::string to_json(const Summary& summary);
/// For people, several lines.
[[nodiscard]] std::string to_text(const Summary& summary);
/// One line without the newline: how many documents a minute, and how many the system did that this one replaces.
[[nodiscard]] std::string compare_with_source_system(const Summary& summary);
/// `1234567` → `1,234,567`.
[[nodiscard]] std::string grouped(std::uint64_t number);

} // namespace replay
