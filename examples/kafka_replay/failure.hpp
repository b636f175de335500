// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "tool/usage.hpp"

#include <stdexcept>
#include <string>

namespace replay {

using tool::UsageError;

/// What a script may rely on.
enum Exit : int {
    exit_ok = 0,
    exit_fault = 1, ///< something is missing, or went wrong
    exit_usage = 2,
    exit_kafka = 3,   ///< no broker can be reached, or a topic is not there
    exit_search = 4,  ///< the search server cannot be reached
    exit_policy = 5,  ///< stopped by a policy: a refused document, an invalid record, an unknown outcome, …
    exit_stalled = 6, ///< `--until-end` gave up: a partition stood still, or an error of Kafka lasted
    exit_lost = 7,    ///< all that could be read is accounted for, but records were gone before they were read
};

/// Something outside went wrong. The text is one line that names what and where.
class Failure : public std::runtime_error {
public:
    explicit Failure(const std::string& text, Exit status = exit_fault) : std::runtime_error{text}, status_{status} {}
    [[nodiscard]] Exit status() const noexcept { return status_; }

private:
    Exit status_;
};

} // namespace replay
