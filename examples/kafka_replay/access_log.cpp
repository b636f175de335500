// SPDX-License-Identifier: BSL-1.0
#include "access_log.hpp"

#include "json_text.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace replay {

namespace {

using std::string_view;

/// Takes the fields of a line from the left.
class Fields {
public:
    explicit Fields(string_view line) noexcept : rest_{line} {}
    [[nodiscard]] bool done() const noexcept { return rest_.empty(); }
    /// Up to the next space, not empty.
    [[nodiscard]] std::optional<string_view> word() noexcept {
        const auto field = rest_.substr(0, rest_.find(' '));
        if (field.empty()) return std::nullopt;
        advance(field.size());
        return field;
    }
    /// What stands between `open` and `close`; a backslash protects the byte after it.
    [[nodiscard]] std::optional<string_view> between(char open, char close) noexcept {
        if (rest_.empty() || rest_.front() != open) return std::nullopt;
        std::size_t end = 1;
        while (end < rest_.size() && rest_[end] != close) end += rest_[end] == '\\' ? 2U : 1U;
        if (end >= rest_.size()) return std::nullopt;
        const auto field = rest_.substr(1, end - 1);
        rest_.remove_prefix(end + 1);
        if (!rest_.empty() && rest_.front() != ' ') return std::nullopt;
        advance(0);
        return field;
    }

private:
    void advance(std::size_t count) noexcept {
        rest_.remove_prefix(count);
        if (!rest_.empty()) rest_.remove_prefix(1);
    }
    string_view rest_;
};

bool all_digits(string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// `17/May/2015:10:05:03 +0000` → `2015-05-17T10:05:03+0000`.
std::optional<std::string> iso_time(string_view time) {
    constexpr std::array<string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (time.size() != 26 || time[2] != '/' || time[6] != '/' || time[11] != ':' || time[20] != ' ')
        return std::nullopt;
    const auto* const month = std::find(months.begin(), months.end(), time.substr(3, 3));
    if (month == months.end()) return std::nullopt;
    const auto number = month - months.begin() + 1;
    std::string iso{time.substr(7, 4)};
    iso += number < 10 ? "-0" : "-";
    append_number(iso, number);
    iso += '-';
    iso += time.substr(0, 2);
    iso += 'T';
    iso += time.substr(12, 8);
    iso += time.substr(21);
    return iso;
}

std::string utf8(string_view text) {
    if (is_utf8(text)) return std::string{text};
    std::string out;
    while (!text.empty()) {
        std::size_t length = std::min<std::size_t>(4, text.size());
        while (length > 0 && !is_utf8(text.substr(0, length))) --length;
        out += length > 0 ? text.substr(0, length) : string_view{"\xEF\xBF\xBD"};
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out;
}

void append_text(std::string& out, string_view name, string_view value) {
    out += out.back() == '{' ? "\"" : ",\"";
    out += name;
    out += "\":";
    append_json_string(out, utf8(value));
}

} // namespace

bool access_log_event(string_view line, std::string& event) {
    Fields fields{line};
    const auto host = fields.word();
    const auto ident = fields.word();
    const auto user = fields.word();
    const auto time = fields.between('[', ']');
    const auto request = fields.between('"', '"');
    const auto status = fields.word();
    const auto size = fields.word();
    if (!host || !ident || !user || !time || !request || !status || !size) return false;
    if (status->size() != 3 || !all_digits(*status) || !(*size == "-" || all_digits(*size))) return false;
    const auto iso = iso_time(*time);
    if (!iso) return false;
    const auto referrer = fields.done() ? std::nullopt : fields.between('"', '"');
    const auto agent = fields.done() ? std::nullopt : fields.between('"', '"');
    if (!fields.done()) return false;

    event.assign(1, '{');
    append_text(event, "timestamp", *iso);
    append_text(event, "service_name", "access-log");
    append_text(event, "level", status->front() == '5' ? "error" : status->front() == '4' ? "warn" : "info");
    append_text(event, "message", line.substr(static_cast<std::size_t>(request->data() - line.data()) - 1));
    Fields words{*request};
    const auto method = words.word();
    const auto path = words.word();
    if (method && path) { // a client may have sent anything
        append_text(event, "http_method", *method);
        append_text(event, "http_path", *path);
    }
    append_text(event, "http_status_code", *status);
    event += R"(,"labels":{)";
    append_text(event, "client", *host);
    if (*user != "-") append_text(event, "user", *user);
    if (*size != "-") append_text(event, "bytes", *size);
    if (referrer && *referrer != "-") append_text(event, "referrer", *referrer);
    if (agent && *agent != "-") append_text(event, "user_agent", *agent);
    event += "}}";
    return true;
}

} // namespace replay
