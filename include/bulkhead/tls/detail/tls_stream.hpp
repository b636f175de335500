// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/transport.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

/// TLS over an asynchronous stream, made for bulks: many records are sent at once, and what was sent is known exactly.
namespace bulkhead::inline v1 {

namespace detail {

template <auto free_it>
struct Freed {
    template <class T>
    void operator()(T* object) const noexcept {
        free_it(object);
    }
};
using SslPtr = std::unique_ptr<SSL, Freed<SSL_free>>;

/// The oldest error that OpenSSL has noted for this thread; none is left.
[[nodiscard]] inline error_code take_tls_error() noexcept {
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return asio::ssl::error::unspecified_system_error;
    return {static_cast<int>(code), asio::error::get_ssl_category()};
}

/// Ciphertext on its way between OpenSSL and the stream below. Fixed room; what is being sent stays where it is while
/// more is added behind it.
class TlsBuffers {
public:
    static constexpr std::size_t record = SSL3_RT_MAX_PLAIN_LENGTH;
    static constexpr std::size_t record_room = record + 512; ///< with what TLS adds
    static constexpr std::size_t in_size = std::size_t{32} << 10;
    static constexpr std::size_t out_size = 8 * record_room + 8192;

    [[nodiscard]] asio::mutable_buffer read_into() noexcept { return {in_.get(), in_size}; }
    void has_read(std::size_t size) noexcept {
        if (heard_size_ < heard_.size()) {
            const auto n = std::min(size, heard_.size() - heard_size_);
            std::memcpy(heard_.data() + heard_size_, in_.get(), n);
            heard_size_ += n;
        }
        in_begin_ = 0;
        in_end_ = size;
    }
    /// The first bytes that came, to tell what it is that does not speak TLS.
    [[nodiscard]] std::string_view heard() const noexcept { return {heard_.data(), heard_size_}; }
    [[nodiscard]] bool has_input() const noexcept { return in_begin_ != in_end_; }

    [[nodiscard]] asio::const_buffer unsent() const noexcept {
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
        BIO_meth_set_read(method, &TlsBuffers::read);
        BIO_meth_set_write(method, &TlsBuffers::write);
        BIO_meth_set_ctrl(method, &TlsBuffers::control);
        return method;
    }
    static int read(BIO* bio, char* to, int size) noexcept {
        auto& self = *static_cast<TlsBuffers*>(BIO_get_data(bio));
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
        auto& self = *static_cast<TlsBuffers*>(BIO_get_data(bio));
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
    std::array<char, 5> heard_{};
    std::size_t heard_size_ = 0;
};

} // namespace detail

/// A TLS connection over `NextLayer`, an AsyncStream such as a TCP socket. One reading and one writing operation may be
/// under way at once, on the executor of the stream below, which must be a strand or a single thread.
///
/// Up to eight full records travel in one write, and many small buffers in one record. A write that fails tells how
/// many bytes lay in records that the stream below took to their last byte: no peer can use a part of a record, so none
/// of what is not counted can have had an effect. An end without TLS's own (`close_notify`) is
/// `asio::ssl::error::stream_truncated`, a proper one `asio::error::eof`; neither is ever waited for. Renegotiation
/// does not exist. What TLS itself found wrong comes in `asio::error::get_ssl_category()`. Each holds some 220 KiB.
///
/// Why not Asio's: it sends one record at a time, which costs some 40 % more CPU, and does not say how much of a write
/// that failed was sent.
template <class NextLayer>
class TlsStream {
public:
    /// What TLS runs over.
    using next_layer_type = NextLayer;
    /// Of the next layer.
    using executor_type = typename NextLayer::executor_type;

    /// `ssl` knows whether it is the client, and has no BIO yet. `owner` lives as long as it. Throws `std::bad_alloc`.
    TlsStream(NextLayer next, detail::SslPtr ssl, std::shared_ptr<void> owner = {})
        : state_{std::make_unique<State>(std::move(next), std::move(ssl), std::move(owner))} {}

    /// That of the next layer.
    [[nodiscard]] executor_type get_executor() noexcept { return state_->next.get_executor(); }
    /// What TLS runs over.
    [[nodiscard]] next_layer_type& next_layer() noexcept { return state_->next; }
    /// What TLS runs over.
    [[nodiscard]] const next_layer_type& next_layer() const noexcept { return state_->next; }
    /// OpenSSL's object. For looking, not for reading or writing.
    [[nodiscard]] SSL* native_handle() noexcept { return state_->ssl.get(); }
    /// The first bytes that the peer has said, at most 5.
    [[nodiscard]] std::string_view heard() const noexcept { return state_->buffers.heard(); }
    /// The peer has sent data, and not only TLS's own messages.
    [[nodiscard]] bool answered() const noexcept { return state_->answered; }
    /// Its keys have protected as much as they should (RFC 8446, 5.5, with a wide margin): 128 GiB in full records.
    [[nodiscard]] bool worn_out() const noexcept { return state_->records_sent >= std::uint64_t{1} << 23; }

