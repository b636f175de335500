// SPDX-License-Identifier: BSL-1.0
//
// Runs seeded lives of an indexer, or of a Kafka consumer group, and checks its promises at every step.
//
//     simulate [--seeds N] [--first-seed S]     many lives of an indexer, from S on
//     simulate --seed S                         one, e.g. to see a failure again
//     simulate --corpus FILE                    those at the beginning of its lines
//     simulate --kafka …                        the same for a group of Kafka sources
//     simulate --rates …                        also in how many of the lives each thing came up
//     (simulation_rarity.hpp)
//     simulate --digest …                       also one number for all that was sent and settled, and when: a change
//     of the library that changes nothing of that keeps it
//
// After every step of an indexer: [F105] [F106] [F169]. Of a group: [F131] [F132] [F134] [F135] [F137] [F138] [F139]
// [F140] [F142] [F147] [F148] [F150] [F151] [F153] [F156] [F157].
//
// Exit status 0; 1 when a promise was broken, with the seed; 3 when something never happened that a run of so many
// seeds is certain to see (simulation_rarity.hpp).

#include "simulation/kafka_simulation.hpp"
#include "simulation/simulation.hpp"
#include "simulation/simulation_rarity.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace simulation = bulkhead::test::simulation;

unsigned long long number(std::uint64_t value) { return value; }
int width(std::string_view text) { return static_cast<int>(text.size()); }

/// Counts in how many lives each thing came up.
class Rates {
public:
    /// After each life, with what all lives so far have seen.
    template <class Coverage>
    void lived(const Coverage& coverage) {
        std::size_t at = 0;
        coverage.for_each([&](std::string_view, std::uint64_t times) {
            if (at == seen_.size()) seen_.push_back({});
            auto& [before, lives] = seen_[at++];
            lives += times != before ? 1U : 0U;
            before = times;
        });
    }
    template <class Coverage>
    void print(const Coverage& coverage, std::uint64_t lives) const {
        std::size_t at = 0;
        coverage.for_each([&](std::string_view name, std::uint64_t) {
            const auto in = seen_[at++].lives;
            std::printf("%.*s: in %llu of %llu lives, one in %.1f\n", width(name), name.data(), number(in),
                        number(lives), static_cast<double>(lives) / static_cast<double>(in));
        });
    }

private:
    struct Seen {
        std::uint64_t times = 0;
        std::uint64_t lives = 0;
    };
    std::vector<Seen> seen_;
};

/// Prints how often everything happened; the exit status.
template <class Coverage>
int report(const Coverage& coverage, std::uint64_t lives, std::span<const simulation::Rarity> rarities) {
    std::vector<std::string_view> names;
    std::string never;
    coverage.for_each([&](std::string_view name, std::uint64_t times) {
        std::printf("%s%.*s %llu", names.empty() ? "" : ", ", width(name), name.data(), number(times));
        names.push_back(name);
        if (times == 0 && simulation::must_be_seen(name, lives, rarities))
            never.append("never happened: ").append(name).append("\n");
    });
    for (const auto& rarity : rarities)
        if (std::find(names.begin(), names.end(), rarity.name) == names.end())
            never.append("simulation_rarity.hpp names what is not there: ").append(rarity.name).append("\n");
    std::printf("\n%s", never.c_str());
    return never.empty() ? 0 : 3;
}

} // namespace

int main(int argc, char** argv) {
    std::uint64_t seeds = 1000;
    std::uint64_t first = 1;
    std::vector<std::uint64_t> corpus;
    bool kafka = false;
    bool show_rates = false;
    bool show_digest = false;
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        if (name == "--kafka" || name == "--rates" || name == "--digest") {
            kafka = kafka || name == "--kafka";
            show_digest = show_digest || name == "--digest";
            show_rates = show_rates || name == "--rates";
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
    Rates rates;
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < seeds; ++i) {
        const auto seed = corpus.empty() ? first + i : corpus[i];
        if (i != 0 && i % (kafka ? 1000 : 10'000) == 0) std::fprintf(stderr, "%llu seeds lived through\n", number(i));
        try {
            if (kafka) {
                simulation::KafkaSimulation{seed, kafka_coverage}.run();
                rates.lived(kafka_coverage);
                continue;
            }
            simulation::Simulation{seed, coverage}.run();
            rates.lived(coverage);
            // A seed is worth something only when it lives the same life again.
            if (seeds > 1 && i % 20 != 0) continue;
            simulation::Coverage once;
            simulation::Coverage again;
            simulation::Simulation{seed, once}.run();
            simulation::Simulation{seed, again}.run();
            if (once.digest.value() != again.digest.value())
                throw simulation::Broken{"it lives another life the second time"};
        } catch (const std::exception& broken) {
            std::printf("seed %llu: %s\n", number(seed), broken.what());
            return 1;
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (show_digest) std::printf("digest %016llx\n", number((kafka ? kafka_coverage.digest : coverage.digest).value()));
    const auto a_minute = static_cast<double>(seeds) / took.count() * 60;
    if (kafka) {
        std::printf(
            "%llu seeds, %llu records, taken %llu times, %llu members killed, %llu dead letters; every promise held; "
            "%.1f s, %.0f seeds a minute\n",
            number(seeds), number(kafka_coverage.records), number(kafka_coverage.taken), number(kafka_coverage.crashes),
            number(kafka_coverage.letters), took.count(), a_minute);
        if (show_rates) rates.print(kafka_coverage, seeds);
        return report(kafka_coverage, seeds, simulation::rare_for_a_group);
    }
    std::printf("%llu seeds, %llu operations, %llu requests, %llu operations sent again; every promise held; "
                "%.1f s, %.0f seeds a minute\n",
                number(seeds), number(coverage.operations), number(coverage.requests),
                number(coverage.marks[simulation::Mark::sent_again]), took.count(), a_minute);
    if (show_rates) rates.print(coverage, seeds);
    return report(coverage, seeds, simulation::rare_for_an_indexer);
}
