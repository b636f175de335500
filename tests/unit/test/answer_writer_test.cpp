// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/detail/answer_writer.hpp>

#include <string>

namespace model = bulkhead::test::detail;

namespace {

/// The answer to an operation that was applied and one that was refused.
std::string filtered_answer(const char* filter_path) {
    model::AnswerWriter writer;
    writer.begin(filter_path);
    model::BulkOperation op;
    op.index = "a";
    model::Document document;
    document.version = 3;
    document.seq_no = 8;
    writer.done(op, "1", document, model::WriteResult::created);
    op.kind = model::BulkAction::remove;
    op.id = "2";
    writer.failed(op, 429, "es_rejected_execution_exception", "full");
    return writer.finish();
}

} // namespace

TEST_CASE("answer writer: without a filter everything is answered") {
    CHECK(filtered_answer("") ==
          R"({"errors":true,"took":1,"items":[{"index":{"_index":"a","_id":"1","_version":3,"result":"created",)"
          R"("_shards":{"total":1,"successful":1,"failed":0},"_seq_no":8,"_primary_term":1,"status":201}},)"
          R"({"delete":{"_index":"a","_id":"2","status":429,"error":{"type":"es_rejected_execution_exception",)"
          R"("reason":"full"}}}]})");
}

TEST_CASE("answer writer: a filter keeps leaves, and an item of which nothing is left is left out") {
    CHECK(filtered_answer("items.*.status") == R"({"items":[{"index":{"status":201}},{"delete":{"status":429}}]})");
    CHECK(filtered_answer("errors,items.*.error.type") ==
          R"({"errors":true,"items":[{"delete":{"error":{"type":"es_rejected_execution_exception"}}}]})");
    CHECK(filtered_answer("took") == R"({"took":1})");
    CHECK(filtered_answer("nothing") == "{}");
}

TEST_CASE("answer writer: each answer begins again") {
    model::AnswerWriter writer;
    writer.begin("errors");
    writer.failed({}, 400, "a", "b");
    CHECK(writer.finish() == R"({"errors":true})");
    writer.begin("errors");
    writer.done({}, "1", {}, model::WriteResult::noop);
    CHECK(writer.finish() == R"({"errors":false})");
}
