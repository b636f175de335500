// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/// Passwords, keys and tokens: how they are held, and where they come from.
namespace bulkhead::inline v1 {

namespace detail {
/// Overwrites with zeros, also where nobody reads them any more and a compiler would leave a `memset` out.
inline void wipe(void* memory, std::size_t size) noexcept {
    auto* const bytes = static_cast<volatile unsigned char*>(memory);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = 0;
}
/// Empties a text and overwrites all that it has room for: also what it was before it became shorter, or moved away.
inline void wipe(std::string& text) noexcept {
    text.resize(text.capacity()); // allocates nothing, and makes the rest its own
    wipe(text.data(), text.size());
    text.clear();
}
/// Makes room for so many bytes more. Where the text has to move, what it leaves behind is overwritten.
inline void make_room(std::string& text, std::size_t more) {
    if (text.capacity() - text.size() >= more) return;
    std::string larger;
    larger.reserve(std::max(text.size() + more, text.capacity() * 2));
    larger.append(text);
    text.swap(larger);
    wipe(larger);
}
} // namespace detail

/// Bytes that nobody else may see. They lie in memory of their own, which is overwritten before it is given back;
/// moving takes that memory along and leaves nothing behind. Not copied, never converted to a string by itself, and
/// written to a stream as `[secret]`. Swap and core dumps are the system's.
class Secret {
public:
    Secret() noexcept = default;
    /// Copies the bytes; what they are copied from is the caller's to forget.
    explicit Secret(std::string_view bytes) : Secret{joined({bytes})} {}
    /// Moves; nothing is left behind.
    Secret(Secret&& other) noexcept
        : bytes_{std::move(other.bytes_)}, room_{std::exchange(other.room_, 0)}, size_{std::exchange(other.size_, 0)} {}
    /// Moves; nothing is left behind, and what was held is overwritten.
    Secret& operator=(Secret&& other) noexcept {
        if (this == &other) return *this;
        detail::wipe(bytes_.get(), room_);
        bytes_ = std::move(other.bytes_);
        room_ = std::exchange(other.room_, 0);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret() { detail::wipe(bytes_.get(), room_); }

    /// All parts, one after the other.
    [[nodiscard]] static Secret joined(std::initializer_list<std::string_view> parts) {
        std::size_t size = 0;
        for (const auto part : parts) size += part.size();
        return written(size, [parts](std::span<char> room) {
            auto* to = room.data();
            for (const auto part : parts) {
                if (!part.empty()) std::memcpy(to, part.data(), part.size());
                to += part.size();
            }
            return room.size();
        });
    }
    /// Made in its place, so that there is no second copy: `write` gets `room` bytes, all zero, and returns how many
    /// from the first on are the secret.
    template <class Write>
    [[nodiscard]] static Secret written(std::size_t room, Write&& write) {
        Secret made;
        if (room == 0) return made;
        made.bytes_ = std::make_unique<char[]>(room);
        made.room_ = room;
        made.size_ = std::forward<Write>(write)(std::span<char>{made.bytes_.get(), room});
        return made;
    }

    /// The bytes, until the secret is destroyed, assigned to or moved from.
    [[nodiscard]] std::string_view reveal() const noexcept { return {bytes_.get(), size_}; }
    /// Whether it holds no byte.
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    /// In bytes.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Takes as long wherever the first difference is; the size is not hidden.
    [[nodiscard]] friend bool operator==(const Secret& a, const Secret& b) noexcept {
        if (a.size_ != b.size_) return false;
        unsigned difference = 0;
        for (std::size_t i = 0; i < a.size_; ++i)
            difference |= static_cast<unsigned>(static_cast<unsigned char>(a.bytes_[i]) ^
                                                static_cast<unsigned char>(b.bytes_[i]));
        return difference == 0;
    }
    template <class Char, class Traits>
    friend std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out, const Secret&) {
        return out << "[secret]";
    }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t room_ = 0; ///< what was allocated, and is overwritten
    std::size_t size_ = 0;
};

/// Where a secret comes from. A transport asks when it first needs it, and again after the server has answered 401, so
/// that it can be rotated. Copies share what they hold, so that a secret is not multiplied. Thread-safe.
class SecretSource {
public:
    /// Either a secret that is not empty, or a problem: which source, and why it has none. A problem never holds the
    /// secret, nor what a callback has thrown, and is fit for a log (bounded, no control characters).
    struct Answer {
        /// Empty when there is a problem.
        Secret secret{};
        /// Empty when there is a secret.
        std::string problem{};
    };

    /// The secret itself. An empty one is a problem: it comes mostly from a variable that was not set.
    SecretSource(Secret value)
        : SecretSource{"the given value", nullptr, false, [held = std::make_shared<const Secret>(std::move(value))] {
                           return Answer{Secret{held->reveal()}, {}};
                       }} {}
    /// The secret itself, from text: the caller's own copy stays as it is.
    SecretSource(std::string_view value) : SecretSource{Secret{value}} {}
    /// The secret itself, from text: the caller's own copy stays as it is.
    SecretSource(const std::string& value) : SecretSource{Secret{value}} {}
    /// The same; and the string, the caller's own memory included, is overwritten.
    SecretSource(std::string&& value) : SecretSource{Secret{value}} { detail::wipe(value); }
    /// A null pointer counts as empty.
    SecretSource(const char* value) : SecretSource{Secret{value == nullptr ? std::string_view{} : value}} {}

