// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Contiguous bytes that grow by `realloc`: the kernel moves a large block's pages instead of copying them, and nothing
/// is zeroed only to be overwritten.
class ByteBuffer {
public:
    ByteBuffer() = default;
    ByteBuffer(ByteBuffer&& other) noexcept
        : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)}, capacity_{std::exchange(
                                                                                                other.capacity_, 0)} {}
    ByteBuffer& operator=(ByteBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ByteBuffer(const ByteBuffer&) = delete;
    ByteBuffer& operator=(const ByteBuffer&) = delete;
    ~ByteBuffer() { std::free(data_); } // NOLINT: the counterpart of realloc

    /// Grows to hold `capacity` bytes; never shrinks. Throws `std::bad_alloc`, then nothing has changed.
    void reserve(std::size_t capacity) {
        if (capacity <= capacity_) return;
        void* grown = std::realloc(data_, capacity); // NOLINT
        if (grown == nullptr) throw std::bad_alloc{};
        data_ = static_cast<char*>(grown);
        capacity_ = capacity;
    }
    /// The caller has reserved the room.
    void append_unchecked(std::string_view bytes) noexcept {
        std::memcpy(data_ + size_, bytes.data(), bytes.size());
        size_ += bytes.size();
    }
    /// Asks for the memory that the appends after the next will write to. A buffer that another core has just sent from
    /// is in that core's cache, and a lock's release waits until every byte written under it has arrived here.
    void prefetch() const noexcept {
        constexpr std::size_t ahead = 512;
        constexpr std::size_t most = 512;
        constexpr std::size_t cache_line = 64;
        if (capacity_ - size_ < ahead + most) return;
        const char* const from = data_ + size_ + ahead;
        for (std::size_t i = 0; i < most; i += cache_line) {
#if defined(__x86_64__) && defined(__GNUC__)
            asm volatile("prefetchw %0" : : "m"(from[i])); // __builtin_prefetch needs -mprfchw to be more than a read
#elif defined(__GNUC__)
            __builtin_prefetch(from + i, 1);
#endif
        }
    }
    void clear() noexcept { size_ = 0; }
    [[nodiscard]] char* data() noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }

private:
    char* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace bulkhead::inline v1::detail
