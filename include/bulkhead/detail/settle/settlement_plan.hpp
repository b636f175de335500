// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/bulk_batch.hpp>
#include <bulkhead/detail/intake/stats_book.hpp>
#include <bulkhead/detail/judge/dispositions.hpp>
#include <bulkhead/detail/settle/notification.hpp>
#include <bulkhead/settlement.hpp>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// An operation's two lines, without their newlines. `bytes` begin with the operation's.
[[nodiscard]] inline std::pair<std::string_view, std::string_view> lines_of(const Entry& entry,
                                                                            std::string_view bytes) noexcept {
    const auto source = bytes.substr(entry.action_bytes, entry.source_bytes);
    return {bytes.substr(0, entry.action_bytes - 1), source.substr(0, source.empty() ? 0 : source.size() - 1)};
}

/// How one bulk is settled, by its dispositions: what is counted, which observers are notified of what, and what their
/// notification is charged. Nothing has happened until the caller carries it out; every step before that may throw
/// `std::bad_alloc`.
class SettlementPlan {
public:
    /// Results of the operations that `async_index` waits for, by their tickets' keys.
    using Results = std::vector<std::pair<std::uint64_t, IndexResult>>;

    /// Counts. `groups_at` is scratch memory, which outlives the plan.
    SettlementPlan(std::span<const Entry> entries, const Dispositions& how, const Observers& observers,
                   std::vector<std::uint32_t>& groups_at)
        : entries_{entries}, how_{how}, groups_at_{groups_at} {
        groups_at_.assign(entries.size(), no_group);
        GroupFinder find_group{notification(), observers};
        for (std::size_t i = 0; i < entries.size(); ++i) count(i, find_group);
        for (auto& group : notification().groups) { // subscriptions that are gone
            if (group.address.observer) continue;
            unobserved_ += group.count;
            silent_ += group.count;
            group.count = group.failed = group.text_bytes = 0;
        }
        for (const auto& group : notification().groups) {
            failed_ += group.failed;
            notification().operations += group.count;
            notification().calls_left += group.count != 0 ? 1U : 0U;
        }
    }

    /// Whether this happens to all of the operations.
    [[nodiscard]] bool only(Next next) const noexcept { return count_of(next) == entries_.size(); }
    [[nodiscard]] std::size_t count_of(Next next) const noexcept { return next_[static_cast<std::size_t>(next)]; }
    [[nodiscard]] const Tally& tally() const noexcept { return tally_; }
    /// Operations that are settled and of which no observer is notified.
    [[nodiscard]] std::uint64_t silent() const noexcept { return silent_; }
    /// Of these: their subscription is gone.
    [[nodiscard]] std::uint64_t unobserved() const noexcept { return unobserved_; }
    [[nodiscard]] bool notifies() const noexcept { return place_.front()->operations != 0; }

    /// Makes the notification, with all its memory. Failures that are reported are copied out of `batch`, exactly, so
    /// that the copies never hold more than the batch did; when they are all there is, the batch itself is kept.
    /// `in_use`: the batch is read elsewhere still, and stays alive by this.
    [[nodiscard]] Results prepare(const BulkBatch& batch, std::uint64_t epoch, std::shared_ptr<const Batch> in_use) {
        whole_ = failed_ != 0 && (in_use || count_of(Next::settle) == entries_.size());
        if (notifies()) keep(batch, epoch, std::move(in_use));
        return write(kept_ && !whole_ ? kept_->body() : batch.body());
    }
    /// What the notification is charged.
    [[nodiscard]] std::size_t charge() const noexcept { return place_.front()->charge; }
    /// Whether the notification takes the batch over.
    [[nodiscard]] bool takes_batch() const noexcept { return kept_ && whole_; }
    /// Views into it stay valid: the memory only changes hands.
    void take_batch(BulkBatch&& batch) noexcept { *kept_ = std::move(batch); }
    [[nodiscard]] std::list<std::shared_ptr<Notification>> take_notification() noexcept { return std::move(place_); }

private:
    static constexpr std::uint32_t no_group = 0xffffffffU;

