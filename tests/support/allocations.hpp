// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace bulkhead_test {

/// How often this thread has called `operator new` so far. Only in the binary of tests/unit.
[[nodiscard]] std::size_t allocations() noexcept;

/// How often this thread's `operator new` has thrown so far.
[[nodiscard]] std::size_t refused_allocations() noexcept;

/// Bytes that this thread has got by `operator new` and not given back, as far as the same thread does both.
[[nodiscard]] std::ptrdiff_t bytes_in_use() noexcept;

/// While it lives, this thread's `operator new` throws `std::bad_alloc` after `successes` more calls.
class FailingAllocations {
public:
    explicit FailingAllocations(std::size_t successes) noexcept;
    ~FailingAllocations();
    FailingAllocations(const FailingAllocations&) = delete;
    FailingAllocations& operator=(const FailingAllocations&) = delete;
};

} // namespace bulkhead_test
