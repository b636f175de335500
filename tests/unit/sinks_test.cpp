// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/sinks/file_sink.hpp>
#include <bulkhead/sinks/index_sink.hpp>
#include <bulkhead/sinks/stored_dead_letter.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>

#include <boost/asio/use_future.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include <sys/stat.h>
#include <sys/syscall.h>

using namespace bench;

namespace {

/// What was synced, in order, as `fsync` and `fdatasync` of this program see it.
struct Syncs {
    std::mutex mutex;
    std::string seen; ///< `d` for a directory, `f` for a file
    bool directories_fail = false;
};
Syncs& syncs() {
    static Syncs all;
    return all;
}
std::string seen_syncs() {
    const std::lock_guard lock{syncs().mutex};
    return std::exchange(syncs().seen, {});
}
void directories_fail(bool fail) {
    const std::lock_guard lock{syncs().mutex};
    syncs().directories_fail = fail;
}
int note_sync(int fd, long call) {
    struct ::stat about {};
    const bool directory = ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
    {
        const std::lock_guard lock{syncs().mutex};
        syncs().seen += directory ? 'd' : 'f';
        if (directory && syncs().directories_fail) {
            errno = EIO;
            return -1;
        }
    }
    return static_cast<int>(::syscall(call, fd));
}

} // namespace

extern "C" int fsync(int fd) { return note_sync(fd, SYS_fsync); }
extern "C" int fdatasync(int fd) { return note_sync(fd, SYS_fdatasync); }

namespace {

const std::string action_line = R"({"index":{"_index":"logs","_id":"1"}})";

/// A folder of its own, removed at the end.
struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "bulkhead-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string file() const { return (path / "dead.ndjson").string(); }
    std::filesystem::path path;
};
/// Writes letters with these sources and waits for the end.
error_code write(FileSink& sink, const std::vector<std::string>& sources) {
    asio::io_context context;
    std::vector<DeadLetter> letters;
    for (const auto& source : sources)
        letters.push_back({action_line, source, "some_type", "because", 400, 2, {}, 5ms});
    auto done = asio::co_spawn(context, sink.write(letters), asio::use_future);
    context.run();
    return done.get();
}
std::vector<std::string> sources_in(const std::string& file, std::uint64_t skipped = 0) {
    std::vector<std::string> sources;
    const auto read = read_dead_letters(file, [&](const StoredDeadLetter& letter) {
        sources.push_back(letter.source);
        CHECK(letter.action_line == action_line);
        CHECK(letter.type == "some_type");
        CHECK(letter.reason == "because");
        CHECK(letter.status == 400);
        CHECK(letter.attempts == 2);
    });
    CHECK_FALSE(read.error);
    CHECK(read.skipped == skipped);
    CHECK(read.letters == sources.size());
    return sources;
}
void append_raw(const std::string& file, const std::string& text) {
    std::ofstream{file, std::ios::app | std::ios::binary} << text;
}

} // namespace

