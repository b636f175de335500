// SPDX-License-Identifier: BSL-1.0
#include <bulkhead/gzip.hpp>

#include <iostream>
#include <string>

int main() {
    const std::string body(1000, 'x');
    const boost::asio::const_buffer plain = boost::asio::buffer(body);
    bulkhead::GzipEncoder encoder{1};
    const auto bytes = boost::asio::buffer_size(encoder.encode({&plain, 1}));
    std::cout << body.size() << " bytes compressed to " << bytes << '\n';
    return bytes > 0 && bytes < 100 ? 0 : 1;
}
