// SPDX-License-Identifier: BSL-1.0
#include "dead_letters/command.hpp"
#include "dead_letters/letters.hpp"
#include "support/catch.hpp"
#include "support/certificates.hpp"

#include <bulkhead/sinks/file_sink.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

using namespace bulkhead;

namespace {

struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "bulkhead-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};
void write(const std::string& file, std::span<const DeadLetter> letters) {
    asio::io_context context;
    FileSink sink{{.path = file}};
    auto done = asio::co_spawn(context, sink.write(letters), asio::use_future);
    context.run();
    REQUIRE_FALSE(done.get());
}
std::string text_of(const std::string& file) {
    std::ostringstream text;
    text << std::ifstream{file, std::ios::binary}.rdbuf();
    return text.str();
}

/// TLS in front of a server: whatever comes through is passed on, both ways, and kept.
class TlsFront {
public:
    explicit TlsFront(std::uint16_t behind) : behind_{behind} {
        const auto& identity = certificates::House::get().server;
        SSL_CTX_use_certificate(tls_.native_handle(), identity.certificate.get());
        SSL_CTX_use_PrivateKey(tls_.native_handle(), identity.key.get());
        asio::co_spawn(context_, accept(), asio::detached);
        thread_ = std::thread{[this] { context_.run(); }};
    }
    TlsFront(const TlsFront&) = delete;
    TlsFront& operator=(const TlsFront&) = delete;
    ~TlsFront() { stop(); }
    /// Call it before `received`.
    void stop() {
        context_.stop();
        if (thread_.joinable()) thread_.join();
    }
    [[nodiscard]] std::string url() const {
        return "https://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }
    [[nodiscard]] const std::string& received() const { return received_; }

private:
    using tcp = asio::ip::tcp;
    struct Pair {
        asio::ssl::stream<tcp::socket> client;
        tcp::socket server;
    };
    asio::awaitable<void> accept() {
        for (;;) {
            tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
            asio::co_spawn(context_,
                           serve(std::make_shared<Pair>(Pair{{std::move(socket), tls_}, tcp::socket{context_}})),
                           asio::detached);
        }
    }
    asio::awaitable<void> serve(std::shared_ptr<Pair> pair) {
        error_code error;
        const auto quiet = [&error] { return asio::redirect_error(asio::use_awaitable, error); };
        co_await pair->client.async_handshake(asio::ssl::stream_base::server, quiet());
        if (error) co_return;
        const tcp::endpoint endpoint{asio::ip::address_v4::loopback(), behind_};
        co_await pair->server.async_connect(endpoint, quiet());
        if (error) co_return;
        asio::co_spawn(context_, back(pair), asio::detached);
        std::array<char, 4096> bytes{};
        while (!error) {
            const std::size_t size = co_await pair->client.async_read_some(asio::buffer(bytes), quiet());
            received_.append(bytes.data(), size);
            co_await asio::async_write(pair->server, asio::buffer(bytes, size), quiet());
        }
        pair->server.close(error);
    }
    asio::awaitable<void> back(std::shared_ptr<Pair> pair) {
        error_code error;
        const auto quiet = [&error] { return asio::redirect_error(asio::use_awaitable, error); };
        std::array<char, 4096> bytes{};
        while (!error) {
            const std::size_t size = co_await pair->server.async_read_some(asio::buffer(bytes), quiet());
            co_await asio::async_write(pair->client, asio::buffer(bytes, size), quiet());
        }
    }

    asio::io_context context_{1};
    asio::ssl::context tls_{asio::ssl::context::tls_server};
    tcp::acceptor acceptor_{context_, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    std::uint16_t behind_;
    std::string received_;
    std::thread thread_;
};

/// What the tool says and ends with.
struct Ran {
    explicit Ran(std::vector<std::string> arguments) {
        std::vector<const char*> argv{"dead_letters"};
        for (const auto& argument : arguments) argv.push_back(argument.c_str());
        std::ostringstream to_out;
        std::ostringstream to_err;
        status = letters::run(static_cast<int>(argv.size()), argv.data(), to_out, to_err);
        out = to_out.str();
        err = to_err.str();
    }
    int status;
    std::string out;
    std::string err;
};

} // namespace

TEST_CASE("dead_letters replays by TLS, with keys and passwords from files", "[F270]") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    write(file, std::vector{DeadLetter{
                    R"({"index":{"_index":"logs","_id":"one"}})", R"({"n":1})", "mapper", "", 400, 1, {}, {}}});
    const certificates::Files files;
    const auto authority = files.put("ca.pem", certificates::House::get().authority.pem());
    const auto key = files.put("key", "bXktaWQ6bXkta2V5\n");
    const auto password = files.put("password", "hunter2\n");
    test::BulkServer server;
    {
        TlsFront front{server.port()};
        const Ran ran{{"replay", file, "--url", front.url(), "--ca-file", authority, "--api-key-file", key}};
        CAPTURE(ran.out, ran.err);
        CHECK(ran.status == letters::exit_ok);
        CHECK(server.source("logs", "one") == R"({"n":1})");
        front.stop();
        CHECK(front.received().find("Authorization: ApiKey bXktaWQ6bXkta2V5\r\n") != std::string::npos);
    }
    TlsFront front{server.port()};
    CHECK(Ran{{"replay", file, "--url", front.url(), "--ca-file", authority, "--user", "elastic", "--password-file",
               password}}
              .status == letters::exit_ok);
    CHECK(Ran{{"replay", file, "--url", front.url(), "--ca-fingerprint",
               certificates::House::get().authority.fingerprint()}}
              .status != letters::exit_usage);
    // A server that is not trusted is found out before a letter is sent, in the words of the command line.
    const auto stranger = files.put("stranger.pem", certificates::House::get().stranger.pem());
    const Ran ran{{"replay", file, "--url", front.url(), "--ca-file", stranger}};
    CHECK(ran.status == letters::exit_search);
    CHECK(ran.err.find("--ca-file") != std::string::npos);
    CHECK(ran.err.find("TlsOptions") == std::string::npos);
    CHECK_FALSE(std::filesystem::exists(file + ".remaining"));
    front.stop();
    CHECK(front.received().find("Authorization: Basic ZWxhc3RpYzpodW50ZXIy\r\n") != std::string::npos);
}

TEST_CASE("dead_letters ends with the documented statuses, and says why in one line", "[F271]") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    write(file, std::vector{DeadLetter{
                    R"({"index":{"_index":"logs","_id":"bad"}})", R"({"n":})", "mapper", "", 400, 1, {}, {}}});
    const auto wrong = [](std::vector<std::string> arguments, int status, const std::string& text) {
        const Ran ran{std::move(arguments)};
        CAPTURE(ran.out, ran.err, text);
        CHECK(ran.status == status);
        CHECK(ran.err.find("dead_letters: ") == 0);
        CHECK(ran.err.find(text) != std::string::npos);
        CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
        return ran;
    };
    const std::string nobody = "http://127.0.0.1:1";
    wrong({}, letters::exit_usage, "subcommand");
    wrong({"mend"}, letters::exit_usage, "subcommand");
    wrong({"list"}, letters::exit_usage, "FILE");
    wrong({"list", file, "--bogus"}, letters::exit_usage, "--bogus");
    wrong({"replay", file}, letters::exit_usage, "--url");
    wrong({"replay", file, "--url", "127.0.0.1:9200"}, letters::exit_usage, "--url: expected http[s]://HOST");
    wrong({"replay", file, "--url", nobody, "--password-file", "x"}, letters::exit_usage, "--user");
    CHECK(wrong({"replay", file, "--url", nobody, "--header", "hunter2"}, letters::exit_usage, "--header")
              .err.find("hunter2") == std::string::npos);
    wrong({"replay", file, "--url", "https://127.0.0.1:1", "--ca-file", "/nowhere/ca"}, letters::exit_usage,
          "/nowhere/ca");
    wrong({"replay", file, "--url", nobody}, letters::exit_search, "search server 127.0.0.1:1: cannot be reached");
    wrong({"replay", "/nowhere/dead", "--url", nobody}, letters::exit_fault, "/nowhere/dead");
    wrong({"list", "/nowhere/dead"}, letters::exit_fault, "/nowhere/dead");

