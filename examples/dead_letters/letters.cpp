// SPDX-License-Identifier: BSL-1.0
#include "letters.hpp"

#include "tool/server_options.hpp"

#include <bulkhead/http/server_check.hpp>
#include <bulkhead/tls.hpp>

#include <boost/asio/use_future.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <fstream>
#include <mutex>
#include <ostream>
#include <set>
#include <type_traits>
#include <utility>

namespace letters {

namespace json = boost::json;
namespace asio = boost::asio;

namespace {

using namespace std::chrono_literals;

/// Without it, each letter would be tried for a minute, and then remain without a word of why.
template <class Transport>
void check_server(asio::any_io_executor executor, Transport transport) {
    const auto report = bulkhead::async_check(executor, transport, {}, 5s, asio::use_future).get();
    transport.shutdown();
    if (!report.usable()) throw NoServer{"search server " + report.problem()};
}

/// `make(executor)`: the transport.
template <class Make>
Replayed replay_by(const Options& options, const Make& make);

} // namespace

std::optional<std::string> read_operation(std::string_view action_line, std::string_view source, Stored& out) {
    bulkhead::error_code error;
    const auto line = json::parse(json::string_view{action_line.data(), action_line.size()}, error);
    if (error || !line.is_object() || line.get_object().size() != 1 || !line.get_object().begin()->value().is_object())
        return "the action is not one JSON object";
    const auto action = line.get_object().begin()->key();
    const auto& metadata = line.get_object().begin()->value().get_object();
    auto& op = out.operation;
    op = {};
    if (action == "index") {
        op.action = bulkhead::Action::index;
    } else if (action == "create") {
        op.action = bulkhead::Action::create;
    } else if (action == "update") {
        op.action = bulkhead::Action::update;
    } else if (action == "delete") {
        op.action = bulkhead::Action::delete_;
    } else {
        return "unknown action " + std::string{action};
    }
    for (const auto& [name, value] : metadata) {
        const auto text = [&field = value](std::string& to) {
            to = field.is_string() ? std::string{field.get_string()} : json::serialize(field);
            return std::string_view{to};
        };
        const auto number = [&field = value] { return field.is_int64() ? field.get_int64() : 0; };
        if (name == "_index") {
            op.index = text(out.index);
        } else if (name == "_id") {
            op.id = text(out.id);
        } else if (name == "routing") {
            op.routing = text(out.routing);
        } else if (name == "pipeline") {
            op.pipeline = text(out.pipeline);
        } else if (name == "dynamic_templates") {
            op.dynamic_templates = text(out.dynamic_templates);
        } else if (name == "version") {
            op.version = number();
        } else if (name == "version_type") {
            if (value == "external_gte") op.version_type = bulkhead::VersionType::external_gte;
        } else if (name == "if_seq_no") {
            op.if_seq_no = number();
        } else if (name == "if_primary_term") {
            op.if_primary_term = number();
        } else if (name == "retry_on_conflict") {
            op.retry_on_conflict = static_cast<std::uint32_t>(number());
        } else if (name == "require_alias") {
            op.require_alias = value == true;
        } else if (name == "require_data_stream") {
            op.require_data_stream = value == true;
        } else {
            return "unknown field " + std::string{name}; // sent without it, it would be another operation
        }
    }
    out.source = source;
    op.source = out.source;
    return std::nullopt;
}

std::uint64_t list(const Options& options, std::ostream& out) {
    std::uint64_t listed = 0;
    const auto read = bulkhead::read_dead_letters(options.file, [&](const bulkhead::StoredDeadLetter& letter) {
        if (!options.type.empty() && letter.type != options.type) return;
        ++listed;
        const auto what = letter.action_line.empty()
                              ? "record " + letter.topic + "-" + std::to_string(letter.partition) + " at offset " +
                                    std::to_string(letter.offset)
                              : letter.action_line;
        out << letter.time << "  " << letter.status << "  " << letter.type << "  " << what << "  "
            << letter.source.size() << " bytes" << (letter.reason.empty() ? "" : "  ") << letter.reason << '\n';
    });
    if (read.error) throw std::runtime_error{options.file + ": " + read.error.message()};
    if (read.skipped != 0) out << read.skipped << " lines skipped: torn, or no dead letters\n";
    return listed;
}

Replayed replay(const Options& options) {
    auto http = options.http;
    http.url = options.url;
    if (const auto colon = options.header.find(':'); colon != std::string::npos)
        http.headers.emplace_back(options.header.substr(0, colon),
                                  options.header.substr(options.header.find_first_not_of(' ', colon + 1)));
    using Executor = asio::any_io_executor;
    if (!tool::is_https(options.url))
        return replay_by(options, [&](Executor executor) {
            return bulkhead::HttpTransport{std::move(executor), http};
        });
    return replay_by(options, [&](Executor executor) {
        return bulkhead::HttpsTransport{std::move(executor), http, options.tls};
    });
}

namespace {

template <class Make>
Replayed replay_by(const Options& options, const Make& make) {
    bulkhead::IndexerOptions indexing;
    indexing.flush_interval = 100ms;
    indexing.retry.max_age = 1min;
    indexing.ordering = bulkhead::Ordering::per_id; // the file is in the order of the refusals

    Replayed result;
    std::mutex mutex;
    std::set<std::uint64_t> not_indexed; // by line
    {
        using Transport = std::invoke_result_t<const Make&, asio::any_io_executor>;
        bulkhead::StandaloneIndexer<Transport> indexer{make, indexing};
        std::ifstream file{options.file, std::ios::binary};
        if (!file) throw std::runtime_error{options.file + ": cannot be read"};
        check_server(indexer.get_executor(), make(indexer.get_executor()));
        const auto subscription = indexer.subscribe([&](std::span<const bulkhead::Settlement> settlements) {
            const std::lock_guard lock{mutex};
            for (const auto& one : settlements) {
                if (bulkhead::durable(one.outcome)) {
                    ++result.indexed;
                } else {
                    not_indexed.insert(one.key);
                }
            }
        });
        std::uint64_t number = 0;
        Stored stored;
        for (std::string line; std::getline(file, line); ++number) {
            const auto letter = bulkhead::parse_dead_letter(line);
            if (!letter) {
                ++result.skipped;
                continue;
            }
            ++result.letters;
            if (!options.type.empty() && letter->type != options.type) {
                ++result.left_out;
                continue;
            }
            if (letter->action_line.empty()) ++result.records;
            const bool readable = !read_operation(letter->action_line, letter->source, stored);
            if (stored.operation.action == bulkhead::Action::create)
                stored.operation.on_conflict = bulkhead::OnConflict::already_there; // e.g. by an earlier replay
            if (readable && indexer->enqueue_wait(stored.operation, 1min, subscription.ticket(number)) ==
                                bulkhead::Admission::accepted)
                continue;
            const std::lock_guard lock{mutex};
            not_indexed.insert(number);
        }
        if (file.bad()) throw std::runtime_error{options.file + ": cannot be read to its end"};
        result.failures = indexer.close(2min).stats.failures;
    }
    result.remaining = not_indexed.size();
    if (not_indexed.empty()) return result;
    std::ifstream file{options.file, std::ios::binary};
    std::ofstream out{options.remaining, std::ios::binary | std::ios::app};
    std::uint64_t number = 0;
    for (std::string line; std::getline(file, line); ++number)
        if (not_indexed.contains(number)) out << line << '\n';
    if (!out.flush()) throw std::runtime_error{options.remaining + ": cannot be written"};
    return result;
}

} // namespace

} // namespace letters
