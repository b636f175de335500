// SPDX-License-Identifier: BSL-1.0
#include "embedded.hpp"

#include "failure.hpp"

#include <bulkhead/test/bulk_server.hpp>

#include <utility>

namespace replay {

struct EmbeddedServer::State {
    explicit State(bulkhead::test::BulkServerOptions options) : server{std::move(options)} {}
    bulkhead::test::BulkServer server;
};

EmbeddedServer::EmbeddedServer(std::uint16_t port) {
    bulkhead::test::BulkServerOptions options;
    options.port = port;
    try {
        state_ = std::make_unique<State>(std::move(options));
    } catch (const std::exception& e) {
        throw Failure{"embedded search server, port " + std::to_string(port) + ": " + e.what()};
    }
}
EmbeddedServer::~EmbeddedServer() = default;

std::string EmbeddedServer::url() const { return state_->server.url(); }

} // namespace replay