TEST_CASE("a dead-letter file gives back what was written, byte for byte, and is the owner's alone", "[F129]") {
    const Folder folder;
    FileSink sink{{.path = folder.file()}};
    const std::vector<std::string> sources{"{\"a\":1}", "{\"b\":\"\xFF\xFE\"}", "", "{\"c\":\"\\\"\xC3\xA9\"}"};
    CHECK_FALSE(write(sink, {sources[0], sources[1]}));
    CHECK_FALSE(write(sink, {sources[2], sources[3]}));
    CHECK(sources_in(folder.file()) == sources);
    const auto mode = std::filesystem::status(folder.file()).permissions();
    CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

TEST_CASE("a dead-letter file says whose operation it was and which record it came from", "[F124][F129]") {
    const Folder folder;
    FileSink sink{{.path = folder.file()}};
    asio::io_context context;
    const DeadLetter letters[] = {
        {action_line, "{}", "t", "", 400, 1, {2, 0, 18446744073709551615U}, 5ms, "apm.logs", 3, 41},
        {action_line, "{}", "t", "", 400, 1, {2, 0, 0}, 5ms, "apm.logs", 3},
        {action_line, "{}", "t", "", 400, 1, {}, 5ms},
    };
    auto done = asio::co_spawn(context, sink.write(letters), asio::use_future);
    context.run();
    REQUIRE_FALSE(done.get());
    std::vector<StoredDeadLetter> read;
    (void)read_dead_letters(folder.file(), [&](StoredDeadLetter letter) { read.push_back(std::move(letter)); });
    REQUIRE(read.size() == 3);
    CHECK(read[0].ticket == 18446744073709551615U);
    CHECK(read[0].topic == "apm.logs");
    CHECK(read[0].partition == 3);
    CHECK(read[0].offset == 41);
    CHECK(read[1].ticket == 0U);
    CHECK(read[1].offset == -1);
    CHECK_FALSE(read[2].ticket);
    CHECK(read[2].topic.empty());
}

TEST_CASE("a line that a crash has torn is skipped and harms no other", "[F129]") {
    const Folder folder;
    FileSink sink{{.path = folder.file()}};
    CHECK_FALSE(write(sink, {"{\"a\":1}"}));
    append_raw(folder.file(), R"({"@timestamp":"2026-11-24T00:00:00Z","action":"{\"ind)");
    CHECK(sources_in(folder.file(), 1) == std::vector<std::string>{"{\"a\":1}"});
    CHECK_FALSE(write(sink, {"{\"b\":2}"}));
    append_raw(folder.file(), "\n[1]\n\"x\"\n{}\n\x01\n");
    CHECK(sources_in(folder.file(), 5) == std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"});
}

TEST_CASE("a dead-letter file grows no larger than it may, and takes more when it was moved away", "[F129]") {
    const Folder folder;
    FileSink sink{{.path = folder.file(), .max_bytes = 1000}};
    std::size_t written = 0;
    while (!write(sink, {"{\"a\":1}"})) ++written;
    CHECK(written > 2);
    CHECK(write(sink, {"{\"a\":1}"}) == error_code{errc::sink_full});
    CHECK(std::filesystem::file_size(folder.file()) <= 1000);
    CHECK(sources_in(folder.file()).size() == written);
    std::filesystem::rename(folder.file(), folder.file() + ".1");
    CHECK_FALSE(write(sink, {"{\"b\":2}"}));
    CHECK(sources_in(folder.file()).size() == 1);
}

TEST_CASE("a dead letter counts when its file's name is on the disk as well", "[F129][F207]") {
    const Folder folder;
    (void)seen_syncs();
    FileSink sink{{.path = folder.file()}};
    CHECK(seen_syncs() == "d"); // it made the file
    CHECK_FALSE(write(sink, {"{\"a\":1}"}));
    CHECK(seen_syncs() == "f");
    std::filesystem::rename(folder.file(), folder.file() + ".1");
    CHECK_FALSE(write(sink, {"{\"b\":2}"}));
    CHECK(seen_syncs() == "fd"); // it made another
    CHECK_FALSE(write(sink, {"{\"c\":3}"}));
    CHECK(seen_syncs() == "f");
    std::filesystem::remove(folder.file()); // a new file may have the old one's number
    CHECK_FALSE(write(sink, {"{\"d\":4}"}));
    CHECK(seen_syncs() == "fd");
    std::filesystem::rename(folder.file(), folder.file() + ".1");
    append_raw(folder.file(), ""); // somebody else has made it, and perhaps nobody has synced it
    CHECK_FALSE(write(sink, {"{\"e\":5}"}));
    CHECK(seen_syncs() == "fd");
    const FileSink next_life{{.path = folder.file()}}; // what an earlier life did before its crash is not known
    CHECK(seen_syncs() == "d");
    const FileSink without{{.path = folder.file(), .sync = false}};
    CHECK(seen_syncs().empty());
}

TEST_CASE("a letter whose file's name cannot be synced does not count, and is there once in the end", "[F129][F207]") {
    const Folder folder;
    FileSink sink{{.path = folder.file()}};
    std::filesystem::rename(folder.file(), folder.file() + ".1");
    directories_fail(true);
    CHECK(write(sink, {"{\"a\":1}"}) == boost::system::errc::io_error);
    CHECK(write(sink, {"{\"a\":1}"}) == boost::system::errc::io_error); // though the file is there now
    CHECK_THROWS_WITH(FileSink({.path = folder.file()}), contains("sync"));
    directories_fail(false);
    CHECK_FALSE(write(sink, {"{\"a\":1}"}));
    CHECK(sources_in(folder.file()) == std::vector<std::string>{"{\"a\":1}"});
    (void)seen_syncs();
    CHECK_FALSE(write(sink, {"{\"b\":2}"}));
    CHECK(seen_syncs() == "f");
}

TEST_CASE("a dead-letter file may lie in the folder that the program runs in", "[F207]") {
    const Folder folder;
    const auto here = std::filesystem::current_path();
    std::filesystem::current_path(folder.path);
    FileSink sink{{.path = "dead.ndjson"}};
    CHECK_FALSE(write(sink, {"{\"a\":1}"}));
    std::filesystem::current_path(here);
    CHECK(sources_in(folder.file()).size() == 1);
}

TEST_CASE("a full disk is an error, and nothing of a bulk stays behind", "[F129]") {
    if (std::filesystem::exists("/dev/full")) {
        FileSink sink{{.path = "/dev/full"}};
        CHECK(write(sink, {"{\"a\":1}"}) == boost::system::errc::no_space_on_device);
    } else {
        WARN("skipped: there is no /dev/full");
    }
}

TEST_CASE("a dead-letter file is not opened through a symbolic link, nor where it cannot be", "[F129]") {
    const Folder folder;
    const auto link = (folder.path / "link").string();
    std::filesystem::create_symlink(folder.file(), link);
    CHECK_THROWS_WITH(FileSink({.path = link}), contains(link));
    CHECK_THROWS_AS(FileSink({.path = (folder.path / "no" / "such").string()}), InvalidOption);
    CHECK(read_dead_letters(folder.file(), [](const StoredDeadLetter&) {}).error);
}

TEST_CASE("an indexer with a file sink settles what is in the file") {
    const Folder folder;
    Bench b{{}, FileSink{{.path = folder.file()}}};
    b.put_many(0, 3);
    b.flush();
    b.script->answer(0, Answer::items({item(201), item(400, "some_type"), item(400, "some_type")}));
    while (b.stats().pending != 0) b.context.run_one(); // the file's thread wakes it
    b.run();
    CHECK(b.count(Outcome::dead_lettered) == 2);
    std::string found;
    (void)read_dead_letters(folder.file(), [&](const StoredDeadLetter& letter) { found += letter.source; });
    CHECK(found == "{\"n\":1}{\"n\":2}");
}

namespace {

/// An indexer whose dead letters go to another index, on a server of its own script.
struct IndexBench {
    using Sink = IndexSink<ScriptedTransport, ManualClock>;
    IndexBench() {
        b.script = std::make_shared<Script>(); // the first indexer's end shuts the old one down
        b.indexer.emplace(b.context.get_executor(), ScriptedTransport{b.script},
                          IndexerOptions{.index = "logs", .retry = {.max_age = unlimited}},
                          Sink{b.context.get_executor(), ScriptedTransport{letters},
                               IndexerOptions{.index = "dead", .retry = {.max_age = 10s}}, 5s});
        b.subscription = b.indexer->subscribe(b.context.get_executor(), [this](std::span<const Settlement> told) {
            for (const auto& one : told) ended.push_back(one.outcome);
        });
    }
    Bench b; // its context must outlive the timers of the script
    std::shared_ptr<Script> letters = std::make_shared<Script>();
    std::vector<Outcome> ended;
};

} // namespace

TEST_CASE("a dead letter is stored in another index, and settles when it is there", "[F124]") {
    IndexBench i;
    auto& b = i.b;
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({item(400, "some_type")}));
    b.run();
    REQUIRE(i.letters->requests().size() == 1);
    CHECK(i.ended.empty());
    const auto sent = lines(i.letters->requests()[0].body);
    CHECK(sent[0] == R"({"create":{"_index":"dead"}})");
    const auto letter = parse_dead_letter(sent[1]);
    REQUIRE(letter);
    CHECK(letter->source == "{\"n\":1}");
    CHECK(letter->type == "some_type");
    i.letters->answer_all_ok();
    b.run();
    CHECK(i.ended == std::vector<Outcome>{Outcome::dead_lettered});
}

TEST_CASE("what the dead letters' index refuses is no dead letter; the first indexer waits", "[F125][F128]") {
    IndexBench i;
    auto& b = i.b;
    bool refused = true;
    i.letters->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        if (refused) return Answer::items(std::vector<std::string>(request.operations, item(400, "other_type")));
        return Answer::ok(request.operations);
    };
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({item(400, "some_type")}));
    b.run_for(20s, 50ms);
    CHECK(i.ended.empty());
    CHECK(b.stats().health == Health::sink_failing);
    refused = false;
    b.run_for(31s, 50ms);
    CHECK(i.ended == std::vector<Outcome>{Outcome::dead_lettered});
    for (const auto& request : i.letters->requests()) CHECK(request.operations == 1);
}