    /// An environment variable, read at each asking; nobody may change the environment meanwhile. It stays there for
    /// the process, its children and whoever may look into `/proc`.
    [[nodiscard]] static SecretSource environment(std::string name) {
        const bool nameable = !name.empty() && name.find_first_of(std::string_view{"=\0", 2}) == std::string::npos;
        auto origin = "environment variable " + detail::printable(name);
        return {std::move(origin), nameable ? nullptr : "has a name that is empty or holds '=' or NUL", true,
                [name = std::move(name)]() -> Answer {
                    const char* const value = std::getenv(name.c_str());
                    if (value == nullptr) return {{}, "is not set"};
                    return {Secret{value}, {}};
                }};
    }
    /// All that a file holds but one newline (LF or CR LF) at its end, read at each asking. A regular file, or a link
    /// to one, of at most 64 KiB, on a disk that answers at once. To rotate, rename the new one over it: then nobody
    /// reads half of it. POSIX only.
    [[nodiscard]] static SecretSource file(std::string path) {
        const bool nameable = !path.empty() && path.find('\0') == std::string::npos;
        auto origin = "file " + detail::printable(path);
        return {std::move(origin), nameable ? nullptr : "has a name that is empty or holds NUL", true,
                [path = std::move(path)] { return read_file(path); }};
    }
    /// A function, called at each asking on the thread that asks, never twice at a time. It must not block, nor ask
    /// this source. What it throws is not passed on, since it might hold the secret: let it write its own log.
    [[nodiscard]] static SecretSource callback(std::function<Secret()> function) {
        struct Shared {
            explicit Shared(std::function<Secret()> function_in) : function{std::move(function_in)} {}
            std::function<Secret()> function;
            std::mutex mutex;
        };
        const bool callable = static_cast<bool>(function);
        return {"the callback", callable ? nullptr : "is not there", true,
                [shared = std::make_shared<Shared>(std::move(function))]() -> Answer {
                    const std::lock_guard lock{shared->mutex};
                    try {
                        return {shared->function(), {}};
                    } catch (const std::bad_alloc&) {
                        throw;
                    } catch (...) {
                        return {{}, "threw an exception"};
                    }
                }};
    }

    /// Asks. Throws nothing but `std::bad_alloc`.
    [[nodiscard]] Answer ask() const {
        if (auto problem = fault(); !problem.empty()) return {{}, std::move(problem)};
        auto answer = read_();
        if (answer.problem.empty() && answer.secret.empty()) answer.problem = "is empty";
        if (!answer.problem.empty()) return {{}, origin_ + ' ' + answer.problem};
        return answer;
    }
    /// What is wrong with the source whatever it would answer, such as a name that no file can have; nothing is asked.
    /// Empty when nothing is.
    [[nodiscard]] std::string fault() const {
        if (fault_ != nullptr) return origin_ + ' ' + fault_;
        return read_ ? std::string{} : "a source that was moved from";
    }
    /// Whether asking again can bring another secret: not when the value was given.
    [[nodiscard]] bool can_change() const noexcept { return can_change_; }
    /// Where from, fit for a log: `"environment variable ES_PASSWORD"`.
    [[nodiscard]] const std::string& origin() const noexcept { return origin_; }

private:
    /// Answers with the secret, or with the predicate of a sentence about the origin.
    using Read = std::function<Answer()>;

    SecretSource(std::string origin, const char* fault, bool can_change, Read read)
        : origin_{std::move(origin)}, fault_{fault}, can_change_{can_change}, read_{std::move(read)} {}

    static Answer read_file(const std::string& path) {
        constexpr std::size_t most = 65536;
        const auto system_says = [](int number) -> Answer {
            return {{}, "cannot be read: " + error_code{number, boost::system::system_category()}.message()};
        };
        struct File {
            int fd;
            ~File() {
                if (fd >= 0) ::close(fd);
            }
        };
        const File file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)}; // a pipe holds nobody up
        if (file.fd < 0) return system_says(errno);
        struct ::stat about {};
        if (::fstat(file.fd, &about) != 0) return system_says(errno);
        if (!S_ISREG(about.st_mode)) return {{}, "is not a regular file"};
        int failed = 0;
        const auto content = Secret::written(most + 1, [&](std::span<char> room) {
            std::size_t size = 0;
            while (size < room.size()) {
                const auto got = ::read(file.fd, room.data() + size, room.size() - size);
                if (got < 0 && errno == EINTR) continue;
                if (got < 0) failed = errno;
                if (got <= 0) break;
                size += static_cast<std::size_t>(got);
            }
            return size;
        });
        if (failed != 0) return system_says(failed);
        if (content.size() > most) return {{}, "is larger than 65536 bytes"};
        auto text = content.reveal();
        if (text.ends_with('\n')) {
            text.remove_suffix(1);
            if (text.ends_with('\r')) text.remove_suffix(1);
        }
        return {Secret{text}, {}};
    }

    std::string origin_;
    const char* fault_;
    bool can_change_;
    Read read_;
};

} // namespace bulkhead::inline v1
