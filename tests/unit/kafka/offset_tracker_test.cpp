// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/offset_tracker.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

using bulkhead::OffsetTracker;
using Step = OffsetTracker::Step;

TEST_CASE("nothing may be stored before the first delivery", "[offset_tracker]") {
    const OffsetTracker tracker;
    CHECK_FALSE(tracker.watermark());
    CHECK(tracker.span() == 0);
}

TEST_CASE("the watermark is the smallest offset that is not settled", "[offset_tracker][F131]") {
    OffsetTracker tracker;
    const auto a = tracker.delivered(10, 1);
    const auto b = tracker.delivered(11, 1);
    const auto c = tracker.delivered(12, 1);
    CHECK(tracker.watermark() == 10);
    CHECK(tracker.settle(c) == Step::settled);
    CHECK(tracker.watermark() == 10);
    CHECK(tracker.settle(a) == Step::settled);
    CHECK(tracker.watermark() == 11);
    CHECK(tracker.settle(b) == Step::settled);
    CHECK(tracker.watermark() == 13);
    CHECK(tracker.span() == 0);
    CHECK(tracker.records() == 0);
}

TEST_CASE("the watermark crosses gaps in the offsets", "[offset_tracker][F132]") {
    OffsetTracker tracker;
    std::vector<OffsetTracker::Sequence> sequences;
    for (const std::int64_t offset : {0, 1, 5, 6, 100}) sequences.push_back(tracker.delivered(offset, 1));
    CHECK(tracker.span() == 101);
    std::vector<std::int64_t> watermarks;
    for (const auto sequence : sequences) {
        tracker.settle(sequence);
        watermarks.push_back(*tracker.watermark());
    }
    CHECK(watermarks == std::vector<std::int64_t>{1, 5, 6, 100, 101});
}

TEST_CASE("a record settles with the last of its operations", "[offset_tracker]") {
    OffsetTracker tracker;
    const auto a = tracker.delivered(0, 3);
    CHECK(tracker.settle(a) == Step::partly);
    CHECK(tracker.settle(a) == Step::partly);
    CHECK(tracker.watermark() == 0);
    CHECK(tracker.settle(a) == Step::settled);
    CHECK(tracker.watermark() == 1);
    CHECK(tracker.settle(a) == Step::late);
}

TEST_CASE("a record without operations is settled at once, but not before its predecessors", "[offset_tracker]") {
    OffsetTracker tracker;
    tracker.delivered(0, 0);
    CHECK(tracker.watermark() == 1);
    const auto b = tracker.delivered(1, 1);
    tracker.delivered(2, 0);
    CHECK(tracker.watermark() == 1);
    tracker.settle(b);
    CHECK(tracker.watermark() == 3);
}

TEST_CASE("the watermark never passes a failed record", "[offset_tracker][F134]") {
    OffsetTracker tracker;
    const auto a = tracker.delivered(0, 1);
    const auto b = tracker.delivered(1, 2);
    const auto c = tracker.delivered(2, 1);
    CHECK(tracker.fail(b) == Step::partly);
    CHECK(tracker.settle(b) == Step::failed);
    tracker.settle(a);
    tracker.settle(c);
    CHECK(tracker.watermark() == 1);
    CHECK(tracker.failed() == 1);
    CHECK(tracker.waiting() == 0);
    for (std::int64_t offset = 3; offset < 1000; ++offset) tracker.settle(tracker.delivered(offset, 1));
    CHECK(tracker.watermark() == 1);
    CHECK(tracker.span() == 999);
}

TEST_CASE("all operations of a record can end together", "[offset_tracker]") {
    OffsetTracker tracker;
    CHECK(tracker.settle_record(tracker.delivered(0, 5)) == Step::settled);
    CHECK(tracker.watermark() == 1);
    CHECK(tracker.fail_record(tracker.delivered(1, 5)) == Step::failed);
    CHECK(tracker.watermark() == 1);
}

TEST_CASE("one record that is stuck holds the watermark while a million pass it", "[offset_tracker][F133]") {
    OffsetTracker tracker;
    const auto stuck = tracker.delivered(0, 1);
    for (std::int64_t offset = 1; offset <= 1'000'000; ++offset) tracker.settle(tracker.delivered(offset, 1));
    CHECK(tracker.watermark() == 0);
    CHECK(tracker.span() == 1'000'001);
    CHECK(tracker.records() == 1'000'001);
    tracker.settle(stuck);
    CHECK(tracker.watermark() == 1'000'001);
    CHECK(tracker.records() == 0);
}

TEST_CASE("a settlement for an earlier assignment changes nothing", "[offset_tracker][F135]") {
    OffsetTracker tracker;
    const auto old = tracker.delivered(0, 1);
    tracker.restart();
    CHECK_FALSE(tracker.watermark());
    const auto fresh = tracker.delivered(0, 1); // the same offset, delivered to us again
    CHECK(tracker.settle(old) == Step::late);
    CHECK(tracker.fail(old) == Step::late);
    CHECK(tracker.watermark() == 0);
    CHECK(tracker.settle(fresh) == Step::settled);
    CHECK(tracker.watermark() == 1);
}

