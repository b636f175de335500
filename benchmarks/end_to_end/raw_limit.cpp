// SPDX-License-Identifier: BSL-1.0
//
// What the kernel alone allows: a finished bulk body written over and over through blocking sockets, one thread each.
//
//     raw_limit PORT DOCUMENTS DOCUMENT_BYTES         environment: CONNECTIONS (2), BATCH_BYTES (5 MiB)

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

std::size_t number_of(const char* name, std::size_t otherwise) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): no thread has begun
    return value != nullptr && *value != '\0' ? std::stoul(value) : otherwise;
}

/// Sends the body so many times, each time waiting for the end of the answer.
bool send_all(std::uint16_t port, const std::string& head, const std::string& body, std::size_t times) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool good = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    std::string answer(std::size_t{64} << 10, '\0');
    for (std::size_t i = 0; good && i < times; ++i) {
        good = send(fd, head.data(), head.size(), MSG_MORE) == static_cast<ssize_t>(head.size());
        for (std::size_t sent = 0; good && sent < body.size();) {
            const auto count = send(fd, body.data() + sent, body.size() - sent, 0);
            good = count > 0;
            if (good) sent += static_cast<std::size_t>(count);
        }
        for (std::size_t have = 0; good && std::string_view{answer.data(), have}.find("false}") == std::string::npos;) {
            const auto count = recv(fd, answer.data() + have, answer.size() - have, 0);
            good = count > 0;
            if (good) have += static_cast<std::size_t>(count);
        }
    }
    close(fd);
    return good;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const auto port = static_cast<std::uint16_t>(std::stoul(argv[1]));
    const auto documents = std::stoul(argv[2]);
    const auto document =
        "{\"create\":{\"_index\":\"logs\"}}\n{\"m\":\"" + std::string(std::stoul(argv[3]) - 8, 'x') + "\"}\n";
    const auto connections = number_of("CONNECTIONS", 2);
    const auto each = number_of("BATCH_BYTES", std::size_t{5} << 20) / document.size();
    std::string body;
    for (std::size_t i = 0; i < each; ++i) body += document;
    const auto head =
        "POST /_bulk?filter_path=errors HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
        "content-length: " +
        std::to_string(body.size()) + "\r\n\r\n";
    const auto times = documents / connections / each;

    std::atomic<bool> good{true};
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < connections; ++i)
        threads.emplace_back([&] { good = send_all(port, head, body, times) && good; });
    for (auto& thread : threads) thread.join();
    const auto wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    const auto sent = times * each * connections;
    std::printf("{\"peer\":\"raw_limit\",\"docs\":%zu,\"wall_s\":%.4f,\"cpu_s\":%.4f,\"rss_kb\":%ld,\"indexed\":%zu,"
                "\"failed\":0}\n",
                sent, wall, seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss, sent);
    return good ? 0 : 1;
}
