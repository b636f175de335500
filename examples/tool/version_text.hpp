// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/version.hpp>

#include <boost/version.hpp>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tool {

/// What `--version` prints: the tool, the library that it was built from, and what both run with; one a line.
[[nodiscard]] inline std::string
version_text(std::string_view name, std::initializer_list<std::pair<std::string_view, std::string_view>> libraries) {
    std::string out{name};
    out += " ";
    out += bulkhead::library_version;
    out += "\nBoost " + std::to_string(BOOST_VERSION / 100'000) + '.' + std::to_string(BOOST_VERSION / 100 % 1000) +
           '.' + std::to_string(BOOST_VERSION % 100);
    for (const auto& [library, version] : libraries) {
        out += '\n';
        out += library;
        out += ' ';
        out += version;
    }
    return out;
}

} // namespace tool