    [[nodiscard]] Notification& notification() noexcept { return *place_.front(); }
    void count(std::size_t i, GroupFinder& find_group) {
        const auto& one = how_[i];
        ++next_[static_cast<std::size_t>(one.next)];
        if (one.next != Next::settle) return;
        ++tally_[one.outcome];
        tally_.redirected += one.result == Result::redirected ? 1U : 0U;
        const auto& ticket = entries_[i].ticket;
        if (ticket.slot >= index_waiter_slot) {
            ++silent_;
            awaited_ += ticket.slot == index_waiter_slot ? 1U : 0U;
            return;
        }
        groups_at_[i] = find_group(ticket);
        auto& group = notification().groups[groups_at_[i]];
        ++group.count;
        if (!one.is_failure()) return;
        ++group.failed;
        group.text_bytes += how_.error_of(one).type.size() + how_.error_of(one).reason.size();
    }
    [[nodiscard]] bool is_notified(std::size_t i) const noexcept {
        return groups_at_[i] != no_group && place_.front()->groups[groups_at_[i]].count != 0;
    }
    void keep(const BulkBatch& batch, std::uint64_t epoch, std::shared_ptr<const Batch> in_use) {
        auto& to = notification();
        to.epoch = epoch;
        std::size_t text_bytes = 0;
        for (const auto& group : to.groups) text_bytes += group.text_bytes;
        to.texts.reserve(text_bytes);
        to.failures.reserve(failed_);
        for (auto& group : to.groups) group.settlements.reserve(group.count);
        const auto settlement_bytes = std::size_t{to.operations} * sizeof(Settlement);
        if (in_use) {
            to.kept = std::move(in_use);
        } else if (failed_ == 0) {
            to.charge = settlement_bytes;
        } else {
            kept_ = std::make_shared<BulkBatch>();
            to.kept = kept_;
            if (!whole_) *kept_ = batch.extract([&](std::size_t i) { return is_notified(i) && how_[i].is_failure(); });
            to.charge =
                whole_ ? batch.footprint() : kept_->footprint() + settlement_bytes - failed_ * sizeof(Settlement);
        }
    }
    /// Writes the settlements. `bytes` hold all operations when the batch is kept whole, and otherwise the failures
    /// that are reported.
    [[nodiscard]] Results write(std::string_view bytes) {
        Results results;
        results.reserve(awaited_);
        std::size_t offset = 0;
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            const auto& one = how_[i];
            const auto& entry = entries_[i];
            const auto at = offset;
            if (whole_) offset += entry.bytes();
            if (one.next != Next::settle) continue;
            if (entry.ticket.slot == index_waiter_slot) {
                const auto& error = how_.error_of(one);
                results.emplace_back(entry.ticket.key, IndexResult{one.outcome, one.result, one.status, entry.attempts,
                                                                   std::string{error.type}, std::string{error.reason}});
                continue;
            }
            if (!is_notified(i)) continue;
            Settlement settlement{entry.ticket.key, one.outcome, one.result, one.status, entry.attempts};
            if (one.is_failure()) {
                if (!whole_) offset += entry.bytes();
                settlement.failure = add_failure(entry, how_.error_of(one), bytes.substr(at));
            }
            notification().groups[groups_at_[i]].settlements.push_back(settlement);
        }
        return results;
    }
    [[nodiscard]] const Failure* add_failure(const Entry& entry, const ErrorText& error, std::string_view bytes) {
        auto& to = notification();
        const auto own = [&](std::string_view text) {
            const auto from = to.texts.size();
            to.texts.append(text); // within what was reserved
            return std::string_view{to.texts}.substr(from);
        };
        const auto [line, source] = lines_of(entry, bytes);
        to.failures.push_back({own(error.type), own(error.reason), line, source});
        return &to.failures.back();
    }

    std::span<const Entry> entries_;
    const Dispositions& how_;
    std::vector<std::uint32_t>& groups_at_; ///< which group each operation is notified with
    std::list<std::shared_ptr<Notification>> place_{std::make_shared<Notification>()};
    std::shared_ptr<BulkBatch> kept_;
    Tally tally_;
    std::size_t next_[3] = {};
    std::uint64_t silent_ = 0;
    std::uint64_t unobserved_ = 0;
    std::size_t awaited_ = 0;
    std::size_t failed_ = 0;
    bool whole_ = false;
};

} // namespace bulkhead::inline v1::detail
