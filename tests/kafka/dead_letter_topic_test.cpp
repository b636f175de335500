// SPDX-License-Identifier: BSL-1.0
#include "kafka/world.hpp"
#include "support/catch.hpp"

#include <deque>
#include <stdexcept>

using namespace bulkhead_test;

namespace {

struct Letter {
    std::string key, value;
    bool has_value = false;
    std::int64_t timestamp = -1;
    std::map<std::string, std::string> headers;
};

/// All that the topic holds, sooner or later `count`.
std::vector<Letter> read(MockKafka& kafka, const std::string& topic, std::size_t count) {
    const auto set = [](rd_kafka_conf_t* conf, const char* key, const std::string& value) {
        rd_kafka_conf_set(conf, key, value.c_str(), nullptr, 0);
    };
    auto* const conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", kafka.bootstrap_servers());
    set(conf, "group.id", "reader");
    set(conf, "log_level", "0");
    auto* const reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
    auto* const list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic.c_str(), 0)->offset = 0;
    rd_kafka_assign(reader, list);
    rd_kafka_topic_partition_list_destroy(list);
    std::vector<Letter> letters;
    while (letters.size() < count) {
        auto* const message = rd_kafka_consumer_poll(reader, 1000);
        if (message == nullptr) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            Letter letter;
            letter.key.assign(static_cast<const char*>(message->key), message->key_len);
            letter.has_value = message->payload != nullptr;
            letter.value.assign(static_cast<const char*>(message->payload), message->len);
            letter.timestamp = rd_kafka_message_timestamp(message, nullptr);
            rd_kafka_headers_t* headers = nullptr;
            const char* name = nullptr;
            const void* value = nullptr;
            std::size_t size = 0;
            if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
                for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; ++i)
                    letter.headers[name] = std::string{static_cast<const char*>(value), size};
            letters.push_back(std::move(letter));
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    return letters;
}

/// What a `write_letter` of the user's holds: copies of the letters, and their receipts.
struct Held {
    struct One {
        std::string topic, type, reason, operation, key, payload;
        std::int64_t offset = -1;
        std::uint16_t status = 0;
        LetterReceipt receipt;
    };
    void operator()(const KafkaLetter& letter, LetterReceipt receipt) {
        std::string payload{letter.record == nullptr ? "" : letter.record->payload.value_or("")};
        std::string key{letter.record == nullptr ? "" : letter.record->key.value_or("")};
        One one{std::string{letter.topic},
                std::string{letter.type},
                std::string{letter.reason},
                std::string{letter.action_line},
                std::move(key),
                std::move(payload),
                letter.offset,
                letter.status,
                std::move(receipt)};
        const std::lock_guard lock{mutex};
        letters.push_back(std::move(one));
    }
    std::size_t count() {
        const std::lock_guard lock{mutex};
        return letters.size();
    }
    One& at(std::int64_t offset) {
        const std::lock_guard lock{mutex};
        for (auto& one : letters)
            if (one.offset == offset) return one;
        throw std::out_of_range{"no letter of this offset"};
    }
    std::mutex mutex;
    std::deque<One> letters; ///< their places stay
};

/// Counts receipts.
struct Desk : bulkhead::detail::ReceiptHandler {
    std::atomic<int> safe{0}, failed{0};
    void received(const bulkhead::detail::ReceiptToken&, error_code error) noexcept override {
        ++(error ? failed : safe);
    }
    void wait(int count) const {
        while (safe + failed < count) std::this_thread::sleep_for(milliseconds{5});
    }
};

using Settings = std::vector<std::pair<std::string, std::string>>;

/// A producer by itself, and its receipts.
struct Letters {
    explicit Letters(const std::string& brokers, const Settings& settings = {})
        : producer{brokers, "dead", std::array<const Settings*, 2>{&none, &settings}, true} {}
    void write(const KafkaLetter& letter) { producer.write(letter, LetterReceipt{desk, {}}); }
    std::shared_ptr<Desk> desk = std::make_shared<Desk>();
    const Settings none;
    kafka::detail::LetterProducer producer;
};

} // namespace

