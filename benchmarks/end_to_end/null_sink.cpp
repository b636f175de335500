// SPDX-License-Identifier: BSL-1.0
//
// A `_bulk` endpoint that stores nothing and costs as little as possible: it counts the documents of each body and
// answers that all of them were created, with the leaves that `filter_path` asks for. For benchmarks; one thread.
//
//     null_sink [DELAY_MS [STALL_AFTER_DOCUMENTS]]
//
// Prints its port when it listens, and at SIGTERM what it has seen, as a line of JSON. DELAY_MS passes before each
// answer; after so many documents it answers nothing for 3 s, once. Bodies need a Content-Length and no compression.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
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

struct Connection {
    int fd = -1;
    std::string head;     ///< what is read of the current request's head
    std::size_t left = 0; ///< bytes of the body still to come
    bool in_body = false;
    std::size_t lines = 0;
    Asked what{};
    std::string_view answer; ///< what is left to write; owned by the cache
};

class Sink {
public:
    Sink(std::chrono::milliseconds delay, std::uint64_t stall_after) : delay_{delay}, stall_after_{stall_after} {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        require(bind(listener_, any, size) == 0 && listen(listener_, 128) == 0, "listen");
        require(getsockname(listener_, any, &size) == 0, "getsockname");
        std::printf("%d\n", ntohs(address.sin_port));
        std::fflush(stdout);
        sigset_t ending{};
        sigemptyset(&ending);
        sigaddset(&ending, SIGTERM);
        sigaddset(&ending, SIGINT);
        sigprocmask(SIG_BLOCK, &ending, nullptr);
        ended_ = signalfd(-1, &ending, SFD_CLOEXEC);
        watch(listener_, EPOLLIN, EPOLL_CTL_ADD);
        watch(ended_, EPOLLIN, EPOLL_CTL_ADD);
    }
    void run() {
        std::vector<epoll_event> events(64);
        for (bool going = true; going;) {
            const auto count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), until_next());
            for (int i = 0; i < count; ++i) {
                const auto fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == ended_) {
                    going = false;
                } else if (fd == listener_) {
                    accept_all();
                } else {
                    serve(fd, events[static_cast<std::size_t>(i)].events);
                }
            }
            while (!late_.empty() && late_.front().at <= Clock::now()) {
                const auto fd = late_.front().fd;
                late_.pop_front();
                if (connections_.contains(fd)) write(*connections_[fd]);
            }
        }
        std::printf("{\"documents\":%llu,\"requests\":%llu,\"bytes\":%llu,\"connections\":%llu,\"most_open\":%zu}\n",
                    ull(documents_), ull(requests_), ull(bytes_), ull(accepted_), most_open_);
    }

private:
    struct Late {
        Clock::time_point at;
        int fd;
    };
    static unsigned long long ull(std::uint64_t n) { return n; }

    void watch(int fd, std::uint32_t events, int how) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        require(epoll_ctl(epoll_, how, fd, &event) == 0, "epoll_ctl");
    }
    [[nodiscard]] int until_next() const {
        if (late_.empty()) return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(late_.front().at - Clock::now()).count();
        return static_cast<int>(std::max<std::int64_t>(left, 0));
    }
    void accept_all() {
        for (int fd = -1; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
            const int one = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            connections_[fd] = std::make_unique<Connection>();
            connections_[fd]->fd = fd;
            watch(fd, EPOLLIN, EPOLL_CTL_ADD);
            ++accepted_;
        }
    }
    void serve(int fd, std::uint32_t events) {
        auto& c = *connections_[fd];
        if ((events & EPOLLOUT) != 0) {
            write(c);
            return;
        }
        const auto count = recv(fd, buffer_.data(), buffer_.size(), 0);
        if (count <= 0) {
            if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
            close(fd);
            connections_.erase(fd);
            return;
        }
        bytes_ += static_cast<std::uint64_t>(count);
        take(c, {buffer_.data(), static_cast<std::size_t>(count)});
    }
    void take(Connection& c, std::string_view bytes) {
        if (!c.in_body) {
            c.head += bytes;
            const auto end = c.head.find("\r\n\r\n");
            if (end == std::string::npos) return;
            const auto rest = c.head.substr(end + 4);
            c.head.resize(end + 2);
            for (auto& letter : c.head)
                if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
            constexpr auto name = "\r\ncontent-length:"sv;
            const auto at = c.head.find(name);
            c.left = at == std::string::npos ? 0 : std::stoul(c.head.substr(at + name.size()));
            c.what = asked(c.head);
            if (c.head.find("\r\nexpect: 100-continue") != std::string::npos)
                require(send(c.fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0) == 25, "100");
            c.head.clear();
            c.lines = 0;
            c.in_body = true;
            ++open_;
            most_open_ = std::max(most_open_, open_);
            take_body(c, rest);
        } else {
            take_body(c, bytes);
        }
    }
    void take_body(Connection& c, std::string_view bytes) {
        const auto body = bytes.substr(0, c.left); // nobody pipelines here
        c.lines += static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n'));
        c.left -= body.size();
        if (c.left != 0) return;
        c.in_body = false;
        const auto items = c.lines / 2;
        documents_ += items;
        ++requests_;
        c.answer = answer(c.what, items);
        auto delay = delay_;
        if (stall_after_ != 0 && documents_ >= stall_after_) {
            stall_after_ = 0;
            delay = std::chrono::seconds{3};
            stalled_until_ = Clock::now() + delay;
        }
        const auto at = std::max(Clock::now() + delay, stalled_until_);
        if (delay.count() == 0 && at > Clock::now()) delay = std::chrono::milliseconds{1};
        if (delay.count() == 0) {
            write(c);
        } else {
            late_.insert(std::upper_bound(late_.begin(), late_.end(), at,
                                          [](auto time, const Late& late) { return time < late.at; }),
                         {at, c.fd});
        }
    }
    void write(Connection& c) {
        const auto sent = send(c.fd, c.answer.data(), c.answer.size(), MSG_NOSIGNAL);
        if (sent > 0) c.answer.remove_prefix(static_cast<std::size_t>(sent));
        if (c.answer.empty()) --open_;
        watch(c.fd, c.answer.empty() ? EPOLLIN : EPOLLOUT, EPOLL_CTL_MOD);
    }
    std::string_view answer(Asked what, std::size_t items) {
        auto& made = answers_[items * 4 + static_cast<std::size_t>(what)];
        if (made.empty()) made = make_answer(what, items);
        return made;
    }

    std::chrono::milliseconds delay_;
    std::uint64_t stall_after_;
    Clock::time_point stalled_until_{};
    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    int listener_ = -1;
    int ended_ = -1;
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
    std::unordered_map<std::size_t, std::string> answers_;
    std::deque<Late> late_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{256} << 10);
    std::uint64_t documents_ = 0;
    std::uint64_t requests_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t accepted_ = 0;
    std::size_t open_ = 0;
    std::size_t most_open_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    try {
        Sink sink{std::chrono::milliseconds{argc > 1 ? std::stol(argv[1]) : 0}, argc > 2 ? std::stoull(argv[2]) : 0};
        sink.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "null_sink: %s\n", error.what());
        return 1;
    }
}