    /// Before anything else, and once. A failure is also told to the peer.
    asio::awaitable<error_code> handshake() {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto& s = *state_;
        for (;;) {
            ERR_clear_error();
            const int done = SSL_do_handshake(s.ssl.get());
            const int why = SSL_get_error(s.ssl.get(), done);
            error_code failed;
            if (done != 1 && why != SSL_ERROR_WANT_READ) failed = detail::take_tls_error();
            error_code error;
            if (s.buffers.unsent().size() != 0) {
                const auto size = co_await asio::async_write(s.next, s.buffers.unsent(),
                                                             asio::redirect_error(asio::use_awaitable, error));
                s.buffers.sent(size);
                s.buffers.compact();
            }
            if (failed) co_return failed;
            if (error || done == 1) co_return error;
            const auto size = co_await s.next.async_read_some(s.buffers.read_into(),
                                                              asio::redirect_error(asio::use_awaitable, error));
            if (error == asio::error::eof) error = asio::ssl::error::stream_truncated;
            if (error) co_return error;
            s.buffers.has_read(size);
        }
    }

    /// As an AsyncReadStream's.
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return asio::async_compose<Token, void(error_code, std::size_t)>(ReadOp{*state_, first_of(buffers)}, token,
                                                                         state_->next);
    }
    /// As an AsyncWriteStream's.
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return asio::async_compose<Token, void(error_code, std::size_t)>(WriteOp<Buffers>{*state_, buffers}, token,
                                                                         state_->next);
    }

    /// Looks without waiting whether the peer has neither ended the connection nor sent data that nobody asked for,
    /// while nothing is under way. TLS's own messages (session tickets) are taken in. For sockets.
    [[nodiscard]] bool quiet() noexcept {
        auto& s = *state_;
        error_code error;
        s.next.non_blocking(true, error);
        for (int looks = 0; !error && looks < 8; ++looks) {
            char byte = 0;
            if (s.decrypt({&byte, 1}) != 0 || s.failed) return false;
            const auto size = s.next.receive(s.buffers.read_into(), 0, error);
            // Not with a part of a record, nor with whole records that hold a part of a message.
            if (error == asio::error::would_block)
                return SSL_has_pending(s.ssl.get()) == 0 && SSL_in_init(s.ssl.get()) == 0;
            if (!error) s.buffers.has_read(size);
        }
        return false;
    }
    /// Tells the peer that this is the end (`close_notify`), as far as that needs no waiting. Nothing may be under way.
    /// For sockets.
    void say_goodbye() noexcept {
        auto& s = *state_;
        if (SSL_is_init_finished(s.ssl.get()) == 0 || !s.next.is_open()) return;
        ERR_clear_error();
        s.buffers.compact();
        (void)SSL_shutdown(s.ssl.get());
        ERR_clear_error();
        error_code ignored;
        s.next.non_blocking(true, ignored);
        if (!ignored) (void)s.next.send(s.buffers.unsent(), 0, ignored);
    }

private:
    struct SentRecord {
        std::size_t end; ///< in the buffer
        std::size_t plain;
    };
    struct State {
        State(NextLayer next_in, detail::SslPtr ssl_in, std::shared_ptr<void> owner_in)
            : next{std::move(next_in)}, owner{std::move(owner_in)}, ssl{std::move(ssl_in)} {
            auto* const bio = buffers.make_bio();
            SSL_set_bio(ssl.get(), bio, bio);
        }
        State(const State&) = delete;
        State& operator=(const State&) = delete;
        ~State() { // an SSL that is freed without this takes its session with it
            SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }

