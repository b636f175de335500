// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/tls/detail/openssl.hpp>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/// Why a handshake failed or a certificate is not trusted, in a sentence for an operator. Pure.
namespace bulkhead::inline v1::detail {

[[nodiscard]] inline std::string text_of(BIO* bio) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio, &data);
    return printable({data, static_cast<std::size_t>(size)});
}
[[nodiscard]] inline std::string subject_of(const X509* certificate) {
    const BioPtr bio{BIO_new(BIO_s_mem())};
    if (!bio || certificate == nullptr) return {};
    X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    return text_of(bio.get()).substr(0, 128);
}
[[nodiscard]] inline std::string text_of(const ASN1_TIME* time) {
    const BioPtr bio{BIO_new(BIO_s_mem())};
    if (!bio || time == nullptr) return {};
    ASN1_TIME_print(bio.get(), time);
    return text_of(bio.get());
}
/// An IPv4 or IPv6 address in its binary form as text; empty when it is neither.
[[nodiscard]] inline std::string address_text(const unsigned char* data, std::size_t size) {
    char text[INET6_ADDRSTRLEN]{};
    const int family = size == 4 ? AF_INET : AF_INET6;
    if ((size != 4 && size != 16) || ::inet_ntop(family, data, text, sizeof text) == nullptr) return {};
    return text;
}
/// The hosts that a certificate is for, the first few of them.
[[nodiscard]] inline std::string names_of(const X509* certificate) {
    constexpr int max_hosts = 5;
    const std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> names{
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
    std::string out;
    int hosts = 0;
    for (int i = 0; i < count; ++i) {
        const auto* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
        if (++hosts > max_hosts) continue;
        const auto* const value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
        const auto* const data = ASN1_STRING_get0_data(value);
        const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
        if (!out.empty()) out += ", ";
        if (name->type == GEN_DNS)
            out += printable({reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 64)});
        else
            out += address_text(data, size);
    }
    if (hosts > max_hosts) out += " and " + std::to_string(hosts - max_hosts) + " more";
    return out;
}

/// Which certificates are trust anchors.
enum class TrustSource : std::uint8_t { system, files, fingerprint };

/// What the verification of a chain ended with, at one of its certificates.
struct VerifyFailure {
    int error = X509_V_OK; ///< `X509_V_ERR_…`
    int depth = 0;
    const X509* certificate = nullptr;
};

/// `host`: the name or address that the certificate was verified against.
[[nodiscard]] inline std::string why_untrusted(const VerifyFailure& failure, std::string_view host, TrustSource trust) {
    const int error = failure.error;
    const auto* const certificate = failure.certificate;
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        const auto names = certificate == nullptr ? std::string{} : names_of(certificate);
        return "the certificate is not for " + printable(host) + " but for " +
               (names.empty() ? "no host (a common name does not count, only subject alternative names)" : names);
    }
    std::string out = X509_verify_cert_error_string(error);
    out += " (depth " + std::to_string(failure.depth) + ", " + subject_of(certificate) + ")";
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return out + ": it was valid until " + text_of(X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID: return out + ": it is valid from " + text_of(X509_get0_notBefore(certificate));
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        if (trust == TrustSource::files) return out + ": its authority is not in TlsOptions::ca_file";
        if (trust == TrustSource::system)
            return out + ": its authority is not among the system's; set TlsOptions::ca_file or ca_fingerprint";
        return out;
    default: return out;
    }
}

/// The number of the alert by which the peer ended the handshake or the connection; -1 when `code`, an error code of
/// OpenSSL or 0, is no alert.
[[nodiscard]] inline int alert_of(unsigned long code) noexcept {
    const int reason = ERR_GET_REASON(code);
    return ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
}
/// Whether the alert refuses us as a client: it is sent for no other reason.
[[nodiscard]] inline bool refuses_us(unsigned long code) noexcept {
    switch (alert_of(code)) {
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
    }
}

/// How a handshake failed.
struct HandshakeFailure {
    unsigned long tls_error = 0;        ///< OpenSSL's error code; 0 when the error is another's
    bool hung_up = false;               ///< the peer ended the connection
    std::string_view text;              ///< of the error, as its category words it
    std::string_view first_bytes;       ///< of the peer
    bool certificate_requested = false; ///< the server requested ours, and there is none
    bool certificate_given = false;     ///< there is one of ours
};

[[nodiscard]] inline std::string why_handshake_failed(const HandshakeFailure& failure) {
    if (failure.first_bytes == "HTTP/") return "the server speaks plain HTTP on this port";
    if (failure.hung_up)
        return failure.first_bytes.empty() ? "the server hung up without a word of TLS; does it speak TLS on this port?"
                                           : "the server hung up in the middle of the TLS handshake";
    if (failure.tls_error == 0) return printable(failure.text);
    const int alert = alert_of(failure.tls_error);
    const int reason = ERR_GET_REASON(failure.tls_error);
    if (refuses_us(failure.tls_error)) {
        const std::string meaning = SSL_alert_desc_string_long(alert);
        if (failure.certificate_requested)
            return "the server wants a client certificate (" + meaning +
                   "); set TlsOptions::certificate_file and key_file";
        if (failure.certificate_given) return "the server does not accept our client certificate (" + meaning + ")";
        return "the server refuses the TLS handshake (" + meaning + ")";
    }
    if (alert == SSL_AD_PROTOCOL_VERSION || reason == SSL_R_UNSUPPORTED_PROTOCOL)
        return "the server speaks no TLS of version 1.2 or newer";
    if (alert >= 0)
        return std::string{"the server ended the TLS handshake ("} + SSL_alert_desc_string_long(alert) + ")";
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        return "the server does not speak TLS on this port";
    return printable(failure.text);
}

} // namespace bulkhead::inline v1::detail
