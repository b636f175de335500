// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <boost/json/basic_parser_impl.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Whether a document is JSON from its first byte to its last: `Validation::full`.
namespace bulkhead::inline v1::detail {

/// Boost.JSON's event handler for a document that is only looked at.
struct DocumentHandler {
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
    using view = boost::json::string_view;

    static bool on_document_begin(error_code& /*ec*/) noexcept { return true; }
    static bool on_document_end(error_code& /*ec*/) noexcept { return true; }
    static bool on_object_begin(error_code& /*ec*/) noexcept { return true; }
    static bool on_object_end(std::size_t /*n*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_array_begin(error_code& /*ec*/) noexcept { return true; }
    static bool on_array_end(std::size_t /*n*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_key_part(view /*part*/, std::size_t /*n*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_key(view /*part*/, std::size_t /*n*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_string_part(view /*part*/, std::size_t /*n*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_string(view /*part*/, std::size_t /*n*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_number_part(view /*part*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_int64(std::int64_t /*value*/, view /*text*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_uint64(std::uint64_t /*value*/, view /*text*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_double(double /*value*/, view /*text*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_bool(bool /*value*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_null(error_code& /*ec*/) noexcept { return true; }
    static bool on_comment_part(view /*part*/, error_code& /*ec*/) noexcept { return true; }
    static bool on_comment(view /*part*/, error_code& /*ec*/) noexcept { return true; }
};

/// What is wrong with a source as JSON, if anything: it must be one object in valid UTF-8, nested at most 1000 deep (as
/// Elasticsearch reads it). Of the document only the place is shown, never its text.
[[nodiscard]] inline std::optional<FieldError> check_document(std::string_view source) {
    boost::json::parse_options options;
    options.max_depth = 1000;
    boost::json::basic_parser<DocumentHandler> parser{options};
    error_code error;
    auto read = std::size_t{0};
    if (source.starts_with('{')) read = parser.write_some(false, source.data(), source.size(), error);
    if (!error && read == source.size() && read != 0) return std::nullopt;
    return FieldError{"source", "one valid JSON object",
                      (error ? error.message() : "something else") + " at byte " + std::to_string(read)};
}

} // namespace bulkhead::inline v1::detail
