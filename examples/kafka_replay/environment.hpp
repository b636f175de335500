// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Environment variables whose names look like misspelt ones of ours: `KAFKA_BROKER` for `KAFKA_BROKERS`. Pure.
namespace replay {

/// A variable that nothing reads, and the one that it was perhaps meant to be.
struct Misspelt {
    std::string found;
    std::string meant;
    bool operator==(const Misspelt&) const = default;
};

/// Names that other programs use for the addresses. The second of each pair is ours.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 14> names_elsewhere{{
    {"BOOTSTRAP_SERVERS", "KAFKA_BROKERS"},
    {"KAFKA_BOOTSTRAP_SERVER", "KAFKA_BROKERS"},
    {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS"},
    {"KAFKA_BROKER_LIST", "KAFKA_BROKERS"},
    {"KAFKA_HOSTS", "KAFKA_BROKERS"},
    {"KAFKA_SERVERS", "KAFKA_BROKERS"},
    {"KAFKA_URL", "KAFKA_BROKERS"},
    {"ELASTICSEARCH_HOST", "ELASTICSEARCH_URL"},
    {"ELASTICSEARCH_HOSTS", "ELASTICSEARCH_URL"},
    {"ELASTICSEARCH_NODES", "ELASTICSEARCH_URL"},
    {"ES_HOSTS", "ELASTICSEARCH_URL"},
    {"ES_URL", "ELASTICSEARCH_URL"},
    {"OPENSEARCH_HOSTS", "ELASTICSEARCH_URL"},
    {"OPENSEARCH_URL", "ELASTICSEARCH_URL"},
}};

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to make one of the other.
[[nodiscard]] inline std::size_t edits_between(std::string_view a, std::string_view b) {
    // Three rows of the table of all prefixes: that of two letters before, of one before, and of this one.
    std::vector<std::size_t> older(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        next[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = a[i - 1] == b[j - 1] ? 0 : 1;
            next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + replaced});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                next[j] = std::min(next[j], older[j - 2] + 1);
        }
        std::swap(older, row);
        std::swap(row, next);
    }
    return row[b.size()];
}

namespace detail {
[[nodiscard]] inline std::string in_capitals(std::string_view name) {
    std::string out{name};
    for (auto& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return out;
}
[[nodiscard]] inline std::vector<std::string_view> words_of(std::string_view name) {
    std::vector<std::string_view> words;
    while (!name.empty()) {
        const auto end = std::min(name.find('_'), name.size());
        words.push_back(name.substr(0, end));
        name.remove_prefix(std::min(end + 1, name.size()));
    }
    return words;
}
[[nodiscard]] inline bool like_word(std::string_view a, std::string_view b) {
    if (a.size() > b.size()) std::swap(a, b);
    return a == b || (a.size() >= 3 && b.starts_with(a)) || (a.size() >= 4 && edits_between(a, b) <= 1);
}
} // namespace detail

/// Whether `name` looks like `ours` misspelt: in other letters, with a letter or two wrong, or with each word cut short
/// or nearly right. Case does not count. Equal names do not look alike: they are the same.
[[nodiscard]] inline bool looks_like(std::string_view name, std::string_view ours) {
    if (name == ours) return false;
    const auto a = detail::in_capitals(name);
    const auto b = detail::in_capitals(ours);
    constexpr std::size_t shortest = 8; // shorter names are a letter or two away from too much
    if (a == b || (std::min(a.size(), b.size()) >= shortest && edits_between(a, b) <= 2)) return true;
    const auto found = detail::words_of(a);
    const auto wanted = detail::words_of(b);
    return found.size() > 1 && std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(), detail::like_word);
}

/// The variables of `environment` (`NAME=value` each) that are not among `ours` and look like one of them, or are what
/// other programs call it. Variables without a value are passed over. In the order of the environment.
[[nodiscard]] inline std::vector<Misspelt> misspelt(std::span<const std::string_view> environment,
                                                    std::span<const std::string> ours) {
    std::vector<Misspelt> all;
    for (const auto variable : environment) {
        const auto equals = variable.find('=');
        if (equals == std::string_view::npos || equals + 1 == variable.size()) continue;
        const auto name = variable.substr(0, equals);
        if (std::find(ours.begin(), ours.end(), name) != ours.end()) continue;
        const auto other = std::find_if(names_elsewhere.begin(), names_elsewhere.end(),
                                        [&](const auto& known) { return known.first == name; });
        if (other != names_elsewhere.end()) {
            all.push_back({std::string{name}, std::string{other->second}});
            continue;
        }
        const auto meant =
            std::find_if(ours.begin(), ours.end(), [&](const auto& one) { return looks_like(name, one); });
        if (meant != ours.end()) all.push_back({std::string{name}, *meant});
    }
    return all;
}

} // namespace replay
