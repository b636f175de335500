// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/detail/answer_writer.hpp>
#include <bulkhead/test/detail/bulk_request_reader.hpp>
#include <bulkhead/test/detail/document_check.hpp>
#include <bulkhead/test/detail/document_store.hpp>
#include <bulkhead/test/server_answer.hpp>
#include <bulkhead/test/server_troubles.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::test {

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
    bool remove_index(std::string_view index) { return store_.remove(index); }

    /// `POST /_bulk` or `POST /{index}/_bulk`.
    ServerAnswer bulk(std::string_view body, const BulkParameters& parameters = {}) {
        if (body.empty()) return whole_error("parse_exception", "request body is required");
        if (body.back() != '\n')
            return whole_error("illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]");
        if (auto wrong = reader_.read(body, parameters)) return std::move(*wrong);
        auto& operations = reader_.operations();
        answer_.begin(parameters.filter_path);
        target_ = {};
        operations.resize(std::min(operations.size(), parameters.most_operations));
        const auto failure = troubles.whole(body, operations.size());
        const auto took = troubles.time_for(operations.size());
        if (failure && !failure->applied) return failed_whole(failure->kind, took);
        for (const auto& op : operations) apply(op);
        if (failure) return failed_whole(failure->kind, took);
        return {200, answer_.finish(), took};
    }

    /// Whether there is such an index.
    [[nodiscard]] bool exists(std::string_view index) const { return store_.find(index) != nullptr; }
    /// Documents in the index; 0 when there is no such index.
    [[nodiscard]] std::size_t count(std::string_view index) const {
        const auto* const found = store_.find(index);
        return found == nullptr ? 0 : found->live;
    }
    /// The document's bytes, as they were sent (an updated one: as this model wrote them).
    [[nodiscard]] std::optional<std::string> source(std::string_view index, std::string_view id) const {
        const auto* const document = store_.find(index, id);
        if (document == nullptr || !document->live) return std::nullopt;
        return std::string{document->source};
    }
    /// How often an operation has stored, changed or deleted the document with this id, ever: 2 for one that was sent
    /// once means that it was applied twice.
    [[nodiscard]] std::uint64_t times_applied(std::string_view index, std::string_view id) const {
        const auto* const document = store_.find(index, id);
        return document == nullptr ? 0 : document->writes;
    }
    /// The same, of all documents of the index.
    [[nodiscard]] std::uint64_t times_applied(std::string_view index) const {
        const auto* const found = store_.find(index);
        return found == nullptr ? 0 : found->writes;
    }
    /// Calls `f(std::string_view id, std::string_view source)` for each document, in no particular order.
    template <class F>
    void for_each(std::string_view index, F&& f) const {
        if (const auto* const found = store_.find(index))
            for (const auto& [id, document] : found->documents)
                if (document.live) f(id, document.source);
    }
    /// Their names.
    [[nodiscard]] std::vector<std::string> indices() const { return store_.names(); }

    /// An error for a request as a whole.
    [[nodiscard]] static ServerAnswer whole_error(std::string_view type, std::string_view reason,
                                                  unsigned status = 400) {
        return detail::whole_error(type, reason, status);
    }

