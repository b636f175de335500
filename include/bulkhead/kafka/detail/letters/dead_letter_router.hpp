// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/detail/letters/letter_inbox.hpp>
#include <bulkhead/kafka/detail/letters/record_cache.hpp>
#include <bulkhead/kafka/detail/letters/revoked_offsets.hpp>
#include <bulkhead/kafka/detail/partition_table.hpp>
#include <bulkhead/kafka/detail/settlement_inbox.hpp>
#include <bulkhead/kafka/letter_writer.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace bulkhead::inline v1::detail {

/// A record that is tracked.
struct Tracked {
    Partition* partition = nullptr;
    OffsetTracker::Sequence sequence = 0;
    std::int64_t offset = 0;
};

/// Where a dead letter came from.
struct Origin {
    const Partition* partition = nullptr;
    OffsetTracker::Sequence sequence = 0;
    std::optional<std::int64_t> offset{};
};

/// The dead letters of a source, on their way to the consumer: it knows their records, their positions and their bytes.
/// Those of the indexer's sink come in through its inbox, and so do the receipts of the source's own.
class DeadLetterRouter {
public:
    /// `dead_letters`: the sink's, if this source takes any; their positions outlive an assignment.
    DeadLetterRouter(const std::shared_ptr<SettlementInbox>& wakes, const std::optional<KafkaDeadLetters>& dead_letters)
        : inbox_{std::make_shared<LetterInbox>(wakes)}, places_{dead_letters.has_value()} {
        if (dead_letters && !dead_letters->connect(inbox_))
            throw InvalidOption{{"dead_letters", "those of no other source", "those of another source"}};
    }
    void close() noexcept { inbox_->close(); }
    [[nodiscard]] LetterInbox::Drained take() noexcept { return inbox_->take(); }

    /// Bytes of the source's own letters whose receipts have not come in.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t cached_bytes() const noexcept { return cache_.bytes(); }

    /// Copies a record for its dead letter. Without memory its dead letter is the operation alone.
    void keep(const Tracked& tracked, const Record& record) {
        try {
            cache_.keep(tracked.partition->slot, tracked.sequence, record);
        } catch (const std::bad_alloc&) {
        }
    }
    /// All of a record's operations have ended: no dead letter will come of it.
    void ended(const Partition& p, OffsetTracker::Sequence sequence) noexcept {
        if (cache_.bytes() != 0) cache_.drop(p.slot, sequence);
    }
    /// An operation, or all that are left of a record, ended after its partition was revoked or rewound.
    void ended_late(const Partition& p, OffsetTracker::Sequence sequence, bool whole_record) noexcept {
        if (!revoked_.empty()) revoked_.settled(p.slot, sequence, whole_record);
    }
    /// Before the tracker forgets what waits at and above `from`.
    void forgetting(const Partition& p, std::int64_t from) noexcept {
        if (places_) revoked_.remember(p.slot, p.tracker, from);
    }
    /// After that.
    void forgotten(const Partition& p) noexcept {
        if (cache_.bytes() == 0) return;
        cache_.drop_if(p.slot, [&p](OffsetTracker::Sequence sequence) { return !p.tracker.awaits(sequence); });
    }

    /// Sends a letter of the source's own, with the record if it was kept. Its receipt settles one operation of the
    /// record, or all.
    template <class C>
    void send(C& consumer, const Tracked& tracked, KafkaLetter letter, std::uint64_t key, bool whole_record) {
        if (letter.record != nullptr || whole_record) return write(consumer, tracked, letter, key, whole_record);
        cache_.with(tracked.partition->slot, tracked.sequence, [&](const Record* record) {
            letter.record = record;
            write(consumer, tracked, letter, key, whole_record);
        });
    }
    /// One of `send`'s receipts has come in.
    void received(const ReceiptToken& token) noexcept { bytes_ -= token.bytes; }

    /// Writes letters of the sink with their positions. `origin_of(ticket)` is without a partition for a ticket of
    /// another observer.
    template <class C, class OriginOf>
    void write_all(C& consumer, const std::shared_ptr<SinkWrite>& write, OriginOf origin_of) {
        if (!writes_letters(consumer)) return write->abandon(errc::letters_not_taken);
        for (const auto& from : write->letters()) {
            KafkaLetter letter;
            letter.type = from.type;
            letter.reason = from.reason;
            letter.status = from.status;
            letter.attempts = from.attempts;
            letter.action_line = from.action_line;
            letter.source = from.source;
            const Origin origin = origin_of(from.ticket);
            place(letter, origin);
            const auto slot = origin.partition == nullptr ? PartitionTable::max_partitions : origin.partition->slot;
            cache_.with(slot, origin.sequence, [&](const Record* record) {
                letter.record = record;
                if constexpr (LetterWriter<C>) consumer.write_letter(letter, LetterReceipt{write, {}});
            });
        }
    }
    /// Fills in the positions of letters that go to another sink. Without memory they go without.
    template <class OriginOf>
    void place_all(PlacedLetters& letters, OriginOf origin_of) noexcept {
        try {
            for (auto& letter : letters.letters()) {
                KafkaLetter from;
                if (place(from, origin_of(letter.ticket))) letters.place(letter, from);
            }
        } catch (const std::bad_alloc&) {
        }
    }

private:
    template <class C>
    void write(C& consumer, const Tracked& tracked, KafkaLetter& letter, std::uint64_t key, bool whole_record) {
        auto bytes = letter.action_line.size() + letter.source.size() + letter.reason.size() + 64;
        if (letter.record != nullptr)
            bytes += letter.record->key.value_or("").size() + letter.record->payload.value_or("").size();
        bytes_ += bytes;
        place(letter, {tracked.partition, tracked.sequence, tracked.offset});
        if constexpr (LetterWriter<C>) consumer.write_letter(letter, LetterReceipt{inbox_, {key, bytes, whole_record}});
    }
    /// False when nothing is known.
    bool place(KafkaLetter& letter, const Origin& origin) noexcept {
        if (origin.partition == nullptr) return false;
        const auto& p = *origin.partition;
        const auto offset = origin.offset ? origin.offset : revoked_.offset_of(p.slot, origin.sequence);
        letter.topic = p.topic;
        letter.partition = p.number;
        letter.offset = offset.value_or(-1);
        return true;
    }

    std::shared_ptr<LetterInbox> inbox_;
    RecordCache cache_;
    RevokedOffsets revoked_;
    std::size_t bytes_ = 0;
    const bool places_;
};

} // namespace bulkhead::inline v1::detail
