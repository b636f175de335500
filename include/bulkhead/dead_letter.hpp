// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/settlement.hpp>

#include <boost/asio/awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1 {

namespace asio = boost::asio;

/// An operation that the server has refused for good, on its way to a sink. A view: what it points to stays valid until
/// the sink's `write` has completed. `source` and `reason` hold the user's data: treat them as sensitive.
struct DeadLetter {
    std::string_view action_line; ///< the operation's action line as sent, without the newline
    std::string_view source;      ///< the document as sent, without the newline; empty for a delete
    std::string_view type;        ///< the server's error type, or the name of a `bulkhead::errc`
    std::string_view reason;      ///< the server's reason, at most 1 KiB; may be empty
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server has answered about this operation.
    std::uint32_t attempts = 0;
    /// The operation's.
    Ticket ticket{};
    std::chrono::nanoseconds age{}; ///< since its batch was opened, when it was refused
    std::string_view topic{};       ///< the Kafka record that it came from, see `KafkaDeadLetters`; empty: not known
    /// -1: not known.
    std::int32_t partition = -1;
    std::int64_t offset = -1; ///< -1: not known
};

/// Where operations go that the server refuses for good.
///
/// `write` is called on the indexer's strand, one call at a time, with the dead letters of one bulk, at least one. When
/// it completes without an error, all of them are safe, and only then do they settle as `Outcome::dead_lettered`. After
/// an error all of them are offered again, with backoff, and nothing else is sent meanwhile (`Health::sink_failing`):
/// so a sink may see one twice. It must not throw, and should end in its own time: the indexer sets it no limit but
/// the close's. A sink that cannot block briefly hops to an executor of its own. It is destroyed, on the strand, when
/// the indexer has closed and no `write` is under way.
///
/// A sink may have a `void shutdown() noexcept`. It is called on the strand, at most once, when a close gives up while
/// a `write` is under way: its letters settle as `Outcome::rejected`, and nothing more should be sent. The `write` then
/// ends soon, with an error.
template <class S>
concept DeadLetterSink = std::move_constructible<S> && requires(S& sink, std::span<const DeadLetter> letters) {
    { sink.write(letters) } -> std::same_as<asio::awaitable<error_code>>;
};

/// Calls a function `error_code(std::span<const DeadLetter>)`, on the indexer's strand: it must not block.
template <std::invocable<std::span<const DeadLetter>> F>
class CallbackSink {
public:
    /// `f` is called with the dead letters of one bulk, and says whether they are safe.
    explicit CallbackSink(F f) : f_{std::move(f)} {}
    /// See `DeadLetterSink`.
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        error_code error = f_(letters);
        co_return error;
    }

private:
    F f_;
};

/// Appends a dead letter as one JSON object, without a newline:
///
///     {"@timestamp":"2026-11-24T10:00:00Z","status":400,"type":"…","reason":"…","attempts":1,"age_ms":12,
///      "ticket":"7","topic":"logs","partition":0,"offset":41,"action":"{\"index\":…}","source":"{\"n\":1}"}
///
/// `ticket` is the key of the operation's ticket, if it had one; a string, since JSON's readers lose the last digits of
/// 64-bit numbers. `topic`, `partition` and `offset` say which Kafka record it came from, where that is known.
/// `action` and `source` are strings, so that they come back byte for byte, whatever the document is. Bytes that are
/// not UTF-8 come as `source_hex`. A delete has no source.
inline void append_dead_letter(std::string& out, const DeadLetter& letter, std::chrono::system_clock::time_point now) {
    const auto field = [&](std::string_view name, std::string_view text) {
        out.append(",\"").append(name).append("\":");
        append_json_string(out, text);
    };
    const auto hex = [&](std::string_view bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        for (const char c : bytes) {
            out += digits[static_cast<unsigned char>(c) >> 4U];
            out += digits[static_cast<unsigned char>(c) & 15U];
        }
    };
    const auto two = [](unsigned n) { return std::string{n < 10 ? "0" : ""} + std::to_string(n); };
    const auto day = std::chrono::floor<std::chrono::days>(now);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss time{std::chrono::floor<std::chrono::seconds>(now - day)};
    out.append("{\"@timestamp\":\"").append(std::to_string(static_cast<int>(date.year())));
    out.append("-" + two(static_cast<unsigned>(date.month())) + "-" + two(static_cast<unsigned>(date.day())));
    out.append("T" + two(static_cast<unsigned>(time.hours().count())));
    out.append(":" + two(static_cast<unsigned>(time.minutes().count())));
    out.append(":" + two(static_cast<unsigned>(time.seconds().count())) + "Z\"");
    out.append(",\"status\":").append(std::to_string(letter.status));
    field("type", is_utf8(letter.type) ? letter.type : "unreadable");
    if (!letter.reason.empty()) field("reason", is_utf8(letter.reason) ? letter.reason : "unreadable");
    out.append(",\"attempts\":").append(std::to_string(letter.attempts));
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(letter.age).count();
    out.append(",\"age_ms\":").append(std::to_string(age));
    if (letter.ticket.slot != Ticket::nobody) field("ticket", std::to_string(letter.ticket.key));
    if (!letter.topic.empty()) {
        field("topic", is_utf8(letter.topic) ? letter.topic : "unreadable");
        out.append(",\"partition\":").append(std::to_string(letter.partition));
        if (letter.offset >= 0) out.append(",\"offset\":").append(std::to_string(letter.offset));
    }
    field("action", letter.action_line);
    if (is_utf8(letter.source)) {
        if (!letter.source.empty()) field("source", letter.source);
    } else {
        out.append(",\"source_hex\":\"");
        hex(letter.source);
        out.append("\"");
    }
    out.append("}");
}

