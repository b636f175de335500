// SPDX-License-Identifier: BSL-1.0
#include "replay.hpp"

#include <bulkhead/error.hpp>

#include <cstdio>
#include <exception>
#include <iostream>

namespace {

int complain(const char* what, const char* advice, int status) {
    std::fprintf(stderr, "kafka_replay: %s%s\n", what, advice);
    return status;
}

} // namespace

int main(int argc, char** argv) {
    constexpr int failed = 1;
    constexpr int wrong_usage = 2;
    try {
        const auto options = replay::parse_options(argc, argv);
        if (options) return replay::run_replay(*options);
        return std::cout.flush() ? 0 : complain("standard output cannot be written", "", failed);
    } catch (const replay::UsageError& e) {
        return complain(e.what(), " (--help says more)", wrong_usage);
    } catch (const bulkhead::InvalidOption& e) {
        return complain(e.what(), " (--help says more)", wrong_usage);
    } catch (const std::exception& e) {
        return complain(e.what(), "", failed);
    }
}
