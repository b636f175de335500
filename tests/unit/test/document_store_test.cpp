// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/detail/document_store.hpp>

#include <string>

namespace model = bulkhead::test::detail;

TEST_CASE("document store: a write raises the version, a delete is one, and counts only where something was there") {
    model::DocumentStore store;
    auto& index = store.create("a");
    const auto write = [&](const char* id, const char* source, bool live) -> const model::Document& {
        return model::DocumentStore::write(index, id, source, live, std::nullopt);
    };
    CHECK(write("1", "{}", true).version == 1);
    CHECK(write("1", "{\"n\":2}", true).version == 2);
    CHECK(store.find("a", "1")->source == "{\"n\":2}");
    CHECK(index.live == 1);
    CHECK(write("1", "", false).version == 3);
    CHECK(index.live == 0);
    CHECK(index.writes == 3);
    CHECK_FALSE(store.find("a", "1")->live);
    CHECK(write("2", "", false).writes == 0);
    CHECK(index.writes == 3);
    CHECK(write("1", "{}", true).version == 4); // a deleted document's version still counts
    CHECK(store.find("a", "1")->seq_no == 4);
    CHECK(model::DocumentStore::write(index, "1", "{}", true, 40).version == 40);
}

TEST_CASE("document store: an index is there from its first document on until it is removed") {
    model::DocumentStore store;
    CHECK(store.find("a") == nullptr);
    CHECK(store.find("a", "1") == nullptr);
    (void)model::DocumentStore::write(store.create("a"), "1", std::string(std::size_t{2} << 20, 'x'), true,
                                      std::nullopt);
    CHECK(store.find("a", "1")->source.size() == std::size_t{2} << 20);
    CHECK(store.names() == std::vector<std::string>{"a"});
    CHECK(store.remove("a"));
    CHECK_FALSE(store.remove("a"));
    CHECK(store.names().empty());
}

TEST_CASE("document store: names that an index may have") {
    for (const char* valid : {"a", "logs-2026.11", ".hidden", "a_b"}) CHECK(model::is_valid_index_name(valid));
    for (const char* invalid : {"", ".", "..", "_a", "-a", "+a", "Logs", "a b", "a/b", "a*", "a#b", "a:b", "a,b"})
        CHECK_FALSE(model::is_valid_index_name(invalid));
    CHECK(model::is_valid_index_name(std::string(255, 'a')));
    CHECK_FALSE(model::is_valid_index_name(std::string(256, 'a')));
}
