// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/judge/answer_handler.hpp>
#include <bulkhead/detail/judge/bulk_answer.hpp>
#include <bulkhead/detail/judge/error_body.hpp>
#include <bulkhead/detail/judge/repeated_items.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/reply.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse_options.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

/// A bulk answer, streamed → one `ItemAnswer` for each operation. Pure, bounded, by position.
namespace bulkhead::inline v1 {

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

    /// Begins an answer about so many operations.
    void start(std::size_t expected_operations) {
        parser_.reset();
        parser_.handler().start(expected_operations);
        head_.clear();
        hopeless_bytes_ = 0;
        repeated_.start();
        between_items_ = false;
        failed_ = false;
        any_ = false;
    }
    /// False when the body is malformed and large: there is no point in reading on.
    [[nodiscard]] bool on_body(std::string_view bytes) override {
        if (bytes.empty()) return true;
        if (head_.size() < max_head) head_.append(bytes.substr(0, max_head - head_.size()));
        any_ = true;
        repeated_.begin_piece();
        for (auto rest = bytes; !failed_ && !rest.empty();) {
            if (between_items_) rest.remove_prefix(skip_repetitions(rest));
            if (!failed_ && !rest.empty()) rest.remove_prefix(parse_to_next_brace(rest));
        }
        if (!failed_) return true;
        hopeless_bytes_ += bytes.size(); // a small one is read to its end, to keep the connection
        return hopeless_bytes_ <= max_hopeless;
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
        options.allow_invalid_utf8 = true; // in an error's reason: the answer is valid all the same
        options.max_depth = 600;
        return options;
    }
    /// Takes the items that repeat one that was parsed before.
    std::size_t skip_repetitions(std::string_view bytes) {
        return repeated_.skip(bytes, [this](const ItemAnswer& item, std::size_t count) {
            failed_ = !parser_.handler().repeat(item, count);
            return !failed_;
        });
    }
    std::size_t parse_to_next_brace(std::string_view bytes) {
        const auto piece = bytes.substr(0, repeated_.next_piece(bytes));
        parse(piece);
        const auto& handler = parser_.handler();
        between_items_ = !failed_ && repeated_.is_comparing() && piece.back() == '}' && handler.between_items() &&
                         handler.items().size() > repeated_.items();
        repeated_.parsed(piece, between_items_, handler.items());
        return piece.size();
    }
    void parse(std::string_view bytes) {
        error_code error;
        const auto used = parser_.write_some(true, bytes.data(), bytes.size(), error);
        if (!error && parser_.done() && bytes.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
            error = errc::malformed_answer;
        failed_ = static_cast<bool>(error);
    }

    static constexpr std::size_t max_head = 4096;
    static constexpr std::size_t max_hopeless = std::size_t{64} << 10;

    boost::json::basic_parser<detail::BulkAnswerHandler> parser_;
    detail::RepeatedItems repeated_;
    std::string head_;
    bool between_items_ = false; ///< an item's end was the last byte
    std::size_t hopeless_bytes_ = 0;
    bool failed_ = false;
    bool any_ = false;
};

} // namespace bulkhead::inline v1
