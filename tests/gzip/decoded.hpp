// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <zlib.h>

#include <cstddef>
#include <string>

namespace bulkhead_test {

/// The body, when `bytes` is one gzip member, whole and with nothing after it; otherwise what is wrong.
[[nodiscard]] inline std::string decoded(const std::string& bytes) {
    z_stream stream{};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return "inflateInit2 failed";
    std::string in{bytes};
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    std::string body;
    int status = Z_OK;
    while (status == Z_OK) {
        const auto had = body.size();
        body.resize(had + (std::size_t{1} << 20));
        stream.next_out = reinterpret_cast<Bytef*>(body.data() + had);
        stream.avail_out = static_cast<uInt>(body.size() - had);
        status = inflate(&stream, Z_NO_FLUSH);
        body.resize(body.size() - stream.avail_out);
    }
    const auto left = stream.avail_in;
    inflateEnd(&stream);
    if (status != Z_STREAM_END) return "inflate says " + std::to_string(status); // also of a wrong CRC or size
    if (left != 0) return std::to_string(left) + " bytes after the first member";
    return body;
}

} // namespace bulkhead_test
