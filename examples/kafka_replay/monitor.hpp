// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/stats.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace replay {

/// What a probe is told: whether, and in words why not.
struct Probe {
    bool good = true;
    std::string words = "ok";
};

/// What the consuming thread lets others know. Any thread.
class Pulse {
public:
    using Clock = std::chrono::steady_clock;
    /// The consuming thread has come round once more.
    void beat() noexcept { last_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed); }
    /// Nothing more is taken.
    void drain() noexcept { draining_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool draining() const noexcept { return draining_.load(std::memory_order_relaxed); }
    /// How long ago it came round.
    [[nodiscard]] Clock::duration age() const noexcept {
        return Clock::now().time_since_epoch() - Clock::duration{last_.load(std::memory_order_relaxed)};
    }

private:
    std::atomic<Clock::rep> last_{Clock::now().time_since_epoch().count()};
    std::atomic<bool> draining_{false};
};

/// Whether the process should be left alone: it polls Kafka, or is on its way out. An outage of the search server or of
/// the brokers is no reason to restart it.
[[nodiscard]] Probe alive(Pulse::Clock::duration since_beat, bool draining);
/// Whether records go through now.
[[nodiscard]] Probe ready(const bulkhead::Stats& indexer, const bulkhead::kafka::DriverStats& driver, bool draining);

/// What is shown to who asks. Called by the server's thread.
struct Monitored {
    std::function<std::string()> metrics; ///< Prometheus' text
    std::function<Probe()> alive;
    std::function<Probe()> ready;
};

/// One answer by HTTP.
struct Page {
    unsigned status = 200;
    std::string_view type = "text/plain; charset=utf-8";
    std::string body{};
};
/// `/metrics`, `/healthz`, `/readyz`, and `/`, a page that draws the first. `target` may have a query.
[[nodiscard]] Page page_of(std::string_view target, const Monitored& monitored);

/// A port that is bound and listens, so that it is known at once whether it can be had.
class MonitorPort {
public:
    /// `[ADDRESS:]PORT`; the address is 127.0.0.1 when left out, and the port any when 0. Throws `UsageError` when it
    /// is not of this form, `Failure` when it cannot be bound.
    explicit MonitorPort(const std::string& where);
    ~MonitorPort();
    MonitorPort(const MonitorPort&) = delete;
    MonitorPort& operator=(const MonitorPort&) = delete;
    /// e.g. `http://127.0.0.1:9464`
    [[nodiscard]] const std::string& url() const noexcept { return url_; }

private:
    friend class MonitorServer;
    struct Listener;
    std::unique_ptr<Listener> listener_;
    std::string url_;
};

/// Answers on a port, on a thread of its own, until it is destroyed. What is shown must outlive it.
class MonitorServer {
public:
    MonitorServer(MonitorPort& port, Monitored monitored);
    ~MonitorServer();
    MonitorServer(const MonitorServer&) = delete;
    MonitorServer& operator=(const MonitorServer&) = delete;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace replay
