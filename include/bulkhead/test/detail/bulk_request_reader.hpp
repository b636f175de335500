// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/detail/document_check.hpp>
#include <bulkhead/test/server_answer.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::test::detail {

/// What an operation does.
enum class BulkAction { index, create, update, remove };

/// One operation: views into the body and the parameters or, where JSON escapes had to be resolved, into the reader.
struct BulkOperation {
    BulkAction kind{};
    std::string_view index;
    std::optional<std::string_view> id;
    std::string_view pipeline;
    std::string_view source;
    std::optional<std::int64_t> version;
    std::string_view version_type;
    std::optional<std::int64_t> if_seq_no;
    std::optional<std::int64_t> if_primary_term;
    bool require_alias = false;
    bool require_data_stream = false;
};

[[nodiscard]] inline std::optional<BulkAction> kind_of(std::string_view action) {
    if (action == "index") return BulkAction::index;
    if (action == "create") return BulkAction::create;
    if (action == "update") return BulkAction::update;
    if (action == "delete") return BulkAction::remove;
    return std::nullopt;
}
[[nodiscard]] inline std::string_view name_of(BulkAction kind) {
    switch (kind) {
    case BulkAction::index: return "index";
    case BulkAction::create: return "create";
    case BulkAction::update: return "update";
    case BulkAction::remove: break;
    }
    return "delete";
}
[[nodiscard]] inline boost::json::value parsed(std::string_view text, boost::system::error_code& error) {
    boost::json::parse_options options;
    options.max_depth = 1000;
    return boost::json::parse({text.data(), text.size()}, error, {}, options);
}

