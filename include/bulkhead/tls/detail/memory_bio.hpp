// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/buffer.hpp>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

/// The ciphertext buffers of one TLS connection, and OpenSSL's end of them.
namespace bulkhead::inline v1::detail {

/// Ciphertext on its way between OpenSSL and the stream below. Fixed room; what is being sent stays where it is while
/// more is added behind it.
class MemoryBio {
public:
    static constexpr std::size_t record = SSL3_RT_MAX_PLAIN_LENGTH;
    static constexpr std::size_t record_room = record + 512; ///< with what TLS adds
    static constexpr std::size_t in_size = std::size_t{32} << 10;
    static constexpr std::size_t out_size = 8 * record_room + 8192;

    [[nodiscard]] boost::asio::mutable_buffer read_into() noexcept { return {in_.get(), in_size}; }
    void has_read(std::size_t size) noexcept {
        if (first_size_ < first_bytes_.size()) {
            const auto n = std::min(size, first_bytes_.size() - first_size_);
            std::memcpy(first_bytes_.data() + first_size_, in_.get(), n);
            first_size_ += n;
        }
        in_begin_ = 0;
        in_end_ = size;
    }
    /// The first bytes that came in, to tell what does not speak TLS.
    [[nodiscard]] std::string_view first_bytes() const noexcept { return {first_bytes_.data(), first_size_}; }

    [[nodiscard]] boost::asio::const_buffer unsent() const noexcept {
        return {out_.get() + out_begin_, out_end_ - out_begin_};
    }
    [[nodiscard]] std::size_t end() const noexcept { return out_end_; }
    [[nodiscard]] std::size_t begin() const noexcept { return out_begin_; }
    void sent(std::size_t size) noexcept { out_begin_ += size; }
    /// Moves what is unsent to the front; nothing may be under way.
    void compact() noexcept {
        if (out_begin_ != out_end_) std::memmove(out_.get(), out_.get() + out_begin_, out_end_ - out_begin_);
        out_end_ -= out_begin_;
        out_begin_ = 0;
    }
    [[nodiscard]] bool has_room() const noexcept { return out_size - out_end_ >= record_room; }

    /// The end of an `SSL` that reads and writes here; throws `std::bad_alloc`.
    [[nodiscard]] BIO* make_bio() {
        static BIO_METHOD* const method = make_method();
        auto* const bio = method == nullptr ? nullptr : BIO_new(method);
        if (bio == nullptr) throw std::bad_alloc{};
        BIO_set_data(bio, this);
        BIO_set_init(bio, 1);
        return bio;
    }

private:
    static BIO_METHOD* make_method() noexcept {
        auto* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bulkhead");
        if (method == nullptr) return nullptr;
        BIO_meth_set_read(method, &MemoryBio::read);
        BIO_meth_set_write(method, &MemoryBio::write);
        BIO_meth_set_ctrl(method, &MemoryBio::control);
        return method;
    }
    static int read(BIO* bio, char* to, int size) noexcept {
        auto& self = *static_cast<MemoryBio*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        const auto n = std::min(static_cast<std::size_t>(size), self.in_end_ - self.in_begin_);
        if (n == 0) {
            BIO_set_retry_read(bio);
            return -1;
        }
        std::memcpy(to, self.in_.get() + self.in_begin_, n);
        self.in_begin_ += n;
        return static_cast<int>(n);
    }
    static int write(BIO* bio, const char* from, int size) noexcept {
        auto& self = *static_cast<MemoryBio*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        const auto n = static_cast<std::size_t>(size);
        if (n > out_size - self.out_end_) {
            BIO_set_retry_write(bio);
            return -1;
        }
        std::memcpy(self.out_.get() + self.out_end_, from, n);
        self.out_end_ += n;
        return size;
    }
    static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) noexcept {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    std::unique_ptr<char[]> in_{new char[in_size]};
    std::size_t in_begin_ = 0;
    std::size_t in_end_ = 0;
    std::unique_ptr<char[]> out_{new char[out_size]};
    std::size_t out_begin_ = 0;
    std::size_t out_end_ = 0;
    std::array<char, 5> first_bytes_{};
    std::size_t first_size_ = 0;
};

} // namespace bulkhead::inline v1::detail
