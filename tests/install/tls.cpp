// SPDX-License-Identifier: BSL-1.0
#include <bulkhead/tls.hpp>

#include <iostream>

int main() {
    const bulkhead::TlsConnector<> connector;
    std::cout << OpenSSL_version(OPENSSL_VERSION) << '\n';
}
