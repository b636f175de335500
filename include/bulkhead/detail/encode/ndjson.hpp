// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/metadata_check.hpp>
#include <bulkhead/detail/encode/source_line.hpp>
#include <bulkhead/detail/text/index_name.hpp>
#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/detail/text/short_text.hpp>
#include <bulkhead/operation.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// Operation → its action line in a bulk request.
namespace bulkhead::inline v1::detail {

/// Appends what follows the index in an action line: `,"_id":"…"` and so on. Returns how many bytes the id takes.
template <class Output>
std::size_t append_metadata(Output& out, const Operation& op) {
    const auto field = [&](std::string_view name, const std::optional<std::string_view>& value) {
        if (!value) return;
        out.append(name);
        append_json_string(out, *value);
    };
    const auto number = [&](std::string_view name, const auto& value) {
        if (!value) return;
        out.append(name);
        out.append_number(*value);
    };
    const auto flag = [&](std::string_view name, std::optional<bool> value) {
        if (!value) return;
        out.append(name);
        out.append(*value ? "true" : "false");
    };
    field(",\"_id\":", op.id);
    const auto id_bytes = out.view().size();
    field(",\"routing\":", op.routing);
    field(",\"pipeline\":", op.pipeline);
    if (op.version) {
        number(",\"version\":", op.version);
        out.append(op.version_type == VersionType::external ? ",\"version_type\":\"external\""
                                                            : ",\"version_type\":\"external_gte\"");
    }
    number(",\"if_seq_no\":", op.if_seq_no);
    number(",\"if_primary_term\":", op.if_primary_term);
    number(",\"retry_on_conflict\":", op.retry_on_conflict);
    flag(",\"require_alias\":", op.require_alias);
    flag(",\"require_data_stream\":", op.require_data_stream);
    if (!op.dynamic_templates.empty()) {
        out.append(",\"dynamic_templates\":");
        for (auto rest = op.dynamic_templates; !rest.empty();) { // a newline would end the action line
            const auto line = rest.substr(0, rest.find('\n'));
            out.append(line);
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        }
    }
    return id_bytes;
}

/// The constant beginning of the action lines in use, by action and index: `{"create":{"_index":"logs"`. A handful is
/// remembered, so that neither checking nor escaping an index name costs anything for each document.
class ActionLines {
public:
    /// The beginning for this action and index, valid until the next call. nullptr when the name is not acceptable.
    [[nodiscard]] const std::string* find(Action action, std::string_view index) {
        for (auto& line : lines_)
            if (line.action == action && line.index == index && !line.prefix.empty()) return &line.prefix;
        return remember(action, index);
    }

private:
    struct Line {
        Action action{};
        std::string index;
        std::string prefix;
    };
    const std::string* remember(Action action, std::string_view index) {
        if (check_index_name(index)) return nullptr;
        Line line{action, std::string{index}, "{\""};
        line.prefix.append(action_name(action)).append("\":{\"_index\":");
        append_json_string(line.prefix, index);
        auto& slot = lines_[next_++ % lines_.size()];
        slot = std::move(line);
        return &slot.prefix;
    }
    std::array<Line, 8> lines_;
    std::size_t next_ = 0;
};

} // namespace bulkhead::inline v1::detail