TEST_CASE("dead letters for a server that is down wait, whatever their number", "[F128]") {
    IndexBench i;
    auto& b = i.b;
    bool down = true;
    i.letters->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        return down ? Answer::unreachable() : Answer::ok(request.operations);
    };
    b.put_many(0, 5);
    b.flush();
    b.script->answer(0, Answer::items(std::vector<std::string>(5, item(400, "some_type"))));
    b.run_for(120s, 50ms);
    CHECK(i.ended.empty());
    CHECK(b.stats().pending == 5);
    down = false;
    b.run_for(60s, 50ms);
    CHECK(i.ended == std::vector<Outcome>(5, Outcome::dead_lettered));
}

TEST_CASE("what the sink keeps open goes with the indexer's close, also when it has to be given up", "[F124]") {
    for (const bool hangs : {false, true}) {
        INFO("hangs " << hangs);
        IndexBench i;
        auto& b = i.b;
        b.put(1);
        b.flush();
        b.script->answer(0, Answer::items({item(400, "some_type")}));
        b.run();
        if (!hangs) i.letters->answer_all_ok();
        b.run();
        CHECK(i.letters->shutdowns() == 0);
        bool closed = false;
        b.indexer->async_close(1s, [&](error_code, const CloseReport&) { closed = true; });
        b.run_for(2s, 50ms);
        CHECK(closed);
        b.run_for(10s, 50ms); // a hanging write has a time of its own
        CHECK(i.letters->shutdowns() == 1);
        CHECK(b.indexer.has_value());
    }
}

