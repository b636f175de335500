// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/tls/detail/tls_stream.hpp>

#include <boost/asio/ip/address.hpp>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

/// Whom to trust, who we are, and why a server was not trusted.
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

namespace detail {

using Fingerprint = std::array<unsigned char, 32>; ///< SHA-256

/// 64 hexadecimal digits, in pairs with or without colons between them.
[[nodiscard]] inline std::optional<Fingerprint> parse_fingerprint(std::string_view text) noexcept {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    Fingerprint out{};
    const std::size_t step = text.size() == out.size() * 3 - 1 ? 3 : 2;
    if (text.size() != out.size() * step - (step - 2)) return std::nullopt;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = digit(text[i * step]);
        const int low = digit(text[i * step + 1]);
        if (high < 0 || low < 0 || (i != 0 && step == 3 && text[i * step - 1] != ':')) return std::nullopt;
        out[i] = static_cast<unsigned char>(high * 16 + low);
    }
    return out;
}

/// What a certificate is verified against: a name without the dot at its end, or an address without its zone.
struct TlsName {
    std::string text;
    bool is_address = false;
};
[[nodiscard]] inline TlsName tls_name(std::string_view host) {
    const auto address_part = host.substr(0, host.find('%'));
    error_code no_address;
    (void)asio::ip::make_address(std::string{address_part}, no_address);
    if (!no_address) return {std::string{address_part}, true};
    if (!host.empty() && host.back() == '.') host.remove_suffix(1);
    return {std::string{host}, false};
}

