// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/record_mapping.hpp>

#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace bulkhead;
using bulkhead::detail::RecordMapping;

namespace {

/// A mapper that does what a test says.
struct ScriptedMapper {
    std::function<Mapped(Batch&)>* script;
    Mapped operator()(const Record&, Batch& out) const { return (*script)(out); }
    Mapped tombstone(const Record&, Batch& out) const {
        Operation op;
        op.action = Action::delete_;
        op.id = "gone";
        return out.append(op) ? Mapped::invalid : Mapped::operations;
    }
};
Mapped append_documents(Batch& out, int documents) {
    Operation op;
    op.source = "{}";
    for (int i = 0; i < documents; ++i) static_cast<void>(out.append(op));
    return Mapped::operations;
}

} // namespace

TEST_CASE("what a mapper returns, throws or appends becomes one of three results", "[kafka_source][record_mapping]") {
    std::function<Mapped(Batch&)> script;
    RecordMapping<ScriptedMapper> mapping{ScriptedMapper{&script}, "the-index"};
    Record record;
    record.payload = "{}";
    const auto map = [&](std::function<Mapped(Batch&)> what) {
        script = std::move(what);
        return mapping.map(record);
    };
    CHECK(map([](Batch& out) { return append_documents(out, 3); }) == Mapped::operations);
    CHECK(mapping.operations().operations() == 3);
    CHECK(mapping.operations().body().find("the-index") != std::string_view::npos); // the mapper named none
    CHECK(mapping.why().empty());
    CHECK(map([](Batch&) { return Mapped::operations; }) == Mapped::skip);
    CHECK(mapping.operations().empty()); // those of the record before are gone
    CHECK(map([](Batch&) { return Mapped::skip; }) == Mapped::skip);
    CHECK(map([](Batch&) { return Mapped::invalid; }) == Mapped::invalid);
    CHECK(mapping.why().empty());
    CHECK(map([](Batch&) -> Mapped { throw std::runtime_error{"a bad\nrecord"}; }) == Mapped::invalid);
    CHECK(mapping.why().find("a bad") == 0);
    CHECK(mapping.why().find('\n') == std::string_view::npos); // fit for a log
    CHECK(map([](Batch&) -> Mapped { throw 1; }) == Mapped::invalid);
    CHECK_FALSE(mapping.why().empty());
    CHECK_FALSE(map([](Batch&) -> Mapped { throw std::bad_alloc{}; }));
    mapping.clear();
    CHECK(mapping.why().empty());
}

TEST_CASE("an operation that was refused makes the record invalid with its reason, unless others were appended",
          "[kafka_source][record_mapping]") {
    std::function<Mapped(Batch&)> script;
    RecordMapping<ScriptedMapper> mapping{ScriptedMapper{&script}, ""}; // without an index nothing can be appended
    Record record;
    record.payload = "{}";
    script = [](Batch& out) { return append_documents(out, 1); };
    CHECK(mapping.map(record) == Mapped::invalid); // the mapper did not look
    CHECK_FALSE(mapping.why().empty());
    script = [](Batch& out) {
        Operation op;
        op.source = "{}";
        static_cast<void>(out.append(op, "logs"));
        return append_documents(out, 1);
    };
    CHECK(mapping.map(record) == Mapped::operations);
    CHECK(mapping.operations().operations() == 1);
}

TEST_CASE("a record without payload goes to the mapper's tombstone", "[kafka_source][record_mapping]") {
    std::function<Mapped(Batch&)> script = [](Batch&) { return Mapped::invalid; };
    RecordMapping<ScriptedMapper> mapping{ScriptedMapper{&script}, "logs"};
    CHECK(mapping.map(Record{}) == Mapped::operations);
    CHECK(mapping.operations().body().find("delete") != std::string_view::npos);
}
