// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

/// Certificates made when a test needs them. Keys are of the curve P-256: to make one takes microseconds.
namespace certificates {

inline void must(bool done, const char* what) {
    if (!done) throw std::runtime_error{std::string{"certificates: "} + what};
}

/// A certificate and its key. Copies share them.
struct Identity {
    std::shared_ptr<X509> certificate;
    std::shared_ptr<EVP_PKEY> key;

    [[nodiscard]] std::string pem() const {
        return text([&](BIO* to) { return PEM_write_bio_X509(to, certificate.get()); });
    }
    [[nodiscard]] std::string key_pem(const std::string& password = {}) const {
        return text([&](BIO* to) {
            auto* const bytes = const_cast<char*>(password.data());
            return password.empty()
                       ? PEM_write_bio_PKCS8PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr)
                       : PEM_write_bio_PKCS8PrivateKey(to, key.get(), EVP_aes_128_cbc(), bytes,
                                                       static_cast<int>(password.size()), nullptr, nullptr);
        });
    }
    /// SHA-256, as Elasticsearch prints it; with a `separator`, as OpenSSL does.
    [[nodiscard]] std::string fingerprint(const std::string& separator = {}) const {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        must(X509_digest(certificate.get(), EVP_sha256(), digest, &size) == 1, "digest");
        std::string out;
        for (unsigned i = 0; i < size; ++i) {
            constexpr std::string_view digits = "0123456789abcdef";
            if (i != 0) out += separator;
            out += digits[digest[i] >> 4U];
            out += digits[digest[i] & 15U];
        }
        return out;
    }

private:
    template <class F>
    static std::string text(F write) {
        const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio{BIO_new(BIO_s_mem()), &BIO_free_all};
        must(write(bio.get()) == 1, "PEM");
        char* data = nullptr;
        const auto size = BIO_get_mem_data(bio.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }
};

struct Wanted {
    std::string common_name = "test";
    /// As in OpenSSL's configuration: `DNS:a.example,IP:127.0.0.1`; none when empty.
    std::string names{};
    bool authority = false;
    long from = -3600; ///< seconds from now
    long until = 3600;
    const Identity* issuer = nullptr; ///< itself where null
};

inline Identity make(const Wanted& wanted) {
    static std::atomic<long> serial{0x10000};
    Identity made{{X509_new(), &X509_free}, {EVP_EC_gen("P-256"), &EVP_PKEY_free}};
    auto* const x = made.certificate.get();
    must(x != nullptr && made.key != nullptr, "new");
    auto* const issuer = wanted.issuer != nullptr ? wanted.issuer->certificate.get() : x;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), wanted.from);
    X509_gmtime_adj(X509_getm_notAfter(x), wanted.until);
    must(X509_set_pubkey(x, made.key.get()) == 1, "key");
    auto* const name = X509_get_subject_name(x);
    const auto* const common_name = reinterpret_cast<const unsigned char*>(wanted.common_name.c_str());
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, common_name, -1, -1, 0) == 1, "name");
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1, "issuer");
    const auto extend = [&](int nid, const std::string& value) {
        X509V3_CTX context;
        X509V3_set_ctx(&context, issuer, x, nullptr, nullptr, 0);
        const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension{
            X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), &X509_EXTENSION_free};
        must(extension != nullptr && X509_add_ext(x, extension.get(), -1) == 1, value.c_str());
    };
    extend(NID_basic_constraints, wanted.authority ? "critical,CA:TRUE" : "CA:FALSE");
    extend(NID_key_usage, wanted.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    extend(NID_subject_key_identifier, "hash");
    if (wanted.issuer != nullptr) extend(NID_authority_key_identifier, "keyid:always");
    if (!wanted.names.empty()) extend(NID_subject_alt_name, wanted.names);
    auto* const signer = wanted.issuer != nullptr ? wanted.issuer->key.get() : made.key.get();
    must(X509_sign(x, signer, EVP_sha256()) > 0, "sign");
    return made;
}

/// What most tests need, made once.
struct House {
    Identity authority = make({.common_name = "test authority", .authority = true});
    Identity intermediate = make({.common_name = "test intermediate", .authority = true, .issuer = &authority});
    Identity stranger = make({.common_name = "another authority", .authority = true});
    Identity server = make({.common_name = "server", .names = "DNS:search.example,IP:127.0.0.1", .issuer = &authority});
    Identity client = make({.common_name = "client", .issuer = &authority});

    static const House& get() {
        static const House house;
        return house;
    }
};

/// A directory of its own, gone with the object.
class Files {
public:
    Files() {
        std::string path = (std::filesystem::temp_directory_path() / "bulkhead-XXXXXX").string();
        must(::mkdtemp(path.data()) != nullptr, "a temporary directory");
        path_ = path;
    }
    Files(const Files&) = delete;
    Files& operator=(const Files&) = delete;
    ~Files() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    /// Writes a file, and returns its path.
    std::string put(const std::string& name, const std::string& text) const {
        std::ofstream{path_ / name} << text;
        return (path_ / name).string();
    }
    [[nodiscard]] std::string path(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

} // namespace certificates
