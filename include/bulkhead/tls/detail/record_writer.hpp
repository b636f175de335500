// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/tls/detail/memory_bio.hpp>

#include <boost/asio/buffer.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

/// Plain text into TLS records, and how much of it lies in records that were sent to their end.
namespace bulkhead::inline v1::detail {

namespace asio = boost::asio;

/// Encrypts plain text into the buffer of `bio`, to which `ssl` writes. Many small buffers share one record, and a
/// buffer that fills a record is not copied. Both outlive the writer.
class RecordWriter {
public:
    enum class Result : std::uint8_t {
        done,
        wants_read, ///< a message of TLS's own has been read in part: its rest must come first
        failed,     ///< the error is in OpenSSL's queue
    };

    RecordWriter(SSL* ssl, MemoryBio& bio) : ssl_{ssl}, bio_{bio} {}

    /// Takes from the buffers as much as there is room for. With any result, `records()` says what is to be sent.
    template <class Buffers>
    [[nodiscard]] Result encrypt(const Buffers& from) noexcept {
        bio_.compact();
        records_ = 0;
        std::size_t staged = 0;
        for (auto it = asio::buffer_sequence_begin(from); it != asio::buffer_sequence_end(from); ++it) {
            asio::const_buffer piece{*it};
            while (piece.size() != 0) {
                if (staged == 0 && (records_ == record_at_.size() || !bio_.has_room())) return Result::done;
                const bool whole = staged == 0 && piece.size() >= MemoryBio::record;
                const auto size = std::min(piece.size(), MemoryBio::record - staged);
                if (!whole) std::memcpy(stage_.get() + staged, piece.data(), size);
                staged += size;
                if (staged == MemoryBio::record) {
                    const auto result = seal(whole ? piece.data() : stage_.get(), staged);
                    if (result != Result::done) return result;
                    staged = 0;
                }
                piece += size;
            }
        }
        return staged == 0 ? Result::done : seal(stage_.get(), staged);
    }
    /// Counts `size` bytes of `bio` as sent. Returns how much of the plain text lies in records that are sent to their
    /// end.
    [[nodiscard]] std::size_t sent(std::size_t size) noexcept {
        bio_.sent(size);
        std::size_t plain = 0;
        for (std::size_t i = 0; i < records_ && record_at_[i].end <= bio_.begin(); ++i) plain += record_at_[i].plain;
        return plain;
    }
    /// How many records the last `encrypt` made.
    [[nodiscard]] std::size_t records() const noexcept { return records_; }
    /// How many were made in all.
    [[nodiscard]] std::uint64_t all_records() const noexcept { return all_records_; }

private:
    struct Record {
        std::size_t end; ///< in the buffer
        std::size_t plain;
    };

    [[nodiscard]] Result seal(const void* data, std::size_t size) noexcept {
        ERR_clear_error();
        std::size_t taken = 0;
        const int done = SSL_write_ex(ssl_, data, size, &taken);
        if (done != 1) return SSL_get_error(ssl_, done) == SSL_ERROR_WANT_READ ? Result::wants_read : Result::failed;
        record_at_[records_++] = {bio_.end(), size};
        ++all_records_;
        return Result::done;
    }

    SSL* ssl_;
    MemoryBio& bio_;
    const std::unique_ptr<char[]> stage_{new char[MemoryBio::record]};
    std::array<Record, 8> record_at_{};
    std::size_t records_ = 0;
    std::uint64_t all_records_ = 0;
};

} // namespace bulkhead::inline v1::detail
