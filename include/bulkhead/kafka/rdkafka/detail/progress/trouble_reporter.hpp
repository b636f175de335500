// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/rdkafka/client_event.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/partition_key.hpp>

#include <chrono>
#include <map>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

/// Decides which troubles are reported: each as it has lasted `interval`, again every `interval`, and once when it is
/// over. Pure; not thread-safe.
class TroubleReporter {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit TroubleReporter(std::chrono::milliseconds interval) noexcept : interval_{interval} {}

    /// `troubles`: all that there are now. A partition that stands still has lasted long enough already.
    /// `given_back(topic, partition)`: whether a trouble is over because the partition is given back.
    template <class GivenBack, class OnEvent>
    void report(const std::vector<ClientTrouble>& troubles, time_point now, GivenBack given_back, OnEvent on_event) {
        for (const auto& trouble : troubles) {
            if (!trouble.stalled && trouble.lasted < interval_) continue; // the client has just reported it
            auto& reported = reported_[{trouble.topic, trouble.partition}];
            reported.lasts = true;
            if (reported.next > now) continue;
            reported.next = bulkhead::detail::saturating_add<std::chrono::steady_clock>(now, interval_);
            on_event(ClientEvent{.kind = ClientEvent::Kind::trouble,
                                 .level = 3,
                                 .error = trouble.error,
                                 .text = trouble.text,
                                 .topic = trouble.topic,
                                 .partition = trouble.partition});
        }
        report_ends(given_back, on_event);
    }

private:
    struct Reported {
        time_point next{};  ///< when it is reported again
        bool lasts = false; ///< since the last `report`
    };

    template <class GivenBack, class OnEvent>
    void report_ends(GivenBack given_back, OnEvent on_event) {
        for (auto it = reported_.begin(); it != reported_.end();) {
            if (std::exchange(it->second.lasts, false)) {
                ++it;
                continue;
            }
            const auto& [topic, partition] = it->first;
            const auto text =
                name_of(topic, partition) + (given_back(topic, partition) ? " is given back" : " goes on");
            on_event(ClientEvent{
                .kind = ClientEvent::Kind::trouble_over, .text = text, .topic = topic, .partition = partition});
            it = reported_.erase(it);
        }
    }

    std::chrono::milliseconds interval_;
    std::map<PartitionKey, Reported, PartitionKeyLess> reported_;
};

} // namespace bulkhead::inline v1::kafka::detail
