// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/kafka/record.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

/// Dead letters for a Kafka topic, their receipts, and the concept of a consumer that writes them.
namespace bulkhead::inline v1 {

/// A record, or one operation of a record, on its way to a dead-letter topic. Views, valid only during the call.
/// `reason` and all bytes hold the user's data: treat them as sensitive.
struct KafkaLetter {
    std::string_view topic{}; ///< where it came from; empty when that is not known (another source's, or no record's)
    /// -1: not known.
    std::int32_t partition = -1;
    /// -1: not known.
    std::int64_t offset = -1;
    std::string_view type{}; ///< the server's error type, or `invalid`, `tombstone`, `too_large`, `unknown_outcome`
    /// Of the server or of the source; at most 1 KiB, may be empty. Sensitive.
    std::string_view reason{};
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server has answered about it.
    std::uint32_t attempts = 0;
    std::string_view action_line{}; ///< of the operation; empty when the record never became one
    std::string_view source{};      ///< of the operation
    const Record* record = nullptr; ///< the record itself, where it is at hand or was kept (`keep_records`)
};

namespace detail {

/// What a receipt is about: a ticket's key, and whether it settles all operations of the record or one.
struct ReceiptToken {
    std::uint64_t key = 0;
    std::size_t bytes = 0;
    bool whole_record = false;
};
/// Takes receipts. Any thread.
class ReceiptHandler {
public:
    ReceiptHandler() = default;
    ReceiptHandler(const ReceiptHandler&) = delete;
    ReceiptHandler& operator=(const ReceiptHandler&) = delete;
    virtual ~ReceiptHandler() = default;
    virtual void received(const ReceiptToken& token, error_code error) noexcept = 0;
};

} // namespace detail

/// Reports once, on any thread, that a letter is safe, or why it is not. Destroyed uncalled, it reports
/// `errc::sink_failed`.
class LetterReceipt {
public:
    /// For the source: reports to `handler`.
    LetterReceipt(std::shared_ptr<detail::ReceiptHandler> handler, detail::ReceiptToken token) noexcept
        : handler_{std::move(handler)}, token_{token} {}
    /// Moves; what was moved from reports nothing.
    LetterReceipt(LetterReceipt&&) = default;
    LetterReceipt& operator=(LetterReceipt&&) = delete;
    ~LetterReceipt() {
        if (handler_) (*this)(errc::sink_failed);
    }
    /// Reports how the letter fared: success means that it is safe. Once, from any thread.
    void operator()(error_code error) noexcept { std::exchange(handler_, nullptr)->received(token_, error); }

private:
    std::shared_ptr<detail::ReceiptHandler> handler_;
    detail::ReceiptToken token_;
};

/// A `Consumer` that can also write dead letters. Called on the source's thread; must not throw and must not block:
///
/// - `write_letter(letter, receipt)`: copy the letter, send it, and call the receipt when it is safe, or when it can
///   never be. Until then it counts as waiting, and the watermark does not pass it.
/// - `writes_letters()`: whether it is set up to do so.
template <class C>
concept LetterWriter = Consumer<C> && requires(C& client, const KafkaLetter& letter, LetterReceipt receipt) {
    client.write_letter(letter, std::move(receipt));
    { client.writes_letters() } -> std::convertible_to<bool>;
};

namespace detail {

/// Whether this consumer writes dead letters.
template <class C>
[[nodiscard]] bool writes_letters(const C& consumer) noexcept {
    if constexpr (LetterWriter<C>) {
        return consumer.writes_letters();
    } else {
        return false;
    }
}

} // namespace detail

} // namespace bulkhead::inline v1
