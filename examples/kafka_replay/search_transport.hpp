// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "options.hpp"
#include "tool/server_options.hpp"

#include <bulkhead/gzip.hpp>
#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/tls.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace replay {

/// A transport whose kind is known only at run time: by the URL's scheme, and by whether bodies are to be compressed.
class SearchTransport {
public:
    /// Throws `InvalidOption`.
    SearchTransport(bulkhead::asio::any_io_executor executor, const Options& options)
        : transport_{make(std::move(executor), options)} {}

    bulkhead::asio::awaitable<bulkhead::Reply> send(bulkhead::Request request, bulkhead::AnswerSink& sink) {
        return std::visit([&](auto& transport) { return transport.send(request, sink); }, transport_);
    }
    bulkhead::asio::awaitable<bulkhead::Reply> ask(std::uint32_t node, bulkhead::Question question,
                                                   std::chrono::nanoseconds timeout, bulkhead::AnswerSink& sink) {
        return std::visit([&](auto& transport) { return transport.ask(node, std::move(question), timeout, sink); },
                          transport_);
    }
    [[nodiscard]] std::uint32_t node_count() const noexcept {
        return std::visit([](const auto& transport) { return transport.node_count(); }, transport_);
    }
    [[nodiscard]] const std::string& node_name(std::uint32_t node) const noexcept {
        return std::visit([&](const auto& transport) -> const std::string& { return transport.node_name(node); },
                          transport_);
    }
    /// What of a node's URL may be shown.
    [[nodiscard]] std::string node_url(std::uint32_t node) const {
        const bool tls = std::holds_alternative<Tls>(transport_) || std::holds_alternative<TlsGzip>(transport_);
        return (tls ? "https://" : "http://") + node_name(node);
    }
    void shutdown() noexcept {
        std::visit([](auto& transport) { transport.shutdown(); }, transport_);
    }

private:
    using Plain = bulkhead::HttpTransport;
    using Tls = bulkhead::HttpsTransport;
    using PlainGzip = bulkhead::basic_http_transport<bulkhead::PlainConnector<>, bulkhead::GzipEncoder>;
    using TlsGzip = bulkhead::basic_http_transport<bulkhead::TlsConnector<>, bulkhead::GzipEncoder>;
    using Any = std::variant<Plain, Tls, PlainGzip, TlsGzip>;

    static Any make(bulkhead::asio::any_io_executor executor, const Options& o) {
        auto http = o.http;
        http.url = o.url;
        if (!tool::is_https(o.url)) {
            if (o.gzip) return PlainGzip{std::move(executor), std::move(http)};
            return Plain{std::move(executor), std::move(http)};
        }
        if (o.gzip) return TlsGzip{std::move(executor), std::move(http), o.tls};
        return Tls{std::move(executor), std::move(http), o.tls};
    }

    Any transport_;
};

} // namespace replay