TEST_CASE("a sink that throws what is no exception is tried again", "[F125]") {
    int calls = 0;
    Bench b{{}, CallbackSink{[&](std::span<const DeadLetter>) -> error_code {
                if (++calls == 1) throw 42;
                return {};
            }}};
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({item(400)}));
    b.run();
    CHECK(b.stats().health == Health::sink_failing);
    b.run_for(1s);
    CHECK(calls == 2);
    CHECK(b.count(Outcome::dead_lettered) == 1);
}

TEST_CASE("a dead letter whose index is away is under way once, however often it is offered", "[F124][F127]") {
    IndexBench i;
    auto& b = i.b;
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({item(400)}));
    b.run();
    REQUIRE(i.letters->requests().size() == 1); // not answered
    b.run_for(8s, 50ms);                        // longer than the sink waits
    CHECK(b.stats().health == Health::sink_failing);
    i.letters->answer_all_ok();
    b.run_for(60s, 50ms);
    CHECK(i.ended == std::vector<Outcome>{Outcome::dead_lettered});
    std::size_t sent = 0;
    for (const auto& request : i.letters->requests()) sent += request.operations;
    CHECK(sent == 1);
}

TEST_CASE("after a close that gives up, the index of dead letters receives nothing more, and keeps no context running",
          "[F196]") {
    IndexBench i;
    i.letters->respond = [](const test::SeenRequest&) { return Answer::unreachable(); };
    for (std::uint64_t n = 0; n < 10; ++n) i.b.put(n);
    i.b.flush();
    i.b.script->answer(0, Answer::items(std::vector<std::string>(10, item(400))));
    i.b.run();
    std::optional<CloseReport> report;
    i.b.indexer->async_close(500ms, [&](error_code, CloseReport r) { report = std::move(r); });
    i.b.run_for(500ms);
    REQUIRE(report);
    CHECK(report->stats.rejected == 10);
    const auto before = i.letters->requests().size();
    i.letters->respond = [](const test::SeenRequest& r) { // it is back
        return Answer::items(std::vector<std::string>(r.operations, item(201, {}, "create")));
    };
    i.b.subscription.reset();
    i.b.indexer.reset();
    i.b.run();
    CHECK(i.b.context.stopped()); // nothing is left to do
    i.b.run_for(60s, 1s);
    CHECK(i.letters->requests().size() == before);
}