TEST_CASE("driver: dead letters reach their topic, with where they came from, before their offset is committed",
          "[rdkafka][kafka_letters][F124][F148][F160]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.dead_letters.emplace();
    policies.on_invalid = OnInvalid::dead_letter;
    policies.on_tombstone = OnTombstone::dead_letter;
    policies.keep_records = GENERATE(false, true);
    World world{{}, policies.dead_letters};
    world.kafka.create_topic("t", 1);
    world.kafka.create_topic("dead", 1);
    world.produce("t", 1, 3);
    const std::vector<RecordHeader> headers{{"trace", "abc"}};
    world.kafka.produce("t", 0, "a key", R"({"n":"poison"})", 1'700'000'000'123, headers);
    world.kafka.produce("t", 0, "b key", "not an event", 1'700'000'000'456, headers);
    world.kafka.produce("t", 0, "c key", std::nullopt);
    world.kafka.flush();
    world.produce("t", 1, 2);

    auto options = options_for(world, "t");
    options.dead_letter_topic = "dead";
    Member member{world, options, policies};
    world.store->wait_until([&] { return world.committed("t", 1) == 8; });
    auto letters = read(world.kafka, "dead", 3);
    std::map<std::string, Letter> by_offset;
    for (auto& letter : letters) by_offset[letter.headers["bulkhead.offset"]] = letter;
    REQUIRE(by_offset.size() == 3);
    const auto& refused = by_offset["3"];
    const std::string operation = "{\"create\":{\"_index\":\"logs\",\"_id\":\"t-0-3\"}}\n{\"n\":\"poison\"}\n";
    CHECK(refused.headers.at("bulkhead.topic") == "t");
    CHECK(refused.headers.at("bulkhead.partition") == "0");
    CHECK(refused.headers.at("bulkhead.type") == "mapper_parsing_exception");
    CHECK(refused.headers.at("bulkhead.reason") == "no");
    CHECK(refused.headers.at("bulkhead.status") == "400");
    CHECK(refused.headers.at("bulkhead.attempts") == "1");
    if (policies.keep_records) {
        CHECK(refused.key == "a key");
        CHECK(refused.value == R"({"n":"poison"})");
        CHECK(refused.timestamp == 1'700'000'000'123);
        CHECK(refused.headers.at("trace") == "abc");
        CHECK(refused.headers.at("bulkhead.operation") == operation);
    } else {
        CHECK(refused.value == operation);
    }
    CHECK(by_offset["4"].key == "b key");
    CHECK(by_offset["4"].value == "not an event");
    CHECK(by_offset["4"].timestamp == 1'700'000'000'456);
    CHECK(by_offset["4"].headers.at("bulkhead.type") == "invalid");
    CHECK(by_offset["4"].headers.at("trace") == "abc");
    CHECK(by_offset["5"].key == "c key");
    CHECK_FALSE(by_offset["5"].has_value);
    CHECK(by_offset["5"].headers.at("bulkhead.type") == "tombstone");

    const auto report = member.stop(seconds{10});
    CHECK(report.drained);
    CHECK(report.stats.source.dead_letters == 2);
    CHECK(report.stats.source.of(Outcome::dead_lettered) == 1);
    CHECK(report.stats.source.of(Outcome::indexed) == 5);
}