    test::BulkServer server;
    const auto refused = wrong({"replay", file, "--url", server.url()}, letters::exit_fault, "(status 400)");
    CHECK(refused.out.find("1 remaining (in " + file + ".remaining)") != std::string::npos);
    CHECK(Ran{{"list", file}}.status == letters::exit_ok);
    const Ran version{{"--version"}};
    CHECK(version.status == letters::exit_ok);
    CHECK(version.out.find("dead_letters " + std::string{library_version}) == 0);
    CHECK(version.out.find("OpenSSL 3.") != std::string::npos);
    CHECK(Ran{{"--help"}}.out.find("Exit status") != std::string::npos);
    CHECK(Ran{{"replay", "--help"}}.out.find("--api-key-file") != std::string::npos);
}

TEST_CASE("an operation that is read back from its lines is the same operation") {
    const std::vector<Operation> operations{
        {.index = "logs", .source = R"({"n":1})"},
        {.action = Action::create,
         .index = "logs",
         .id = "a\"\\b\xC3\xA9",
         .routing = "r",
         .pipeline = "p",
         .require_alias = true,
         .dynamic_templates = R"({"a.b":"c"})",
         .source = R"({"n":2})"},
        {.action = Action::delete_,
         .index = "logs",
         .id = "x",
         .version = 7,
         .version_type = VersionType::external_gte},
        {.index = "logs", .id = "x", .version = 8, .require_data_stream = false, .source = "{}"},
        {.action = Action::update, .index = "logs", .id = "x", .retry_on_conflict = 3, .source = R"({"doc":{}})"},
        {.index = "logs", .id = "x", .if_seq_no = 5, .if_primary_term = 1, .source = "{}"},
    };
    for (const auto& op : operations) {
        Batch written;
        REQUIRE_FALSE(written.append(op));
        const auto body = written.body();
        const auto end = body.find('\n');
        const auto source = body.substr(end + 1);
        letters::Stored stored;
        REQUIRE_FALSE(letters::read_operation(body.substr(0, end),
                                              source.substr(0, source.empty() ? 0 : source.size() - 1), stored));
        Batch again;
        REQUIRE_FALSE(again.append(stored.operation));
        CHECK(again.body() == body);
    }
    letters::Stored stored;
    for (const std::string wrong :
         {"", "[]", "{}", R"({"index":1})", R"({"update_by_query":{}})", R"({"index":{"new":1}})"})
        CHECK(letters::read_operation(wrong, "{}", stored));
}

