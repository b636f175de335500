// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/server_troubles.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
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
    /// HTTP's.
    unsigned status = 200;
    /// JSON.
    std::string body{};
    /// How long the server takes before it answers.
    std::chrono::nanoseconds took{};
    /// The connection is reset instead: status and body are empty.
    bool reset = false;
};

/// What a bulk request says beside its body: path and query.
struct BulkParameters {
    std::string index{};       ///< of operations that name none: `POST /{index}/_bulk`
    std::string pipeline{};    ///< of operations that name none
    std::string filter_path{}; ///< what of the answer is wanted; empty: everything
    /// Applies so many, then the rest of the body is neither applied nor answered: a crash in the middle.
    std::size_t most_operations = static_cast<std::size_t>(-1);
};

namespace detail {

/// Checks strictly, without building anything, that bytes are one JSON object in valid UTF-8, nested at most 1000 deep,
/// and notes whether it has an `@timestamp`.
class DocumentCheck {
public:
    explicit DocumentCheck(std::string_view bytes) : at_{bytes.data()}, end_{bytes.data() + bytes.size()} {
        skip_space();
        if (at_ == end_ || *at_ != '{' || !value(1)) return;
        skip_space();
        valid_ = at_ == end_;
    }
    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bool has_timestamp() const noexcept { return timestamp_; }

private:
    void skip_space() {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
    }
    bool take(char c) { return at_ != end_ && *at_ == c && (++at_, true); }
    bool word(std::string_view expected) {
        if (static_cast<std::size_t>(end_ - at_) < expected.size() ||
            std::memcmp(at_, expected.data(), expected.size()) != 0)
            return false;
        at_ += expected.size();
        return true;
    }
    bool value(int depth) {
        if (at_ == end_ || depth > 1000) return false;
        switch (*at_) {
        case '{': return ++at_, members(depth);
        case '[': return ++at_, elements(depth);
        case '"': return ++at_, string();
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        default: return number();
        }
    }
    bool members(int depth) {
        skip_space();
        if (take('}')) return true;
        while (true) {
            skip_space();
            if (!take('"')) return false;
            const auto* const name = at_;
            if (!string()) return false;
            if (depth == 1 && std::string_view{name, static_cast<std::size_t>(at_ - name)} == "@timestamp\"")
                timestamp_ = true;
            skip_space();
            if (!take(':')) return false;
            skip_space();
            if (!value(depth + 1)) return false;
            skip_space();
            if (take('}')) return true;
            if (!take(',')) return false;
        }
    }
    bool elements(int depth) {
        skip_space();
        if (take(']')) return true;
        while (true) {
            skip_space();
            if (!value(depth + 1)) return false;
            skip_space();
            if (take(']')) return true;
            if (!take(',')) return false;
        }
    }
    static bool digit(char c) { return c >= '0' && c <= '9'; }
    bool digits() {
        const auto* const from = at_;
        while (at_ != end_ && digit(*at_)) ++at_;
        return at_ != from;
    }
    bool number() {
        (void)take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (take('e') || take('E')) {
            if (!take('+')) (void)take('-');
            return digits();
        }
        return true;
    }
    /// What follows the opening quote.
    bool string() {
        while (at_ != end_) {
            const auto c = static_cast<unsigned char>(*at_++);
            if (c == '"') return true;
            if (c < 0x20) return false;
            if (c == '\\') {
                if (!escape()) return false;
            } else if (c >= 0x80 && !multibyte(c)) {
                return false;
            }
        }
        return false;
    }
    bool escape() {
        if (at_ == end_) return false;
        const char c = *at_++;
        if (c != 'u') return std::string_view{"\"\\/bfnrt"}.find(c) != std::string_view::npos;
        for (int i = 0; i < 4; ++i, ++at_)
            if (at_ == end_ || !(digit(*at_) || (*at_ >= 'a' && *at_ <= 'f') || (*at_ >= 'A' && *at_ <= 'F')))
                return false;
        return true;
    }
    /// The rest of a UTF-8 sequence: no overlong form, no surrogate, nothing above U+10FFFF.
    bool multibyte(unsigned char lead) {
        if (lead < 0xC2 || lead > 0xF4) return false;
        const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        unsigned char lowest = 0x80;
        unsigned char highest = 0xBF;
        if (lead == 0xE0) lowest = 0xA0;
        if (lead == 0xED) highest = 0x9F;
        if (lead == 0xF0) lowest = 0x90;
        if (lead == 0xF4) highest = 0x8F;
        for (int i = 0; i < more; ++i, ++at_) {
            if (at_ == end_) return false;
            const auto c = static_cast<unsigned char>(*at_);
            if (c < lowest || c > highest) return false;
            lowest = 0x80;
            highest = 0xBF;
        }
        return true;
    }

