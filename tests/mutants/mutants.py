#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The power of the tests: breaks the library in ways that matter, one at a time in a copy, and sees who notices.

A mutant is a place in a header, what is written there instead, and what must fail then: the simulation, or some of the
unit or integration tests, which are built alone. A place that is no longer found, or found twice, is an error: the list
follows the code. A mutant that makes the tests hang is killed only where HANGS says so, and one under which the
simulation merely sees less happen has survived: neither is a test that failed.
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
KAFKA = ["unit/kafka_source_test.cpp", "unit/offset_tracker_test.cpp"]
ROWS = ["unit/rows_test.cpp"]
LETTERS = ["unit/kafka_letters_test.cpp"]
IDENTITY = ["unit/kafka_identity_test.cpp"]
CALLBACKS = ["unit/kafka_callbacks_test.cpp"]
CREDENTIALS = ["unit/credentials_test.cpp"]
EXCHANGE = ["unit/http_exchange_test.cpp"]
TRANSPORT = ["integration/http_transport_test.cpp"]
HARD_ANSWERS = ["integration/hard_answers_test.cpp"]
TLS_FILES = ["tls/tls_files_test.cpp"]

# (what is wrong, header, place, instead, who must notice: sources and arguments for the program of them)
MUTANTS = [
    ("an answer with too few items is whole", "response.hpp",
     "return seen_items_ && problem_.empty() && items_.size() == expected_; }",
     "return seen_items_ && problem_.empty(); }", ["unit/response_test.cpp"]),
    ("an item without a status is a success", "response.hpp",
     "            if (!has_status_) return wrong(ec, \"an item without status\");\n", "", ["unit/response_test.cpp"]),
    ("an answer is believed without having been read to its end", "indexer_core.hpp",
     "reply.body_complete && flight->answer.finish()", "reply.body_complete && (flight->answer.finish() || true)",
     SIMULATION),
    ("a server's control characters go into the log", "response.hpp",
     "        blank_controls(where);\n", "", ["unit/response_test.cpp"]),
    ("a record's control characters go into the log", "error.hpp",
     "        detail::blank_controls(text);\n", "", ["unit/error_test.cpp"]),
    ("items are judged at another position", "indexer_core.hpp", "judge_item(items[i], said.type, entry,",
     "judge_item(items[i / 2], said.type, entry,", SIMULATION),
    ("an item's status is reported of another one", "indexer_core.hpp", "ending.status = items[i].status;",
     "ending.status = items[items.size() - 1 - i].status;", SIMULATION),
    ("everything is sent again after an answer was lost", "indexer_core.hpp",
     "if (!tried && safe_to_repeat(entry, source, options_.duplicates)) ", "if (!tried) ", SIMULATION),
    ("a script is repeated", "verdicts.hpp", "if (entry.action == Action::update && source.find(",
     "if (false && source.find(", ["unit/verdicts_test.cpp"]),
    ("a condition on a sequence number is repeated", "verdicts.hpp", "if (entry.has_seq_no) return false;", "",
     ["unit/verdicts_test.cpp"]),
    ("a body that was sent in part was not applied", "verdicts.hpp",
     "reply.sent == Sent::none ? ReplyVerdict::retry_unsent",
     "reply.sent != Sent::complete ? ReplyVerdict::retry_unsent", SIMULATION),
    ("a gateway that had no answer has not passed the request on", "verdicts.hpp",
     "    case 408: return ReplyVerdict::ambiguous;",
     "    case 502:\n    case 504: return ReplyVerdict::refused;\n    case 408: return ReplyVerdict::ambiguous;",
     SIMULATION),
    ("a missing index is waited for", "verdicts.hpp", "        if (fits(rule)) return rule.verdict;\n    return Verdict::reject;",
     "        if (fits(rule)) return rule.verdict;\n    return Verdict::retry;", ["unit/verdicts_test.cpp"]),
    ("every conflict of a create is its own", "verdicts.hpp",
     "if (entry.action == Action::create && (entry.already_there || entry.unanswered))",
     "if (entry.action == Action::create)", ["unit/verdicts_test.cpp"]),
    ("attempts never run out", "indexer_core.hpp", ": entry.attempts >= options_.retry.max_attempts)",
     ": false)", ["unit/indexer_settle_test.cpp"]),
    ("an endpoint that fails is charged to the operations", "indexer_core.hpp",
     "        flight.bulk.blocked_since = time_point::max();\n",
     "        for (auto& entry : flight.bulk.batch.entries()) count_attempt(entry);\n",
     ["unit/indexer_settle_test.cpp", "unit/concurrency_test.cpp"]),
    ("what grew too old after a lost answer is certainly not there", "indexer_core.hpp",
     "endings_[i].outcome = bulk.batch.entries()[i].ambiguous ? Outcome::unknown : Outcome::undelivered;",
     "endings_[i].outcome = Outcome::undelivered;", SIMULATION),
    ("a 413 says that the attempt before was not applied", "indexer_core.hpp",
     "const bool perhaps_there = reply.status == 413 &&", "const bool perhaps_there = reply.status == 499 &&",
     ["unit/indexer_settle_test.cpp"]),
    ("halving forgets an operation", "indexer_core.hpp", "return (i >= count / 2) == second; }));",
     "return i + 1 < count && (i >= count / 2) == second; }));", SIMULATION),
    ("nothing is learnt from a 413", "indexer_core.hpp", "        if (reply.status == 413) {\n            ceiling_",
     "        if (reply.status == 499) {\n            ceiling_", ["unit/request_ceiling_test.cpp"]),
    ("a request's ceiling never rises again", "request_ceiling.hpp", "bytes_ + bytes_ / 8 + 1", "bytes_",
     ["unit/request_ceiling_test.cpp"]),
    ("the survivors of a bulk lose one of them", "batch.hpp",
     "            if (!keep(i)) continue;\n            kept.bytes_",
     "            if (!keep(i) || i == 7) continue;\n            kept.bytes_", SIMULATION),
    ("one more request is in flight than may be", "concurrency.hpp",
     "        if (in_flight >= limit()) return false;\n        return failures_",
     "        if (in_flight > limit()) return false;\n        return failures_", SIMULATION),
    ("nobody waits before a failed endpoint is asked again", "concurrency.hpp",
     "return failures_ == 0 || (now >= resume_at_ && !probing_);", "return true;", ["unit/concurrency_test.cpp"]),
    ("a round of refusals halves the limit once for each of them", "concurrency.hpp",
     "        if (generation != generation_) return;\n        failures_ = 0;", "        failures_ = 0;",
     ["unit/concurrency_test.cpp"]),
    ("the byte budget is not looked at", "room.hpp", "if (kept + f.amply <= f.limit) return Room::amply;",
     "return Room::amply;", SIMULATION),
    ("the operation budget is not looked at", "room.hpp", "    return pending + more <= limit;", "    return true;",
     SIMULATION),
    ("what is handed in after a close is taken", "intake.hpp",
     "        ++stats_.offered;\n        if (closed_) return refuse(Admission::closed, 1);\n        try {",
     "        ++stats_.offered;\n        try {", ["unit/indexer_close_test.cpp"]),
    ("a newline inside a document ends its line", "batch.hpp",
     "if (op.source_has_newline) std::replace(", "if (false) std::replace(", ["unit/batch_test.cpp"]),
    ("a quote inside an id is not escaped", "json_text.hpp", "return byte < 0x20 || byte == '\"' || byte == '\\\\';",
     "return byte < 0x20 || byte == '\\\\';", ["unit/ndjson_test.cpp"]),
    ("the first backoff is no backoff", "retry.hpp", "const auto least = bound / 10;",
     "const auto least = bound - bound;", ["unit/retry_test.cpp"]),
    ("Retry-After is believed without limit", "retry.hpp",
     "    if (wish > std::chrono::duration_cast<std::chrono::seconds>(most)) return most;\n", "",
     ["unit/retry_test.cpp"]),
    ("a dead letter settles before the sink has it", "indexer_core.hpp",
     "        if (error) {\n            if (sink_failures_", "        if (false) {\n            if (sink_failures_", SIMULATION),
    ("a failing sink is passed over", "indexer_core.hpp", "return sink_failures_ != 0 || letters_.size()",
     "return letters_.size()", ["unit/dead_letter_test.cpp"]),
    ("a flood goes to the sink", "indexer_core.hpp", "flood_.judge(items.size(), letters - blocked)) {",
     "flood_.judge(items.size(), letters - blocked) && false) {", ["unit/dead_letter_test.cpp"]),
    ("what was a bad batch starts its flood again and again", "dead_letter.hpp",
     "window_ = std::max(window_, refused * 100 / options_.percent + 1);", "",
     SIMULATION),
    ("the next operation of an id does not wait", "id_order.hpp", "{ return lines_.try_emplace(key).second; }",
     "{ return lines_.try_emplace(key).second || true; }", SIMULATION),
    ("an id is free as soon as its operation was answered", "indexer_core.hpp",
     "if (endings_[i].next != Next::settle || !entry.holds_id) continue;", "if (!entry.holds_id) continue;",
     SIMULATION),
    ("the youngest of an id goes first", "id_order.hpp", "auto node = waiting_.extract(line.first);\n        line.first",
     "auto node = waiting_.extract(line.last);\n        line.first", SIMULATION),
    ("an attempt without an answer leaves the order certain", "indexer_core.hpp",
     "if (entry.unanswered && !entry.has_version)", "if (false)", ["unit/indexer_order_test.cpp"]),
    ("an id made here is made anew", "client_id.hpp",
     "entry.has_id = entry.already_there = true;", "entry.already_there = true;", ["unit/indexer_limits_test.cpp"]),
    ("merged retries share the attempts of the first", "batch.hpp",
     "entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());",
     "for (auto e : other.entries_) { e.attempts = entries_[0].attempts + 1; entries_.push_back(e); }",
     ["unit/indexer_limits_test.cpp"]),
    ("retries of different flushes are merged", "indexer_core.hpp", "has_failed(other) != has_failed(bulk) || other.epoch != bulk.epoch ||",
     "has_failed(other) != has_failed(bulk) ||", ["unit/indexer_limits_test.cpp"]),
    ("halves are merged again", "indexer_core.hpp", "        bulk.apart = true;\n        halve(", "        halve(",
     ["unit/indexer_settle_test.cpp"]),
    ("the retry budget is never used up", "retry.hpp", "{ return hundredths_ == 0; }", "{ return false; }",
     ["unit/indexer_limits_test.cpp"]),
    ("a close keeps what it did not deliver", "indexer_core.hpp",
     "        if (why == errc::closed) {\n            hand_back(bulk);", "        if (false) {\n            hand_back(bulk);",
     ["unit/indexer_limits_test.cpp"]),
    ("a close hands back what may have been applied", "indexer_core.hpp",
     "return endings_[i].outcome == Outcome::undelivered; };", "return endings_[i].outcome != Outcome::indexed; };",
     SIMULATION),
    ("a torn line spoils the next", "sinks/file_sink.hpp", "if (last != '\\n' && (error = write_all(file.fd(), \"\\n\")))",
     "if (false)", ["unit/sinks_test.cpp"]),
    ("the highest settled offset is stored", "offset_tracker.hpp",
     "return count_ == 0 ? next_ : std::optional{ring_[head_].offset};", "return next_;", KAFKA),
    ("a failed record is passed", "offset_tracker.hpp", "ring_[head_].waiting == 0 && !ring_[head_].failed)",
     "ring_[head_].waiting == 0)", KAFKA),
    ("sequence numbers begin anew with an assignment", "offset_tracker.hpp",
     "        base_ += count_;\n        head_ = count_", "        base_ = 0;\n        head_ = count_", KAFKA),
    ("what ended as unknown moves the offset", "kafka_source.hpp", "            if (durable(note.outcome)) {\n",
     "            if (durable(note.outcome) || note.outcome == Outcome::unknown) {\n", KAFKA),
    ("the record that did not fit is forgotten", "kafka_source.hpp",
     "            stash_ = tracked;\n", "", KAFKA),
    ("records are taken while the indexer is full", "kafka_source.hpp",
     "return !stash_ && !holding_ && !draining_ && !calling_ &&", "return !draining_ && !calling_ &&", KAFKA),
    ("a dead letter's offset moves before the brokers have it", "kafka_source.hpp",
     "        send_letter(tracked, letter, true);\n        if (!at_least_once())",
     "        send_letter(tracked, letter, true);\n        if (true)", LETTERS),
    ("a dead letter that was refused settles", "kafka_source.hpp", "            if (!error) {\n                end(p, below,",
     "            if (true) {\n                end(p, below,", LETTERS),
    ("a receipt that nobody called says nothing", "kafka_dead_letter.hpp", "if (desk_) (*this)(errc::sink_failed);", "",
     LETTERS),
    ("the sink completes with the first receipt", "kafka_dead_letter.hpp", "if (--left_ == 0) done_(error_);",
     "if (done_) done_(error_);", LETTERS),
    ("a dead letter of a partition that was given back has no position", "kafka_source.hpp",
     "if (options_.dead_letters) late_.remember(p.slot, p.tracker, from);", "", LETTERS),
    ("what a closing indexer gave up as unknown is passed by name", "kafka_source.hpp",
     "const bool unknown = note.outcome == Outcome::unknown && !note.closing;",
     "const bool unknown = note.outcome == Outcome::unknown;", LETTERS),
    ("a secret's memory is given back as it is", "secret.hpp", "    ~Secret() { detail::wipe(bytes_.get(), room_); }\n", "",
     CREDENTIALS),
    ("a pair of user and password passes through a string", "credentials.hpp", "detail::write_base64(pair.reveal(),",
     "detail::write_base64(std::string{pair.reveal()},", CREDENTIALS),
    ("a password may hold control characters", "credentials.hpp", "static_cast<unsigned char>(c) < 0x20 || c == 0x7F",
     "c == 0x7F", CREDENTIALS),
    ("a token may hold anything", "credentials.hpp", "if (!is_pair() && !detail::is_token68(secret))",
     "if (!is_pair() && secret.empty())", CREDENTIALS),
    ("a URL's password is decoded twice", "credentials.hpp",
     "    auto password = detail::percent_decoded(encoded.substr(colon + 1));",
     "    const auto once = detail::percent_decoded(encoded.substr(colon + 1));\n"
     "    auto password = once ? detail::percent_decoded(once->reveal()) : std::nullopt;", CREDENTIALS),
    ("what a callback throws is told", "secret.hpp", "                    } catch (...) {",
     "                    } catch (const std::exception& e) {\n                        return {{}, e.what()};\n"
     "                    } catch (...) {", CREDENTIALS),
    ("letters never hold the source up", "kafka_source.hpp",
     "        if (letter_bytes_ >= options_.max_letter_bytes && !holding_) hold(PauseReason::dead_letters);\n", "", LETTERS),
    ("the errors flag is believed", "indexer_core.hpp",
     "const auto verdict = judge_item(items[i], said.type, entry, options_.verdicts);",
     "const auto verdict = flight.answer.head().find(\"\\\"errors\\\":false\") != std::string_view::npos\n"
     "    ? Verdict::indexed : judge_item(items[i], said.type, entry, options_.verdicts);", SIMULATION),
    ("for one item that was refused the whole bulk is sent again", "indexer_core.hpp",
     "        budget_.earn(items.size() - again - letters);",
     "        for (auto& ending : endings_)\n"
     "            if (again != 0) ending.next = Next::again;\n        budget_.earn(0);", SIMULATION),
    ("the operation that is one too many for the open batch is lost", "intake.hpp",
     "                return refuse(Admission::full, operations);\n            result.wake = true;\n",
     "                return refuse(Admission::full, operations);\n            stats_.accepted += operations;\n"
     "            stats_.pending += operations;\n            result.wake = !std::exchange(wake_sent_, true);\n"
     "            return result;\n", SIMULATION),
    ("halving begins the attempts anew", "indexer_core.hpp",
     "            after += half.batch.footprint();\n            places[",
     "            after += half.batch.footprint();\n            for (auto& e : half.batch.entries()) e.attempts = 0;\n"
     "            places[", SIMULATION),
    ("what survives a bulk begins its attempts anew", "batch.hpp", "            kept.entries_.push_back(entries_[i]);\n",
     "            kept.entries_.push_back(entries_[i]);\n            kept.entries_.back().attempts = 0;\n", SIMULATION),
    ("halving cuts off one operation at a time", "indexer_core.hpp",
     "extract([&](std::size_t i) { return (i >= count / 2)", "extract([&](std::size_t i) { return (i >= count / count)",
     SIMULATION),
    ("an early success is believed", "indexer_core.hpp", "const bool proven = success_status && !reply.error &&",
     "const bool proven = success_status && (!reply.error || reply.error == error_code{errc::early_answer}) &&",
     SIMULATION),
    ("a full disk is charged to the operations", "indexer_core.hpp",
     "if (verdict != Verdict::push_back && verdict != Verdict::environment) count_attempt(flight, i);",
     "count_attempt(flight, i);", SIMULATION),
    ("what is to be discarded goes to the sink", "indexer_core.hpp",
     "case Verdict::discard: ending.outcome = Outcome::rejected; break;",
     "case Verdict::discard: refuse_for_good(ending); break;", SIMULATION),
    ("a refused item is sent again at once", "indexer_core.hpp",
     "            due = later(now, backoff(options_.retry, ++bulk.refusals, jitter_()));\n", "", SIMULATION),
    ("Retry-After is not listened to", "indexer_core.hpp", "            if (retry_after)\n", "            if (false)\n",
     SIMULATION),
    ("a redirect is the operations' fault", "verdicts.hpp",
     "if (reply.status >= 300 && reply.status < 500) return ReplyVerdict::misconfigured;",
     "if (reply.status >= 300 && reply.status < 500) return ReplyVerdict::bad_request;", SIMULATION),
    ("the user's rules are not looked at", "verdicts.hpp", "    for (const auto& rule : own)\n        if (fits(rule)) return",
     "    for (const auto& rule : own)\n        if (false && fits(rule)) return", SIMULATION),
    ("an idle indexer looks around all the time", "indexer_core.hpp", "auto next = intake_.flush_due();",
     "auto next = std::min(intake_.flush_due(), later(Clock::now(), std::chrono::milliseconds{100}));", SIMULATION),
    ("a close keeps spare buffers", "intake.hpp", "spares_.size() > (closed_ ? 0U : 2U)", "spares_.size() > 2U",
     SIMULATION),
    ("a close keeps a buffer that was opened for nothing", "intake.hpp", "if (!closed_ || !open_.empty()) return;",
     "return;", SIMULATION),
    ("a flush does not wait until who had dropped operations is told", "intake.hpp",
     "        release_epoch(sealed_.front().epoch, entries.size() - told);",
     "        if (told != 0) {\n            dropped_.back().epoch = first_epoch_ + outstanding_.size() - 1;\n"
     "            outstanding_.back() += told;\n        }\n"
     "        release_epoch(sealed_.front().epoch, entries.size());", SIMULATION),
    ("an offer that drops the oldest wakes nobody", "intake.hpp",
     "        if (!dropped_.empty()) result.wake = true; // their observers want to know\n", "",
     ["unit/intake_test.cpp"]),
    ("the strand forgets that it asked to be woken", "intake.hpp",
     "        wake_sent_ = false;\n        if (!open_.empty() && now", "        if (!open_.empty() && now", ROWS + ["[F108]"]),
    ("the strand's loop is entered again from within itself", "indexer_core.hpp",
     "        if (pumping_) return; // below us on the stack: a send that completed at once\n", "", ROWS + ["[F103]"]),
    ("what a refused bulk may have applied is forgotten", "indexer_core.hpp",
     "            for (auto& entry : bulk.batch.entries()) entry.ambiguous = true;\n", "            ;\n",
     ROWS + ["[F030]"]),
    ("an item that a role does not allow is refused for good", "verdicts.hpp",
     "    {403, 403, \"security_exception\", Verdict::environment},\n", "", ROWS + ["[F157]"]),
    ("ids are random in virtual time", "indexer_core.hpp",
     "ClientIds::of<Clock>()", "ClientIds{}", SIMULATION),
    ("an answer that ends with its connection is whole", "http_exchange.hpp", "parser->is_done() && !parser->need_eof();",
     "parser->is_done();", EXCHANGE),
    ("a connection is used again after a time-out", "http_exchange.hpp", "    if (error && !early && error",
     "    if (reply.error == error_code{errc::request_timeout}) result.reusable = true;\n"
     "    if (error && !early && error", ["unit/http_exchange_faults_test.cpp", "[F053]"]),
    ("a connection on which something unasked came is used again", "http_exchange.hpp",
     " && !writer->error && buffer.size() == 0;", " && !writer->error;", EXCHANGE),
    ("a connection is used again that the server wants closed", "http_exchange.hpp",
     "reply.body_complete && parser->keep_alive() && !", "reply.body_complete && !", EXCHANGE),
    ("a body that was taken in part was not sent", "http_exchange.hpp",
     "writer->written > head_bytes ? Sent::partial : Sent::none;", "Sent::none;", EXCHANGE),
    ("interim answers are read for ever", "http_exchange.hpp", "status() == 101 || interim == most_interim",
     "status() == 101", EXCHANGE),
    ("an answer may be as large as it likes", "http_exchange.hpp",
     "            if (piece.size() > body_.room) return errc::answer_too_large;\n", "", EXCHANGE),
    ("an early answer is that of the whole request", "http_exchange.hpp",
     "} else if (early || (!error && reply.sent != Sent::complete)) {", "} else if (false) {", EXCHANGE),
    ("a peer that takes nothing more is waited for", "http_exchange.hpp",
     "        writer->stalled = true;\n        abort_stream(stream);\n", "", TRANSPORT),
    ("a request that a closed connection may have carried is sent again", "http_transport.hpp",
     "reused && reply.error && reply.status == 0 && reply.sent == Sent::none &&", "reused && reply.error &&", TRANSPORT),
    ("a request that a node may have taken goes to another node", "http_transport.hpp",
     "if (!reply.error || reply.status != 0 || reply.sent != Sent::none) break;", "if (!reply.error) break;", TRANSPORT),
    ("nobody looks whether an idle connection is alive", "http_transport.hpp", " && C::alive(connection->stream)) {",
     ") {", TRANSPORT + ["[F051]"]),
    ("idle connections stay when nothing is sent", "http_transport.hpp", "            if (!sweeping) sweep_later();\n", "",
     TRANSPORT + ["[F052]"]),
    ("a connection is kept whatever became of it", "http_transport.hpp", "reusable = result.reusable;",
     "reusable = true;", TRANSPORT + ["[F061]"]),
    ("a connection is dropped after each answer", "http_transport.hpp", "reusable = result.reusable;", "", TRANSPORT),
    ("after a 401 the old credentials are used again", "http_transport.hpp",
     "        if (reply.status == 401) core->authorization.refused(generation);\n", "", TRANSPORT),
    ("a partition that comes back goes on reading while the source is full", "kafka_source.hpp",
     "        ++assigned_;\n        apply_pauses();\n", "        ++assigned_;\n", KAFKA_SIMULATION),
    ("a partition that went while it was paused stays so in the client", "kafka_source.hpp",
     "p.span_exceeded = p.told = p.exact", "p.paused = p.span_exceeded = p.told = p.exact", KAFKA_SIMULATION),
    ("a pause that the client did not take is forgotten", "kafka_source.hpp",
     "        if (pauses_stale_) apply_pauses();\n", "", KAFKA_SIMULATION),
    ("a kept record stays after its settlement", "kafka_source.hpp",
     "        if (kept_.bytes() != 0) kept_.drop(p.slot, sequence);\n", "", KAFKA_SIMULATION),
    ("a revocation drains beyond its time", "kafka_source.hpp",
     "left <= std::chrono::nanoseconds::zero() || !wait", "!wait", KAFKA_SIMULATION),
    ("an offset that could not be stored counts as stored", "kafka_source.hpp",
     "                p.dirty = true;\n                dirty_[kept++] = &p;\n                continue;\n",
     "                p.floor = *watermark;\n                continue;\n", KAFKA),
    ("a revocation of another partition gives up the record that did not fit", "kafka_source.hpp",
     "            if (find(name.topic, name.partition) != stash_->partition) continue;\n", "",
     KAFKA_SIMULATION),
    ("an operator is told of each failure at once", "indexer_core.hpp", "if (!untold_ || (now < tell_at_ && !last)) return;",
     "if (!untold_) return;", SIMULATION),
    ("what was held back from an operator is not told before a close", "indexer_core.hpp",
     "        tell_events(Clock::now(), true); // also of what the last observers did\n", "", SIMULATION),
    ("what was held back from an operator is told only when something happens", "indexer_core.hpp",
     "        if (untold_) next = std::min(next, tell_at_);\n", "", ["unit/indexer_event_test.cpp"]),
    ("a refusal is told only when something else happens", "intake.hpp",
     "return {why, wake && !std::exchange(wake_sent_, true), room_generation_};",
     "return {why, wake && false, room_generation_};", ["unit/indexer_event_test.cpp"]),
    ("each of a flood of refusals wakes the strand", "intake.hpp",
     "!closed_ && !std::exchange(refusal_woke_, true);", "!closed_;", ["unit/indexer_event_test.cpp"]),
    ("a refusal after a close wakes a strand that may be gone", "intake.hpp",
     "tells_refusals_ && !closed_ &&", "tells_refusals_ &&", ["unit/indexer_event_test.cpp"]),
    ("after it was told of refusals the strand is not woken by one again", "indexer_core.hpp",
     "        intake_.telling();\n", "", ["unit/indexer_event_test.cpp"]),
    ("a new health alone is not told", "indexer_core.hpp",
     "untold_ = intake_.trouble() != std::pair{trouble_count(*told_), told_->health};",
     "untold_ = intake_.trouble().first != trouble_count(*told_);", SIMULATION),
    ("what a sink keeps open outlives the close", "indexer_core.hpp", "            if (!writing_) sink_ = {};", "            ",
     ["unit/sinks_test.cpp"]),
    ("a histogram counts a bulk's operations as one", "intake.hpp", "stats_.settle_time.record(tally.age, settled);",
     "stats_.settle_time.record(tally.age);", SIMULATION),
    ("what waits to be sent again has no age", "indexer_core.hpp", "auto oldest = std::min(letter, oldest_retry());",
     "auto oldest = letter;", SIMULATION),
    ("a bucket of a histogram also holds what is beyond it", "histogram.hpp",
     "const auto end = bucket_of(std::uint64_t{1} << exponent);", "const auto end = bucket_of(std::uint64_t{1} << exponent) + 1;",
     ["unit/histogram_test.cpp"]),
    ("a connection for which there is no memory is still in flight", "http_transport.hpp",
     "            } catch (...) { // no memory, or a connector that breaks its promise\n"
     "                reply.error = errc::no_answer;\n                reply.detail",
     "            } catch (...) {\n                throw;\n                reply.detail",
     ["unit/failover_test.cpp"]),
    ("a question may bring lines of its own", "http_transport.hpp", "const auto visible = [](char c) { return c > ' ' &&",
     "const auto visible = [](char c) { return c > '\\0' &&", ["unit/failover_test.cpp"]),
    ("a node that failed is not rested", "node_set.hpp",
     "            if (failed)\n                rest(node, now);\n            else\n                node.failures = 0;",
     "            if (!failed) node.failures = 0;", ["unit/node_set_test.cpp"]),
    ("the node that failed last time is taken again", "node_set.hpp",
     "        if ((a == avoid) != (b == avoid)) return b == avoid;\n", "", ["unit/node_set_test.cpp"]),
    ("a batch's own index is not used", "batch.hpp", "index.empty() ? default_index() : index", "index",
     ["unit/batch_test.cpp"]),
    ("a buffer that is kept for speed stands in for room that is promised", "intake.hpp",
     "        if (open_.empty()) {\n            used_ -= open_.footprint();",
     "        if (false) {\n            used_ -= open_.footprint();", ["unit/intake_test.cpp"]),
    ("what is dropped makes no room", "room.hpp", "(f.pending == 0 || f.dropped || f.first_in_line) &&",
     "(f.pending == 0 || f.first_in_line) &&",
     ["unit/intake_test.cpp"]),
    ("the name of a dead-letter file is not synced", "sinks/file_sink.hpp",
     "            if (!error) error = sync_name_of(file);\n", "", ["unit/sinks_test.cpp"]),
    ("a user's rule fits a type that holds its own", "verdicts.hpp", "rule.type == error_type",
     "error_type.find(rule.type) != std::string_view::npos", ["unit/verdicts_test.cpp", "[F289]"]),
    ("of those that wait for an id only the last is remembered", "id_order.hpp",
     "if (line.last != 0) waiting_.find(line.last)->second.next = number;", "", ["unit/id_order_test.cpp"]),
    ("a flood that is over begins again with the next bad batch", "dead_letter.hpp", "operations_ = window_;",
     "operations_ = 0;", ["unit/flood_gauge_test.cpp"]),
    ("an answer in a coding is handed on as it is", "http_exchange.hpp",
     "            if (!coding.empty()) parser->get().body().sink = &unread;\n", "", EXCHANGE + ["[F218]"]),
    ("a status needs a reason", "answer_head.hpp", "const bool ends = line.size() == at + 5 || ", "const bool ends = ",
     EXCHANGE + ["[F219]"]),
    ("header fields are read without end", "answer_head.hpp", "if (read_ > most_read)", "if (false)",
     EXCHANGE + ["[F220]"]),
    ("each header field is kept", "answer_head.hpp", "kept_ = is_needed(name);", "kept_ = true;", EXCHANGE + ["[F220]"]),
    ("an answer that nobody understands is none", "http_exchange.hpp",
     "reply.error = misunderstood ? error_code{errc::malformed_answer} : error;", "reply.error = error;", HARD_ANSWERS),
    ("a head that nobody understands is charged to nobody", "indexer_core.hpp",
     "(reply.status == 0 && reply.error == error_code{errc::malformed_answer}) ||", "", HARD_ANSWERS),
    ("a hook that throws ends the attempt", "http_transport.hpp",
     "            if (hook) hook(event);\n        } catch (...) {\n", "            if (hook) hook(event);\n        } catch (const int&) {\n",
     HARD_ANSWERS + ["[F216]"]),
    ("a shutdown ends what other handles have sent", "http_transport.hpp", "if (connection->user == &user) under_way", "under_way",
     TRANSPORT + ["[F217]"]),
    ("a handle that was shut down sends", "http_transport.hpp", "                user.closed = true;\n", "", TRANSPORT + ["[F217]"]),
    ("a user may ask for a coding", "header_field.hpp", "\"Accept\", \"Accept-Encoding\",", "\"Accept\",", TRANSPORT + ["[F215]"]),
    ("a connection without credentials is closed", "http_transport.hpp",
     "                reusable = static_cast<bool>(reply.error); // nothing was sent over it\n", "", TRANSPORT + ["[F227]"]),
    ("a connection lives for ever", "http_transport.hpp", "if (most.count() == 0) return time_point::max();", "return time_point::max();",
     TRANSPORT + ["[F223]"]),
    ("connections grow old together", "http_transport.hpp", "static_cast<std::int64_t>(jitter() % spread)", "0",
     TRANSPORT + ["[F223]"]),
    ("a connection begins where the last one failed", "http_transport.hpp", "                failed = connection.address;\n",
     "                failed.reset();\n", TRANSPORT + ["[F224]"]),
    ("files are read once", "tls_files.hpp", "if (found == seen_ && !again) return context_;", "return context_;", TLS_FILES),
    ("files that cannot be used are told of each time", "tls_files.hpp", "if (news) tell(problem);", "tell(problem);",
     TLS_FILES + ["[F226]"]),
    ("half of a fingerprint is enough", "tls_context.hpp", "                found == wanted)",
     "                std::equal(found.begin(), found.begin() + 16, wanted.begin()))", TLS_FILES + ["[F229]"]),
    ("a head that grows leaves its secret behind", "secret.hpp", "    text.swap(larger);\n    wipe(larger);\n",
     "    text.swap(larger);\n", ["unit/failover_test.cpp", "[F228]"]),
    ("a date in an obsolete form is none", "http_date.hpp", "if (pattern.size() != text.size()) continue;",
     "if (text.size() != 29) continue;", ["unit/retry_test.cpp"]),
    ("a name in a caller's own JSON is taken for the document's", "action_line.hpp",
     "            } else if (c == '{' || c == '[') {\n                ++depth;", "            } else if (c == '[') {\n                ++depth;",
     ["unit/action_line_test.cpp"]),
    ("a document of a batch is not parsed, whatever was asked for", "indexer_core.hpp",
     "if (options_.validate != Validation::full) return std::nullopt;", "return std::nullopt;",
     ["unit/document_check_test.cpp"]),
    ("a document that goes on after its end is whole", "document_check.hpp",
     "if (!error && read == source.size() && read != 0)", "if (!error && read != 0)", ["unit/document_check_test.cpp"]),
    ("a call of one observer keeps another observer and its executor", "indexer_core.hpp",
     "                group.address = {};\n", "", ["unit/indexer_told_test.cpp"]),
    ("what no executor delivered by the end of a close is not counted", "indexer_core.hpp",
     "        if (late != 0) intake_.update_stats([&](Stats& stats) { stats.unobserved += late; });\n", "",
     ["unit/indexer_told_test.cpp"]),
    ("a bulk on its way to being sent is lost when memory runs out", "indexer_core.hpp",
     "            auto& bulk = in_hand_; // and", "            bulk_type bulk; // and", ["unit/indexer_memory_test.cpp"]),
    ("an answer that there was no memory to judge is never judged", "indexer_core.hpp",
     "        flight->unjudged = true;\n", "", ["unit/indexer_memory_test.cpp"]),
    ("a request that never started stays in flight", "indexer_core.hpp",
     "        if (std::erase(in_flight_, flight) == 0) return; // it has landed already\n", "        return;\n",
     ["unit/indexer_memory_test.cpp"]),
    ("a completion that cannot be posted is lost", "completion.hpp",
     "            first_->post(first_);\n            pop();\n",
     "            const auto first = first_;\n            pop();\n            first->post(first);\n",
     ["unit/indexer_memory_test.cpp"]),
    ("each look at the flushes that wait looks at all of them", "flush_waiters.hpp",
     "if (deadlines_.empty() || now < deadlines_.begin()->first) return std::nullopt;",
     "bool any = false;\n        for (const auto& one : deadlines_) any = any || !(now < one.first);\n"
     "        if (!any) return std::nullopt;", ["unit/waiters_test.cpp"]),
    ("a slot that is free is never used again", "subscription.hpp", "        free_.push_back(ticket.slot);\n", "",
     ["unit/waiters_test.cpp"]),
    ("no room is held back for the first that waits for it", "intake.hpp",
     "        if (!first_in_line) f.limit -= std::min(f.limit, reserved_bytes_);\n", "", ["unit/waiters_test.cpp"]),
    ("room stays held back for an operation whose wait was cancelled", "indexer_core.hpp",
     "            intake_.end_reservation();\n", "", ["unit/waiters_test.cpp"]),
    ("what waits for an id is given up one operation at a time", "indexer_core.hpp",
     "constexpr std::size_t most_operations = 4096;", "constexpr std::size_t most_operations = 1;",
     ["unit/indexer_order_test.cpp"]),
    ("a close leaves no time to settle what is pending", "close_margin.hpp", "constexpr std::int64_t each = 1000;",
     "constexpr std::int64_t each = 1;", ["unit/indexer_order_test.cpp"]),
    ("the next of an id is sent although it is too old", "indexer_core.hpp",
     "        while (is_aged(oldest_retry())) {", "        if (is_aged(oldest_retry())) {",
     ["unit/indexer_order_test.cpp"]),
    ("ids that were under way keep their memory", "id_order.hpp", "decltype(lines_){}.swap(lines_);", "lines_.clear();",
     ["unit/out_of_memory_test.cpp"]),
    ("a sink does not learn that a close gives up", "indexer_core.hpp",
     "                    if (writing_) sink_.get()->shutdown();\n", "", ["unit/sinks_test.cpp"]),
    ("a client that goes back leaves the group's offset where it was", "kafka_source.hpp",
     "if ((p.sought && offset >= *p.sought) || watermark >= p.floor) return;", "return;", IDENTITY),
    ("a caller that seeks by its own will moves the group's offset", "kafka_source.hpp",
     "        p->sought = offset;\n", "", IDENTITY),
    ("a committed offset that was out of range stays", "kafka_source.hpp", "p.exact = OffsetSetter<C>;", "", IDENTITY),
    ("a client that turns in a circle goes on", "rewinds.hpp", "times_ + 1 >= most;", "false;", IDENTITY),
    ("the id of a record knows no timestamp", "kafka_mappers.hpp", "if (record.timestamp_ms < 0) return;", "return;",
     IDENTITY),
    ("an observer of events may poll", "kafka_source.hpp", "if (!calling_ && !turning_) turn();", "turn();", CALLBACKS),
    ("an observer of events may deliver", "kafka_source.hpp", "        if (calling_) return Delivered::busy;\n", "",
     CALLBACKS),
    ("an offset is stored before it is told what was given up below it", "kafka_source.hpp",
     "        update_hold();\n        tell_events();\n", "        update_hold();\n", CALLBACKS),
    ("a mapper that names no index means none", "kafka_source.hpp",
     "        scratch_.default_index(indexer.options().index);\n", "", LETTERS),
    ("why an operation was refused is not said", "kafka_source.hpp", "if (mapped == Mapped::invalid) note_why(*wrong);",
     "", LETTERS),
    ("a source takes an indexer that gives up by age", "kafka_source.hpp", "&& age != unlimited)", "&& false)", KAFKA),
    ("a record that was stashed leaves its position behind", "kafka_source.hpp",
     "if (stash_ && stash_->partition == &p) drop_stash();", "if (stash_ && stash_->partition == &p) stash_.reset();",
     ["unit/kafka_parts_test.cpp"]),
    ("a topic that is created again leaves the group above it", "kafka_source.hpp",
     "        p.exact = true;\n        p.floor = watermark;\n", "", KAFKA_SIMULATION),
    ("records that the driver holds stay when their partition goes", "kafka/rdkafka.hpp",
     "        held_.erase(std::remove_if(held_.begin(), held_.end(), gone), held_.end());\n",
     "        static_cast<void>(gone);\n", ["kafka/rdkafka_test.cpp", "[F255]"]),
    ("a partition that the source has paused stands still", "kafka/stall_detector.hpp",
     "const bool waits = !facts.held_by_us &&", "const bool waits =", ["unit/kafka_progress_test.cpp"]),
    ("an end that is not known is no reason to wait", "kafka/stall_detector.hpp",
     "const bool behind = !facts.end || ", "const bool behind = facts.end && ", ["unit/kafka_progress_test.cpp"]),
    ("fetched counts as taken in the lag", "kafka/partition_progress.hpp",
     "        if (drained_ && position_ >= 0) return", "        if (position_ >= 0) return", ["unit/kafka_progress_test.cpp"]),
    ("a gap that compaction left counts as lost", "kafka/lost_records.hpp",
     "        if (low <= expected || next <= expected) return;\n        const auto gone = skips_to_end_ ? next : std::min(next, low);",
     "        if (next <= expected) return;\n        const auto gone = next;", ["unit/kafka_progress_test.cpp"]),
    ("an error that librdkafka reported once is over at once", "kafka/reported_errors.hpp",
     "            if (!one.position) one.position = position;\n", "", ["unit/kafka_progress_test.cpp"]),
    ("the value of a property that does not exist is shown", "kafka/rdkafka_handles.hpp",
     "    if (result == RD_KAFKA_CONF_UNKNOWN)\n", "    if (false)\n", ["kafka/rdkafka_test.cpp", "[F254]"]),
    ("a close of the driver without a limit does not wait", "kafka/rdkafka.hpp",
     "        closing_by_ =\n            bulkhead::detail::saturating_add<std::chrono::steady_clock>(std::chrono::steady_clock::now(), timeout);\n",
     "        closing_by_ = std::chrono::steady_clock::now() + timeout;\n", ["kafka/progress_test.cpp", "[F253]"]),
    ("a queue that a pause has emptied counts as read", "kafka/partition_progress.hpp",
     "const bool still = position == position_ && !held_;", "const bool still = position == position_;",
     ["unit/kafka_progress_test.cpp"]),
    ("a shard that is not there is the document's fault", "verdicts.hpp",
     "    {503, 503, \"\", Verdict::push_back},", "    {503, 503, \"\", Verdict::retry},", ["unit/endpoint_state_test.cpp"]),
    ("a node that closes is the document's fault", "verdicts.hpp",
     "    {\"node_closed_exception\", true},\n", "", ["unit/verdicts_test.cpp"]),
    ("a fault of the server is given up without time", "retry.hpp",
     "    return options.max_attempts == 1 || since >= std::min(options.min_retry_time, options.max_age);",
     "    return true;", ["unit/endpoint_state_test.cpp"]),
    ("the server waits as long as the client", "request_target.hpp", "request_timeout / 4", "request_timeout",
     ["unit/endpoint_state_test.cpp"]),
    ("what is blocked is kept for ever", "indexer_core.hpp", "options_.retry.max_blocked != unlimited &&", "false &&", ["unit/endpoint_state_test.cpp"]),
    ("a request that keeps failing stays as large", "size_suspicion.hpp", "        operations_.halve();\n        bytes_.halve();\n",
     "", ["unit/endpoint_state_test.cpp"]),
    ("the size of requests does not come back after an outage", "size_suspicion.hpp",
     "? cap_ * 2 : 0;", "? cap_ : 0;", ["unit/size_suspicion_test.cpp"]),
    ("a ceiling is learnt though as much fails", "size_suspicion.hpp",
     "        if (size <= taken_) taken_ = suspect_ = ceiling_ = 0;\n", "", ["unit/endpoint_state_test.cpp"]),
    ("an operation that fails alone is charged while nothing else is taken", "indexer_core.hpp",
     "(taken_between > 3 * failed_between ||", "(failed_between == 0 ||", ["unit/endpoint_state_test.cpp"]),
    ("an operation that fails alone among others is the endpoint's trouble", "indexer_core.hpp",
     "        if (!to_blame) return Blame::endpoint;\n", "        return Blame::endpoint;\n", ["unit/endpoint_state_test.cpp"]),
    ("overload is one operation's fault", "indexer_core.hpp", "taken_between > 3 * failed_between", "taken_between != 0",
     ["unit/endpoint_state_test.cpp"]),
    ("overload is the size's fault", "size_suspicion.hpp", "size < smallest_ && ", "", ["unit/endpoint_state_test.cpp"]),
    ("a probe that says nothing is waited for", "concurrency.hpp",
     "        if (generation == generation_) probing_ = false;\n", "", ["unit/concurrency_test.cpp"]),
    ("a user's verdict for 429 is passed over", "indexer_core.hpp",
     "if (verdict != Verdict::push_back && verdict != Verdict::environment) return std::nullopt;",
     "if (verdict != Verdict::push_back && verdict != Verdict::environment && items[i].status != 429) return std::nullopt;",
     ["unit/endpoint_state_test.cpp"]),
    ("what grows too old does not go to the sink", "indexer_core.hpp",
     "why == errc::too_old && options_.expired_to_sink &&", "false &&", ["unit/endpoint_state_test.cpp"]),
    ("a node that fails with an operation on its way has not applied it", "verdicts.hpp",
     "return found != nullptr && found->perhaps_applied;", "return false;", ["unit/endpoint_state_test.cpp", "[F300]"]),
    ("an operation without id is sent again after its node failed, when all of a bulk were", "indexer_core.hpp",
     "            if (safe_to_repeat(entry, source, options_.duplicates)) continue;\n", "            continue;\n",
     ["unit/endpoint_state_test.cpp", "[F300]"]),
    ("an operation that makes nonsense takes its neighbours with it", "indexer_core.hpp",
     "const bool may_end = entries.size() == 1 || lasts ||", "const bool may_end = true ||",
     ["unit/endpoint_state_test.cpp", "[F301]"]),
    ("nonsense is never parted", "indexer_core.hpp",
     "(bulk.nonsense > most && contrast)) bulk.in_halves = true;", "(bulk.nonsense > most && contrast)) {}",
     ["unit/endpoint_state_test.cpp", "[F301]"]),
    ("a bulk that meets 429 shrinks nothing while others are taken", "indexer_core.hpp",
     "if (status == 429 && bulk.batch.operations() > 1) {", "if (false) {", ["unit/endpoint_state_test.cpp", "[F302]"]),
    ("what is not allowed is still counted after another answer", "indexer_core.hpp",
     "        for (auto& entry : flight.bulk.batch.entries()) note_allowed(entry, false);\n", "",
     ["unit/endpoint_state_test.cpp", "[F303]"]),
    ("a close keeps what was too old and waited for the sink", "indexer_core.hpp",
     "            if (count != 0) undelivered_.push_back(std::move(part));\n", "",
     ["unit/indexer_close_test.cpp", "[F304]"]),
    ("an answer that is judged again is judged on what the first time left", "indexer_core.hpp",
     "        restore(*flight, before);\n", "", ["unit/indexer_memory_test.cpp", "[F305]"]),
    ("an answer that is judged again is counted again", "indexer_core.hpp",
     "const bool counted = (flight.counted & what) != 0;", "const bool counted = false;",
     ["unit/indexer_memory_test.cpp", "[F305]"]),
    ("what there was no memory to send waits for something else to happen", "indexer_core.hpp",
     "            if (!in_hand_.batch.empty()) next = std::min(next, resume_at());\n", "",
     ["unit/indexer_memory_test.cpp", "[F306]"]),
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


def try_mutant(options, mutant):
    """killed, or what is wrong."""
    what, header, place, instead, tests = mutant
    with tempfile.TemporaryDirectory(prefix="bulkhead-mutant-") as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "include", folder / "include")
        path = folder / "include" / "bulkhead" / header
        text = path.read_text(encoding="utf-8")
        if text.count(place) != 1:
            return f"its place was found {text.count(place)} times in {header}"
        path.write_text(text.replace(place, instead), encoding="utf-8")
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
        lost = [what for what, header, place, *_ in MUTANTS
                if (ROOT / "include" / "bulkhead" / header).read_text(encoding="utf-8").count(place) != 1]
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
