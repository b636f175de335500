// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "kafka_probe.hpp"
#include "options.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace replay {

/// What a dry run found.
struct DryRun {
    std::uint64_t consumed = 0;
    std::uint64_t documents = 0; ///< what would be indexed
    std::uint64_t bytes = 0;     ///< of their bulk requests
    std::uint64_t invalid = 0;
    std::uint64_t without_payload = 0;
    double seconds = 0;
    bool complete = false; ///< not interrupted
    [[nodiscard]] std::string to_json() const;
};

/// Reads what lies between the `begin` and `end` of each partition and maps it, and does nothing else: joins no group,
/// stores and commits nothing, asks no search server. `told` gets a line for each record that is no event. Ends early
/// when `interrupted` says so. Throws `Failure` when the records do not come.
[[nodiscard]] DryRun dry_run(const Options& options, const std::string& brokers, const std::vector<PartitionEnd>& ends,
                             const std::function<void(const std::string&)>& told,
                             const std::function<bool()>& interrupted);

} // namespace replay
