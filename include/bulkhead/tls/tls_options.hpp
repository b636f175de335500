// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/tls/detail/fingerprint.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

/// The options of TLS: which servers are trusted, and our own certificate.
namespace bulkhead::inline v1 {

/// Whether the server has to prove who it is.
enum class TlsVerification : std::uint8_t {
    full, ///< its certificate's chain, dates and host name
    /// Nothing: anybody in between can read and change everything, passwords and keys included. No URL, environment
    /// variable or default leads here.
    none_this_is_insecure,
};

/// How TLS is done. The version is 1.2 or 1.3, ciphers are OpenSSL's own choice but never without encryption or
/// authentication (security level 1 at least), and there is no renegotiation, compression or early data; the system's
/// OpenSSL configuration can only be stricter. Revocation is not looked up.
///
/// Files are read at construction of the connector (`InvalidOption`), and again before a new connection when their
/// content has changed; the system's authorities and texts are read once. All files are taken together or not at all:
/// while one does not parse, or a certificate comes without its key, the old ones stay in use, and
/// `on_files_changed` is called. Connections that exist go on until `HttpOptions::connection_max_age`.
struct TlsOptions {
    /// A PEM file with the certificates to trust, instead of the system's. Each is trusted for what it is, whether it
    /// is self-signed, an authority below another, or the server's own. When to change: when your cluster has an
    /// authority of its own, the usual case.
    std::string ca_file{};
    /// The same as the text itself. Both may be given. When to change: when the certificate comes from a secret store,
    /// not from a file.
    std::string ca_pem{};
    /// The SHA-256 fingerprint of a certificate, 64 hexadecimal digits with or without colons, as Elasticsearch prints
    /// at its set-up: the only one that is trusted, instead of the system's. The server has to send it in its chain (as
    /// Elasticsearch does with its authority's); chain, dates and host name are verified as ever. When to change: for
    /// an Elasticsearch that made its own certificates at set-up: one line instead of a file.
    std::string ca_fingerprint{};
    /// Our own certificate for servers that ask for one: a PEM file with it first, then those that lead to its
    /// authority. When to change: when the server wants a client certificate (PKI realm, mutual TLS).
    std::string certificate_file{};
    /// The PEM file of its private key; `certificate_file` where empty. When to change: when the key is not in
    /// `certificate_file`.
    std::string key_file{};
    /// The key's password, where it has one: from a file, the environment, a callback, or as it is. Asked each time
    /// the key is read. When to change: when the key has one.
    std::optional<SecretSource> key_password{};
    /// The name, or the address, that the server's certificate is verified against and that is asked for (SNI), where
    /// it is not the URL's. Visible ASCII, at most 253 bytes. When to change: for a tunnel or a port that is forwarded.
    std::string server_name{};
    /// Whether the server has to prove who it is. When to change: never in production; for a self-signed server set
    /// `ca_fingerprint`.
    TlsVerification verification = TlsVerification::full;
    /// Called after files were read again because their content had changed. `problem` is empty when they are in use;
    /// otherwise it says why the old ones stay in use, and is fit for a log. Once for each content, on the thread that
    /// makes a connection. Must neither block, throw nor use the transport. When to change: for a log, and for an
    /// alert before the old certificate expires.
    std::function<void(const std::string& problem)> on_files_changed{};
};

/// The first option that cannot be, as far as can be told without reading files.
[[nodiscard]] inline std::optional<FieldError> validate(const TlsOptions& o) {
    const bool own_authority = !o.ca_file.empty() || !o.ca_pem.empty();
    if (!o.ca_fingerprint.empty()) {
        if (!detail::parse_fingerprint(o.ca_fingerprint))
            return FieldError{"ca_fingerprint", "64 hexadecimal digits (SHA-256), with or without colons",
                              detail::printable(o.ca_fingerprint)};
        if (own_authority)
            return FieldError{"ca_fingerprint", "either this or ca_file or ca_pem", "more than one of them"};
    }
    if (o.verification != TlsVerification::full && (own_authority || !o.ca_fingerprint.empty()))
        return FieldError{"verification", "full when ca_file, ca_pem or ca_fingerprint is given",
                          "none_this_is_insecure"};
    if (o.certificate_file.empty() && !o.key_file.empty())
        return FieldError{"certificate_file", "the certificate of key_file", "nothing"};
    const auto visible = [](char c) { return c > ' ' && c < '\x7f'; };
    if (!std::all_of(o.server_name.begin(), o.server_name.end(), visible) || o.server_name.size() > 253)
        return FieldError{"server_name", "a host name of visible ASCII", detail::printable(o.server_name)};
    return std::nullopt;
}

} // namespace bulkhead::inline v1