private:
    using Op = detail::BulkOperation;
    using Kind = detail::BulkAction;
    using Result = detail::WriteResult;
    /// Why an operation fails.
    struct Refused {
        unsigned status;
        std::string_view type;
        std::string reason;
    };
    /// What is known of the index of the last operation: the next one mostly goes there too.
    struct Target {
        std::string_view name;
        detail::Index* index = nullptr; ///< null: it does not exist (yet)
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

    // ---- Applying ----

    /// Appends the operation's item to the answer.
    void apply(const Op& op) {
        if (const auto refused = refusal(op))
            return answer_.failed(op, refused->status, refused->type, refused->reason);
        if (target_.index == nullptr) target_.index = &store_.create(op.index);
        auto& documents = target_.index->documents;
        std::string made;
        if (!op.id) made = "auto-" + std::to_string(next_auto_id_++);
        const auto id = op.id ? *op.id : std::string_view{made};
        const auto found = documents.find(id);
        const auto* const last = found == documents.end() ? nullptr : &found->second;
        const auto* const existing = last != nullptr && last->live ? last : nullptr;
        if (conflicts(op, last, existing))
            return answer_.failed(op, 409, "version_conflict_engine_exception",
                                  "[" + std::string{id} + "]: version conflict");
        if (op.kind == Kind::update) return update(op, id, existing);
        auto result = existing != nullptr ? Result::updated : Result::created;
        if (op.kind == Kind::remove) result = existing != nullptr ? Result::deleted : Result::not_found;
        answer_.done(op, id, write(op, id, op.source), result);
    }
    /// Why the server does not even look for the document.
    std::optional<Refused> refusal(const Op& op) {
        const auto argument = [](std::string reason) {
            return Refused{400, "illegal_argument_exception", std::move(reason)};
        };
        const auto no_index = [](std::string reason) {
            return Refused{404, "index_not_found_exception", std::move(reason)};
        };
        const auto unparsable = [](std::string reason) {
            return Refused{400, "document_parsing_exception", std::move(reason)};
        };
        if (op.require_alias) return no_index("no such index and [require_alias] request flag is [true]");
        if (op.id && op.id->empty()) return argument("if _id is specified it must not be empty");
        aim(op.index);
        if (!target_.valid_name) return Refused{400, "invalid_index_name_exception", "Invalid index name"};
        if (const auto* const trouble = troubles.item(op.index, op.id))
            return Refused{trouble->status, trouble->type, trouble->reason};
        if (op.require_data_stream && !target_.data_stream)
            return no_index("no such data stream and [require_data_stream] request flag is [true]");
        if (!op.pipeline.empty() && op.pipeline != "_none" && !pipelines_.contains(op.pipeline))
            return argument("pipeline with id [" + std::string{op.pipeline} + "] does not exist");
        if (target_.data_stream && op.kind != Kind::create)
            return argument("only write ops with an op_type of create are allowed in data streams");
        if (op.kind == Kind::index || op.kind == Kind::create) {
            const detail::DocumentCheck check{op.source};
            if (!check.valid()) return unparsable("failed to parse");
            if (target_.data_stream && !check.has_timestamp())
                return unparsable("data stream timestamp field [@timestamp] is missing");
        }
        if (target_.index == nullptr && op.kind == Kind::remove && !op.version)
            return no_index("no such index [" + std::string{op.index} + "]");
        return std::nullopt;
    }
    /// `last`: the document or that it was deleted; `existing`: the document. Each is null when there is none.
    static bool conflicts(const Op& op, const detail::Document* last, const detail::Document* existing) {
        if (op.if_seq_no && (existing == nullptr || existing->seq_no != *op.if_seq_no || *op.if_primary_term != 1))
            return true;
        if (op.version && last != nullptr &&
            (op.version_type == "external_gte" ? *op.version < last->version : *op.version <= last->version))
            return true;
        return op.kind == Kind::create && existing != nullptr;
    }
    void update(const Op& op, std::string_view id, const detail::Document* existing) {
        boost::system::error_code error;
        const auto change = detail::parsed(op.source, error);
        if (error) return answer_.failed(op, 400, "document_parsing_exception", "failed to parse");
        const auto* const doc = change.get_object().if_contains("doc");
        const auto* const upsert = change.get_object().if_contains("upsert");
        const auto* const as_upsert = change.get_object().if_contains("doc_as_upsert");
        if (existing == nullptr) {
            const auto* first = upsert;
            if (as_upsert != nullptr && as_upsert->is_bool() && as_upsert->get_bool()) first = doc;
            if (first == nullptr)
                return answer_.failed(op, 404, "document_missing_exception",
                                      "[" + std::string{id} + "]: document missing");
            return answer_.done(op, id, write(op, id, boost::json::serialize(*first)), Result::created);
        }
        if (doc == nullptr || !doc->is_object())
            return answer_.done(op, id, write(op, id, std::string{existing->source}), Result::updated);
        const auto before = detail::parsed(existing->source, error);
        auto after = before;
        merge(after, *doc);
        if (after == before) return answer_.done(op, id, *existing, Result::noop);
        return answer_.done(op, id, write(op, id, boost::json::serialize(after)), Result::updated);
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
        target_ = {name, store_.find(name), is_data_stream(name), detail::is_valid_index_name(name)};
    }
    const detail::Document& write(const Op& op, std::string_view id, std::string_view source) {
        return detail::DocumentStore::write(*target_.index, id, source, op.kind != Kind::remove, op.version);
    }
    [[nodiscard]] bool is_data_stream(std::string_view name) const {
        return std::any_of(data_streams_.begin(), data_streams_.end(), [&](const std::string& pattern) {
            if (pattern.empty() || pattern.back() != '*') return pattern == name;
            return name.substr(0, pattern.size() - 1) == std::string_view{pattern}.substr(0, pattern.size() - 1);
        });
    }

    detail::DocumentStore store_;
    std::set<std::string, std::less<>> data_streams_;
    std::set<std::string, std::less<>> pipelines_;
    std::map<std::string, std::string> templates_;
    std::uint64_t next_auto_id_ = 1;

    // Of the request that is being answered; kept for their memory.
    detail::BulkRequestReader reader_;
    detail::AnswerWriter answer_;
    Target target_;
};

} // namespace bulkhead::inline v1::test
