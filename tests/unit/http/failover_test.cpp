// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/memory_stream.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;
using test::ManualClock;

namespace {

constexpr auto answers_after = 50ms;

/// Three nodes of one store, in memory. Each answers a bulk request 50 ms after it has it all, while it is alive.
struct Cluster {
    struct Link {
        std::string host{};
        std::shared_ptr<memory::Peer> peer{};
        std::size_t read = 0; ///< of what the peer has received
        ManualClock::time_point answer_at = ManualClock::time_point::max();
        std::string answer{};
    };
    std::vector<std::unique_ptr<Link>> links{};
    std::set<std::string> dead{};
    bool no_memory = false;                ///< for connections
    std::set<std::string> ids{};           ///< what is stored
    std::map<std::string, int> requests{}; ///< by node
    std::map<std::string, int> probes{};
    std::uint64_t answered = 0; ///< operations

    void kill(const std::string& host) {
        dead.insert(host);
        for (auto& link : links)
            if (link->host == host) link->peer->hang_up(asio::error::connection_reset);
    }
    /// Lets each live link read what has come, and say what is due.
    void work() {
        for (auto& link : links) {
            if (link->peer->closed || dead.count(link->host) != 0) continue;
            if (ManualClock::now() >= link->answer_at) {
                link->answer_at = ManualClock::time_point::max();
                link->peer->say(link->answer);
            }
            take(*link);
        }
    }

private:
    static std::string http(const std::string& body) {
        return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    void take(Link& link) {
        const std::string_view text = std::string_view{link.peer->received}.substr(link.read);
        const auto end = text.find("\r\n\r\n");
        if (end == std::string_view::npos) return;
        const auto head = text.substr(0, end);
        const auto field = head.find("Content-Length: ");
        const auto size = field == std::string_view::npos ? 0 : std::stoul(std::string{head.substr(field + 16)});
        if (text.size() < end + 4 + size) return;
        const auto body = text.substr(end + 4, size);
        link.read += end + 4 + size;
        if (head.starts_with("GET /")) {
            ++probes[link.host];
            link.answer = http("{}");
        } else {
            ++requests[link.host];
            link.answer = http(store(body));
        }
        link.answer_at = ManualClock::now() + answers_after;
    }
    std::string store(std::string_view body) {
        std::string items;
        for (std::size_t from = 0; from < body.size();) {
            const auto line = body.substr(from, body.find('\n', from) - from);
            from = body.find('\n', body.find('\n', from) + 1) + 1; // the source too
            const auto id = line.find("\"_id\":\"") + 7;
            ids.emplace(line.substr(id, line.find('"', id) - id));
            items += items.empty() ? "" : ",";
            items += R"({"index":{"status":201}})";
            ++answered;
        }
        return R"({"errors":false,"items":[)" + items + "]}";
    }
};

class ClusterConnector {
public:
    using stream_type = memory::MemoryStream;
    static constexpr std::string_view scheme = "http";
    static constexpr std::string_view default_port = "80";

