// SPDX-License-Identifier: BSL-1.0
#include "ends.hpp"

#include <algorithm>

namespace replay {

namespace {

const bulkhead::PartitionState* find(const Ends::Partitions& partitions, const std::string& topic,
                                     std::int32_t number) {
    for (const auto& p : partitions)
        if (p.partition == number && p.topic == topic) return &p;
    return nullptr;
}

} // namespace

Ends::Ends(const std::vector<PartitionEnd>& ends) {
    for (const auto& end : ends) ends_[end.topic][end.partition] = end;
}

bool Ends::taken(const Partitions& ours) const {
    for (const auto& [topic, numbers] : ends_) {
        for (const auto& [number, end] : numbers) {
            const auto* const p = find(ours, topic, number);
            if (p != nullptr && p->next && *p->next < end.end) return false;
        }
    }
    return true;
}

std::vector<PartitionEnd> Ends::left(const Partitions& ours) const {
    std::vector<PartitionEnd> left;
    for (const auto& [topic, numbers] : ends_) {
        for (const auto& [number, end] : numbers) {
            auto from = end.begin;
            if (const auto* const p = find(ours, topic, number); p != nullptr && p->stored)
                from = std::max(from, *p->stored);
            if (from >= end.end) continue;
            left.push_back(end);
            left.back().begin = from;
        }
    }
    return left;
}

void Ends::committed(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    auto& end = ends_.at(topic).at(partition);
    if (offset != end.stale) end.begin = std::max(end.begin, offset);
}

void Ends::nothing_from(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    auto& end = ends_.at(topic).at(partition);
    end.end = std::min(end.end, offset);
}

std::int64_t Ends::lag(const Partitions& ours, const LagNow& lag_now) const {
    std::int64_t lag = 0;
    for (const auto& [topic, numbers] : ends_) {
        for (const auto& [number, end] : numbers) {
            const auto* const p = find(ours, topic, number);
            if (p == nullptr && !ours.empty()) continue;
            const auto known = p != nullptr ? lag_now(topic, number) : std::nullopt;
            const auto from = p != nullptr && p->next ? *p->next : end.begin;
            lag += known ? static_cast<std::int64_t>(*known) : std::max<std::int64_t>(0, end.end - from);
        }
    }
    return lag;
}

} // namespace replay
