// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/judge/bulk_answer.hpp>
#include <bulkhead/error.hpp>

#include <boost/json/parse.hpp>

#include <string>
#include <string_view>

/// The body of a request that failed as a whole → its error. Pure.
namespace bulkhead::inline v1 {

/// Takes type and reason from the body of a request that failed as a whole: `{"error":{"type":…,"reason":…},…}`,
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
