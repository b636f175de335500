// SPDX-License-Identifier: BSL-1.0
#include "apm_event.hpp"

#include "json_text.hpp"
#include "timestamp.hpp"

#include <algorithm>

namespace replay {

namespace {

/// At most `limit` bytes of valid UTF-8, whole characters only.
std::string_view cut(std::string_view text, std::size_t limit) noexcept {
    if (text.size() <= limit) return text;
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0U) == 0x80U) --limit;
    return text.substr(0, limit);
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) noexcept {
    return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    });
}

bool is_error_or_above(std::string_view level) noexcept {
    constexpr std::string_view levels[] = {"error", "critical", "severe", "fatal", "alert", "emergency", "panic"};
    return std::any_of(std::begin(levels), std::end(levels),
                       [&](std::string_view known) { return equal_ignoring_case(level, known); });
}

void append_member(std::string& out, std::string_view name) {
    out += ",\"";
    out += name; // of a schema: nothing to escape
    out += "\":";
}

void append_labels(std::string& out, std::span<const EventFields::Label> labels) {
    out += R"(,"labels":{)";
    bool first = true;
    for (const auto& label : labels) {
        if (!std::exchange(first, false)) out += ',';
        append_json_string(out, label.key);
        out += ':';
        append_json_string(out, cut(text_of(label.value).value_or(""), max_label_bytes));
    }
    out += '}';
}

} // namespace

bool ApmEventReader::read(StreamKey stream, std::string_view event, std::int64_t record_ms, std::int64_t now_ms,
                          std::string& document) {
    return parse(stream, event) && write(stream, record_ms, now_ms, document);
}

bool ApmEventReader::parse(StreamKey stream, std::string_view event) {
    fields_.start(event, schema_of(stream));
    if (json_.read(event, fields_)) return true;
    problem_ = "not JSON: ";
    problem_ += json_.problem();
    return false;
}

bool ApmEventReader::write(StreamKey stream, std::int64_t record_ms, std::int64_t now_ms, std::string& document) {
    const auto& event = fields_;
    if (!event.is_object()) {
        problem_ = "not a JSON object";
        return false;
    }
    const auto& schema = schema_of(stream);
    error_or_above_ = false;
    document.clear();
    document += R"({"@timestamp":")";
    append_iso8601(document, resolve_timestamp(event.timestamp(), record_ms, now_ms));
    document += R"(","type":")";
    document += schema.type;
    document += R"(","ingestedAt":")";
    append_iso8601(document, now_ms);
    document += '"';

    for (std::size_t i = 0; i < schema.fields.size(); ++i) {
        const auto& field = schema.fields[i];
        const auto& value = event.value(i);
        if (field.kind == FieldKind::text) {
            const auto text = text_of(value);
            if (text && !(field.required && text->empty())) {
                append_member(document, field.name);
                append_json_string(document, *text);
                if (field.name == "level") error_or_above_ = is_error_or_above(*text);
                continue;
            }
        } else {
            const auto number = integer_of(value);
            const bool fits = field.kind == FieldKind::http_status ? number && *number >= 100 && *number <= 999
                                                                   : number && *number >= 0;
            if (fits) {
                append_member(document, field.name);
                append_number(document, *number);
                continue;
            }
        }
        if (field.required) {
            problem_ = "no " + std::string{field.name};
            return false;
        }
    }
    if (event.has_labels()) append_labels(document, event.labels());
    document += '}';
    return true;
}

} // namespace replay
