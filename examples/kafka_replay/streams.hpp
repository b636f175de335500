// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

/// Which documents go where: a *stream key* names a kind of document and leads to a data stream. Another domain reuses
/// the whole pipeline by adding its key here.
namespace replay {

enum class StreamKey : unsigned char {
    apm_logs,  ///< `apmLogs`
    apm_spans, ///< `apmSpans`
};
inline constexpr std::size_t stream_count = 2;

/// How a member of an event becomes a member of the document.
enum class FieldKind : unsigned char {
    text,        ///< a string; numbers and booleans become strings, anything else is left out
    http_status, ///< an integer from 100 to 999, also as a string; anything else is left out
    count,       ///< an integer that is not negative, also as a string; anything else is left out
};

struct Field {
    std::string_view name;
    FieldKind kind = FieldKind::text;
    bool required = false; ///< without it (or with an empty one) the event is invalid
};

/// What is known of a stream's documents. Every document also has `@timestamp`, `type`, `ingestedAt` and `labels`.
struct Schema {
    std::string_view key;  ///< e.g. `apmLogs`
    std::string_view type; ///< the document's `type`
    std::span<const Field> fields;
};

[[nodiscard]] const Schema& schema_of(StreamKey key) noexcept;

/// The data stream of each stream key.
struct DataStreams {
    std::array<std::string, stream_count> names{"apm-logs", "apm-spans"};
    [[nodiscard]] const std::string& name(StreamKey key) const noexcept { return names[static_cast<std::size_t>(key)]; }
};

/// The body of `PUT /_index_template/…` for the data stream `name`, for Elasticsearch 7.9 and later and OpenSearch.
[[nodiscard]] std::string index_template(StreamKey key, std::string_view name);

} // namespace replay