TEST_CASE("driver: while the dead-letter topic cannot be written nothing moves past what waits for it",
          "[rdkafka][kafka_letters][F125]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.dead_letters.emplace();
    policies.on_invalid = OnInvalid::dead_letter;
    const bool poison = GENERATE(false, true);
    World world{{}, policies.dead_letters};
    world.kafka.create_topic("t", 1);
    world.kafka.create_topic("dead", 1);
    world.produce("t", 1, 1);
    world.kafka.produce("t", 0, {}, poison ? R"({"n":"poison"})" : "not an event");
    world.kafka.flush();
    world.produce("t", 1, 1);
    // The brokers refuse what is produced, for a while: five times.
    const std::vector<rd_kafka_resp_err_t> refusals(5, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    rd_kafka_mock_push_request_errors_array(world.kafka.cluster(), 0 /* Produce */, refusals.size(), refusals.data());
    auto options = options_for(world, "t");
    options.dead_letter_topic = "dead";
    options.dead_letter_config = {{"retry.backoff.ms", "50"}};
    Member member{world, options, policies};
    world.store->wait_until([&] { return world.committed("t", 1) == 3; });
    CHECK(read(world.kafka, "dead", 1).size() == 1);
    CHECK(member.stop(seconds{10}).drained);
}

TEST_CASE("driver: a dead-letter topic that refuses for good: an invalid record stops the source, its offset stays",
          "[rdkafka][kafka_letters][F125]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.on_invalid = OnInvalid::dead_letter;
    World world;
    world.kafka.create_topic("t", 1);
    world.kafka.create_topic("dead", 1);
    world.produce("t", 1, 2);
    world.kafka.produce("t", 0, {}, "not an event");
    world.kafka.flush();
    const auto refusal = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    rd_kafka_mock_push_request_errors_array(world.kafka.cluster(), 0 /* Produce */, 1, &refusal);
    auto options = options_for(world, "t");
    options.dead_letter_topic = "dead";
    Member member{world, options, policies};
    world.store->wait_until([&] { return member.driver.stats().source.letters_failed == 1; });
    const auto report = member.stop(seconds{10});
    CHECK(member.driver.source().stop_reason() == StopReason::dead_letter);
    CHECK(report.stats.source.abandoned == 1); // failed, until its partition was given back
    CHECK(world.committed("t", 1) == 2);
}

TEST_CASE("driver: closes in time with dead letters on their way to nowhere", "[rdkafka][kafka_letters][F154]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.on_invalid = OnInvalid::dead_letter;
    World world;
    world.kafka.create_topic("t", 1);
    world.produce("t", 1, 1);
    world.kafka.produce("t", 0, {}, "not an event");
    world.kafka.flush();
    auto options = options_for(world, "t");
    options.dead_letter_topic = "dead";
    options.dead_letter_config = {{"bootstrap.servers", "127.0.0.1:1"}};
    std::atomic<int> said{0};
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::error &&
            event.text.find("dead-letter topic dead") != std::string_view::npos)
            ++said;
    };
    Member member{world, options, policies};
    world.store->wait_until([&] { return member.source().invalid == 1 && said > 0; });
    const auto began = Clock::now();
    const auto report = member.stop(milliseconds{500});
    CHECK(Clock::now() - began < seconds{20});
    CHECK_FALSE(report.drained);
    CHECK(world.committed("t", 1) == 1);
}

TEST_CASE("driver: while the dead-letter topic is away as many letters wait as the source may have under way",
          "[rdkafka][kafka_letters][F125]") {
    const Watchdog watchdog;
    Letters letters{"127.0.0.1:1"};
    KafkaLetter letter; // each is 64 bytes and more to the source, which bounds them: here to twice its default
    letter.source = "{}";
    for (std::size_t bytes = 0; bytes < 2 * KafkaSourceOptions{}.max_letter_bytes; bytes += 64) letters.write(letter);
    CHECK(letters.desk->failed == 0);
}

