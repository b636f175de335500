// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/parse.hpp>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::inline v1 {

/// Where a `FileSink` writes, and how much.
struct FileSinkOptions {
    /// The file. It is made, with mode 0600, when it is not there; its directory must be. Not a symbolic link. When to
    /// change: always.
    std::string path{};
    /// The file grows no larger than this; then the sink fails with `errc::sink_full` until there is room (the file was
    /// moved away, or made shorter). 0: no limit. The letters of one bulk go there together, so not below some times
    /// `max_batch_bytes`: what does not fit into an empty file never gets in. When to change: as much as you would look
    /// through, and as the disk can spare.
    std::uint64_t max_bytes = std::uint64_t{1} << 30;
    /// Whether what was written is on the disk (`fdatasync`; for a file that is new also `fsync` of its directory), and
    /// not only in the kernel, before it counts. The directory must then be readable. When to change: `false` where a
    /// crash of the machine may lose the newest letters.
    bool sync = true;
};

/// A dead-letter sink that appends one line of JSON for each dead letter to a file (see `append_dead_letter`).
///
/// The file is made with mode 0600, is not opened through a symbolic link, and is opened anew for each bulk, so that
/// it can be moved away at any time. What a crash or a full disk left of a line is cut off or, if that fails, ended, so
/// that it harms no other line; `read_dead_letters` skips it. Only one sink at a time may write to a file. It writes on
/// a thread of its own: a slow disk does not hold up the indexer. Its destruction waits for the write under way. POSIX
/// only.
class FileSink {
public:
    /// Opens the file once, and syncs its directory. Throws `InvalidOption` when that fails.
    explicit FileSink(FileSinkOptions options) : shared_{std::make_shared<Shared>(std::move(options))} {
        auto& writer = *shared_->writer;
        error_code error;
        const File file{writer.options.path, error};
        if (error)
            throw InvalidOption{{"path", "a dead-letter file that can be opened, and is no symbolic link",
                                 writer.options.path + ": " + error.message()}};
        error = writer.sync_name_of(file);
        if (error)
            throw InvalidOption{{"path", "a dead-letter file in a directory that can be synced, or sync = false",
                                 writer.options.path + ": " + error.message()}};
    }

    /// See `DeadLetterSink`; on a strand or a single thread, as an indexer calls it. Without an error the lines are on
    /// the disk (`FileSinkOptions::sync`).
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        const auto shared = shared_; // the sink may be gone before the write has ended
        const auto job = std::make_shared<Job>(co_await asio::this_coro::executor);
        const Waiting waiting{*job};
        const auto now = std::chrono::system_clock::now();
        for (const auto& letter : letters) {
            append_dead_letter(job->text, letter, now);
            job->text += '\n';
        }
        asio::post(shared->thread, [job, writer = shared->writer] { job->end(writer->append(job->text)); });
        while (!job->ended()) {
            error_code ignored;
            co_await job->woken->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        co_return job->error;
    }

private:
    /// What the sink's thread and the waiting coroutine share. The context may go while the thread still writes, and
    /// the coroutine with it: then nobody is woken, and the thread holds nothing of the context.
    struct Job {
        explicit Job(asio::any_io_executor executor)
            : waiting{executor}, woken{std::make_shared<asio::steady_timer>(executor,
                                                                            asio::steady_timer::time_point::max())} {}
        void end(error_code result) {
            const std::lock_guard lock{mutex};
            error = result;
            done = true;
            if (!waiting) return;
            try {
                asio::post(waiting, [timer = woken] { timer->cancel(); });
            } catch (const std::bad_alloc&) { // the coroutine waits until its context ends
            }
        }
        [[nodiscard]] bool ended() {
            const std::lock_guard lock{mutex};
            return done;
        }
        std::string text;
        std::mutex mutex;
        error_code error;
        bool done = false;
        asio::any_io_executor waiting;
        std::shared_ptr<asio::steady_timer> woken;
    };
    /// As long as the coroutine lives.
    struct Waiting {
        explicit Waiting(Job& job_in) : job{job_in} {}
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
        ~Waiting() {
            const std::lock_guard lock{job.mutex};
            job.waiting = {};
            job.woken.reset();
        }
        Job& job;
    };
    /// An open file, made where there is none, and closed at the end.
    class File {
    public:
        File(const std::string& path, error_code& error) {
            constexpr int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
            fd_ = ::open(path.c_str(), flags);
            if (fd_ < 0 && errno == ENOENT) {
                fd_ = ::open(path.c_str(), flags | O_CREAT, 0600);
                made_ = fd_ >= 0;
            }
            if (fd_ < 0) error = last_error();
        }
        File(const File&) = delete;
        File& operator=(const File&) = delete;
        ~File() {
            if (fd_ >= 0) ::close(fd_);
        }
        [[nodiscard]] int fd() const noexcept { return fd_; }
        [[nodiscard]] bool made() const noexcept { return made_; } ///< or it came between two looks

