// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "failure.hpp"
#include "kafka_probe.hpp"
#include "streams.hpp"
#include "tool/server_options.hpp"

#include <bulkhead/http/http_options.hpp>
#include <bulkhead/kafka/source.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/tls.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace replay {

enum class Format : unsigned char { text, json };
/// Where document ids come from.
enum class Ids : unsigned char {
    record,    ///< `topic-partition-offset@timestamp`: a record that is delivered again finds its document
    automatic, ///< the server makes them: faster there, but a redelivered record is stored twice
};

using tool::is_https;

/// What the user asks for. Every limit that the library has itself is checked by the library.
struct Options {
    // Kafka
    std::string brokers; ///< empty: an embedded broker, `--brokers embedded`
    std::string topic = "apm.logs";
    std::string span_topic;                 ///< empty: no spans
    std::string error_topic = "apm.errors"; ///< empty: errors are not forwarded
    std::string group = "bulkhead-replay";
    std::vector<std::pair<std::string, std::string>> kafka; ///< further librdkafka settings
    bool exit_at_end = false; ///< end when the group has replayed what the topics held at the start
    Start from{};
    std::uint32_t rate = 0; ///< records a second; 0: no limit
    bool dry_run = false;

    // The search server
    std::string url;            ///< empty: an embedded server, `--url embedded`
    bulkhead::HttpOptions http; ///< all but its `url`
    bulkhead::TlsOptions tls;
    bool gzip = false;
    std::uint16_t server_port = 0;
    DataStreams streams;
    bool install_template = false;

    // Indexing
    bulkhead::IndexerOptions indexer;
    bulkhead::Delivery delivery = bulkhead::Delivery::at_least_once;
    bulkhead::OnRejected on_rejected = bulkhead::OnRejected::dead_letter;
    bulkhead::OnInvalid on_invalid = bulkhead::OnInvalid::skip;
    bulkhead::OnTombstone on_tombstone = bulkhead::OnTombstone::skip;
    bulkhead::OnUnknown on_unknown = bulkhead::OnUnknown::stop;
    std::string dead_letter_file{};  ///< empty: none
    std::string dead_letter_topic{}; ///< empty: none
    bool keep_records = false;
    Ids ids = Ids::record;
    std::string id_prefix{};
    std::chrono::seconds drain_timeout{30};
    std::chrono::milliseconds stall_after{30'000}; ///< `DriverOptions::stall_after`

    // The embedded broker's records
    std::uint64_t messages = 1'000'000;
    std::uint64_t seed = 1;
    std::string input; ///< a file instead of generated events

    // What it says
    Format format = Format::text;
    bool quiet = false;
    bool show_reasons = false;          ///< the server's words, which may quote documents
    std::string report{};               ///< a file for the report of the run; empty: none
    std::string metrics{};              ///< `[ADDRESS:]PORT` for who watches the run; empty: none
    std::vector<std::string> remarks{}; ///< what looks wrong and stops nothing, e.g. a misspelt variable; for the log

    [[nodiscard]] bool embedded_broker() const noexcept { return brokers.empty(); }
    [[nodiscard]] bool embedded_server() const noexcept { return url.empty(); }
    /// Nothing outside this process is read or written.
    [[nodiscard]] bool demonstration() const noexcept { return embedded_broker() && embedded_server(); }
};

/// Reads the command line, and the environment for what it does not name. Either both addresses are given or neither;
/// `embedded` is one. Nothing when `--help` or `--version` was asked for and answered. Throws `UsageError`.
[[nodiscard]] std::optional<Options> parse_options(int argc, const char* const* argv);

} // namespace replay
