// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/endpoint_oracle.hpp"
#include "simulation/indexer/life.hpp"
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The server: a model of Elasticsearch, before which some operations are refused for reasons that it does not model.
namespace bulkhead::inline v1::test::simulation {

class FaultyEndpoint {
public:
    explicit FaultyEndpoint(Life& life) : life_{life} {
        if (life_.scenario.stream) server_.add_data_stream(life_.options().index);
    }

    /// Gives the model what the server takes, and returns an item for each operation. About half of what may be refused
    /// for these reasons is.
    Items apply(const std::vector<Found>& found, const std::vector<Refusal>& may_refuse = {}) {
        Items items{std::vector<std::string>(found.size()), std::vector<Meaning>(found.size()), 0};
        std::string body;
        std::vector<std::size_t> taken;
        for (std::size_t i = 0; i < found.size(); ++i) {
            const auto& op = life_.operations[found[i]];
            if (op.bad) {
                items.text[i] = item(400, "document_parsing_exception");
                items.meaning[i] = life_.scenario.discard_unparsable ? Meaning::never_mind : Meaning::no;
            } else if (!may_refuse.empty() && life_.random.once_in(2) &&
                       refuse(life_.random.pick(may_refuse), op, items, i)) {
                items.busy += items.text[i].find("es_rejected") != std::string::npos ? 1U : 0U;
            } else {
                body += found[i].lines;
                taken.push_back(i);
            }
        }
        if (taken.empty()) return items;
        const auto answer = boost::json::parse(server_.bulk(body).body);
        for (std::size_t i = 0; i < taken.size(); ++i)
            take_item(answer.at("items").at(i), life_.operations[found[taken[i]]], items, taken[i]);
        return items;
    }
    /// A prefix of what a request holds.
    std::vector<Found> some_first(const std::vector<Found>& found) {
        return {found.begin(), found.begin() + std::ptrdiff_t(life_.random.below(found.size() + 1))};
    }
    std::vector<Refusal> some_refusals() {
        const auto& scenario = life_.scenario;
        if (scenario.own_kind && life_.random.once_in(2)) return {*scenario.own_kind};
        if (life_.random.once_in(2)) return {life_.random.pick(scenario.kinds)};
        return scenario.kinds;
    }

private:
    void take_item(const boost::json::value& item, Op& op, Items& items, std::size_t at) {
        const auto& fields = item.as_object().begin()->value().as_object();
        const auto* const error = fields.if_contains("error");
        if (error == nullptr) {
            life_.operations.applied(op);
            if (op.action == Action::update && op.repeatable) life_.mark(Mark::doc_updated);
        }
        life_.expect(op.applied <= 1 || op.repeatable || op.half || life_.options().duplicates == Duplicates::allow,
                     "a document without an id is not stored twice", op);
        items.text[at] = boost::json::serialize(item);
        items.meaning[at] = error == nullptr
                                ? Meaning::done
                                : meaning_of(op, fields.at("status").as_int64(), error->at("type").as_string());
    }
    /// Of what the model refuses.
    [[nodiscard]] Meaning meaning_of(const Op& op, std::int64_t status, std::string_view type) const {
        if (life_.scenario.discard_unparsable && type == "document_parsing_exception") return Meaning::never_mind;
        if (status != 409) return Meaning::no;
        if (op.versioned) return Meaning::there;
        if (op.conditional) return Meaning::no;
        life_.expect(op.action == Action::create || op.makes_id, "only what is created conflicts here", op);
        return op.already_there || op.makes_id || op.lost || op.read ? Meaning::there : Meaning::no;
    }
    /// False where this operation cannot be refused so.
    bool refuse(Refusal kind, const Op& op, Items& items, std::size_t at) {
        struct Line {
            unsigned status;
            const char* type;
            Meaning meaning;
        };
        static constexpr auto lines = std::to_array<Line>({{429, "es_rejected_execution_exception", Meaning::wait},
                                                           {429, "cluster_block_exception", Meaning::wait},
                                                           {403, "cluster_block_exception", Meaning::wait},
                                                           {403, "security_exception", Meaning::wait},
                                                           {401, "security_exception", Meaning::wait},
                                                           {408, "timeout_exception", Meaning::again},
                                                           {425, "too_early_exception", Meaning::again},
                                                           {503, "unavailable_shards_exception", Meaning::wait},
                                                           {500, "illegal_state_exception", Meaning::again},
                                                           {409, "resource_busy_exception", Meaning::again},
                                                           {409, "version_conflict_engine_exception", Meaning::again},
                                                           {403, "index_closed_exception", Meaning::no},
                                                           {422, "house_rule_exception", Meaning::as_done},
                                                           {422, "house_rule_exception", Meaning::there},
                                                           {422, "house_rule_exception", Meaning::again},
                                                           {422, "house_rule_exception", Meaning::wait},
                                                           {422, "house_rule_exception", Meaning::wait},
                                                           {422, "house_rule_exception", Meaning::no},
                                                           {422, "house_rule_exception", Meaning::never_mind}});
        static_assert(lines.size() == refusal_count);
        if (kind == Refusal::lost_race &&
            (op.versioned || op.conditional || op.makes_id || op.action == Action::create))
            return false;
        const auto& line = lines[std::size_t(kind)];
        items.text[at] =
            item(line.status + (kind == Refusal::unavailable ? unsigned(life_.random.below(2)) : 0U), line.type);
        items.meaning[at] = line.meaning;
        life_.coverage.refusals.count(kind);
        return true;
    }

    Life& life_;
    ModelElasticsearch server_;
};

} // namespace bulkhead::inline v1::test::simulation
