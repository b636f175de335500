// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/apm_event.hpp"
#include "kafka_replay/generator.hpp"

#include "support/catch.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <cstdint>
#include <string>

using namespace replay;
namespace json = boost::json;

namespace {

constexpr std::int64_t record = 1'714'566'600'123;
constexpr std::int64_t now = record + 1000;

json::object document_of(const std::string& event, StreamKey stream = StreamKey::apm_logs) {
    ApmEventReader reader;
    std::string document;
    INFO(event);
    const bool valid = reader.read(stream, event, record, now, document);
    INFO(std::string{reader.problem()});
    REQUIRE(valid);
    return json::parse(document).as_object();
}

std::string problem_of(const std::string& event, StreamKey stream = StreamKey::apm_logs) {
    ApmEventReader reader;
    std::string document;
    CAPTURE(event);
    REQUIRE_FALSE(reader.read(stream, event, record, now, document));
    return std::string{reader.problem()};
}

json::object labels_of(const std::string& labels) {
    const auto document = document_of(R"({"service_name":"s","message":"m","labels":)" + labels + "}");
    return document.contains("labels") ? document.at("labels").as_object() : json::object{};
}

} // namespace

TEST_CASE("an event becomes a document with its type and times") {
    const auto document = document_of(
        R"({"timestamp":1714566600000,"service_name":"checkout","environment":"prod","trace_id":"t","span_id":"s",)"
        R"("level":"info","message":"a \"quoted\"\nline – ü 💳","http_method":"GET","http_path":"/x",)"
        R"("http_status_code":200,"labels":{"a":1},"unknown":5})");
    CHECK(json::serialize(document) ==
          json::serialize(json::parse(
              R"({"@timestamp":"2024-05-01T12:30:00.000Z","type":"log","ingestedAt":"2024-05-01T12:30:01.123Z",)"
              R"("service_name":"checkout","environment":"prod","trace_id":"t","span_id":"s","level":"info",)"
              R"("message":"a \"quoted\"\nline – ü 💳","http_method":"GET","http_path":"/x",)"
              R"("http_status_code":200,"labels":{"a":"1"}})")));
}

TEST_CASE("control characters and escapes survive") {
    const auto document = document_of(R"({"service_name":"s","message":"\u0000\u001f\\\/\b\f\t\u007f\ud83d\ude00"})");
    const json::string expected{std::string_view{"\0\x1f\\/\b\f\t\x7f\xF0\x9F\x98\x80", 12}};
    CHECK(document.at("message").as_string() == expected);
}

TEST_CASE("scalars of the wrong type become text, what is nested is left out") {
    const auto document = document_of(
        R"({"service_name":7,"message":true,"trace_id":1.5,"span_id":{"a":1},"level":null,"http_path":[1]})");
    CHECK(document.at("service_name").as_string() == "7");
    CHECK(document.at("message").as_string() == "true");
    CHECK(document.at("trace_id").as_string() == "1.5");
    CHECK_FALSE(document.contains("span_id"));
    CHECK_FALSE(document.contains("level"));
    CHECK_FALSE(document.contains("http_path"));
}

TEST_CASE("an HTTP status is an integer or nothing") {
    const auto status = [](const std::string& value) {
        return document_of(R"({"service_name":"s","message":"m","http_status_code":)" + value + "}");
    };
    CHECK(status("404").at("http_status_code").as_int64() == 404);
    CHECK(status("\"404\"").at("http_status_code").as_int64() == 404);
    for (const auto* value : {"99", "1000", "\"4o4\"", "\"\"", "404.5", "null", "[]", "18446744073709551615"}) {
        CAPTURE(value);
        CHECK_FALSE(status(value).contains("http_status_code"));
    }
}

