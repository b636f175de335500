// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/transport.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <tuple>
#include <utility>

namespace bulkhead::inline v1::detail {

/// A completion handler of any type, called at most once: posted to its associated executor, which is kept in work
/// meanwhile. Destroyed uncalled, it destroys the handler. (Boost 1.81 has no `any_completion_handler` that can be
/// moved into.)
template <class... Args>
class Completion {
public:
    Completion() = default;
    template <class Handler>
    Completion(Handler handler, const asio::any_io_executor& fallback)
        : handler_{std::make_unique<Held<Handler>>(std::move(handler), fallback)} {}

    [[nodiscard]] explicit operator bool() const noexcept { return handler_ != nullptr; }
    /// Posts the handler with these arguments.
    void operator()(Args... args) { std::exchange(handler_, nullptr)->complete(std::move(args)...); }
    /// Posts the handler, running `before` just ahead of it.
    template <class Before>
    void after(Before before, Args... args) {
        std::exchange(handler_, nullptr)
            ->complete_after(std::make_unique<HookOf<Before>>(std::move(before)), std::move(args)...);
    }

private:
    struct Hook {
        Hook() = default;
        Hook(const Hook&) = delete;
        Hook& operator=(const Hook&) = delete;
        virtual ~Hook() = default;
        virtual void run() = 0;
    };
    template <class F>
    struct HookOf final : Hook {
        explicit HookOf(F f_in) : f{std::move(f_in)} {}
        void run() override { f(); }
        F f;
    };
    struct Any {
        Any() = default;
        Any(const Any&) = delete;
        Any& operator=(const Any&) = delete;
        virtual ~Any() = default;
        virtual void complete(Args... args) = 0;
        virtual void complete_after(std::unique_ptr<Hook> hook, Args... args) = 0;
    };
    template <class Handler>
    struct Held final : Any {
        using Executor = asio::associated_executor_t<Handler, asio::any_io_executor>;
        Held(Handler handler_in, const asio::any_io_executor& fallback)
            : handler{std::move(handler_in)}, work{asio::get_associated_executor(handler, fallback)} {}
        void complete(Args... args) override { complete_after(nullptr, std::move(args)...); }
        void complete_after(std::unique_ptr<Hook> hook, Args... args) override {
            const auto executor = work.get_executor();
            asio::post(executor, [handler = std::move(handler), work = std::move(work), hook = std::move(hook),
                                  args = std::tuple<Args...>{std::move(args)...}]() mutable {
                if (hook) hook->run();
                hook.reset(); // what it holds must not outlive what the handler may destroy
                auto slot = asio::get_associated_cancellation_slot(handler);
                if (slot.is_connected()) slot.clear();
                std::apply(std::move(handler), std::move(args));
            });
        }
        Handler handler;
        asio::executor_work_guard<Executor> work;
    };
    std::unique_ptr<Any> handler_;
};

} // namespace bulkhead::inline v1::detail
