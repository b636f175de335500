// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "failure.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace replay {

/// What the lines of an input file are. The first line that is not blank decides.
enum class LineFormat : unsigned char { ndjson, access_log };

struct InputFileReport {
    LineFormat format = LineFormat::ndjson;
    std::uint64_t events = 0;
    std::uint64_t bytes = 0; ///< of the events
};

/// The longest line that fits into a Kafka message of the usual limit.
inline constexpr std::size_t max_line_bytes = 900'000;

/// Reads a file, plain or gzip, and calls `take` with each event: an NDJSON line as it is, an access-log line turned
/// into an event. Blank lines are left out; a later line that is not of the file's format is passed on as it is, and
/// the pipeline counts it as invalid. Throws `Failure` with one line that names the file, and the line where there is
/// one: it cannot be opened or read, it is damaged, a line is too long, it is empty, or its first line is neither an
/// NDJSON event nor an access-log line.
InputFileReport read_input_file(const std::string& path, const std::function<void(std::string_view event)>& take);

} // namespace replay