    const char* at_;
    const char* end_;
    bool valid_ = false;
    bool timestamp_ = false;
};

/// Which leaves of a `_bulk` answer `filter_path` keeps.
class AnswerFilter {
public:
    explicit AnswerFilter(std::string_view filter_path) {
        if (filter_path.empty()) filter_path = "took,errors,items";
        while (!filter_path.empty()) {
            const auto comma = std::min(filter_path.find(','), filter_path.size());
            const auto path = filter_path.substr(0, comma);
            filter_path.remove_prefix(std::min(comma + 1, filter_path.size()));
            const auto wants = [&](std::string_view leaf) { return matches(path, leaf); };
            took |= wants("took");
            errors |= wants("errors");
            index |= wants("items.op._index");
            id |= wants("items.op._id");
            version |= wants("items.op._version");
            result |= wants("items.op.result");
            shards |= wants("items.op._shards.total");
            seq_no |= wants("items.op._seq_no");
            primary_term |= wants("items.op._primary_term");
            status |= wants("items.op.status");
            type |= wants("items.op.error.type");
            reason |= wants("items.op.error.reason");
        }
    }
    bool took = false, errors = false, index = false, id = false, version = false, result = false, shards = false,
         seq_no = false, primary_term = false, status = false, type = false, reason = false;

private:
    /// `*` stands for one whole step, as far as this model goes; a path keeps all that is below it.
    static bool matches(std::string_view path, std::string_view leaf) {
        while (!path.empty()) {
            if (leaf.empty()) return false;
            const auto step = path.substr(0, path.find('.'));
            const auto name = leaf.substr(0, leaf.find('.'));
            if (step != "*" && step != name) return false;
            path.remove_prefix(std::min(step.size() + 1, path.size()));
            leaf.remove_prefix(std::min(name.size() + 1, leaf.size()));
        }
        return true;
    }
};

} // namespace detail

/// A model of Elasticsearch's and OpenSearch's `_bulk` endpoint: bytes in, documents in maps, the JSON answer out. It
/// shares no code with the library that it tests. Deterministic, no I/O; not thread-safe.
///
/// It knows index, create, update (`doc`, `doc_as_upsert`, `upsert`, noop) and delete; automatic ids; internal and
/// external versions, also of deleted documents; sequence numbers; pipelines (those added by `add_pipeline`); data
/// streams (which take only `create` of documents with `@timestamp`); what the servers refuse as a whole request (400)
/// and what as an item; `filter_path`, which here as there drops items of which nothing is left. It has no aliases (so
/// `require_alias` always fails), mappings, scripts (a scripted update changes only the version) or failure stores, and
/// ignores `routing`. A request that is refused as a whole has applied nothing, unless `troubles` says so.
class ModelElasticsearch {
public:
    /// What fails although it is well-formed. A test may change it between two requests.
    ServerTroubles troubles{};

    /// Makes names data streams; a pattern with `*` at its end: all that begin so.
    void add_data_stream(const std::string& pattern) { data_streams_.insert(pattern); }
    /// Makes a pipeline known; it changes nothing.
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

    /// `DELETE /{index}`: forgets its documents. False: there is no such index.
    bool remove_index(std::string_view index) {
        const auto found = indices_.find(index);
        if (found == indices_.end()) return false;
        indices_.erase(found);
        return true;
    }

