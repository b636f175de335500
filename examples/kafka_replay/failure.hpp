// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <stdexcept>

namespace replay {

/// The command line or the environment asks for something impossible: exit status 2.
class UsageError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Something outside went wrong: exit status 1. The text is one line that names what and where.
class Failure : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace replay