TEST_CASE("when the consumer goes back, what it delivers again replaces the earlier delivery",
          "[offset_tracker][F153]") {
    OffsetTracker tracker;
    const auto before = tracker.delivered(3, 1);
    const auto old = tracker.delivered(7, 1);
    tracker.settle(tracker.delivered(8, 1));
    const auto again = tracker.delivered(7, 1);
    CHECK(tracker.settle(old) == Step::late);
    CHECK(tracker.watermark() == 3); // what lies before the rewind is not forgotten: forgetting it would lose it
    tracker.settle(before);
    CHECK(tracker.watermark() == 7);
    tracker.settle(again);
    CHECK(tracker.watermark() == 8); // 8 is yet to be delivered again
}

TEST_CASE("the offset of a tracked record can be asked for", "[offset_tracker]") {
    OffsetTracker tracker;
    const auto a = tracker.delivered(41, 1);
    const auto b = tracker.delivered(57, 1);
    CHECK(tracker.offset_of(a) == 41);
    CHECK(tracker.offset_of(b) == 57);
    tracker.settle(a);
    CHECK_FALSE(tracker.offset_of(a));
    CHECK_FALSE(tracker.offset_of(b + 1));
}

TEST_CASE("a record is awaited until its last operation has ended, or it was rewound", "[offset_tracker][F153]") {
    OffsetTracker tracker;
    const auto first = tracker.delivered(1, 1);
    const auto second = tracker.delivered(2, 2);
    CHECK(tracker.awaits(first));
    CHECK(tracker.awaits(second));
    CHECK_FALSE(tracker.awaits(second + 1));
    tracker.settle(second);
    CHECK(tracker.awaits(second));
    tracker.rewind(2);
    CHECK_FALSE(tracker.awaits(second)); // though it is still held, behind the first
    tracker.settle(first);
    CHECK_FALSE(tracker.awaits(first));
}

namespace {

/// The same promises in the simplest words: a map of what is not settled.
struct Reference {
    struct Open {
        std::int64_t offset;
        std::uint32_t waiting;
        bool failed = false;
    };
    std::map<OffsetTracker::Sequence, Open> open;
    std::optional<std::int64_t> next;

    [[nodiscard]] std::optional<std::int64_t> watermark() const {
        auto least = next;
        for (const auto& [sequence, record] : open) least = std::min(*least, record.offset);
        return least;
    }
    void delivered(OffsetTracker::Sequence sequence, std::int64_t offset, std::uint32_t operations) {
        if (next && offset < *next) {
            for (auto it = open.begin(); it != open.end();)
                it = it->second.offset >= offset ? open.erase(it) : std::next(it);
        }
        next = offset + 1;
        if (operations > 0) open[sequence] = {offset, operations};
    }
    void end(OffsetTracker::Sequence sequence, bool failed) {
        const auto found = open.find(sequence);
        if (found == open.end() || found->second.waiting == 0) return;
        found->second.failed |= failed;
        if (--found->second.waiting == 0 && !found->second.failed) open.erase(found);
    }
};

} // namespace

TEST_CASE("any order of deliveries and settlements agrees with the plain reference", "[offset_tracker][F131][F132]") {
    for (std::uint32_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
        OffsetTracker tracker;
        Reference reference;
        std::vector<OffsetTracker::Sequence> known; // also those that have ended, and those of earlier assignments
        std::set<OffsetTracker::Sequence> seen;
        std::int64_t offset = 0;
        bool unique = true;
        bool agrees = true;
        for (int step = 0; step < 1500 && agrees; ++step) {
            if (chance(50)) {
                offset += chance(10) ? 1 + static_cast<std::int64_t>(random() % 50) : 1;
                if (chance(2)) offset = std::max<std::int64_t>(0, offset - static_cast<std::int64_t>(random() % 100));
                const auto operations = static_cast<std::uint32_t>(random() % 4);
                const auto sequence = tracker.delivered(offset, operations);
                reference.delivered(sequence, offset, operations);
                unique = unique && seen.insert(sequence).second;
                known.push_back(sequence);
            } else if (!known.empty()) {
                const auto recent = chance(80) ? known.size() - 1 - random() % std::min<std::size_t>(known.size(), 40)
                                               : random() % known.size();
                const bool failed = chance(1);
                failed ? tracker.fail(known[recent]) : tracker.settle(known[recent]);
                reference.end(known[recent], failed);
            }
            if (chance(1) && chance(30)) {
                tracker.restart();
                reference = {};
            }
            agrees = tracker.watermark() == reference.watermark();
        }
        CHECK(unique);
        REQUIRE(agrees);
    }
}
