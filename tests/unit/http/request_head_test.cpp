// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/http/detail/request_head.hpp>

#include <array>
#include <string>

using namespace bulkhead;

namespace {

/// One node, and what its requests are sent with.
struct HeadFixture {
    HttpOptions options{};
    std::string coding{};
    Signer signer{};
    bulkhead::detail::Authorization authorization{};
    std::string head = "what was here before";
    std::string text = "0123456789";

    bulkhead::detail::RequestHead::Written write(std::string_view method, std::string_view target, bool is_bulk,
                                                 bool with_body = true) {
        CHECK(authorization.configure(options.credentials) == std::nullopt);
        const bulkhead::detail::RequestHead node{"search:9200", "/prefix", options, coding};
        const std::array<asio::const_buffer, 2> buffers{asio::buffer(text.data(), 4), asio::buffer(text.data() + 4, 6)};
        const auto count = with_body ? buffers.size() : 0;
        return node.write(head, {method, target, is_bulk}, {buffers.data(), count}, authorization, signer,
                          std::chrono::system_clock::time_point{std::chrono::seconds{1}});
    }
};

} // namespace

TEST_CASE("the head of a bulk names host, type, length and coding") {
    HeadFixture world;
    world.coding = "gzip";
    world.options.user_agent = "shop";
    world.options.headers = {{"X-Opaque-Id", "7"}};
    CHECK_FALSE(world.write("POST", "/_bulk?a=b", true).error);
    CHECK(world.head == "POST /prefix/_bulk?a=b HTTP/1.1\r\n"
                        "Host: search:9200\r\n"
                        "User-Agent: shop\r\n"
                        "Accept: application/json\r\n"
                        "Accept-Encoding: identity\r\n"
                        "X-Opaque-Id: 7\r\n"
                        "Content-Type: application/x-ndjson\r\n"
                        "Content-Encoding: gzip\r\n"
                        "Content-Length: 10\r\n"
                        "\r\n");
}

TEST_CASE("the head of another request has JSON as it is, or no body") {
    HeadFixture world;
    world.coding = "gzip";
    CHECK_FALSE(world.write("PUT", "/orders", false).error);
    CHECK(world.head.ends_with("\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"));
    CHECK(world.head.find("gzip") == std::string::npos);
    CHECK_FALSE(world.write("GET", "/", false, false).error);
    CHECK(world.head.starts_with("GET /prefix/ HTTP/1.1\r\n"));
    CHECK(world.head.ends_with("\r\nAccept-Encoding: identity\r\n\r\n"));
}

TEST_CASE("a compatible version is part of both media types") {
    HeadFixture world;
    world.options.compatible_with = 8;
    CHECK_FALSE(world.write("POST", "/_bulk", true).error);
    CHECK(world.head.find("Accept: application/vnd.elasticsearch+json; compatible-with=8\r\n") != std::string::npos);
    CHECK(world.head.find("Content-Type: application/vnd.elasticsearch+x-ndjson; compatible-with=8\r\n") !=
          std::string::npos);
}

TEST_CASE("credentials come before the signature's place, with the generation that they are of") {
    HeadFixture world;
    world.options.credentials = Credentials::basic("elastic", "secret");
    const auto written = world.write("POST", "/_bulk", true);
    CHECK_FALSE(written.error);
    CHECK(written.generation == 1);
    CHECK(world.head.find("\r\nAuthorization: Basic ZWxhc3RpYzpzZWNyZXQ=\r\nContent-Type:") != std::string::npos);
}

TEST_CASE("credentials that are not to be had now are an error with its cause") {
    HeadFixture world;
    world.options.credentials =
        Credentials::bearer(SecretSource::callback([]() -> Secret { throw std::runtime_error{"vault"}; }));
    const auto written = world.write("POST", "/_bulk", true);
    CHECK(written.error == errc::credentials_unavailable);
    CHECK_FALSE(written.problem.empty());
    CHECK(world.head.find("Authorization") == std::string::npos);
}

TEST_CASE("a signer sees the request as it travels, and its fields are sent") {
    HeadFixture world;
    world.signer = [](const SigningInput& input, HeaderFields& fields) {
        CHECK(input.method == "POST");
        CHECK(input.host == "search:9200");
        CHECK(input.path == "/prefix/_bulk");
        CHECK(input.query == "a=b?c");
        CHECK(asio::buffer_size(input.body) == 10);
        CHECK(input.now == std::chrono::system_clock::time_point{std::chrono::seconds{1}});
        fields.emplace_back("X-Signature", "abc");
    };
    CHECK_FALSE(world.write("POST", "/_bulk?a=b?c", true).error);
    CHECK(world.head.find("\r\nX-Signature: abc\r\nContent-Type:") != std::string::npos);
}

TEST_CASE("a signer that fails, or makes a field that cannot be sent, is an error with its cause") {
    HeadFixture world;
    std::string problem = "the signer made a header field that cannot be sent";
    SECTION("it throws") {
        problem = "no key";
        world.signer = [](const SigningInput&, HeaderFields&) { throw std::runtime_error{"no key"}; };
    }
    SECTION("a line end in the value") {
        world.signer = [](const SigningInput&, HeaderFields& fields) { fields.emplace_back("X-A", "b\r\nX-B: c"); };
    }
    SECTION("no token as name") {
        world.signer = [](const SigningInput&, HeaderFields& fields) { fields.emplace_back("X A", "b"); };
    }
    SECTION("a field of the transport's own") {
        world.signer = [](const SigningInput&, HeaderFields& fields) { fields.emplace_back("content-length", "1"); };
    }
    const auto written = world.write("POST", "/_bulk", true);
    CHECK(written.error == errc::credentials_unavailable);
    CHECK(written.problem == problem);
}
