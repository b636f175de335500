// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::inline v1::test {

/// For `BulkServerOptions::gunzip`, and so that a test can read what `GzipTransport` sent. The content of `bytes` when
/// they are one gzip member, whole, with nothing after it, and no longer than `most` bytes when unpacked; nothing
/// otherwise. Link `bulkhead::gzip`. Thread-safe. Throws `std::bad_alloc`.
[[nodiscard]] inline std::optional<std::string> gunzip(std::string_view bytes, std::size_t most) {
    constexpr std::size_t shortest = 18; // RFC 1952: ten bytes of header, and CRC and size at the end
    if (bytes.size() < shortest) return std::nullopt;
    std::uint32_t size = 0; // of the content, modulo 2^32
    for (std::size_t i = 1; i <= 4; ++i) size = size << 8U | static_cast<unsigned char>(bytes[bytes.size() - i]);
    constexpr std::size_t best_ratio = 1032; // deflate's: a size beyond it is a lie, for which no memory is taken
    if (size > most || size / best_ratio > bytes.size()) return std::nullopt;
    const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor{
        libdeflate_alloc_decompressor(), &libdeflate_free_decompressor};
    if (!decompressor) throw std::bad_alloc{};
    std::string content(size, '\0');
    std::size_t read = 0;
    std::size_t written = 0;
    const auto result = libdeflate_gzip_decompress_ex(decompressor.get(), bytes.data(), bytes.size(), content.data(),
                                                      content.size(), &read, &written);
    if (result != LIBDEFLATE_SUCCESS || read != bytes.size() || written != size) return std::nullopt;
    return content;
}

} // namespace bulkhead::inline v1::test
