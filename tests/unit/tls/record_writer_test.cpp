// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/tls/detail/openssl.hpp>
#include <bulkhead/tls/detail/record_writer.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace tls = bulkhead::detail;
using Result = tls::RecordWriter::Result;

/// One end of a connection in memory. Without certificates, which only an anonymous key exchange of TLS 1.2 allows.
struct TlsEnd {
    TlsEnd(SSL_CTX* context, bool client) : ssl{SSL_new(context)} {
        auto* const end = bio.make_bio();
        SSL_set_bio(ssl.get(), end, end);
        client ? SSL_set_connect_state(ssl.get()) : SSL_set_accept_state(ssl.get());
    }
    tls::MemoryBio bio;
    tls::SslPtr ssl;
};

/// A client that writes records, and a server that reads them.
struct RecordFixture {
    tls::SslContextPtr context = make_context();
    TlsEnd client{context.get(), true};
    TlsEnd server{context.get(), false};
    tls::RecordWriter writer{client.ssl.get(), client.bio};

    static tls::SslContextPtr make_context() {
        tls::SslContextPtr made{SSL_CTX_new(TLS_method())};
        SSL_CTX_set_max_proto_version(made.get(), TLS1_2_VERSION);
        REQUIRE(SSL_CTX_set_cipher_list(made.get(), "ADH-AES256-GCM-SHA384:@SECLEVEL=0") == 1);
        SSL_CTX_set_dh_auto(made.get(), 1);
        return made;
    }
    static void move(TlsEnd& from, TlsEnd& to) {
        const auto bytes = from.bio.unsent();
        if (bytes.size() == 0) return;
        to.bio.has_read(boost::asio::buffer_copy(to.bio.read_into(), bytes));
        from.bio.sent(bytes.size());
        from.bio.compact();
    }
    void shake_hands() {
        for (int i = 0; i < 10 && SSL_is_init_finished(server.ssl.get()) + SSL_is_init_finished(client.ssl.get()) != 2;
             ++i) {
            SSL_do_handshake(client.ssl.get());
            move(client, server);
            SSL_do_handshake(server.ssl.get());
            move(server, client);
        }
        REQUIRE(SSL_is_init_finished(client.ssl.get()) == 1);
    }
    Result encrypt(const std::vector<std::string>& pieces) {
        std::vector<boost::asio::const_buffer> buffers;
        for (const auto& piece : pieces) buffers.emplace_back(piece.data(), piece.size());
        return writer.encrypt(buffers);
    }
    /// Sends all that is unsent, and returns what the server reads of it.
    std::string received() {
        std::string text;
        const auto all = client.bio.unsent();
        for (std::size_t at = 0; at < all.size();) {
            at += [&] {
                const auto n = boost::asio::buffer_copy(server.bio.read_into(), all + at);
                server.bio.has_read(n);
                return n;
            }();
            char piece[4096];
            std::size_t size = 0;
            while (SSL_read_ex(server.ssl.get(), piece, sizeof piece, &size) == 1) text.append(piece, size);
        }
        return text;
    }
};

} // namespace

TEST_CASE("small buffers share a record, which counts when its last byte is sent") {
    RecordFixture world;
    world.shake_hands();
    REQUIRE(world.encrypt({"one", "", "two", "three"}) == Result::done);
    CHECK(world.writer.records() == 1);
    CHECK(world.received() == "onetwothree");
    const auto size = world.client.bio.unsent().size();
    CHECK(world.writer.sent(size - 1) == 0);
    CHECK(world.writer.sent(1) == 11);
}

TEST_CASE("a large buffer is cut into full records, behind what came before it") {
    RecordFixture world;
    world.shake_hands();
    const std::string large(40'000, 'x');
    REQUIRE(world.encrypt({"before", large, "after"}) == Result::done);
    CHECK(world.writer.records() == 3);
    CHECK(world.received() == "before" + large + "after");
    CHECK(world.writer.sent(world.client.bio.unsent().size()) == 40'011);
}

TEST_CASE("at most eight records are made at once, and each counts alone") {
    RecordFixture world;
    world.shake_hands();
    const std::size_t full = tls::MemoryBio::record;
    REQUIRE(world.encrypt({std::string(20 * full, 'y')}) == Result::done);
    CHECK(world.writer.records() == 8);
    CHECK(world.writer.all_records() == 8);
    const auto size = world.client.bio.unsent().size();
    REQUIRE(size % 8 == 0);
    CHECK(world.writer.sent(size / 8 - 1) == 0);
    CHECK(world.writer.sent(1) == full);
    CHECK(world.writer.sent(size / 8 + 1) == 2 * full);
    CHECK(world.writer.sent(size - size / 4 - 1) == 8 * full);
    CHECK(world.client.bio.unsent().size() == 0);
    REQUIRE(world.encrypt({"more"}) == Result::done);
    CHECK(world.writer.records() == 1);
    CHECK(world.writer.all_records() == 9);
    CHECK(world.writer.sent(world.client.bio.unsent().size()) == 4);
}

TEST_CASE("records that are not sent yet leave room for fewer new ones") {
    RecordFixture world;
    world.shake_hands();
    const std::string text(20 * tls::MemoryBio::record, 'z');
    REQUIRE(world.encrypt({text}) == Result::done);
    const auto left = world.client.bio.unsent().size() / 2;
    CHECK(world.writer.sent(left) == 4 * tls::MemoryBio::record);
    REQUIRE(world.encrypt({text}) == Result::done);
    CHECK(world.writer.records() == 4);
    CHECK(world.writer.sent(left) == 0); // these are the old ones
    CHECK(world.writer.sent(world.client.bio.unsent().size()) == 4 * tls::MemoryBio::record);
}

TEST_CASE("nothing can be written in the middle of a handshake, or after the end") {
    RecordFixture world;
    CHECK(world.encrypt({"too early"}) == Result::wants_read);
    CHECK(world.writer.records() == 0);
    world.shake_hands();
    SSL_set_shutdown(world.client.ssl.get(), SSL_SENT_SHUTDOWN);
    CHECK(world.encrypt({"too late"}) == Result::failed);
    CHECK(world.writer.records() == 0);
    CHECK(ERR_get_error() != 0);
    ERR_clear_error();
}

TEST_CASE("nothing to write makes no record") {
    RecordFixture world;
    world.shake_hands();
    CHECK(world.encrypt({}) == Result::done);
    CHECK(world.encrypt({"", ""}) == Result::done);
    CHECK(world.writer.records() == 0);
    CHECK(world.writer.sent(0) == 0);
}
