// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/ssl.hpp>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// A `BulkServer` behind TLS: link `bulkhead::tls`.
namespace bulkhead::inline v1::test {

/// A server's certificate, and what belongs to it.
struct TlsIdentity {
    /// The certificate in PEM, first those that lead to its authority, if any. For `TlsOptions::ca_pem` when it is
    /// self-signed.
    std::string certificate_pem;
    /// The private key in PEM, without a password.
    std::string key_pem;
    /// SHA-256 in hexadecimal digits, for `TlsOptions::ca_fingerprint`; empty when it was not made here.
    std::string fingerprint{};
};

namespace detail {

inline void check_openssl(bool done) {
    if (!done) throw std::runtime_error{"OpenSSL cannot make a certificate"};
}
/// What `write(BIO*)` writes.
template <class Write>
[[nodiscard]] std::string to_pem(Write write) {
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio{BIO_new(BIO_s_mem()), &BIO_free_all};
    check_openssl(bio != nullptr && write(bio.get()) == 1);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio.get(), &data); // NOLINT: a macro with a C cast
    return std::string{data, static_cast<std::size_t>(size)};
}
/// SHA-256 in hexadecimal digits.
[[nodiscard]] inline std::string fingerprint_of(const X509* certificate) {
    unsigned char digest[EVP_MAX_MD_SIZE]; // NOLINT
    unsigned size = 0;
    check_openssl(X509_digest(certificate, EVP_sha256(), digest, &size) == 1);
    std::string text;
    for (unsigned i = 0; i < size; ++i) {
        constexpr std::string_view digits = "0123456789abcdef";
        text += digits[digest[i] >> 4U];
        text += digits[digest[i] & 15U];
    }
    return text;
}

} // namespace detail

/// Makes a self-signed certificate for 127.0.0.1 and `localhost` that is valid for a year from yesterday on. It takes
/// microseconds. Throws `std::runtime_error` when OpenSSL cannot.
[[nodiscard]] inline TlsIdentity make_tls_identity() {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate{X509_new(), &X509_free};
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{EVP_EC_gen("P-256"), &EVP_PKEY_free}; // NOLINT
    auto* const x = certificate.get();
    detail::check_openssl(x != nullptr && key != nullptr);
    constexpr long day = 86'400;
    detail::check_openssl(X509_set_version(x, X509_VERSION_3) == 1);
    detail::check_openssl(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
    detail::check_openssl(X509_gmtime_adj(X509_getm_notBefore(x), -day) != nullptr);
    detail::check_openssl(X509_gmtime_adj(X509_getm_notAfter(x), 365 * day) != nullptr);
    detail::check_openssl(X509_set_pubkey(x, key.get()) == 1);
    constexpr unsigned char name[] = "bulkhead test server"; // NOLINT
    auto* const subject = X509_get_subject_name(x);
    detail::check_openssl(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1); // NOLINT
    detail::check_openssl(X509_set_issuer_name(x, subject) == 1);
    X509V3_CTX context;
    X509V3_set_ctx(&context, x, x, nullptr, nullptr, 0);
    for (const auto& [kind, value] :
         {std::pair{NID_basic_constraints, "CA:FALSE"}, std::pair{NID_key_usage, "critical,digitalSignature"},
          std::pair{NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost"}}) {
        const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension{
            X509V3_EXT_conf_nid(nullptr, &context, kind, value), &X509_EXTENSION_free};
        detail::check_openssl(extension != nullptr && X509_add_ext(x, extension.get(), -1) == 1);
    }
    detail::check_openssl(X509_sign(x, key.get(), EVP_sha256()) > 0);

    return {detail::to_pem([x](BIO* to) { return PEM_write_bio_X509(to, x); }), detail::to_pem([&key](BIO* to) {
                return PEM_write_bio_PKCS8PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
            }),
            detail::fingerprint_of(x)};
}

/// TLS 1.2 or 1.3 by Asio's own stream, and so by other code than the library's.
class TlsLayer {
public:
    /// What is read from and written to.
    using Stream = asio::ssl::stream<asio::ip::tcp::socket>;
    /// Of the server's URL.
    static constexpr std::string_view scheme = "https";

    /// Throws `boost::system::system_error` when certificate and key are not in PEM or do not belong together.
    explicit TlsLayer(TlsIdentity identity = make_tls_identity())
        : identity_{std::move(identity)}, context_{
                                              std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server)} {
        context_->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                              asio::ssl::context::no_tlsv1_1);
        context_->use_certificate_chain(asio::buffer(identity_.certificate_pem));
        context_->use_private_key(asio::buffer(identity_.key_pem), asio::ssl::context::pem);
    }
    /// As it was given, or made.
    [[nodiscard]] const TlsIdentity& identity() const noexcept { return identity_; }

    /// A stream over a connection.
    [[nodiscard]] Stream make_stream(asio::ip::tcp::socket socket) const {
        return Stream{std::move(socket), *context_};
    }
    /// The connection below a stream.
    [[nodiscard]] static asio::ip::tcp::socket& socket(Stream& stream) noexcept { return stream.next_layer(); }
    /// TLS's handshake.
    [[nodiscard]] static asio::awaitable<boost::system::error_code> handshake(Stream& stream) {
        boost::system::error_code error;
        co_await stream.async_handshake(asio::ssl::stream_base::server,
                                        asio::redirect_error(asio::use_awaitable, error));
        co_return error;
    }
    /// Sends `close_notify`, and does not wait for the client's.
    static void closing(Stream& stream) noexcept {
        boost::system::error_code ignored;
        stream.next_layer().non_blocking(true, ignored);
        stream.shutdown(ignored);
    }

private:
    TlsIdentity identity_;
    std::shared_ptr<asio::ssl::context> context_;
};

/// A `BulkServer` over HTTPS. Its own certificate, unless it is given another, is `layer().identity()`:
///
///     TlsBulkServer server{{.authorization = "ApiKey a2V5"}};
///     TlsOptions tls{.ca_pem = server.layer().identity().certificate_pem};
using TlsBulkServer = BasicBulkServer<TlsLayer>;

} // namespace bulkhead::inline v1::test
