#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The power of the tests: breaks the library in ways that matter, one at a time in a copy, and sees who notices.

A mutant is a place in the headers, what is written there instead, and what must fail then: the simulation, or some of
the unit or integration tests, which are built alone. A place is text that occurs once in all headers, wherever it moves.
A place that is no longer found, or found twice, is an error: the list follows the code. A mutant that makes the tests
hang is killed only where HANGS says so, and one under which the simulation merely sees less happen has survived: neither
is a test that failed.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIMULATION = ["simulation/simulate.cpp", "--seeds", "1500"]
KAFKA_SIMULATION = ["simulation/simulate.cpp", "--kafka", "--seeds", "400"]
KAFKA = ["unit/kafka/kafka_source_test.cpp", "unit/kafka/offset_tracker_test.cpp"]
ROWS = ["unit/rows_test.cpp"]
LETTERS = ["unit/kafka/kafka_letters_test.cpp"]
IDENTITY = ["unit/kafka/kafka_identity_test.cpp"]
CALLBACKS = ["unit/kafka/kafka_callbacks_test.cpp"]
CREDENTIALS = ["unit/http/credentials_test.cpp"]
EXCHANGE = ["unit/http/http_exchange_test.cpp"]
TRANSPORT = ["integration/http_transport_test.cpp"]
HARD_ANSWERS = ["integration/hard_answers_test.cpp"]
TLS_FILES = ["tls/tls_files_test.cpp"]

