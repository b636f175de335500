// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/tls/detail/openssl.hpp>

#include <openssl/ssl.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

/// Sessions that shorten the next handshake with the same server.
namespace bulkhead::inline v1::detail {

/// The newest session of each server, so that the next connection to it needs a short handshake only. Thread-safe.
class TlsSessions {
public:
    void keep(const std::string& server, SessionPtr session) {
        const std::lock_guard lock{mutex_};
        if (sessions_.size() == max_servers && sessions_.count(server) == 0) sessions_.erase(sessions_.begin());
        sessions_[server].swap(session); // and the old one is freed outside the lock
    }
    /// Shares it; null when there is none that can be used.
    [[nodiscard]] SessionPtr find(const std::string& server) {
        const std::lock_guard lock{mutex_};
        const auto found = sessions_.find(server);
        if (found == sessions_.end() || SSL_SESSION_is_resumable(found->second.get()) == 0) return nullptr;
        SSL_SESSION_up_ref(found->second.get());
        return SessionPtr{found->second.get()};
    }
    [[nodiscard]] bool knows(const std::string& server) {
        const std::lock_guard lock{mutex_};
        return sessions_.count(server) != 0;
    }

private:
    static constexpr std::size_t max_servers = 64;
    std::mutex mutex_;
    std::map<std::string, SessionPtr> sessions_;
};

} // namespace bulkhead::inline v1::detail
