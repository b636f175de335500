// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <stdexcept>
#include <string>

/// What the tools share.
namespace tool {

/// The command line or the environment asks for something impossible: exit status 2.
class UsageError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws `UsageError` naming the option, what is allowed and what was found.
[[noreturn]] inline void refuse(const std::string& option, const std::string& expected, const std::string& found) {
    throw UsageError{option + ": expected " + expected + ", found " + (found.empty() ? "nothing" : found)};
}

/// A message of several lines as one.
[[nodiscard]] inline std::string one_line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    for (auto& c : text)
        if (c == '\n') c = ' ';
    return text;
}

} // namespace tool