/// The body of a bulk request → its operations, or the error that the servers answer it with as a whole. It keeps its
/// memory from request to request.
class BulkRequestReader {
public:
    /// Reads a body; returns the error when the servers refuse it as a whole.
    [[nodiscard]] std::optional<ServerAnswer> read(std::string_view body, const BulkParameters& parameters) {
        operations_.clear();
        decoded_.clear();
        std::size_t line_number = 0;
        const auto next_line = [&] {
            const auto end = body.find('\n');
            auto line = body.substr(0, end);
            body.remove_prefix(end + 1);
            if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
            ++line_number;
            return line;
        };
        while (!body.empty()) {
            const auto line = next_line();
            if (line.empty()) continue; // a blank line in action position is skipped
            BulkOperation op;
            op.index = parameters.index;
            op.pipeline = parameters.pipeline;
            if (!read_plain_action(line, op)) {
                op = BulkOperation{};
                op.index = parameters.index;
                op.pipeline = parameters.pipeline;
                if (auto wrong = read_action(line, line_number, op)) return wrong;
            }
            if (op.kind != BulkAction::remove) {
                if (body.empty()) break; // the servers drop an action without a document silently
                op.source = next_line();
            }
            // An update's body is read with the request, not with the item.
            if (op.kind == BulkAction::update && !DocumentCheck{op.source}.valid())
                return whole_error("x_content_parse_exception",
                                   "[" + std::to_string(line_number) + "] failed to parse the update");
            operations_.push_back(op);
        }
        if (operations_.empty()) return whole_error("action_request_validation_exception", "no requests added");
        std::string invalid;
        for (const auto& op : operations_) validate(op, invalid);
        if (invalid.empty()) return std::nullopt;
        return whole_error("action_request_validation_exception", "Validation Failed: " + invalid);
    }
    /// What `read` has found; valid until its next call, and as long as the body.
    [[nodiscard]] std::vector<BulkOperation>& operations() noexcept { return operations_; }

private:
    /// Nearly all action lines are a verb with `_index` and `_id` in plain ASCII: no need for a JSON parser. False:
    /// this one is not, and `op` is to be forgotten.
    static bool read_plain_action(std::string_view line, BulkOperation& op) {
        const auto take = [&line](std::string_view expected) {
            if (line.substr(0, expected.size()) != expected) return false;
            line.remove_prefix(expected.size());
            return true;
        };
        const auto text = [&line]() -> std::optional<std::string_view> { // up to the closing quote
            std::size_t size = 0;
            while (size < line.size() && line[size] >= 0x20 && line[size] < 0x7F && line[size] != '"' &&
                   line[size] != '\\')
                ++size;
            if (size == line.size() || line[size] != '"') return std::nullopt;
            const auto found = line.substr(0, size);
            line.remove_prefix(size + 1);
            return found;
        };
        if (!take("{\"")) return false;
        const auto action = text();
        const auto kind = kind_of(action.value_or(""));
        if (!kind || !take(":{")) return false;
        op.kind = *kind;
        for (bool first = true; !take("}}"); first = false) {
            if (!take(first ? "\"" : ",\"")) return false;
            const auto name = text();
            if (!name || !take(":\"")) return false;
            const auto value = text();
            if (!value) return false;
            if (*name == "_id") {
                op.id = *value;
            } else if (*name == "_index") {
                op.index = *value;
            } else {
                return false;
            }
        }
        return line.empty();
    }
    std::optional<ServerAnswer> read_action(std::string_view line, std::size_t number, BulkOperation& op) {
        const auto malformed = [number](std::string_view what) {
            return whole_error("illegal_argument_exception",
                               "Malformed action/metadata line [" + std::to_string(number) + "], " + std::string{what});
        };
        boost::system::error_code error;
        const auto value = parsed(line, error);
        if (error) return whole_error("parse_exception", "could not parse bulk request body");
        const auto* const outer = value.if_object();
        if (outer == nullptr) return malformed("expected START_OBJECT");
        if (outer->empty()) return malformed("expected FIELD_NAME but found [END_OBJECT]");
        const auto& [action, metadata] = *outer->begin();
        const auto* const fields = metadata.if_object();
        if (outer->size() != 1 || fields == nullptr) return malformed("expected one action with an object");
        const auto kind = kind_of(std::string_view{action.data(), action.size()});
        if (!kind) return malformed("expected field [create], [delete], [index] or [update]");
        op.kind = *kind;
        return read_metadata(*fields, op);
    }
    std::optional<ServerAnswer> read_metadata(const boost::json::object& fields, BulkOperation& op) {
        const auto text = [this](const boost::json::value& value) -> std::optional<std::string_view> {
            if (value.is_null()) return std::nullopt;
            decoded_.push_back(value.is_string() ? std::string{value.get_string()} : boost::json::serialize(value));
            return decoded_.back();
        };
        const auto number = [](const boost::json::value& value) -> std::optional<std::int64_t> {
            if (value.is_int64()) return value.get_int64();
            return std::nullopt;
        };
        const auto flag = [](const boost::json::value& value) { return value.is_bool() && value.get_bool(); };
        for (const auto& [name, value] : fields) {
            if (value.is_array() || (value.is_object() && name != "dynamic_templates"))
                return whole_error("illegal_argument_exception",
                                   "Malformed action/metadata line, expected a simple value for field [" +
                                       std::string{name} + "]");
            if (name == "_index") {
                op.index = text(value).value_or("");
            } else if (name == "_id") {
                op.id = text(value);
            } else if (name == "pipeline") {
                op.pipeline = text(value).value_or("");
            } else if (name == "version") {
                op.version = number(value);
            } else if (name == "version_type") {
                op.version_type = text(value).value_or("");
            } else if (name == "if_seq_no") {
                op.if_seq_no = number(value);
            } else if (name == "if_primary_term") {
                op.if_primary_term = number(value);
            } else if (name == "require_alias") {
                op.require_alias = flag(value);
            } else if (name == "require_data_stream") {
                op.require_data_stream = flag(value);
            } else if (name == "op_type" && op.kind == BulkAction::index) {
                if (text(value) == "create") op.kind = BulkAction::create;
            } else if (name != "routing" && name != "retry_on_conflict" && name != "dynamic_templates" &&
                       name != "op_type") {
                return whole_error("illegal_argument_exception",
                                   "Action/metadata line contains an unknown parameter [" + std::string{name} + "]");
            }
        }
        return std::nullopt;
    }
    /// What the servers find in a request before they begin: one invalid operation fails it as a whole.
    static void validate(const BulkOperation& op, std::string& invalid) {
        const auto add = [&](std::string_view what) { invalid.append(what).append(";"); };
        const bool external =
            op.version_type == "external" || op.version_type == "external_gt" || op.version_type == "external_gte";
        if (op.index.empty()) add("index is missing");
        if (op.id && op.id->size() > 512) add("id is too long, must be no longer than 512 bytes");
        if ((op.kind == BulkAction::remove || op.kind == BulkAction::update) && (!op.id || op.id->empty()))
            add("id is missing");
        if (op.version && !op.id) add("an id must be provided if version type or value are set");
        if (op.version && op.kind == BulkAction::update) add("update requests do not support versioning");
        if (op.version && op.kind == BulkAction::create)
            add("create operations do not support versions. use index instead");
        if (op.version && !external) add("internal versioning can not be used for optimistic concurrency control");
        if (external && !op.version) add("illegal version value [-3] for version type");
        if (op.if_seq_no.has_value() != op.if_primary_term.has_value())
            add("ifSeqNo is set, but primary term is not, or the other way round");
        if (op.if_seq_no && op.version) add("compare and write operations can not use versioning");
        if (op.if_seq_no && op.kind == BulkAction::create)
            add("create operations do not support compare and set. use index instead");
    }

    std::vector<BulkOperation> operations_;
    std::deque<std::string> decoded_; ///< of JSON strings with escapes
};

} // namespace bulkhead::inline v1::test::detail
