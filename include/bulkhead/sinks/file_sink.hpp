// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/sinks/detail/letter_file.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <utility>

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
/// The file is made with mode 0600, is not opened through a symbolic link, and is opened again for each bulk, so that
/// it can be moved away at any time. What a crash or a full disk left of a line is cut off or, if that fails, ended, so
/// that it harms no other line; `read_dead_letters` skips it. Only one sink at a time may write to a file. It writes on
/// a thread of its own: a slow disk does not hold up the indexer. Its destruction waits for the write under way. POSIX
/// only.
class FileSink {
public:
    /// Opens the file once, and syncs its directory. Throws `InvalidOption` when that fails.
    explicit FileSink(FileSinkOptions options) : shared_{std::make_shared<Shared>(std::move(options))} {
        shared_->file->check();
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
        asio::post(shared->thread, [job, file = shared->file] { job->end(file->append(job->text)); });
        while (!job->ended()) {
            error_code ignored;
            co_await job->woken->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        co_return job->error;
    }

private:
    /// Shared by the sink's thread and the waiting coroutine. The context may be destroyed, and the coroutine with it,
    /// while the thread still writes: then the thread wakes nothing, and holds nothing of the context.
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
    struct Shared {
        explicit Shared(FileSinkOptions options)
            : file{std::make_shared<detail::LetterFile>(std::move(options.path), options.max_bytes, options.sync)} {}
        std::shared_ptr<detail::LetterFile> file; ///< a write under way keeps it
        asio::thread_pool thread{1};
    };

    std::shared_ptr<Shared> shared_;
};
static_assert(DeadLetterSink<FileSink>);

} // namespace bulkhead::inline v1
