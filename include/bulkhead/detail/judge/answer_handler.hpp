// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/judge/bulk_answer.hpp>
#include <bulkhead/error.hpp>

#include <boost/json/string_view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The events of a JSON parser over a bulk answer → one `ItemAnswer` for each operation. Pure.
namespace bulkhead::inline v1::detail {

/// Boost.JSON's event handler for a bulk answer: a small state machine over depth and the last keys.
///
///     depth 1  {                        errors, items, took, … : only `items` matters
///     depth 2    "items": [
///     depth 3      {                    exactly one key, whatever its name
///     depth 4        "index": {         status, result, failure_store, error
///     depth 5          "error": { type, reason, … }
class BulkAnswerHandler {
public:
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

    void start(std::size_t expected) {
        expected_ = expected;
        items_.clear();
        items_.reserve(expected);
        if (errors_.size() > max_spare_errors) errors_.resize(max_spare_errors); // after a burst of them
        used_errors_ = 0;
        depth_ = 0;
        skip_ = 0;
        seen_items_ = false;
        in_items_ = false;
        problem_ = {};
        key_.clear();
        text_.clear();
        field_ = Field::other;
    }
    [[nodiscard]] bool whole() const noexcept { return seen_items_ && problem_.empty() && items_.size() == expected_; }
    [[nodiscard]] std::span<const ItemAnswer> items() const noexcept { return items_; }
    [[nodiscard]] const ItemError& error(std::size_t i) const noexcept { return errors_[i]; }
    [[nodiscard]] std::string_view problem() const noexcept { return problem_; }
    [[nodiscard]] bool has_items() const noexcept { return seen_items_; }
    /// Between two items, if the last byte read was a closing brace.
    [[nodiscard]] bool between_items() const noexcept { return depth_ == 2 && skip_ == 0; }
    /// More items like this one.
    bool repeat(const ItemAnswer& item, std::size_t count) {
        if (count > expected_ - items_.size()) {
            problem_ = "more items than operations";
            return false;
        }
        items_.insert(items_.end(), count, item);
        return true;
    }

    // ---- What basic_parser calls; false stops it ----

    bool on_document_begin(error_code&) { return true; }
    bool on_document_end(error_code&) { return true; }
    bool on_object_begin(error_code& ec) {
        if (skip_ != 0) return skip_deeper(ec);
        switch (depth_) {
        case 0: depth_ = 1; return true;
        case 1: return in_items_ ? wrong(ec, "items are no array") : skip_deeper(ec);
        case 2:
            if (items_.size() == expected_) return wrong(ec, "more items than operations");
            depth_ = 3;
            keys_ = 0;
            return true;
        case 3:
            depth_ = 4;
            item_ = {};
            has_status_ = false;
            field_ = Field::other;
            return true;
        case 4:
            if (field_ == Field::error) {
                depth_ = 5;
                open_error();
                return true;
            }
            if (field_ == Field::status) return wrong(ec, "a status that is no number");
            return skip_deeper(ec);
        default: return skip_deeper(ec);
        }
    }
    bool on_object_end(std::size_t, error_code& ec) {
        if (skip_ != 0) return --skip_, true;
        switch (depth_) {
        case 3: depth_ = 2; return keys_ == 1 || wrong(ec, "an item without exactly one action");
        case 4:
            depth_ = 3;
            if (!has_status_) return wrong(ec, "an item without status");
            if (item_.status < 300 && item_.error != ItemAnswer::no_error)
                return wrong(ec, "an item with both success and error");
            items_.push_back(item_);
            return true;
        default: --depth_; return true;
        }
    }
    bool on_array_begin(error_code& ec) {
        if (skip_ != 0) return skip_deeper(ec);
        if (depth_ == 0) return wrong(ec, "not an object");
        if (depth_ == 1 && in_items_) {
            if (seen_items_) return wrong(ec, "items given twice");
            seen_items_ = true;
            depth_ = 2;
            return true;
        }
        if (depth_ == 2 || depth_ == 3) return wrong(ec, "an item that is no object");
        if (depth_ == 4 && field_ == Field::status) return wrong(ec, "a status that is no number");
        if (depth_ == 4 && field_ == Field::error) open_error();
        return skip_deeper(ec);
    }
    bool on_array_end(std::size_t, error_code&) {
        if (skip_ != 0) return --skip_, true;
        depth_ = 1;
        in_items_ = false;
        return true;
    }
    bool on_key_part(boost::json::string_view part, std::size_t, error_code&) {
        if (skip_ == 0) append(key_, part, max_key);
        return true;
    }
    bool on_key(boost::json::string_view part, std::size_t, error_code& ec) {
        if (skip_ != 0) return true;
        append(key_, part, max_key);
        switch (depth_) {
        case 1: in_items_ = key_ == "items"; break;
        case 3:
            if (++keys_ > 1) return wrong(ec, "an item without exactly one action");
            break;
        case 4: field_ = field_named(key_); break;
        case 5:
            field_ = key_ == "type" ? Field::error_type : key_ == "reason" ? Field::error_reason : Field::other;
            break;
        default: break;
        }
        key_.clear();
        return true;
    }
    bool on_string_part(boost::json::string_view part, std::size_t, error_code&) {
        if (skip_ == 0) append(text_, part, max_text + 4);
        return true;
    }
    bool on_string(boost::json::string_view part, std::size_t, error_code& ec) {
        if (skip_ != 0) return true;
        append(text_, part, max_text + 4);
        const bool good = take_text(ec);
        text_.clear();
        return good;
    }
    bool on_number_part(boost::json::string_view, error_code&) { return true; }
    bool on_int64(std::int64_t value, boost::json::string_view, error_code& ec) {
        if (skip_ != 0) return true;
        if (depth_ != 4 || field_ != Field::status) return scalar(ec);
        if (has_status_) return wrong(ec, "a status given twice");
        const bool sane = (value >= 200 && value < 300) || (value >= 400 && value < 600);
        if (!sane) return wrong(ec, "a status that is neither success nor error");
        has_status_ = true;
        item_.status = static_cast<std::uint16_t>(value);
        return true;
    }
    bool on_uint64(std::uint64_t, boost::json::string_view, error_code& ec) { return scalar(ec); }
    bool on_double(double, boost::json::string_view, error_code& ec) { return scalar(ec); }
    bool on_bool(bool, error_code& ec) { return scalar(ec); }
    bool on_null(error_code& ec) {
        if (skip_ == 0 && depth_ == 4 && field_ == Field::error) return true; // no error
        return scalar(ec);
    }
    bool on_comment_part(boost::json::string_view, error_code&) { return true; }
    bool on_comment(boost::json::string_view, error_code&) { return true; }

private:
    enum class Field : std::uint8_t { other, status, result, failure_store, error, error_type, error_reason };
    static constexpr std::size_t max_key = 32; // longer than any name of interest
    static constexpr std::size_t max_text = 1024;
    static constexpr std::size_t max_spare_errors = 256;
    static constexpr std::size_t max_skipped = 512;

