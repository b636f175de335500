// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/detail/request_uri.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/server_answer.hpp>

#include <boost/beast/http/field.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What a server answers to each HTTP request, by a model of Elasticsearch: no I/O.
namespace bulkhead::inline v1::test::detail {

/// What is written back to the client.
struct HttpOutput {
    std::string bytes;
    bool keep_alive = true;
    bool hold = false;
    bool drain = false; ///< more of the request is coming: closing at once could cost the client the answer
    std::chrono::nanoseconds after{}; ///< the answer waits so long
    bool reset = false;               ///< instead of the answer, by RST
};

[[nodiscard]] inline HttpOutput answer(const ServerAnswer& what, std::string_view content_type = "application/json",
                                       std::string_view headers = {}) {
    HttpOutput output;
    output.after = what.took;
    output.reset = what.reset;
    if (what.reset) {
        output.keep_alive = false;
        return output;
    }
    output.bytes.reserve(what.body.size() + 256);
    output.bytes.append("HTTP/1.1 ").append(std::to_string(what.status)).append(" -\r\nContent-Type: ");
    output.bytes.append(content_type).append("\r\nContent-Length: ").append(std::to_string(what.body.size()));
    output.bytes.append("\r\n").append(headers).append("\r\n").append(what.body);
    return output;
}

/// The endpoints of a server with a `_bulk` endpoint. `Request`: a request of Boost.Beast's with a string for its body.
class BulkEndpoints {
public:
    ModelElasticsearch model;
    /// What to do with a bulk request instead; nothing: what is right.
    std::function<std::optional<CannedAnswer>(const BulkRequestInfo&)> misbehave;
    std::uint64_t bulk_requests = 0; ///< received

    /// What needs no store: wrong credentials and `GET /`.
    template <class Request>
    [[nodiscard]] static std::optional<HttpOutput> answer_without_store(const Request& request,
                                                                        const std::string& authorization) {
        if (!authorization.empty() && request[boost::beast::http::field::authorization] != authorization)
            return answer(whole_error("security_exception", "missing or wrong credentials", 401), "application/json",
                          "WWW-Authenticate: ApiKey\r\n");
        const auto method = method_of(request);
        if (path_of(request).size() <= 1 && (method == "GET" || method == "HEAD"))
            return answer({200, R"({"name":"bulk-server","version":{"number":"8.0.0-model"}})"});
        return std::nullopt;
    }
    template <class Request>
    [[nodiscard]] HttpOutput operator()(const Request& request) {
        const auto target = target_of(request);
        const auto path = path_of(request);
        const auto method = method_of(request);
        const auto steps = path_steps(path);
        const bool get = method == "GET" || method == "POST";
        const bool post = method == "POST" || method == "PUT";
        const auto size = steps.size();
        if (post && size >= 1 && size <= 2 && steps.back() == "_bulk")
            return bulk(target, request, size == 2 ? steps[0] : std::string{});
        if (method == "PUT" && size == 2 && steps[0] == "_index_template")
            return answer(model.put_index_template(steps[1], request.body()));
        if (get && size == 2 && steps[1] == "_count") {
            if (!model.exists(steps[0])) return no_such_index(steps[0]);
            return answer({200, "{\"count\":" + std::to_string(model.count(steps[0])) +
                                    R"(,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0}})"});
        }
        if (get && size == 2 && steps[1] == "_search") return search(steps[0]);
        if (get && size == 2 && steps[1] == "_refresh") {
            if (!model.exists(steps[0])) return no_such_index(steps[0]);
            return answer({200, R"({"_shards":{"total":1,"successful":1,"failed":0}})"});
        }
        if (method == "GET" && size == 3 && steps[1] == "_doc") return document(steps[0], steps[2]);
        if (method == "GET" && size == 2 && steps[0] == "_cat" && steps[1] == "indices")
            return answer({200, indices(query_parameter(target, "v").has_value())}, "text/plain; charset=UTF-8");
        if (method == "DELETE" && size == 1) {
            if (!model.remove_index(steps[0])) return no_such_index(steps[0]);
            return answer({200, R"({"acknowledged":true})"});
        }
        return answer(
            whole_error("illegal_argument_exception", "no handler found for uri [" + std::string{path} + "]"));
    }

private:
    template <class Request>
    static std::string_view target_of(const Request& request) {
        return {request.target().data(), request.target().size()};
    }
    template <class Request>
    static std::string_view path_of(const Request& request) {
        const auto target = target_of(request);
        return target.substr(0, target.find('?'));
    }
    template <class Request>
    static std::string_view method_of(const Request& request) {
        return {request.method_string().data(), request.method_string().size()};
    }
    template <class Request>
    HttpOutput bulk(std::string_view target, const Request& request, std::string index) {
        const std::string& body = request.body();
        BulkParameters parameters{.index = std::move(index),
                                  .pipeline = query_parameter(target, "pipeline").value_or(""),
                                  .filter_path = query_parameter(target, "filter_path").value_or("")};
        ++bulk_requests;
        std::optional<CannedAnswer> canned;
        if (misbehave) {
            BulkRequestInfo info{bulk_requests, target, body};
            for (const auto& field : request) {
                const auto name = field.name_string();
                info.headers.emplace_back(std::string_view{name.data(), name.size()},
                                          std::string_view{field.value().data(), field.value().size()});
            }
            canned = misbehave(info);
        }
        if (!canned) return answer(model.bulk(body, parameters));
        ServerAnswer from_model;
        parameters.most_operations = canned->apply_at_most;
        if (canned->apply_at_most != 0) from_model = model.bulk(body, parameters);
        if (canned->no_answer) return {{}, false, true};
        if (canned->close_without_answer) return {{}, false, false};
        if (!canned->raw.empty()) return {std::move(canned->raw), false, false};
        if (canned->keep_model_answer) return answer(from_model);
        return answer({canned->status, std::move(canned->body)}, canned->content_type, canned->headers);
    }
    HttpOutput search(const std::string& index) const {
        if (!model.exists(index)) return no_such_index(index);
        std::string hits;
        std::size_t shown = 0;
        model.for_each(index, [&](std::string_view id, std::string_view source) {
            if (++shown > 10) return;
            hits.append(shown == 1 ? "" : ",").append(R"({"_index":)");
            hits.append(json_quoted(index));
            hits.append(R"(,"_id":)");
            hits.append(json_quoted(id));
            hits.append(R"(,"_source":)").append(source).append("}");
        });
        return answer({200, R"({"timed_out":false,"hits":{"total":{"value":)" + std::to_string(model.count(index)) +
                                R"(,"relation":"eq"},"hits":[)" + hits + "]}}"});
    }
    HttpOutput document(const std::string& index, const std::string& id) const {
        const auto source = model.source(index, id);
        std::string body = R"({"_index":)";
        body.append(json_quoted(index));
        body.append(R"(,"_id":)");
        body.append(json_quoted(id));
        body.append(source ? R"(,"found":true,"_source":)" + *source + "}" : R"(,"found":false})");
        return answer({source ? 200U : 404U, std::move(body)});
    }
    /// As `_cat/indices` has it, without the columns that a model has no values for.
    std::string indices(bool with_head) const {
        std::string text = with_head ? "health status index docs.count\n" : "";
        for (const auto& name : model.indices())
            text.append("green open ").append(name).append(" ").append(std::to_string(model.count(name))).append("\n");
        return text;
    }
    static HttpOutput no_such_index(const std::string& index) {
        return answer(whole_error("index_not_found_exception", "no such index [" + index + "]", 404));
    }
};

} // namespace bulkhead::inline v1::test::detail