    /// `POST /_bulk` or `POST /{index}/_bulk`.
    ServerAnswer bulk(std::string_view body, const BulkParameters& parameters = {}) {
        if (body.empty()) return whole_error("parse_exception", "request body is required");
        if (body.back() != '\n')
            return whole_error("illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]");
        if (auto wrong = parse(body, parameters)) return std::move(*wrong);
        const detail::AnswerFilter filter{parameters.filter_path};
        filter_ = &filter;
        target_ = {};
        items_.clear();
        bool errors = false;
        operations_.resize(std::min(operations_.size(), parameters.most_operations));
        const auto failure = troubles.whole(body, operations_.size());
        const auto took = troubles.time_for(operations_.size());
        if (failure && !failure->applied) return failed_whole(failure->kind, took);
        for (auto& op : operations_) errors |= !apply(op);
        if (failure) return failed_whole(failure->kind, took);

        std::string answer;
        answer.reserve(items_.size() + 64);
        const auto field = [&](std::string_view text) {
            answer += answer.empty() ? '{' : ',';
            answer += text;
        };
        if (filter.errors) field(errors ? "\"errors\":true" : "\"errors\":false");
        if (filter.took) field("\"took\":1");
        if (!items_.empty()) {
            field("\"items\":[");
            answer += items_;
            answer += ']';
        }
        answer += answer.empty() ? "{}" : "}";
        return {200, std::move(answer), took};
    }

