// SPDX-License-Identifier: BSL-1.0
#include "server_options.hpp"

#include "usage.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/scheme.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace tool {

void check_url(const std::string& url) {
    const auto parsed = boost::urls::parse_uri(url);
    const auto port_is_good = [&] {
        if (!parsed->has_port()) return true;
        const std::string digits{parsed->port()};
        return !digits.empty() && digits.size() <= 5 && std::stoi(digits) >= 1 && std::stoi(digits) <= 65535;
    };
    const bool good =
        parsed.has_value() &&
        (parsed->scheme_id() == boost::urls::scheme::http || parsed->scheme_id() == boost::urls::scheme::https) &&
        !parsed->host().empty() && !parsed->has_query() && !parsed->has_fragment() && port_is_good();
    if (good) return;
    // What stands before an @ may be a password.
    const auto at = url.rfind('@');
    refuse("--url", "http[s]://HOST[:PORT][/PATH]", at == std::string::npos ? url : "…" + url.substr(at));
}

bool is_https(std::string_view url) noexcept {
    constexpr std::string_view https = "https:";
    const auto same = [](char a, char lower) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == lower; };
    const auto scheme = url.substr(0, https.size());
    return std::equal(scheme.begin(), scheme.end(), https.begin(), https.end(), same);
}

std::string in_our_options(std::string problem) {
    constexpr std::pair<std::string_view, std::string_view> names[] = {
        {"set TlsOptions::ca_file or ca_fingerprint", "see --ca-file and --ca-fingerprint"},
        {"TlsOptions::ca_file", "--ca-file"},
        {"HttpOptions::credentials", "--user, --password-file and --api-key-file"}};
    for (const auto& [theirs, ours] : names)
        if (const auto at = problem.find(theirs); at != std::string::npos) problem.replace(at, theirs.size(), ours);
    return problem;
}

void ServerOptions::add_to(CLI::App& app, const std::string& group) {
    app.add_option("--user", user_, "User for basic authentication; the password is never an argument")
        ->envname("ELASTICSEARCH_USER")
        ->group(group);
    app.add_option("--password-file", password_file_,
                   "Its password, read again after a 401; without it, from $ELASTICSEARCH_PASSWORD")
        ->envname("ELASTICSEARCH_PASSWORD_FILE")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--api-key-file", api_key_file_,
                   "An encoded API key, read again after a 401; without it, from $ELASTICSEARCH_API_KEY if that is set")
        ->envname("ELASTICSEARCH_API_KEY_FILE")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--ca-file", ca_file_, "Certificates (PEM) to trust instead of the system's")
        ->envname("ELASTICSEARCH_CA_FILE")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--ca-fingerprint", ca_fingerprint_,
                   "SHA-256 of the certificate authority's certificate, as Elasticsearch prints it at set-up")
        ->envname("ELASTICSEARCH_CA_FINGERPRINT")
        ->type_name("HEX")
        ->group(group);
    app.add_option("--client-certificate", certificate_file_, "Our own certificate (PEM)")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--client-key", key_file_, "and its key (PEM)")->type_name("FILE")->group(group);
    app.add_option("--client-key-password-file", key_password_file_, "and the key's password, if it has one")
        ->type_name("FILE")
        ->group(group);
    app.add_flag("--insecure-trust-any-certificate", insecure_,
                 "Do not verify the server: anybody on the way can read and change everything")
        ->group(group);
    app.add_flag("--allow-credentials-in-clear", credentials_in_clear_,
                 "Send credentials also by plain http to another host")
        ->group(group);
}

bulkhead::Credentials ServerOptions::credentials() const {
    using bulkhead::Credentials;
    using bulkhead::SecretSource;
    const bool key_is_set = std::getenv("ELASTICSEARCH_API_KEY") != nullptr;
    if (!user_.empty() && (!api_key_file_.empty() || key_is_set))
        throw UsageError{"--user: it does not go together with an API key"};
    if (user_.empty() && !password_file_.empty()) throw UsageError{"--password-file: it needs --user"};
    if (!user_.empty())
        return Credentials::basic(user_, password_file_.empty() ? SecretSource::environment("ELASTICSEARCH_PASSWORD")
                                                                : SecretSource::file(password_file_));
    if (!api_key_file_.empty()) return Credentials::api_key(SecretSource::file(api_key_file_));
    if (key_is_set) return Credentials::api_key(SecretSource::environment("ELASTICSEARCH_API_KEY"));
    return {};
}

void ServerOptions::finish(const std::vector<std::string>& urls, bulkhead::HttpOptions& http,
                           bulkhead::TlsOptions& tls) const {
    for (const auto& url : urls) {
        check_url(url);
        if (is_https(url) != is_https(urls.front())) throw UsageError{"--url: all nodes by http or all by https"};
    }
    if (!urls.empty()) {
        http.url = urls.front();
        http.more_urls.assign(urls.begin() + 1, urls.end());
    }
    http.credentials = credentials();
    http.allow_credentials_in_clear = credentials_in_clear_;
    tls.ca_file = ca_file_;
    tls.ca_fingerprint = ca_fingerprint_;
    tls.certificate_file = certificate_file_;
    tls.key_file = key_file_;
    if (!key_password_file_.empty()) tls.key_password = bulkhead::SecretSource::file(key_password_file_);
    if (insecure_) tls.verification = bulkhead::TlsVerification::none_this_is_insecure;
}

} // namespace tool
