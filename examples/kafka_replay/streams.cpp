// SPDX-License-Identifier: BSL-1.0
#include "streams.hpp"

#include "json_text.hpp"

namespace replay {

namespace {

constexpr Field log_fields[] = {
    {"service_name", FieldKind::text, true},
    {"environment"},
    {"trace_id"},
    {"span_id"},
    {"level"},
    {"message", FieldKind::text, true},
    {"http_method"},
    {"http_path"},
    {"http_status_code", FieldKind::http_status},
};
constexpr Field span_fields[] = {
    {"service_name", FieldKind::text, true},
    {"environment"},
    {"trace_id", FieldKind::text, true},
    {"span_id", FieldKind::text, true},
    {"parent_span_id"},
    {"name", FieldKind::text, true},
    {"duration_us", FieldKind::count},
    {"http_method"},
    {"http_path"},
    {"http_status_code", FieldKind::http_status},
};
constexpr Schema schemas[] = {{"apmLogs", "log", log_fields}, {"apmSpans", "span", span_fields}};

std::string_view mapping_of(const Field& field) {
    if (field.name == "message") return R"({"type":"text"})";
    switch (field.kind) {
    case FieldKind::http_status: return R"({"type":"short"})";
    case FieldKind::count: return R"({"type":"long"})";
    case FieldKind::text: break;
    }
    return R"({"type":"keyword","ignore_above":1024})";
}

} // namespace

const Schema& schema_of(StreamKey key) noexcept { return schemas[static_cast<std::size_t>(key)]; }

std::string index_template(StreamKey key, std::string_view name) {
    std::string out = R"({"index_patterns":[)";
    append_json_string(out, name);
    out += R"(],"data_stream":{},"priority":500,"template":{"mappings":{"dynamic_templates":[{"labels":)"
           R"({"path_match":"labels.*","mapping":{"type":"keyword","ignore_above":1024}}}],"properties":{)"
           R"("@timestamp":{"type":"date"},"ingestedAt":{"type":"date"},"type":{"type":"keyword"})";
    for (const auto& field : schema_of(key).fields) {
        out += ',';
        append_json_string(out, field.name);
        out += ':';
        out += mapping_of(field);
    }
    out += "}}}}";
    return out;
}

} // namespace replay
