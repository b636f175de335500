// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/judge/dispositions.hpp>
#include <bulkhead/detail/settle/settlement_plan.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Operations of one bulk that the sink takes at once. The letters point into the rest.
template <class Bulk>
struct DeadLetterBatch {
    Bulk bulk;
    std::string texts;
    std::vector<DeadLetter> letters;
    bool abandoned = false; ///< settled without waiting for the sink
    bool safe = false;      ///< the sink has them

    /// Takes a bulk that holds the operations whose disposition is `Next::dead_letter`, in order. Throws
    /// `std::bad_alloc`; then the bulk is where it was.
    void fill(Bulk&& from, const Dispositions& how, std::chrono::nanoseconds age) {
        const auto entries = from.batch.entries();
        const auto body = from.batch.body();
        reserve(entries.size(), how);
        std::size_t offset = 0;
        std::size_t i = 0;
        for (const auto& one : how) {
            if (one.next != Next::dead_letter) continue;
            const auto& entry = entries[i++];
            const auto [line, source] = lines_of(entry, body.substr(offset));
            offset += entry.bytes();
            const auto& error = how.error_of(one);
            // A call of `async_index` has a ticket of the library's own.
            const auto ticket = entry.ticket.slot == index_waiter_slot ? Ticket{} : entry.ticket;
            letters.push_back(
                {line, source, own(error.type), own(error.reason), one.status, entry.attempts, ticket, age});
        }
        bulk = std::exchange(from, Bulk{}); // its bytes stay where they are
    }
    /// What the letters end as: `outcome`, but nobody has refused what grew too old. Throws `std::bad_alloc`.
    void judge(Outcome outcome, Dispositions& out) const {
        out.start(letters.size());
        for (std::size_t i = 0; i < letters.size(); ++i) {
            const auto& letter = letters[i];
            out[i].outcome = outcome;
            if (outcome == Outcome::rejected && letter.status == 0)
                out[i].outcome = bulk.batch.entries()[i].ambiguous ? Outcome::unknown : Outcome::undelivered;
            out[i].status = letter.status;
            out[i].error = out.add_error(letter.type, letter.reason);
        }
    }

private:
    void reserve(std::size_t count, const Dispositions& how) {
        std::size_t text_bytes = 0;
        for (const auto& one : how)
            if (one.next == Next::dead_letter)
                text_bytes += how.error_of(one).type.size() + how.error_of(one).reason.size();
        texts.reserve(text_bytes);
        letters.reserve(count);
    }
    [[nodiscard]] std::string_view own(std::string_view text) {
        const auto from = texts.size();
        texts.append(text); // within what was reserved
        return std::string_view{texts}.substr(from);
    }
};

} // namespace bulkhead::inline v1::detail
