// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace bulkhead_test {

/// How often this thread has called `operator new` so far. Only in the binaries of tests/unit
/// and tests/gzip.
[[nodiscard]] std::size_t allocations() noexcept;

/// While it lives, this thread's `operator new` throws `std::bad_alloc` after `successes` more calls.
class FailingAllocations {
public:
    explicit FailingAllocations(std::size_t successes) noexcept;
    ~FailingAllocations();
    FailingAllocations(const FailingAllocations&) = delete;
    FailingAllocations& operator=(const FailingAllocations&) = delete;
};

} // namespace bulkhead_test
