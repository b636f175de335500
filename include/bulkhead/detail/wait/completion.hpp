// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/transport.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bulkhead::inline v1::detail {

/// A handler with its arguments, ready to be posted.
class Posting {
public:
    Posting() = default;
    Posting(const Posting&) = delete;
    Posting& operator=(const Posting&) = delete;
    virtual ~Posting() = default;
    /// Posts it, once. When this throws, nothing has happened, and it may be called again. `self` is this object.
    virtual void post(const std::shared_ptr<Posting>& self) = 0;

private:
    friend class Completions;
    std::shared_ptr<Posting> next_; ///< in a queue
};

/// A completion handler of any type, called at most once: posted to its associated executor, which is kept in work
/// meanwhile. Destroyed uncalled, it destroys the handler. (Boost 1.81 has no `any_completion_handler` that can be
/// moved into.)
template <class... Args>
class Completion {
public:
    Completion() = default;
    template <class Handler>
    Completion(Handler handler, const asio::any_io_executor& fallback)
        : held_{std::make_shared<HeldHandler<Handler>>(std::move(handler), fallback)} {}

    [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }
    /// Posts the handler with these arguments. When this throws, the handler is still here.
    void operator()(Args... args) {
        held_->args.emplace(std::move(args)...);
        held_->post(held_);
        held_.reset();
    }

private:
    friend class Completions;
    struct Held : Posting {
        std::optional<std::tuple<Args...>> args;
    };
    template <class Handler>
    struct HeldHandler final : Held {
        using Executor = asio::associated_executor_t<Handler, asio::any_io_executor>;
        HeldHandler(Handler handler_in, const asio::any_io_executor& fallback)
            : handler{std::move(handler_in)}, work{asio::get_associated_executor(handler, fallback)} {}
        void post(const std::shared_ptr<Posting>& self) override {
            asio::post(work.get_executor(), [held = std::static_pointer_cast<HeldHandler>(self)]() mutable {
                auto call = std::move(held->handler);
                const auto in_work = std::move(held->work);
                auto with = std::move(*held->args);
                held.reset(); // its memory is free when the handler begins
                auto slot = asio::get_associated_cancellation_slot(call);
                if (slot.is_connected()) slot.clear();
                std::apply(std::move(call), std::move(with));
            });
        }
        Handler handler;
        asio::executor_work_guard<Executor> work;
    };
    std::shared_ptr<Held> held_;
};

/// Completions whose arguments are known, in the order in which they are to be posted. Adding needs no memory. What
/// cannot be posted for want of memory stays in the queue.
class Completions {
public:
    Completions() = default;
    Completions(const Completions&) = delete;
    Completions& operator=(const Completions&) = delete;
    ~Completions() {
        while (first_) pop(); // one by one: their number is not bounded by the stack
    }
    template <class... Args>
    void add(Completion<Args...> done, std::type_identity_t<Args>... args) noexcept {
        done.held_->args.emplace(std::move(args)...);
        auto* const added = done.held_.get();
        (last_ == nullptr ? first_ : last_->next_) = std::move(done.held_);
        last_ = added;
    }
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    /// Posts all. When this throws, those that were not posted are still here.
    void post_all() {
        while (first_) {
            first_->post(first_);
            pop();
        }
    }

private:
    void pop() noexcept {
        auto next = std::move(first_->next_);
        first_ = std::move(next);
        if (!first_) last_ = nullptr;
    }
    std::shared_ptr<Posting> first_;
    Posting* last_ = nullptr;
};

} // namespace bulkhead::inline v1::detail
