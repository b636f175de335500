// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "letters.hpp"

#include <iosfwd>

namespace letters {

/// What a script may rely on.
enum Exit : int {
    exit_ok = 0,     ///< listed; or every letter of the file is indexed
    exit_fault = 1,  ///< something remains, or went wrong
    exit_usage = 2,  ///< wrong usage
    exit_search = 4, ///< the search server cannot be reached, is none, or does not take the credentials
};

/// The whole tool: reads the command line, does what it says, writes the result to `out` and what is wrong, in one
/// line, to `err`. Returns the exit status.
int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

} // namespace letters
