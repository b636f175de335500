// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>
#include <bulkhead/reply.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A `_bulk` answer, streamed → one `ItemAnswer` for each operation. Pure, bounded, positional.
namespace bulkhead::inline v1 {

/// What an item says of a data stream's failure store.
enum class FailureStore : std::uint8_t { absent, used, failed, not_enabled };

/// What the server said at one operation's position.
struct ItemAnswer {
    /// The value of an error's index that means none.
    static constexpr std::uint32_t no_error = std::numeric_limits<std::uint32_t>::max();
    /// The HTTP status at this position.
    std::uint16_t status = 0;
    /// What was done, where the answer says so.
    Result result = Result::unspecified;
    /// Whether the document went to the failure store.
    FailureStore failure_store = FailureStore::absent;
    std::uint32_t error = no_error; ///< see `BulkAnswerParser::error_of`
};

/// An item's error; both are cut at 1 KiB, at the boundary of a UTF-8 character, and hold spaces for control
/// characters. May quote the document. Empty where the server said nothing, or something else than a string.
struct ItemError {
    /// The server's error type, at most 1 KiB.
    std::string type;
    /// The server's reason, at most 1 KiB.
    std::string reason;
};

namespace detail {

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
        if (errors_.size() > most_spare_errors) errors_.resize(most_spare_errors); // after a burst of them
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
        if (skip_ == 0) append(key_, part, most_key);
        return true;
    }
    bool on_key(boost::json::string_view part, std::size_t, error_code& ec) {
        if (skip_ != 0) return true;
        append(key_, part, most_key);
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
        if (skip_ == 0) append(text_, part, most_text + 4);
        return true;
    }
    bool on_string(boost::json::string_view part, std::size_t, error_code& ec) {
        if (skip_ != 0) return true;
        append(text_, part, most_text + 4);
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
    static constexpr std::size_t most_key = 32; // longer than any name of interest
    static constexpr std::size_t most_text = 1024;
    static constexpr std::size_t most_spare_errors = 256;
    static constexpr std::size_t most_skipped = 512;

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
    bool skip_deeper(error_code& ec) { return ++skip_ <= most_skipped || wrong(ec, "nested too deeply"); }
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
        where = fitting(text_, most_text);
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

} // namespace detail

/// Reads one bulk answer as its bytes arrive, in any pieces. Reusable: `start` keeps the memory, so that a clean answer
/// allocates nothing once warm. It keeps 8 bytes for each operation, and the errors of items that failed. Not
/// thread-safe; not movable.
///
/// An answer is whole when it is one JSON object whose `items` array has exactly one object for each operation, each
/// with exactly one key (whatever its name: Elasticsearch and OpenSearch may answer under another action), whose value
/// has a whole number as `status`, a success (2xx) or an error (4xx, 5xx), and no success has an `error` but null.
/// Everything else in it is skipped, `errors` and `took` included, down to 512 levels. A byte order mark, or anything
/// but white space after the object, makes it malformed; invalid UTF-8 inside a string does not.
class BulkAnswerParser final : public AnswerSink {
public:
    BulkAnswerParser() : parser_{options()} {}

