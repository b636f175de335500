// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/source_event.hpp>

#include <deque>
#include <exception>
#include <string>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Copies of a source's events that wait until their observer may call the source. An event that happens in the middle
/// of the source's work waits here; the source calls the observer between two steps of it.
class WaitingEvents {
public:
    /// Copies the event. False when memory runs out: the event is lost.
    bool put(const SourceEvent& event) noexcept {
        try {
            events_.push_back({event, std::string{event.topic}, std::string{event.type}, std::string{event.reason},
                               std::string{event.action_line}, std::string{event.source}});
            return true;
        } catch (const std::exception&) {
            return false;
        }
    }
    [[nodiscard]] bool empty() const noexcept { return events_.empty(); }
    /// Removes the oldest event, then calls `observer` with it. The observer may put more. What it throws passes.
    template <class F>
    void next(F&& observer) {
        const auto oldest = std::move(events_.front());
        events_.pop_front();
        auto event = oldest.event;
        event.topic = oldest.topic;
        event.type = oldest.type;
        event.reason = oldest.reason;
        event.action_line = oldest.action_line;
        event.source = oldest.source;
        observer(std::as_const(event));
    }

private:
    struct Kept {
        SourceEvent event; ///< its views are not valid
        std::string topic, type, reason, action_line, source;
    };
    std::deque<Kept> events_;
};

/// Sets a flag for as long as it lives.
class Flag {
public:
    explicit Flag(bool& flag) noexcept : flag_{flag}, before_{std::exchange(flag, true)} {}
    ~Flag() { flag_ = before_; }
    Flag(const Flag&) = delete;
    Flag& operator=(const Flag&) = delete;

private:
    bool& flag_;
    const bool before_;
};

} // namespace bulkhead::inline v1::detail
