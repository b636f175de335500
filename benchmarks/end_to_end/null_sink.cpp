// SPDX-License-Identifier: BSL-1.0
//
// A `_bulk` endpoint that stores nothing and costs as little as possible: it counts the documents of each body and
// answers that all of them were created, with the leaves that `filter_path` asks for. For benchmarks.
//
//     null_sink [DELAY_MS [STALL_AFTER_DOCUMENTS]]
//
// Prints its port when it listens, and at SIGTERM what it has seen, as a line of JSON. DELAY_MS passes before each
// answer; after so many documents it answers nothing for 3 s, once. Bodies have a length or come in chunks, gzip or
// not. To a GET it says what kafka_replay asks for: a version and the count of all documents. With SINK_CERTIFICATE, a
// PEM file of a certificate and its key, by TLS.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

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

std::string make_response(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
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
    return make_response(body);
}

/// What all connections have seen.
struct Totals {
    std::atomic<std::uint64_t> documents{0};
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> connections{0};
    std::atomic<std::uint64_t> body_bytes{0}; ///< as they came
    std::atomic<int> open{0};                 ///< requests that are being read or answered
    std::atomic<int> most_open{0};
    std::atomic<std::int64_t> stalled_until{0}; ///< in ticks of the clock
};
struct Settings {
    std::chrono::milliseconds delay{0};
    std::uint64_t stall_after = 0; ///< 0: never
};

/// One connection's bytes, by TLS or as they are.
class Channel {
public:
    Channel(int fd, SSL_CTX* tls) : fd_{fd} {
        if (tls == nullptr) return;
        ssl_ = SSL_new(tls);
        SSL_set_fd(ssl_, fd);
        if (SSL_accept(ssl_) != 1) shutdown(fd, SHUT_RDWR);
    }
    ~Channel() {
        if (ssl_ != nullptr) {
            SSL_shutdown(ssl_);
            SSL_free(ssl_);
        }
        close(fd_);
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    std::size_t receive(char* to, std::size_t most) {
        const auto count =
            ssl_ != nullptr ? ssize_t{SSL_read(ssl_, to, static_cast<int>(most))} : recv(fd_, to, most, 0);
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    bool write_all(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto count = ssl_ != nullptr ? ssize_t{SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))}
                                               : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }

private:
    int fd_;
    SSL* ssl_ = nullptr;
};

/// What a connection sends, through one buffer.
class Input {
public:
    explicit Input(Channel& channel) : channel_{channel} {}
    /// Appends what comes up to and with `mark`. False at the end.
    bool read_until(std::string_view mark, std::string& text) {
        for (;;) {
            if (have_.empty() && !receive()) return false;
            const auto before = text.size();
            text += have_;
            const auto end = text.find(mark, before < mark.size() ? 0 : before - mark.size());
            have_.remove_prefix(end == std::string::npos ? have_.size() : end + mark.size() - before);
            if (end == std::string::npos) continue;
            text.resize(end + mark.size());
            return true;
        }
    }
    /// Hands exactly `bytes` bytes to `take`, in pieces. False at the end.
    template <class Take>
    bool read(std::size_t bytes, Take take) {
        while (bytes != 0) {
            if (have_.empty() && !receive()) return false;
            const auto part = have_.substr(0, bytes);
            have_.remove_prefix(part.size());
            bytes -= part.size();
            take(part);
        }
        return true;
    }

private:
    bool receive() {
        have_ = {buffer_.data(), channel_.receive(buffer_.data(), buffer_.size())};
        return !have_.empty();
    }
    Channel& channel_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{1} << 20);
    std::string_view have_;
};

/// Hands on what a gzip stream holds.
class Inflater {
public:
    Inflater() { inflateInit2(&stream_, 15 + 16); } // NOLINT: the largest window, and a gzip header
    ~Inflater() { inflateEnd(&stream_); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    void restart() { inflateReset(&stream_); }
    template <class Take>
    void operator()(std::string_view part, Take take) {
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(part.data())); // NOLINT: zlib does not write there
        stream_.avail_in = static_cast<uInt>(part.size());
        do {
            stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
            stream_.avail_out = static_cast<uInt>(out_.size());
            const auto result = inflate(&stream_, Z_NO_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
                throw std::runtime_error{"a body is not gzip"};
            take(std::string_view{out_.data(), out_.size() - stream_.avail_out});
        } while (stream_.avail_out == 0);
    }

private:
    z_stream stream_{};
    std::vector<char> out_ = std::vector<char>(std::size_t{256} << 10);
};

/// One client, served by a thread of its own with blocking calls: nothing is cheaper for few connections.
class Connection {
public:
    Connection(int fd, SSL_CTX* tls, const Settings& settings, Totals& totals)
        : channel_{fd, tls}, settings_{settings}, totals_{totals}, input_{channel_} {}
    void serve() {
        while (read_head()) {
            const int open = ++totals_.open;
            for (int most = totals_.most_open; most < open && !totals_.most_open.compare_exchange_weak(most, open);) {
            }
            const bool alive = read_body() && answer();
            --totals_.open;
            if (!alive) break;
        }
    }

private:
    bool read_head() {
        head_.clear();
        if (!input_.read_until("\r\n\r\n", head_)) return false;
        for (auto& letter : head_)
            if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
        return !has("\r\nexpect: 100-continue") || write_all("HTTP/1.1 100 Continue\r\n\r\n");
    }
    [[nodiscard]] bool has(std::string_view text) const { return head_.find(text) != std::string::npos; }

