// SPDX-License-Identifier: BSL-1.0
// The encoder: whatever is handed in, the body reads back, by another reader, as exactly the operations that were
// taken.

#include "fuzz.hpp"

#include <bulkhead/batch.hpp>
#include <bulkhead/detail/encode/client_id.hpp>

#include <boost/json/parse.hpp>

#include <vector>

using namespace bulkhead;

namespace {

struct Taken {
    Action action;
    std::string index, id, routing, pipeline, source;
    bool has_id, has_routing, has_pipeline;
};

std::string flat(std::string_view source) {
    const auto first = source.find_first_not_of(" \t\r\n");
    std::string text{source.substr(first, source.find_last_not_of(" \t\r\n") - first + 1)};
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

void check_action(const Taken& expected, std::string_view line) {
    constexpr const char* names[] = {"index", "create", "update", "delete"};
    boost::system::error_code error;
    const auto value = boost::json::parse({line.data(), line.size()}, error);
    fuzz::expect(!error && value.is_object() && value.get_object().size() == 1, "an action line is a JSON object");
    const auto& [name, metadata] = *value.get_object().begin();
    fuzz::expect(name == names[static_cast<std::size_t>(expected.action)], "an action line names the action");
    const auto& fields = metadata.as_object();
    const auto check = [&](const char* field, bool present, const std::string& text) {
        const auto* const found = fields.if_contains(field);
        fuzz::expect((found != nullptr) == present, "a field is there when it was handed in");
        if (present) fuzz::expect(std::string_view{found->as_string()} == text, "a field reads back as it was");
    };
    check("_index", true, expected.index);
    check("_id", expected.has_id, expected.id);
    check("routing", expected.has_routing, expected.routing);
    check("pipeline", expected.has_pipeline, expected.pipeline);
}

void read_back(std::string_view body, const std::vector<Taken>& taken) {
    const auto line = [&body] {
        const auto end = body.find('\n');
        fuzz::expect(end != std::string_view::npos, "every line ends");
        const auto text = body.substr(0, end);
        body.remove_prefix(end + 1);
        return text;
    };
    for (const auto& one : taken) {
        check_action(one, line());
        if (one.action != Action::delete_) fuzz::expect(line() == one.source, "a source travels byte for byte");
    }
    fuzz::expect(body.empty(), "nothing else is in a body");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    Batch batch;
    std::vector<Taken> taken;
    while (!input.empty()) {
        Operation op;
        const auto shape = input.byte();
        op.action = static_cast<Action>(shape & 3U);
        op.index = (shape & 4U) != 0 ? std::string_view{"logs"} : input.text();
        if ((shape & 8U) != 0) op.id = input.text();
        const auto more = input.byte();
        if ((more & 1U) != 0) op.routing = input.text();
        if ((more & 2U) != 0) op.pipeline = input.text();
        if ((more & 4U) != 0) op.version = static_cast<std::int64_t>(input.number());
        if ((more & 8U) != 0) op.if_seq_no = static_cast<std::int64_t>(input.number());
        if ((more & 16U) != 0) op.if_primary_term = input.byte();
        if ((more & 32U) != 0) op.retry_on_conflict = input.byte();
        if ((more & 64U) != 0) op.dynamic_templates = input.text();
        op.source = (shape & 16U) != 0 ? std::string_view{"{\"a\":\n1}"} : input.text();
        const std::string before{batch.body()};
        if (batch.append(op)) {
            fuzz::expect(batch.body() == before, "what is refused changes nothing");
            continue;
        }
        taken.push_back({op.action, std::string{op.index}, std::string{op.id.value_or("")},
                         std::string{op.routing.value_or("")}, std::string{op.pipeline.value_or("")},
                         op.action == Action::delete_ ? "" : flat(op.source), op.id.has_value(), op.routing.has_value(),
                         op.pipeline.has_value()});
    }
    fuzz::expect(batch.operations() == taken.size(), "the batch counts its operations");
    read_back(batch.body(), taken);

    static detail::ClientIds ids;
    const auto with_ids = detail::with_client_ids(batch, ids);
    std::size_t offset = 0;
    for (std::size_t i = 0; i < taken.size(); ++i) { // the same operations, each with an id
        const auto& entry = with_ids.entries()[i];
        const auto line = with_ids.body().substr(offset, entry.action_bytes - 1);
        offset += entry.bytes();
        if (!taken[i].has_id && taken[i].action <= Action::create) {
            const auto id = boost::json::parse({line.data(), line.size()}).at("create").at("_id");
            taken[i].action = Action::create;
            taken[i].id = std::string{id.as_string()};
            taken[i].has_id = true;
        }
    }
    read_back(with_ids.body(), taken);
    return 0;
}
