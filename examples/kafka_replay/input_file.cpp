// SPDX-License-Identifier: BSL-1.0
#include "input_file.hpp"

#include "access_log.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include <zlib.h>

namespace replay {

namespace {

/// A file's bytes, unpacked when they are gzip.
class GzFile {
public:
    explicit GzFile(const std::string& path) : path_{path} {
        std::error_code ignored;
        if (std::filesystem::is_directory(path, ignored)) throw Failure{path + ": is a directory"};
        errno = 0;
        file_.reset(gzopen(path.c_str(), "rb"));
        if (!file_) throw Failure{path + ": " + (errno != 0 ? std::strerror(errno) : "cannot be opened")};
        gzbuffer(file_.get(), 1U << 17U);
    }
    /// The number of bytes read; 0 at the end.
    std::size_t read(char* into, std::size_t size) {
        errno = 0;
        const int count = gzread(file_.get(), into, static_cast<unsigned>(size));
        int code = Z_OK;
        const char* const text = gzerror(file_.get(), &code);
        if (count >= 0 && code == Z_OK) return static_cast<std::size_t>(count);
        if (code == Z_ERRNO) throw Failure{path_ + ": " + std::strerror(errno)};
        throw Failure{path_ + ": damaged gzip data (" + text + ")"};
    }

private:
    struct Close {
        void operator()(gzFile file) const noexcept { gzclose(file); }
    };
    std::string path_;
    std::unique_ptr<gzFile_s, Close> file_;
};

/// Without JSON's white space around it.
std::string_view without_space(std::string_view text) noexcept {
    constexpr std::string_view space = " \t\r\n";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

class Lines {
public:
    Lines(const std::string& path, const std::function<void(std::string_view)>& take) : path_{path}, take_{take} {}

    void line(std::string_view text) {
        ++number_;
        if (text.size() > max_line_bytes)
            throw Failure{where() + ": longer than " + std::to_string(max_line_bytes) + " bytes"};
        text = without_space(text);
        if (text.empty()) return;
        if (!format_) format_ = format_of(text);
        if (*format_ == LineFormat::access_log && access_log_event(text, event_)) text = event_;
        report_.bytes += text.size();
        ++report_.events;
        take_(text);
    }
    InputFileReport finish() {
        if (!format_) throw Failure{path_ + ": empty: no event in it"};
        report_.format = *format_;
        return report_;
    }

private:
    [[nodiscard]] std::string where() const { return path_ + ":" + std::to_string(number_); }
    LineFormat format_of(std::string_view text) {
        if (text.front() == '{' && text.back() == '}') return LineFormat::ndjson;
        if (access_log_event(text, event_)) return LineFormat::access_log;
        throw Failure{where() + ": neither an NDJSON event nor an access-log line (common or combined format)"};
    }

    const std::string& path_;
    const std::function<void(std::string_view)>& take_;
    std::optional<LineFormat> format_;
    std::string event_;
    std::uint64_t number_ = 0;
    InputFileReport report_;
};

} // namespace

InputFileReport read_input_file(const std::string& path, const std::function<void(std::string_view event)>& take) {
    GzFile file{path};
    Lines lines{path, take};
    std::vector<char> buffer(std::size_t{2} << 20U);
    std::size_t held = 0;
    while (true) {
        const auto count = file.read(buffer.data() + held, buffer.size() - held);
        if (count == 0) break;
        std::string_view rest{buffer.data(), held + count};
        for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
            lines.line(rest.substr(0, end));
            rest.remove_prefix(end + 1);
        }
        // What is longer than a line may be is refused here, so there is always room to read on.
        if (rest.size() > max_line_bytes) lines.line(rest);
        held = rest.size();
        std::memmove(buffer.data(), rest.data(), held);
    }
    if (held > 0) lines.line({buffer.data(), held});
    return lines.finish();
}

} // namespace replay
