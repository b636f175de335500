// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <string_view>

namespace bulkhead_test {

/// How often this thread has called `operator new` so far. Only in the binaries of tests/unit
/// and tests/gzip.
[[nodiscard]] std::size_t allocations() noexcept;

/// How often this thread was refused memory so far.
[[nodiscard]] std::size_t refused_allocations() noexcept;

/// Bytes that this thread has got by `operator new` and not given back, as far as the same thread does both.
[[nodiscard]] std::ptrdiff_t bytes_in_use() noexcept;

/// While it lives, this thread gets memory `successes` more times, is then refused it `failures` times, and gets it
/// again, from `operator new`. One at a time.
class FailingAllocations {
public:
    explicit FailingAllocations(std::size_t successes, std::size_t failures = static_cast<std::size_t>(-1)) noexcept;
    ~FailingAllocations();
    FailingAllocations(const FailingAllocations&) = delete;
    FailingAllocations& operator=(const FailingAllocations&) = delete;
};

/// While it lives, this thread's `FailingAllocations` are about `aligned_alloc` as well, where Asio gets its memory.
class FailingAlignedAllocations {
public:
    FailingAlignedAllocations() noexcept;
    ~FailingAlignedAllocations();
    FailingAlignedAllocations(const FailingAlignedAllocations&) = delete;
    FailingAlignedAllocations& operator=(const FailingAlignedAllocations&) = delete;
};

/// While it lives, this thread gets memory in spite of `FailingAllocations`, uncounted: for the test's own side.
class OwnAllocations {
public:
    OwnAllocations() noexcept;
    ~OwnAllocations();
    OwnAllocations(const OwnAllocations&) = delete;
    OwnAllocations& operator=(const OwnAllocations&) = delete;
};

/// While it lives, looks into all memory that this thread gives back by `operator delete`. One at a time, glibc only. A
/// block may be larger than what was asked for and hold what an earlier one left there: look for bytes that nothing on
/// the heap has held before.
class FreedMemory {
public:
    /// `text` is what is looked for; it must not be on the heap itself.
    explicit FreedMemory(std::string_view text) noexcept;
    ~FreedMemory();
    FreedMemory(const FreedMemory&) = delete;
    FreedMemory& operator=(const FreedMemory&) = delete;
    /// In how many of the blocks given back it was.
    [[nodiscard]] std::size_t found() const noexcept { return found_; }
    [[nodiscard]] std::size_t blocks() const noexcept { return blocks_; }
    void look_at(const void* memory) noexcept;

private:
    std::string_view text_;
    std::size_t found_ = 0;
    std::size_t blocks_ = 0;
};

} // namespace bulkhead_test
