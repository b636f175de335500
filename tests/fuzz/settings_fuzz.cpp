// SPDX-License-Identifier: BSL-1.0
// Texts from outside that are not documents: Retry-After, URLs, header fields, credentials, index names, dead letters.

#include "fuzz.hpp"

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/encode/ndjson.hpp>
#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/http/credentials.hpp>
#include <bulkhead/http/detail/server_url.hpp>
#include <bulkhead/http/http_options.hpp>
#include <bulkhead/sinks/stored_dead_letter.hpp>

#include <algorithm>
#include <string>
#include <string_view>

using namespace bulkhead;

namespace {

/// RFC 3629, a byte at a time.
bool slow_is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto at = [&](std::size_t k) -> std::uint32_t {
            return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U;
        };
        const auto lead = at(0);
        const std::size_t more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        if (lead >= 0x80 && (lead < 0xC2 || lead > 0xF4)) return false;
        std::uint32_t code = more == 0 ? lead : lead & (0x3FU >> more);
        for (std::size_t k = 1; k <= more; ++k) {
            if ((at(k) & 0xC0U) != 0x80U) return false;
            code = code << 6U | (at(k) & 0x3FU);
        }
        if ((more == 2 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) ||
            (more == 3 && (code < 0x10000 || code > 0x10FFFF)))
            return false;
        i += more + 1;
    }
    return true;
}
bool harmless(std::string_view text) {
    return text.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos;
}