namespace detail {

class AnySink {
public:
    AnySink() = default;
    AnySink(const AnySink&) = delete;
    AnySink& operator=(const AnySink&) = delete;
    virtual ~AnySink() = default;
    virtual asio::awaitable<error_code> write(std::span<const DeadLetter> letters) = 0;
    virtual void shutdown() noexcept = 0;
};
template <class S>
void shut_down_sink(S& sink) noexcept {
    if constexpr (requires { sink.shutdown(); }) sink.shutdown();
}
template <DeadLetterSink S>
class SinkOf final : public AnySink {
public:
    explicit SinkOf(S sink) : sink_{std::move(sink)} {}
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) override { return sink_.write(letters); }
    void shutdown() noexcept override { shut_down_sink(sink_); }

private:
    S sink_;
};

/// Whether most of what is sent is refused for good. Pure; see `FloodOptions`.
class FloodGauge {
public:
    explicit FloodGauge(FloodOptions options) noexcept : options_{options}, window_{options.operations} {}

    /// An answer refused so many of its operations for good. True while it is a flood: then they must wait. It is over
    /// with an answer that is not a part of one; what waited is then judged against so many operations that went well
    /// that the largest part of it passes. (Otherwise a bad batch would start its own flood again and again.)
    [[nodiscard]] bool judge(std::size_t operations, std::size_t refused) noexcept {
        if (options_.percent == 0) return false;
        window_ = std::max(window_, refused * 100 / options_.percent + 1);
        if (flooded_) {
            flooded_ = above(operations, refused);
            if (!flooded_) {
                operations_ = window_;
                refused_ = 0;
            }
            return flooded_;
        }
        operations_ += operations;
        refused_ += refused;
        flooded_ = operations_ >= window_ && above(operations_, refused_);
        if (operations_ >= 2 * window_) { // what was long ago counts less and less
            operations_ /= 2;
            refused_ /= 2;
        }
        return flooded_;
    }
    [[nodiscard]] bool flooded() const noexcept { return flooded_; }

private:
    [[nodiscard]] bool above(std::size_t operations, std::size_t refused) const noexcept {
        return refused * 100 > operations * options_.percent;
    }
    FloodOptions options_;
    std::size_t window_; ///< large enough that what one answer refuses is not a flood by itself
    std::size_t operations_ = 0;
    std::size_t refused_ = 0;
    bool flooded_ = false;
};

} // namespace detail

/// Any dead-letter sink, for the constructor of `BulkIndexer`; the default is none.
class DeadLetters {
public:
    DeadLetters() = default;
    /// Takes any `DeadLetterSink`.
    template <class S>
    requires(!std::same_as<S, DeadLetters>) && DeadLetterSink<S> DeadLetters(S sink)
        : sink_{std::make_unique<detail::SinkOf<S>>(std::move(sink))} {} // NOLINT: meant to convert
    /// For the indexer; null: none.
    [[nodiscard]] detail::AnySink* get() const noexcept { return sink_.get(); }

private:
    std::unique_ptr<detail::AnySink> sink_;
};

} // namespace bulkhead::inline v1
