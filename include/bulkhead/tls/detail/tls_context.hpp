// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/tls/detail/openssl.hpp>
#include <bulkhead/tls/detail/session_cache.hpp>
#include <bulkhead/tls/detail/tls_stream.hpp>
#include <bulkhead/tls/detail/verification.hpp>
#include <bulkhead/tls/tls_options.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>

/// The options of TLS as OpenSSL takes them: trust, identity, sessions.
namespace bulkhead::inline v1::detail {

/// The options as OpenSSL takes them, and what a connector's connections share. Thread-safe once it is made.
class TlsContext : public std::enable_shared_from_this<TlsContext> {
public:
    /// Throws `InvalidOption`.
    explicit TlsContext(TlsOptions options) : options_{std::move(options)}, context_{SSL_CTX_new(TLS_client_method())} {
        if (auto wrong = validate(options_)) throw InvalidOption{std::move(*wrong)};
        if (!context_) throw std::bad_alloc{};
        ERR_clear_error();
        auto* const c = context_.get();
        // The system's configuration may demand more, but not less.
        SSL_CTX_set_min_proto_version(
            c, std::max<int>(TLS1_2_VERSION, static_cast<int>(SSL_CTX_get_min_proto_version(c))));
        SSL_CTX_set_security_level(c, std::max(1, SSL_CTX_get_security_level(c)));
        SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        static constexpr unsigned char protocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
        SSL_CTX_set_alpn_protos(c, protocols, sizeof protocols);
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c, &TlsContext::on_session);
        SSL_CTX_set_client_cert_cb(c, &TlsContext::on_certificate_requested);
        trust();
        identify();
        options_.key_password.reset();
    }
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    ~TlsContext() = default;

