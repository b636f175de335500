// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/credentials.hpp>
#include <bulkhead/http/detail/header_field.hpp>
#include <bulkhead/http/signer.hpp>
#include <bulkhead/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The options of an HTTP transport: where the cluster is, time limits, connections, hooks.
namespace bulkhead::inline v1 {

/// One attempt to carry a bulk request, as `HttpOptions::on_request_…` are told of it. Never a body, a header's value
/// or a secret. The views are valid during the call.
struct RequestEvent {
    std::uint32_t node = 0;             ///< 0: `url`, 1 and up: `more_urls`
    std::string_view host;              ///< its name and port
    std::size_t operations = 0;         ///< in the request
    std::size_t body_bytes = 0;         ///< uncompressed
    std::size_t wire_bytes = 0;         ///< as sent; 0 when nothing was; only at the end
    std::uint32_t attempt = 1;          ///< 1 for the first time that this body travels
    unsigned status = 0;                ///< of the answer; 0 without; only at the end, as all below
    error_code error{};                 ///< success when a whole HTTP answer was read
    std::chrono::nanoseconds latency{}; ///< connecting included
    /// Whether the connection had carried a request before.
    bool connection_reused = false;
};

/// Where the cluster is, and how to talk to it. Checked at construction of the transport (`InvalidOption`).
struct HttpOptions {
    /// `http://host[:port][/path]`; the path is put before `/_bulk`. Port 80 (443 for `https`) when none is given, as
    /// everywhere: name Elasticsearch's and OpenSearch's 9200. `user:password@` before the host, percent-encoded, is
    /// taken out and used as `Credentials::basic`; it is never shown. Query and fragment are refused; so is `https` by
    /// the plain transport: that is `HttpsTransport` of `bulkhead/tls.hpp`. When to change: always but on your own
    /// machine.
    std::string url = "http://127.0.0.1:9200";
    /// Further nodes of the same cluster, at most 255. Requests go to the one with the fewest in flight; one that fails
    /// is rested. When to change: for a cluster without a load balancer before it.
    std::vector<std::string> more_urls{};
    /// The `Authorization` field. Asked for again after an answer 401, so that it can be rotated. None by default. When
    /// to change: when the cluster has security on; see [security](security.md#authentication).
    Credentials credentials{};
    /// Signs each request, e.g. `AwsSigV4` of `bulkhead/tls/aws_sigv4.hpp`. Not together with `credentials`. When to
    /// change: for Amazon OpenSearch Service, or a gateway that wants signatures.
    Signer signer{};
    /// Whether credentials may travel over plain HTTP to a host that is not this one, readable for everybody between.
    /// When to change: in a mesh whose sidecar encrypts, or a network that you trust as your own machine.
    bool allow_credentials_in_clear = false;
    /// Sent with every request, e.g. `{"X-Opaque-Id", "shop-7"}`, which Elasticsearch and OpenSearch repeat in their
    /// slow and deprecation logs. Names are tokens (RFC 9110); values are visible ASCII, spaces and tabs, at most 8
    /// KiB. What frames the request, or decides how the answer is framed, coded or cut, is the transport's own and
    /// refused: `Host`, `Content-Length`, `Content-Type`, `Content-Encoding`, `Content-Range`, `Accept`,
    /// `Accept-Encoding`, `Transfer-Encoding`, `TE`, `Trailer`, `Connection`, `Keep-Alive`, `Proxy-Connection`,
    /// `Upgrade`, `HTTP2-Settings`, `Expect`, `Range`, `If-Range` and `User-Agent`. When to change: to name your
    /// service in the server's logs, or for a proxy.
    std::vector<std::pair<std::string, std::string>> headers{};
    /// The `User-Agent` field. Visible ASCII, 1 to 8192 bytes. When to change: to tell your services apart in access
    /// logs.
    std::string user_agent = "bulkhead";
    /// Asks an Elasticsearch to behave as this major version, by its media types `application/vnd.elasticsearch+…`. 0:
    /// plain media types, which every version and OpenSearch understand. 7 to 99; more than the server's own version it
    /// refuses with 400, and OpenSearch refuses any with 406 or 415. When to change: while clients are older than a new
    /// Elasticsearch; not needed otherwise.
    unsigned compatible_with = 0;
    /// For transports that compress: gzip's level, 1 to 12; 1 is the quickest. Limits on sizes stay on uncompressed
    /// bytes. When to change: raise it when the network is the bottleneck and there is CPU to spare.
    int compression_level = 1;
    /// How long looking up the host's name may take. 1 ms to 10 min. When to change: lower it when a name service hangs
    /// and there are other nodes.
    std::chrono::milliseconds resolve_timeout{5000};
    /// How long connecting may take, for all of the host's addresses together. 1 ms to 10 min. When to change: lower it
    /// in one data centre (1 s is plenty), raise it over a bad line.
    std::chrono::milliseconds connect_timeout{5000};
    /// How long the TLS handshake may take. 1 ms to 10 min. When to change: as `connect_timeout`.
    std::chrono::milliseconds handshake_timeout{10'000};
    /// How long the server may take no byte of a request that is being sent. 1 ms to 10 min. The whole of a request,
    /// answer included, is bounded by `IndexerOptions::request_timeout`. When to change: lower it to give up a stalled
    /// node sooner.
    std::chrono::milliseconds write_timeout{30'000};
    /// A connection that has been idle for longer is closed: load balancers drop idle connections without a word (60 s
    /// at AWS, 4 min at Azure). 0 ms to 1 h; 0 ms: never reused. When to change: below the idle time-out of what stands
    /// between, when connections break at their first use after a pause.
    std::chrono::milliseconds idle_max{30'000};
    /// The greatest age of a connection. An older one takes no further request, whatever the traffic: the next
    /// connection looks the name up again, and reads the certificates of that time. Each connection lives between three
    /// quarters of this and all of it, so that they are not replaced all at once. 1 s to 24 h; 0 ms: no greatest age.
    /// When to change: lower it when addresses move faster;
    /// raise it when handshakes cost too much.
    std::chrono::milliseconds connection_max_age{300'000};
    /// Idle connections that are kept, to all nodes together. 0 to 1024. When to change: not below `max_in_flight`, or
    /// connections are made anew.
    std::size_t max_idle_connections = 16;
    /// How long a node is left alone after it failed, where there are others; twice as long after each further failure
    /// in a row, up to `node_longest_rest`. Before it gets requests again it must have answered a `GET /`. 1 ms to 1 h.
    /// When to change: raise it when nodes restart slowly.
    std::chrono::milliseconds node_first_rest{1000};
    /// The longest rest. `node_first_rest` to 1 h. When to change: lower it when a node that is back should be used
    /// sooner.
    std::chrono::milliseconds node_longest_rest{60'000};
    /// A longer answer is cut off (`errc::answer_too_large`). 1 KiB to 2 GiB. When to change: seldom: it bounds a
    /// server or proxy that answers what was not asked for.
    std::size_t max_answer_bytes = std::size_t{256} << 20;
    /// Called before each attempt, on a connection's strand: several at once where the context has several threads.
    /// Must neither block nor throw. When to change: for traces of your own.
    std::function<void(const RequestEvent&)> on_request_started{};
    /// Called after each attempt, under the same rules. When to change: for traces, and for latencies by node.
    std::function<void(const RequestEvent&)> on_request_ended{};
};

/// The first option that is out of its range, if any; the URL is checked by the transport, which knows its scheme.
/// Header values, which may be secrets, are never part of the error.
[[nodiscard]] inline std::optional<FieldError> validate(const HttpOptions& o) {
    using namespace std::chrono_literals;
    using detail::out_of_range;
    for (const auto& [name, value] : o.headers) {
        if (!detail::is_header_name(name)) return FieldError{"headers", "a token as name", "another name"};
        if (detail::is_own_header(name)) return FieldError{"headers", "none of the transport's own fields", name};
        if (!detail::is_header_value(value))
            return FieldError{"headers." + name, "visible ASCII, spaces and tabs, at most 8192 bytes", "another value"};
        if (detail::equal_ignoring_case(name, "Authorization") && (!o.credentials.empty() || o.signer))
            return FieldError{"headers", "no Authorization beside `credentials` or `signer`", name};
    }
    if (o.signer && !o.credentials.empty()) return FieldError{"signer", "none beside `credentials`", "both"};
    if (auto wrong = validate(o.credentials)) return wrong;
    if (o.compatible_with != 0 && (o.compatible_with < 7 || o.compatible_with > 99))
        return FieldError{"compatible_with", "0, or 7 to 99", std::to_string(o.compatible_with)};
    if (auto e = out_of_range("compression_level", o.compression_level, 1, 12)) return e;
    if (o.more_urls.size() > 255) return FieldError{"more_urls", "at most 255", std::to_string(o.more_urls.size())};
    if (o.user_agent.empty() || !detail::is_header_value(o.user_agent))
        return FieldError{"user_agent", "visible ASCII, spaces and tabs, 1 to 8192 bytes", "another value"};
    if (auto e = out_of_range("resolve_timeout", o.resolve_timeout, 1ms, 10min)) return e;
    if (auto e = out_of_range("connect_timeout", o.connect_timeout, 1ms, 10min)) return e;
    if (auto e = out_of_range("handshake_timeout", o.handshake_timeout, 1ms, 10min)) return e;
    if (auto e = out_of_range("write_timeout", o.write_timeout, 1ms, 10min)) return e;
    if (auto e = out_of_range("node_first_rest", o.node_first_rest, 1ms, 1h)) return e;
    if (auto e = out_of_range("node_longest_rest", o.node_longest_rest, o.node_first_rest, 1h)) return e;
    if (auto e = out_of_range("idle_max", o.idle_max, 0ms, 1h)) return e;
    if (o.connection_max_age != 0ms)
        if (auto e = out_of_range("connection_max_age", o.connection_max_age, 1s, 24h)) return e;
    if (auto e = out_of_range<std::size_t>("max_idle_connections", o.max_idle_connections, 0, 1024)) return e;
    return out_of_range<std::size_t>("max_answer_bytes", o.max_answer_bytes, 1024, std::size_t{2} << 30);
}

} // namespace bulkhead::inline v1
