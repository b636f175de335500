// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/plain_time.hpp"

#include <bulkhead/detail/settle/dead_letter_queue.hpp>

#include <memory>

namespace {

using Letter = int;
using LetterQueue = bulkhead::detail::DeadLetterQueue<Letter, bulkhead_test::PlainTime>;

LetterQueue::Place one_letter(Letter letter) { return {std::make_shared<Letter>(letter)}; }

} // namespace

TEST_CASE("dead-letter queue: one write at a time, the oldest first") {
    LetterQueue queue;
    CHECK_FALSE(queue.begin_write(0));
    queue.push(one_letter(1));
    queue.push(one_letter(2));
    CHECK(queue.begin_write(0));
    CHECK(*queue.front() == 1);
    CHECK_FALSE(queue.begin_write(0));
    CHECK(queue.next_deadline() == bulkhead_test::PlainTime::max()); // until the write ends
    queue.end_write();
    queue.succeeded();
    queue.pop_front();
    CHECK(queue.begin_write(0));
    CHECK(*queue.front() == 2);
}

TEST_CASE("dead-letter queue: after a failure the same letters are written again, not before the rest is over") {
    LetterQueue queue;
    queue.push(one_letter(1));
    CHECK(queue.begin_write(0));
    queue.end_write();
    CHECK(queue.count_failure() == 1);
    queue.rest_until(10);
    queue.note_trouble("the disk is full");
    CHECK(queue.is_behind());
    CHECK(queue.trouble() == "the disk is full");
    CHECK_FALSE(queue.begin_write(9));
    CHECK(queue.next_deadline() == bulkhead_test::PlainTime{10});
    CHECK(queue.begin_write(10));
    CHECK(*queue.front() == 1);
    queue.end_write();
    CHECK(queue.count_failure() == 2);
    queue.succeeded();
    queue.pop_front();
    CHECK_FALSE(queue.is_behind());
    CHECK(queue.trouble().empty());
}

TEST_CASE("dead-letter queue: a sink is behind when eight batches wait") {
    LetterQueue queue;
    for (int i = 0; i < 7; ++i) queue.push(one_letter(i));
    CHECK_FALSE(queue.is_behind());
    queue.push(one_letter(7));
    CHECK(queue.is_behind());
    CHECK(queue.trouble().empty()); // it has not failed
    queue.pop_front();
    CHECK_FALSE(queue.is_behind());
}
