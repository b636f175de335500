// SPDX-License-Identifier: BSL-1.0
// The reader of bulk answers: how the bytes are cut makes no difference, and what it takes for a whole answer is one.

#include "fuzz.hpp"

#include <bulkhead/detail/judge/answer_parser.hpp>

#include <boost/json/parse.hpp>

#include <vector>

using namespace bulkhead;

namespace {

struct Read {
    bool whole = false;
    std::vector<unsigned> statuses;
    std::vector<std::string> errors;
    friend bool operator==(const Read&, const Read&) = default;
};

Read read(BulkAnswerParser& parser, std::size_t operations, std::string_view body, fuzz::Input cuts) {
    parser.start(operations);
    bool wanted = true;
    while (wanted && !body.empty()) {
        const auto size = cuts.empty() ? body.size() : std::min<std::size_t>(body.size(), cuts.byte() % 40U + 1U);
        wanted = parser.on_body(body.substr(0, size));
        body.remove_prefix(size);
    }
    Read result;
    result.whole = wanted && parser.finish();
    if (!result.whole) {
        (void)parser.problem();
        (void)describe_error(parser.head());
        return result;
    }
    for (const auto& item : parser.items()) {
        result.statuses.push_back(item.status);
        const auto* const error = parser.error_of(item);
        result.errors.push_back(error == nullptr ? "" : "!" + error->type + "/" + error->reason);
    }
    return result;
}

/// What Boost.JSON makes of a whole answer.
void compare_with_tree(const Read& found, std::string_view body) {
    boost::system::error_code error;
    boost::json::parse_options options;
    options.allow_invalid_utf8 = true;
    options.max_depth = 1000;
    const auto tree = boost::json::parse({body.data(), body.size()}, error, {}, options);
    fuzz::expect(!error && tree.is_object(), "a whole answer is a JSON object");
    // The last one counts of keys that are there twice; only a single `items` can be compared.
    const auto* const items = tree.get_object().if_contains("items");
    fuzz::expect(items != nullptr, "a whole answer has items");
    if (!items->is_array() || items->get_array().size() != found.statuses.size()) {
        const auto first = body.find("items");
        fuzz::expect(body.find("items", first + 1) != std::string_view::npos ||
                         body.find('\\') != std::string_view::npos,
                     "a whole answer has an item for each operation");
        return;
    }
    for (const auto status : found.statuses)
        fuzz::expect((status >= 200 && status < 300) || (status >= 400 && status < 600), "a status means something");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const std::size_t operations = input.byte() % 16U;
    const auto cuts = input.text();
    const auto body = input.rest();
    static BulkAnswerParser parser; // reused, as in the indexer
    const auto at_once = read(parser, operations, body, {nullptr, 0});
    const auto in_pieces =
        read(parser, operations, body, {reinterpret_cast<const std::uint8_t*>(cuts.data()), cuts.size()});
    fuzz::expect(at_once == in_pieces, "how an answer is cut makes no difference");
    fuzz::expect(!at_once.whole || at_once.statuses.size() == operations, "an item for each operation");
    if (at_once.whole) compare_with_tree(at_once, body);
    return 0;
}
