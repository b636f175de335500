// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/settlement.hpp>
#include <bulkhead/stats.hpp>
#include <bulkhead/subscription.hpp>

#include <boost/asio/post.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::inline v1::detail {

/// The slot of the tickets of operations that `async_index` waits for. No observer has it.
inline constexpr std::uint32_t index_waiter_slot = Ticket::nobody - 1;

/// Settlements of one bulk for its observers, one call for each, with the bytes and texts that they refer to.
struct Notification {
    struct Group {
        Ticket who;
        Observers::Address address; ///< until its call is posted: a call keeps only its own observer
        std::size_t count = 0;      ///< 0: the subscription is gone
        std::size_t failed = 0;
        std::size_t text_bytes = 0;
        std::vector<Settlement> settlements;
    };
    std::vector<Group> groups;
    std::size_t posted = 0; ///< so many of them
    std::vector<Failure> failures;
    std::string texts;
    std::shared_ptr<const Batch> kept;
    std::uint64_t epoch = 0;
    std::uint64_t operations = 0;
    std::size_t charge = 0;
    std::atomic<std::size_t> calls_left{0};
};

/// Finds the group of a ticket, or makes it: the same as the last one, one of few, or one that is looked up.
class GroupFinder {
public:
    GroupFinder(Notification& notification, const Observers& observers)
        : groups_{notification.groups}, observers_{observers} {}
    /// Its position. Throws `std::bad_alloc`.
    [[nodiscard]] std::uint32_t operator()(Ticket ticket) {
        constexpr std::size_t few = 8;
        const auto is_it = [&](std::uint32_t at) {
            return groups_[at].who.slot == ticket.slot && groups_[at].who.generation == ticket.generation;
        };
        if (!groups_.empty() && is_it(last_)) return last_;
        if (index_.empty()) {
            for (std::uint32_t at = 0; at < groups_.size(); ++at)
                if (is_it(at)) return last_ = at;
        } else if (const auto found = index_.find(key_of(ticket)); found != index_.end()) {
            return last_ = found->second;
        }
        last_ = static_cast<std::uint32_t>(groups_.size());
        groups_.push_back({ticket, observers_.find(ticket), 0, 0, 0, {}});
        if (groups_.size() > few && index_.empty()) {
            for (std::uint32_t at = 0; at < groups_.size(); ++at) index_.emplace(key_of(groups_[at].who), at);
        } else if (!index_.empty()) {
            index_.emplace(key_of(ticket), last_);
        }
        return last_;
    }

private:
    [[nodiscard]] static std::uint64_t key_of(Ticket ticket) noexcept {
        return std::uint64_t{ticket.slot} << 32U | ticket.generation;
    }
    std::vector<Notification::Group>& groups_;
    const Observers& observers_;
    boost::unordered_flat_map<std::uint64_t, std::uint32_t> index_;
    std::uint32_t last_ = 0;
};

/// Notifications whose calls are still to be posted to their observers' executors. `Shared` is a `SharedState`.
template <class Shared>
class NotificationQueue {
public:
    /// A notification with its place.
    using Place = std::list<std::shared_ptr<Notification>>;

    void push(Place place) noexcept { waiting_.splice(waiting_.end(), place); }
    /// Posts all calls. Throws `std::bad_alloc`; those that were not posted are posted by the next call of this.
    void post_all(const std::shared_ptr<Shared>& shared) {
        while (!waiting_.empty()) {
            const auto notification = waiting_.front();
            for (; notification->posted < notification->groups.size(); ++notification->posted) {
                auto& group = notification->groups[notification->posted];
                if (group.count == 0) continue;
                boost::asio::post(group.address.executor, [shared, notification, which = notification->posted,
                                                           observer = group.address.observer] {
                    call(*shared, *notification, which, *observer);
                });
                group.address = {};
            }
            waiting_.pop_front();
        }
    }

private:
    /// On the observer's executor.
    static void call(Shared& shared, Notification& notification, std::size_t which, AnyObserver& observer) {
        const auto& group = notification.groups[which];
        if (!shared.begin_call(group.count)) { // the close has counted them
        } else if (!shared.observers->find(group.who).observer) {
            shared.intake.update_stats([&](Stats& stats) { stats.unobserved += group.count; });
        } else {
            try {
                observer.tell(group.settlements);
            } catch (const std::exception& error) { // the settlements are delivered all the same
                shared.intake.note_failure("observer_threw", error.what(), 0);
            } catch (...) {
                shared.intake.note_failure("observer_threw", {}, 0);
            }
        }
        if (--notification.calls_left != 0) return;
        shared.intake.release(notification.epoch, notification.operations, notification.charge);
        shared.wake();
    }

    Place waiting_;
};

} // namespace bulkhead::inline v1::detail
