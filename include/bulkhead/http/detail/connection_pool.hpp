// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/detail/node_set.hpp>
#include <bulkhead/reply.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

/// Which connections are idle and which are busy, and which idle one is used again. Pure.
namespace bulkhead::inline v1::detail {

/// One user of a pool: connections are taken in its name.
struct PoolUser {
    bool closed = false; ///< it takes no more connections
};

/// What the pool knows about a connection. Connections derive from it.
template <class TimePoint, class Address>
struct PooledConnection {
    TimePoint idle_since{};
    TimePoint old_at = TimePoint::max(); ///< from then on it is not used again
    std::optional<Address> address{};    ///< where it is connected to
    const PoolUser* user = nullptr;      ///< whose request it carries
    bool used = false;                   ///< it has carried a request
};

/// The connections to the nodes of one cluster. A `Connection` derives from `PooledConnection`, says by `is_alive()`
/// whether it can still carry a request, and is notified by `closing()` before it is closed in peace. Closing is the
/// caller's: the pool hands out what it no longer keeps, so that nothing is closed under the caller's lock.
///
/// Not thread-safe.
template <class Connection, class TimePoint, class Address>
class ConnectionPool {
public:
    using Ptr = std::shared_ptr<Connection>;
    using Duration = typename TimePoint::duration;

    /// `max_idle`: to all nodes together.
    ConnectionPool(std::size_t nodes, std::size_t max_idle, Duration idle_max)
        : nodes_(nodes), max_idle_{max_idle}, idle_max_{idle_max} {}

    /// How many connections are idle.
    [[nodiscard]] std::size_t idle() const noexcept { return idle_count_; }
    /// Since when the connection has been idle that has been so for longest; `idle()` is not 0.
    [[nodiscard]] TimePoint oldest_idle() noexcept { return idlest().idle.front()->idle_since; }
    /// The address of a node at which a connection failed after it was made, with no success since.
    [[nodiscard]] const std::optional<Address>& failed_address(std::uint32_t node) const noexcept {
        return nodes_[node].failed_address;
    }

    /// An idle connection that can be used; nullptr when there is none. It is busy until `put_back`. Those found
    /// unusable are moved to `stale`.
    [[nodiscard]] Ptr take_idle(std::uint32_t node, const PoolUser& user, TimePoint now, std::vector<Ptr>& stale) {
        auto& idle = nodes_[node].idle;
        while (!user.closed && !idle.empty()) {
            auto connection = std::move(idle.back()); // the one used last is the likeliest to be alive
            idle.pop_back();
            --idle_count_;
            const bool fit = now - connection->idle_since <= idle_max_ && now < connection->old_at &&
                             !(connection->address && connection->address == nodes_[node].failed_address);
            if (fit && connection->is_alive()) {
                add_busy(connection, user);
                return connection;
            }
            stale.push_back(std::move(connection));
        }
        return nullptr;
    }
    /// Adds a new connection, which is busy until `put_back`. Returns false when the user is closed.
    [[nodiscard]] bool add(const Ptr& connection, const PoolUser& user) {
        if (user.closed) return false;
        add_busy(connection, user);
        return true;
    }
    /// Ends the use of a connection and, if it is reusable and its user is open, keeps it idle. Without memory it is
    /// not kept. Returns the connection that had to go for it, if any.
    Ptr put_back(std::uint32_t node, const Ptr& connection, bool reusable, TimePoint now) noexcept {
        std::erase(busy_, connection);
        const bool closed = connection->user == nullptr || connection->user->closed;
        connection->user = nullptr;
        if (!reusable || closed || max_idle_ == 0 || idle_max_ == Duration::zero()) return nullptr;
        auto& idle = nodes_[node].idle;
        try {
            idle.reserve(idle.size() + 1);
        } catch (...) { // no memory
            return nullptr;
        }
        Ptr surplus;
        if (idle_count_ == max_idle_) surplus = remove_longest_idle();
        connection->idle_since = now;
        connection->used = true;
        idle.push_back(connection);
        ++idle_count_;
        return surplus;
    }
    /// Moves to `stale` what has been idle for `idle_max` or longer.
    void sweep(TimePoint now, std::vector<Ptr>& stale) {
        while (idle_count_ != 0 && now - oldest_idle() >= idle_max_) stale.push_back(remove_longest_idle());
    }
    /// Closes a user: drops all idle connections, and returns the busy ones that carry its requests.
    [[nodiscard]] std::vector<Ptr> shutdown(PoolUser& user) {
        std::vector<Ptr> under_way;
        user.closed = true;
        for (auto& node : nodes_) {
            for (const auto& connection : node.idle) connection->closing();
            node.idle.clear();
        }
        idle_count_ = 0;
        for (const auto& connection : busy_)
            if (connection->user == &user) under_way.push_back(connection);
        return under_way;
    }
    /// Learns from a reply whether the address of the connection works.
    void judge_address(std::uint32_t node, const Connection& connection, const Reply& reply) {
        if (!connection.address) return;
        auto& failed = nodes_[node].failed_address;
        if (speaks_against_address(reply, connection.used))
            failed = connection.address;
        else if (!reply.error && failed == connection.address)
            failed.reset();
    }

private:
    struct Node {
        std::vector<Ptr> idle; ///< the longest idle first
        std::optional<Address> failed_address{};
    };

    void add_busy(const Ptr& connection, const PoolUser& user) {
        busy_.push_back(connection);
        connection->user = &user;
    }
    /// The node with the connection that has been idle for longest; `idle_count_` is not 0.
    [[nodiscard]] Node& idlest() noexcept {
        Node* idlest = nullptr;
        for (auto& node : nodes_)
            if (!node.idle.empty() &&
                (idlest == nullptr || node.idle.front()->idle_since < idlest->idle.front()->idle_since))
                idlest = &node;
        return *idlest;
    }
    [[nodiscard]] Ptr remove_longest_idle() noexcept {
        auto& node = idlest();
        auto connection = std::move(node.idle.front());
        node.idle.erase(node.idle.begin());
        --idle_count_;
        connection->closing();
        return connection;
    }

    std::vector<Node> nodes_;
    std::vector<Ptr> busy_;
    std::size_t max_idle_;
    Duration idle_max_;
    std::size_t idle_count_ = 0;
};

} // namespace bulkhead::inline v1::detail
