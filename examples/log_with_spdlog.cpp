// SPDX-License-Identifier: BSL-1.0
// How to log what goes wrong, by spdlog: log_with_spdlog [URL]
#include <bulkhead/bulkhead.hpp>

#include <memory>
#include <utility>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace {

/// For `IndexerOptions::on_event`: a line for each event, with its fields as key=value. At most one of each kind and
/// class comes in a second, so an outage does not fill the disk. The server's reasons may quote documents: they are
/// left out.
auto log_events_to(std::shared_ptr<spdlog::logger> log) {
    return [log = std::move(log)](const bulkhead::IndexerEvent& event) {
        using Severity = bulkhead::IndexerEvent::Severity;
        const auto level = event.severity() == Severity::error     ? spdlog::level::err
                           : event.severity() == Severity::warning ? spdlog::level::warn
                                                                   : spdlog::level::info;
        log->log(level, "bulkhead: {} event={} count={} type={} status={}", to_text(event), to_string(event.kind),
                 event.count, event.type, event.status);
    };
}

} // namespace

int main(int argc, char** argv) try {
    auto log = spdlog::stderr_color_mt("indexer");
    bulkhead::IndexerOptions options{.index = "logged"};
    options.on_event = log_events_to(log);
    bulkhead::StandaloneIndexer<bulkhead::HttpTransport> indexer{
        bulkhead::HttpOptions{.url = argc > 1 ? argv[1] : "http://127.0.0.1:9200"}, std::move(options)};
    indexer->enqueue({.source = R"({"message":"hello"})"});
    indexer->enqueue({.source = R"({"message":broken})"}); // the server refuses it
    indexer->enqueue({.source = "not an object"});         // refused at once
    const auto report = indexer.close(std::chrono::seconds{10});
    log->info("{} indexed, {} rejected, {} not accepted", report.stats.indexed, report.stats.rejected,
              report.stats.refused());
    return report.stats.indexed == 1 ? 0 : 1;
} catch (const bulkhead::InvalidOption& wrong) {
    spdlog::error("{}", wrong.what());
    return 2;
}
