// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead_test {

/// A process of ours. Dies with this object.
class Child {
public:
    /// Where its standard error goes: to ours, or to `line`, which must then be read.
    enum class Errors { shown, kept };
    /// `words`: the program's path and its arguments. `settings`: all of its environment, `NAME=VALUE`.
    explicit Child(std::vector<std::string> words, std::vector<std::string> settings = {},
                   Errors errors = Errors::shown) {
        const auto pointers = [](std::vector<std::string>& strings) {
            std::vector<char*> all;
            for (auto& string : strings) all.push_back(string.data());
            all.push_back(nullptr);
            return all;
        };
        std::array<int, 2> pipe{-1, -1};
        if (errors == Errors::kept && ::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
        posix_spawn_file_actions_t files{};
        posix_spawn_file_actions_init(&files);
        if (errors == Errors::kept) posix_spawn_file_actions_adddup2(&files, pipe[1], STDERR_FILENO);
        pid_t pid = 0;
        if (posix_spawn(&pid, words.front().c_str(), &files, nullptr, pointers(words).data(),
                        pointers(settings).data()) == 0)
            pid_ = pid;
        posix_spawn_file_actions_destroy(&files);
        errors_ = pipe[0];
        if (pipe[1] >= 0) ::close(pipe[1]);
    }
    ~Child() {
        signal(SIGKILL);
        wait();
        if (errors_ >= 0) ::close(errors_);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    void signal(int number) const {
        if (const pid_t pid = pid_; pid > 0) ::kill(pid, number); // 0 would be all of us
    }
    /// The next line of its standard error; empty when there is none any more.
    std::string line() const {
        std::string text;
        for (char c = 0; ::read(errors_, &c, 1) == 1 && c != '\n';) text += c;
        return text;
    }
    /// Until it is no more: its exit status, or -1.
    int wait() {
        int status = 0;
        const pid_t pid = pid_.exchange(0);
        return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    std::atomic<pid_t> pid_{0};
    int errors_ = -1;
};

} // namespace bulkhead_test
