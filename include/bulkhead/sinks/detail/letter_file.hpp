// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <boost/system/error_code.hpp>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/// Appends to a dead-letter file, so that what counts as written is there after a crash. POSIX only.
namespace bulkhead::inline v1::detail {

[[nodiscard]] inline error_code last_system_error() noexcept { return {errno, boost::system::system_category()}; }

/// An open file, made where there is none, and closed at the end.
class AppendedFile {
public:
    AppendedFile(const std::string& path, error_code& error) {
        constexpr int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
        fd_ = ::open(path.c_str(), flags);
        if (fd_ < 0 && errno == ENOENT) {
            fd_ = ::open(path.c_str(), flags | O_CREAT, 0600);
            made_ = fd_ >= 0;
        }
        if (fd_ < 0) error = last_system_error();
    }
    AppendedFile(const AppendedFile&) = delete;
    AppendedFile& operator=(const AppendedFile&) = delete;
    ~AppendedFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// Another process may have made it between the two calls.
    [[nodiscard]] bool made() const noexcept { return made_; }
    [[nodiscard]] error_code write(std::string_view text) const noexcept {
        while (!text.empty()) {
            const auto n = ::write(fd_, text.data(), text.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return last_system_error();
            text.remove_prefix(static_cast<std::size_t>(n));
        }
        return {};
    }

private:
    int fd_ = -1;
    bool made_ = false;
};

/// Makes the name of a new file in the directory durable.
[[nodiscard]] inline error_code sync_directory_of(const std::string& path) {
    const auto slash = path.rfind('/');
    const auto directory = slash == std::string::npos ? std::string{"."} : path.substr(0, slash + 1);
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return last_system_error();
    const auto error = ::fsync(fd) == 0 ? error_code{} : last_system_error();
    ::close(fd);
    // Some file systems cannot sync a directory.
    if (error == boost::system::errc::invalid_argument || error == boost::system::errc::not_supported) return {};
    return error;
}

/// Appends lines to a file. On one thread at a time.
class LetterFile {
public:
    /// See `FileSinkOptions`.
    LetterFile(std::string path, std::uint64_t max_bytes, bool sync)
        : path_{std::move(path)}, max_bytes_{max_bytes}, sync_{sync} {}

    /// Opens the file once, and syncs its directory. Throws `InvalidOption` when that fails.
    void check() {
        error_code error;
        const AppendedFile file{path_, error};
        if (error)
            throw InvalidOption{{"path", "a dead-letter file that can be opened, and is no symbolic link",
                                 path_ + ": " + error.message()}};
        error = sync_name_of(file);
        if (error)
            throw InvalidOption{{"path", "a dead-letter file in a directory that can be synced, or sync = false",
                                 path_ + ": " + error.message()}};
    }
    /// Without an error all of it is on the disk (`FileSinkOptions::sync`), and otherwise none of it, if possible.
    [[nodiscard]] error_code append(std::string_view text) {
        error_code error;
        const AppendedFile file{path_, error};
        if (error) return error;
        struct ::stat about {};
        if (::fstat(file.fd(), &about) != 0) return last_system_error();
        const auto size = static_cast<std::uint64_t>(about.st_size);
        if (max_bytes_ != 0 && size + text.size() > max_bytes_) return errc::sink_full;
        char last = '\n';
        if (size != 0 && ::pread(file.fd(), &last, 1, about.st_size - 1) != 1) return last_system_error();
        if (last != '\n' && (error = file.write("\n"))) return error; // a crash has left a torn line
        error = file.write(text);
        if (!error && sync_ && ::fdatasync(file.fd()) != 0) error = last_system_error();
        if (!error) error = sync_name_of(file);
        // All of these letters come again: what is there of them now would be there twice.
        if (error && ::ftruncate(file.fd(), about.st_size) != 0) return error;
        return error;
    }

private:
    /// Syncs the directory unless this object has done so for this very file. An earlier process, or another one, may
    /// have made the file and not have come to it.
    [[nodiscard]] error_code sync_name_of(const AppendedFile& file) {
        if (!sync_) return {};
        struct ::stat about {};
        if (::fstat(file.fd(), &about) != 0) return last_system_error();
        if (!S_ISREG(about.st_mode)) return {};
        if (!file.made() && named_ && about.st_dev == device_ && about.st_ino == number_) return {};
        named_ = false;
        if (const auto error = sync_directory_of(path_)) return error;
        named_ = true;
        device_ = about.st_dev;
        number_ = about.st_ino;
        return {};
    }

    std::string path_;
    std::uint64_t max_bytes_;
    bool sync_;
    bool named_ = false; ///< `device_` and `number_` are those of the file whose name is on the disk
    ::dev_t device_{};
    ::ino_t number_{};
};

} // namespace bulkhead::inline v1::detail
