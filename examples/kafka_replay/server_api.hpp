// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace replay {

/// The few things that the replay asks the search server beside bulk requests. Each call blocks, at most for the given
/// time. Throws `Failure` with one line that names the URL.
class ServerApi {
public:
    /// `url`: `http://HOST[:PORT][/PATH]`, checked before.
    ServerApi(std::string url, std::chrono::milliseconds timeout);

    /// Whether it answers at all, with any status below 500.
    void check_reachable() const;
    /// How many documents the index holds; 0 when there is no such index.
    [[nodiscard]] std::uint64_t count(const std::string& index) const;
    /// Makes what has been indexed visible to `count`.
    void refresh(const std::string& index) const;
    void put_index_template(const std::string& name, std::string_view body) const;

private:
    struct Answer {
        unsigned status = 0;
        std::string body;
    };
    [[nodiscard]] Answer request(const char* method, const std::string& path, std::string_view body = {}) const;
    [[noreturn]] void fail(const std::string& what, const Answer& answer) const;

    std::string url_;
    std::string host_;
    std::string port_;
    std::string path_;
    std::chrono::milliseconds timeout_;
};

} // namespace replay
