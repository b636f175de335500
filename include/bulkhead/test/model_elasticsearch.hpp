// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::test {

/// What a server answers.
struct ServerAnswer {
    unsigned status = 200;
    std::string body;
};

/// A model of Elasticsearch's and OpenSearch's `_bulk` endpoint: bytes in, documents in maps, the JSON answer out. It
/// shares no code with the library that it tests. Pure and deterministic; not thread-safe.
///
/// It knows index, create, update (`doc`, `doc_as_upsert`, `upsert`) and delete; automatic ids; internal and external
/// versions; sequence numbers; `require_alias`; pipelines (those added by `add_pipeline`); data streams (which take
/// only `create` of documents with `@timestamp`); what the servers refuse as a whole request (400) and what as an item.
class ModelElasticsearch {
public:
    /// Makes names that match data streams: with a `*` at its end, all that begin so.
    void add_data_stream(const std::string& pattern) { data_streams_.insert(pattern); }
    void add_pipeline(const std::string& name) { pipelines_.insert(name); }

    /// `PUT /_index_template/{name}`.
    ServerAnswer put_index_template(const std::string& name, std::string_view body) {
        boost::system::error_code error;
        const auto value = boost::json::parse({body.data(), body.size()}, error);
        const auto* const object = error ? nullptr : value.if_object();
        const auto* const patterns = object != nullptr ? object->if_contains("index_patterns") : nullptr;
        if (patterns == nullptr || !patterns->is_array())
            return whole_error("x_content_parse_exception", "an index template needs index_patterns");
        if (object->contains("data_stream"))
            for (const auto& pattern : patterns->get_array())
                if (pattern.is_string()) add_data_stream(std::string{pattern.get_string()});
        templates_[name] = std::string{body};
        return {200, R"({"acknowledged":true})"};
    }

    /// `POST /_bulk` or `POST /{index}/_bulk`. Applies at most `most_operations` (then the rest of the body is neither
    /// looked at nor answered): a crash in the middle. `filtered`: the answer carries just status, result, error type
    /// and reason, and failure_store of each item, as `filter_path` asks for.
    ServerAnswer bulk(std::string_view body, std::string_view default_index = {}, bool filtered = true,
                      std::size_t most_operations = static_cast<std::size_t>(-1)) {
        if (body.empty()) return whole_error("parse_exception", "request body is required");
        if (body.back() != '\n')
            return whole_error("illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]");
        operations_.clear();
        if (auto wrong = parse(body, default_index)) return std::move(*wrong);
        answer_.assign(filtered ? R"({"errors":)" : R"({"took":1,"errors":)");
        const auto errors_at = answer_.size();
        answer_ += "false,\"items\":[";
        bool errors = false;
        std::size_t applied = 0;
        for (auto& op : operations_) {
            if (applied == most_operations) break;
            if (applied++ != 0) answer_ += ',';
            errors |= !apply(op, filtered);
        }
        answer_ += "]}";
        if (errors) answer_.replace(errors_at, 5, "true");
        return {200, std::move(answer_)};
    }

    [[nodiscard]] bool exists(std::string_view index) const { return indices_.find(index) != indices_.end(); }
    [[nodiscard]] std::size_t count(std::string_view index) const {
        const auto found = indices_.find(index);
        return found == indices_.end() ? 0 : found->second.documents.size();
    }
    [[nodiscard]] std::optional<std::string> source(std::string_view index, std::string_view id) const {
        const auto found = indices_.find(index);
        if (found == indices_.end()) return std::nullopt;
        const auto document = found->second.documents.find(id);
        if (document == found->second.documents.end()) return std::nullopt;
        return std::string{document->second.source};
    }
    /// How often an operation has changed the document with this id: 2 means that it was stored twice.
    [[nodiscard]] std::uint64_t times_applied(std::string_view index, std::string_view id) const {
        const auto found = indices_.find(index);
        if (found == indices_.end()) return 0;
        const auto document = found->second.documents.find(id);
        return document == found->second.documents.end() ? 0 : document->second.writes;
    }
    /// Calls `f(std::string_view id, std::string_view source)` for each document, in no particular order.
    template <class F>
    void for_each(std::string_view index, F&& f) const {
        const auto found = indices_.find(index);
        if (found == indices_.end()) return;
        for (const auto& [id, document] : found->second.documents) f(id, document.source);
    }
    [[nodiscard]] std::vector<std::string> indices() const {
        std::vector<std::string> names;
        for (const auto& [name, index] : indices_) names.push_back(name);
        return names;
    }

