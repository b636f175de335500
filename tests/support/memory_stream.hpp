// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/wait/completion.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>

namespace memory {

namespace asio = boost::asio;
using bulkhead::error_code;

/// The peer's side of a `MemoryStream`, and the faults. One thread only.
struct Peer {
    std::string received; ///< what the stream has taken so far
    std::size_t most_per_read = std::numeric_limits<std::size_t>::max();
    std::size_t most_per_write = std::numeric_limits<std::size_t>::max();
    std::size_t takes = std::numeric_limits<std::size_t>::max(); ///< after so many bytes writing stalls …
    std::optional<error_code> then;                              ///< … or fails with this
    bool closed = false;                                         ///< by our side

    /// The peer says something; later, at the end of what it has said, the connection ends with `error`.
    void say(std::string_view bytes) {
        pending.append(bytes);
        serve_read();
    }
    void hang_up(error_code error = asio::error::eof) {
        end = error;
        serve_read();
    }
    /// Lets writing go on.
    void take(std::size_t more) {
        takes = more > std::numeric_limits<std::size_t>::max() - takes ? more : takes + more;
        serve_write();
    }
    void close() {
        closed = true;
        serve_read();
        serve_write();
    }

    // ---- The stream's side ----

    using Done = bulkhead::detail::Completion<error_code, std::size_t>;
    std::string pending;
    std::size_t read = 0; ///< how much of it
    std::optional<error_code> end;
    Done reader;
    asio::mutable_buffer into;
    Done writer;
    std::string offered;

    void serve_read() {
        if (!reader) return;
        if (closed) return reader(asio::error::operation_aborted, 0);
        const auto n = std::min({pending.size() - read, into.size(), most_per_read});
        if (n == 0 && into.size() != 0) {
            if (end) reader(*end, 0);
            return;
        }
        std::memcpy(into.data(), pending.data() + read, n);
        read += n;
        reader({}, n);
    }
    void serve_write() {
        if (!writer) return;
        if (closed) return writer(asio::error::operation_aborted, 0);
        const auto n = std::min({offered.size(), most_per_write, takes});
        if (n == 0 && !offered.empty()) {
            if (then) writer(*then, 0);
            return;
        }
        received.append(offered, 0, n);
        takes -= takes == std::numeric_limits<std::size_t>::max() ? 0 : n;
        writer({}, n);
    }
};

/// An AsyncStream in memory, every fault of which a test decides.
class MemoryStream {
public:
    using executor_type = asio::any_io_executor;
    MemoryStream(executor_type executor, std::shared_ptr<Peer> peer)
        : executor_{std::move(executor)}, peer_{std::move(peer)} {}
    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return asio::async_initiate<Token, void(error_code, std::size_t)>(
            [this](auto handler, asio::mutable_buffer buffer) {
                peer_->into = buffer;
                peer_->reader = Peer::Done{std::move(handler), executor_};
                peer_->serve_read();
            },
            token, first(buffers));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        std::string bytes;
        for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
            const asio::const_buffer buffer{*it};
            bytes.append(static_cast<const char*>(buffer.data()), buffer.size());
        }
        return asio::async_initiate<Token, void(error_code, std::size_t)>(
            [this](auto handler, std::string offered) {
                peer_->offered = std::move(offered);
                peer_->writer = Peer::Done{std::move(handler), executor_};
                peer_->serve_write();
            },
            token, std::move(bytes));
    }
    void close(error_code& /*error*/) noexcept { peer_->close(); }
    [[nodiscard]] bool is_open() const noexcept { return !peer_->closed; }
    [[nodiscard]] const std::shared_ptr<Peer>& peer() const noexcept { return peer_; }

private:
    template <class Buffers>
    static asio::mutable_buffer first(const Buffers& buffers) {
        for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it)
            if (asio::mutable_buffer{*it}.size() != 0) return *it;
        return {};
    }
    executor_type executor_;
    std::shared_ptr<Peer> peer_;
};

} // namespace memory
