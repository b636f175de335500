// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka.hpp>

#include <optional>
#include <string>

using bulkhead::kafka::detail::received_bytes;

TEST_CASE("kafka statistics: the bytes received are those of the whole client", "[F288]") {
    CHECK(received_bytes(R"({"rx_bytes":1234})") == 1234);
    CHECK(received_bytes(R"({"rx_bytes": 7, "txmsgs":1})") == 7);
    CHECK(received_bytes(R"({"rx_bytes":0})") == 0);
    CHECK(received_bytes(R"({"rx_bytes":18446744073709551615})") == 18'446'744'073'709'551'615U);
    // A broker's own count has another name, and a client may be called anything: its quotes are escaped.
    CHECK(received_bytes(
              R"({"client_id":"a\"rx_bytes\":1","brokers":{"b/1":{"rx":3,"rxbytes":99}},"rx":5,"rx_bytes":100})") ==
          100);
}

TEST_CASE("kafka statistics: what has no such count has none", "[F288]") {
    for (const char* const text :
         {"", "{}", R"({"rxbytes":5})", R"({"rx_bytes":)", R"({"rx_bytes":   )", R"({"rx_bytes":"5"})",
          R"({"rx_bytes":null})", R"({"rx_bytes":-1})", R"({"rx_bytes":18446744073709551616})"}) {
        CAPTURE(text);
        CHECK_FALSE(received_bytes(text));
    }
}