    static Field field_named(std::string_view key) noexcept {
        if (key == "status") return Field::status;
        if (key == "result") return Field::result;
        if (key == "failure_store") return Field::failure_store;
        if (key == "error") return Field::error;
        return Field::other;
    }
    static void append(std::string& to, boost::json::string_view part, std::size_t most) {
        to.append(part.data(), std::min(part.size(), most - std::min(most, to.size())));
    }
    bool wrong(error_code& ec, std::string_view what) {
        problem_ = what;
        ec = errc::malformed_answer;
        return false;
    }
    bool skip_deeper(error_code& ec) { return ++skip_ <= max_skipped || wrong(ec, "nested too deeply"); }
    /// A number, a boolean or null where nothing is taken from it: fine, unless something else had to be there.
    bool scalar(error_code& ec) {
        if (skip_ != 0) return true;
        if (depth_ == 0) return wrong(ec, "not an object");
        if (depth_ == 1 && in_items_) return wrong(ec, "items are no array");
        if (depth_ == 2 || depth_ == 3) return wrong(ec, "an item that is no object");
        if (depth_ == 4 && field_ == Field::status) return wrong(ec, "a status that is no whole number");
        if (depth_ == 4 && field_ == Field::error) open_error(); // whatever it is, it is no success
        return true;
    }
    void keep_text(std::string& where) {
        where = fitting(text_, max_text);
        blank_controls(where);
    }
    bool take_text(error_code& ec) {
        if (depth_ == 5) {
            if (field_ == Field::error_type) keep_text(errors_[item_.error].type);
            if (field_ == Field::error_reason) keep_text(errors_[item_.error].reason);
            return true;
        }
        if (depth_ == 4) {
            switch (field_) {
            case Field::result: item_.result = result_named(text_); return true;
            case Field::failure_store: item_.failure_store = failure_store_named(text_); return true;
            case Field::error: // a plain string, as proxies and very old servers write it
                open_error();
                keep_text(errors_[item_.error].reason);
                return true;
            default: break;
            }
        }
        return scalar(ec);
    }
    void open_error() {
        if (item_.error == ItemAnswer::no_error) {
            if (used_errors_ == errors_.size()) errors_.emplace_back();
            item_.error = static_cast<std::uint32_t>(used_errors_++);
        }
        errors_[item_.error].type.clear();
        errors_[item_.error].reason.clear();
    }
    static Result result_named(std::string_view text) noexcept {
        if (text == "created") return Result::created;
        if (text == "updated") return Result::updated;
        if (text == "deleted") return Result::deleted;
        if (text == "noop") return Result::noop;
        if (text == "not_found") return Result::not_found;
        return Result::unspecified;
    }
    static FailureStore failure_store_named(std::string_view text) noexcept {
        if (text == "used") return FailureStore::used;
        if (text == "failed") return FailureStore::failed;
        if (text == "not_enabled") return FailureStore::not_enabled;
        return FailureStore::absent;
    }

    std::size_t expected_ = 0;
    std::vector<ItemAnswer> items_;
    std::vector<ItemError> errors_; ///< the first `used_errors_` of them; the rest is memory to reuse
    std::size_t used_errors_ = 0;
    int depth_ = 0;
    std::size_t skip_ = 0; ///< levels below what is of interest
    int keys_ = 0;
    bool seen_items_ = false;
    bool in_items_ = false;
    bool has_status_ = false;
    Field field_ = Field::other;
    ItemAnswer item_;
    std::string key_;
    std::string text_;
    std::string_view problem_;
};

} // namespace bulkhead::inline v1::detail
