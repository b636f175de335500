// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "kafka/world.hpp"

#include <string>
#include <utility>

namespace bulkhead_test {

/// A `World` under a watchdog, with a topic "events" and `each` events in each of its partitions.
struct KafkaFixture : Watchdog, World {
    explicit KafkaFixture(int partitions = 1, int each = 0, IndexerOptions indexing = {}, unsigned seconds_left = 60)
        : Watchdog{seconds_left}, World{std::move(indexing)} {
        kafka.create_topic("events", partitions);
        if (each > 0) produce("events", partitions, each);
    }
    /// What a member that reads the topic is made of.
    kafka::DriverOptions options() const { return options_for(*this, "events"); }

    /// Appends so many records of `size` bytes to the first partition. The mock keeps 5 MiB of it: with more, its first
    /// records are gone.
    void append_noise(int count, std::size_t size) {
        for (int i = 0; i < count; ++i) {
            kafka.produce("events", 0, {}, "{\"n\":\"" + noise(size) + "\"}");
            if (i % 10 == 9) kafka.flush();
        }
        kafka.flush();
    }

private:
    /// Digits without a pattern, so that compression leaves the log as large as what is produced.
    std::string noise(std::size_t size) {
        std::string text;
        while (text.size() < size) {
            random_ ^= random_ << 13U;
            random_ ^= random_ >> 7U;
            random_ ^= random_ << 17U;
            text += std::to_string(random_);
        }
        return text;
    }
    std::uint64_t random_ = 88172645463325252U;
};

} // namespace bulkhead_test
