// SPDX-License-Identifier: BSL-1.0
//
// What a C++ engineer writes by hand: one thread, a string of 5 MiB, a libcurl handle that is kept, and a look at
// `errors`. It repeats nothing and knows of no single document.
//
//     libcurl_loop PORT DOCUMENTS DOCUMENT_BYTES      environment: DOCS_FILE, BATCH_BYTES (5 MiB), FILTER=1 (asks for
//                                                     `errors` and the failed items alone)

#include <curl/curl.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::string text_of(const char* name, const char* otherwise) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): there is one thread
    return value != nullptr && *value != '\0' ? value : otherwise;
}
rusage usage() {
    rusage now{};
    getrusage(RUSAGE_SELF, &now);
    return now;
}
double cpu_seconds() {
    const auto now = usage();
    const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return seconds(now.ru_utime) + seconds(now.ru_stime);
}
std::vector<std::string> load_documents(std::size_t bytes) {
    std::vector<std::string> documents;
    std::ifstream lines{text_of("DOCS_FILE", "/dev/null")};
    for (std::string line; std::getline(lines, line);) documents.push_back(line);
    if (documents.empty()) documents.push_back("{\"m\":\"" + std::string(bytes - 8, 'x') + "\"}");
    return documents;
}

class Loop {
public:
    Loop(const std::string& port, bool filter, std::size_t batch_bytes) : batch_bytes_{batch_bytes} {
        const auto url = "http://127.0.0.1:" + port + "/_bulk" + (filter ? "?filter_path=errors,items.*.error" : "");
        headers_ = curl_slist_append(headers_, "Content-Type: application/x-ndjson");
        headers_ = curl_slist_append(headers_, "Expect:");
        curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
        curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
        curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Loop::take);
        curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer_);
        batch_.reserve(batch_bytes + 4096);
    }
    ~Loop() {
        curl_slist_free_all(headers_);
        curl_easy_cleanup(curl_);
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    void add(const std::string& document) {
        batch_ += "{\"create\":{\"_index\":\"logs\"}}\n";
        batch_ += document;
        batch_ += '\n';
        ++in_batch_;
        if (batch_.size() >= batch_bytes_) flush();
    }
    void flush() {
        answer_.clear();
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(batch_.size()));
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, batch_.data());
        if (const auto error = curl_easy_perform(curl_); error != CURLE_OK)
            throw std::runtime_error{curl_easy_strerror(error)};
        if (answer_.find("\"errors\":false") != std::string::npos) indexed_ += in_batch_;
        batch_.clear();
        in_batch_ = 0;
    }
    [[nodiscard]] std::size_t indexed() const noexcept { return indexed_; }

private:
    static std::size_t take(const char* bytes, std::size_t /*one*/, std::size_t count, std::string* answer) {
        answer->append(bytes, count);
        return count;
    }
    CURL* curl_ = curl_easy_init();
    curl_slist* headers_ = nullptr;
    std::size_t batch_bytes_;
    std::string batch_;
    std::string answer_;
    std::size_t in_batch_ = 0;
    std::size_t indexed_ = 0;
};

int send(const std::string& port, std::size_t count, std::size_t bytes) {
    const auto documents = load_documents(bytes);
    const bool filter = text_of("FILTER", "") == "1";
    Loop loop{port, filter, std::stoul(text_of("BATCH_BYTES", "5242880"))};
    const auto cpu_before = cpu_seconds();
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t i = 0, at = 0; i < count; ++i) {
        loop.add(documents[at]);
        if (++at == documents.size()) at = 0;
    }
    loop.flush();
    const auto wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    std::printf(
        "{\"peer\":\"libcurl_loop%s\",\"docs\":%zu,\"wall_s\":%.3f,\"cpu_s\":%.3f,\"rss_kb\":%ld,\"indexed\":%zu,"
        "\"failed\":%zu}\n",
        filter ? "+filter_path" : "", count, wall, cpu_seconds() - cpu_before, usage().ru_maxrss, loop.indexed(),
        count - loop.indexed());
    return loop.indexed() == count ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    try {
        return send(argv[1], std::stoul(argv[2]), std::stoul(argv[3]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "libcurl_loop: %s\n", error.what());
        return 1;
    }
}
