// SPDX-License-Identifier: BSL-1.0
// A search server to try a client against, where there is no cluster: the library's own model of one, on loopback. It
// parses, stores and counts what it is sent, in memory.
//
//     bulk_server [PORT]          9200 when none is given, 0 for any that is free; Ctrl-C ends
//         --api-key KEY           requests must carry "Authorization: ApiKey KEY"; others are answered 401
//         --tls                   HTTPS, with a certificate that it makes at its start (where OpenSSL was found)
//         --certificate FILE      with --tls: writes that certificate there, for curl --cacert or TlsOptions::ca_file
#include <bulkhead/test/bulk_server.hpp>
#ifdef BULKHEAD_EXAMPLE_TLS
#include <bulkhead/test/tls_bulk_server.hpp>
#endif

#include <charconv>
#include <csignal>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace test = bulkhead::test;

namespace {

struct Wanted {
    test::BulkServerOptions server{.port = 9200};
    std::string api_key;
    bool tls = false;
    std::string certificate;
};

/// What is wrong with the arguments; nothing: they are in `wanted`.
std::optional<std::string> read(int argc, char** argv, Wanted& wanted) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        const bool has_value = argument == "--api-key" || argument == "--certificate";
        if (has_value && i + 1 == argc) return std::string{argument} + " needs a value";
        if (argument == "--tls") {
            wanted.tls = true;
        } else if (argument == "--certificate") {
            wanted.certificate = argv[++i];
        } else if (argument == "--api-key") {
            wanted.api_key = argv[++i];
            wanted.server.authorization = "ApiKey " + wanted.api_key;
        } else if (argument.substr(0, 1) == "-") {
            return "no such option: " + std::string{argument};
        } else {
            const auto* const end = argument.data() + argument.size();
            const auto [to, wrong] = std::from_chars(argument.data(), end, wanted.server.port);
            if (wrong != std::errc{} || to != end) return "not a port: " + std::string{argument};
        }
    }
    if (!wanted.certificate.empty() && !wanted.tls) return "--certificate needs --tls";
#ifndef BULKHEAD_EXAMPLE_TLS
    if (wanted.tls) return "--tls: it was built without OpenSSL";
#endif
    return std::nullopt;
}

/// Serves until a signal of `ends` comes.
template <class Server>
void serve(const Server& server, const Wanted& wanted, const sigset_t& ends) {
    std::cerr << "a model of a search server is at " << server.url() << "\nlook: curl ";
    if (wanted.tls) std::cerr << "--cacert " << (wanted.certificate.empty() ? "FILE" : wanted.certificate) << ' ';
    if (!wanted.api_key.empty()) std::cerr << "-H 'Authorization: ApiKey " << wanted.api_key << "' ";
    std::cerr << server.url() << "/INDEX/_search\n";
    int number = 0;
    sigwait(&ends, &number);
    std::cerr << "bulk requests: " << server.bulk_requests() << '\n';
}

} // namespace

int main(int argc, char** argv) try {
    Wanted wanted;
    if (const auto wrong = read(argc, argv, wanted))
        return std::cerr << "usage: bulk_server [PORT] [--api-key KEY] [--tls [--certificate FILE]]; " << *wrong
                         << '\n',
               2;

    sigset_t ends;
    sigemptyset(&ends);
    for (const int number : {SIGINT, SIGTERM}) sigaddset(&ends, number);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr); // in the server's thread too: `sigwait` gets them
#ifdef BULKHEAD_EXAMPLE_TLS
    if (wanted.tls) {
        const test::TlsBulkServer server{wanted.server};
        const auto& identity = server.layer().identity();
        if (!wanted.certificate.empty() && !(std::ofstream{wanted.certificate} << identity.certificate_pem).flush())
            return std::cerr << "bulk_server: cannot write " << wanted.certificate << '\n', 1;
        std::cerr << "SHA-256 fingerprint of its certificate: " << identity.fingerprint << '\n';
        serve(server, wanted, ends);
        return 0;
    }
#endif
    serve(test::BulkServer{wanted.server}, wanted, ends);
} catch (const std::exception& e) {
    return std::cerr << "bulk_server: " << e.what() << '\n', 1;
}
