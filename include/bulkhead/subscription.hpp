// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>
#include <bulkhead/transport.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <concepts>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

namespace detail {

class AnyObserver {
public:
    AnyObserver() = default;
    AnyObserver(const AnyObserver&) = delete;
    AnyObserver& operator=(const AnyObserver&) = delete;
    virtual ~AnyObserver() = default;
    virtual void tell(std::span<const Settlement> settlements) = 0;
};

template <class F>
class ObserverOf final : public AnyObserver {
public:
    explicit ObserverOf(F f) : f_{std::move(f)} {}
    void tell(std::span<const Settlement> settlements) override { f_(settlements); }

private:
    F f_;
};

/// Who wants to be told, by slot and generation. Thread-safe. Outlives the indexer as long as a `Subscription` does.
class Observers {
public:
    struct Address {
        std::shared_ptr<AnyObserver> observer; ///< nullptr when the subscription is gone
        asio::any_io_executor executor;
    };
    [[nodiscard]] Ticket add(std::shared_ptr<AnyObserver> observer, asio::any_io_executor executor) {
        const std::lock_guard lock{mutex_};
        if (free_.empty()) {
            if (free_.capacity() <= slots_.size()) free_.reserve(2 * slots_.size() + 1); // `remove` needs no memory
            slots_.emplace_back();
            free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
        }
        const auto slot = free_.back();
        free_.pop_back();
        slots_[slot].address = {std::move(observer), std::move(executor)};
        return {slot, slots_[slot].generation, 0};
    }
    void remove(Ticket ticket) noexcept {
        Address gone; // destroyed outside the lock: the observer is the user's code
        const std::lock_guard lock{mutex_};
        auto& slot = slots_[ticket.slot];
        ++slot.generation;
        gone = std::exchange(slot.address, {});
        free_.push_back(ticket.slot);
    }
    [[nodiscard]] Address find(Ticket ticket) const {
        const std::lock_guard lock{mutex_};
        if (ticket.slot >= slots_.size() || slots_[ticket.slot].generation != ticket.generation) return {};
        return slots_[ticket.slot].address;
    }

private:
    struct Slot {
        std::uint32_t generation = 0;
        Address address;
    };
    mutable std::mutex mutex_;
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_; ///< slots without an observer; its capacity is at least their number
};

} // namespace detail

/// The right to be told how operations end. Made by `BulkIndexer::subscribe`; move-only; when it is destroyed or reset,
/// later settlements of its tickets are counted as `Stats::unobserved` and told to nobody. A call of the observer that
/// has begun on another thread may still be running then. Not thread-safe, but for `ticket`. It holds the executor that
/// it was made with: one that belongs to a context, such as a strand, must not outlive that.
class Subscription {
public:
    Subscription() = default;
    /// Moves; what was moved from names nobody.
    Subscription(Subscription&& other) noexcept
        : observers_{std::exchange(other.observers_, nullptr)}, ticket_{other.ticket_} {}
    /// Moves; what was held ends.
    Subscription& operator=(Subscription&& other) noexcept {
        if (this == &other) return *this;
        reset();
        observers_ = std::exchange(other.observers_, nullptr);
        ticket_ = other.ticket_;
        return *this;
    }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription() { reset(); }

    /// A ticket that carries `key` to this subscription's observer. Any thread.
    [[nodiscard]] Ticket ticket(std::uint64_t key) const noexcept {
        return observers_ ? Ticket{ticket_.slot, ticket_.generation, key} : Ticket{};
    }
    /// Ends the subscription; harmless when it has ended.
    void reset() noexcept {
        if (const auto observers = std::exchange(observers_, nullptr)) observers->remove(ticket_);
    }
    /// Whether it names an observer.
    [[nodiscard]] explicit operator bool() const noexcept { return observers_ != nullptr; }

private:
    template <Transport T, class Clock>
    friend class BulkIndexer;
    Subscription(std::shared_ptr<detail::Observers> observers, Ticket ticket) noexcept
        : observers_{std::move(observers)}, ticket_{ticket} {}

    std::shared_ptr<detail::Observers> observers_;
    Ticket ticket_;
};

} // namespace bulkhead::inline v1