TEST_CASE("an invalid event is refused with its reason") {
    CHECK(problem_of("").find("not JSON") == 0);
    CHECK(problem_of("plain text").find("not JSON") == 0);
    CHECK(problem_of(R"({"service_name":"s","message":"cut)").find("not JSON") == 0);
    CHECK(problem_of(R"({"service_name":"s","message":"m"} {})").find("not JSON") == 0);
    CHECK(problem_of("{\"service_name\":\"s\",\"message\":\"\xff\"}").find("not JSON") == 0);
    CHECK(problem_of("[]") == "not a JSON object");
    CHECK(problem_of("null") == "not a JSON object");
    CHECK(problem_of(R"({"message":"m"})") == "no service_name");
    CHECK(problem_of(R"({"service_name":"","message":"m"})") == "no service_name");
    CHECK(problem_of(R"({"service_name":"s","message":{"nested":1}})") == "no message");
    const std::string deep(100, '[');
    CHECK(problem_of(R"({"service_name":"s","message":"m","labels":)" + deep).find("not JSON") == 0);
}

TEST_CASE("half of a surrogate pair becomes the replacement character", "[F267]") {
    const auto message = [](const std::string& escaped) {
        const auto document = document_of(R"({"service_name":"s","message":")" + escaped + "\"}");
        return std::string{document.at("message").as_string()};
    };
    CHECK(message(R"(cut in the middle of an emoji \ud83d)") == "cut in the middle of an emoji \xEF\xBF\xBD");
    CHECK(message(R"(a low one alone \ude00 here)") == "a low one alone \xEF\xBF\xBD here");
    CHECK(message(R"(\ud83d\u0041)") == "\xEF\xBF\xBD"
                                        "A");
    CHECK(message(R"(\ud83d\ud83d\ude00)") == "\xEF\xBF\xBD\xF0\x9F\x98\x80");
    CHECK(message(R"(\uD83D\n)") == "\xEF\xBF\xBD\n");
    CHECK(message(R"(\uD83D\uDE00)") == "\xF0\x9F\x98\x80");
    CHECK(message(R"(\udbff\udfff\ud800\udc00)") == "\xF4\x8F\xBF\xBF\xF0\x90\x80\x80");
    CHECK(labels_of(R"({"a\ud800":"b\udfff","n":{"x":"\ud800"}})") ==
          json::parse("{\"a\xEF\xBF\xBD\":\"b\xEF\xBF\xBD\",\"n\":\"{\\\"x\\\":\\\"\xEF\xBF\xBD\\\"}\"}"));
}

TEST_CASE("what nobody uses may be nested as deep as it likes", "[F268]") {
    for (const std::size_t depth : {40U, 1000U, 1'000'000U}) {
        CAPTURE(depth);
        std::string deep;
        for (std::size_t i = 0; i < depth; ++i) deep += i % 2 == 0 ? "[" : R"({"a":)";
        deep += "1";
        for (std::size_t i = depth; i > 0; --i) deep += i % 2 == 1 ? ']' : '}';
        CHECK(document_of(R"({"extra":)" + deep + R"(,"service_name":"s","message":"m"})").at("message") == "m");
        CHECK_FALSE(document_of(R"({"service_name":"s","message":"m","span_id":)" + deep + "}").contains("span_id"));
        const auto labels = labels_of(R"({"cause":)" + deep + R"(,"b":1})");
        CHECK(labels.at("b") == "1");
        CHECK(labels.at("cause").as_string().starts_with(R"([{"a":[{"a":[)"));
        CHECK(labels.at("cause").as_string().size() <= max_label_bytes);
        CHECK(problem_of(R"({"service_name":"s","message":"m","extra":)" + deep.substr(0, deep.size() - 1) + "}")
                  .find("not JSON") == 0);
    }
    CHECK(problem_of(std::string(3'000'000, '[')).find("not JSON") == 0); // without using up the stack
}

TEST_CASE("a number as a label keeps its text", "[F269]") {
    CHECK(labels_of(R"({"trace":123456789012345678901234567890,"u64":18446744073709551615,"money":0.10,"huge":1e400,)"
                    R"("one":1.0,"zero":-0,"exponent":1E+2,"nested":[1.50,1e-400]})") ==
          json::parse(R"({"trace":"123456789012345678901234567890","u64":"18446744073709551615","money":"0.10",)"
                      R"("huge":"1e400","one":"1.0","zero":"-0","exponent":"1E+2","nested":"[1.50,1e-400]"})"));
    CHECK(document_of(R"({"service_name":0.10,"message":1e400})").at("service_name") == "0.10");
    CHECK(document_of(R"({"service_name":"s","message":"m","timestamp":1e400})").contains("@timestamp"));
    CHECK(document_of(R"({"service_name":"s","message":"m","timestamp":1714566600.5})").at("@timestamp") ==
          "2024-05-01T12:30:00.500Z");
}

TEST_CASE("what is not JSON is refused with its place, and what is JSON is not", "[F267][F268][F269]") {
    for (const auto* wrong : {"01",         "1.",       ".5",      "+1",          "1e",      "1e+",     "-",
                              "NaN",        "Infinity", "tru",     "nul",         "[1,]",    "[,1]",    "[1 2]",
                              "[1",         "[}",       "{]",      "{1:2}",       "{a:1}",   "{\"a\"}", "{\"a\":}",
                              "{\"a\":1,}", "'x'",      "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"\\",    "\"\n\"",
                              "\"",         "/**/1",    "1//",     "{\"a\" 1}",   "]",       ","}) {
        CAPTURE(wrong);
        CHECK(problem_of(std::string{R"({"service_name":"s","message":"m","x":)"} + wrong + "}").find("not JSON: ") ==
              0);
    }
    for (const auto* right : {"0", "-0", "10", "1.0e-5", "1E9", "[]", "[ ]", "{}", "{ }", " [ 1 , 2 ] ", "true",
                              "false", "null", "\"\"", "\"\\u0000\\/\"", "{\"\":\"\"}", "\t1\r\n", "\"\x7f\""}) {
        CAPTURE(right);
        CHECK(document_of(std::string{R"( {"service_name":"s","message":"m","x":)"} + right + "}\r\n").at("message") ==
              "m");
    }
    CHECK(problem_of(R"({"service_name":"s","message":"m",})").find("at byte 34") != std::string::npos);
}