TEST_CASE("driver: a record that only its operation makes too large for a message goes without it",
          "[rdkafka][kafka_letters][F124]") {
    const Watchdog watchdog;
    MockKafka kafka;
    kafka.create_topic("dead", 1);
    Record record{"t", 0, 7, "the key", std::string_view{}, 1'700'000'000'123, {}};
    const std::vector<RecordHeader> headers{{"trace", "abc"}};
    record.headers = RecordHeaders{headers};
    std::string payload = "{}";
    SECTION("to the client") { payload.resize(600'000, 'x'); }
    SECTION("to the broker") {
        const auto refusal = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
        rd_kafka_mock_push_request_errors_array(kafka.cluster(), 0 /* Produce */, 1, &refusal);
    }
    record.payload = payload;
    Letters letters{kafka.bootstrap_servers()};
    letters.write({"t", 0, 7, "mapper", "no", 400, 1, R"({"create":{}})", payload, &record});
    letters.desk->wait(1);
    REQUIRE(letters.desk->safe == 1);
    const auto read_back = read(kafka, "dead", 1).at(0);
    CHECK(read_back.key == "the key");
    CHECK(read_back.value == payload);
    if (payload.size() > 2) CHECK(read_back.timestamp == 1'700'000'000'123); // the mock's refusals bring one of its own
    CHECK(read_back.headers.at("trace") == "abc");
    CHECK(read_back.headers.at("bulkhead.offset") == "7");
    CHECK(read_back.headers.count("bulkhead.operation") == 0);
    // What is too large by itself is refused, once.
    payload.resize(2'000'000, 'x');
    record.payload = payload;
    letters.write({"t", 0, 8, "mapper", "no", 400, 1, R"({"create":{}})", "{}", &record});
    letters.desk->wait(2);
    CHECK(letters.desk->failed == 1);
}

TEST_CASE("driver: a letter that cannot be made is said to have failed at once", "[rdkafka][kafka_letters]") {
    const Watchdog watchdog;
    Letters letters{"127.0.0.1:1"};
    Record record;
    record.headers = {[](void*) -> std::span<const RecordHeader> { throw std::bad_alloc{}; }, nullptr};
    KafkaLetter letter;
    letter.record = &record;
    letters.write(letter);
    CHECK(letters.desk->failed == 1);
}

TEST_CASE("driver: dead letters that nobody would acknowledge, or not all brokers have, are refused",
          "[rdkafka][kafka_letters][F124][F146]") {
    const auto message_for = [](const Settings& settings) -> std::string {
        try {
            const Letters letters{"127.0.0.1:1", settings};
        } catch (const InvalidOption& e) {
            return e.what();
        }
        return "accepted";
    };
    for (const std::string yes : {"true", "1", "t"})
        CHECK(message_for({{"delivery.report.only.error", yes}}).find("delivery.report.only.error: expected false") ==
              0);
    for (const std::string acks : {"0", "1"}) {
        CHECK(message_for({{"acks", acks}}).find("acks: expected all") == 0);
        CHECK(message_for({{"request.required.acks", acks}}).find("acks: expected all") == 0);
    }
    CHECK(message_for({{"acks", "all"}, {"delivery.report.only.error", "false"}}) == "accepted");
    CHECK(message_for({{"acks", "-1"}, {"acks", "1"}, {"acks", "all"}}) == "accepted");
}

TEST_CASE("driver: a fatal error of the dead-letter producer ends it", "[rdkafka][kafka_letters][F125][F159]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.dead_letters.emplace();
    World world{{}, policies.dead_letters};
    world.kafka.create_topic("t", 1);
    world.kafka.create_topic("dead", 1);
    world.produce("t", 1, 1);
    world.kafka.produce("t", 0, {}, R"({"n":"poison"})");
    world.kafka.flush();
    const auto refusal = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    rd_kafka_mock_push_request_errors_array(world.kafka.cluster(), 22 /* InitProducerId */, 1, &refusal);
    auto options = options_for(world, "t");
    options.dead_letter_topic = "dead";
    options.dead_letter_config = {{"enable.idempotence", "true"}};
    std::string said; // by the driver, on this thread
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::fatal) said += std::string{event.text} + "\n";
    };
    TestDriver driver{world.indexer, EventMapper{}, options, policies};
    driver.run(); // returns by itself
    CHECK(driver.fatal());
    CHECK(said.find("dead-letter topic dead") != std::string::npos);
    CHECK(said.find("uthoriz") != std::string::npos);
    driver.close(milliseconds{100});
}

TEST_CASE("driver: a regular expression that the dead-letter topic matches ends it before a letter is read",
          "[rdkafka][kafka_letters][F128]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.on_invalid = OnInvalid::dead_letter;
    World world;
    world.kafka.create_topic("apm.logs", 1);
    world.kafka.create_topic("apm.dead", 1);
    world.kafka.produce("apm.logs", 0, {}, "not an event");
    world.kafka.flush();
    auto options = options_for(world, "^apm.*");
    options.dead_letter_topic = "apm.dead";
    std::string said; // by the driver, on this thread
    options.on_event = [&](const kafka::ClientEvent& event) {
        if (event.kind == kafka::ClientEvent::Kind::fatal) said += std::string{event.text};
    };
    SECTION("in the same cluster") {
        TestDriver driver{world.indexer, EventMapper{}, options, policies};
        const auto until = Clock::now() + seconds{15};
        while (driver.poll_once(milliseconds{10}) && Clock::now() < until) {
        }
        CHECK(driver.fatal());
        CHECK(said.find("apm.dead") != std::string::npos);
        CHECK(driver.source().stats().consumed == 0);
    }
    SECTION("in another one it is another topic") {
        MockKafka other;
        other.create_topic("apm.dead", 1);
        options.dead_letter_config = {{"bootstrap.servers", other.bootstrap_servers()}};
        Member member{world, options, policies};
        world.store->wait_until([&] { return world.committed("apm.logs", 1) == 1; });
        CHECK(read(other, "apm.dead", 1).size() == 1);
        CHECK(member.stop(seconds{10}).drained);
        CHECK(said.empty());
    }
}

TEST_CASE("driver: the dead-letter topic cannot be one that is read", "[rdkafka][kafka_letters][F128]") {
    kafka::DriverOptions options;
    options.group = "g";
    options.topics = {"t"};
    options.dead_letter_topic = "t";
    REQUIRE(kafka::validate(options));
    CHECK(kafka::validate(options)->field == "dead_letter_topic");
}