    bool read_body() {
        lines_ = 0;
        gzip_ = has("\r\ncontent-encoding: gzip");
        if (gzip_) inflater_.restart();
        if (has("\r\ntransfer-encoding: chunked")) return read_chunks();
        constexpr auto name = "\r\ncontent-length:"sv;
        const auto at = head_.find(name);
        return read_part(at == std::string::npos ? 0 : std::stoul(head_.substr(at + name.size())));
    }
    bool read_chunks() {
        for (;;) {
            line_.clear();
            if (!input_.read_until("\r\n", line_)) return false;
            const auto bytes = std::stoul(line_, nullptr, 16);
            if (bytes != 0 && !read_part(bytes)) return false;
            line_.clear();
            if (!input_.read_until("\r\n", line_)) return false;
            if (bytes == 0) return true;
        }
    }
    bool read_part(std::size_t bytes) {
        totals_.body_bytes += bytes;
        const auto count = [this](std::string_view text) { count_lines(text); };
        return input_.read(bytes, [&](std::string_view part) { gzip_ ? inflater_(part, count) : count(part); });
    }
    void count_lines(std::string_view part) {
        for (auto at = part.find('\n'); at != std::string_view::npos; at = part.find('\n')) {
            part.remove_prefix(at + 1);
            ++lines_;
        }
    }

    bool answer() {
        if (head_.starts_with("get ")) return write_all(make_response(about()));
        const auto items = lines_ / 2;
        const auto before = totals_.documents.fetch_add(items);
        ++totals_.requests;
        if (settings_.stall_after != 0 && before < settings_.stall_after && before + items >= settings_.stall_after)
            totals_.stalled_until = (Clock::now() + std::chrono::seconds{3}).time_since_epoch().count();
        const Clock::time_point stalled_until{Clock::duration{totals_.stalled_until}};
        if (settings_.delay.count() != 0) std::this_thread::sleep_for(settings_.delay);
        if (stalled_until > Clock::now()) std::this_thread::sleep_until(stalled_until);
        const auto what = asked(head_);
        auto& made = answers_[items * 4 + static_cast<std::size_t>(what)];
        if (made.empty()) made = make_answer(what, items);
        return write_all(made);
    }
    [[nodiscard]] std::string about() const {
        return R"({"version":{"number":"8.19.0"},"count":)" + std::to_string(totals_.documents) + "}";
    }
    bool write_all(std::string_view bytes) { return channel_.write_all(bytes); }

    Channel channel_;
    const Settings& settings_;
    Totals& totals_;
    Input input_;
    Inflater inflater_;
    std::string head_;
    std::string line_;
    bool gzip_ = false;
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

/// Nothing without a certificate.
SSL_CTX* make_tls() {
    const char* const file = std::getenv("SINK_CERTIFICATE"); // NOLINT(concurrency-mt-unsafe): no thread has begun
    if (file == nullptr) return nullptr;
    auto* const tls = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, file) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, file, SSL_FILETYPE_PEM) != 1)
        throw std::runtime_error{std::string{"no certificate and key in "} + file};
    return tls;
}

void run(const Settings& settings) {
    auto* const tls = make_tls();
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t ending{};
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    static Totals totals; // the connections' threads end with the process
    const int listener = listen_on_loopback();
    std::thread{[listener, tls, &settings] {
        for (int fd = -1; (fd = accept(listener, nullptr, nullptr)) >= 0;) {
            const int one = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            ++totals.connections;
            std::thread{[fd, tls, &settings] { Connection{fd, tls, settings, totals}.serve(); }}.detach();
        }
    }}.detach();
    int signal = 0;
    sigwait(&ending, &signal);
    const auto number = [](const auto& value) { return static_cast<unsigned long long>(value.load()); };
    std::printf("{\"documents\":%llu,\"requests\":%llu,\"connections\":%llu,\"body_bytes\":%llu,"
                "\"most_open\":%llu}\n",
                number(totals.documents), number(totals.requests), number(totals.connections),
                number(totals.body_bytes), number(totals.most_open));
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
