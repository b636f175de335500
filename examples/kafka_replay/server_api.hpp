// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "search_transport.hpp"

#include <bulkhead/http/server_check.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace replay {

/// The few things that the replay asks the search server beside bulk requests, by a transport of its own. Each call
/// blocks, at most for the given time, and tries one node after the other. Not for the thread that runs `executor`.
/// Throws `Failure` with one line that names the node.
class ServerApi {
public:
    ServerApi(bulkhead::asio::any_io_executor executor, SearchTransport transport, std::chrono::milliseconds timeout);
    ServerApi(const ServerApi&) = delete;
    ServerApi& operator=(const ServerApi&) = delete;
    ~ServerApi() { transport_.shutdown(); }

    /// Every node reachable, a search server, and taking the credentials; and nothing against writing into `indexes`.
    /// Returns what it is, e.g. `Elasticsearch 8.19.0`, and throws if no node can be used; `warn` is told the rest.
    template <class Warn>
    std::string check(const std::vector<std::string>& indexes, Warn warn) {
        std::string what = "search server";
        for (const auto& index : indexes) {
            const auto report = check_one(index);
            if (!report.usable()) fail(report.problem());
            for (const auto& node : report.nodes) {
                if (!node.problem.empty()) warn("search server " + node.name + ": " + node.problem);
                if (!node.version.empty()) what = std::string{to_string(node.product)} + " " + node.version;
            }
        }
        return what;
    }
    /// How many documents the index holds; 0 when there is no such index.
    [[nodiscard]] std::uint64_t count(const std::string& index);
    /// Makes what has been indexed visible to `count`.
    void refresh(const std::string& index);
    void put_index_template(const std::string& name, std::string_view body);

private:
    struct Answer {
        std::string node;
        unsigned status = 0;
        std::string body;
    };
    [[nodiscard]] bulkhead::ServerReport check_one(const std::string& index);
    [[nodiscard]] Answer request(const char* method, const std::string& target, std::string_view body = {});
    [[noreturn]] static void fail(const std::string& problem);
    [[noreturn]] static void fail(const std::string& what, const Answer& answer);

    bulkhead::asio::any_io_executor executor_;
    SearchTransport transport_;
    std::chrono::milliseconds timeout_;
};

} // namespace replay
