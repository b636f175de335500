// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/kafka/source.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/test/model_kafka.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// The indexer and the client of a `KafkaSource`, which report each call of it.
namespace bulkhead::inline v1::test::simulation {

/// What a source does with its indexer and its client.
class SourceListener {
public:
    SourceListener() = default;
    SourceListener(const SourceListener&) = delete;
    SourceListener& operator=(const SourceListener&) = delete;

    /// It hands a record's operations to its indexer, or tries to.
    virtual void offered(const Batch& scratch, std::uint64_t key, Admission admission) noexcept = 0;
    /// Its indexer settles an operation.
    virtual void settled(const Settlement& settlement) noexcept = 0;
    /// It stores an offset, or tries to.
    virtual void stored(TopicPartition of, std::int64_t next, error_code error) noexcept = 0;
    /// It sets an offset, or tries to.
    virtual void set(TopicPartition of, std::int64_t next, error_code error) noexcept = 0;
    virtual void pause_failed() noexcept = 0;
    /// It posts a dead letter.
    virtual void posted(const KafkaLetter& letter) noexcept = 0;

protected:
    ~SourceListener() = default;
};

/// A member's time, which passes when its source waits.
class SourceWait {
public:
    SourceWait() = default;
    SourceWait(const SourceWait&) = delete;
    SourceWait& operator=(const SourceWait&) = delete;
    /// Returns when there is something for the source, or, with true, when its time is up.
    virtual bool wait() = 0;

protected:
    ~SourceWait() = default;
};

/// The indexer of a source.
class WatchedIndexer {
public:
    using Indexer = BulkIndexer<ScriptedTransport, ManualClock>;

    WatchedIndexer(SourceListener& listener, SourceWait& wait, Indexer& indexer)
        : listener_{listener}, wait_{wait}, indexer_{indexer} {}
    [[nodiscard]] Admission try_enqueue(const Batch& scratch, Ticket ticket) noexcept {
        const auto admission = indexer_.try_enqueue(scratch, ticket);
        listener_.offered(scratch, ticket.key, admission);
        return admission;
    }
    void flush() noexcept { indexer_.flush(); }
    template <class Observer>
    [[nodiscard]] Subscription subscribe(const asio::any_io_executor& executor, Observer observer) {
        return indexer_.subscribe(executor, [listener = &listener_, observer](std::span<const Settlement> settlements) {
            for (const auto& one : settlements) listener->settled(one);
            observer(settlements);
        });
    }
    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return indexer_.get_executor(); }
    [[nodiscard]] const IndexerOptions& options() const noexcept { return indexer_.options(); }
    /// Called before a source waits: here time passes until there is something for it.
    [[nodiscard]] bool running_in_this_thread() { return wait_.wait(); }

private:
    SourceListener& listener_;
    SourceWait& wait_;
    Indexer& indexer_;
};

/// The client of a source.
class WatchedClient : public ModelConsumer {
public:
    WatchedClient(SourceListener& listener, ModelKafka& kafka, std::string instance)
        : ModelConsumer{kafka, std::move(instance)}, listener_{listener} {}
    error_code store_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        const auto error = ModelConsumer::store_offset(topic, partition, next);
        listener_.stored({topic, partition}, next, error);
        return error;
    }
    error_code set_offset(std::string_view topic, std::int32_t partition, std::int64_t next) {
        const auto error = ModelConsumer::set_offset(topic, partition, next);
        listener_.set({topic, partition}, next, error);
        return error;
    }
    error_code pause(std::string_view topic, std::int32_t partition) {
        if (pause_error) listener_.pause_failed();
        return ModelConsumer::pause(topic, partition);
    }
    void write_letter(const KafkaLetter& letter, LetterReceipt receipt) {
        listener_.posted(letter);
        ModelConsumer::write_letter(letter, std::move(receipt));
    }

private:
    SourceListener& listener_;
};

} // namespace bulkhead::inline v1::test::simulation
