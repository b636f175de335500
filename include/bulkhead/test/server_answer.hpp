// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What a model server is asked and what it answers.
namespace bulkhead::inline v1::test {

/// What a server answers.
struct ServerAnswer {
    /// HTTP's.
    unsigned status = 200;
    /// JSON.
    std::string body{};
    /// How long the server takes before it answers.
    std::chrono::nanoseconds took{};
    /// The connection is reset instead: status and body are empty.
    bool reset = false;
};

/// The parameters of a bulk request beside its body: path and query.
struct BulkParameters {
    std::string index{};       ///< of operations that name none: `POST /{index}/_bulk`
    std::string pipeline{};    ///< of operations that name none
    std::string filter_path{}; ///< what of the answer is wanted; empty: everything
    /// Applies so many, then the rest of the body is neither applied nor answered: a crash in the middle.
    std::size_t most_operations = static_cast<std::size_t>(-1);
};

/// A bulk request, as `BulkServer::misbehave` is called with it.
struct BulkRequestInfo {
    std::uint64_t number = 0; ///< 1 for the server's first one
    /// Path and query.
    std::string_view target;
    /// As it came; unpacked when it came as gzip.
    std::string_view body;
    /// The header's fields, names and values, in the order in which they came.
    std::vector<std::pair<std::string_view, std::string_view>> headers{};
    /// The value of the first field of this name (upper and lower case are the same); empty when there is none.
    [[nodiscard]] std::string_view header(std::string_view name) const {
        for (const auto& [field, value] : headers)
            if (std::equal(field.begin(), field.end(), name.begin(), name.end(), same_letter)) return value;
        return {};
    }
    /// The operations in it, counted by their lines, roughly: a delete counts as half.
    [[nodiscard]] std::size_t lines() const {
        return static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n'));
    }

private:
    static bool same_letter(char a, char b) noexcept {
        const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
        return lower(a) == lower(b);
    }
};

/// What the server does with a bulk request instead of what is right.
struct CannedAnswer {
    /// Of the answer.
    unsigned status = 503;
    /// Of the answer.
    std::string body{};
    /// Of the body.
    std::string content_type = "application/json";
    std::string headers{};             ///< more header lines, each ending with CR LF: `"Retry-After: 5\r\n"`
    std::size_t apply_at_most = 0;     ///< apply so many of the operations first
    bool keep_model_answer = false;    ///< with `apply_at_most`: answer what the model answers for these
    bool close_without_answer = false; ///< hang up instead
    bool no_answer = false;            ///< send nothing until `release()` or `stop()`
    std::string raw{};                 ///< send exactly these bytes, and hang up
};

namespace detail {

/// A string as JSON has it, with its quotes.
[[nodiscard]] inline std::string json_quoted(std::string_view text) {
    return boost::json::serialize(boost::json::string_view{text.data(), text.size()});
}
/// An error for a request as a whole.
[[nodiscard]] inline ServerAnswer whole_error(std::string_view type, std::string_view reason, unsigned status = 400) {
    std::string body = R"({"error":{"root_cause":[],"type":")";
    body.append(type).append(R"(","reason":)").append(json_quoted(reason));
    body.append("},\"status\":").append(std::to_string(status)).append("}");
    return {status, std::move(body)};
}

} // namespace detail

} // namespace bulkhead::inline v1::test
