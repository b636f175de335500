// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/detail/bulk_request_reader.hpp>
#include <bulkhead/test/detail/document_store.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::inline v1::test::detail {

/// Which leaves of a `_bulk` answer `filter_path` keeps.
class AnswerFilter {
public:
    explicit AnswerFilter(std::string_view filter_path) {
        if (filter_path.empty()) filter_path = "took,errors,items";
        while (!filter_path.empty()) {
            const auto comma = std::min(filter_path.find(','), filter_path.size());
            const auto path = filter_path.substr(0, comma);
            filter_path.remove_prefix(std::min(comma + 1, filter_path.size()));
            const auto wants = [&](std::string_view leaf) { return matches(path, leaf); };
            took |= wants("took");
            errors |= wants("errors");
            index |= wants("items.op._index");
            id |= wants("items.op._id");
            version |= wants("items.op._version");
            result |= wants("items.op.result");
            shards |= wants("items.op._shards.total");
            seq_no |= wants("items.op._seq_no");
            primary_term |= wants("items.op._primary_term");
            status |= wants("items.op.status");
            type |= wants("items.op.error.type");
            reason |= wants("items.op.error.reason");
        }
    }
    bool took = false, errors = false, index = false, id = false, version = false, result = false, shards = false,
         seq_no = false, primary_term = false, status = false, type = false, reason = false;

private:
    /// `*` stands for one whole step, as far as this model goes; a path keeps all that is below it.
    static bool matches(std::string_view path, std::string_view leaf) {
        while (!path.empty()) {
            if (leaf.empty()) return false;
            const auto step = path.substr(0, path.find('.'));
            const auto name = leaf.substr(0, leaf.find('.'));
            if (step != "*" && step != name) return false;
            path.remove_prefix(std::min(step.size() + 1, path.size()));
            leaf.remove_prefix(std::min(name.size() + 1, leaf.size()));
        }
        return true;
    }
};

/// What an operation has changed.
enum class WriteResult { created, updated, deleted, noop, not_found };

/// The answer to a bulk request, item by item, as far as `filter_path` keeps it. It keeps its memory from request to
/// request.
class AnswerWriter {
public:
    void begin(std::string_view filter_path) {
        filter_ = AnswerFilter{filter_path};
        items_.clear();
        errors_ = false;
    }
    /// The item of an operation that was applied.
    void done(const BulkOperation& op, std::string_view id, const Document& document, WriteResult result) {
        constexpr std::string_view names[] = {"created", "updated", "deleted", "noop", "not_found"};
        const unsigned status = result == WriteResult::created ? 201 : result == WriteResult::not_found ? 404 : 200;
        begin_item(op, id);
        if (filter_.version) field("_version") += std::to_string(document.version);
        if (filter_.result) field("result").append(1, '"').append(names[static_cast<std::size_t>(result)]) += '"';
        if (filter_.shards) field("_shards") += R"({"total":1,"successful":1,"failed":0})";
        if (filter_.seq_no) field("_seq_no") += std::to_string(document.seq_no);
        if (filter_.primary_term) field("_primary_term") += '1';
        if (filter_.status) field("status") += status == 201 ? "201" : status == 200 ? "200" : "404";
        end_item();
    }
    /// The item of an operation that was refused.
    void failed(const BulkOperation& op, unsigned status, std::string_view type, std::string_view reason) {
        errors_ = true;
        begin_item(op, op.id);
        if (filter_.status) field("status") += std::to_string(status);
        if (filter_.type || filter_.reason) {
            field("error") += '{';
            if (filter_.type) items_.append("\"type\":\"").append(type) += '"';
            if (filter_.type && filter_.reason) items_ += ',';
            if (filter_.reason) items_.append("\"reason\":").append(json_quoted(reason));
            items_ += '}';
        }
        end_item();
    }
    /// The whole answer.
    [[nodiscard]] std::string finish() const {
        std::string answer;
        answer.reserve(items_.size() + 64);
        const auto add = [&](std::string_view text) {
            answer += answer.empty() ? '{' : ',';
            answer += text;
        };
        if (filter_.errors) add(errors_ ? "\"errors\":true" : "\"errors\":false");
        if (filter_.took) add("\"took\":1");
        if (!items_.empty()) {
            add("\"items\":[");
            answer += items_;
            answer += ']';
        }
        answer += answer.empty() ? "{}" : "}";
        return answer;
    }

private:
    void begin_item(const BulkOperation& op, std::optional<std::string_view> id) {
        item_at_ = items_.size();
        if (!items_.empty()) items_ += ',';
        items_.append("{\"").append(name_of(op.kind)).append("\":{");
        fields_at_ = items_.size();
        if (filter_.index) field("_index") += json_quoted(op.index);
        if (filter_.id) field("_id") += id ? json_quoted(*id) : "null";
    }
    std::string& field(std::string_view name) {
        if (items_.size() != fields_at_) items_ += ',';
        return items_.append(1, '"').append(name).append("\":");
    }
    void end_item() {
        if (items_.size() == fields_at_) { // nothing is left of it, so it is left out: positions are lost
            items_.resize(item_at_);
            return;
        }
        items_ += "}}";
    }

    AnswerFilter filter_{std::string_view{}};
    std::string items_;
    bool errors_ = false; ///< an operation was refused
    std::size_t item_at_ = 0;
    std::size_t fields_at_ = 0;
};

} // namespace bulkhead::inline v1::test::detail