    /// Throws `std::bad_alloc`.
    template <class NextLayer>
    [[nodiscard]] TlsStream<NextLayer> make_stream(NextLayer next) {
        SslPtr ssl{SSL_new(context_.get())};
        if (!ssl) throw std::bad_alloc{};
        auto attempt = std::make_shared<TlsAttempt>();
        attempt->context = shared_from_this();
        attempt->trust = trust_source(options_);
        SSL_set_app_data(ssl.get(), attempt.get());
        SSL_set_connect_state(ssl.get());
        return TlsStream<NextLayer>{std::move(next), std::move(ssl), std::move(attempt)};
    }
    /// Requests the host by its name (SNI). As `SSL_set_tlsext_host_name`, a macro with a C cast, does.
    [[nodiscard]] static bool ask_for(SSL* ssl, const std::string& name) noexcept {
        return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                        const_cast<char*>(name.c_str())) == 1; // NOLINT: it is only read
    }
    /// Called before the handshake: sets the host to verify, and resumes its last session. False when no host can have
    /// such a name.
    [[nodiscard]] bool expect(SSL* ssl, const std::string& host, const std::string& port) {
        auto& attempt = attempt_of(ssl);
        attempt.name = tls_name(options_.server_name.empty() ? host : options_.server_name);
        attempt.server = host + ' ' + port;
        const auto& name = attempt.name.text;
        if (name.empty() || name.size() > 253 || name.find('\0') != std::string::npos) return false;
        auto* const param = SSL_get0_param(ssl);
        X509_VERIFY_PARAM_set_hostflags(param,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        const bool set = attempt.name.is_address
                             ? X509_VERIFY_PARAM_set1_ip_asc(param, name.c_str()) == 1
                             : X509_VERIFY_PARAM_set1_host(param, name.data(), name.size()) == 1 && ask_for(ssl, name);
        ERR_clear_error();
        if (!set) return false;
        if (const auto session = sessions_.find(attempt.server)) SSL_set_session(ssl, session.get());
        return true;
    }

private:
    void trust() {
        auto* const c = context_.get();
        if (options_.verification == TlsVerification::none_this_is_insecure) {
            SSL_CTX_set_verify(c, SSL_VERIFY_NONE, nullptr);
            return;
        }
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER, &on_verified);
        if (!options_.ca_fingerprint.empty()) {
            pin_ = *parse_fingerprint(options_.ca_fingerprint);
            SSL_CTX_set_cert_verify_callback(c, &verify_pinned, &pin_);
            return;
        }
        if (options_.ca_file.empty() && options_.ca_pem.empty()) {
            SSL_CTX_set_default_verify_paths(c);
            ERR_clear_error();
            return;
        }
        // A listed certificate is a trust anchor even if it is not a root.
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c), X509_V_FLAG_PARTIAL_CHAIN);
        if (!options_.ca_file.empty() && SSL_CTX_load_verify_file(c, options_.ca_file.c_str()) != 1)
            refuse("ca_file", "a PEM file with certificates", options_.ca_file);
        if (!options_.ca_pem.empty()) trust_text();
    }
    void trust_text() {
        const BioPtr bio{BIO_new_mem_buf(options_.ca_pem.data(), length_of(options_.ca_pem))};
        int found = 0;
        while (const X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, &TlsContext::no_password, nullptr)}) {
            if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), certificate.get()) != 1) break;
            ++found;
        }
        const auto error = ERR_peek_last_error();
        if (found == 0 || ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
            refuse("ca_pem", "certificates in PEM", "a text of " + std::to_string(options_.ca_pem.size()) + " bytes");
        ERR_clear_error();
    }
    void identify() {
        auto* const c = context_.get();
        // OpenSSL would ask on the terminal.
        SSL_CTX_set_default_passwd_cb(c, &TlsContext::on_password_requested);
        if (options_.certificate_file.empty()) return;
        SecretSource::Answer password;
        if (options_.key_password) password = options_.key_password->ask();
        if (!password.problem.empty()) throw InvalidOption{{"key_password", "a password", password.problem}};
        SSL_CTX_set_default_passwd_cb_userdata(c, &password.secret);
        if (SSL_CTX_use_certificate_chain_file(c, options_.certificate_file.c_str()) != 1)
            refuse("certificate_file", "a PEM file with our certificate", options_.certificate_file);
        const bool same_file = options_.key_file.empty();
        const auto& key_file = same_file ? options_.certificate_file : options_.key_file;
        if (SSL_CTX_use_PrivateKey_file(c, key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_check_private_key(c) != 1)
            refuse(same_file ? "certificate_file" : "key_file",
                   std::string{"a PEM file with the private key of our certificate"} +
                       (options_.key_password ? ", and key_password its password" : ""),
                   key_file);
        SSL_CTX_set_default_passwd_cb_userdata(c, nullptr);
    }
    [[noreturn]] static void refuse(std::string field, std::string limit, const std::string& value) {
        throw InvalidOption{{std::move(field), std::move(limit), printable(value) + " (" + take_tls_reason() + ")"}};
    }
    static int length_of(const std::string& text) noexcept {
        return static_cast<int>(std::min<std::size_t>(text.size(), std::numeric_limits<int>::max()));
    }

    // ---- What OpenSSL calls ----

    static int no_password(char* /*to*/, int /*size*/, int /*writing*/, void* /*data*/) noexcept { return -1; }
    static int on_password_requested(char* to, int size, int /*writing*/, void* data) noexcept {
        if (data == nullptr) return -1;
        const auto password = static_cast<const Secret*>(data)->reveal();
        if (password.empty() || password.size() > static_cast<std::size_t>(size)) return -1;
        std::copy(password.begin(), password.end(), to);
        return static_cast<int>(password.size());
    }
    static int on_certificate_requested(SSL* ssl, X509** /*certificate*/, EVP_PKEY** /*key*/) noexcept {
        attempt_of(ssl).certificate_requested = true;
        return 0;
    }
    static int on_session(SSL* ssl, SSL_SESSION* session) noexcept {
        try {
            const auto& attempt = attempt_of(ssl);
            SSL_SESSION_up_ref(session);
            attempt.context->sessions_.keep(attempt.server, SessionPtr{session});
        } catch (const std::exception&) { // no memory: then the next handshake is a long one
        }
        return 0; // OpenSSL gives up its own share
    }
    TlsOptions options_;
    Fingerprint pin_{};
    TlsSessions sessions_;
    SslContextPtr context_;
};

} // namespace bulkhead::inline v1::detail