    private:
        int fd_ = -1;
        bool made_ = false;
    };
    [[nodiscard]] static error_code last_error() noexcept { return {errno, boost::system::system_category()}; }

    /// What the sink's thread works with. It outlives the sink while a write is under way.
    struct Writer {
        explicit Writer(FileSinkOptions options_in) : options{std::move(options_in)} {}
        error_code append(std::string_view text) {
            error_code error;
            const File file{options.path, error};
            if (error) return error;
            struct ::stat about {};
            if (::fstat(file.fd(), &about) != 0) return last_error();
            const auto size = static_cast<std::uint64_t>(about.st_size);
            if (options.max_bytes != 0 && size + text.size() > options.max_bytes) return errc::sink_full;
            char last = '\n';
            if (size != 0 && ::pread(file.fd(), &last, 1, about.st_size - 1) != 1) return last_error();
            if (last != '\n' && (error = write_all(file.fd(), "\n"))) return error; // a torn line of an earlier life
            error = write_all(file.fd(), text);
            if (!error && options.sync && ::fdatasync(file.fd()) != 0) error = last_error();
            if (!error) error = sync_name_of(file);
            // All of these letters come again: what is there of them now would be there twice.
            if (error && ::ftruncate(file.fd(), about.st_size) != 0) return error;
            return error;
        }
        /// Syncs the directory unless this sink has done so for this very file: whether an earlier life came to it, or
        /// whoever else made the file, is not known.
        error_code sync_name_of(const File& file) {
            if (!options.sync) return {};
            struct ::stat about {};
            if (::fstat(file.fd(), &about) != 0) return last_error();
            if (!S_ISREG(about.st_mode)) return {};
            if (!file.made() && named && about.st_dev == device && about.st_ino == number) return {};
            named = false;
            if (const auto error = sync_directory_of(options.path)) return error;
            named = true;
            device = about.st_dev;
            number = about.st_ino;
            return {};
        }

        FileSinkOptions options;
        bool named = false; ///< `device` and `number` are those of the file whose name is on the disk
        ::dev_t device{};
        ::ino_t number{};
    };
    struct Shared {
        explicit Shared(FileSinkOptions options) : writer{std::make_shared<Writer>(std::move(options))} {}
        std::shared_ptr<Writer> writer;
        asio::thread_pool thread{1};
    };

    static error_code sync_directory_of(const std::string& path) {
        const auto slash = path.rfind('/');
        const auto directory = slash == std::string::npos ? std::string{"."} : path.substr(0, slash + 1);
        const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) return last_error();
        const auto error = ::fsync(fd) == 0 ? error_code{} : last_error();
        ::close(fd);
        // Some file systems have no such thing as a directory to be synced.
        if (error == boost::system::errc::invalid_argument || error == boost::system::errc::not_supported) return {};
        return error;
    }
    static error_code write_all(int fd, std::string_view text) {
        while (!text.empty()) {
            const auto n = ::write(fd, text.data(), text.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return last_error();
            text.remove_prefix(static_cast<std::size_t>(n));
        }
        return {};
    }

    std::shared_ptr<Shared> shared_;
};
static_assert(DeadLetterSink<FileSink>);

