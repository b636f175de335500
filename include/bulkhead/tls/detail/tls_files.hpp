// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/secret.hpp>
#include <bulkhead/tls/detail/openssl.hpp>
#include <bulkhead/tls/detail/tls_context.hpp>
#include <bulkhead/tls/tls_options.hpp>

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <utility>

/// Certificates in files that are replaced while the program runs.
namespace bulkhead::inline v1::detail {

using FilesDigest = std::array<unsigned char, 32>; ///< SHA-256

/// A digest of what the files of the options hold now. A file that cannot be read counts as another content; one
/// that is not regular, such as a pipe, as always the same.
[[nodiscard]] inline FilesDigest digest_of_files(const TlsOptions& options) {
    const std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>> hash{EVP_MD_CTX_new()};
    FilesDigest digest{};
    if (!hash || EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc{};
    for (const auto* path : {&options.ca_file, &options.certificate_file, &options.key_file}) {
        EVP_DigestUpdate(hash.get(), path->empty() ? "-" : "+", 1);
        if (path->empty()) continue;
        std::error_code unknown;
        std::unique_ptr<std::FILE, Freed<std::fclose>> file;
        if (std::filesystem::is_regular_file(*path, unknown)) // reading a pipe would leave nothing in it
            file.reset(std::fopen(path->c_str(), "rbe"));
        std::array<char, 4096> piece{};
        std::uint64_t size = 0;
        if (file) {
            std::setvbuf(file.get(), nullptr, _IONBF, 0); // a key leaves no copy behind
            for (std::size_t got = 0; (got = std::fread(piece.data(), 1, piece.size(), file.get())) != 0; size += got)
                EVP_DigestUpdate(hash.get(), piece.data(), got);
            wipe(piece.data(), piece.size());
        }
        EVP_DigestUpdate(hash.get(), file ? "=" : "!", 1);
        EVP_DigestUpdate(hash.get(), &size, sizeof size);
    }
    EVP_DigestFinal_ex(hash.get(), digest.data(), nullptr);
    return digest;
}

/// The context that new connections are made by: that of the newest files which can be used. Thread-safe.
class TlsFiles {
public:
    /// Throws `InvalidOption`.
    explicit TlsFiles(TlsOptions options) : options_{std::move(options)}, seen_{digest()} {
        context_ = std::make_shared<TlsContext>(options_);
        if (!has_files()) options_.key_password.reset();
    }

    /// Looks at the files, and reads them again when their content is another one than at the last look. What they hold
    /// is taken as a whole or not at all; sessions that were agreed before are forgotten with the context before.
    [[nodiscard]] std::shared_ptr<TlsContext> current() {
        std::unique_lock lock{mutex_};
        if (!has_files()) return context_;
        const auto found = digest(); // first: what is read afterwards is as new, or newer
        // A password may come later than its key.
        const bool again = !problem_.empty() && options_.key_password && options_.key_password->can_change();
        if (found == seen_ && !again) return context_;
        std::string problem;
        try {
            context_ = std::make_shared<TlsContext>(options_);
        } catch (const InvalidOption& refused) {
            problem = refused.what();
        }
        const bool news = found != seen_ || problem != problem_;
        seen_ = found;
        problem_ = problem;
        auto context = context_;
        lock.unlock();
        if (news) tell(problem);
        return context;
    }
    /// Why what the files hold now is not in use; empty when it is.
    [[nodiscard]] std::string problem() {
        const std::lock_guard lock{mutex_};
        return problem_;
    }

private:
    [[nodiscard]] bool has_files() const noexcept {
        return !options_.ca_file.empty() || !options_.certificate_file.empty();
    }
    [[nodiscard]] FilesDigest digest() const { return has_files() ? digest_of_files(options_) : FilesDigest{}; }
    void tell(const std::string& problem) const noexcept {
        try {
            if (options_.on_files_changed) options_.on_files_changed(problem);
        } catch (...) { // it must not
        }
    }

    TlsOptions options_;
    std::mutex mutex_;
    FilesDigest seen_{};
    std::string problem_;
    std::shared_ptr<TlsContext> context_;
};

} // namespace bulkhead::inline v1::detail