TEST_CASE("the reader takes what Boost.JSON takes, and nothing else", "[F267][F268]") {
    const EventGenerator generator{9};
    ApmEventReader reader;
    std::string key;
    std::string event;
    std::string document;
    std::uint64_t state = 1;
    const auto below = [&state](std::uint64_t limit) {
        state = state * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
        return (state >> 33U) % limit;
    };
    constexpr std::string_view bytes = "{}[]\",:\\ 0123456789.eE+-truefalsnu\n\t/\x80\xC3";
    int taken = 0;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        if (generator.log(i, key, event) != Kind::valid) continue;
        for (auto changes = below(3); changes > 0; --changes) {
            const auto at = below(event.size());
            if (below(2) == 0) event.erase(at, below(3));
            event.insert(at, 1, bytes[below(bytes.size())]);
        }
        boost::system::error_code error;
        const auto value = json::parse(event, error);
        if (error == json::error::exponent_overflow) continue; // a limit of Boost.JSON, not of JSON
        const bool read = reader.read(StreamKey::apm_logs, event, record, now, document);
        CAPTURE(event, std::string{reader.problem()});
        REQUIRE((read || reader.problem().find("not JSON") != 0) == !error);
        taken += read ? 1 : 0;
    }
    CHECK(taken > 2000);
    CHECK(taken < 15'000);
}

TEST_CASE("a reader goes on after an invalid event") {
    ApmEventReader reader;
    std::string document;
    for (int i = 0; i < 1000; ++i) {
        REQUIRE_FALSE(
            reader.read(StreamKey::apm_logs, R"({"service_name":"s","labels":{"a":[1,2,)", record, now, document));
        REQUIRE(reader.read(StreamKey::apm_logs, R"({"service_name":"s","message":"m"})", record, now, document));
        REQUIRE(json::parse(document).is_object());
    }
}

TEST_CASE("label scalars become strings") {
    CHECK(labels_of(R"({"s":"x","i":-5,"u":18446744073709551615,"d":0.25,"t":true,"f":false,"n":null})") ==
          json::parse(R"({"s":"x","i":"-5","u":"18446744073709551615","d":"0.25","t":"true","f":"false"})"));
}

