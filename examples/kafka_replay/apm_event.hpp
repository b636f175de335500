// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "event_fields.hpp"
#include "json_reader.hpp"
#include "streams.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace replay {

/// Turns an APM event (one JSON object) into the document that is stored: its known fields, the resolved `@timestamp`,
/// `type`, `ingestedAt` and normalised `labels`. Members that are not known are left out. Reused for every record;
/// allocates nothing for an ordinary event once warm. Not thread-safe, not movable.
class ApmEventReader {
public:
    ApmEventReader() = default;
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
    [[nodiscard]] bool parse(StreamKey stream, std::string_view event);
    [[nodiscard]] bool write(StreamKey stream, std::int64_t record_ms, std::int64_t now_ms, std::string& document);

    JsonReader json_;
    EventFields fields_;
    std::string problem_;
    bool error_or_above_ = false;
};

} // namespace replay
