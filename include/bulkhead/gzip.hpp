// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/http/encoder.hpp>
#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/options.hpp>

#include <boost/asio/buffer.hpp>

#include <libdeflate.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>

/// Bodies compressed by libdeflate. Link `bulkhead::gzip`.
namespace bulkhead::inline v1 {

namespace detail {

/// Memory that is written from its beginning each time. It grows to what is asked for and an eighth more, so that
/// bodies of nearly the same size do not make it grow again and again. It shrinks after a burst: uses are looked at 64
/// at a time, and when none of them needed half of the memory, it is exchanged for what the largest of them needed. So
/// a burst is forgotten after at most 127 more uses.
class ReusedMemory {
public:
    /// At least `size` bytes of unspecified content. Throws `std::bad_alloc`, and then holds nothing.
    [[nodiscard]] char* take(std::size_t size) {
        constexpr unsigned uses_looked_at = 64;
        largest_ = std::max(largest_, size);
        const auto wanted = largest_ + largest_ / 8;
        const bool last = ++uses_ == uses_looked_at;
        if (size > capacity_ || (last && wanted < capacity_ / 2)) {
            memory_.reset(); // first, so that both are never held
            capacity_ = 0;
            memory_.reset(new char[wanted]); // not zeroed; libc++ 14 has no make_unique_for_overwrite
            capacity_ = wanted;
        }
        if (last) uses_ = 0, largest_ = 0;
        return memory_.get();
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    std::unique_ptr<char[]> memory_; // NOLINT(*-avoid-c-arrays)
    std::size_t capacity_ = 0;
    std::size_t largest_ = 0; ///< of the uses looked at so far
    unsigned uses_ = 0;
};

} // namespace detail

/// A `BodyEncoder` that makes of each body one gzip member, since the servers' decoder (Netty's) reads no further than
/// the first. A body in one buffer is compressed where it lies; one in several is gathered first. Nothing is allocated
/// in the steady state.
///
/// One holds, beside the indexer's budget, libdeflate's compressor (from the first body on; with libdeflate 1.14 0.2 MB
/// at level 1, 0.7 MB at 2 to 9, 9 MB above) and memory for the longest compressed body there can be, which is the
/// body's own size and a little: see `footprint`. Not thread-safe.
class GzipEncoder {
public:
    /// The header field's value.
    static constexpr std::string_view content_encoding = "gzip";

    /// `level`: libdeflate's, 1 (quick) to 12. Throws `InvalidOption`.
    explicit GzipEncoder(int level) : level_{level} {
        if (auto wrong = detail::out_of_range("compression_level", level, 1, 12)) throw InvalidOption{*wrong};
    }
    GzipEncoder(const GzipEncoder&) = delete;
    GzipEncoder& operator=(const GzipEncoder&) = delete;
    ~GzipEncoder() = default;

    /// The body, compressed: one buffer, valid until the next call. Throws `std::bad_alloc`; it can be called again.
    [[nodiscard]] std::span<const asio::const_buffer> encode(std::span<const asio::const_buffer> body) {
        if (!compressor_) compressor_.reset(libdeflate_alloc_compressor(level_));
        if (!compressor_) throw std::bad_alloc{};
        const auto plain = in_one_piece(body);
        const auto room = libdeflate_gzip_compress_bound(compressor_.get(), plain.size());
        char* const out = compressed_.take(room);
        const auto size = libdeflate_gzip_compress(compressor_.get(), plain.data(), plain.size(), out, room);
        if (size == 0) throw std::bad_alloc{}; // no room, which the bound rules out; an empty body must not be sent
        result_ = asio::buffer(out, size);
        return {&result_, 1};
    }

    /// The memory held by capacity, without libdeflate's compressor.
    [[nodiscard]] std::size_t footprint() const noexcept { return gathered_.capacity() + compressed_.capacity(); }

private:
    struct Free {
        void operator()(libdeflate_compressor* compressor) const noexcept { libdeflate_free_compressor(compressor); }
    };

    asio::const_buffer in_one_piece(std::span<const asio::const_buffer> body) {
        const auto size = body.size() == 1 ? 0 : asio::buffer_size(body);
        char* const gathered = gathered_.take(size); // also when not needed, so that it shrinks
        if (body.size() == 1) return body.front();
        asio::buffer_copy(asio::buffer(gathered, size), body);
        return asio::buffer(gathered, size);
    }

    int level_;
    std::unique_ptr<libdeflate_compressor, Free> compressor_;
    detail::ReusedMemory gathered_;
    detail::ReusedMemory compressed_;
    asio::const_buffer result_;
};
static_assert(BodyEncoder<GzipEncoder>);

/// Plain HTTP with compressed bodies, at `HttpOptions::compression_level`. Over TLS: see `tls.hpp`.
using GzipTransport = basic_http_transport<PlainConnector<>, GzipEncoder>;
static_assert(Transport<GzipTransport>);

} // namespace bulkhead::inline v1