/// A dead letter as it was read back; it owns its texts.
struct StoredDeadLetter {
    std::string time; ///< when it was written, e.g. `2026-11-24T10:00:00Z`
    /// The server's error type, or the name of an `errc`.
    std::string type;
    /// The server's; may be empty.
    std::string reason;
    /// As it was sent; empty for a Kafka record that never became an operation.
    std::string action_line;
    /// As it was sent; empty for a delete.
    std::string source;
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server had answered about it.
    std::uint32_t attempts = 0;
    std::optional<std::uint64_t> ticket{}; ///< the key of the operation's ticket
    std::string topic{};                   ///< the Kafka record that it came from; empty: not known
    /// -1: not known.
    std::int32_t partition = -1;
    /// -1: not known.
    std::int64_t offset = -1;
};

namespace detail {
[[nodiscard]] inline std::string from_hex(std::string_view hex) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
    return bytes;
}
} // namespace detail

/// Reads a line that `append_dead_letter` wrote; nothing when it is torn, or something else.
[[nodiscard]] inline std::optional<StoredDeadLetter> parse_dead_letter(std::string_view line) {
    error_code error;
    const auto value = boost::json::parse(boost::json::string_view{line.data(), line.size()}, error);
    if (error || !value.is_object()) return std::nullopt;
    const auto& object = value.get_object();
    const auto text = [&](const char* name) {
        const auto* const found = object.if_contains(name);
        return found != nullptr && found->is_string() ? std::string{found->get_string()} : std::string{};
    };
    const auto number = [&](const char* name) {
        const auto* const found = object.if_contains(name);
        return found != nullptr && found->is_int64() ? std::optional{found->get_int64()} : std::nullopt;
    };
    StoredDeadLetter letter;
    letter.time = text("@timestamp");
    letter.type = text("type");
    letter.reason = text("reason");
    letter.action_line = text("action");
    letter.source = text("source");
    if (object.contains("source_hex")) letter.source = detail::from_hex(text("source_hex"));
    letter.status = static_cast<std::uint16_t>(number("status").value_or(0));
    letter.attempts = static_cast<std::uint32_t>(number("attempts").value_or(0));
    const auto ticket = text("ticket");
    std::uint64_t key = 0;
    if (std::from_chars(ticket.data(), ticket.data() + ticket.size(), key).ec == std::errc{}) letter.ticket = key;
    letter.topic = text("topic");
    letter.partition = static_cast<std::int32_t>(number("partition").value_or(-1));
    letter.offset = number("offset").value_or(-1);
    // A record that never became an operation has none; its place is known.
    if (letter.action_line.empty() && letter.topic.empty()) return std::nullopt;
    return letter;
}

/// What `read_dead_letters` found.
struct DeadLettersRead {
    error_code error;          ///< the file could not be opened or read to its end
    std::uint64_t letters = 0; ///< handed to the function
    std::uint64_t skipped = 0; ///< lines that are no dead letter: torn, or something else
};

/// Reads a dead-letter file line by line, each handed to `take`, a `void(StoredDeadLetter)`, in order.
template <std::invocable<StoredDeadLetter> Take>
DeadLettersRead read_dead_letters(const std::string& path, Take&& take) {
    DeadLettersRead result;
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        result.error = {errno, boost::system::system_category()};
        return result;
    }
    for (std::string line; std::getline(file, line);) {
        auto letter = parse_dead_letter(line);
        if (letter) {
            ++result.letters;
            take(std::move(*letter));
        } else if (!line.empty()) {
            ++result.skipped;
        }
    }
    if (file.bad()) result.error = {errno, boost::system::system_category()};
    return result;
}

} // namespace bulkhead::inline v1