TEST_CASE("a nested label becomes its JSON text") {
    CHECK(labels_of(R"({"o":{"a":[1,{"b":null}]},"a":[],"e":{}})") ==
          json::parse(R"({"o":"{\"a\":[1,{\"b\":null}]}","a":"[]","e":"{}"})"));
}

TEST_CASE("a nested label stays what it was when a later one grows", "[F277]") {
    std::string grows; // \b and \f are written as \u0008 and \u000c
    for (int i = 0; i < 100'000; ++i) grows += R"(\b\f)";
    const auto labels =
        labels_of(R"({"a":["first"],"b":[")" + grows + R"("],"c":{"d":")" + grows + R"("},"e":["last"]})");
    CHECK(labels.at("a") == R"(["first"])");
    CHECK(labels.at("b").as_string().starts_with(R"(["\u0008\u000c\u0008)"));
    CHECK(labels.at("c").as_string().starts_with(R"({"d":"\u0008)"));
    CHECK(labels.at("e") == R"(["last"])");
}

TEST_CASE("of a member that comes twice the last counts") {
    const auto document = document_of(
        R"({"service_name":"a","message":"m","labels":{"a":1},"level":"info","service_name":"b","level":[],)"
        R"("labels":{"b":{"x":"y\n","z":[1.5,true,"s"]}},"timestamp":1714566600000,"timestamp":{}})");
    CHECK(document.at("service_name").as_string() == "b");
    CHECK_FALSE(document.contains("level"));
    CHECK(document.at("labels") == json::parse(R"({"b":"{\"x\":\"y\\n\",\"z\":[1.5,true,\"s\"]}"})"));
    CHECK(document.at("@timestamp").as_string() == "2024-05-01T12:30:00.123Z"); // the record's
    CHECK_FALSE(
        document_of(R"({"service_name":"s","message":"m","labels":{"a":1},"labels":[{"b":1}]})").contains("labels"));
}

TEST_CASE("an oversized label is cut between characters") {
    const std::string filler(max_label_bytes - 1, 'x');
    const auto labels = labels_of(R"({"fits":")" + filler + R"(y","cut":")" + filler + R"(üüü"})");
    CHECK(labels.at("fits").as_string() == filler + "y");
    CHECK(labels.at("cut").as_string() == filler);
}

TEST_CASE("label keys cannot clash or nest") {
    CHECK(labels_of(R"({"a.b":"first","a_b":"second","a*b\"c":"x","":"empty"})") ==
          json::parse(R"({"a_b":"first","a_b_c":"x"})"));
    CHECK(labels_of("{\"" + std::string(max_label_key_bytes + 1, 'k') + "\":1}").empty());
    std::string many = "{";
    for (std::size_t i = 0; i < 3 * max_labels; ++i)
        many += (i == 0 ? "\"k." : ",\"k.") + std::to_string(i) + std::string(max_label_key_bytes - 6, 'k') + "\":1";
    const auto labels = labels_of(many + "}");
    CHECK(labels.size() == max_labels);
    CHECK(labels.contains("k_0" + std::string(max_label_key_bytes - 6, 'k')));
    CHECK(labels.contains("k_63" + std::string(max_label_key_bytes - 6, 'k')));
}

TEST_CASE("labels that are no object are left out") {
    for (const auto* labels : {"[1]", "\"x\"", "5", "null"})
        CHECK_FALSE(document_of(std::string{R"({"service_name":"s","message":"m","labels":)"} + labels + "}")
                        .contains("labels"));
}

TEST_CASE("levels of error and above are told") {
    ApmEventReader reader;
    std::string document;
    const auto severe = [&](const std::string& level) {
        REQUIRE(reader.read(StreamKey::apm_logs, R"({"service_name":"s","message":"m","level":)" + level + "}", record,
                            now, document));
        return reader.error_or_above();
    };
    for (const auto* level : {"\"error\"", "\"ERROR\"", "\"Fatal\"", "\"critical\"", "\"panic\"", "\"emergency\""})
        CHECK(severe(level));
    for (const auto* level : {"\"warn\"", "\"info\"", "\"errors\"", "\"err\"", "\"\"", "null", "5"})
        CHECK_FALSE(severe(level));
}

TEST_CASE("a span uses the same reader with its own schema") {
    const auto document = document_of(
        R"({"service_name":"s","trace_id":"t","span_id":"i","name":"n","duration_us":"12"})", StreamKey::apm_spans);
    CHECK(document.at("type").as_string() == "span");
    CHECK(document.at("duration_us").as_int64() == 12);
    CHECK(problem_of(R"({"service_name":"s","message":"m"})", StreamKey::apm_spans) == "no trace_id");
}

TEST_CASE("generated events are what they say they are, and the same each time") {
    const EventGenerator generator{1};
    ApmEventReader reader;
    std::string key;
    std::string event;
    std::string document;
    std::size_t bytes = 0;
    int invalid = 0;
    int without_payload = 0;
    int severe = 0;
    constexpr int count = 20'000;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto kind = generator.log(i, key, event);
        if (kind == Kind::without_payload) {
            ++without_payload;
            CHECK(event.empty());
            continue;
        }
        bytes += event.size();
        const bool valid = reader.read(StreamKey::apm_logs, event, record, now, document);
        CAPTURE(i, event);
        REQUIRE(valid == (kind == Kind::valid));
        if (!valid) ++invalid;
        if (valid && reader.error_or_above()) ++severe;
        if (valid) REQUIRE(json::parse(document).is_object());
    }
    CHECK(invalid > 0);
    CHECK(without_payload > 0);
    CHECK(severe > count / 32);
    CHECK(bytes / count > 380);
    CHECK(bytes / count < 520);
    std::string again;
    CHECK(generator.log(77, key, event) == EventGenerator{1}.log(77, key, again));
    CHECK(event == again);
    CHECK(EventGenerator{2}.log(77, key, again) == Kind::valid);
    CHECK(event != again);
    CHECK(generator.span(5, key, event) == Kind::valid);
    CHECK(reader.read(StreamKey::apm_spans, event, record, now, document));
}

TEST_CASE("the index templates are JSON that names the stream and every field") {
    for (const auto stream : {StreamKey::apm_logs, StreamKey::apm_spans}) {
        const auto body = json::parse(index_template(stream, "some-stream")).as_object();
        CHECK(body.at("index_patterns").as_array().at(0).as_string() == "some-stream");
        CHECK(body.contains("data_stream"));
        const auto& properties = body.at("template").at("mappings").at("properties").as_object();
        CHECK(properties.contains("@timestamp"));
        for (const auto& field : schema_of(stream).fields) CHECK(properties.contains(field.name));
    }
}
