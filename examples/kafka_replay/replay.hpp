// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "options.hpp"

namespace replay {

/// Does what the options ask for, and prints the summary. Returns the exit status: 0 when everything consumed is
/// accounted for, otherwise 1. Throws `Failure`, `UsageError` and `bulkhead::InvalidOption`.
[[nodiscard]] int run_replay(const Options& options);

} // namespace replay
