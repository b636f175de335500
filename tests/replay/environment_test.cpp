// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/environment.hpp"

#include "support/catch.hpp"

#include <string>
#include <vector>

using namespace replay;

TEST_CASE("edits between two names") {
    CHECK(edits_between("", "") == 0);
    CHECK(edits_between("", "abc") == 3);
    CHECK(edits_between("KAFKA_BROKER", "KAFKA_BROKERS") == 1);
    CHECK(edits_between("KAKFA_BROKERS", "KAFKA_BROKERS") == 1); // two neighbours swapped
    CHECK(edits_between("KAFKA_BRKR", "KAFKA_BROKERS") == 3);
    CHECK(edits_between("abcd", "acbd") == 1);
    CHECK(edits_between("kitten", "sitting") == 3);
}

TEST_CASE("a misspelt variable looks like ours", "[F266]") {
    for (const auto& [name, ours] :
         std::vector<std::pair<std::string, std::string>>{{"KAFKA_BROKER", "KAFKA_BROKERS"},
                                                          {"kafka_brokers", "KAFKA_BROKERS"},
                                                          {"KAFKABROKERS", "KAFKA_BROKERS"},
                                                          {"KAKFA_BROKERS", "KAFKA_BROKERS"},
                                                          {"ELASTIC_URL", "ELASTICSEARCH_URL"},
                                                          {"ELASTIC_SEARCH_URL", "ELASTICSEARCH_URL"},
                                                          {"ELASTICSEARCH_URLS", "ELASTICSEARCH_URL"},
                                                          {"ELASTICSEARCH_URI", "ELASTICSEARCH_URL"},
                                                          {"ELASTIC_SEARCH_API_KEY", "ELASTICSEARCH_API_KEY"},
                                                          {"KAFKA_GROUPID", "KAFKA_GROUP_ID"},
                                                          {"BULK_BATCHSIZE", "BULK_BATCH_SIZE"}}) {
        CAPTURE(name, ours);
        CHECK(looks_like(name, ours));
    }
    for (const auto& [name, ours] :
         std::vector<std::pair<std::string, std::string>>{{"KAFKA_BROKERS", "KAFKA_BROKERS"}, // the same
                                                          {"ELASTICSEARCH_PORT", "ELASTICSEARCH_URL"},
                                                          {"ELASTICSEARCH_SERVICE_HOST", "ELASTICSEARCH_URL"},
                                                          {"KAFKA_HOME", "KAFKA_BROKERS"},
                                                          {"KAFKA_OPTS", "KAFKA_BROKERS"},
                                                          {"PATH", "KAFKA_BROKERS"},
                                                          {"URL", "ELASTICSEARCH_URL"},
                                                          {"", "ELASTICSEARCH_URL"},
                                                          {"HOME", "BULK_GZIP"},
                                                          {"METRICS_PORT_9464_TCP", "METRICS_PORT"}}) {
        CAPTURE(name, ours);
        CHECK_FALSE(looks_like(name, ours));
    }
}

TEST_CASE("misspelt variables are found in an environment", "[F266]") {
    const std::vector<std::string> ours{"KAFKA_BROKERS", "KAFKA_GROUP_ID", "ELASTICSEARCH_URL", "ELASTICSEARCH_USER"};
    const std::vector<std::string_view> environment{
        "PATH=/bin",         "KAFKA_BROKER=prod:9092", "KAFKA_GROUP_ID=g", "ELASTIC_URL=http://x",
        "OPENSEARCH_URL=no", "KAFKA_GROUPID=",         "strange",          "=x"};
    CHECK(misspelt(environment, ours) == std::vector<Misspelt>{{"KAFKA_BROKER", "KAFKA_BROKERS"},
                                                               {"ELASTIC_URL", "ELASTICSEARCH_URL"},
                                                               {"OPENSEARCH_URL", "ELASTICSEARCH_URL"}});
    CHECK(misspelt({}, ours).empty());
    CHECK(misspelt(environment, {}).size() == 1); // what other programs call it
}
