// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include <malloc.h>

namespace {
constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
thread_local std::size_t calls = 0;
thread_local std::ptrdiff_t in_use = 0;
thread_local std::size_t refusals = 0;
thread_local std::size_t to_succeed = never; // before memory is refused
thread_local std::size_t to_fail = 0;        // after that, before there is memory again
thread_local bool aligned_too = false;
thread_local int own = 0; // the test's own side
thread_local bulkhead_test::FreedMemory* watcher = nullptr;

bool is_refused() noexcept {
    if (own != 0 || to_succeed == never) return false;
    if (to_succeed != 0) {
        --to_succeed;
        return false;
    }
    if (to_fail == 0) return false;
    --to_fail;
    ++refusals;
    return true;
}
void* allocate(std::size_t size) {
    if (is_refused()) throw std::bad_alloc{};
    ++calls;
    void* const memory = std::malloc(size == 0 ? 1 : size); // NOLINT: this is the allocator
    if (memory == nullptr) throw std::bad_alloc{};
    in_use += static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
    return memory;
}
void release(void* memory) noexcept {
    if (watcher != nullptr && memory != nullptr) watcher->look_at(memory);
    in_use -= static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
    std::free(memory); // NOLINT
}
} // namespace

// Asio's memory for handlers and coroutines comes from here.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    return aligned_too && is_refused() ? nullptr : ::memalign(alignment, size);
}

// All of the program's but the aligned forms, so that a sanitizer sees no pair of different makes.
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    try {
        return allocate(size);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept { return operator new(size, tag); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }

namespace bulkhead_test {

std::size_t allocations() noexcept { return calls; }
std::ptrdiff_t bytes_in_use() noexcept { return in_use; }
std::size_t refused_allocations() noexcept { return refusals; }
FailingAllocations::FailingAllocations(std::size_t successes, std::size_t failures) noexcept {
    to_succeed = successes;
    to_fail = failures;
}
FailingAllocations::~FailingAllocations() { to_succeed = never; }
FailingAlignedAllocations::FailingAlignedAllocations() noexcept { aligned_too = true; }
FailingAlignedAllocations::~FailingAlignedAllocations() { aligned_too = false; }
OwnAllocations::OwnAllocations() noexcept { ++own; }
OwnAllocations::~OwnAllocations() { --own; }

FreedMemory::FreedMemory(std::string_view text) noexcept : text_{text} { watcher = this; }
FreedMemory::~FreedMemory() { watcher = nullptr; }
void FreedMemory::look_at(const void* memory) noexcept {
    ++blocks_;
    const auto size = ::malloc_usable_size(const_cast<void*>(memory)); // NOLINT: it does not write there
    if (::memmem(memory, size, text_.data(), text_.size()) != nullptr) ++found_;
}

} // namespace bulkhead_test