    /// Begins anew, for an answer about so many operations.
    void start(std::size_t expected_operations) {
        parser_.reset();
        parser_.handler().start(expected_operations);
        head_.clear();
        hopeless_bytes_ = 0;
        current_.clear();
        success_.bytes.clear();
        refusal_.bytes.clear();
        vain_ = 0;
        ended_ = 0;
        between_items_ = false;
        failed_ = false;
        any_ = false;
    }
    /// False when the body is malformed and large: there is no point in reading on.
    [[nodiscard]] bool on_body(std::string_view bytes) override {
        constexpr std::size_t most_head = 4096;
        constexpr std::size_t most_hopeless = std::size_t{64} << 10;
        if (bytes.empty()) return true;
        if (head_.size() < most_head) head_.append(bytes.substr(0, most_head - head_.size()));
        any_ = true;
        vain_ = std::min(vain_, most_vain - 1); // look again for repetitions in each piece of the answer
        for (auto rest = bytes; !failed_ && !rest.empty();) {
            if (between_items_) rest.remove_prefix(skip_repetitions(rest));
            if (!failed_ && !rest.empty()) rest.remove_prefix(parse_to_next_brace(rest));
        }
        if (!failed_) return true;
        hopeless_bytes_ += bytes.size(); // a small one is read to its end, to keep the connection
        return hopeless_bytes_ <= most_hopeless;
    }
    /// The body is over. True when it was whole: then `items()` holds one entry for each operation.
    [[nodiscard]] bool finish() {
        if (failed_ || !any_) return false;
        error_code error;
        if (!parser_.done()) parser_.write_some(false, "", 0, error);
        failed_ = error || !parser_.done();
        return !failed_ && parser_.handler().whole();
    }
    /// By position. Meaningful only after `finish()` returned true.
    [[nodiscard]] std::span<const ItemAnswer> items() const noexcept { return parser_.handler().items(); }
    /// The item's error, or nullptr.
    [[nodiscard]] const ItemError* error_of(const ItemAnswer& item) const noexcept {
        return item.error == ItemAnswer::no_error ? nullptr : &parser_.handler().error(item.error);
    }
    /// Why `finish()` returned false.
    [[nodiscard]] std::string_view problem() const noexcept {
        const auto& handler = parser_.handler();
        if (!handler.problem().empty()) return handler.problem();
        if (!any_) return "an empty body";
        if (failed_) return "not JSON, cut short, or followed by something else";
        return handler.has_items() ? "fewer items than operations" : "no items";
    }
    /// The first bytes of the body, at most 4 KiB: for `describe_error`, when the status says that this is no bulk
    /// answer.
    [[nodiscard]] std::string_view head() const noexcept { return head_; }

private:
    static boost::json::parse_options options() noexcept {
        boost::json::parse_options options;
        options.allow_invalid_utf8 = true; // in a reason: no ground for losing a valid answer
        options.max_depth = 600;
        return options;
    }
    /// What was parsed from the end of one item to the end of the next, and what that said.
    struct Repeated {
        std::string bytes;
        ItemAnswer item;
    };
    /// The items of a clean answer are the same few bytes over and over, and a shard that takes no more says the same
    /// of each of its operations. What was parsed once between the ends of two items means the same where it comes
    /// again, and leaves the parser in the same state; so it is compared instead of parsed.
    std::size_t skip_repetitions(std::string_view bytes) {
        std::size_t skipped = 0;
        while (!failed_) {
            const auto from = skipped;
            skipped += skip(success_, bytes.substr(skipped));
            if (!failed_) skipped += skip(refusal_, bytes.substr(skipped));
            if (skipped == from) break;
            vain_ = 0;
        }
        return skipped;
    }
    std::size_t skip(const Repeated& repeated, std::string_view bytes) {
        std::size_t count = 0;
        if (repeated.bytes.empty()) return 0;
        while (bytes.substr(count * repeated.bytes.size()).starts_with(repeated.bytes)) ++count;
        if (count == 0) return 0;
        failed_ = !parser_.handler().repeat(repeated.item, count);
        ended_ += count;
        return count * repeated.bytes.size();
    }
    std::size_t parse_to_next_brace(std::string_view bytes) {
        const auto brace = vain_ < most_vain ? bytes.find('}') : std::string_view::npos;
        const auto piece = bytes.substr(0, brace == std::string_view::npos ? bytes.size() : brace + 1);
        parse(piece);
        if (current_.size() <= most_repeated) current_.append(piece.substr(0, most_repeated + 1));
        const auto& handler = parser_.handler();
        const auto items = handler.items();
        between_items_ =
            !failed_ && brace != std::string_view::npos && handler.between_items() && items.size() > ended_;
        if (!between_items_) return piece.size();
        ++vain_;
        const bool one = ended_ != 0 && items.size() == ended_ + 1 && current_.size() <= most_repeated;
        if (one) {
            auto& repeated = items.back().error == ItemAnswer::no_error ? success_ : refusal_;
            repeated.bytes.swap(current_);
            repeated.item = items.back();
        }
        current_.clear();
        ended_ = items.size();
        return piece.size();
    }
    void parse(std::string_view bytes) {
        error_code error;
        const auto used = parser_.write_some(true, bytes.data(), bytes.size(), error);
        if (!error && parser_.done() && bytes.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
            error = errc::malformed_answer;
        failed_ = static_cast<bool>(error);
    }

    static constexpr std::size_t most_repeated = 1024;
    static constexpr int most_vain = 8;

    boost::json::basic_parser<detail::BulkAnswerHandler> parser_;
    std::string head_;
    std::string current_;        ///< what was parsed since an item's end was seen
    std::size_t ended_ = 0;      ///< how many items there were then
    Repeated success_;           ///< the last item that succeeded
    Repeated refusal_;           ///< and the last that did not
    int vain_ = 0;               ///< ends seen since a repetition; from `most_vain` on all is parsed at once
    bool between_items_ = false; ///< an item's end was the last byte
    std::size_t hopeless_bytes_ = 0;
    bool failed_ = false;
    bool any_ = false;
};

/// Type and reason out of the body of a request that failed as a whole: `{"error":{"type":…,"reason":…},…}`,
/// `{"error":"…"}`, or otherwise the body's first 256 bytes as the reason, or that there are none; control characters
/// are replaced by spaces. Takes what there is of it, also when it is cut. Throws nothing but `std::bad_alloc`.
[[nodiscard]] inline ItemError describe_error(std::string_view body) {
    ItemError described;
    boost::json::parse_options options;
    options.allow_invalid_utf8 = true;
    error_code error;
    const auto value = boost::json::parse({body.data(), body.size()}, error, {}, options);
    if (!error && value.is_object()) {
        const auto* what = value.as_object().if_contains("error");
        const auto text_of = [](const boost::json::value* text) {
            return text != nullptr && text->is_string()
                       ? detail::printable({text->as_string().data(), text->as_string().size()}, 1024)
                       : std::string{};
        };
        if (what != nullptr && what->is_object()) {
            described.type = text_of(what->as_object().if_contains("type"));
            described.reason = text_of(what->as_object().if_contains("reason"));
            return described;
        }
        if (what != nullptr && what->is_string()) {
            described.reason = text_of(what);
            return described;
        }
    }
    described.reason = body.empty() ? "the answer has no body" : detail::printable(body);
    return described;
}

} // namespace bulkhead::inline v1
