// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/plain_time.hpp"

#include <bulkhead/detail/send/endpoint.hpp>

namespace {

using bulkhead::Health;
using bulkhead_test::PlainTime;
using SendEndpoint = bulkhead::detail::Endpoint<PlainTime>;

void fail(SendEndpoint& endpoint, int resume_at) {
    const auto generation = endpoint.limiter().launched();
    if (endpoint.limiter().is_news(generation)) endpoint.limiter().failed(resume_at, Health::backing_off);
    endpoint.note_trouble("http_503");
}

} // namespace

TEST_CASE("endpoint: after it has failed one probe is sent, and only after its pause") {
    SendEndpoint endpoint{4, 1};
    CHECK_FALSE(endpoint.is_failing());
    CHECK(endpoint.resume_at(0) == PlainTime::min());
    fail(endpoint, 20);
    CHECK(endpoint.is_failing());
    CHECK(endpoint.trouble() == "http_503");
    CHECK_FALSE(endpoint.limiter().may_launch(19, 0));
    CHECK(endpoint.resume_at(0) == PlainTime{20});
    CHECK(endpoint.limiter().may_launch(20, 0));
    const auto probe = endpoint.limiter().launched();
    CHECK_FALSE(endpoint.limiter().may_launch(20, 1)); // a single probe
    endpoint.limiter().succeeded(probe, false);
    CHECK_FALSE(endpoint.is_failing());
    CHECK(endpoint.trouble().empty());
}

TEST_CASE("endpoint: 32 single rejections of one type in a row presume that it rejects everything") {
    SendEndpoint endpoint{4, 1};
    for (int i = 0; i < 31; ++i) endpoint.rejected_alone("a");
    CHECK_FALSE(endpoint.rejects_everything("a"));
    endpoint.rejected_alone("a");
    CHECK(endpoint.rejects_everything("a"));
    CHECK_FALSE(endpoint.rejects_everything("b")); // that one may be the operation's own fault
    endpoint.rejected_alone("b");
    CHECK_FALSE(endpoint.rejects_everything("a"));
    CHECK_FALSE(endpoint.rejects_everything("b")); // the first of its type
    for (int i = 0; i < 31; ++i) endpoint.rejected_alone("b");
    CHECK(endpoint.rejects_everything("b"));
    endpoint.answered_items();
    CHECK_FALSE(endpoint.rejects_everything("b"));
}

TEST_CASE("endpoint: what an answer changed can be taken back") {
    SendEndpoint endpoint{4, 1};
    for (int i = 0; i < 31; ++i) endpoint.rejected_alone("a");
    const auto before = endpoint.memory();
    endpoint.rejected_alone("a");
    fail(endpoint, 20);
    endpoint.restore(before);
    CHECK_FALSE(endpoint.is_failing());
    CHECK_FALSE(endpoint.rejects_everything("a"));
    endpoint.rejected_alone("a");
    CHECK(endpoint.rejects_everything("a"));
}
