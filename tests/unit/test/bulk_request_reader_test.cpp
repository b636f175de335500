// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/detail/bulk_request_reader.hpp>

#include <string>
#include <string_view>

namespace model = bulkhead::test::detail;
using bulkhead::test::BulkParameters;

namespace {

/// The error type that a body is refused with as a whole; empty when it is not.
std::string refused_with(std::string_view body, const BulkParameters& parameters = {}) {
    model::BulkRequestReader reader;
    const auto error = reader.read(body, parameters);
    return error ? error->body : std::string{};
}

} // namespace

TEST_CASE("bulk request reader: plain action lines and those that need a JSON parser mean the same") {
    model::BulkRequestReader reader;
    const std::string body =
        "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"n\":1}\n"
        "\n" // skipped
        "{ \"create\" : {\"_id\":\"\\u0031\"} }\r\n{\"n\":2}\r\n"
        "{\"delete\":{\"_index\":\"b\",\"_id\":\"3\",\"version\":7,\"version_type\":\"external\"}}\n"
        "{\"index\":{\"op_type\":\"create\",\"pipeline\":\"p\"}}\n{}\n";
    const BulkParameters of_path{.index = "of-path"}; // the operations point into it
    REQUIRE_FALSE(reader.read(body, of_path));
    const auto& found = reader.operations();
    REQUIRE(found.size() == 4);
    CHECK(found[0].kind == model::BulkAction::index);
    CHECK(found[0].index == "a");
    CHECK(found[0].id == "1");
    CHECK(found[0].source == "{\"n\":1}");
    CHECK(found[1].kind == model::BulkAction::create);
    CHECK(found[1].index == "of-path");
    CHECK(found[1].id == "1");
    CHECK(found[1].source == "{\"n\":2}");
    CHECK(found[2].kind == model::BulkAction::remove);
    CHECK(found[2].version == 7);
    CHECK(found[2].source.empty());
    CHECK(found[3].kind == model::BulkAction::create);
    CHECK(found[3].pipeline == "p");
    CHECK_FALSE(found[3].id);
}

TEST_CASE("bulk request reader: an action without its document at the end is dropped") {
    model::BulkRequestReader reader;
    REQUIRE_FALSE(reader.read("{\"index\":{}}\n{}\n{\"index\":{}}\n", {.index = "a"}));
    CHECK(reader.operations().size() == 1);
}

TEST_CASE("bulk request reader: what the servers refuse as a whole request") {
    const BulkParameters to_a{.index = "a"};
    CHECK(refused_with("{\"index\":{}}\n{}\n").find("index is missing") != std::string::npos);
    CHECK(refused_with("\n", to_a).find("no requests added") != std::string::npos);
    CHECK(refused_with("[]\n{}\n", to_a).find("expected START_OBJECT") != std::string::npos);
    CHECK(refused_with("{\"upsert\":{}}\n{}\n", to_a).find("expected field [create]") != std::string::npos);
    CHECK(refused_with("{\"index\":{\"_type\":\"t\"}}\n{}\n", to_a).find("unknown parameter [_type]") !=
          std::string::npos);
    CHECK(refused_with("{\"index\":{\"_id\":[1]}}\n{}\n", to_a).find("expected a simple value") != std::string::npos);
    CHECK(refused_with("{\"delete\":{}}\n", to_a).find("id is missing") != std::string::npos);
    CHECK(refused_with("{\"update\":{\"_id\":\"1\"}}\n{\n", to_a).find("failed to parse the update") !=
          std::string::npos);
    CHECK(refused_with("{\"index\":{\"_id\":\"1\",\"version\":2}}\n{}\n", to_a).find("internal versioning") !=
          std::string::npos);
    CHECK(refused_with("{\"index\":{\"_id\":\"1\",\"if_seq_no\":2}}\n{}\n", to_a).find("ifSeqNo is set") !=
          std::string::npos);
}
