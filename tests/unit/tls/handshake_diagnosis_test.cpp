// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/tls/detail/handshake_diagnosis.hpp>

#include <string>

using namespace bulkhead;

namespace {

namespace tls = bulkhead::detail;

/// A certificate that is not signed: only its texts matter.
tls::X509Ptr certificate_for(const std::string& names) {
    tls::X509Ptr certificate{X509_new()};
    auto* const subject = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("search\n1"), -1, -1,
                               0);
    ASN1_TIME_set_string(X509_getm_notBefore(certificate.get()), "20300102030405Z");
    ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "20200102030405Z");
    if (names.empty()) return certificate;
    auto* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    REQUIRE(extension != nullptr);
    X509_add_ext(certificate.get(), extension, -1);
    X509_EXTENSION_free(extension);
    return certificate;
}
std::string why(const X509* certificate, int error, tls::TrustSource trust = tls::TrustSource::system) {
    return tls::why_untrusted({error, 1, certificate}, "search.example\n", trust);
}
unsigned long alert(int number) { return ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + number); }
std::string why_failed(unsigned long code, bool requested = false, bool given = false) {
    tls::HandshakeFailure failure;
    failure.tls_error = code;
    failure.text = "as it is";
    failure.first_bytes = "\x15\x03\x03";
    failure.certificate_requested = requested;
    failure.certificate_given = given;
    return tls::why_handshake_failed(failure);
}

} // namespace

TEST_CASE("the hosts of a certificate are named, the first few of them") {
    CHECK(tls::names_of(certificate_for("").get()).empty());
    CHECK(tls::names_of(certificate_for("DNS:a.example,email:b@example,IP:127.0.0.1,IP:2001:db8::1").get()) ==
          "a.example, 127.0.0.1, 2001:db8::1");
    CHECK(tls::names_of(certificate_for("DNS:a,DNS:b,DNS:c,DNS:d,DNS:e,DNS:f,IP:10.0.0.1").get()) ==
          "a, b, c, d, e and 2 more");
}

TEST_CASE("only four or sixteen bytes are an address") {
    const unsigned char bytes[17]{1, 2, 3, 4};
    CHECK(tls::address_text(bytes, 4) == "1.2.3.4");
    CHECK(tls::address_text(bytes, 16) == "102:304::");
    for (const std::size_t size : {0U, 3U, 5U, 15U, 17U}) CHECK(tls::address_text(bytes, size).empty());
}

TEST_CASE("a certificate of another host is said to be one, without control characters") {
    const auto named = certificate_for("DNS:other.example");
    CHECK(why(named.get(), X509_V_ERR_HOSTNAME_MISMATCH) ==
          "the certificate is not for search.example  but for other.example");
    CHECK(why(certificate_for("").get(), X509_V_ERR_IP_ADDRESS_MISMATCH) ==
          "the certificate is not for search.example  but for no host (a common name does not count, only subject "
          "alternative names)");
    CHECK(why(nullptr, X509_V_ERR_HOSTNAME_MISMATCH).find("no host") != std::string::npos);
}

TEST_CASE("a certificate out of its dates is named with its date") {
    const auto certificate = certificate_for("");
    const auto expired = why(certificate.get(), X509_V_ERR_CERT_HAS_EXPIRED);
    CHECK(expired.find("(depth 1, CN=search\\0A1): it was valid until Jan  2 03:04:05 2020 GMT") != std::string::npos);
    CHECK(why(certificate.get(), X509_V_ERR_CERT_NOT_YET_VALID).find("it is valid from Jan  2 03:04:05 2030 GMT") !=
          std::string::npos);
}

TEST_CASE("a missing authority is said to be missing where the options say it should be") {
    using tls::TrustSource;
    const auto certificate = certificate_for("");
    const auto missing = [&](TrustSource trust) {
        return why(certificate.get(), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, trust);
    };
    CHECK(missing(TrustSource::files).ends_with(": its authority is not in TlsOptions::ca_file"));
    CHECK(missing(TrustSource::system).ends_with("set TlsOptions::ca_file or ca_fingerprint"));
    CHECK(missing(TrustSource::fingerprint).find("authority") == std::string::npos);
    CHECK(why(certificate.get(), X509_V_ERR_CERT_REVOKED).find("authority") == std::string::npos);
}

TEST_CASE("an alert that refuses us is told from every other alert") {
    CHECK(tls::alert_of(alert(SSL_AD_UNKNOWN_CA)) == SSL_AD_UNKNOWN_CA);
    CHECK(tls::alert_of(0) == -1);
    CHECK(tls::alert_of(ERR_PACK(ERR_LIB_SSL, 0, SSL_R_WRONG_VERSION_NUMBER)) == -1);
    CHECK(tls::alert_of(ERR_PACK(ERR_LIB_PEM, 0, SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA)) == -1);
    CHECK(tls::refuses_us(alert(SSL_AD_CERTIFICATE_REQUIRED)));
    CHECK(tls::refuses_us(alert(SSL_AD_HANDSHAKE_FAILURE)));
    CHECK_FALSE(tls::refuses_us(alert(SSL_AD_INTERNAL_ERROR)));
    CHECK_FALSE(tls::refuses_us(alert(SSL_AD_PROTOCOL_VERSION)));
    CHECK_FALSE(tls::refuses_us(0));
}

TEST_CASE("what ended a handshake is said with what to do about it") {
    const auto refused = alert(SSL_AD_CERTIFICATE_REQUIRED);
    CHECK(why_failed(refused, true).ends_with("; set TlsOptions::certificate_file and key_file"));
    CHECK(why_failed(refused, false, true).starts_with("the server does not accept our client certificate ("));
    CHECK(why_failed(refused).starts_with("the server refuses the TLS handshake ("));
    CHECK(why_failed(alert(SSL_AD_PROTOCOL_VERSION)) == "the server speaks no TLS of version 1.2 or newer");
    CHECK(why_failed(alert(SSL_AD_INTERNAL_ERROR)).starts_with("the server ended the TLS handshake ("));
    CHECK(why_failed(ERR_PACK(ERR_LIB_SSL, 0, SSL_R_WRONG_VERSION_NUMBER)) ==
          "the server does not speak TLS on this port");
    CHECK(why_failed(ERR_PACK(ERR_LIB_SSL, 0, SSL_R_BAD_LENGTH)) == "as it is");
    CHECK(why_failed(0) == "as it is");
}

TEST_CASE("a peer that does not speak TLS is told by its first bytes") {
    tls::HandshakeFailure failure;
    failure.hung_up = true;
    CHECK(tls::why_handshake_failed(failure).find("does it speak TLS on this port?") != std::string::npos);
    failure.first_bytes = "\x16";
    CHECK(tls::why_handshake_failed(failure) == "the server hung up in the middle of the TLS handshake");
    failure.first_bytes = "HTTP/";
    CHECK(tls::why_handshake_failed(failure) == "the server speaks plain HTTP on this port");
}