TEST_CASE("driver: a letter that write_letter holds keeps its offset until its receipt reports that it is safe",
          "[rdkafka][kafka_letters][F124][F315]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.dead_letters.emplace();
    policies.on_invalid = OnInvalid::dead_letter;
    policies.keep_records = true;
    World world{{}, policies.dead_letters};
    world.kafka.create_topic("t", 2);
    world.kafka.produce("t", 0, {}, "{}");
    world.kafka.produce("t", 0, "a key", R"({"n":"poison"})");
    world.kafka.produce("t", 0, "b key", "not an event");
    world.kafka.produce("t", 0, {}, "{}");
    world.kafka.flush();
    Held held;
    auto options = options_for(world, "t");
    options.write_letter = [&held](const KafkaLetter& letter, LetterReceipt receipt) {
        held(letter, std::move(receipt));
    };
    Member member{world, options, policies};
    const auto committed = [&](std::int32_t partition) { return world.kafka.committed("group", "t", partition); };
    // What is stored is committed all at once: the other partition's next record shows that this has happened.
    auto after_a_commit = [&, produced = std::int64_t{0}]() mutable {
        world.kafka.produce("t", 1, {}, "{}");
        world.kafka.flush();
        ++produced;
        world.store->wait_until([&] { return committed(1) == produced; });
        return committed(0);
    };
    world.store->wait_until([&] { return held.count() == 2 && world.store->size() == 2; });
    world.store->wait_until([&] { return committed(0) == 1; });
    CHECK(after_a_commit() == 1);
    CHECK(member.source().dead_letters == 0);
    auto& refused = held.at(1);
    CHECK(refused.topic == "t");
    CHECK(refused.type == "mapper_parsing_exception");
    CHECK(refused.reason == "no");
    CHECK(refused.status == 400);
    CHECK(refused.operation == R"({"create":{"_index":"logs","_id":"t-0-1"}})");
    CHECK(refused.key == "a key");
    CHECK(refused.payload == R"({"n":"poison"})");
    auto& invalid = held.at(2);
    CHECK(invalid.topic == "t");
    CHECK(invalid.type == "invalid");
    CHECK(invalid.operation.empty());
    CHECK(invalid.key == "b key");
    CHECK(invalid.payload == "not an event");
    // The later one is safe first, by a thread that is not the driver's: the earlier one holds both.
    invalid.receipt({});
    world.store->wait_until([&] { return member.source().dead_letters == 1; });
    CHECK(after_a_commit() == 1);
    refused.receipt({});
    world.store->wait_until([&] { return committed(0) == 4; });
    const auto report = member.stop(seconds{10});
    CHECK(report.drained);
    CHECK(report.stats.source.dead_letters == 1); // the indexer counts the other one
    CHECK(report.stats.source.letters_failed == 0);
    CHECK(report.stats.source.of(Outcome::dead_lettered) == 1);
    CHECK(held.count() == 2);
}

TEST_CASE("driver: a letter that write_letter cannot make safe stops the source, and its offset stays",
          "[rdkafka][kafka_letters][F125][F315][F317]") {
    const Watchdog watchdog;
    KafkaSourceOptions policies;
    policies.on_invalid = OnInvalid::dead_letter;
    World world;
    world.kafka.create_topic("t", 1);
    world.produce("t", 1, 2);
    world.kafka.produce("t", 0, {}, "not an event");
    world.kafka.flush();
    world.produce("t", 1, 1);
    auto options = options_for(world, "t");
    SECTION("by its receipt") {
        options.write_letter = [](const KafkaLetter&, LetterReceipt receipt) { receipt(errc::sink_failed); };
    }
    SECTION("by an exception") {
        options.write_letter = [](const KafkaLetter&, LetterReceipt) { throw std::runtime_error{"the disk is full"}; };
    }
    SECTION("by a receipt that is destroyed uncalled") {
        options.write_letter = [](const KafkaLetter&, LetterReceipt) {};
    }
    TestDriver driver{world.indexer, EventMapper{}, options, policies};
    driver.run(); // returns by itself
    CHECK(driver.source().stop_reason() == StopReason::dead_letter);
    const auto stats = driver.stats().source; // before the close, which may come late
    CHECK(stats.letters_failed == 1);
    CHECK(stats.failed == 1);
    CHECK(stats.dead_letters == 0);
    CHECK(driver.close(seconds{10}).stats.source.dead_letters == 0);
    CHECK(world.committed("t", 1) == 2);
}
