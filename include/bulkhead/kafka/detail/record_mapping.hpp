// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/kafka/record.hpp>

#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Calls the mapper: whatever it returns, throws or appends becomes operations, nothing to index, or an invalid record
/// with a reason. The operations stay here until the next record, encoded. Pure but for the mapper.
template <Mapper M>
class RecordMapping {
public:
    RecordMapping(M mapper, std::string_view default_index) : mapper_{std::move(mapper)} {
        operations_.default_index(default_index);
    }
    /// Nothing when memory runs out. `Mapped::operations` comes with one operation at least.
    [[nodiscard]] std::optional<Mapped> map(const Record& record) {
        auto mapped = Mapped::skip;
        clear();
        try {
            mapped = call(record);
        } catch (const std::bad_alloc&) {
            return std::nullopt;
        } catch (const std::exception& e) {
            mapped = Mapped::invalid;
            note_why(e.what());
        } catch (...) {
            mapped = Mapped::invalid;
            note_why("the mapper threw something that is not an exception");
        }
        if (const auto* const wrong = operations_.last_error(); wrong != nullptr && why_.empty()) {
            // A mapper that does not look at what `append` returns must not lose the record.
            if (mapped == Mapped::operations && operations_.empty()) mapped = Mapped::invalid;
            if (mapped == Mapped::invalid) note_why(*wrong);
        }
        return mapped == Mapped::operations && operations_.empty() ? Mapped::skip : mapped;
    }
    void clear() noexcept {
        why_.clear();
        operations_.clear();
    }
    [[nodiscard]] const Batch& operations() const noexcept { return operations_; }
    /// Why the record is invalid; printable, may quote a document.
    [[nodiscard]] std::string_view why() const noexcept { return why_; }

private:
    Mapped call(const Record& record) {
        if constexpr (TombstoneMapper<M>)
            if (!record.payload) return mapper_.tombstone(record, operations_);
        return mapper_(record, operations_);
    }
    void note_why(const char* what) noexcept {
        try {
            why_ = printable(what, 1024);
        } catch (const std::exception&) { // the record is invalid all the same
        }
    }
    void note_why(const FieldError& wrong) noexcept {
        try {
            note_why(wrong.message().c_str());
        } catch (const std::exception&) { // likewise
        }
    }

    M mapper_;
    Batch operations_;
    std::string why_;
};

} // namespace bulkhead::inline v1::detail