    /// An error for a request as a whole.
    [[nodiscard]] static ServerAnswer whole_error(std::string_view type, std::string_view reason,
                                                  unsigned status = 400) {
        std::string body = R"({"error":{"root_cause":[],"type":")";
        body.append(type).append(R"(","reason":)").append(quoted(reason));
        body.append("},\"status\":").append(std::to_string(status)).append("}");
        return {status, std::move(body)};
    }

private:
    struct Document {
        std::string_view source;
        std::int64_t version = 1;
        std::int64_t seq_no = 0;
        std::uint64_t writes = 1;
    };
    /// Bytes that live as long as the model, in blocks: a document costs no allocation of its own.
    class Arena {
    public:
        std::string_view keep(std::string_view bytes) {
            if (bytes.size() > left_) {
                const auto size = std::max(bytes.size(), std::size_t{1} << 20);
                blocks_.push_back(std::make_unique_for_overwrite<char[]>(size)); // NOLINT
                at_ = blocks_.back().get();
                left_ = size;
            }
            if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
            const std::string_view kept{at_, bytes.size()};
            at_ += bytes.size();
            left_ -= bytes.size();
            return kept;
        }

    private:
        std::vector<std::unique_ptr<char[]>> blocks_; // NOLINT
        char* at_ = nullptr;
        std::size_t left_ = 0;
    };
    struct Index {
        std::unordered_map<std::string_view, Document> documents;
        Arena arena;
        std::int64_t next_seq_no = 0;
    };
    enum class Kind { index, create, update, remove };
    struct Op {
        Kind kind{};
        std::string_view action; // as it is answered
        std::string index;
        std::optional<std::string> id;
        std::optional<std::string> pipeline;
        std::optional<std::int64_t> version;
        bool gte = false;
        std::optional<std::int64_t> if_seq_no;
        std::optional<std::int64_t> if_primary_term;
        bool require_alias = false;
        std::string_view source;
    };

    /// Looks at a document without building it: is it one JSON object, and has it an `@timestamp`?
    struct Look {
        static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
        static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
        static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
        static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
        using Error = boost::system::error_code;
        using View = boost::json::string_view;
        int depth = 0;
        bool object = false;
        bool timestamp = false;
        bool on_document_begin(Error&) { return true; }
        bool on_document_end(Error&) { return true; }
        bool on_object_begin(Error&) {
            if (depth++ == 0) object = true;
            return true;
        }
        bool on_object_end(std::size_t, Error&) { return --depth, true; }
        bool on_array_begin(Error&) { return ++depth, true; }
        bool on_array_end(std::size_t, Error&) { return --depth, true; }
        bool on_key_part(View, std::size_t, Error&) { return true; }
        bool on_key(View key, std::size_t, Error&) {
            if (depth == 1 && key == "@timestamp") timestamp = true;
            return true;
        }
        bool on_string_part(View, std::size_t, Error&) { return true; }
        bool on_string(View, std::size_t, Error&) { return true; }
        bool on_number_part(View, Error&) { return true; }
        bool on_int64(std::int64_t, View, Error&) { return true; }
        bool on_uint64(std::uint64_t, View, Error&) { return true; }
        bool on_double(double, View, Error&) { return true; }
        bool on_bool(bool, Error&) { return true; }
        bool on_null(Error&) { return true; }
        bool on_comment_part(View, Error&) { return true; }
        bool on_comment(View, Error&) { return true; }
    };

    [[nodiscard]] static std::string quoted(std::string_view text) {
        return boost::json::serialize(boost::json::string_view{text.data(), text.size()});
    }

    // ---- Reading the body ----

    std::optional<ServerAnswer> parse(std::string_view body, std::string_view default_index) {
        std::size_t line_number = 0;
        const auto next_line = [&] {
            const auto end = body.find('\n');
            auto line = body.substr(0, end);
            body.remove_prefix(end + 1);
            if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
            ++line_number;
            return line;
        };
        const auto malformed = [&](std::string_view what) {
            return whole_error("illegal_argument_exception", "Malformed action/metadata line [" +
                                                                 std::to_string(line_number) + "], " +
                                                                 std::string{what});
        };
        while (!body.empty()) {
            const auto line = next_line();
            if (line.empty()) continue; // a blank line in action position is skipped
            unsigned char memory[4096];
            boost::json::monotonic_resource resource{memory, sizeof memory};
            boost::system::error_code error;
            const auto value = boost::json::parse({line.data(), line.size()}, error, &resource);
            if (error) return whole_error("parse_exception", "could not parse bulk request body");
            const auto* const outer = value.if_object();
            if (outer == nullptr || outer->size() != 1) return malformed("expected one action");
            const auto& [action, metadata] = *outer->begin();
            const auto* const fields = metadata.if_object();
            if (fields == nullptr) return malformed("expected an object");
            auto& op = operations_.emplace_back();
            if (action == "index") {
                op.kind = Kind::index;
                op.action = "index";
            } else if (action == "create") {
                op.kind = Kind::create;
                op.action = "create";
            } else if (action == "update") {
                op.kind = Kind::update;
                op.action = "update";
            } else if (action == "delete") {
                op.kind = Kind::remove;
                op.action = "delete";
            } else {
                return malformed("expected field [create], [delete], [index] or [update]");
            }
            op.index = default_index;
            if (auto wrong = read_metadata(*fields, op)) return wrong;
            if (op.kind == Kind::remove) continue;
            if (body.empty()) { // the servers drop an action without a document silently
                operations_.pop_back();
                break;
            }
            op.source = next_line();
        }
        if (operations_.empty()) return whole_error("action_request_validation_exception", "no requests added");
        for (const auto& op : operations_) {
            const auto invalid = [&](std::string_view what) {
                return whole_error("action_request_validation_exception", "Validation Failed: " + std::string{what});
            };
            if (op.index.empty()) return invalid("index is missing");
            if (op.id && op.id->size() > 512) return invalid("id is too long, must be no longer than 512 bytes");
            if ((op.kind == Kind::remove || op.kind == Kind::update) && !op.id) return invalid("id is missing");
            if (op.version && !op.id) return invalid("an id must be provided if version is specified");
            if (op.version && op.kind == Kind::update) return invalid("versions are not supported with updates");
            if (op.if_seq_no.has_value() != op.if_primary_term.has_value())
                return invalid("if_seq_no and if_primary_term go together");
        }
        return std::nullopt;
    }
    std::optional<ServerAnswer> read_metadata(const boost::json::object& fields, Op& op) {
        const auto text = [](const boost::json::value& value) -> std::optional<std::string> {
            if (value.is_string()) return std::string{value.get_string()};
            if (value.is_int64()) return std::to_string(value.get_int64());
            return std::nullopt;
        };
        const auto number = [](const boost::json::value& value) -> std::optional<std::int64_t> {
            if (value.is_int64()) return value.get_int64();
            return std::nullopt;
        };
        for (const auto& [name, value] : fields) {
            if (value.is_array())
                return whole_error("illegal_argument_exception", "Malformed action/metadata line, found [START_ARRAY]");
            if (name == "_index") {
                op.index = text(value).value_or("");
            } else if (name == "_id") {
                op.id = text(value);
            } else if (name == "pipeline") {
                op.pipeline = text(value);
            } else if (name == "version") {
                op.version = number(value);
            } else if (name == "version_type") {
                op.gte = text(value) == "external_gte";
            } else if (name == "if_seq_no") {
                op.if_seq_no = number(value);
            } else if (name == "if_primary_term") {
                op.if_primary_term = number(value);
            } else if (name == "require_alias") {
                op.require_alias = value.is_bool() && value.get_bool();
            } else if (name != "routing" && name != "require_data_stream" && name != "retry_on_conflict" &&
                       name != "dynamic_templates" && name != "op_type") {
                return whole_error("illegal_argument_exception",
                                   "Action/metadata line contains an unknown parameter [" + std::string{name} + "]");
            }
        }
        return std::nullopt;
    }

    // ---- Applying ----

    /// Appends the item to the answer; false when it failed.
    bool apply(Op& op, bool filtered) {
        const auto failed = [&](unsigned status, std::string_view type, std::string_view reason) {
            begin_item(op, filtered, status);
            answer_.append(R"(,"error":{"type":")").append(type).append(R"(","reason":)").append(quoted(reason));
            answer_ += "}}}";
            return false;
        };
        const auto done = [&](unsigned status, std::string_view result) {
            begin_item(op, filtered, status);
            if (!filtered || op.kind == Kind::update || op.kind == Kind::remove)
                answer_.append(R"(,"result":")").append(result).append("\"");
            answer_ += "}}";
            return true;
        };
        if (op.require_alias) // the model has no aliases
            return failed(404, "index_not_found_exception", "no such index and [require_alias] request flag is [true]");
        if (op.id && op.id->empty())
            return failed(400, "illegal_argument_exception", "if _id is specified it must not be empty");
        if (std::any_of(op.index.begin(), op.index.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
            return failed(400, "invalid_index_name_exception", "Invalid index name, must be lowercase");
        if (op.pipeline && *op.pipeline != "_none" && !pipelines_.contains(*op.pipeline))
            return failed(400, "illegal_argument_exception", "pipeline with id [" + *op.pipeline + "] does not exist");
        const bool data_stream = is_data_stream(op.index);
        if (data_stream && op.kind != Kind::create)
            return failed(400, "illegal_argument_exception",
                          "only write ops with an op_type of create are allowed in data streams");
        if (op.kind != Kind::remove) {
            boost::json::basic_parser<Look> parser{{}};
            boost::system::error_code error;
            const auto used = parser.write_some(false, op.source.data(), op.source.size(), error);
            const auto& look = parser.handler();
            if (error || !look.object || used != op.source.size())
                return failed(400, "document_parsing_exception", "failed to parse");
            if (data_stream && !look.timestamp)
                return failed(400, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing");
        }
        auto& index = indices_[op.index];
        if (!op.id) op.id = "auto-" + std::to_string(next_auto_id_++);
        const auto found = index.documents.find(*op.id);
        auto* const existing = found == index.documents.end() ? nullptr : &found->second;
        const auto conflict = [&] {
            return failed(409, "version_conflict_engine_exception", "[" + *op.id + "]: version conflict");
        };
        if (op.if_seq_no && (existing == nullptr || existing->seq_no != *op.if_seq_no || *op.if_primary_term != 1))
            return conflict();
        if (op.version && existing != nullptr &&
            (op.gte ? *op.version < existing->version : *op.version <= existing->version))
            return conflict();
        switch (op.kind) {
        case Kind::remove:
            if (existing == nullptr) return done(404, "not_found");
            index.documents.erase(found);
            return done(200, "deleted");
        case Kind::create:
            if (existing != nullptr) return conflict();
            store(index, op, nullptr, op.source);
            return done(201, "created");
        case Kind::index:
            store(index, op, existing, op.source);
            return existing == nullptr ? done(201, "created") : done(200, "updated");
        case Kind::update: break;
        }
        boost::system::error_code error;
        const auto change = boost::json::parse({op.source.data(), op.source.size()}, error);
        const auto* const doc = change.as_object().if_contains("doc");
        const auto* const upsert = change.as_object().if_contains("upsert");
        const auto* const as_upsert = change.as_object().if_contains("doc_as_upsert");
        if (existing == nullptr) {
            if (upsert != nullptr) {
                store(index, op, nullptr, boost::json::serialize(*upsert));
                return done(201, "created");
            }
            if (doc != nullptr && as_upsert != nullptr && as_upsert->is_bool() && as_upsert->get_bool()) {
                store(index, op, nullptr, boost::json::serialize(*doc));
                return done(201, "created");
            }
            return failed(404, "document_missing_exception", "[" + *op.id + "]: document missing");
        }
        if (doc == nullptr || !doc->is_object()) { // a script: the model knows none, and counts the application
            store(index, op, existing, std::string{existing->source});
            return done(200, "updated");
        }
        auto before = boost::json::parse({existing->source.data(), existing->source.size()});
        auto merged = before;
        for (const auto& [name, value] : doc->get_object()) merged.as_object()[name] = value;
        if (merged == before) return done(200, "noop");
        store(index, op, existing, boost::json::serialize(merged));
        return done(200, "updated");
    }
    void begin_item(const Op& op, bool filtered, unsigned status) {
        answer_.append("{\"").append(op.action).append("\":{");
        if (!filtered)
            answer_.append("\"_index\":")
                .append(quoted(op.index))
                .append(",\"_id\":")
                .append(op.id ? quoted(*op.id) : std::string{"null"}) += ',';
        answer_.append("\"status\":").append(std::to_string(status));
    }
    void store(Index& index, const Op& op, Document* existing, std::string_view source) {
        const auto kept = index.arena.keep(source);
        const auto seq_no = index.next_seq_no++;
        if (existing != nullptr) {
            existing->source = kept;
            existing->seq_no = seq_no;
            existing->version = op.version ? *op.version : existing->version + 1;
            ++existing->writes;
            return;
        }
        index.documents.emplace(index.arena.keep(*op.id), Document{kept, op.version.value_or(1), seq_no, 1});
    }
    [[nodiscard]] bool is_data_stream(std::string_view name) const {
        return std::any_of(data_streams_.begin(), data_streams_.end(), [&](const std::string& pattern) {
            if (pattern.empty() || pattern.back() != '*') return pattern == name;
            return name.substr(0, pattern.size() - 1) == std::string_view{pattern}.substr(0, pattern.size() - 1);
        });
    }

    std::map<std::string, Index, std::less<>> indices_;
    std::set<std::string, std::less<>> data_streams_;
    std::set<std::string, std::less<>> pipelines_;
    std::map<std::string, std::string> templates_;
    std::vector<Op> operations_;
    std::string answer_;
    std::uint64_t next_auto_id_ = 1;
};

} // namespace bulkhead::inline v1::test
