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
#include <type_traits>
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

struct Arguments {
    std::uint64_t seeds = 1000;
    std::uint64_t first = 1;
    std::vector<std::uint64_t> corpus; ///< instead of `seeds` from `first` on
    bool kafka = false;
    bool rates = false;
    bool digest = false;

    [[nodiscard]] std::uint64_t seed(std::uint64_t i) const { return corpus.empty() ? first + i : corpus[i]; }
};

std::vector<std::uint64_t> read_corpus(const char* path) {
    std::vector<std::uint64_t> corpus;
    std::ifstream file{path};
    for (std::string line; std::getline(file, line);)
        if (const auto seed = std::strtoull(line.c_str(), nullptr, 10)) corpus.push_back(seed);
    return corpus;
}

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--kafka") arguments.kafka = true;
        if (name == "--rates") arguments.rates = true;
        if (name == "--digest") arguments.digest = true;
        if (name == "--kafka" || name == "--rates" || name == "--digest" || ++i == argc) continue;
        const auto value = std::strtoull(argv[i], nullptr, 10);
        if (name == "--seeds") arguments.seeds = value;
        if (name == "--seed" || name == "--first-seed") arguments.first = value;
        if (name == "--seed") arguments.seeds = 1;
        if (name == "--corpus") {
            arguments.corpus = read_corpus(argv[i]);
            arguments.seeds = arguments.corpus.size();
        }
    }
    return arguments;
}

/// A seed is worth something only when it lives the same life again.
void live_twice_more(std::uint64_t seed) {
    simulation::Coverage once;
    simulation::Coverage again;
    simulation::Simulation{seed, once}.run();
    simulation::Simulation{seed, again}.run();
    if (once.digest.value() != again.digest.value()) throw simulation::Broken{"it lives another life the second time"};
}

/// Lives through all seeds. False when a promise was broken, which is printed.
template <class Simulation, class Coverage>
bool live(const Arguments& arguments, Coverage& coverage, Rates& rates) {
    constexpr bool of_indexer = std::is_same_v<Simulation, simulation::Simulation>;
    for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
        const auto seed = arguments.seed(i);
        if (i != 0 && i % (of_indexer ? 10'000 : 1000) == 0)
            std::fprintf(stderr, "%llu seeds lived through\n", number(i));
        try {
            Simulation{seed, coverage}.run();
            rates.lived(coverage);
            if (of_indexer && (arguments.seeds == 1 || i % 20 == 0)) live_twice_more(seed);
        } catch (const std::exception& broken) {
            std::printf("seed %llu: %s\n", number(seed), broken.what());
            return false;
        }
    }
    return true;
}

void print_sums(const simulation::Coverage& coverage) {
    std::printf("%llu operations, %llu requests, %llu operations sent again", number(coverage.operations),
                number(coverage.requests), number(coverage.marks[simulation::Mark::sent_again]));
}
void print_sums(const simulation::KafkaCoverage& coverage) {
    std::printf("%llu records, taken %llu times, %llu members killed, %llu dead letters", number(coverage.records),
                number(coverage.taken), number(coverage.crashes), number(coverage.letters));
}

/// The exit status.
template <class Simulation, class Coverage>
int run(const Arguments& arguments, std::span<const simulation::Rarity> rarities) {
    Coverage coverage;
    Rates rates;
    const auto began = std::chrono::steady_clock::now();
    if (!live<Simulation>(arguments, coverage, rates)) return 1;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (arguments.digest) std::printf("digest %016llx\n", number(coverage.digest.value()));
    std::printf("%llu seeds, ", number(arguments.seeds));
    print_sums(coverage);
    std::printf("; every promise held; %.1f s, %.0f seeds a minute\n", took.count(),
                static_cast<double>(arguments.seeds) / took.count() * 60);
    if (arguments.rates) rates.print(coverage, arguments.seeds);
    return report(coverage, arguments.seeds, rarities);
}

} // namespace

int main(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (arguments.kafka)
        return run<simulation::KafkaSimulation, simulation::KafkaCoverage>(arguments, simulation::rare_for_a_group);
    return run<simulation::Simulation, simulation::Coverage>(arguments, simulation::rare_for_an_indexer);
}
