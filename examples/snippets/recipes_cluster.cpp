// SPDX-License-Identifier: BSL-1.0
// The code of docs/security.md, of the README's "A real cluster" and of the recipe for compressed bodies. It needs a
// cluster, certificates and secrets: the run makes what can be made without.
#include "../tested_service/check.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/gzip.hpp>
#include <bulkhead/http/server_check.hpp>
#include <bulkhead/sinks/file_sink.hpp>
#include <bulkhead/test/bulk_server.hpp>
#include <bulkhead/tls.hpp>
#include <bulkhead/tls/aws_sigv4.hpp>

#include <boost/asio/use_awaitable.hpp>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;

struct Tokens {
    [[nodiscard]] std::string current() const { return "token"; }
};

[[maybe_unused]] void a_real_cluster(const asio::any_io_executor& executor) {
    HttpOptions http{.url = "https://es1:9200", .more_urls = {"https://es2:9200", "https://es3:9200"}};
    http.credentials = Credentials::api_key(SecretSource::file("/run/secrets/es_api_key")); // read again after a 401
    TlsOptions tls{.ca_fingerprint = "a5:2d:…"}; // as Elasticsearch prints it; or ca_file; or the system's authorities
    HttpsTransport transport{executor, http, tls};
    StandaloneIndexer<HttpsTransport> without_asio{http, tls, {.index = "orders"}}; // its own thread
}

[[maybe_unused]] void a_sink(const asio::any_io_executor& executor, HttpTransport transport,
                             const IndexerOptions& options) {
    bulkhead::BulkIndexer<bulkhead::HttpTransport> indexer{
        executor, std::move(transport), options, bulkhead::FileSink{{.path = "/var/lib/my_service/dead.ndjson"}}};
}

void authentication() {
    const Tokens tokens;
    HttpOptions options{.url = "https://search.example:9200"};

    options.credentials = Credentials::basic("elastic", SecretSource::file("/run/secrets/elastic"));
    options.credentials = Credentials::api_key(SecretSource::environment("ES_API_KEY")); // `encoded`: base64 of id:key
    options.credentials =
        Credentials::api_key("VuaCfGcBCdbkQm-e5aOx", SecretSource::file("/run/secrets/key")); // its parts
    options.credentials = Credentials::bearer(SecretSource::callback([&] { return Secret{tokens.current()}; }));
    check(!options.credentials.authorization().secret.empty(), "a token");
}

[[maybe_unused]] void aws(HttpOptions options) {
    options.signer = AwsSigV4{{.region = "eu-central-1", .credentials = AwsSigV4::from_environment()}};
}

[[maybe_unused]] void tls(const asio::any_io_executor& executor, const HttpOptions& options) {
    HttpsTransport transport{executor, {.url = "https://search.example:9200"}}; // the system's authorities

    HttpsTransport own_authority{executor, options, TlsOptions{.ca_file = "/etc/elasticsearch/certs/http_ca.crt"}};
    HttpsTransport pinned{executor, options,
                          TlsOptions{.ca_fingerprint = "A1:B2:…"}}; // as Elasticsearch prints at set-up
    HttpsTransport mutual{executor, options, TlsOptions{.certificate_file = "client.pem", .key_file = "client.key"}};
}

[[maybe_unused]] void tls_without_asio(const HttpOptions& http) {
    StandaloneIndexer<HttpsTransport> indexer{http, TlsOptions{.ca_file = "/etc/elasticsearch/certs/http_ca.crt"},
                                              IndexerOptions{.index = "orders"}};
}

void compressed_bodies() {
    using GzipHttps = basic_http_transport<TlsConnector<>, GzipEncoder>; // over plain HTTP: GzipTransport
    StandaloneIndexer<GzipHttps> indexer{HttpOptions{.url = "https://search.example:9200", .compression_level = 1},
                                         IndexerOptions{.index = "orders"}};
    check(indexer->stats().pending == 0, "idle");
}

asio::awaitable<void> check_first(HttpTransport transport) {
    const auto executor = co_await asio::this_coro::executor;
    const std::string index = "orders";
    const auto found = co_await async_check(executor, transport, index, 5s, asio::use_awaitable);
    if (!found.usable()) throw std::runtime_error{"the cluster cannot be written to: " + found.problem()};
}

void at_the_start() {
    test::BulkServer server;
    asio::io_context context;
    HttpTransport transport{context.get_executor(), {.url = server.url()}};
    std::exception_ptr failed;
    asio::co_spawn(context, check_first(transport), [&](const std::exception_ptr& e) {
        failed = e;
        transport.shutdown();
    });
    context.run();
    if (failed) std::rethrow_exception(failed);
}

} // namespace

int main() {
    return run_cases({
        {"authentication", authentication},
        {"compressed bodies", compressed_bodies},
        {"at the start", at_the_start},
    });
}
