// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/life.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

/// Draws the operations that producers hand in.
namespace bulkhead::inline v1::test::simulation {

/// An operation, and what of it is for the indexer only; its id and source are those of `op`.
struct Drawn {
    Op op;
    Operation operation;
};

class Workload {
public:
    explicit Workload(Life& life) : life_{life} {}

    [[nodiscard]] Drawn draw() {
        auto& random = life_.random;
        const auto& faults = life_.scenario.faults;
        Drawn drawn;
        auto& op = drawn.op;
        op.number = life_.operations.size();
        op.poison = faults.allows(Fate::malformed) && random.once_in(40);
        op.bad = !op.poison && random.once_in(life_.scenario.one_in_bad);
        op.unpassable =
            faults.allows(Fate::unpassable) && !op.poison && !op.bad && unpassable_ < 2 && random.once_in(60);
        unpassable_ += op.unpassable ? 1U : 0U;
        op.source = source_of(op.number, random.below(120));
        if (life_.scenario.stream) {
            draw_for_stream(drawn);
        } else {
            draw_for_index(drawn);
        }
        if (op.action == Action::delete_) op.bad = op.poison = op.unpassable = false;
        op.versioned = drawn.operation.version.has_value();
        op.conditional = drawn.operation.if_seq_no.has_value();
        op.already_there = drawn.operation.on_conflict == OnConflict::already_there;
        return drawn;
    }
    /// One that no server refuses; draws nothing.
    [[nodiscard]] Drawn good() const {
        Drawn drawn;
        auto& op = drawn.op;
        op.number = life_.operations.size();
        op.source = source_of(op.number, 0);
        op.id = "good-" + std::to_string(op.number);
        op.action = life_.scenario.stream ? Action::create : Action::index;
        op.repeatable = true;
        return drawn;
    }

private:
    void draw_for_index(Drawn& drawn) {
        auto& [op, made] = drawn;
        auto& random = life_.random;
        const auto n = std::to_string(op.number);
        op.repeatable = true;
        op.action = Action::index;
        switch (random.below(10)) {
        case 0: // the server makes the id, or the indexer
            op.action = random.once_in(2) ? Action::index : Action::create;
            op.makes_id = op.repeatable = life_.options().duplicates == Duplicates::client_id;
            break;
        case 1: // an id that others use too: the last one to arrive wins
            op.id = shared_id();
            break;
        case 2:
            op.action = Action::create;
            op.id = "once-" + n;
            made.on_conflict = OnConflict::already_there;
            break;
        case 3:
            op.action = Action::delete_;
            op.id = "gone-" + n;
            op.source.clear();
            break;
        case 4:
            op.id = "versioned-" + std::to_string(random.below(4));
            made.version = static_cast<std::int64_t>(op.number + 1);
            break;
        case 5: // a script would run twice
            op.action = Action::update;
            op.id = shared_id();
            op.source = R"({"script":{"source":"ctx._source.n++"},"upsert":)" + op.source + "}";
            op.repeatable = false;
            break;
        case 6: // a condition would conflict with itself
            op.id = shared_id();
            made.if_seq_no = static_cast<std::int64_t>(random.below(20));
            made.if_primary_term = 1;
            op.repeatable = false;
            break;
        case 7: // a part of a document, twice the same as once
            op.action = Action::update;
            op.id = shared_id();
            op.source = R"({"doc":)" + op.source + (random.once_in(2) ? R"(,"doc_as_upsert":true})" : "}");
            break;
        case 8: // an id that others use too: the first one to arrive stays
            op.action = Action::create;
            op.id = "first-" + std::to_string(random.below(20));
            break;
        default: op.id = "own-" + n;
        }
    }
    /// A data stream takes only what is created, and has a time.
    void draw_for_stream(Drawn& drawn) {
        auto& [op, made] = drawn;
        const auto n = std::to_string(op.number);
        op.action = Action::create;
        op.repeatable = true;
        switch (life_.random.below(8)) {
        case 0:
        case 1:
        case 2: op.makes_id = op.repeatable = life_.options().duplicates == Duplicates::client_id; break;
        case 3: op.id = "first-" + std::to_string(life_.random.below(20)); break;
        case 4:
            op.id = "timeless-" + n;
            op.source = R"({"n":)" + n + "}";
            break;
        case 5:
            op.id = "replaced-" + n;
            op.action = Action::index;
            break;
        default: op.id = "once-" + n; made.on_conflict = OnConflict::already_there;
        }
    }
    [[nodiscard]] std::string shared_id() { return "shared-" + std::to_string(life_.random.below(8)); }
    [[nodiscard]] std::string source_of(std::uint64_t number, std::size_t padding) const {
        return "{\"n\":" + std::to_string(number) + (life_.scenario.stream ? R"(,"@timestamp":1)" : "") + ",\"t\":\"" +
               std::string(padding, 'x') + "\"}";
    }

    Life& life_;
    std::size_t unpassable_ = 0; ///< operations that no request is taken with
};

} // namespace bulkhead::inline v1::test::simulation
