// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/dialer.hpp>
#include <bulkhead/http/detail/watchdog.hpp>
#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/tls/detail/handshake_diagnosis.hpp>
#include <bulkhead/tls/detail/tls_context.hpp>
#include <bulkhead/tls/detail/tls_files.hpp>
#include <bulkhead/tls/detail/tls_stream.hpp>
#include <bulkhead/tls/detail/verification.hpp>
#include <bulkhead/tls/tls_options.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

/// HTTPS by OpenSSL 3: link `bulkhead::tls`.
namespace bulkhead::inline v1 {

/// TLS, verified in full unless `TlsOptions` says otherwise. A copy shares everything with the original: the files that
/// were read, and the sessions that make the next handshake with a server a short one. Files whose content has changed
/// are read again before the next connection is made: see `TlsOptions`.
///
/// What ends a handshake: `errc::handshake_timeout`, `errc::untrusted_certificate`, `errc::handshake_failed`, each with
/// a detail that says why. There is no way back to plain text, and not a byte of a request travels before the server
/// has proven who it is.
template <class Clock = std::chrono::steady_clock, class Resolver = asio::ip::tcp::resolver>
class TlsConnector {
public:
    /// TLS over TCP.
    using stream_type = detail::TlsStream<asio::ip::tcp::socket>;
    /// Of the URLs that it speaks.
    static constexpr std::string_view scheme = "https";
    /// Where the URL names none.
    static constexpr std::string_view default_port = "443";

    /// Reads the files; throws `InvalidOption`.
    TlsConnector(TlsOptions options = {}) // NOLINT(google-explicit-constructor)
        : files_{std::make_shared<detail::TlsFiles>(std::move(options))} {}

    /// A stream that is not connected yet. Looks at the files.
    [[nodiscard]] stream_type make_stream(const asio::any_io_executor& executor) const {
        return files_->current()->make_stream(asio::ip::tcp::socket{executor});
    }
    /// Once for each stream.
    asio::awaitable<Opened> open(stream_type& stream, NodeAddress peer, ConnectTimeouts timeouts) {
        return open(files_, stream, std::move(peer), timeouts);
    }
    /// Whether a connection that was idle can carry a request.
    [[nodiscard]] static bool alive(stream_type& stream) noexcept {
        return !stream.key_limit_reached() && stream.is_idle();
    }
    /// Called before it is closed: the last word to the peer.
    static void closing(stream_type& stream) noexcept { stream.send_close_notify(); }

    /// Corrects the reply of an exchange whose error belongs to the handshake. In TLS 1.3 the server looks at our
    /// certificate when we have already begun to send; where it refuses it (or that there is none), it has seen nothing
    /// of the request.
    static void explain(stream_type& stream, Reply& reply) noexcept {
        if (!reply.error || reply.status != 0 || stream.answered()) return;
        if (!detail::refuses_us(detail::tls_code_of(reply.error))) return;
        try {
            reply.detail = why_failed(stream, reply.error);
        } catch (const std::exception&) { // no memory: the detail stays as it is
        }
        reply.error = errc::handshake_failed;
        reply.sent = Sent::none;
    }

private:
    static asio::awaitable<Opened> open(std::shared_ptr<detail::TlsFiles> files, stream_type& stream, NodeAddress peer,
                                        ConnectTimeouts timeouts) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto deadline = detail::saturating_add<Clock>(Clock::now(), timeouts.total);
        Opened opened;
        const auto& context = detail::attempt_of(stream.native_handle()).context;
        if (!context->expect(stream.native_handle(), peer.host, peer.port)) {
            opened.error = errc::handshake_failed;
            opened.detail = "no certificate can be for this host: " + detail::printable(peer.host);
            co_return opened;
        }
        opened.error = co_await detail::Dialer<Clock, Resolver>::dial(stream.next_layer(), peer, timeouts);
        if (opened.error) co_return opened;
        opened.address = detail::Dialer<Clock, Resolver>::address_of(stream.next_layer());

        const asio::any_io_executor executor = stream.get_executor();
        const auto until = std::min(deadline, detail::saturating_add<Clock>(Clock::now(), timeouts.handshake));
        detail::Watchdog<Clock> watchdog{executor, until, [&stream] { abort_stream(stream); }};
        opened.error = co_await stream.handshake();
        if (!opened.error && !stream.next_layer().is_open()) opened.error = asio::error::operation_aborted;
        if (opened.error && watchdog.expired()) opened.error = errc::handshake_timeout;
        const bool clear = opened.error == errc::handshake_timeout || opened.error == asio::error::operation_aborted;
        if (!opened.error || clear) co_return opened;

        opened.detail = why_failed(stream, opened.error);
        if (const auto problem = files->problem(); !problem.empty())
            opened.detail = detail::printable(
                opened.detail + "; the files have changed, but the old ones are in use: " + problem, 1024);
        const bool untrusted = SSL_get_verify_result(stream.native_handle()) != X509_V_OK;
        opened.error = untrusted ? errc::untrusted_certificate : errc::handshake_failed;
        co_return opened;
    }
    static std::string why_failed(stream_type& stream, const error_code& error) {
        const auto& attempt = detail::attempt_of(stream.native_handle());
        if (!attempt.distrust.empty()) return attempt.distrust;
        const auto text = error.message();
        detail::HandshakeFailure failure;
        failure.tls_error = detail::tls_code_of(error);
        failure.hung_up = error == asio::ssl::error::stream_truncated || error == asio::error::eof;
        failure.text = text;
        failure.first_bytes = stream.first_bytes();
        failure.certificate_requested = attempt.certificate_requested;
        failure.certificate_given = SSL_get_certificate(stream.native_handle()) != nullptr;
        return detail::why_handshake_failed(failure);
    }

    std::shared_ptr<detail::TlsFiles> files_;
};
static_assert(Connector<TlsConnector<>>);

/// HTTP over TLS. With compressed bodies: `basic_http_transport<TlsConnector<>, GzipEncoder>`.
using HttpsTransport = basic_http_transport<TlsConnector<>>;
static_assert(Transport<HttpsTransport>);

} // namespace bulkhead::inline v1