/// The first option that cannot be, as far as can be told without reading files.
[[nodiscard]] inline std::optional<FieldError> validate(const TlsOptions& o) {
    const bool own_authority = !o.ca_file.empty() || !o.ca_pem.empty();
    if (!o.ca_fingerprint.empty()) {
        if (!parse_fingerprint(o.ca_fingerprint))
            return FieldError{"ca_fingerprint", "64 hexadecimal digits (SHA-256), with or without colons",
                              printable(o.ca_fingerprint)};
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
        return FieldError{"server_name", "a host name of visible ASCII", printable(o.server_name)};
    return std::nullopt;
}

using SslContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;

/// What OpenSSL's oldest noted error says; none is left.
[[nodiscard]] inline std::string take_tls_reason() {
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
    const auto* const reason = ERR_reason_error_string(code);
    return reason == nullptr ? "OpenSSL gives no reason" : reason;
}

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
/// The hosts that a certificate is for, the first few of them.
[[nodiscard]] inline std::string names_of(const X509* certificate) {
    constexpr int most = 5;
    const std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> names{
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
    std::string out;
    int hosts = 0;
    for (int i = 0; i < count; ++i) {
        const auto* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
        if (++hosts > most) continue;
        const auto* const value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
        const auto* const data = ASN1_STRING_get0_data(value);
        const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
        if (!out.empty()) out += ", ";
        if (name->type == GEN_DNS) {
            out += printable({reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 64)});
        } else if (asio::ip::address_v4::bytes_type v4; size == v4.size()) {
            std::memcpy(v4.data(), data, size);
            out += asio::ip::address_v4{v4}.to_string();
        } else if (asio::ip::address_v6::bytes_type v6; size == v6.size()) {
            std::memcpy(v6.data(), data, size);
            out += asio::ip::address_v6{v6}.to_string();
        }
    }
    if (hosts > most) out += " and " + std::to_string(hosts - most) + " more";
    return out;
}

/// The number of the alert with which the peer ended the handshake or the connection; -1 when it was not an alert.
[[nodiscard]] inline int alert_of(const error_code& error) noexcept {
    if (error.category() != asio::error::get_ssl_category()) return -1;
    const auto code = static_cast<unsigned>(error.value());
    const int reason = ERR_GET_REASON(code);
    return ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
}
/// The peer does not want us: it says nothing of the kind for any other reason.
[[nodiscard]] inline bool refuses_us(const error_code& error) noexcept {
    switch (alert_of(error)) {
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
/// `heard`: the first bytes that the server sent.
[[nodiscard]] inline std::string why_handshake_failed(const error_code& error, std::string_view heard,
                                                      bool certificate_asked, bool certificate_given) {
    if (heard == "HTTP/") return "the server speaks plain HTTP on this port";
    if (error == asio::ssl::error::stream_truncated || error == asio::error::eof)
        return heard.empty() ? "the server hung up without a word of TLS; does it speak TLS on this port?"
                             : "the server hung up in the middle of the TLS handshake";
    if (error.category() != asio::error::get_ssl_category()) return printable(error.message());
    const int alert = alert_of(error);
    const int reason = ERR_GET_REASON(static_cast<unsigned>(error.value()));
    if (refuses_us(error)) {
        const std::string said = SSL_alert_desc_string_long(alert);
        if (certificate_asked)
            return "the server wants a client certificate (" + said +
                   "); set TlsOptions::certificate_file and key_file";
        if (certificate_given) return "the server does not accept our client certificate (" + said + ")";
        return "the server refuses the TLS handshake (" + said + ")";
    }
    if (alert == SSL_AD_PROTOCOL_VERSION || reason == SSL_R_UNSUPPORTED_PROTOCOL)
        return "the server speaks no TLS of version 1.2 or newer";
    if (alert >= 0)
        return std::string{"the server ended the TLS handshake ("} + SSL_alert_desc_string_long(alert) + ")";
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        return "the server does not speak TLS on this port";
    return printable(error.message());
}

/// The newest session of each server, so that the next connection to it needs a short handshake only. Thread-safe.
class TlsSessions {
public:
    void keep(const std::string& server, SessionPtr session) {
        const std::lock_guard lock{mutex_};
        if (sessions_.size() == most && sessions_.count(server) == 0) sessions_.erase(sessions_.begin());
        sessions_[server].swap(session); // and the old one is freed outside the lock
    }
    /// Shares it; null when there is none that can be used.
    [[nodiscard]] SessionPtr find(const std::string& server) {
        const std::lock_guard lock{mutex_};
        const auto found = sessions_.find(server);
        if (found == sessions_.end() || SSL_SESSION_is_resumable(found->second.get()) == 0) return nullptr;
        SSL_SESSION_up_ref(found->second.get());
        return SessionPtr{found->second.get()};
    }
    [[nodiscard]] bool knows(const std::string& server) {
        const std::lock_guard lock{mutex_};
        return sessions_.count(server) != 0;
    }

private:
    static constexpr std::size_t most = 64;
    std::mutex mutex_;
    std::map<std::string, SessionPtr> sessions_;
};

/// What is noted about one connection while it is made; its `SSL` points here.
struct TlsAttempt {
    std::shared_ptr<class TlsContext> context;
    TlsName name;                   ///< what the certificate is verified against
    std::string server;             ///< whose session it is
    std::string distrust;           ///< why the certificate was not trusted
    bool certificate_asked = false; ///< for ours, and there is none
};

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
        SSL_CTX_set_client_cert_cb(c, &TlsContext::on_certificate_asked);
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
        SSL_set_app_data(ssl.get(), attempt.get());
        SSL_set_connect_state(ssl.get());
        return TlsStream<NextLayer>{std::move(next), std::move(ssl), std::move(attempt)};
    }
    [[nodiscard]] static TlsAttempt& attempt_of(const SSL* ssl) noexcept {
        return *static_cast<TlsAttempt*>(SSL_get_app_data(ssl));
    }
    /// Names the host that is wanted (SNI). As `SSL_set_tlsext_host_name`, a macro with a C cast, does.
    [[nodiscard]] static bool ask_for(SSL* ssl, const std::string& name) noexcept {
        return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                        const_cast<char*>(name.c_str())) == 1; // NOLINT: it is only read
    }
    /// Before the handshake: whom to expect, and what was agreed with it the last time. False when there cannot be such
    /// a host.
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
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER, &TlsContext::on_verified);
        if (!options_.ca_fingerprint.empty()) {
            pin_ = *parse_fingerprint(options_.ca_fingerprint);
            SSL_CTX_set_cert_verify_callback(c, &TlsContext::verify_pinned, &pin_);
            return;
        }
        if (options_.ca_file.empty() && options_.ca_pem.empty()) {
            SSL_CTX_set_default_verify_paths(c);
            ERR_clear_error();
            return;
        }
        // Who lists a certificate trusts it, also where it is not at the top.
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
        SSL_CTX_set_default_passwd_cb(c, &TlsContext::on_password_asked);
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
    static int on_password_asked(char* to, int size, int /*writing*/, void* data) noexcept {
        if (data == nullptr) return -1;
        const auto password = static_cast<const Secret*>(data)->reveal();
        if (password.empty() || password.size() > static_cast<std::size_t>(size)) return -1;
        std::copy(password.begin(), password.end(), to);
        return static_cast<int>(password.size());
    }
    static int on_certificate_asked(SSL* ssl, X509** /*certificate*/, EVP_PKEY** /*key*/) noexcept {
        attempt_of(ssl).certificate_asked = true;
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
    static int verify_pinned(X509_STORE_CTX* store, void* pin) noexcept {
        const auto& wanted = *static_cast<const Fingerprint*>(pin);
        STACK_OF(X509)* const sent = X509_STORE_CTX_get0_untrusted(store);
        X509* anchor = nullptr;
        for (int i = 0; i < sk_X509_num(sent) && anchor == nullptr; ++i) {
            Fingerprint found{};
            unsigned size = 0;
            auto* const certificate = sk_X509_value(sent, i);
            if (X509_digest(certificate, EVP_sha256(), found.data(), &size) == 1 && size == found.size() &&
                found == wanted)
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
            note(store, [&] {
                return "none of the " + std::to_string(sk_X509_num(sent)) +
                       " certificates that the server sent has the fingerprint of TlsOptions::ca_fingerprint";
            });
        }
        sk_X509_free(anchors);
        return verified;
    }
    static int on_verified(int verified, X509_STORE_CTX* store) noexcept {
        if (verified == 1) return 1;
        note(store, [&] { return why_untrusted(store); });
        return 0;
    }
    template <class F>
    static void note(X509_STORE_CTX* store, F why) noexcept {
        const auto* const ssl =
            static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
        try {
            auto& distrust = attempt_of(ssl).distrust;
            if (distrust.empty()) distrust = why();
        } catch (const std::exception&) { // no memory: then without a word
        }
    }
    static std::string why_untrusted(X509_STORE_CTX* store) {
        const auto* const ssl =
            static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
        const auto& attempt = attempt_of(ssl);
        const auto& options = attempt.context->options_;
        const int error = X509_STORE_CTX_get_error(store);
        const auto* const certificate = X509_STORE_CTX_get_current_cert(store);
        if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
            const auto names = certificate == nullptr ? std::string{} : names_of(certificate);
            return "the certificate is not for " + printable(attempt.name.text) + " but for " +
                   (names.empty() ? "no host (a common name does not count, only subject alternative names)" : names);
        }
        std::string out = X509_verify_cert_error_string(error);
        out +=
            " (depth " + std::to_string(X509_STORE_CTX_get_error_depth(store)) + ", " + subject_of(certificate) + ")";
        switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
            out += ": it was valid until " + text_of(X509_get0_notAfter(certificate));
            break;
        case X509_V_ERR_CERT_NOT_YET_VALID:
            out += ": it is valid from " + text_of(X509_get0_notBefore(certificate));
            break;
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
            if (!options.ca_file.empty() || !options.ca_pem.empty())
                out += ": its authority is not in TlsOptions::ca_file";
            else if (options.ca_fingerprint.empty())
                out += ": its authority is not among the system's; set TlsOptions::ca_file or ca_fingerprint";
            break;
        default: break;
        }
        return out;
    }

    TlsOptions options_;
    Fingerprint pin_{};
    TlsSessions sessions_;
    SslContextPtr context_;
};

} // namespace detail

} // namespace bulkhead::inline v1
