// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string>
#include <string_view>

namespace replay {

/// Replaces `event` by the APM event that one access-log line stands for, in the common or combined format:
///
///     host ident user [17/May/2015:10:05:03 +0000] "GET /path HTTP/1.1" 200 203023 "referrer" "user agent"
///
/// False when the line is not of that form; then `event` is unspecified. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] bool access_log_event(std::string_view line, std::string& event);

} // namespace replay