TEST_CASE("a replay indexes what can be indexed, and keeps the rest") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    const DeadLetter good{
        R"({"index":{"_index":"logs","_id":"good"}})", R"({"n":1})", "mapper", "was broken", 400, 1, {}, {}};
    const DeadLetter bad{
        R"({"index":{"_index":"logs","_id":"bad"}})", R"({"n":})", "mapper", "is broken", 400, 1, {}, {}};
    const DeadLetter other{R"({"index":{"_index":"logs","_id":"other"}})", R"({"n":3})", "other", "", 400, 1, {}, {}};
    const DeadLetter strange{R"({"upsert":{}})", R"({"n":4})", "mapper", "", 400, 1, {}, {}};
    write(file, std::vector{good, bad, other, strange});
    std::ofstream{file, std::ios::app} << R"({"@timestamp":"torn)";

    std::ostringstream listed;
    CHECK(letters::list({.file = file}, listed) == 4);
    CHECK(listed.str().find("was broken") != std::string::npos);
    CHECK(listed.str().find("1 lines skipped") != std::string::npos);
    CHECK(letters::list({.file = file, .type = "other"}, listed) == 1);

    test::BulkServer server;
    const letters::Options options{
        .file = file, .type = "mapper", .url = server.url(), .remaining = file + ".remaining"};
    const auto result = letters::replay(options);
    CHECK(result.letters == 4);
    CHECK(result.skipped == 1);
    CHECK(result.left_out == 1);
    CHECK(result.indexed == 1);
    CHECK(result.remaining == 2);
    CHECK(server.source("logs", "good") == R"({"n":1})");
    CHECK(server.count("logs") == 1);
    const auto all = text_of(file);
    const auto rest = text_of(options.remaining);
    CHECK(rest.find("is broken") != std::string::npos);
    CHECK(rest.find("upsert") != std::string::npos);
    CHECK(all.find(rest.substr(0, rest.find('\n'))) != std::string::npos); // line by line as it was
}

TEST_CASE("a replay is complete only when every letter is indexed, now or before") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    test::BulkServer server;
    const DeadLetter there{R"({"create":{"_index":"logs","_id":"there"}})", R"({"n":1})", "mapper", "", 400, 1, {}, {}};
    const DeadLetter other{R"({"index":{"_index":"logs","_id":"other"}})", R"({"n":2})", "other", "", 400, 1, {}, {}};
    write(file, std::vector{there, other});
    letters::Options options{.file = file, .url = server.url(), .remaining = file + ".remaining"};
    CHECK(letters::replay(options).complete());
    auto again = letters::replay(options);
    CHECK(again.indexed == 2); // `there` was there already
    CHECK(again.remaining == 0);
    CHECK(again.complete());
    options.type = "mapper";
    again = letters::replay(options);
    CHECK(again.left_out == 1);
    CHECK_FALSE(again.complete());
    CHECK_FALSE(std::filesystem::exists(options.remaining));
    options.file = folder.path.string(); // can be opened, not read
    CHECK_THROWS_WITH(letters::replay(options), contains(options.file));
}

TEST_CASE("a record that never became an operation is listed, and remains", "[F276]") {
    const Folder folder;
    const auto file = (folder.path / "dead.ndjson").string();
    DeadLetter record{{}, "not an \xFF event", "invalid", "not JSON", 0, 0, {}, {}};
    record.topic = "logs";
    record.partition = 3;
    record.offset = 41;
    write(file, std::vector{record});
    test::BulkServer server;
    const Ran listed{{"list", file}};
    CHECK(listed.out.find("invalid  record logs-3 at offset 41  14 bytes  not JSON") != std::string::npos);
    const Ran ran{{"replay", file, "--url", server.url()}};
    CHECK(ran.status == letters::exit_fault);
    CHECK(ran.out.find("1 remaining") != std::string::npos);
    CHECK(ran.out.find("1 are Kafka records that never became an operation") != std::string::npos);
    CHECK(text_of(file) == text_of(file + ".remaining"));
}

TEST_CASE("a file that is not there, and a server that is not there, are said") {
    CHECK_THROWS_WITH(letters::replay({.file = "/nowhere/dead", .url = "http://127.0.0.1:1"}),
                      contains("/nowhere/dead"));
    std::ostringstream out;
    CHECK_THROWS_WITH(letters::list({.file = "/nowhere/dead"}, out), contains("/nowhere/dead"));
    CHECK_THROWS_AS(letters::replay({.file = "/nowhere/dead", .url = "ftp://x"}), InvalidOption);
}