    /// Whether there is such an index.
    [[nodiscard]] bool exists(std::string_view index) const { return find(index) != nullptr; }
    /// Documents in the index; 0 when there is no such index.
    [[nodiscard]] std::size_t count(std::string_view index) const {
        const auto* const found = find(index);
        return found == nullptr ? 0 : found->live;
    }
    /// The document's bytes, as they were sent (an updated one: as this model wrote them).
    [[nodiscard]] std::optional<std::string> source(std::string_view index, std::string_view id) const {
        const auto* const document = find(index, id);
        if (document == nullptr || !document->live) return std::nullopt;
        return std::string{document->source};
    }
    /// How often an operation has stored, changed or deleted the document with this id, ever: 2 for one that was sent
    /// once means that it was applied twice.
    [[nodiscard]] std::uint64_t times_applied(std::string_view index, std::string_view id) const {
        const auto* const document = find(index, id);
        return document == nullptr ? 0 : document->writes;
    }
    /// The same, of all documents of the index.
    [[nodiscard]] std::uint64_t times_applied(std::string_view index) const {
        const auto* const found = find(index);
        return found == nullptr ? 0 : found->writes;
    }
    /// Calls `f(std::string_view id, std::string_view source)` for each document, in no particular order.
    template <class F>
    void for_each(std::string_view index, F&& f) const {
        if (const auto* const found = find(index))
            for (const auto& [id, document] : found->documents)
                if (document.live) f(id, document.source);
    }
    /// Their names.
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
        std::uint32_t writes = 0;
        bool live = true; ///< false: deleted; its version still counts
    };
    /// Bytes that live as long as the model, in blocks: a document costs no allocation of its own.
    class Arena {
    public:
        std::string_view keep(std::string_view bytes) {
            if (bytes.size() > left_) {
                const auto size = std::max(bytes.size(), std::size_t{1} << 20);
                blocks_.push_back(std::unique_ptr<char[]>{new char[size]}); // libc++ 14 lacks make_unique_for_overwrite
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
        std::size_t live = 0;
        std::uint64_t writes = 0;
    };
    enum class Kind { index, create, update, remove };
    /// Views into the body or, where JSON escapes had to be resolved, into `decoded_`.
    struct Op {
        Kind kind{};
        std::string_view index;
        std::optional<std::string_view> id;
        std::string_view pipeline;
        std::string_view source;
        std::optional<std::int64_t> version;
        std::string_view version_type;
        std::optional<std::int64_t> if_seq_no;
        std::optional<std::int64_t> if_primary_term;
        bool require_alias = false;
        bool require_data_stream = false;
    };
    /// What is known of the index of the last operation: the next one mostly goes there too.
    struct Target {
        std::string_view name;
        Index* index = nullptr; ///< null: it does not exist (yet)
        bool data_stream = false;
        bool valid_name = false;
    };

    static ServerAnswer failed_whole(WholeFailure::Kind kind, std::chrono::nanoseconds took) {
        ServerAnswer answer;
        switch (kind) {
        case WholeFailure::Kind::breaker:
            answer =
                whole_error("circuit_breaking_exception", "[parent] Data too large, data for [<http_request>]", 429);
            break;
        case WholeFailure::Kind::unavailable: answer = {503, "<html>503 Service Unavailable</html>"}; break;
        case WholeFailure::Kind::error: answer = whole_error("null_pointer_exception", "null", 500); break;
        case WholeFailure::Kind::gateway: answer = {504, "<html>504 Gateway Time-out</html>"}; break;
        case WholeFailure::Kind::reset:
            answer.status = 0;
            answer.reset = true;
            break;
        }
        answer.took = took;
        return answer;
    }
    [[nodiscard]] static std::string quoted(std::string_view text) {
        return boost::json::serialize(boost::json::string_view{text.data(), text.size()});
    }
    [[nodiscard]] static boost::json::value parsed(std::string_view text, boost::system::error_code& error) {
        boost::json::parse_options options;
        options.max_depth = 1000;
        return boost::json::parse({text.data(), text.size()}, error, {}, options);
    }
    [[nodiscard]] const Index* find(std::string_view index) const {
        const auto found = indices_.find(index);
        return found == indices_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const Document* find(std::string_view index, std::string_view id) const {
        const auto* const in = find(index);
        if (in == nullptr) return nullptr;
        const auto found = in->documents.find(id);
        return found == in->documents.end() ? nullptr : &found->second;
    }

    // ---- Reading the body ----

    std::optional<ServerAnswer> parse(std::string_view body, const BulkParameters& parameters) {
        operations_.clear();
        decoded_.clear();
        std::size_t line_number = 0;
        const auto next_line = [&] {
            const auto end = body.find('\n');
            auto line = body.substr(0, end);
            body.remove_prefix(end + 1);
            if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
            ++line_number;
            return line;
        };
        while (!body.empty()) {
            const auto line = next_line();
            if (line.empty()) continue; // a blank line in action position is skipped
            Op op;
            op.index = parameters.index;
            op.pipeline = parameters.pipeline;
            if (!read_plain_action(line, op)) {
                op = Op{};
                op.index = parameters.index;
                op.pipeline = parameters.pipeline;
                if (auto wrong = read_action(line, line_number, op)) return wrong;
            }
            if (op.kind != Kind::remove) {
                if (body.empty()) break; // the servers drop an action without a document silently
                op.source = next_line();
            }
            // An update's body is read with the request, not with the item.
            if (op.kind == Kind::update && !detail::DocumentCheck{op.source}.valid())
                return whole_error("x_content_parse_exception",
                                   "[" + std::to_string(line_number) + "] failed to parse the update");
            operations_.push_back(op);
        }
        if (operations_.empty()) return whole_error("action_request_validation_exception", "no requests added");
        std::string invalid;
        for (const auto& op : operations_) validate(op, invalid);
        if (invalid.empty()) return std::nullopt;
        return whole_error("action_request_validation_exception", "Validation Failed: " + invalid);
    }
    static std::optional<Kind> kind_of(std::string_view action) {
        if (action == "index") return Kind::index;
        if (action == "create") return Kind::create;
        if (action == "update") return Kind::update;
        if (action == "delete") return Kind::remove;
        return std::nullopt;
    }
    static std::string_view name_of(Kind kind) {
        switch (kind) {
        case Kind::index: return "index";
        case Kind::create: return "create";
        case Kind::update: return "update";
        case Kind::remove: break;
        }
        return "delete";
    }
    /// Nearly all action lines are a verb with `_index` and `_id` in plain ASCII: no need for a JSON parser. False:
    /// this one is not, and `op` is to be forgotten.
    static bool read_plain_action(std::string_view line, Op& op) {
        const auto take = [&line](std::string_view expected) {
            if (line.substr(0, expected.size()) != expected) return false;
            line.remove_prefix(expected.size());
            return true;
        };
        const auto text = [&line]() -> std::optional<std::string_view> { // up to the closing quote
            std::size_t size = 0;
            while (size < line.size() && line[size] >= 0x20 && line[size] < 0x7F && line[size] != '"' &&
                   line[size] != '\\')
                ++size;
            if (size == line.size() || line[size] != '"') return std::nullopt;
            const auto found = line.substr(0, size);
            line.remove_prefix(size + 1);
            return found;
        };
        if (!take("{\"")) return false;
        const auto action = text();
        const auto kind = kind_of(action.value_or(""));
        if (!kind || !take(":{")) return false;
        op.kind = *kind;
        for (bool first = true; !take("}}"); first = false) {
            if (!take(first ? "\"" : ",\"")) return false;
            const auto name = text();
            if (!name || !take(":\"")) return false;
            const auto value = text();
            if (!value) return false;
            if (*name == "_id") {
                op.id = *value;
            } else if (*name == "_index") {
                op.index = *value;
            } else {
                return false;
            }
        }
        return line.empty();
    }
    std::optional<ServerAnswer> read_action(std::string_view line, std::size_t number, Op& op) {
        const auto malformed = [number](std::string_view what) {
            return whole_error("illegal_argument_exception",
                               "Malformed action/metadata line [" + std::to_string(number) + "], " + std::string{what});
        };
        boost::system::error_code error;
        const auto value = parsed(line, error);
        if (error) return whole_error("parse_exception", "could not parse bulk request body");
        const auto* const outer = value.if_object();
        if (outer == nullptr) return malformed("expected START_OBJECT");
        if (outer->empty()) return malformed("expected FIELD_NAME but found [END_OBJECT]");
        const auto& [action, metadata] = *outer->begin();
        const auto* const fields = metadata.if_object();
        if (outer->size() != 1 || fields == nullptr) return malformed("expected one action with an object");
        const auto kind = kind_of(std::string_view{action.data(), action.size()});
        if (!kind) return malformed("expected field [create], [delete], [index] or [update]");
        op.kind = *kind;
        return read_metadata(*fields, op);
    }
    std::optional<ServerAnswer> read_metadata(const boost::json::object& fields, Op& op) {
        const auto text = [this](const boost::json::value& value) -> std::optional<std::string_view> {
            if (value.is_null()) return std::nullopt;
            decoded_.push_back(value.is_string() ? std::string{value.get_string()} : boost::json::serialize(value));
            return decoded_.back();
        };
        const auto number = [](const boost::json::value& value) -> std::optional<std::int64_t> {
            if (value.is_int64()) return value.get_int64();
            return std::nullopt;
        };
        const auto flag = [](const boost::json::value& value) { return value.is_bool() && value.get_bool(); };
        for (const auto& [name, value] : fields) {
            if (value.is_array() || (value.is_object() && name != "dynamic_templates"))
                return whole_error("illegal_argument_exception",
                                   "Malformed action/metadata line, expected a simple value for field [" +
                                       std::string{name} + "]");
            if (name == "_index") {
                op.index = text(value).value_or("");
            } else if (name == "_id") {
                op.id = text(value);
            } else if (name == "pipeline") {
                op.pipeline = text(value).value_or("");
            } else if (name == "version") {
                op.version = number(value);
            } else if (name == "version_type") {
                op.version_type = text(value).value_or("");
            } else if (name == "if_seq_no") {
                op.if_seq_no = number(value);
            } else if (name == "if_primary_term") {
                op.if_primary_term = number(value);
            } else if (name == "require_alias") {
                op.require_alias = flag(value);
            } else if (name == "require_data_stream") {
                op.require_data_stream = flag(value);
            } else if (name == "op_type" && op.kind == Kind::index) {
                if (text(value) == "create") op.kind = Kind::create;
            } else if (name != "routing" && name != "retry_on_conflict" && name != "dynamic_templates" &&
                       name != "op_type") {
                return whole_error("illegal_argument_exception",
                                   "Action/metadata line contains an unknown parameter [" + std::string{name} + "]");
            }
        }
        return std::nullopt;
    }
    /// What the servers find in a request before they begin: one invalid operation fails it as a whole.
    static void validate(const Op& op, std::string& invalid) {
        const auto add = [&](std::string_view what) { invalid.append(what).append(";"); };
        const bool external =
            op.version_type == "external" || op.version_type == "external_gt" || op.version_type == "external_gte";
        if (op.index.empty()) add("index is missing");
        if (op.id && op.id->size() > 512) add("id is too long, must be no longer than 512 bytes");
        if ((op.kind == Kind::remove || op.kind == Kind::update) && (!op.id || op.id->empty())) add("id is missing");
        if (op.version && !op.id) add("an id must be provided if version type or value are set");
        if (op.version && op.kind == Kind::update) add("update requests do not support versioning");
        if (op.version && op.kind == Kind::create) add("create operations do not support versions. use index instead");
        if (op.version && !external) add("internal versioning can not be used for optimistic concurrency control");
        if (external && !op.version) add("illegal version value [-3] for version type");
        if (op.if_seq_no.has_value() != op.if_primary_term.has_value())
            add("ifSeqNo is set, but primary term is not, or the other way round");
        if (op.if_seq_no && op.version) add("compare and write operations can not use versioning");
        if (op.if_seq_no && op.kind == Kind::create)
            add("create operations do not support compare and set. use index instead");
    }

    // ---- Applying ----

    /// Appends the item to the answer; false when it failed.
    bool apply(const Op& op) {
        if (op.require_alias)
            return failed(op, 404, "index_not_found_exception",
                          "no such index and [require_alias] request flag is [true]");
        if (op.id && op.id->empty())
            return failed(op, 400, "illegal_argument_exception", "if _id is specified it must not be empty");
        aim(op.index);
        if (!target_.valid_name) return failed(op, 400, "invalid_index_name_exception", "Invalid index name");
        if (const auto* const refusal = troubles.item(op.index, op.id))
            return failed(op, refusal->status, refusal->type, refusal->reason);
        if (op.require_data_stream && !target_.data_stream)
            return failed(op, 404, "index_not_found_exception",
                          "no such data stream and [require_data_stream] request flag is [true]");
        if (!op.pipeline.empty() && op.pipeline != "_none" && !pipelines_.contains(op.pipeline))
            return failed(op, 400, "illegal_argument_exception",
                          "pipeline with id [" + std::string{op.pipeline} + "] does not exist");
        if (target_.data_stream && op.kind != Kind::create)
            return failed(op, 400, "illegal_argument_exception",
                          "only write ops with an op_type of create are allowed in data streams");
        if (op.kind == Kind::index || op.kind == Kind::create) {
            const detail::DocumentCheck check{op.source};
            if (!check.valid()) return failed(op, 400, "document_parsing_exception", "failed to parse");
            if (target_.data_stream && !check.has_timestamp())
                return failed(op, 400, "document_parsing_exception",
                              "data stream timestamp field [@timestamp] is missing");
        }
        if (target_.index == nullptr) {
            if (op.kind == Kind::remove && !op.version)
                return failed(op, 404, "index_not_found_exception", "no such index [" + std::string{op.index} + "]");
            target_.index = &indices_[std::string{op.index}];
        }
        auto& index = *target_.index;
        std::string made;
        if (!op.id) made = "auto-" + std::to_string(next_auto_id_++);
        const auto id = op.id ? *op.id : std::string_view{made};
        const auto found = index.documents.find(id);
        auto* const last = found == index.documents.end() ? nullptr : &found->second;
        auto* const existing = last != nullptr && last->live ? last : nullptr;
        const auto conflict = [&] {
            return failed(op, 409, "version_conflict_engine_exception", "[" + std::string{id} + "]: version conflict");
        };
        if (op.if_seq_no && (existing == nullptr || existing->seq_no != *op.if_seq_no || *op.if_primary_term != 1))
            return conflict();
        if (op.version && last != nullptr &&
            (op.version_type == "external_gte" ? *op.version < last->version : *op.version <= last->version))
            return conflict();
        if (op.kind == Kind::create && existing != nullptr) return conflict();
        if (op.kind == Kind::update) return update(op, id, existing);
        const auto& document = write(op, id, op.source);
        switch (op.kind) {
        case Kind::remove: return done(op, id, document, existing == nullptr ? Result::not_found : Result::deleted);
        case Kind::index:
            if (existing != nullptr) return done(op, id, document, Result::updated);
            break;
        default: break;
        }
        return done(op, id, document, Result::created);
    }
    bool update(const Op& op, std::string_view id, Document* existing) {
        boost::system::error_code error;
        const auto change = parsed(op.source, error);
        if (error) return failed(op, 400, "document_parsing_exception", "failed to parse");
        const auto* const doc = change.get_object().if_contains("doc");
        const auto* const upsert = change.get_object().if_contains("upsert");
        const auto* const as_upsert = change.get_object().if_contains("doc_as_upsert");
        if (existing == nullptr) {
            const auto* first = upsert;
            if (as_upsert != nullptr && as_upsert->is_bool() && as_upsert->get_bool()) first = doc;
            if (first == nullptr)
                return failed(op, 404, "document_missing_exception", "[" + std::string{id} + "]: document missing");
            return done(op, id, write(op, id, boost::json::serialize(*first)), Result::created);
        }
        if (doc == nullptr || !doc->is_object())
            return done(op, id, write(op, id, std::string{existing->source}), Result::updated);
        const auto before = parsed(existing->source, error);
        auto after = before;
        merge(after, *doc);
        if (after == before) return done(op, id, *existing, Result::noop);
        return done(op, id, write(op, id, boost::json::serialize(after)), Result::updated);
    }
    /// Objects are merged, everything else is replaced.
    static void merge(boost::json::value& into, const boost::json::value& from) {
        if (!into.is_object() || !from.is_object()) {
            into = from;
            return;
        }
        for (const auto& [name, value] : from.get_object()) merge(into.get_object()[name], value);
    }
    void aim(std::string_view name) {
        if (target_.name == name && target_.valid_name) return;
        const auto found = indices_.find(name);
        target_ = {name, found == indices_.end() ? nullptr : &found->second, is_data_stream(name), is_valid(name)};
    }
    /// Writes a document, or that it is deleted.
    const Document& write(const Op& op, std::string_view id, std::string_view source) {
        auto& index = *target_.index;
        auto found = index.documents.find(id);
        const bool is_new = found == index.documents.end();
        if (is_new) found = index.documents.try_emplace(index.arena.keep(id)).first;
        auto& document = found->second;
        const bool was_live = !is_new && document.live;
        document.live = op.kind != Kind::remove;
        document.version = op.version ? *op.version : is_new ? 1 : document.version + 1;
        document.seq_no = index.next_seq_no++;
        if (document.live) document.source = index.arena.keep(source);
        if (document.live || was_live) { // deleting what was not there changes nothing
            ++document.writes;
            ++index.writes;
        }
        index.live += document.live ? 1U : 0U;
        index.live -= was_live ? 1U : 0U;
        return document;
    }

    // ---- Answering ----

    enum class Result { created, updated, deleted, noop, not_found };

    bool done(const Op& op, std::string_view id, const Document& document, Result result) {
        constexpr std::string_view names[] = {"created", "updated", "deleted", "noop", "not_found"};
        const unsigned status = result == Result::created ? 201 : result == Result::not_found ? 404 : 200;
        begin_item(op, id);
        if (filter_->version) field("_version") += std::to_string(document.version);
        if (filter_->result) field("result").append(1, '"').append(names[static_cast<std::size_t>(result)]) += '"';
        if (filter_->shards) field("_shards") += R"({"total":1,"successful":1,"failed":0})";
        if (filter_->seq_no) field("_seq_no") += std::to_string(document.seq_no);
        if (filter_->primary_term) field("_primary_term") += '1';
        if (filter_->status) field("status") += status == 201 ? "201" : status == 200 ? "200" : "404";
        end_item();
        return true;
    }
    bool failed(const Op& op, unsigned status, std::string_view type, std::string_view reason) {
        begin_item(op, op.id);
        if (filter_->status) field("status") += std::to_string(status);
        if (filter_->type || filter_->reason) {
            field("error") += '{';
            if (filter_->type) items_.append("\"type\":\"").append(type) += '"';
            if (filter_->type && filter_->reason) items_ += ',';
            if (filter_->reason) items_.append("\"reason\":").append(quoted(reason));
            items_ += '}';
        }
        end_item();
        return false;
    }
    void begin_item(const Op& op, std::optional<std::string_view> id) {
        item_at_ = items_.size();
        if (!items_.empty()) items_ += ',';
        items_.append("{\"").append(name_of(op.kind)).append("\":{");
        fields_at_ = items_.size();
        if (filter_->index) field("_index") += quoted(op.index);
        if (filter_->id) field("_id") += id ? quoted(*id) : "null";
    }
    std::string& field(std::string_view name) {
        if (items_.size() != fields_at_) items_ += ',';
        return items_.append(1, '"').append(name).append("\":");
    }
    void end_item() {
        if (items_.size() == fields_at_) { // nothing is left of it, so it is left out: positions are lost
            items_.resize(item_at_);
            return;
        }
        items_ += "}}";
    }

    [[nodiscard]] static bool is_valid(std::string_view name) {
        if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
        if (std::string_view{"-_+"}.find(name[0]) != std::string_view::npos) return false;
        return std::none_of(name.begin(), name.end(), [](char c) {
            return (c >= 'A' && c <= 'Z') || std::string_view{"\\/*?\"<>| ,#:"}.find(c) != std::string_view::npos;
        });
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
    std::uint64_t next_auto_id_ = 1;

    // Of the request that is being answered; kept for their memory.
    std::vector<Op> operations_;
    std::deque<std::string> decoded_;
    std::string items_;
    const detail::AnswerFilter* filter_ = nullptr;
    Target target_;
    std::size_t item_at_ = 0;
    std::size_t fields_at_ = 0;
};

} // namespace bulkhead::inline v1::test
