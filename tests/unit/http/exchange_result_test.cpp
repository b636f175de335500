// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/http/detail/exchange_result.hpp>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {

using bulkhead::detail::classify_exchange;
using bulkhead::detail::ReadState;
using bulkhead::detail::WriteState;
namespace http_error = boost::beast::http;

WriteState all_written() { return {.head_bytes = 100, .total = 300, .written = 300}; }
WriteState partly_written(std::size_t written) {
    auto write = all_written();
    write.written = written;
    write.error = boost::system::errc::make_error_code(boost::system::errc::broken_pipe);
    return write;
}
ReadState whole_answer(unsigned status = 200) {
    ReadState read;
    read.status = status;
    read.done = read.keep_alive = true;
    return read;
}
ReadState failed_reading(error_code error) {
    ReadState read;
    read.error = error;
    return read;
}

} // namespace

TEST_CASE("a whole answer to a whole request is a success, and its stream is used again") {
    auto read = whole_answer(429);
    read.retry_after = 7s;
    const auto result = classify_exchange(all_written(), read);
    CHECK_FALSE(result.reply.error);
    CHECK(result.reply.status == 429);
    CHECK(result.reply.retry_after == 7s);
    CHECK(result.reply.sent == Sent::complete);
    CHECK(result.reply.body_complete);
    CHECK(result.reply.detail.empty());
    CHECK(result.reusable);
}

TEST_CASE("a stream is not used again when the peer says so, when writing failed, or when more came") {
    auto write = all_written();
    auto read = whole_answer();
    SECTION("the peer closes") { read.keep_alive = false; }
    SECTION("writing failed") { write.error = boost::system::errc::make_error_code(boost::system::errc::broken_pipe); }
    SECTION("bytes came after the answer") { read.surplus = 1; }
    const auto result = classify_exchange(write, read);
    CHECK_FALSE(result.reply.error);
    CHECK(result.reply.body_complete);
    CHECK_FALSE(result.reusable);
}

TEST_CASE("an answer that only the connection's end ends is never complete") {
    auto read = whole_answer();
    read.ends_with_connection = true;
    const auto result = classify_exchange(all_written(), read);
    CHECK_FALSE(result.reply.error);
    CHECK_FALSE(result.reply.body_complete);
    CHECK_FALSE(result.reusable);
    CHECK(result.reply.detail == "only the connection's end ends the answer");
    read.status = 503;
    CHECK(classify_exchange(all_written(), read).reply.detail.empty());
}

TEST_CASE("how much of the body was sent is counted from the end of the head") {
    const auto sent = [](std::size_t written) {
        return classify_exchange(partly_written(written), failed_reading(http_error::error::end_of_stream)).reply.sent;
    };
    CHECK(sent(0) == Sent::none);
    CHECK(sent(100) == Sent::none);
    CHECK(sent(101) == Sent::partial);
    CHECK(sent(299) == Sent::partial);
    CHECK(sent(300) == Sent::complete);
}

TEST_CASE("an answer before the end of the request is an early one, in whatever state") {
    auto read = whole_answer(413);
    SECTION("whole") { CHECK(classify_exchange(partly_written(200), read).reply.error == errc::early_answer); }
    SECTION("not read to its end") {
        read.early = true;
        read.done = false;
        auto write = partly_written(200);
        CHECK(classify_exchange(write, read).reply.error == errc::early_answer);
        write.stalled = true; // that is not why it ended
        CHECK(classify_exchange(write, read).reply.error == errc::early_answer);
    }
    CHECK(classify_exchange(partly_written(200), read).reply.status == 413);
    CHECK_FALSE(classify_exchange(partly_written(200), read).reusable);
}

TEST_CASE("what ended an exchange at its deadline is named") {
    auto read = failed_reading(boost::system::errc::make_error_code(boost::system::errc::operation_canceled));
    auto write = partly_written(200);
    read.timed_out = true;
    SECTION("the deadline, while writing") {
        write.error = boost::system::errc::make_error_code(boost::system::errc::operation_canceled);
        CHECK(classify_exchange(write, read).reply.error == errc::request_timeout);
    }
    SECTION("the deadline, while reading") {
        CHECK(classify_exchange(all_written(), read).reply.error == errc::request_timeout);
    }
    SECTION("a write that failed, whose answer did not come in the time left") {
        CHECK(classify_exchange(write, read).reply.error == write.error);
    }
    SECTION("a stream that took nothing for too long") {
        write.stalled = true;
        CHECK(classify_exchange(write, read).reply.error == errc::write_timeout);
    }
    SECTION("nothing, as the answer was whole before") {
        CHECK_FALSE(classify_exchange(all_written(),
                                      [] {
                                          auto whole = whole_answer();
                                          whole.timed_out = true;
                                          return whole;
                                      }())
                        .reply.error);
    }
}

TEST_CASE("an answer that cannot be understood is told from a connection that broke") {
    const auto broken = failed_reading(http_error::error::partial_message);
    CHECK(classify_exchange(all_written(), broken).reply.error == http_error::error::partial_message);
    auto odd = failed_reading(http_error::error::bad_status);
    odd.status = 299;
    const auto reply = classify_exchange(all_written(), odd).reply;
    CHECK(reply.error == errc::malformed_answer);
    CHECK(reply.status == 299);
    CHECK(reply.detail.starts_with("the answer cannot be understood: "));
    const auto tls = classify_exchange(all_written(), failed_reading(errc::protocol_error)).reply;
    CHECK(tls.error == errc::protocol_error);
    CHECK(tls.detail == "the server speaks TLS on this port");
    CHECK(classify_exchange(all_written(), failed_reading(errc::malformed_answer)).reply.detail.empty());
}

TEST_CASE("a content coding that was not asked for is named") {
    auto read = whole_answer();
    read.coding = "gzip";
    CHECK(classify_exchange(all_written(), read).reply.detail ==
          "the answer has the content coding gzip, which was not asked for");
    read.early = true;
    CHECK(classify_exchange(all_written(), read).reply.detail.empty());
}
