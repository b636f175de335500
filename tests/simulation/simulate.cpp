// SPDX-License-Identifier: BSL-1.0
//
// Runs seeded lives of an indexer and checks its promises at every step.
//
//     simulate [--seeds N] [--first-seed S]     many, from S on
//     simulate --seed S                         one, e.g. to see a failure again
//     simulate --corpus FILE                    those at the beginning of its lines
//
// After every step: [F105] [F106] [F169].
//
// Exit status 0; 1 when a promise was broken, with the seed; 3 when something never happened in 200 seeds or more.

#include <bulkhead/test/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace simulation = bulkhead::test::simulation;

/// Says what never happened.
bool vacuous(const simulation::Coverage& coverage) {
    bool never = false;
    const auto look = [&never](std::string_view name, std::uint64_t times) {
        if (times == 0) std::printf("never happened: %.*s\n", static_cast<int>(name.size()), name.data());
        never = never || times == 0;
    };
    coverage.for_each(look);
    return never;
}

} // namespace

int main(int argc, char** argv) {
    std::uint64_t seeds = 1000;
    std::uint64_t first = 1;
    std::vector<std::uint64_t> corpus;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const auto value = std::strtoull(argv[i + 1], nullptr, 10);
        if (name == "--corpus") {
            std::ifstream file{argv[i + 1]};
            for (std::string line; std::getline(file, line);)
                if (const auto seed = std::strtoull(line.c_str(), nullptr, 10)) corpus.push_back(seed);
            seeds = corpus.size();
        }
        if (name == "--seeds") seeds = value;
        if (name == "--first-seed") first = value;
        if (name == "--seed") {
            first = value;
            seeds = 1;
        }
    }
    simulation::Coverage coverage;
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < seeds; ++i) {
        const auto seed = corpus.empty() ? first + i : corpus[i];
        if (i != 0 && i % 10'000 == 0)
            std::fprintf(stderr, "%llu seeds lived through\n", static_cast<unsigned long long>(i));
        try {
            simulation::Simulation{seed, coverage}.run();
            // A seed is worth something only when it lives the same life again.
            if (seeds > 1 && i % 20 != 0) continue;
            simulation::Coverage once;
            simulation::Coverage again;
            simulation::Simulation{seed, once}.run();
            simulation::Simulation{seed, again}.run();
            if (once.digest != again.digest) throw simulation::Broken{"it lives another life the second time"};
        } catch (const std::exception& broken) {
            std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), broken.what());
            return 1;
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("%llu seeds, %llu operations, %llu requests, %llu operations sent again; every promise held; "
                "%.1f s, %.0f seeds a minute\n",
                number(seeds), number(coverage.operations), number(coverage.requests), number(coverage.mark[0]),
                took.count(), static_cast<double>(seeds) / took.count() * 60);
    const char* comma = "";
    coverage.for_each([&](std::string_view name, std::uint64_t times) {
        std::printf("%s%.*s %llu", comma, static_cast<int>(name.size()), name.data(), number(times));
        comma = ", ";
    });
    std::printf("\n");
    return seeds >= 200 && vacuous(coverage) ? 3 : 0;
}
