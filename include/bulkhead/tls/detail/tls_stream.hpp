// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/wait/completion.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/tls/detail/memory_bio.hpp>
#include <bulkhead/tls/detail/openssl.hpp>
#include <bulkhead/tls/detail/record_writer.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

/// TLS over an asynchronous stream, made for bulks: many records are sent at once, and what was sent is known exactly.
namespace bulkhead::inline v1::detail {

/// The oldest error in OpenSSL's queue of this thread, which is then empty.
[[nodiscard]] inline error_code take_tls_error() noexcept {
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return asio::ssl::error::unspecified_system_error;
    return {static_cast<int>(code), asio::error::get_ssl_category()};
}
/// The error code of OpenSSL in an error; 0 when the error is another's.
[[nodiscard]] inline unsigned long tls_code_of(const error_code& error) noexcept {
    return error.category() == asio::error::get_ssl_category() ? static_cast<unsigned>(error.value()) : 0UL;
}

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
    TlsStream(NextLayer next, SslPtr ssl, std::shared_ptr<void> owner = {})
        : state_{std::make_unique<State>(std::move(next), std::move(ssl), std::move(owner))} {}

    /// That of the next layer.
    [[nodiscard]] executor_type get_executor() noexcept { return state_->next.get_executor(); }
    /// What TLS runs over.
    [[nodiscard]] next_layer_type& next_layer() noexcept { return state_->next; }
    /// What TLS runs over.
    [[nodiscard]] const next_layer_type& next_layer() const noexcept { return state_->next; }
    /// OpenSSL's object. For looking, not for reading or writing.
    [[nodiscard]] SSL* native_handle() noexcept { return state_->ssl.get(); }
    /// The first bytes that the peer has sent, at most 5.
    [[nodiscard]] std::string_view first_bytes() const noexcept { return state_->bio.first_bytes(); }
    /// The peer has sent data, and not only TLS's own messages.
    [[nodiscard]] bool answered() const noexcept { return state_->answered; }
    /// Its keys have protected as much as they should (RFC 8446, 5.5, with a wide margin): 128 GiB in full records.
    [[nodiscard]] bool key_limit_reached() const noexcept {
        return state_->writer.all_records() >= std::uint64_t{1} << 23;
    }

    /// Called before anything else, and once. A failure is also reported to the peer.
    asio::awaitable<error_code> handshake() {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto& s = *state_;
        for (;;) {
            ERR_clear_error();
            const int done = SSL_do_handshake(s.ssl.get());
            const int why = SSL_get_error(s.ssl.get(), done);
            error_code failed;
            if (done != 1 && why != SSL_ERROR_WANT_READ) failed = take_tls_error();
            error_code error;
            if (s.bio.unsent().size() != 0) {
                const auto size = co_await asio::async_write(s.next, s.bio.unsent(),
                                                             asio::redirect_error(asio::use_awaitable, error));
                s.bio.sent(size);
                s.bio.compact();
            }
            if (failed) co_return failed;
            if (error || done == 1) co_return error;
            const auto size =
                co_await s.next.async_read_some(s.bio.read_into(), asio::redirect_error(asio::use_awaitable, error));
            if (error == asio::error::eof) error = asio::ssl::error::stream_truncated;
            if (error) co_return error;
            s.bio.has_read(size);
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
    [[nodiscard]] bool is_idle() noexcept {
        auto& s = *state_;
        error_code error;
        s.next.non_blocking(true, error);
        for (int looks = 0; !error && looks < 8; ++looks) {
            char byte = 0;
            if (s.decrypt({&byte, 1}) != 0 || s.failed) return false;
            const auto size = s.next.receive(s.bio.read_into(), 0, error);
            // Not with a part of a record, nor with whole records that hold a part of a message.
            if (error == asio::error::would_block)
                return SSL_has_pending(s.ssl.get()) == 0 && SSL_in_init(s.ssl.get()) == 0;
            if (!error) s.bio.has_read(size);
        }
        return false;
    }
    /// Sends the end of the connection (`close_notify`) to the peer, as far as that needs no waiting. Nothing may be
    /// under way. For sockets.
    void send_close_notify() noexcept {
        auto& s = *state_;
        if (SSL_is_init_finished(s.ssl.get()) == 0 || !s.next.is_open()) return;
        ERR_clear_error();
        s.bio.compact();
        (void)SSL_shutdown(s.ssl.get());
        ERR_clear_error();
        error_code ignored;
        s.next.non_blocking(true, ignored);
        if (!ignored) (void)s.next.send(s.bio.unsent(), 0, ignored);
    }

private:
    struct State {
        State(NextLayer next_in, SslPtr ssl_in, std::shared_ptr<void> owner_in)
            : next{std::move(next_in)}, owner{std::move(owner_in)}, ssl{std::move(ssl_in)} {
            auto* const end = bio.make_bio();
            SSL_set_bio(ssl.get(), end, end);
        }
        State(const State&) = delete;
        State& operator=(const State&) = delete;
        ~State() { // an SSL that is freed without this takes its session with it
            SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
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
                    failed = take_tls_error();
            }
            answered = answered || total != 0;
            return total;
        }

        NextLayer next;
        const std::shared_ptr<void> owner;
        MemoryBio bio;
        const SslPtr ssl;
        RecordWriter writer{ssl.get(), bio};
        error_code failed; ///< no more comes: `eof`, or an error
        bool answered = false;
        bool reading = false;
        Completion<error_code, std::size_t> blocked; ///< a writer, until the reader has come further
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
                if (!error) state.bio.has_read(read);
            }
            if (!error) {
                size = state.decrypt(to);
                if (size == 0 && to.size() != 0) error = state.failed;
            }
            if (!error && size == 0 && to.size() != 0) {
                step = reads;
                state.reading = true;
                if (state.blocked) state.blocked({}, 0);
                return state.next.async_read_some(state.bio.read_into(), std::move(self));
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
            if (step == writes) return self.complete(error, state.writer.sent(written));
            using Result = RecordWriter::Result;
            const auto result = state.writer.encrypt(from);
            if (result == Result::failed) failed = take_tls_error();
            if (state.writer.records() != 0 && result != Result::failed) {
                step = writes;
                const auto all_at_once = [](const error_code& stop, std::size_t) {
                    return stop ? std::size_t{0} : std::numeric_limits<std::size_t>::max();
                };
                asio::async_write(state.next, state.bio.unsent(), all_at_once, std::move(self));
                return;
            }
            // A message of TLS's own has been read in part, and nothing can be written before the rest of it.
            if (result == Result::wants_read && state.reading) {
                const asio::any_io_executor executor = state.next.get_executor();
                state.blocked = {std::move(self), executor};
                return;
            }
            if (result == Result::wants_read) failed = asio::ssl::error::unexpected_result;
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

} // namespace bulkhead::inline v1::detail
