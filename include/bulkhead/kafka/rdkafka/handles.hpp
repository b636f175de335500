// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

/// librdkafka's error codes, handles and properties in C++: for a consumer loop that is not the driver's.
namespace bulkhead::inline v1::kafka {

/// The category of librdkafka's error codes.
[[nodiscard]] inline const boost::system::error_category& rdkafka_category() noexcept {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor" // Boost's base class: nothing is ever deleted through it
    struct Category final : boost::system::error_category {
        constexpr Category() noexcept : error_category{0x7264'6b61'666b'6121ULL} {}
        [[nodiscard]] const char* name() const noexcept override { return "rdkafka"; }
        [[nodiscard]] std::string message(int value) const override {
            return rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(value));
        }
    };
#pragma GCC diagnostic pop
    static constexpr Category category{};
    return category;
}
/// A librdkafka error as an `error_code` of a category of its own.
[[nodiscard]] inline error_code make_error(rd_kafka_resp_err_t error) noexcept {
    return {static_cast<int>(error), rdkafka_category()};
}

/// A deleter for `std::unique_ptr` that calls a function of librdkafka's.
template <auto destroy>
struct Destroy {
    /// Calls `destroy`.
    template <class T>
    void operator()(T* object) const noexcept {
        destroy(object);
    }
};
/// Owns a configuration. `rd_kafka_new` takes ownership only when it succeeds: `release()` then.
using ConfPtr = std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>>;
/// Owns a list of partitions.
using ListPtr = std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy<rd_kafka_topic_partition_list_destroy>>;
/// Owns a message. Every message must be gone before its client is destroyed.
using MessagePtr = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_destroy>>;
/// Owns a reference to a queue. The last one must be gone before its client is destroyed.
using QueuePtr = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
/// Owns an error; null means success.
using ErrorPtr = std::unique_ptr<rd_kafka_error_t, Destroy<rd_kafka_error_destroy>>;

namespace detail {

/// Whether a property's value must never be shown.
[[nodiscard]] inline bool is_secret(std::string_view key) noexcept {
    constexpr std::string_view words[] = {"password", "secret", "key.pem", "sasl.username", "oauthbearer", "jwt"};
    return std::any_of(std::begin(words), std::end(words),
                       [&](std::string_view word) { return key.find(word) != std::string_view::npos; });
}

} // namespace detail

/// Sets a property. Throws `InvalidOption`, whose text does not hold the value of a property that is a secret, or that
/// does not exist.
inline void set_property(rd_kafka_conf_t& conf, const std::string& key, const std::string& value) {
    std::array<char, 512> error{};
    const auto result = rd_kafka_conf_set(&conf, key.c_str(), value.c_str(), error.data(), error.size());
    if (result == RD_KAFKA_CONF_OK) return;
    // The name may be a misspelt one of a secret, and the secret itself may be in it.
    if (result == RD_KAFKA_CONF_UNKNOWN)
        throw InvalidOption{{key.substr(0, key.find('=')), "the name of a property of librdkafka", "(hidden)"}};
    // librdkafka's own text quotes the value.
    if (detail::is_secret(key)) throw InvalidOption{{key, "what librdkafka documents", "(hidden)"}};
    throw InvalidOption{{key, "what librdkafka documents (" + std::string{error.data()} + ")", value}};
}

} // namespace bulkhead::inline v1::kafka
