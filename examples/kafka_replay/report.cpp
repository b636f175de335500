// SPDX-License-Identifier: BSL-1.0
#include "report.hpp"

#include "failure.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace replay {

std::string to_json(const Report& report) {
    namespace json = boost::json;
    const auto number = [](const auto* found, auto member) {
        return found != nullptr ? json::value_from(found->*member) : json::value(nullptr);
    };
    const auto find = [](const auto& all, const PartitionEnd& wanted) -> decltype(all.data()) {
        for (const auto& one : all)
            if (one.partition == wanted.partition && one.topic == wanted.topic) return &one;
        return nullptr;
    };
    json::array partitions;
    for (const auto& p : report.topics) {
        const auto* const ours = find(report.partitions, p);
        const auto* const committed = find(report.committed, p);
        json::object entry{{"topic", p.topic}, {"partition", p.partition}, {"begin", p.begin}, {"end", p.end}};
        entry["committed"] = number(committed, &CommittedOffset::offset);
        entry["assigned"] = ours != nullptr;
        entry["next"] = ours != nullptr && ours->next ? json::value(*ours->next) : json::value(nullptr);
        entry["stored"] = ours != nullptr && ours->stored ? json::value(*ours->stored) : json::value(nullptr);
        entry["span"] = number(ours, &bulkhead::PartitionState::span);
        const auto* const lost = find(report.lost, p);
        entry["lost"] = lost != nullptr ? lost->records : 0;
        partitions.push_back(std::move(entry));
    }
    json::array failures;
    for (const auto& failure : report.failures)
        failures.push_back(json::object{
            {"type", failure.type}, {"status", failure.status}, {"count", failure.count}, {"reason", failure.reason}});
    json::object all{{"exit_status", report.exit_status},
                     {"fault", report.fault},
                     {"stop_reason", report.stop_reason},
                     {"interrupted", report.interrupted},
                     {"summary", json::parse(to_json(report.summary))},
                     {"partitions", std::move(partitions)},
                     {"failures", std::move(failures)},
                     {"dead_letters", report.dead_letters},
                     {"rebalances", report.rebalances},
                     {"buffer_found_full", report.full},
                     {"longest_poll_gap_ms", report.longest_poll_gap_ms},
                     {"seconds_paused", report.seconds_paused},
                     {"peak_rss_bytes", report.peak_rss_bytes}};
    return json::serialize(all) + '\n';
}

namespace {

/// What is there and no regular file is written as it is.
bool written_in_place(const std::string& path) {
    struct ::stat about {};
    return ::lstat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode);
}
std::string beside(const std::string& path) { return path + ".new"; }

} // namespace

void check_writable(const std::string& path) {
    const bool in_place = written_in_place(path);
    const auto target = in_place ? path : beside(path);
    const int file = ::open(target.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    if (file < 0 && in_place && errno == ENXIO) return; // a pipe whose reader may still come
    if (file < 0) throw Failure{"--report " + path + ": " + std::strerror(errno)};
    ::close(file);
    if (!in_place) ::unlink(target.c_str());
}

void write_file(const std::string& path, const std::string& text) {
    const auto fail = [&] { throw Failure{"--report " + path + ": " + std::strerror(errno)}; };
    const bool in_place = written_in_place(path);
    const auto target = in_place ? path : beside(path);
    errno = 0;
    auto* const file = std::fopen(target.c_str(), "wb");
    if (file == nullptr) fail();
    const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0 &&
                         (in_place || ::fsync(::fileno(file)) == 0);
    const int why = errno;
    std::fclose(file);
    if (written && (in_place || std::rename(target.c_str(), path.c_str()) == 0)) return;
    if (!written) errno = why;
    const int kept = errno;
    if (!in_place) std::remove(target.c_str());
    errno = kept;
    fail();
}

std::uint64_t peak_rss_bytes() {
    struct ::rusage usage {};
    if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

} // namespace replay