TEST_CASE("dead letters that do not fit into the sink's budget at once go there in turn, each once", "[F124]") {
    Bench b; // its context must outlive the timers of the script
    const auto letters = std::make_shared<Script>();
    letters->respond = [](const test::SeenRequest& r) {
        return Answer::items(std::vector<std::string>(r.operations, item(201, {}, "create")));
    };
    b.script = std::make_shared<Script>();
    b.indexer.emplace(b.context.get_executor(), ScriptedTransport{b.script}, IndexerOptions{.index = "logs"},
                      IndexSink<ScriptedTransport, ManualClock>{
                          b.context.get_executor(), ScriptedTransport{letters},
                          IndexerOptions{.index = "dead", .flush_interval = 20ms, .max_buffered_operations = 10}, 5s});
    for (std::uint64_t n = 0; n < 95; ++n) b.indexer->enqueue({.source = "{\"n\":" + std::to_string(n) + "}"});
    b.flush();
    b.script->answer(0, Answer::items(std::vector<std::string>(95, item(400))));
    b.run_for(3s, 20ms);
    CHECK(b.stats().dead_lettered == 95);
    std::size_t sent = 0;
    for (const auto& request : letters->requests()) sent += request.operations;
    CHECK(sent == 95);
}

TEST_CASE("a file sink's context may go while it writes", "[F111][F129]") {
    const Folder folder;
    const auto pipe = folder.file();
    const auto source = "{\"a\":\"" + std::string(300'000, 'x') + "\"}"; // more than a pipe holds
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    std::promise<void> gone;
    auto is_gone = gone.get_future();
    std::thread reads;
    {
        Bench b{{}, FileSink{{.path = pipe}}};
        CHECK(b.indexer->try_enqueue({.source = source}) == Admission::accepted);
        b.flush();
        b.script->answer(0, Answer::items({item(400)}));
        b.run();
        std::array<char, 1> first{};
        while (::read(reader, first.data(), 1) != 1) std::this_thread::yield(); // it writes
        reads = std::thread{[&] { // the rest is read when the context is gone, or else waits for the write
            static_cast<void>(is_gone.wait_for(200ms));
            std::vector<char> some(65536);
            for (std::size_t left = source.size(); left > 0;) {
                const auto n = ::read(reader, some.data(), some.size());
                if (n > 0)
                    left -= std::min(left, static_cast<std::size_t>(n));
                else
                    std::this_thread::yield();
            }
        }};
        b.subscription.reset();
        b.indexer.reset();
    }
    gone.set_value();
    reads.join();
    ::close(reader);
}