# (what is wrong, place, instead, what must fail: sources and arguments for the program of them)
MUTANTS = [
    ("an answer with too few items is whole",
     "return seen_items_ && problem_.empty() && items_.size() == expected_; }",
     "return seen_items_ && problem_.empty(); }", ["unit/judge/answer_parser_test.cpp"]),
    ("an item without a status is a success",
     "            if (!has_status_) return wrong(ec, \"an item without status\");\n", "", ["unit/judge/answer_parser_test.cpp"]),
    ("an answer is believed without having been read to its end",
     "reply.body_complete && flight->answer.finish()", "reply.body_complete && (flight->answer.finish() || true)",
     SIMULATION),
    ("a server's control characters go into the log",
     "        blank_controls(where);\n", "", ["unit/judge/answer_parser_test.cpp"]),
    ("a record's control characters go into the log",
     "        detail::blank_controls(text);\n", "", ["unit/error_test.cpp"]),
    ("items are judged at another position", "judge_item(items[i], said.type, entry,",
     "judge_item(items[i / 2], said.type, entry,", SIMULATION),
    ("an item's status is reported of another one", "ending.status = items[i].status;",
     "ending.status = items[items.size() - 1 - i].status;", SIMULATION),
    ("everything is sent again after an answer was lost",
     "if (!tried && safe_to_repeat(entry, source, options_.duplicates)) ", "if (!tried) ", SIMULATION),
    ("a script is repeated", "if (entry.action == Action::update && source.find(",
     "if (false && source.find(", ["unit/judge/verdicts_test.cpp"]),
    ("a condition on a sequence number is repeated", "if (entry.has_seq_no) return false;", "",
     ["unit/judge/verdicts_test.cpp"]),
    ("a body that was sent in part was not applied",
     "reply.sent == Sent::none ? ReplyVerdict::retry_unsent",
     "reply.sent != Sent::complete ? ReplyVerdict::retry_unsent", SIMULATION),
    ("a gateway that had no answer has not passed the request on",
     "    case 408: return ReplyVerdict::ambiguous;",
     "    case 502:\n    case 504: return ReplyVerdict::refused;\n    case 408: return ReplyVerdict::ambiguous;",
     SIMULATION),
    ("a missing index is waited for", "        if (fits(rule)) return rule.verdict;\n    return Verdict::reject;",
     "        if (fits(rule)) return rule.verdict;\n    return Verdict::retry;", ["unit/judge/verdicts_test.cpp"]),
    ("every conflict of a create is its own",
     "if (entry.action == Action::create && (entry.already_there || entry.unanswered))",
     "if (entry.action == Action::create)", ["unit/judge/verdicts_test.cpp"]),
    ("attempts never run out", ": entry.attempts >= options_.retry.max_attempts)",
     ": false)", ["unit/flow/indexer_settle_test.cpp"]),
    ("an endpoint that fails is charged to the operations",
     "        flight.bulk.blocked_since = time_point::max();\n",
     "        for (auto& entry : flight.bulk.batch.entries()) count_attempt(entry);\n",
     ["unit/flow/indexer_settle_test.cpp", "unit/send/in_flight_limiter_test.cpp"]),
    ("what grew too old after a lost answer is certainly not there",
     "endings_[i].outcome = bulk.batch.entries()[i].ambiguous ? Outcome::unknown : Outcome::undelivered;",
     "endings_[i].outcome = Outcome::undelivered;", SIMULATION),
    ("a 413 says that the attempt before was not applied",
     "const bool perhaps_there = reply.status == 413 &&", "const bool perhaps_there = reply.status == 499 &&",
     ["unit/flow/indexer_settle_test.cpp"]),
    ("halving forgets an operation", "return (i >= count / 2) == second; }));",
     "return i + 1 < count && (i >= count / 2) == second; }));", SIMULATION),
    ("nothing is learnt from a 413", "        if (reply.status == 413) {\n            ceiling_",
     "        if (reply.status == 499) {\n            ceiling_", ["unit/send/request_ceiling_test.cpp"]),
    ("a request's ceiling never rises again", "bytes_ + bytes_ / 8 + 1", "bytes_",
     ["unit/send/request_ceiling_test.cpp"]),
    ("the survivors of a bulk lose one of them",
     "            if (!keep(i)) continue;\n            kept.bytes_",
     "            if (!keep(i) || i == 7) continue;\n            kept.bytes_", SIMULATION),
    ("one more request is in flight than may be",
     "        if (in_flight >= limit()) return false;\n        return failures_",
     "        if (in_flight > limit()) return false;\n        return failures_", SIMULATION),
    ("nobody waits before a failed endpoint is asked again",
     "return failures_ == 0 || (now >= resume_at_ && !probing_);", "return true;", ["unit/send/in_flight_limiter_test.cpp"]),
    ("a round of refusals halves the limit once for each of them",
     "        if (generation != generation_) return;\n        failures_ = 0;", "        failures_ = 0;",
     ["unit/send/in_flight_limiter_test.cpp"]),
    ("the byte budget is not looked at", "if (kept + f.amply <= f.limit) return Room::amply;",
     "return Room::amply;", SIMULATION),
    ("the operation budget is not looked at", "    return pending + more <= limit;", "    return true;",
     SIMULATION),
    ("what is handed in after a close is taken",
     "        book().offer(1);\n        if (closed_) return refuse(Admission::closed, 1);\n        try {",
     "        book().offer(1);\n        try {", ["unit/flow/indexer_close_test.cpp"]),
    ("a newline inside a document ends its line",
     "if (op.source_has_newline) std::replace(", "if (false) std::replace(", ["unit/batch_test.cpp"]),
    ("a quote inside an id is not escaped", "return byte < 0x20 || byte == '\"' || byte == '\\\\';",
     "return byte < 0x20 || byte == '\\\\';", ["unit/encode/ndjson_test.cpp"]),
    ("the first backoff is no backoff", "const auto least = bound / 10;",
     "const auto least = bound - bound;", ["unit/send/retry_test.cpp"]),
    ("Retry-After is believed without limit",
     "    if (wish > std::chrono::duration_cast<std::chrono::seconds>(most)) return most;\n", "",
     ["unit/send/retry_test.cpp"]),
    ("a dead letter settles before the sink has it",
     "        if (error) {\n            if (sink_failures_", "        if (false) {\n            if (sink_failures_", SIMULATION),
    ("a failing sink is passed over", "return sink_failures_ != 0 || letters_.size()",
     "return letters_.size()", ["unit/dead_letter_test.cpp"]),
    ("a flood goes to the sink", "flood_.judge(items.size(), letters - blocked)) {",
     "flood_.judge(items.size(), letters - blocked) && false) {", ["unit/dead_letter_test.cpp"]),
    ("what was a bad batch starts its flood again and again",
     "window_ = std::max(window_, refused * 100 / options_.percent + 1);", "",
     SIMULATION),
    ("the next operation of an id does not wait", "{ return lines_.try_emplace(key).second; }",
     "{ return lines_.try_emplace(key).second || true; }", SIMULATION),
    ("an id is free as soon as its operation was answered",
     "if (endings_[i].next != Next::settle || !entry.holds_id) continue;", "if (!entry.holds_id) continue;",
     SIMULATION),
    ("the youngest of an id goes first", "auto node = waiting_.extract(line.first);\n        line.first",
     "auto node = waiting_.extract(line.last);\n        line.first", SIMULATION),
    ("an attempt without an answer leaves the order certain",
     "if (entry.unanswered && !entry.has_version)", "if (false)", ["unit/flow/indexer_order_test.cpp"]),
    ("an id made here is made anew",
     "entry.has_id = entry.already_there = true;", "entry.already_there = true;", ["unit/flow/indexer_limits_test.cpp"]),
    ("merged retries share the attempts of the first",
     "entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());",
     "for (auto e : other.entries_) { e.attempts = entries_[0].attempts + 1; entries_.push_back(e); }",
     ["unit/flow/indexer_limits_test.cpp"]),
    ("retries of different flushes are merged", "has_failed(other) != has_failed(bulk) || other.epoch != bulk.epoch ||",
     "has_failed(other) != has_failed(bulk) ||", ["unit/flow/indexer_limits_test.cpp"]),
    ("halves are merged again", "        bulk.apart = true;\n        halve(", "        halve(",
     ["unit/flow/indexer_settle_test.cpp"]),
    ("the retry budget is never used up", "{ return hundredths_ == 0; }", "{ return false; }",
     ["unit/flow/indexer_limits_test.cpp"]),
    ("a close keeps what it did not deliver",
     "        if (why == errc::closed) {\n            hand_back(bulk);", "        if (false) {\n            hand_back(bulk);",
     ["unit/flow/indexer_limits_test.cpp"]),
    ("a close hands back what may have been applied",
     "return endings_[i].outcome == Outcome::undelivered; };", "return endings_[i].outcome != Outcome::indexed; };",
     SIMULATION),
    ("a torn line spoils the next", "if (last != '\\n' && (error = write_all(file.fd(), \"\\n\")))",
     "if (false)", ["unit/sinks_test.cpp"]),
    ("the highest settled offset is stored",
     "return count_ == 0 ? next_ : std::optional{ring_[head_].offset};", "return next_;", KAFKA),
    ("a failed record is passed", "ring_[head_].waiting == 0 && !ring_[head_].failed)",
     "ring_[head_].waiting == 0)", KAFKA),
    ("sequence numbers begin anew with an assignment",
     "        base_ += count_;\n        head_ = count_", "        base_ = 0;\n        head_ = count_", KAFKA),
    ("what ended as unknown moves the offset", "            if (durable(note.outcome)) {\n",
     "            if (durable(note.outcome) || note.outcome == Outcome::unknown) {\n", KAFKA),
    ("the record that did not fit is forgotten",
     "            stash_ = tracked;\n", "", KAFKA),
    ("records are taken while the indexer is full",
     "return !stash_ && !holding_ && !draining_ && !calling_ &&", "return !draining_ && !calling_ &&", KAFKA),
    ("a dead letter's offset moves before the brokers have it",
     "        send_letter(tracked, letter, true);\n        if (!at_least_once())",
     "        send_letter(tracked, letter, true);\n        if (true)", LETTERS),
    ("a dead letter that was refused settles", "            if (!error) {\n                end(p, below,",
     "            if (true) {\n                end(p, below,", LETTERS),
    ("a receipt that nobody called says nothing", "if (desk_) (*this)(errc::sink_failed);", "",
     LETTERS),
    ("the sink completes with the first receipt", "if (--left_ == 0) done_(error_);",
     "if (done_) done_(error_);", LETTERS),
    ("a dead letter of a partition that was given back has no position",
     "if (options_.dead_letters) late_.remember(p.slot, p.tracker, from);", "", LETTERS),
    ("what a closing indexer gave up as unknown is passed by name",
     "const bool unknown = note.outcome == Outcome::unknown && !note.closing;",
     "const bool unknown = note.outcome == Outcome::unknown;", LETTERS),
    ("a secret's memory is given back as it is", "    ~Secret() { detail::wipe(bytes_.get(), room_); }\n", "",
     CREDENTIALS),
    ("a pair of user and password passes through a string", "detail::write_base64(pair.reveal(),",
     "detail::write_base64(std::string{pair.reveal()},", CREDENTIALS),
    ("a password may hold control characters", "static_cast<unsigned char>(c) < 0x20 || c == 0x7F",
     "c == 0x7F", CREDENTIALS),
    ("a token may hold anything", "if (!is_pair() && !detail::is_token68(secret))",
     "if (!is_pair() && secret.empty())", CREDENTIALS),
    ("a URL's password is decoded twice",
     "    auto password = detail::percent_decoded(encoded.substr(colon + 1));",
     "    const auto once = detail::percent_decoded(encoded.substr(colon + 1));\n"
     "    auto password = once ? detail::percent_decoded(once->reveal()) : std::nullopt;", CREDENTIALS),
    ("what a callback throws is told", "                    } catch (...) {",
     "                    } catch (const std::exception& e) {\n                        return {{}, e.what()};\n"
     "                    } catch (...) {", CREDENTIALS),
    ("letters never hold the source up",
     "        if (letter_bytes_ >= options_.max_letter_bytes && !holding_) hold(PauseReason::dead_letters);\n", "", LETTERS),
    ("the errors flag is believed",
     "const auto verdict = judge_item(items[i], said.type, entry, options_.verdicts);",
     "const auto verdict = flight.answer.head().find(\"\\\"errors\\\":false\") != std::string_view::npos\n"
     "    ? Verdict::indexed : judge_item(items[i], said.type, entry, options_.verdicts);", SIMULATION),
    ("for one item that was refused the whole bulk is sent again",
     "        budget_.earn(items.size() - again - letters);",
     "        for (auto& ending : endings_)\n"
     "            if (again != 0) ending.next = Next::again;\n        budget_.earn(0);", SIMULATION),
    ("the operation that is one too many for the open batch is lost",
     "            if (!seal(why)) throw std::bad_alloc{};\n            placed.work = true;\n",
     "            if (!seal(why)) throw std::bad_alloc{};\n            placed.work = true;\n"
     "            (void)book_.accept(size.operations);\n            return placed;\n", SIMULATION),
    ("halving begins the attempts anew",
     "            after += half.batch.footprint();\n            places[",
     "            after += half.batch.footprint();\n            for (auto& e : half.batch.entries()) e.attempts = 0;\n"
     "            places[", SIMULATION),
    ("what survives a bulk begins its attempts anew", "            kept.entries_.push_back(entries_[i]);\n",
     "            kept.entries_.push_back(entries_[i]);\n            kept.entries_.back().attempts = 0;\n", SIMULATION),
    ("halving cuts off one operation at a time",
     "extract([&](std::size_t i) { return (i >= count / 2)", "extract([&](std::size_t i) { return (i >= count / count)",
     SIMULATION),
    ("an early success is believed", "const bool proven = success_status && !reply.error &&",
     "const bool proven = success_status && (!reply.error || reply.error == error_code{errc::early_answer}) &&",
     SIMULATION),
    ("a full disk is charged to the operations",
     "if (verdict != Verdict::push_back && verdict != Verdict::environment) count_attempt(entry);",
     "count_attempt(entry);", SIMULATION),
    ("what is to be discarded goes to the sink",
     "case Verdict::discard: ending.outcome = Outcome::rejected; break;",
     "case Verdict::discard: refuse_for_good(ending); break;", SIMULATION),
    ("a refused item is sent again at once",
     "            due = later(now, backoff(options_.retry, ++bulk.refusals, jitter_()));\n", "", SIMULATION),
    ("Retry-After is not listened to", "            if (retry_after)\n", "            if (false)\n",
     SIMULATION),
    ("a redirect is the operations' fault",
     "if (reply.status >= 300 && reply.status < 500) return ReplyVerdict::misconfigured;",
     "if (reply.status >= 300 && reply.status < 500) return ReplyVerdict::bad_request;", SIMULATION),
    ("the user's rules are not looked at", "    for (const auto& rule : own)\n        if (fits(rule)) return",
     "    for (const auto& rule : own)\n        if (false && fits(rule)) return", SIMULATION),
    ("an idle indexer looks around all the time", "auto next = intake_.flush_due();",
     "auto next = std::min(intake_.flush_due(), later(Clock::now(), std::chrono::milliseconds{100}));", SIMULATION),
    ("a close keeps spare buffers", "pool_.trim(closed ? 0U : 2U, freed);", "pool_.trim(2U, freed);",
     SIMULATION),
    ("a close keeps a buffer that was opened for nothing", "if (!closed || !open_.empty()) return;",
     "return;", SIMULATION),
    ("a flush does not wait until who had dropped operations is told",
     "        return accumulator_.sealed().take_dropped(out);\n",
     "        if (!accumulator_.sealed().take_dropped(out)) return false;\n"
     "        accumulator_.epochs().release(out.epoch, out.tickets.size());\n"
     "        out.epoch = accumulator_.epochs().add(out.tickets.size());\n        return true;\n", ["unit/intake/intake_test.cpp"]),
    ("an offer that drops the oldest wakes nobody",
     "        if (sealed_.has_dropped()) placed.work = true; // observers are to be notified\n", "",
     ["unit/intake/intake_test.cpp"]),
    ("the strand forgets that it asked to be woken",
     "        wake_sent_ = false;\n        if (!accumulator_.open().empty() && now", "        if (!accumulator_.open().empty() && now", ROWS + ["[F108]"]),
    ("the strand's loop is entered again from within itself",
     "        if (pumping_) return; // below us on the stack: a send that completed at once\n", "", ROWS + ["[F103]"]),
    ("what a refused bulk may have applied is forgotten",
     "            for (auto& entry : bulk.batch.entries()) entry.ambiguous = true;\n", "            ;\n",
     ROWS + ["[F030]"]),
    ("an item that a role does not allow is refused for good",
     "    {403, 403, \"security_exception\", Verdict::environment},\n", "", ROWS + ["[F157]"]),
    ("ids are random in virtual time",
     "ClientIds::of<Clock>()", "ClientIds{}", SIMULATION),
    ("an answer that ends with its connection is whole", "parser->is_done() && !parser->need_eof();",
     "parser->is_done();", EXCHANGE),
    ("a connection is used again after a time-out", "    if (error && !early && error",
     "    if (reply.error == error_code{errc::request_timeout}) result.reusable = true;\n"
     "    if (error && !early && error", ["unit/http/http_exchange_faults_test.cpp", "[F053]"]),
    ("a connection on which something unasked came is used again",
     " && !writer->error && buffer.size() == 0;", " && !writer->error;", EXCHANGE),
    ("a connection is used again that the server wants closed",
     "reply.body_complete && parser->keep_alive() && !", "reply.body_complete && !", EXCHANGE),
    ("a body that was taken in part was not sent",
     "writer->written > head_bytes ? Sent::partial : Sent::none;", "Sent::none;", EXCHANGE),
    ("interim answers are read for ever", "status() == 101 || interim == most_interim",
     "status() == 101", EXCHANGE),
    ("an answer may be as large as it likes",
     "            if (piece.size() > body_.room) return errc::answer_too_large;\n", "", EXCHANGE),
    ("an early answer is that of the whole request",
     "} else if (early || (!error && reply.sent != Sent::complete)) {", "} else if (false) {", EXCHANGE),
    ("a peer that takes nothing more is waited for",
     "        writer->stalled = true;\n        abort_stream(stream);\n", "", TRANSPORT),
    ("a request that a closed connection may have carried is sent again",
     "reused && reply.error && reply.status == 0 && reply.sent == Sent::none &&", "reused && reply.error &&", TRANSPORT),
    ("a request that a node may have taken goes to another node",
     "if (!reply.error || reply.status != 0 || reply.sent != Sent::none) break;", "if (!reply.error) break;", TRANSPORT),
    ("nobody looks whether an idle connection is alive", " && C::alive(connection->stream)) {",
     ") {", TRANSPORT + ["[F051]"]),
    ("idle connections stay when nothing is sent", "            if (!sweeping) sweep_later();\n", "",
     TRANSPORT + ["[F052]"]),
    ("a connection is kept whatever became of it", "reusable = result.reusable;",
     "reusable = true;", TRANSPORT + ["[F061]"]),
    ("a connection is dropped after each answer", "reusable = result.reusable;", "", TRANSPORT),
    ("after a 401 the old credentials are used again",
     "        if (reply.status == 401) core->authorization.refused(generation);\n", "", TRANSPORT),
    ("a partition that comes back goes on reading while the source is full",
     "        ++assigned_;\n        apply_pauses();\n", "        ++assigned_;\n", KAFKA_SIMULATION),
    ("a partition that went while it was paused stays so in the client",
     "p.span_exceeded = p.told = p.exact", "p.paused = p.span_exceeded = p.told = p.exact", KAFKA_SIMULATION),
    ("a pause that the client did not take is forgotten",
     "        if (pauses_stale_) apply_pauses();\n", "", KAFKA_SIMULATION),
    ("a kept record stays after its settlement",
     "        if (kept_.bytes() != 0) kept_.drop(p.slot, sequence);\n", "", KAFKA_SIMULATION),
    ("a revocation drains beyond its time",
     "left <= std::chrono::nanoseconds::zero() || !wait", "!wait", KAFKA_SIMULATION),
    ("an offset that could not be stored counts as stored",
     "                p.dirty = true;\n                dirty_[kept++] = &p;\n                continue;\n",
     "                p.floor = *watermark;\n                continue;\n", KAFKA),
    ("a revocation of another partition gives up the record that did not fit",
     "            if (find(name.topic, name.partition) != stash_->partition) continue;\n", "",
     KAFKA_SIMULATION),
    ("an operator is told of each failure at once", "if (!untold_ || (now < tell_at_ && !last)) return;",
     "if (!untold_) return;", SIMULATION),
    ("what was held back from an operator is not told before a close",
     "        tell_events(Clock::now(), true); // also of what the last observers did\n", "", SIMULATION),
    ("what was held back from an operator is told only when something happens",
     "        if (untold_) next = std::min(next, tell_at_);\n", "", ["unit/indexer_event_test.cpp"]),
    ("a refusal is told only when something else happens",
     "return {why, wake && claim_wake_locked(), room_.generation()};",
     "return {why, wake && false, room_.generation()};", ["unit/indexer_event_test.cpp"]),
    ("each of a flood of refusals wakes the strand",
     "!closed_ && !std::exchange(refusal_woke_, true);", "!closed_;", ["unit/indexer_event_test.cpp"]),
    ("a refusal after a close wakes a strand that may be gone",
     "reports_refusals_ && !closed_ &&", "reports_refusals_ &&", ["unit/indexer_event_test.cpp"]),
    ("after it was told of refusals the strand is not woken by one again",
     "        intake_.telling();\n", "", ["unit/indexer_event_test.cpp"]),
    ("a new health alone is not told",
     "untold_ = intake_.trouble() != std::pair{trouble_count(*told_), told_->health};",
     "untold_ = intake_.trouble().first != trouble_count(*told_);", SIMULATION),
    ("what a sink keeps open outlives the close", "            if (!writing_) sink_ = {};", "            ",
     ["unit/sinks_test.cpp"]),
    ("a histogram counts a bulk's operations as one", "stats_.settle_time.record(tally.age, settled);",
     "stats_.settle_time.record(tally.age);", SIMULATION),
    ("what waits to be sent again has no age", "auto oldest = std::min(letter, oldest_retry());",
     "auto oldest = letter;", SIMULATION),
    ("a bucket of a histogram also holds what is beyond it",
     "const auto end = bucket_of(std::uint64_t{1} << exponent);", "const auto end = bucket_of(std::uint64_t{1} << exponent) + 1;",
     ["unit/histogram_test.cpp"]),
    ("a connection for which there is no memory is still in flight",
     "            } catch (...) { // no memory, or a connector that breaks its promise\n"
     "                reply.error = errc::no_answer;\n                reply.detail",
     "            } catch (...) {\n                throw;\n                reply.detail",
     ["unit/http/failover_test.cpp"]),
    ("a question may bring lines of its own", "        Reply reply;\n        const auto visible = [](char c) { return c > ' ' &&",
     "        Reply reply;\n        const auto visible = [](char c) { return c > '\\0' &&", ["unit/http/failover_test.cpp"]),
    ("a node that failed is not rested",
     "            if (failed)\n                rest(node, now);\n            else\n                node.failures = 0;",
     "            if (!failed) node.failures = 0;", ["unit/http/node_set_test.cpp"]),
    ("the node that failed last time is taken again",
     "        if ((a == avoid) != (b == avoid)) return b == avoid;\n", "", ["unit/http/node_set_test.cpp"]),
    ("a batch's own index is not used", "index.empty() ? default_index() : index", "index",
     ["unit/batch_test.cpp"]),
    ("a buffer that is kept for speed stands in for room that is promised",
     "        if (open_.empty()) free_open();\n",
     "", ["unit/intake/intake_test.cpp"]),
    ("what is dropped makes no room", "(f.pending == 0 || f.dropped || f.first_in_line) &&",
     "(f.pending == 0 || f.first_in_line) &&",
     ["unit/intake/intake_test.cpp"]),
    ("the name of a dead-letter file is not synced",
     "            if (!error) error = sync_name_of(file);\n", "", ["unit/sinks_test.cpp"]),
    ("a user's rule fits a type that holds its own", "rule.type == error_type",
     "error_type.find(rule.type) != std::string_view::npos", ["unit/judge/verdicts_test.cpp", "[F289]"]),
    ("of those that wait for an id only the last is remembered",
     "if (line.last != 0) waiting_.find(line.last)->second.next = number;", "", ["unit/send/id_sequencer_test.cpp"]),
    ("a flood that is over begins again with the next bad batch", "operations_ = window_;",
     "operations_ = 0;", ["unit/flow/flood_gauge_test.cpp"]),
    ("an answer in a coding is handed on as it is",
     "            if (!coding.empty()) parser->get().body().sink = &unread;\n", "", EXCHANGE + ["[F218]"]),
    ("a status needs a reason", "const bool ends = line.size() == at + 5 || ", "const bool ends = ",
     EXCHANGE + ["[F219]"]),
    ("header fields are read without end", "if (read_ > most_read)", "if (false)",
     EXCHANGE + ["[F220]"]),
    ("each header field is kept", "kept_ = is_needed(name);", "kept_ = true;", EXCHANGE + ["[F220]"]),
    ("an answer that nobody understands is none",
     "reply.error = misunderstood ? error_code{errc::malformed_answer} : error;", "reply.error = error;", HARD_ANSWERS),
    ("a head that nobody understands is charged to nobody",
     "(reply.status == 0 && reply.error == error_code{errc::malformed_answer}) ||", "", HARD_ANSWERS),
    ("a hook that throws ends the attempt",
     "            if (hook) hook(event);\n        } catch (...) {\n", "            if (hook) hook(event);\n        } catch (const int&) {\n",
     HARD_ANSWERS + ["[F216]"]),
    ("a shutdown ends what other handles have sent", "if (connection->user == &user) under_way", "under_way",
     TRANSPORT + ["[F217]"]),
    ("a handle that was shut down sends", "                user.closed = true;\n", "", TRANSPORT + ["[F217]"]),
    ("a user may ask for a coding", "\"Accept\", \"Accept-Encoding\",", "\"Accept\",", TRANSPORT + ["[F215]"]),
    ("a connection without credentials is closed",
     "                reusable = static_cast<bool>(reply.error); // nothing was sent over it\n", "", TRANSPORT + ["[F227]"]),
    ("a connection lives for ever", "if (most.count() == 0) return time_point::max();", "return time_point::max();",
     TRANSPORT + ["[F223]"]),
    ("connections grow old together", "static_cast<std::int64_t>(jitter() % spread)", "0",
     TRANSPORT + ["[F223]"]),
    ("a connection begins where the last one failed", "                failed = connection.address;\n",
     "                failed.reset();\n", TRANSPORT + ["[F224]"]),
    ("files are read once", "if (found == seen_ && !again) return context_;", "return context_;", TLS_FILES),
    ("files that cannot be used are told of each time", "if (news) tell(problem);", "tell(problem);",
     TLS_FILES + ["[F226]"]),
    ("half of a fingerprint is enough", "                found == wanted)",
     "                std::equal(found.begin(), found.begin() + 16, wanted.begin()))", TLS_FILES + ["[F229]"]),
    ("a head that grows leaves its secret behind", "    text.swap(larger);\n    wipe(larger);\n",
     "    text.swap(larger);\n", ["unit/http/failover_test.cpp", "[F228]"]),
    ("a date in an obsolete form is none", "if (pattern.size() != text.size()) continue;",
     "if (text.size() != 29) continue;", ["unit/send/retry_test.cpp"]),
    ("a name in a caller's own JSON is taken for the document's",
     "            } else if (c == '{' || c == '[') {\n                ++depth;", "            } else if (c == '[') {\n                ++depth;",
     ["unit/action_line_test.cpp"]),
    ("a document of a batch is not parsed, whatever was asked for",
     "if (options_.validate != Validation::full) return std::nullopt;", "return std::nullopt;",
     ["unit/encode/document_check_test.cpp"]),
    ("a document that goes on after its end is whole",
     "if (!error && read == source.size() && read != 0)", "if (!error && read != 0)", ["unit/encode/document_check_test.cpp"]),
    ("a call of one observer keeps another observer and its executor",
     "                group.address = {};\n", "", ["unit/flow/indexer_told_test.cpp"]),
    ("what no executor delivered by the end of a close is not counted",
     "        if (late != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += late; });\n", "",
     ["unit/flow/indexer_told_test.cpp"]),
    ("a bulk on its way to being sent is lost when memory runs out",
     "            auto& bulk = in_hand_; // and", "            bulk_type bulk; // and", ["unit/flow/indexer_memory_test.cpp"]),
    ("an answer that there was no memory to judge is never judged",
     "        flight->unjudged = true;\n", "", ["unit/flow/indexer_memory_test.cpp"]),
    ("a request that never started stays in flight",
     "        if (std::erase(in_flight_, flight) == 0) return; // it has landed already\n", "        return;\n",
     ["unit/flow/indexer_memory_test.cpp"]),
    ("a completion that cannot be posted is lost",
     "            first_->post(first_);\n            pop();\n",
     "            const auto first = first_;\n            pop();\n            first->post(first);\n",
     ["unit/flow/indexer_memory_test.cpp"]),
    ("each look at the flushes that wait looks at all of them",
     "if (deadlines_.empty() || now < deadlines_.begin()->first) return std::nullopt;",
     "bool any = false;\n        for (const auto& one : deadlines_) any = any || !(now < one.first);\n"
     "        if (!any) return std::nullopt;", ["unit/flow/waiters_test.cpp"]),
    ("a slot that is free is never used again", "        free_.push_back(ticket.slot);\n", "",
     ["unit/flow/waiters_test.cpp"]),
    ("no room is held back for the first that waits for it",
     "        if (!first_in_line) f.limit -= std::min(f.limit, reserved_.footprint());\n", "", ["unit/flow/waiters_test.cpp"]),
    ("room stays held back for an operation whose wait was cancelled",
     "            intake_.end_reservation();\n", "", ["unit/flow/waiters_test.cpp"]),
    ("what waits for an id is given up one operation at a time",
     "constexpr std::size_t most_operations = 4096;", "constexpr std::size_t most_operations = 1;",
     ["unit/flow/indexer_order_test.cpp"]),
    ("a close leaves no time to settle what is pending", "constexpr std::int64_t each = 1000;",
     "constexpr std::int64_t each = 1;", ["unit/flow/indexer_order_test.cpp"]),
    ("the next of an id is sent although it is too old",
     "        while (is_aged(oldest_retry())) {", "        if (is_aged(oldest_retry())) {",
     ["unit/flow/indexer_order_test.cpp"]),
    ("ids that were under way keep their memory", "decltype(lines_){}.swap(lines_);", "lines_.clear();",
     ["unit/flow/out_of_memory_test.cpp"]),
    ("a sink does not learn that a close gives up",
     "                    if (writing_) sink_.get()->shutdown();\n", "", ["unit/sinks_test.cpp"]),
    ("a client that goes back leaves the group's offset where it was",
     "if ((p.sought && offset >= *p.sought) || watermark >= p.floor) return;", "return;", IDENTITY),
    ("a caller that seeks by its own will moves the group's offset",
     "        p->sought = offset;\n", "", IDENTITY),
    ("a committed offset that was out of range stays", "p.exact = OffsetSetter<C>;", "", IDENTITY),
    ("a client that turns in a circle goes on", "times_ + 1 >= most;", "false;", IDENTITY),
    ("the id of a record knows no timestamp", "if (record.timestamp_ms < 0) return;", "return;",
     IDENTITY),
    ("an observer of events may poll", "if (!calling_ && !turning_) turn();", "turn();", CALLBACKS),
    ("an observer of events may deliver", "        if (calling_) return Delivered::busy;\n", "",
     CALLBACKS),
    ("an offset is stored before it is told what was given up below it",
     "        update_hold();\n        tell_events();\n", "        update_hold();\n", CALLBACKS),
    ("a mapper that names no index means none",
     "        scratch_.default_index(indexer.options().index);\n", "", LETTERS),
    ("why an operation was refused is not said", "if (mapped == Mapped::invalid) note_why(*wrong);",
     "", LETTERS),
    ("a source takes an indexer that gives up by age", "&& age != unlimited)", "&& false)", KAFKA),
    ("a record that was stashed leaves its position behind",
     "if (stash_ && stash_->partition == &p) drop_stash();", "if (stash_ && stash_->partition == &p) stash_.reset();",
     ["unit/kafka/kafka_parts_test.cpp"]),
    ("a topic that is created again leaves the group above it",
     "        p.exact = true;\n        p.floor = watermark;\n", "", KAFKA_SIMULATION),
    ("records that the driver holds stay when their partition goes",
     "        held_.erase(std::remove_if(held_.begin(), held_.end(), gone), held_.end());\n",
     "        static_cast<void>(gone);\n", ["kafka/rdkafka_test.cpp", "[F255]"]),
    ("a partition that the source has paused stands still",
     "const bool waits = !facts.held_by_us &&", "const bool waits =", ["unit/kafka/kafka_progress_test.cpp"]),
    ("an end that is not known is no reason to wait",
     "const bool behind = !facts.end || ", "const bool behind = facts.end && ", ["unit/kafka/kafka_progress_test.cpp"]),
    ("fetched counts as taken in the lag",
     "        if (drained_ && position_ >= 0) return", "        if (position_ >= 0) return", ["unit/kafka/kafka_progress_test.cpp"]),
    ("a gap that compaction left counts as lost",
     "        if (low <= expected || next <= expected) return;\n        const auto gone = skips_to_end_ ? next : std::min(next, low);",
     "        if (next <= expected) return;\n        const auto gone = next;", ["unit/kafka/kafka_progress_test.cpp"]),
    ("an error that librdkafka reported once is over at once",
     "            if (!one.position) one.position = position;\n", "", ["unit/kafka/kafka_progress_test.cpp"]),
    ("the value of a property that does not exist is shown",
     "    if (result == RD_KAFKA_CONF_UNKNOWN)\n", "    if (false)\n", ["kafka/rdkafka_test.cpp", "[F254]"]),
    ("a close of the driver without a limit does not wait",
     "        closing_by_ =\n            bulkhead::detail::saturating_add<std::chrono::steady_clock>(std::chrono::steady_clock::now(), timeout);\n",
     "        closing_by_ = std::chrono::steady_clock::now() + timeout;\n", ["kafka/progress_test.cpp", "[F253]"]),
    ("a queue that a pause has emptied counts as read",
     "const bool still = position == position_ && !held_;", "const bool still = position == position_;",
     ["unit/kafka/kafka_progress_test.cpp"]),
    ("a shard that is not there is the document's fault",
     "    {503, 503, \"\", Verdict::push_back},", "    {503, 503, \"\", Verdict::retry},", ["unit/flow/endpoint_state_test.cpp"]),
    ("a node that closes is the document's fault",
     "    {500, 599, \"node_closed_exception\", Verdict::push_back},\n", "", ["unit/judge/verdicts_test.cpp"]),
    ("a fault of the server is given up without time",
     "    return options.max_attempts == 1 || since >= std::min(options.min_retry_time, options.max_age);",
     "    return true;", ["unit/flow/endpoint_state_test.cpp"]),
    ("the server waits as long as the client", "request_timeout / 4", "request_timeout",
     ["unit/flow/endpoint_state_test.cpp"]),
    ("what is blocked is kept for ever", "options_.retry.max_blocked != unlimited &&", "false &&", ["unit/flow/endpoint_state_test.cpp"]),
    ("a request that keeps failing stays as large", "        operations_.halve();\n        bytes_.halve();\n",
     "", ["unit/flow/endpoint_state_test.cpp"]),
    ("the size of requests does not come back after an outage",
     "? cap_ * 2 : 0;", "? cap_ : 0;", ["unit/send/size_suspicion_test.cpp"]),
    ("a ceiling is learnt though as much fails",
     "        if (size <= taken_) taken_ = suspect_ = ceiling_ = 0;\n", "", ["unit/flow/endpoint_state_test.cpp"]),
    ("an operation that fails alone is charged while nothing else is taken",
     "(taken_between > 3 * failed_between ||", "(failed_between == 0 ||", ["unit/flow/endpoint_state_test.cpp"]),
    ("an operation that fails alone among others is the endpoint's trouble",
     "        if (!to_blame) return Blame::endpoint;\n", "        return Blame::endpoint;\n", ["unit/flow/endpoint_state_test.cpp"]),
    ("overload is one operation's fault", "taken_between > 3 * failed_between", "taken_between != 0",
     ["unit/flow/endpoint_state_test.cpp"]),
    ("overload is the size's fault", "size < smallest_ && ", "", ["unit/flow/endpoint_state_test.cpp"]),
    ("a probe that says nothing is waited for",
     "        if (generation == generation_) probing_ = false;\n", "", ["unit/send/in_flight_limiter_test.cpp"]),
    ("a user's verdict for 429 is passed over",
     "if (verdict != Verdict::push_back && verdict != Verdict::environment) return std::nullopt;",
     "if (verdict != Verdict::push_back && verdict != Verdict::environment && items[i].status != 429) return std::nullopt;",
     ["unit/flow/endpoint_state_test.cpp"]),
    ("what grows too old does not go to the sink",
     "why == errc::too_old && options_.expired_to_sink &&", "false &&", ["unit/flow/endpoint_state_test.cpp"]),
    ("a flush waits for what was sealed after it",
     "outstanding_.push_back(0);\n        return current();", "(void)0;\n        return current();",
     ["unit/intake/flush_epochs_test.cpp"]),
    ("an epoch that is drained out of turn completes the flushes before it",
     "outstanding_.size() > 1 && outstanding_.front() == 0", "outstanding_.size() > 1 && outstanding_.back() == 0",
     ["unit/intake/flush_epochs_test.cpp"]),
    ("a spare buffer is not counted as in use",
     "        spares_.back().clear();\n        used_ += bytes;\n", "        spares_.back().clear();\n",
     ["unit/intake/buffer_pool_test.cpp"]),
    ("spare buffers may exceed the budget",
     " || used_ + bytes > limits.budget)", ")", ["unit/intake/buffer_pool_test.cpp"]),
    ("a batch takes one operation more than its limit",
     "batch_.operations() + operations > limits_.operations ?", "batch_.operations() > limits_.operations ?",
     ["unit/intake/open_batch_test.cpp"]),
    ("every batch begins small",
     "        last_bytes_ = batch_.bytes();\n", "", ["unit/intake/open_batch_test.cpp"]),
    ("dropping promises the bytes of tickets, which stay",
     "return {bytes_ - tickets_ * sizeof(Ticket), operations_};", "return {bytes_, operations_};",
     ["unit/intake/sealed_queue_test.cpp"]),
    ("the tickets of a dropped batch are forgotten",
     "        if (dropped.observed != 0) dropped_.push_back(std::move(kept));\n", "",
     ["unit/intake/sealed_queue_test.cpp"]),
    ("a withdrawn offer counts",
     "{ stats_.offered -= operations; }", "{ (void)operations; }", ["unit/intake/stats_book_test.cpp"]),
    ("the most frequent failure makes way for a new kind",
     "return a.count < b.count;", "return a.count > b.count;", ["unit/intake/stats_book_test.cpp"]),
    ("a control character of eight bits reaches the log",
     "at(i) == 0xC2 && at(i + 1) >= 0x80 && at(i + 1) < 0xA0", "false", ["unit/text/printable_test.cpp"]),
    ("text is cut within a UTF-8 character",
     "(static_cast<unsigned char>(text[room]) & 0xC0U) == 0x80U) --room;", "false) --room;",
     ["unit/text/printable_test.cpp"]),
    ("an escaped quotation mark ends a string",
     "        if (source[at] == '\\\\') {", "        if (false) {", ["unit/encode/source_line_test.cpp"]),
    ("a newline between values is taken for one in a string",
     "source.find_first_of(quoted ? \"\\\"\\\\\\n\" : \"\\\"\", at)", "source.find_first_of(\"\\\"\\\\\\n\", at)",
     ["unit/encode/source_line_test.cpp"]),
    ("a change before the wait is missed",
     "        ++generation_;\n        const bool awaited", "        const bool awaited",
     ["unit/intake/room_event_test.cpp"]),
    ("a wait for room in a closed indexer goes on",
     "return closed || generation_ != seen;", "return generation_ != seen;", ["unit/intake/room_event_test.cpp"]),
    ("a spare buffer takes room that is reserved",
     "        if (reserved_.operations != 0) return std::move(batch);\n", "", ["unit/intake/accumulator_test.cpp"]),
    ("the bytes of a dropped batch are not given back",
     "pool_.exchange(dropped.footprint, dropped.charge);", "(void)dropped;", ["unit/intake/accumulator_test.cpp"]),
]

