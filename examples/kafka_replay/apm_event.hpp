// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "streams.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parser.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace replay {

/// An event's labels, so that they never blow up a mapping: an object whose values are strings.
/// - Numbers and booleans become strings; null is left out.
/// - An object or array becomes its JSON text, a string.
/// - A value longer than `max_label_bytes` is cut there, between two characters.
/// - In a key `.`, `*` and `"` become `_`; an empty key, or one longer than `max_label_key_bytes`, is left out.
/// - At most `max_labels` are kept, the first ones; of two keys that become the same, the first.
/// - Labels that are not an object are left out.
inline constexpr std::size_t max_labels = 64;
inline constexpr std::size_t max_label_bytes = 1024;
inline constexpr std::size_t max_label_key_bytes = 128;

/// Turns an APM event (one JSON object) into the document that is stored: its known fields, the resolved `@timestamp`,
/// `type`, `ingestedAt` and normalised `labels`. Members that are not known are left out. Reused for every record;
/// allocates nothing for an ordinary event once warm. Not thread-safe, not movable.
class ApmEventReader {
public:
    ApmEventReader();
    ApmEventReader(const ApmEventReader&) = delete;
    ApmEventReader& operator=(const ApmEventReader&) = delete;
    ~ApmEventReader() = default;

    /// Replaces `document` by what is to be stored. False when the event is invalid: not one JSON object, or a required
    /// field is missing; then `problem()` says why and `document` is unspecified.
    [[nodiscard]] bool read(StreamKey stream, std::string_view event, std::int64_t record_ms, std::int64_t now_ms,
                            std::string& document);
    [[nodiscard]] std::string_view problem() const noexcept { return problem_; }
    /// Whether the event just read is of level error or above (error, critical, severe, fatal, alert, emergency, panic,
    /// in any case).
    [[nodiscard]] bool error_or_above() const noexcept { return error_or_above_; }

private:
    [[nodiscard]] bool write(StreamKey stream, const boost::json::value& event, std::int64_t record_ms,
                             std::int64_t now_ms, std::string& document);

    static constexpr std::size_t memory_bytes = 16 * 1024;
    alignas(std::max_align_t) unsigned char buffer_[memory_bytes];
    alignas(std::max_align_t) unsigned char stack_[4096];
    boost::json::monotonic_resource memory_{buffer_, sizeof buffer_};
    boost::json::parser parser_{boost::json::storage_ptr{}, boost::json::parse_options{}, stack_, sizeof stack_};
    std::string held_; ///< a scalar's text
    std::string keys_; ///< label keys that had to be changed
    std::string problem_;
    bool error_or_above_ = false;
};

} // namespace replay