void retry_after(fuzz::Input input) {
    const auto now = std::chrono::system_clock::time_point{std::chrono::seconds{input.number() % 4'000'000'000U}};
    const auto wish = parse_retry_after(input.rest(), now);
    if (!wish) return;
    fuzz::expect(wish->count() >= 0 && wish->count() <= std::int64_t{1} << 32U, "Retry-After is bounded");
    RetryOptions options;
    const auto wait = clamp_retry_after(*wish, options);
    fuzz::expect(wait.count() >= 0 && wait <= options.max_backoff, "a wait is at most the longest backoff");
}
void waiting(fuzz::Input input) {
    RetryOptions options;
    options.initial_backoff = std::chrono::milliseconds{1 + input.number() % 3'600'000U};
    options.max_backoff = options.initial_backoff + std::chrono::milliseconds{input.number() % 80'000'000U};
    const auto wait = backoff(options, static_cast<std::uint32_t>(input.number()), input.number());
    fuzz::expect(wait.count() > 0 && wait <= options.max_backoff, "a backoff is between nothing and the longest");
}
void url(std::string_view text) {
    detail::ServerUrl found;
    const auto wrong = detail::parse_server_url(std::string{text}, "http", "80", found);
    if (wrong) {
        const auto at = text.find('@');
        const auto secret = text.find("hunter2");
        if (secret != std::string_view::npos && at != std::string_view::npos && secret < at)
            fuzz::expect(wrong->message().find("hunter2") == std::string::npos, "a password in a URL is in no error");
        return;
    }
    fuzz::expect(harmless(found.host) && harmless(found.host_field) && harmless(found.path) && harmless(found.port),
                 "nothing of a URL ends a line");
    fuzz::expect(!found.host.empty() && found.path.find(' ') == std::string::npos, "a URL names a host");
    fuzz::expect(found.host_field.find('@') == std::string::npos, "user and password are not part of the host");
    if (found.credentials)
        fuzz::expect(!found.credentials->authorization().secret.empty(), "what a URL says of a user can be sent");
}
void header(fuzz::Input input) {
    HttpOptions options;
    const std::string name{input.text()};
    const auto value = "hunter2" + std::string{input.rest()};
    options.headers.emplace_back(name, value);
    const auto wrong = validate(options);
    if (wrong) {
        fuzz::expect(wrong->message().find("hunter2") == std::string::npos || name.find("hunter2") != std::string::npos,
                     "a header's value is in no error");
        return;
    }
    fuzz::expect(harmless(name) && harmless(value) && name.find_first_of(": ") == std::string::npos,
                 "nothing of a header field ends a line");
}
/// What becomes of one kind of credentials is a field's value, or a problem without the secret.
void authorization(const Credentials& made, std::string_view secret, std::string_view name) {
    const auto answer = made.authorization();
    fuzz::expect(answer.secret.empty() != answer.problem.empty(), "credentials are a field or a problem");
    fuzz::expect(validate(made).has_value() == answer.secret.empty(), "a given value is known beforehand");
    fuzz::expect(answer.problem.find("hunter2") == std::string::npos, "a secret is in no problem");
    const auto field = answer.secret.reveal();
    if (field.empty()) return;
    fuzz::expect(field.size() <= 8192 &&
                     std::all_of(field.begin(), field.end(), [](char c) { return c > 31 && c < 127; }),
                 "an Authorization field is visible ASCII");
    fuzz::expect(std::count(field.begin(), field.end(), ' ') == 1, "one space, after the scheme");
    const auto value = field.substr(field.find(' ') + 1);
    if (name.empty()) return fuzz::expect(value == secret, "a token travels as it is");
    std::string back;
    unsigned bits = 0;
    unsigned count = 0;
    for (const char c : value.substr(0, value.find('='))) {
        constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bits = (bits << 6U | static_cast<unsigned>(digits.find(c))) & 0xFFFFU;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        back += static_cast<char>(bits >> count & 0xFFU);
    }
    fuzz::expect(back == std::string{name} + ":" + std::string{secret}, "name and secret read back");
}
void credentials(fuzz::Input input) {
    const std::string name{input.text()};
    const auto secret = std::string{input.rest()} + "hunter2";
    authorization(Credentials::basic(name, secret), secret, name);
    authorization(Credentials::api_key(name, secret), secret, name);
    authorization(Credentials::api_key(secret), secret, {});
    authorization(Credentials::bearer(secret), secret, {});
}
void userinfo(std::string_view text) {
    const auto found = credentials_from_userinfo(text);
    if (!found) return;
    fuzz::expect(!found->authorization().secret.empty(), "what was taken from a URL can be sent");
    fuzz::expect(harmless(text) && text.find('@') == std::string_view::npos, "a URL's user information is one piece");
}
void names(std::string_view text) {
    fuzz::expect(is_utf8(text) == slow_is_utf8(text), "UTF-8 is what RFC 3629 says");
    if (!check_index_name(text))
        fuzz::expect(harmless(text) && slow_is_utf8(text) && text.find_first_of("/\\\"") == std::string_view::npos,
                     "an index name needs no escaping");
    std::string out;
    if (!is_utf8(text)) return;
    append_json_string(out, text);
    const auto back = boost::json::parse(out);
    fuzz::expect(std::string_view{back.as_string()} == text, "a string reads back as it was");
}
void dead_letter(fuzz::Input input) {
    const std::string action{"{\"index\":{\"_index\":\"logs\"}}"};
    const auto type = input.text();
    const auto reason = input.text();
    const auto source = input.rest();
    std::string line;
    append_dead_letter(line, {action, source, type, reason, 400, 1, {}, {}}, std::chrono::system_clock::now());
    fuzz::expect(line.find('\n') == std::string::npos, "a dead letter is one line");
    const auto letter = parse_dead_letter(line);
    fuzz::expect(letter && letter->source == source && letter->action_line == action, "a dead letter reads back");
    (void)parse_dead_letter(source);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    switch (input.byte() % 8U) {
    case 0: retry_after(input); break;
    case 1: waiting(input); break;
    case 2: url(input.rest()); break;
    case 3: header(input); break;
    case 4: names(input.rest()); break;
    case 5: dead_letter(input); break;
    case 6: credentials(input); break;
    default: userinfo(input.rest());
    }
    return 0;
}