# A test's server waits for what does not come; these are given 20 seconds.
HANGS = {"nobody looks whether an idle connection is alive", "idle connections stay when nothing is sent",
         "a connection is kept whatever became of it", "the record that did not fit is forgotten",
         "halves are merged again", "a handle that was shut down sends"}

FOUND_HEAD = """\
# Seeds at the beginning of their lines: each finds the fault that is named, when that is put into the library, by breaking
# the promise after the colon. Written by `./run mutants --found tests/simulation/found.txt`, and to be written again when
# the simulation draws otherwise than before: a seed is then another life. Faults that the simulation has found in earnest
# stand among the mutants, so that they stay in this list.
"""

VACUOUS = 3  # the simulation's exit status when no promise was broken, but something never happened


def headers_with(include, place):
    """The headers with this text, each as often as it holds it."""
    return [path for path in sorted(include.rglob("*.hpp"))
            for _ in range(path.read_text(encoding="utf-8").count(place))]


def try_mutant(options, mutant):
    """killed, or what is wrong."""
    what, place, instead, tests = mutant
    with tempfile.TemporaryDirectory(prefix="bulkhead-mutant-") as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "include", folder / "include")
        found = headers_with(folder / "include", place)
        if len(found) != 1:
            return f"its place was found {len(found)} times"
        found[0].write_text(found[0].read_text(encoding="utf-8").replace(place, instead), encoding="utf-8")
        program = folder / "tests"
        sources = [ROOT / "tests" / test for test in tests if test.endswith(".cpp")]
        simulating = tests[0] == SIMULATION[0]
        if not simulating:
            sources += options.common
        built = subprocess.run(
            [os.environ.get("CXX", "g++"), "-std=c++20", "-O1" if simulating else "-O0", "-w", "-DBOOST_ASIO_DISABLE_EPOLL",
             f"-I{folder}/include", f"-I{ROOT}/tests", *map(str, sources), "-o", str(program), "-lboost_json",
             "-lboost_url", "-pthread", *(["-lssl", "-lcrypto"] if "tls/" in tests[0] else []),
             *(["-lrdkafka"] if tests[0].startswith("kafka/") else [])],
            capture_output=True, text=True, check=False)
        if built.returncode != 0:
            return "it does not compile:\n" + built.stderr[:2000]
        try:
            arguments = [test for test in tests if not test.endswith(".cpp")]
            ran = subprocess.run([str(program), *arguments], capture_output=True, text=True, errors="replace",
                                 timeout=20 if what in HANGS else 90, check=False)
        except subprocess.TimeoutExpired:
            return "killed" if what in HANGS else "survived: the tests hang"
        if ran.returncode == 0:
            return "survived"
        if simulating and ran.returncode == VACUOUS:
            return "survived: no promise was broken, something only never happened"
        if tests == SIMULATION:
            options.found.append((ran.stdout, what))
        return "killed"


