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
    try {
        const auto options = replay::parse_options(argc, argv);
        if (options) return replay::run_replay(*options);
        return std::cout.flush() ? replay::exit_ok
                                 : complain("standard output cannot be written", "", replay::exit_fault);
    } catch (const replay::UsageError& e) {
        return complain(e.what(), " (--help says more)", replay::exit_usage);
    } catch (const bulkhead::InvalidOption& e) {
        return complain(e.what(), " (--help says more)", replay::exit_usage);
    } catch (const replay::Failure& e) {
        return complain(e.what(), "", e.status());
    } catch (const std::exception& e) {
        return complain(e.what(), "", replay::exit_fault);
    }
}
