// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kit/expectations.hpp"
#include <bulkhead/operation.hpp>
#include <bulkhead/settlement.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Every operation that a life has handed to its indexer, and what has become of it.
namespace bulkhead::inline v1::test::simulation {

using Time = ManualClock::time_point;
inline constexpr auto never = Time::min();

/// What the server's answer means for an operation, by the simulation's own table.
enum class Meaning : std::uint8_t {
    nothing,
    done,
    as_done,    ///< refused, which a rule of the user's takes for done
    there,      ///< it, or something newer, is there
    again,      ///< not now; that counts as an attempt
    wait,       ///< not now; that counts as none
    no,         ///< never
    never_mind, ///< never, and no dead letter of it
};

struct Op {
    std::uint64_t number = 0;
    Action action{};
    std::string id;
    std::string source;
    bool repeatable = false; ///< sending it twice leaves the store as once does
    bool poison = false;     ///< the server refuses any request that holds it
    bool bad = false;        ///< the server refuses it as an item
    bool accepted = false;
    bool versioned = false;     ///< it has an external version
    bool conditional = false;   ///< it has a condition on a sequence number
    bool already_there = false; ///< a conflict means that it is there
    bool waiting = false;       ///< for room
    bool waited = false;
    bool awaited = false;    ///< `async_index` reports its outcome, not the observer
    bool lost = false;       ///< it was sent, and no proof came back
    bool half = false;       ///< it was applied by a request that was refused because of another
    bool read = false;       ///< a request with it was refused as malformed, perhaps after a part of it was applied
    bool observed = true;    ///< its subscription is there
    bool in_sink = false;    ///< the sink has taken it
    bool makes_id = false;   ///< the indexer gives it an id
    bool unpassable = false; ///< no request that holds it is taken
    std::string sent_as{};   ///< its lines, when it was sent first
    int settled = 0;
    int applied = 0;
    int in_flight = 0;
    int sent = 0;
    std::uint32_t charged = 0;         ///< answers that count as attempts
    Meaning meaning{};                 ///< of the last answer
    bool takes_time = false;           ///< it may be given up only when a while has passed as well
    bool nonsense_with_others = false; ///< so it was last charged: another may be the cause
    bool charged_alone = false;        ///< at least once, perhaps
    std::uint32_t perhaps_charged = 0; ///< of these
    Time failed_at = never;            ///< a request with it, and it was not answered since
    Time failed_alone_at = never;      ///< a request with nothing else
    Time refused_since = Time::max();  ///< refused in every answer since
    Time not_before{};                 ///< when it may be sent again
    Time since = ManualClock::now();   ///< handed in, or let in after it had waited for room
    Outcome outcome{};
    /// An attempt that did not end as a success may have been applied all the same.
    [[nodiscard]] bool perhaps_there() const noexcept { return lost || half; }
};

inline std::string describe(const Op& op) {
    return "operation " + std::to_string(op.number) + ", id '" + op.id + "', sent " + std::to_string(op.sent) +
           " times, applied " + std::to_string(op.applied) + ", charged " + std::to_string(op.charged) + ", settled " +
           std::to_string(op.settled) + (op.settled != 0 ? " as " + std::string{to_string(op.outcome)} : "") +
           (op.lost ? ", an answer was lost" : "");
}

/// An operation as it was found in a request.
struct Found {
    std::uint64_t number = 0;
    std::string_view lines;
};

class Operations {
public:
    explicit Operations(const Expectations& expect) : expect_{expect} {}

    Op& add(Op op) { return all_.emplace_back(std::move(op)); }
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] Op& operator[](std::uint64_t number) { return all_[number]; }
    [[nodiscard]] const Op& operator[](std::uint64_t number) const { return all_[number]; }
    [[nodiscard]] Op& operator[](const Found& found) { return all_[found.number]; }
    [[nodiscard]] auto begin() noexcept { return all_.begin(); }
    [[nodiscard]] auto end() noexcept { return all_.end(); }

    /// The indexer has accepted it.
    void accepted(const Op& op) {
        if (!op.id.empty()) by_id_[op.id].push_back(op.number);
    }
    /// The server has applied it.
    void applied(Op& op) {
        ++op.applied;
        if (!op.id.empty()) last_applied_[op.id] = op.number;
    }
    /// By id: the operations that were accepted, in order.
    [[nodiscard]] const std::map<std::string, std::vector<std::uint64_t>>& by_id() const noexcept { return by_id_; }
    [[nodiscard]] const std::vector<std::uint64_t>& of_id(const std::string& id) { return by_id_[id]; }
    [[nodiscard]] std::uint64_t last_applied(const std::string& id) { return last_applied_[id]; }

    /// A reader of bulk bodies of its own: pairs of lines, by the number in the source or in a delete's id.
    [[nodiscard]] std::vector<Found> read(std::string_view body) const {
        std::vector<Found> found;
        expect_(!body.empty() && body.back() == '\n', "a body ends with a newline");
        while (!body.empty()) {
            const auto action_end = body.find('\n') + 1;
            const auto action = body.substr(0, action_end);
            const bool has_source = !action.starts_with("{\"delete\"");
            const auto end = has_source ? body.find('\n', action_end) + 1 : action_end;
            expect_(end != 0, "an action is followed by its source");
            const std::string_view sign = has_source ? "{\"n\":" : "\"gone-";
            const auto text = has_source ? body.substr(action_end, end - action_end) : action;
            const auto at = text.find(sign);
            expect_(at != std::string_view::npos, "a line is one that was handed in");
            const auto number = std::stoull(std::string{text.substr(at + sign.size(), 20)});
            expect_(number < all_.size(), "an operation is one that was handed in");
            const auto& op = all_[number];
            if (has_source) expect_(text.substr(0, text.size() - 1) == op.source, "a source travels byte for byte", op);
            expect_((op.id.empty() && !op.makes_id) == (action.find("\"_id\"") == std::string_view::npos) &&
                        action.find(op.id) != std::string_view::npos,
                    "an id travels with its own operation", op);
            found.push_back({number, body.substr(0, end)});
            body.remove_prefix(end);
        }
        return found;
    }

private:
    const Expectations& expect_;
    std::deque<Op> all_; ///< by number; an observer may add to them while one is in use
    std::map<std::string, std::vector<std::uint64_t>> by_id_;
    std::map<std::string, std::uint64_t> last_applied_;
};

} // namespace bulkhead::inline v1::test::simulation
