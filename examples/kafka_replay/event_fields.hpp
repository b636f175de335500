// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "json_text.hpp"
#include "scalar.hpp"
#include "streams.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace replay {

/// An event's labels, so that they never blow up a mapping: an object whose values are strings.
/// - Booleans become strings, and numbers, as they were written; null is left out.
/// - An object or array becomes its JSON text, a string.
/// - A value longer than `max_label_bytes` is cut there, between two characters.
/// - In a key `.`, `*` and `"` become `_`; an empty key, or one longer than `max_label_key_bytes`, is left out.
/// - At most `max_labels` are kept, the first ones; of two keys that become the same, the first.
/// - Labels that are not an object are left out.
inline constexpr std::size_t max_labels = 64;
inline constexpr std::size_t max_label_bytes = 1024;
inline constexpr std::size_t max_label_key_bytes = 128;

/// Collects the known members of one event as `JsonReader` meets them; of a member that comes twice the last counts.
/// Texts are the reader's, or views into memory of its own where they had to be made, and are valid until the next
/// `start`.
class EventFields {
public:
    struct Label {
        std::string_view key;
        Scalar value;
    };

    void start(std::string_view event, const Schema& schema) {
        schema_ = &schema;
        // No view into these may move. A key is as long as it was in the event; of nested text `\b` grows most, to
        // `\u0008`.
        keys_.clear();
        keys_.reserve(event.size());
        nested_.clear();
        nested_.reserve(3 * event.size());
        values_.fill({});
        timestamp_ = {};
        labels_ = 0;
        has_labels_ = is_object_ = false;
        depth_ = 0;
        nested_begin_ = none;
        member_ = unknown_member;
    }

    [[nodiscard]] bool is_object() const noexcept { return is_object_; }
    [[nodiscard]] const Scalar& timestamp() const noexcept { return timestamp_; }
    /// By position in the schema's fields.
    [[nodiscard]] const Scalar& value(std::size_t field) const noexcept { return values_[field]; }
    [[nodiscard]] bool has_labels() const noexcept { return has_labels_; }
    [[nodiscard]] std::span<const Label> labels() const noexcept { return {all_labels_.data(), labels_}; }

    // ---- What the reader calls ----

    void begin(char bracket) {
        if (depth_ == 0 && bracket == '{') {
            is_object_ = true;
        } else if (depth_ == 1 && bracket == '{' && member_ == labels_member) {
            has_labels_ = true;
            labels_ = 0;
        } else {
            open(bracket);
        }
        ++depth_;
    }
    void end(char bracket) {
        --depth_;
        if (nested_begin_ == none) return;
        nested_ += bracket;
        if (depth_ == nested_depth_) label(std::string_view{nested_}.substr(std::exchange(nested_begin_, none)));
    }
    void key(std::string_view name) {
        if (depth_ == 1) {
            member_ = member(name);
            if (member_ == labels_member) has_labels_ = false;
        } else if (in_labels() && depth_ == 2) {
            label_key_ = normal_key(name);
        } else if (nested_begin_ != none) {
            nested_comma();
            append_json_string(nested_, name);
            nested_ += ':';
        }
    }
    void scalar(const Scalar& value) {
        if (depth_ == 1) {
            if (member_ < schema_->fields.size()) values_[member_] = value;
            if (member_ == timestamp_member) timestamp_ = value;
        } else if (nested_begin_ != none) {
            nested_comma();
            append_json(nested_, value);
        } else if (in_labels()) {
            label(value);
        }
    }

private:
    static constexpr std::size_t most_fields = 16;
    static constexpr std::size_t timestamp_member = most_fields;
    static constexpr std::size_t labels_member = most_fields + 1;
    static constexpr std::size_t unknown_member = most_fields + 2;
    static constexpr auto none = static_cast<std::size_t>(-1);

    [[nodiscard]] bool in_labels() const noexcept { return depth_ >= 2 && member_ == labels_member && has_labels_; }

    [[nodiscard]] std::size_t member(std::string_view name) const noexcept {
        for (std::size_t i = 0; i < schema_->fields.size(); ++i)
            if (schema_->fields[i].name == name) return i;
        return name == "timestamp" ? timestamp_member : name == "labels" ? labels_member : unknown_member;
    }
    std::string_view normal_key(std::string_view name) {
        if (name.size() > max_label_key_bytes) return {};
        constexpr auto not_allowed = [](char c) { return c == '.' || c == '*' || c == '"'; };
        if (std::none_of(name.begin(), name.end(), not_allowed)) return name;
        const auto begin = keys_.size();
        std::replace_copy_if(name.begin(), name.end(), std::back_inserter(keys_), not_allowed, '_');
        return std::string_view{keys_}.substr(begin);
    }

    void label(const Scalar& value) {
        if (labels_ == max_labels || label_key_.empty() || is_null(value)) return;
        const auto same = [this](const Label& other) { return other.key == label_key_; };
        const auto known = labels();
        if (std::none_of(known.begin(), known.end(), same)) all_labels_[labels_++] = {label_key_, value};
    }

    // What is nested in a label is written down as it comes.
    void open(char bracket) {
        if (depth_ == 1 && member_ < schema_->fields.size()) values_[member_] = {};
        if (depth_ == 1 && member_ == timestamp_member) timestamp_ = {};
        if (!in_labels()) return;
        if (nested_begin_ == none) {
            nested_begin_ = nested_.size();
            nested_depth_ = depth_;
        } else {
            nested_comma();
        }
        nested_ += bracket;
    }
    void nested_comma() {
        const char last = nested_.back();
        if (last != '{' && last != '[' && last != ':') nested_ += ',';
    }

    const Schema* schema_ = nullptr;
    std::string keys_;   ///< of labels, where they are not as they were in the event
    std::string nested_; ///< what is nested in labels, as JSON
    std::size_t nested_begin_ = none;
    std::size_t nested_depth_ = 0;
    std::size_t depth_ = 0;
    std::size_t member_ = unknown_member; ///< that is being read, of the outermost object
    bool is_object_ = false;
    bool has_labels_ = false;
    std::array<Scalar, most_fields> values_{};
    Scalar timestamp_{};
    std::string_view label_key_;
    std::array<Label, max_labels> all_labels_{};
    std::size_t labels_ = 0;
};

} // namespace replay
