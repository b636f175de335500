// SPDX-License-Identifier: BSL-1.0
//
// Runs seeded lives of an indexer, or of a Kafka consumer group, and checks its promises at every step.
//
//     simulate [--seeds N] [--first-seed S]     many lives of an indexer, from S on
//     simulate --seed S                         one, e.g. to see a failure again
//     simulate --corpus FILE                    those at the beginning of its lines
//     simulate --kafka …                        the same for a group of Kafka sources
//
// After every step of an indexer: [F105] [F106] [F169]. Of a group: [F131] [F132] [F134] [F135] [F137] [F138] [F139]
// [F140] [F142] [F147] [F148] [F150] [F151] [F153] [F156] [F157].
//
// Exit status 0; 1 when a promise was broken, with the seed; 3 when something never happened in 200 seeds or more.

#include <bulkhead/test/kafka_simulation.hpp>
#include <bulkhead/test/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
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

unsigned long long number(std::uint64_t value) { return value; }

/// The closing lines of a run of Kafka lives; the exit status.
int report(const simulation::KafkaCoverage& coverage, std::uint64_t seeds, double seconds) {
    std::printf(
        "%llu seeds, %llu records, taken %llu times, %llu members killed, %llu dead letters; every promise held; "
        "%.1f s, %.0f seeds a minute\n",
        number(seeds), number(coverage.records), number(coverage.taken), number(coverage.crashes),
        number(coverage.letters), seconds, static_cast<double>(seeds) / seconds * 60);
    const char* separator = "";
    bool never = false;
    coverage.for_each([&](std::string_view name, std::uint64_t times) {
        std::printf("%s%.*s %llu", std::exchange(separator, ", "), static_cast<int>(name.size()), name.data(),
                    number(times));
        never = never || times == 0;
    });
    std::printf("\n");
    if (seeds < 200 || !never) return 0;
    coverage.for_each([](std::string_view name, std::uint64_t times) {
        if (times == 0) std::printf("never happened: %.*s\n", static_cast<int>(name.size()), name.data());
    });
    return 3;
}

} // namespace

int main(int argc, char** argv) {
    std::uint64_t seeds = 1000;
    std::uint64_t first = 1;
    std::vector<std::uint64_t> corpus;
    bool kafka = false;
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        if (name == "--kafka") {
            kafka = true;
            --i;
            continue;
        }
        if (i + 1 == argc) break;
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
    simulation::KafkaCoverage kafka_coverage;
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < seeds; ++i) {
        const auto seed = corpus.empty() ? first + i : corpus[i];
        if (i != 0 && i % (kafka ? 1000 : 10'000) == 0) std::fprintf(stderr, "%llu seeds lived through\n", number(i));
        try {
            if (kafka) {
                simulation::KafkaSimulation{seed, kafka_coverage}.run();
                continue;
            }
            simulation::Simulation{seed, coverage}.run();
            // A seed is worth something only when it lives the same life again.
            if (seeds > 1 && i % 20 != 0) continue;
            simulation::Coverage once;
            simulation::Coverage again;
            simulation::Simulation{seed, once}.run();
            simulation::Simulation{seed, again}.run();
            if (once.digest != again.digest) throw simulation::Broken{"it lives another life the second time"};
        } catch (const std::exception& broken) {
            std::printf("seed %llu: %s\n", number(seed), broken.what());
            return 1;
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (kafka) return report(kafka_coverage, seeds, took.count());
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
