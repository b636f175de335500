// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/sinks/stored_dead_letter.hpp>
#include <bulkhead/tls/tls_options.hpp>

#include <iosfwd>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// Listing and replaying a file of dead letters.
namespace letters {

/// An operation read back from its lines; it owns its texts.
struct Stored {
    std::string index, id, routing, pipeline, dynamic_templates, source;
    bulkhead::Operation operation; ///< points into the above

    Stored() = default;
    Stored(const Stored&) = delete;
    Stored& operator=(const Stored&) = delete;
};

/// Reads an action line and a source into `out`. What is wrong with them, if anything; then `out` is unspecified.
[[nodiscard]] std::optional<std::string> read_operation(std::string_view action_line, std::string_view source,
                                                        Stored& out);

struct Options {
    std::string file;
    std::string type{};           ///< only letters of this error type; empty: all
    std::string url{};            ///< where to replay them, by http or https
    std::string remaining{};      ///< where those go that were not indexed
    std::string header{};         ///< sent along, e.g. `X-Tenant: shop`
    bulkhead::HttpOptions http{}; ///< all but its `url`
    bulkhead::TlsOptions tls{};
};
struct Replayed {
    std::uint64_t letters = 0;   ///< of the file
    std::uint64_t skipped = 0;   ///< lines that are no dead letter
    std::uint64_t left_out = 0;  ///< of another type
    std::uint64_t records = 0;   ///< Kafka records that never became an operation: they remain
    std::uint64_t indexed = 0;   ///< now, or there already
    std::uint64_t remaining = 0; ///< written to `Options::remaining`
    /// What the server refused, by type, and what else went wrong.
    std::vector<bulkhead::FailureSample> failures{};
    /// All letters of the file are indexed.
    [[nodiscard]] bool complete() const noexcept { return left_out == 0 && remaining == 0; }
};

/// The search server cannot be reached, or is none, or does not take the credentials: found before a letter is sent.
class NoServer : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// One line for each letter; returns how many.
std::uint64_t list(const Options& options, std::ostream& out);

/// Sends the letters again. What is not proven to be indexed is written to `remaining`, line by line as it was. Throws
/// `NoServer`, `std::runtime_error` (also when the file cannot be read to its end) or `bulkhead::InvalidOption`.
[[nodiscard]] Replayed replay(const Options& options);

} // namespace letters
