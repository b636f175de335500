// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>
#include <csignal>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>

namespace bulkhead_test {

/// A process of ours. Dies with this object.
class Child {
public:
    /// `words`: the program's path and its arguments. `settings`: all of its environment, `NAME=VALUE`.
    explicit Child(std::vector<std::string> words, std::vector<std::string> settings = {}) {
        const auto pointers = [](std::vector<std::string>& strings) {
            std::vector<char*> all;
            for (auto& string : strings) all.push_back(string.data());
            all.push_back(nullptr);
            return all;
        };
        pid_t pid = 0;
        if (posix_spawn(&pid, words.front().c_str(), nullptr, nullptr, pointers(words).data(),
                        pointers(settings).data()) == 0)
            pid_ = pid;
    }
    ~Child() {
        signal(SIGKILL);
        wait();
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    void signal(int number) const {
        if (const pid_t pid = pid_; pid > 0) ::kill(pid, number); // 0 would be all of us
    }
    /// Until it is no more: its exit status, or -1.
    int wait() {
        int status = 0;
        const pid_t pid = pid_.exchange(0);
        return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    std::atomic<pid_t> pid_{0};
};

} // namespace bulkhead_test
