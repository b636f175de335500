// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/intake/room_event.hpp>

#include <chrono>
#include <mutex>
#include <thread>

using bulkhead::detail::RoomEvent;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::steady_clock::time_point no_patience{};

} // namespace

TEST_CASE("a change between a refusal and the wait is not missed") {
    std::mutex mutex;
    RoomEvent room;
    const bool closed = false;
    std::unique_lock lock{mutex};
    const auto seen = room.generation();
    CHECK_FALSE(room.wait(lock, seen, closed, no_patience));
    room.notify(std::move(lock));
    lock = std::unique_lock{mutex};
    CHECK(room.wait(lock, seen, closed, no_patience));
    CHECK_FALSE(room.wait(lock, room.generation(), closed, no_patience));
}

TEST_CASE("a wait for room ends at once when the indexer is closed") {
    std::mutex mutex;
    RoomEvent room;
    const bool closed = true;
    std::unique_lock lock{mutex};
    CHECK(room.wait(lock, room.generation(), closed, no_patience));
}

TEST_CASE("a change wakes all that wait") {
    std::mutex mutex;
    RoomEvent room;
    const bool closed = false;
    std::uint64_t seen = 0;
    int waiting = 0;
    int woken = 0;
    const auto wait = [&] {
        std::unique_lock lock{mutex};
        ++waiting;
        if (room.wait(lock, seen, closed, std::chrono::steady_clock::now() + 60s)) ++woken;
    };
    std::thread first{wait};
    std::thread second{wait};
    for (bool both = false; !both; std::this_thread::yield()) {
        const std::unique_lock lock{mutex};
        both = waiting == 2; // each has the lock only before it waits
    }
    room.notify(std::unique_lock{mutex});
    first.join();
    second.join();
    CHECK(woken == 2);
}