    ClusterConnector(std::shared_ptr<Cluster> cluster) : cluster_{std::move(cluster)} {}
    stream_type make_stream(const asio::any_io_executor& executor) const {
        if (cluster_->no_memory) throw std::bad_alloc{};
        auto peer = std::make_shared<memory::Peer>();
        peer->closed = true;
        return {executor, std::move(peer)};
    }
    asio::awaitable<Opened> open(stream_type& stream, NodeAddress node, ConnectTimeouts) {
        Opened opened;
        if (cluster_->dead.count(node.host) != 0) {
            opened.error = asio::error::connection_refused;
        } else {
            stream.peer()->closed = false;
            auto link = std::make_unique<Cluster::Link>();
            link->host = node.host;
            link->peer = stream.peer();
            cluster_->links.push_back(std::move(link));
        }
        co_return opened;
    }
    static bool alive(stream_type& stream) { return !stream.peer()->closed && !stream.peer()->end; }
    static void closing(stream_type&) noexcept {}

private:
    std::shared_ptr<Cluster> cluster_;
};

using Transport3 = basic_http_transport<ClusterConnector, IdentityEncoder, ManualClock>;

} // namespace

TEST_CASE("one of three nodes dies: 90 % of the rate within two seconds, and nothing is lost", "[F044][F063]") {
    ManualClock::reset();
    asio::io_context context;
    const auto cluster = std::make_shared<Cluster>();
    const HttpOptions http{.url = "http://one", .more_urls = {"http://two", "http://three"}};
    BulkIndexer<Transport3, ManualClock> indexer{
        context.get_executor(),
        Transport3{context.get_executor(), http, cluster},
        {.index = "logs", .max_batch_operations = 10, .max_in_flight = 6, .max_buffered_operations = 400}};
    std::uint64_t accepted = 0;
    /// What was answered in a second in which there was always more to send.
    const auto run_a_second = [&] {
        const auto before = cluster->answered;
        for (int step = 0; step < 100; ++step) {
            for (;; ++accepted) {
                const auto id = std::to_string(accepted);
                if (indexer.try_enqueue({.id = id, .source = "{}"}, {}) != Admission::accepted) break;
            }
            ManualClock::advance(10ms);
            test::run_ready(context);
            cluster->work();
            test::run_ready(context);
        }
        return static_cast<double>(cluster->answered - before);
    };
    (void)run_a_second();
    const auto usual = run_a_second();
    CHECK(usual > 500);
    CHECK(cluster->requests["one"] > 0);
    CHECK(cluster->requests["three"] > 0);

    cluster->kill("two");
    (void)run_a_second();
    (void)run_a_second();
    CHECK(run_a_second() >= 0.9 * usual);
    CHECK(indexer.stats().in_flight_limit == 6);

    cluster->dead.clear();
    cluster->requests.clear();
    for (int second = 0; second < 10; ++second) (void)run_a_second();
    CHECK(cluster->probes["two"] > 0);
    CHECK(cluster->requests["two"] > 0); // it has its share again
    CHECK(run_a_second() >= 0.9 * usual);

    for (int i = 0; i < 100 && indexer.stats().pending > 0; ++i) {
        test::run_for(context, 50ms);
        cluster->work();
        test::run_ready(context);
    }
    const auto stats = indexer.stats();
    CHECK(stats.indexed == accepted);
    CHECK(cluster->ids.size() == accepted);
    CHECK(stats.rejected + stats.unknown + stats.undelivered + stats.superseded == 0);
}

TEST_CASE("a connection for which there is no memory has sent nothing, and leaves no trace at its node") {
    ManualClock::reset();
    asio::io_context context;
    const auto cluster = std::make_shared<Cluster>();
    const HttpOptions http{.url = "http://one", .more_urls = {"http://two"}};
    // Without ids, and with duplicates forbidden: what may have been sent would be `unknown`.
    BulkIndexer<Transport3, ManualClock> indexer{context.get_executor(),
                                                 Transport3{context.get_executor(), http, cluster},
                                                 {.index = "logs", .max_batch_operations = 1, .max_in_flight = 2}};
    cluster->no_memory = true;
    CHECK(indexer.try_enqueue({.source = "{}"}, {}) == Admission::accepted);
    test::run_for(context, 2s);
    CHECK(indexer.stats().failed_requests > 0);
    CHECK(indexer.stats().pending == 1);

    cluster->no_memory = false;
    for (int i = 0; i < 210; ++i) {
        if (i >= 100 && i < 200) (void)indexer.try_enqueue({.source = "{}"}, {});
        test::run_for(context, 1s);
        cluster->work();
        test::run_ready(context);
    }
    CHECK(indexer.stats().indexed == 101);
    CHECK(indexer.stats().unknown == 0);
    // Had the failed attempts stayed in flight at the nodes, one of them would have got all requests for long.
    CHECK(cluster->requests["one"] > 30);
    CHECK(cluster->requests["two"] > 30);
}

TEST_CASE("a question that would be more than one line of a request is not sent") {
    ManualClock::reset();
    asio::io_context context;
    const auto cluster = std::make_shared<Cluster>();
    Transport3 transport{context.get_executor(), {.url = "http://one"}, cluster};
    struct Nothing final : AnswerSink {
        bool on_body(std::string_view) override { return true; }
    } nothing;
    const Question questions[] = {{.target = "/ HTTP/1.1\r\nHost: evil"},
                                  {.target = "/a b"},
                                  {.target = "no slash"},
                                  {.target = std::string{"/\0", 2}},
                                  {.method = "GET / HTTP/1.1\r\nX:"},
                                  {.method = ""}};
    for (const auto& question : questions) {
        std::optional<Reply> reply;
        asio::co_spawn(context, transport.ask(0, question, 1s, nothing),
                       [&](const std::exception_ptr&, Reply answer) { reply = std::move(answer); });
        test::run_ready(context);
        REQUIRE(reply);
        CHECK(reply->error == errc::invalid_operation);
        CHECK(cluster->links.empty());
    }
    transport.shutdown();
}

TEST_CASE("a head that grows behind its secret leaves no copy of it in memory", "[F228]") {
    static constexpr std::string_view secret = "sesame, open the eleventh head";
    asio::io_context context;
    const asio::ip::tcp::acceptor silent{context, {asio::ip::address_v4::loopback(), 0}}; // and reads nothing
    HttpOptions options{.url = "http://127.0.0.1:" + std::to_string(silent.local_endpoint().port())};
    options.signer = [](const SigningInput&, HeaderFields& fields) {
        fields.emplace_back("Authorization", std::string{secret});
        for (int i = 0; i < 8; ++i) fields.emplace_back("X-Pad", std::string(8000, 'x'));
    };
    HttpTransport transport{context.get_executor(), options};
    struct Sink final : AnswerSink {
        bool on_body(std::string_view) override { return true; }
    } sink;
    std::optional<Reply> reply;
    const std::string text = "{\"index\":{}}\n{}\n";
    const asio::const_buffer body[] = {asio::buffer(text)};
    const auto send = [&]() -> asio::awaitable<void> {
        reply = co_await transport.send({.target = "/_bulk", .body = body, .body_bytes = text.size(), .timeout = 30s},
                                        sink);
    };
    bulkhead_test::FreedMemory freed{secret};
    asio::co_spawn(context, send(), asio::detached);
    for (int i = 0; i < 1000; ++i) context.poll_one();
    transport.shutdown();
    while (!reply) context.run_one();
    CHECK(reply->sent != Sent::none);
    CHECK(freed.blocks() > 10);
    CHECK(freed.found() == 0);
}
