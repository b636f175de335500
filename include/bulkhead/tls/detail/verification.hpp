// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/tls/detail/fingerprint.hpp>
#include <bulkhead/tls/detail/handshake_diagnosis.hpp>
#include <bulkhead/tls/detail/openssl.hpp>
#include <bulkhead/tls/tls_options.hpp>

#include <boost/asio/ip/address.hpp>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

/// What a server's certificate is verified against, and how: by trust anchors or by a fingerprint.
namespace bulkhead::inline v1::detail {

/// What a certificate is verified against: a name without the dot at its end, or an address without its zone.
struct TlsName {
    std::string text;
    bool is_address = false;
};
[[nodiscard]] inline TlsName tls_name(std::string_view host) {
    const auto address_part = host.substr(0, host.find('%'));
    error_code no_address;
    (void)boost::asio::ip::make_address(std::string{address_part}, no_address);
    if (!no_address) return {std::string{address_part}, true};
    if (!host.empty() && host.back() == '.') host.remove_suffix(1);
    return {std::string{host}, false};
}

/// Which certificates the options make trust anchors.
[[nodiscard]] inline TrustSource trust_source(const TlsOptions& o) noexcept {
    if (!o.ca_file.empty() || !o.ca_pem.empty()) return TrustSource::files;
    return o.ca_fingerprint.empty() ? TrustSource::system : TrustSource::fingerprint;
}

/// What is recorded about one connection while it is made; its `SSL` points here.
struct TlsAttempt {
    std::shared_ptr<class TlsContext> context;
    TlsName name;         ///< what the certificate is verified against
    std::string server;   ///< whose session it is
    std::string distrust; ///< why the certificate was not trusted
    TrustSource trust{};
    bool certificate_requested = false; ///< the server requested ours, and there is none
};
[[nodiscard]] inline TlsAttempt& attempt_of(const SSL* ssl) noexcept {
    return *static_cast<TlsAttempt*>(SSL_get_app_data(ssl));
}
[[nodiscard]] inline TlsAttempt& attempt_of(X509_STORE_CTX* store) noexcept {
    return attempt_of(static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())));
}

template <class F>
void note_distrust(X509_STORE_CTX* store, F why) noexcept {
    try {
        auto& distrust = attempt_of(store).distrust;
        if (distrust.empty()) distrust = why();
    } catch (const std::exception&) { // no memory: then without a word
    }
}
/// OpenSSL calls it at each step of a verification.
inline int on_verified(int verified, X509_STORE_CTX* store) noexcept {
    if (verified == 1) return 1;
    note_distrust(store, [store] {
        const auto& attempt = attempt_of(store);
        return why_untrusted({X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_error_depth(store),
                              X509_STORE_CTX_get_current_cert(store)},
                             attempt.name.text, attempt.trust);
    });
    return 0;
}
/// OpenSSL calls it instead of a verification by trust anchors. `pin`: the fingerprint of the one that is trusted.
inline int verify_pinned(X509_STORE_CTX* store, void* pin) noexcept {
    const auto& wanted = *static_cast<const Fingerprint*>(pin);
    STACK_OF(X509)* const sent = X509_STORE_CTX_get0_untrusted(store);
    X509* anchor = nullptr;
    for (int i = 0; i < sk_X509_num(sent) && anchor == nullptr; ++i) {
        Fingerprint found{};
        unsigned size = 0;
        auto* const certificate = sk_X509_value(sent, i);
        if (X509_digest(certificate, EVP_sha256(), found.data(), &size) == 1 && size == found.size() && found == wanted)
            anchor = certificate;
    }
    STACK_OF(X509)* const anchors = sk_X509_new_null();
    int verified = 0;
    if (anchor != nullptr && anchors != nullptr && sk_X509_push(anchors, anchor) > 0) {
        X509_STORE_CTX_set0_trusted_stack(store, anchors);
        X509_STORE_CTX_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
        verified = X509_verify_cert(store) == 1 ? 1 : 0;
        X509_STORE_CTX_set0_trusted_stack(store, nullptr);
    } else {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
        note_distrust(store, [&] {
            return "none of the " + std::to_string(sk_X509_num(sent)) +
                   " certificates that the server sent has the fingerprint of TlsOptions::ca_fingerprint";
        });
    }
    sk_X509_free(anchors);
    return verified;
}

} // namespace bulkhead::inline v1::detail