def write_found(path, found):
    """The corpus of the simulation: with each of these seeds it notices the mutant."""
    lines = []
    for output, what in found:
        seed = re.search(r"seed (\d+): ([^(\n]*)", output)
        if seed:
            lines.append((int(seed[1]), f"{seed[1]} {what}: {seed[2].strip()}"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(FOUND_HEAD)
        for _, line in sorted(lines):
            file.write(line + "\n")


def main():
    parser = argparse.ArgumentParser(prog="run mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--share", default="1/1", help="i/n: every n-th mutant, from the i-th on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="only those whose name holds this")
    parser.add_argument("--found", metavar="FILE", dest="found_file", help="writes there the seed by which the simulation killed each")
    parser.add_argument("--places", action="store_true", help="only see that each place is there, once")
    options = parser.parse_args()
    if options.places:
        texts = [path.read_text(encoding="utf-8") for path in (ROOT / "include").rglob("*.hpp")]
        lost = [what for what, place, *_ in MUTANTS if sum(text.count(place) for text in texts) != 1]
        for what in lost:
            print(f"{what}: its place is not there, or twice")
        return 1 if lost else 0
    options.found = []
    first, every = map(int, options.share.split("/"))
    chosen = [mutant for mutant in MUTANTS if options.only in mutant[0]][first - 1::every]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bulkhead-mutants-") as folder:
        options.common = []
        for source in ("support/catch_main.cpp", "unit/allocations.cpp"):
            options.common.append(pathlib.Path(folder) / pathlib.Path(source).with_suffix(".o").name)
            subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-O0", "-w", f"-I{ROOT}/tests", "-c",
                            str(ROOT / "tests" / source), "-o", str(options.common[-1])], check=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = list(zip(chosen, pool.map(lambda mutant: try_mutant(options, mutant), chosen)))
    for mutant, result in results:
        print(f"{mutant[0]}: {result}", flush=True)
    if options.found_file:
        write_found(options.found_file, options.found)
    left = sum(result != "killed" for _, result in results)
    print(f"{len(results) - left} of {len(results)} mutants killed in {time.monotonic() - began:.0f} s")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
