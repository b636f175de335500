// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/coverage.hpp"
#include "simulation/indexer/operations.hpp"
#include "simulation/indexer/scenario.hpp"
#include "simulation/kit/expectations.hpp"
#include "simulation/kit/random.hpp"

#include <cstdint>

/// What all parts of one indexer's life share.
namespace bulkhead::inline v1::test::simulation {

struct Life {
    Life(std::uint64_t seed, Coverage& to) : random{seed}, coverage{to} {
        ManualClock::reset();
        if (scenario.stream) mark(Mark::data_stream);
    }
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;

    void mark(Mark what) { coverage.marks.count(what); }
    [[nodiscard]] const IndexerOptions& options() const noexcept { return scenario.options; }

    Random random;
    Coverage& coverage;
    Expectations expect;
    Scenario scenario = ScenarioChooser{random}();
    Bounds bounds{scenario.options};
    Operations operations{expect};
    bool calm = false; ///< the faults have ended
    bool closing = false;
};

} // namespace bulkhead::inline v1::test::simulation
