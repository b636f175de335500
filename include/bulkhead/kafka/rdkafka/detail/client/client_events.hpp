// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/client_event.hpp>
#include <bulkhead/kafka/rdkafka/detail/commit/commit_result.hpp>

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cstdint>
#include <string_view>

namespace bulkhead::inline v1::kafka::detail {

/// Called by the client on the thread that polls it, but for log lines while nothing polls.
class ClientListener {
public:
    virtual void on_assigned(const rd_kafka_topic_partition_list_t& list) = 0;
    virtual void on_revoked(const rd_kafka_topic_partition_list_t& list) = 0;
    virtual void on_lost(const rd_kafka_topic_partition_list_t& list) = 0;
    virtual void on_notice(const ClientEvent& event) noexcept = 0;
    virtual void on_commit(const CommitResult& result) noexcept = 0;
    /// An error that came instead of a record. `on_notice` is called with it, too.
    virtual void on_error_message(const ClientEvent& event) noexcept = 0;
    virtual void on_statistics(std::string_view json) noexcept = 0;
    /// What the group had committed when it assigned this partition; below 0: nothing.
    virtual void on_committed(std::uint64_t generation, const rd_kafka_topic_partition_t& partition) noexcept = 0;

protected:
    ClientListener() = default;
    ClientListener(const ClientListener&) = default;
    ClientListener& operator=(const ClientListener&) = default;
    ~ClientListener() = default;
};

/// An error from which librdkafka recovers by itself, or a fatal one.
[[nodiscard]] inline ClientEvent error_event(error_code error, std::string_view text, bool fatal = false) noexcept {
    return {.kind = fatal ? ClientEvent::Kind::fatal : ClientEvent::Kind::error,
            .level = fatal ? 2 : 3,
            .error = error,
            .text = text};
}

/// A commit that failed, and was not stale.
[[nodiscard]] inline ClientEvent commit_failed_event(const CommitResult& result) noexcept {
    return {.kind = ClientEvent::Kind::commit_failed,
            .level = result.fate == CommitFate::refused ? 3 : 4,
            .error = make_error(result.error),
            .text = rd_kafka_err2str(result.error)};
}

/// The way from librdkafka's callbacks to the listener, until it is disconnected. Callbacks may come later: the handle
/// may be destroyed on another thread.
class ClientEvents {
public:
    explicit ClientEvents(ClientListener& listener) noexcept : listener_{&listener} {}
    ClientEvents(const ClientEvents&) = delete;
    ClientEvents& operator=(const ClientEvents&) = delete;

    void disconnect() noexcept { listener_.store(nullptr); }
    /// Calls `f(ClientListener&)` while there is a listener.
    template <class F>
    void call(F f) {
        if (auto* const listener = listener_.load()) f(*listener);
    }
    void notify(const ClientEvent& event) noexcept {
        call([&](ClientListener& listener) { listener.on_notice(event); });
    }
    /// Notifies of an error from which librdkafka recovers by itself.
    void error(rd_kafka_resp_err_t code, std::string_view text) noexcept {
        notify(error_event(make_error(code), text));
    }

private:
    std::atomic<ClientListener*> listener_;
};

} // namespace bulkhead::inline v1::kafka::detail
