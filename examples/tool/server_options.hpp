// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/http_options.hpp>
#include <bulkhead/tls/tls_options.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace CLI { // NOLINT(readability-identifier-naming): the library's
class App;
} // namespace CLI

namespace tool {

/// Checks what `--url` was given: `http[s]://HOST[:PORT][/PATH]`. Throws `UsageError`; a password in it is not shown.
void check_url(const std::string& url);

/// Whether a URL's scheme is https, in upper or lower case.
[[nodiscard]] bool is_https(std::string_view url) noexcept;

/// The library's advice in the words of the command line: `--ca-file` for `TlsOptions::ca_file`.
[[nodiscard]] std::string in_our_options(std::string problem);

/// The options by which a tool shows who it is to a search server, and whom it trusts: `--user`, `--api-key-file`,
/// `--ca-file` and their kin, the same for each tool. Secrets come from files or from the environment, never from
/// arguments, which every user of the machine can read.
class ServerOptions {
public:
    ServerOptions() = default;
    ServerOptions(const ServerOptions&) = delete;
    ServerOptions& operator=(const ServerOptions&) = delete;

    /// Adds the options to `app`, which must be parsed while this lives.
    void add_to(CLI::App& app, const std::string& group);
    /// After the parse: puts the credentials, the trust and the nodes into what `HttpTransport` and `HttpsTransport`
    /// take. The first of `urls` becomes `HttpOptions::url`. Throws `UsageError`.
    void finish(const std::vector<std::string>& urls, bulkhead::HttpOptions& http, bulkhead::TlsOptions& tls) const;

private:
    [[nodiscard]] bulkhead::Credentials credentials() const;

    std::string user_;
    std::string password_file_;
    std::string api_key_file_;
    std::string ca_file_;
    std::string ca_fingerprint_;
    std::string certificate_file_;
    std::string key_file_;
    std::string key_password_file_;
    bool insecure_ = false;
    bool credentials_in_clear_ = false;
};

} // namespace tool
