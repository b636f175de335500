// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

/// Record batches that no client produces, e.g. transaction markers, written byte by byte into a mock broker.
namespace bulkhead_test {

/// Big-endian bytes.
template <class T>
void put(std::string& out, T value) {
    for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
        out += static_cast<char>(static_cast<std::uint64_t>(value) >> static_cast<unsigned>(shift));
}
inline void put_text(std::string& out, std::string_view text) {
    put(out, static_cast<std::int16_t>(text.size()));
    out += text;
}
/// Signed, as records have it.
inline void put_varint(std::string& out, std::int64_t value) {
    auto left = (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63);
    for (; left >= 0x80; left >>= 7U) out += static_cast<char>((left & 0x7FU) | 0x80U);
    out += static_cast<char>(left);
}
/// CRC-32C, bit by bit.
inline std::uint32_t crc32c(std::string_view bytes) {
    std::uint32_t crc = 0xFFFFFFFFU;
    for (const char byte : bytes) {
        crc ^= static_cast<unsigned char>(byte);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
    }
    return ~crc;
}

/// A batch with one record.
inline std::string batch_of(std::int16_t attributes, std::string_view key, std::string_view value,
                            std::int64_t producer_id = -1) {
    std::string record;
    put(record, std::int8_t{0});
    put_varint(record, 0); // timestamp
    put_varint(record, 0); // offset
    put_varint(record, static_cast<std::int64_t>(key.size()));
    record += key;
    put_varint(record, static_cast<std::int64_t>(value.size()));
    record += value;
    put_varint(record, 0); // headers
    std::string rest;
    put(rest, attributes);
    put(rest, std::int32_t{0}); // last offset
    put(rest, std::int64_t{1'700'000'000'000});
    put(rest, std::int64_t{1'700'000'000'000});
    put(rest, producer_id);
    put(rest, static_cast<std::int16_t>(producer_id < 0 ? -1 : 0));
    put(rest, std::int32_t{-1});
    put(rest, std::int32_t{1});
    put_varint(rest, static_cast<std::int64_t>(record.size()));
    rest += record;
    std::string inner;
    put(inner, std::int32_t{0});
    put(inner, std::int8_t{2});
    put(inner, crc32c(rest));
    inner += rest;
    std::string batch;
    put(batch, std::int64_t{0});
    put(batch, static_cast<std::int32_t>(inner.size()));
    return batch + inner;
}
/// The marker that ends a transaction: a control batch.
inline std::string commit_marker() {
    std::string key;
    put(key, std::int16_t{0});
    put(key, std::int16_t{1}); // commit
    std::string value;
    put(value, std::int16_t{0});
    put(value, std::int32_t{0});
    return batch_of(0x30, key, value, 1);
}

/// Produce v7, and its answer.
inline void produce_batch(const std::string& broker, const std::string& topic, std::int32_t partition,
                          const std::string& batch) {
    std::string request;
    put(request, std::int16_t{0}); // Produce
    put(request, std::int16_t{7});
    put(request, std::int32_t{1});
    put_text(request, "raw");
    put(request, std::int16_t{-1});
    put(request, std::int16_t{-1});
    put(request, std::int32_t{10'000});
    put(request, std::int32_t{1});
    put_text(request, topic);
    put(request, std::int32_t{1});
    put(request, partition);
    put(request, static_cast<std::int32_t>(batch.size()));
    request += batch;
    std::string framed;
    put(framed, static_cast<std::int32_t>(request.size()));
    framed += request;

    namespace asio = boost::asio;
    asio::io_context context;
    asio::ip::tcp::socket socket{context};
    const auto colon = broker.rfind(':');
    const auto port = static_cast<std::uint16_t>(std::stoi(broker.substr(colon + 1)));
    socket.connect({asio::ip::make_address(broker.substr(0, colon)), port});
    asio::write(socket, asio::buffer(framed));
    std::array<unsigned char, 4> size{};
    asio::read(socket, asio::buffer(size));
    std::string answer((std::size_t{size[2]} << 8U) + size[3], '\0');
    asio::read(socket, asio::buffer(answer));
    const auto at = 4 + 4 + 2 + topic.size() + 4 + 4; // to the partition's error
    if (answer.at(at) != 0 || answer.at(at + 1) != 0) throw std::runtime_error{"the mock broker refuses the batch"};
}

} // namespace bulkhead_test
