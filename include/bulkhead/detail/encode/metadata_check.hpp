// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/operation.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// Metadata for which the server would refuse the *whole* request (bulk-level validation of Elasticsearch and
/// OpenSearch), found before it can harm another operation. The index and the source's framing are checked where they
/// are encoded.
namespace bulkhead::inline v1::detail {

[[nodiscard]] inline std::optional<FieldError> check_text(const char* field, std::string_view value, std::size_t most) {
    if (value.empty() || value.size() > most)
        return FieldError{field, "1 to " + std::to_string(most) + " bytes", std::to_string(value.size()) + " bytes"};
    if (!is_utf8(value)) return FieldError{field, "valid UTF-8", "other bytes"};
    return std::nullopt;
}

/// Checks id, routing and pipeline.
[[nodiscard]] inline std::optional<FieldError> check_names(const Operation& op) {
    const bool update_or_delete = op.action == Action::update || op.action == Action::delete_;
    if (op.id)
        if (auto e = check_text("id", *op.id, 512)) return e;
    if (op.routing)
        if (auto e = check_text("routing", *op.routing, 4096)) return e;
    if (op.pipeline)
        if (auto e = check_text("pipeline", *op.pipeline, 4096)) return e;
    if (update_or_delete && !op.id) return FieldError{"id", "present for update and delete", "absent"};
    if (update_or_delete && op.pipeline) return FieldError{"pipeline", "only for index and create", "present"};
    return std::nullopt;
}

/// Checks what makes an operation depend on the version of its document.
[[nodiscard]] inline std::optional<FieldError> check_versions(const Operation& op) {
    if (op.version) {
        if (op.action != Action::index && op.action != Action::delete_)
            return FieldError{"version", "only for index and delete", std::string{action_name(op.action)}};
        if (!op.id) return FieldError{"version", "only with an id", "no id"};
        if (*op.version < 0) return FieldError{"version", "0 or more", std::to_string(*op.version)};
    }
    if (op.if_seq_no.has_value() != op.if_primary_term.has_value())
        return FieldError{"if_seq_no", "together with if_primary_term", "one of them alone"};
    if (!op.if_seq_no) return std::nullopt;
    if (op.action == Action::create) return FieldError{"if_seq_no", "not for create", "create"};
    if (!op.id) return FieldError{"if_seq_no", "only with an id", "no id"};
    if (op.version) return FieldError{"if_seq_no", "not together with version", "both"};
    if (*op.if_seq_no < 0) return FieldError{"if_seq_no", "0 or more", std::to_string(*op.if_seq_no)};
    if (*op.if_primary_term < 1) return FieldError{"if_primary_term", "1 or more", std::to_string(*op.if_primary_term)};
    return std::nullopt;
}

[[nodiscard]] inline std::optional<FieldError> check_dynamic_templates(const Operation& op) {
    if (op.action == Action::update || op.action == Action::delete_)
        return FieldError{"dynamic_templates", "only for index and create", std::string{action_name(op.action)}};
    error_code failed;
    const auto value =
        boost::json::parse(boost::json::string_view{op.dynamic_templates.data(), op.dynamic_templates.size()}, failed);
    if (!failed && value.is_object() && is_utf8(op.dynamic_templates)) return std::nullopt;
    return FieldError{"dynamic_templates", "one JSON object", failed ? failed.message() : "something else"};
}

/// What is wrong with an operation's metadata, if anything.
[[nodiscard]] inline std::optional<FieldError> check_metadata(const Operation& op) {
    if (auto e = check_names(op)) return e;
    if (op.version || op.if_seq_no || op.if_primary_term)
        if (auto e = check_versions(op)) return e;
    if (op.retry_on_conflict) {
        if (op.action != Action::update)
            return FieldError{"retry_on_conflict", "only for update", std::string{action_name(op.action)}};
        if (op.if_seq_no) return FieldError{"retry_on_conflict", "not together with if_seq_no", "both"};
    }
    if (!op.dynamic_templates.empty()) return check_dynamic_templates(op);
    return std::nullopt;
}

} // namespace bulkhead::inline v1::detail
