// SPDX-License-Identifier: BSL-1.0
//
// A `_bulk` endpoint that stores nothing and costs as little as possible: it counts the documents of each body and
// answers that all of them were created, with the leaves that `filter_path` asks for. For benchmarks.
//
//     null_sink [DELAY_MS [STALL_AFTER_DOCUMENTS]]
//
// Prints its port when it listens, and at SIGTERM what it has seen, as a line of JSON. DELAY_MS passes before each
// answer; after so many documents it answers nothing for 3 s, once. Bodies need a Content-Length and no compression.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::string_view_literals;

void require(bool condition, const char* what) {
    if (!condition) throw std::runtime_error{std::string{what} + ": " + std::strerror(errno)};
}

/// What an answer says of one item, by what was asked for.
enum class Asked : std::uint8_t { everything, status, errors_only };

Asked asked(std::string_view head) {
    const auto target = head.substr(0, head.find("\r\n"));
    if (target.find("filter_path=") == std::string_view::npos) return Asked::everything;
    return target.find("items.*.status") == std::string_view::npos ? Asked::errors_only : Asked::status;
}

std::string make_answer(Asked what, std::size_t items) {
    std::string body;
    if (what == Asked::errors_only) {
        body = "{\"errors\":false}";
    } else {
        body = what == Asked::everything ? "{\"took\":7,\"errors\":false,\"items\":[" : "{\"errors\":false,\"items\":[";
        const auto item =
            what == Asked::status
                ? "{\"create\":{\"status\":201}}"sv
                : "{\"create\":{\"_index\":\".ds-logs-2026.11.24-000001\",\"_id\":\"kZ3xyZoBq0r7c9mWv1aQ\","
                  "\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":2,\"successful\":1,"
                  "\"failed\":0},\"_seq_no\":1234567,\"_primary_term\":1,\"status\":201}}"sv;
        body.reserve(body.size() + items * (item.size() + 1) + 2);
        for (std::size_t i = 0; i < items; ++i) body.append(i == 0 ? "" : ",").append(item);
        body += "]}";
    }
    return "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// What all connections have seen.
struct Totals {
    std::atomic<std::uint64_t> documents{0};
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> connections{0};
    std::atomic<std::int64_t> stalled_until{0}; ///< in ticks of the clock
};
struct Settings {
    std::chrono::milliseconds delay{0};
    std::uint64_t stall_after = 0; ///< 0: never
};

/// One client, served by a thread of its own with blocking calls: nothing is cheaper for few connections.
class Connection {
public:
    Connection(int fd, const Settings& settings, Totals& totals) : fd_{fd}, settings_{settings}, totals_{totals} {}
    void serve() {
        while (read_head() && read_body()) {
            const auto items = lines_ / 2;
            const auto before = totals_.documents.fetch_add(items);
            ++totals_.requests;
            if (settings_.stall_after != 0 && before < settings_.stall_after && before + items >= settings_.stall_after)
                totals_.stalled_until = (Clock::now() + std::chrono::seconds{3}).time_since_epoch().count();
            const Clock::time_point stalled_until{Clock::duration{totals_.stalled_until}};
            if (settings_.delay.count() != 0) std::this_thread::sleep_for(settings_.delay);
            if (stalled_until > Clock::now()) std::this_thread::sleep_until(stalled_until);
            if (!write_all(answer(items))) break;
        }
        close(fd_);
    }

private:
    bool receive() {
        const auto count = recv(fd_, buffer_.data(), buffer_.size(), 0);
        have_ = {buffer_.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
        return count > 0;
    }
    /// Up to the empty line; what follows stays in `have_`.
    bool read_head() {
        head_.clear();
        auto end = std::string::npos;
        while (end == std::string::npos) {
            if (have_.empty() && !receive()) return false;
            const auto before = head_.size();
            head_ += have_;
            end = head_.find("\r\n\r\n");
            have_.remove_prefix(end == std::string::npos ? have_.size() : end + 4 - before);
        }
        head_.resize(end + 2);
        for (auto& letter : head_)
            if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
        constexpr auto name = "\r\ncontent-length:"sv;
        const auto at = head_.find(name);
        left_ = at == std::string::npos ? 0 : std::stoul(head_.substr(at + name.size()));
        return head_.find("\r\nexpect: 100-continue") == std::string::npos ||
               write_all("HTTP/1.1 100 Continue\r\n\r\n");
    }
    bool read_body() {
        lines_ = 0;
        while (left_ != 0) {
            if (have_.empty() && !receive()) return false;
            auto part = have_.substr(0, left_);
            have_.remove_prefix(part.size());
            left_ -= part.size();
            for (auto at = part.find('\n'); at != std::string_view::npos; at = part.find('\n')) {
                part.remove_prefix(at + 1);
                ++lines_;
            }
        }
        return true;
    }
    bool write_all(std::string_view bytes) const {
        while (!bytes.empty()) {
            const auto count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }
    std::string_view answer(std::size_t items) {
        const auto what = asked(head_);
        auto& made = answers_[items * 4 + static_cast<std::size_t>(what)];
        if (made.empty()) made = make_answer(what, items);
        return made;
    }

    int fd_;
    const Settings& settings_;
    Totals& totals_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{1} << 20);
    std::string_view have_;
    std::string head_;
    std::size_t left_ = 0;
    std::size_t lines_ = 0;
    std::unordered_map<std::size_t, std::string> answers_;
};

int listen_on_loopback() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    require(bind(listener, any, size) == 0 && listen(listener, 128) == 0, "listen");
    require(getsockname(listener, any, &size) == 0, "getsockname");
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return listener;
}

void run(const Settings& settings) {
    sigset_t ending{};
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    static Totals totals; // the connections' threads end with the process
    const int listener = listen_on_loopback();
    std::thread{[listener, &settings] {
        for (int fd = -1; (fd = accept(listener, nullptr, nullptr)) >= 0;) {
            const int one = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            ++totals.connections;
            std::thread{[fd, &settings] { Connection{fd, settings, totals}.serve(); }}.detach();
        }
    }}.detach();
    int signal = 0;
    sigwait(&ending, &signal);
    const auto number = [](const auto& value) { return static_cast<unsigned long long>(value.load()); };
    std::printf("{\"documents\":%llu,\"requests\":%llu,\"connections\":%llu}\n", number(totals.documents),
                number(totals.requests), number(totals.connections));
    std::fflush(stdout);
    std::_Exit(0);
}

} // namespace

int main(int argc, char** argv) {
    try {
        const Settings settings{std::chrono::milliseconds{argc > 1 ? std::stol(argv[1]) : 0},
                                argc > 2 ? std::stoull(argv[2]) : 0};
        run(settings);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "null_sink: %s\n", error.what());
        return 1;
    }
}
