// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/detail/commit/commit_result.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

/// Offsets that are committed explicitly, because the group's may be higher and librdkafka commits by itself only what
/// is higher: from the source's wish until the coordinator has confirmed them. Pure; one thread.
class ExactCommits {
public:
    using Time = std::chrono::steady_clock::time_point;
    struct Wanted {
        std::string topic;
        std::int32_t partition = 0;
        std::int64_t next = 0;
        std::optional<std::int64_t> sent{}; ///< in a commit that is not answered yet
    };

    /// The group's offset becomes `next`. Throws `std::bad_alloc`.
    void want(std::string_view topic, std::int32_t partition, std::int64_t next) {
        forget(topic, partition);
        wanted_.push_back({std::string{topic}, partition, next, std::nullopt});
        due_ = {};
    }
    /// A later offset was stored: while an explicit commit is to be sent, it carries that.
    void stored(std::string_view topic, std::int32_t partition, std::int64_t next) noexcept {
        if (auto* const one = find(topic, partition)) one->next = next;
    }
    /// The partition is gone: nothing is committed for it any more.
    void forget(std::string_view topic, std::int32_t partition) noexcept {
        std::erase_if(wanted_, [&](const Wanted& one) { return one.partition == partition && one.topic == topic; });
    }
    /// What the coordinator answered to a commit of this offset. The answer to another commit, e.g. to one that was
    /// under way before, changes nothing. What the coordinator has not taken is due again a second later.
    void answered(std::string_view topic, std::int32_t partition, std::int64_t next, CommitFate fate,
                  Time now) noexcept {
        auto* const one = find(topic, partition);
        if (one == nullptr || one->sent != next) return;
        if (fate <= CommitFate::stale) return forget(topic, partition);
        one->sent.reset();
        due_ = now + std::chrono::seconds{1};
    }
    [[nodiscard]] bool empty() const noexcept { return wanted_.empty(); }
    /// Whether there is something to send now.
    [[nodiscard]] bool due(Time now) const noexcept {
        return now >= due_ && std::any_of(wanted_.begin(), wanted_.end(), [](const Wanted& one) { return !one.sent; });
    }
    /// Calls `f` with each that is not confirmed; from here on they count as sent.
    template <class F>
    void send(F f) {
        for (auto& one : wanted_) {
            f(std::as_const(one));
            one.sent = one.next;
        }
    }

private:
    [[nodiscard]] Wanted* find(std::string_view topic, std::int32_t partition) noexcept {
        const auto at = std::find_if(wanted_.begin(), wanted_.end(), [&](const Wanted& one) {
            return one.partition == partition && one.topic == topic;
        });
        return at == wanted_.end() ? nullptr : &*at;
    }
    std::vector<Wanted> wanted_;
    Time due_{};
};

} // namespace bulkhead::inline v1::kafka::detail
