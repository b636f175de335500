// SPDX-License-Identifier: BSL-1.0
// with_server PROGRAM: runs it with the URL of a server that stores what it is sent, and ends as it does.
#include <bulkhead/test/bulk_server.hpp>

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
    if (argc != 2) return std::cerr << "usage: with_server PROGRAM\n", 2;
    const bulkhead::test::BulkServer server;
    const auto command = "'" + std::string{argv[1]} + "' " + server.url();
    return std::system(command.c_str()) == 0 ? 0 : 1; // NOLINT(cert-env33-c,concurrency-mt-unsafe): our own argument
}