        /// Takes from the buffers as much as there is room for.
        template <class Buffers>
        [[nodiscard]] error_code encrypt(const Buffers& from) noexcept {
            buffers.compact();
            records = 0;
            std::size_t staged = 0;
            for (auto it = asio::buffer_sequence_begin(from); it != asio::buffer_sequence_end(from); ++it) {
                asio::const_buffer piece{*it};
                while (piece.size() != 0) {
                    if (staged == 0 && (records == record_at.size() || !buffers.has_room())) return {};
                    const bool whole = staged == 0 && piece.size() >= detail::TlsBuffers::record;
                    const auto size = std::min(piece.size(), detail::TlsBuffers::record - staged);
                    if (!whole) std::memcpy(stage.get() + staged, piece.data(), size);
                    staged += size;
                    if (staged == detail::TlsBuffers::record) {
                        if (auto error = seal(whole ? piece.data() : stage.get(), staged)) return error;
                        staged = 0;
                    }
                    piece += size;
                }
            }
            return staged == 0 ? error_code{} : seal(stage.get(), staged);
        }
        [[nodiscard]] error_code seal(const void* data, std::size_t size) noexcept {
            ERR_clear_error();
            std::size_t taken = 0;
            const int done = SSL_write_ex(ssl.get(), data, size, &taken);
            if (done != 1 && SSL_get_error(ssl.get(), done) == SSL_ERROR_WANT_READ) return asio::error::try_again;
            if (done != 1) return detail::take_tls_error();
            record_at[records++] = {buffers.end(), size};
            ++records_sent;
            return {};
        }
        /// How much of the plain text lies in records that are sent to their end.
        [[nodiscard]] std::size_t sent(std::size_t size) noexcept {
            buffers.sent(size);
            std::size_t plain = 0;
            for (std::size_t i = 0; i < records && record_at[i].end <= buffers.begin(); ++i)
                plain += record_at[i].plain;
            return plain;
        }
        /// What there is of plain text; 0 when more must be read first, or `failed` is set.
        [[nodiscard]] std::size_t decrypt(asio::mutable_buffer to) noexcept {
            std::size_t total = 0;
            while (!failed && total < to.size()) {
                ERR_clear_error();
                std::size_t size = 0;
                const int done =
                    SSL_read_ex(ssl.get(), static_cast<char*>(to.data()) + total, to.size() - total, &size);
                if (done == 1) {
                    total += size;
                    continue;
                }
                const int why = SSL_get_error(ssl.get(), done);
                if (why == SSL_ERROR_WANT_READ) break;
                if (why == SSL_ERROR_ZERO_RETURN)
                    failed = asio::error::eof;
                else
                    failed = detail::take_tls_error();
            }
            answered = answered || total != 0;
            return total;
        }

        NextLayer next;
        const std::shared_ptr<void> owner;
        detail::TlsBuffers buffers;
        const detail::SslPtr ssl;
        const std::unique_ptr<char[]> stage{new char[detail::TlsBuffers::record]};
        std::array<SentRecord, 8> record_at{};
        std::size_t records = 0;
        std::uint64_t records_sent = 0;
        error_code failed; ///< no more comes: `eof`, or an error
        bool answered = false;
        bool reading = false;
        detail::Completion<error_code, std::size_t> blocked; ///< a writer, until the reader has come further
    };

    struct ReadOp {
        State& s;
        asio::mutable_buffer to;
        enum { begins, reads, ends } step = begins;
        error_code failed{};
        std::size_t size = 0;

        template <class Self>
        void operator()(Self& self, error_code error = {}, std::size_t read = 0) {
            auto& state = s;
            if (step == ends) return self.complete(failed, size);
            if (step == reads) {
                if (error == asio::error::eof) error = asio::ssl::error::stream_truncated;
                if (!error) state.buffers.has_read(read);
            }
            if (!error) {
                size = state.decrypt(to);
                if (size == 0 && to.size() != 0) error = state.failed;
            }
            if (!error && size == 0 && to.size() != 0) {
                step = reads;
                state.reading = true;
                if (state.blocked) state.blocked({}, 0);
                return state.next.async_read_some(state.buffers.read_into(), std::move(self));
            }
            state.reading = false;
            if (state.blocked) state.blocked({}, 0);
            if (step == reads) return self.complete(error, size);
            step = ends;
            failed = error;
            asio::post(state.next.get_executor(), std::move(self));
        }
    };

    template <class Buffers>
    struct WriteOp {
        State& s;
        Buffers from;
        enum { begins, writes, ends } step = begins;
        error_code failed{};

        template <class Self>
        void operator()(Self& self, error_code error = {}, std::size_t written = 0) {
            auto& state = s;
            if (step == ends) return self.complete(failed, 0);
            if (step == writes) return self.complete(error, state.sent(written));
            failed = state.encrypt(from);
            if (state.records != 0 && (!failed || failed == asio::error::try_again)) {
                step = writes;
                const auto all_at_once = [](const error_code& stop, std::size_t) {
                    return stop ? std::size_t{0} : std::numeric_limits<std::size_t>::max();
                };
                asio::async_write(state.next, state.buffers.unsent(), all_at_once, std::move(self));
                return;
            }
            // A message of TLS's own has been read in part, and nothing can be written before the rest of it.
            if (failed == asio::error::try_again && state.reading) {
                const asio::any_io_executor executor = state.next.get_executor();
                state.blocked = {std::move(self), executor};
                return;
            }
            if (failed == asio::error::try_again) failed = asio::ssl::error::unexpected_result;
            step = ends;
            asio::post(state.next.get_executor(), std::move(self));
        }
    };

    template <class Buffers>
    static asio::mutable_buffer first_of(const Buffers& buffers) {
        for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it)
            if (asio::mutable_buffer{*it}.size() != 0) return *it;
        return {};
    }

    std::unique_ptr<State> state_;
};

} // namespace bulkhead::inline v1
