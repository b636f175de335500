// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/reply.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

/// Which node the next request goes to. Decisions only: no I/O, no clock of its own.
namespace bulkhead::inline v1::detail {

/// What a reply says about the node, whatever it says about the documents. A node that answers is there, also when it
/// refuses: only a connection that broke or never was, a time-out, and what a proxy says of a server that it cannot
/// reach (502, 503, 504) speak against it.
[[nodiscard]] inline bool speaks_against_node(const Reply& reply) noexcept {
    if (reply.status == 502 || reply.status == 503 || reply.status == 504) return true;
    return reply.error && reply.status == 0 && !is_aborted(reply.error) &&
           reply.error != error_code{errc::credentials_unavailable};
}

/// Whether the next connection should begin at another of the node's addresses: the connection failed after it was
/// made. One that had been idle and took no byte had only been closed meanwhile.
[[nodiscard]] inline bool speaks_against_address(const Reply& reply, bool reused) noexcept {
    if (!reply.error || (reused && reply.sent == Sent::none)) return false;
    return !is_aborted(reply.error) && reply.error != error_code{errc::credentials_unavailable} &&
           reply.error != error_code{errc::early_answer} && reply.error != error_code{errc::answer_too_large};
}

/// The nodes of one cluster: requests go to the one with the fewest in flight, in turn where that is equal. A node that
/// failed is rested, each time in a row twice as long; when its rest is over it is asked something harmless first
/// (`probe`), and only an answer makes it trusted again. While no node is trusted, the one that has rested longest gets
/// the requests, since something has to. A lone node is never rested: the indexer's own backoff sees to that.
class NodeSet {
public:
    using Nanoseconds = std::chrono::nanoseconds; ///< since any fixed point in time, of a steady clock

    /// So many nodes, all trusted; how long one rests at first and at most.
    NodeSet(std::size_t count, Nanoseconds first_rest, Nanoseconds longest_rest)
        : nodes_(count), first_rest_{first_rest}, longest_rest_{longest_rest} {}

    /// How many nodes there are.
    [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }

    /// The node for a request that has not been tried by it yet; nothing when all have (`tried`, one flag a node).
    /// `avoid` is taken only if no other trusted one is left. The request is counted as in flight until `ended`.
    [[nodiscard]] std::optional<std::uint32_t> choose(std::uint32_t avoid, const std::vector<bool>& tried) noexcept {
        std::optional<std::uint32_t> best;
        for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
            const auto candidate = static_cast<std::uint32_t>((next_ + i) % nodes_.size());
            if (!tried[candidate] && (!best || better(candidate, *best, avoid))) best = candidate;
        }
        if (best) {
            ++nodes_[*best].in_flight;
            next_ = (*best + 1) % nodes_.size();
        }
        return best;
    }
    /// A request that `choose` placed is over.
    void ended(std::uint32_t node, bool failed, Nanoseconds now) noexcept {
        --nodes_[node].in_flight;
        judge(node, failed, now);
    }

    /// A node whose rest is over, if any: whoever asks is to probe it, and to say how that ended.
    [[nodiscard]] std::optional<std::uint32_t> to_probe(Nanoseconds now) noexcept {
        for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
            auto& node = nodes_[i];
            if (node.state != State::resting || now < node.rests_until) continue;
            node.state = State::probed;
            return i;
        }
        return std::nullopt;
    }
    /// How a node's probe ended.
    void probed(std::uint32_t node, bool failed, Nanoseconds now) noexcept {
        if (nodes_[node].state != State::probed) return;
        nodes_[node].state = State::resting;
        if (failed)
            rest(nodes_[node], now);
        else
            trust(nodes_[node]);
    }

    /// Whether it gets requests.
    [[nodiscard]] bool trusted(std::uint32_t node) const noexcept { return nodes_[node].state == State::trusted; }
    /// How many requests are on their way to it.
    [[nodiscard]] std::size_t in_flight(std::uint32_t node) const noexcept { return nodes_[node].in_flight; }
    /// When the node is to be probed, if it rests.
    [[nodiscard]] std::optional<Nanoseconds> rests_until(std::uint32_t node) const noexcept {
        if (nodes_[node].state == State::trusted) return std::nullopt;
        return nodes_[node].rests_until;
    }

private:
    enum class State : std::uint8_t { trusted, resting, probed };
    struct Node {
        State state = State::trusted;
        std::uint32_t failures = 0; ///< in a row
        std::size_t in_flight = 0;
        Nanoseconds rests_until{};
    };

    [[nodiscard]] bool better(std::uint32_t a, std::uint32_t b, std::uint32_t avoid) const noexcept {
        const auto& one = nodes_[a];
        const auto& other = nodes_[b];
        const bool trusted_one = one.state == State::trusted;
        const bool trusted_other = other.state == State::trusted;
        if (trusted_one != trusted_other) return trusted_one;
        if ((a == avoid) != (b == avoid)) return b == avoid;
        if (!trusted_one) return one.rests_until < other.rests_until;
        return one.in_flight < other.in_flight;
    }
    /// Requests that were already under way when a node began to rest change nothing about its rest, but one that
    /// succeeds while no node is trusted ends it.
    void judge(std::uint32_t index, bool failed, Nanoseconds now) noexcept {
        auto& node = nodes_[index];
        if (nodes_.size() == 1) return;
        if (node.state == State::trusted) {
            if (failed)
                rest(node, now);
            else
                node.failures = 0;
            return;
        }
        const bool none_trusted =
            std::none_of(nodes_.begin(), nodes_.end(), [](const Node& other) { return other.state == State::trusted; });
        if (none_trusted && !failed) trust(node);
    }
    void rest(Node& node, Nanoseconds now) noexcept {
        auto length = first_rest_;
        for (std::uint32_t i = 0; i < node.failures && length < longest_rest_; ++i) length *= 2;
        ++node.failures;
        node.state = State::resting;
        node.rests_until = now + std::min(length, longest_rest_);
    }
    static void trust(Node& node) noexcept {
        node.state = State::trusted;
        node.failures = 0;
    }

    std::vector<Node> nodes_;
    Nanoseconds first_rest_;
    Nanoseconds longest_rest_;
    std::size_t next_ = 0;
};

} // namespace bulkhead::inline v1::detail
