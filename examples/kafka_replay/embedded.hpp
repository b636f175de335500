// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "options.hpp"
#include "summary.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace replay {

/// librdkafka's mock cluster inside this process, on loopback.
class EmbeddedBroker {
public:
    EmbeddedBroker();
    ~EmbeddedBroker();
    EmbeddedBroker(const EmbeddedBroker&) = delete;
    EmbeddedBroker& operator=(const EmbeddedBroker&) = delete;

    [[nodiscard]] std::string brokers() const;
    /// Creates the topics and fills them: with generated events, or with the input file's. Throws `Failure`, also when
    /// not all of them can be read back. `interrupted` is asked now and then; when it says true, filling ends early.
    Produced fill(const Options& options, const std::function<bool()>& interrupted);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The test kit's search server inside this process, on loopback: it parses, stores and counts what it is sent.
class EmbeddedServer {
public:
    /// Port 0: any. Throws `Failure`, e.g. when the port is in use.
    explicit EmbeddedServer(std::uint16_t port);
    ~EmbeddedServer();
    EmbeddedServer(const EmbeddedServer&) = delete;
    EmbeddedServer& operator=(const EmbeddedServer&) = delete;
    [[nodiscard]] std::string url() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace replay
