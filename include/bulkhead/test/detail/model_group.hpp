// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace bulkhead::inline v1::test::detail {

/// The coordinator of one consumer group: who is in it, and which logs each member is given.
class ModelGroup {
public:
    using Log = std::size_t;
    /// One member.
    struct Member {
        std::string instance;
        bool joined = false; ///< the rebalance that is under way
        bool news = false;   ///< it has not taken its assignment yet
        std::set<Log> owned; ///< when it joined
        std::set<Log> given; ///< by the last rebalance
    };

    /// A member joins; returns its number. With an instance name it takes over what a member of that name had.
    std::uint64_t join(const std::string& instance) {
        const auto id = ++last_member_;
        for (const auto& [old, member] : members_)
            if (!instance.empty() && member.instance == instance) return take_over(old, id), id;
        members_[id].instance = instance;
        begin_rebalance();
        return id;
    }
    /// Moves partitions on to other members.
    void rebalance() {
        ++shift_;
        begin_rebalance();
    }
    /// A member leaves, or is given up.
    void remove(std::uint64_t member) {
        if (members_.erase(member) != 0) begin_rebalance();
    }
    void begin_rebalance() {
        rebalance_under_way_ = !members_.empty();
        for (auto& [id, member] : members_) member.joined = member.news = false;
    }
    /// A member has joined the rebalance; with the last one, `logs` logs are assigned.
    void rejoin(std::uint64_t id, std::set<Log> owned, std::size_t logs) {
        auto& member = members_.at(id);
        member.joined = true;
        member.owned = std::move(owned);
        if (!std::all_of(members_.begin(), members_.end(), [](const auto& m) { return m.second.joined; })) return;
        rebalance_under_way_ = false;
        ++generation_;
        std::set<Log> held;
        for (const auto& [other, m] : members_) held.insert(m.owned.begin(), m.owned.end());
        for (auto& [other, m] : members_) {
            m.given.clear();
            m.news = true;
        }
        for (Log log = 0; log < logs; ++log) {
            auto to = members_.begin();
            std::advance(to, static_cast<std::ptrdiff_t>((log + shift_) % members_.size()));
            if (held.count(log) == 0 || to->second.owned.count(log) != 0) to->second.given.insert(log);
        }
    }
    /// Null when there is no such member.
    [[nodiscard]] Member* find(std::uint64_t id) {
        const auto found = members_.find(id);
        return found == members_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const Member* find(std::uint64_t id) const {
        const auto found = members_.find(id);
        return found == members_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
    [[nodiscard]] bool rebalancing() const noexcept { return rebalance_under_way_; }
    [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }
    /// No rebalance is under way, and every member has its assignment.
    [[nodiscard]] bool stable() const {
        return !rebalance_under_way_ &&
               std::none_of(members_.begin(), members_.end(), [](const auto& m) { return m.second.news; });
    }

private:
    /// Static membership: the new process has what the old one had, and the group does not move.
    void take_over(std::uint64_t old, std::uint64_t id) {
        auto taken = std::move(members_.at(old));
        members_.erase(old);
        // What the old one was still to give back is free now.
        const bool moved =
            !std::includes(taken.given.begin(), taken.given.end(), taken.owned.begin(), taken.owned.end());
        taken.owned.clear();
        taken.news = !rebalance_under_way_;
        taken.joined = false;
        members_[id] = std::move(taken);
        if (moved) begin_rebalance();
    }

    std::map<std::uint64_t, Member> members_;
    std::uint64_t last_member_ = 0;
    std::uint64_t generation_ = 0;
    std::size_t shift_ = 0;
    bool rebalance_under_way_ = false;
};

} // namespace bulkhead::inline v1::test::detail
