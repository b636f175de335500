// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/http/detail/header_field.hpp>

#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

/// The head of an HTTP/1.1 answer, as far as it matters. Decisions only: no I/O.
namespace bulkhead::inline v1::detail {

/// The coding that an answer's body has, although `identity` was asked for, e.g. `gzip`; empty when it has none. The
/// values are those of `Content-Encoding` and `Transfer-Encoding`. A name that is no coding, such as `utf-8`, is passed
/// over: the body proves whether it can be read.
[[nodiscard]] inline std::string_view foreign_coding(std::string_view content_encoding,
                                                     std::string_view transfer_encoding) noexcept {
    for (auto list : {content_encoding, transfer_encoding}) {
        while (!list.empty()) {
            auto one = list.substr(0, list.find(','));
            list.remove_prefix(std::min(list.size(), one.size() + 1));
            while (!one.empty() && (one.front() == ' ' || one.front() == '\t')) one.remove_prefix(1);
            one = one.substr(0, one.find_first_of(" \t;"));
            for (const std::string_view coding :
                 {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz"})
                if (equal_ignoring_case(one, coding)) return coding;
        }
    }
    return {};
}

/// Reads the head of one answer as its bytes arrive, in any pieces. It keeps the status and the fields that the
/// transport needs, in `text`, which is the head of a strict HTTP/1.1 answer. It passes over the reason of the status,
/// which may be absent with the blank before it, and over all other fields, whatever their values hold.
///
/// Memory is bounded: `most_kept` bytes of the fields that are kept and of one line, `most_read` bytes of all.
/// Reusable: `start` keeps the memory.
class AnswerHead {
public:
    /// The most bytes that are kept.
    static constexpr std::size_t most_kept = std::size_t{64} << 10;
    /// The most bytes that are read.
    static constexpr std::size_t most_read = std::size_t{1} << 20;

    /// Begins the head of another answer.
    void start() noexcept {
        text_.clear();
        line_.clear();
        line_size_ = read_ = status_ = 0;
        any_field_ = kept_ = done_ = false;
    }
    /// Takes the next bytes, up to the end of the head, and returns how many these are. Errors: of Beast's HTTP
    /// category for what cannot be understood, `errc::answer_too_large` beyond `most_read`, `errc::protocol_error` when
    /// the peer speaks TLS instead.
    [[nodiscard]] std::size_t put(std::string_view bytes, error_code& error) {
        std::size_t taken = 0;
        error = {};
        while (!error && !done_ && taken < bytes.size()) {
            const auto end = bytes.find('\n', taken);
            const bool whole = end != std::string_view::npos;
            const auto piece = bytes.substr(taken, whole ? end + 1 - taken : std::string_view::npos);
            taken += piece.size();
            read_ += piece.size();
            line_.append(piece.substr(0, most_kept - std::min(line_.size(), most_kept)));
            line_size_ += piece.size();
            if (read_ > most_read)
                error = status_ != 0 ? error_code{errc::answer_too_large} : boost::beast::http::error::bad_status;
            else if (status_ == 0 && !may_be_status_line())
                error = speaks_tls() ? error_code{errc::protocol_error} : boost::beast::http::error::bad_version;
            else if (whole)
                error = end_line();
        }
        return taken;
    }
    /// Whether the head is read to its end.
    [[nodiscard]] bool done() const noexcept { return done_; }
    /// Whether no byte of it has come.
    [[nodiscard]] bool empty() const noexcept { return read_ == 0; }
    /// From the status line on; 0 before.
    [[nodiscard]] unsigned status() const noexcept { return static_cast<unsigned>(status_); }
    /// The status line and the fields that are kept; with its empty line when `done`.
    [[nodiscard]] std::string_view text() const noexcept { return text_; }

private:
    static constexpr std::string_view version = "HTTP/1.";

    [[nodiscard]] bool may_be_status_line() const noexcept {
        const auto size = std::min(line_.size(), version.size());
        return std::string_view{line_}.substr(0, size) == version.substr(0, size);
    }
    [[nodiscard]] bool speaks_tls() const noexcept {
        return line_.size() >= 2 && line_[0] >= 0x14 && line_[0] <= 0x17 && line_[1] == 0x03;
    }
    [[nodiscard]] error_code end_line() {
        using boost::beast::http::error;
        const bool cut = line_size_ > line_.size();
        auto line = std::string_view{line_};
        if (!cut) {
            if (!line.ends_with("\r\n")) return error::bad_line_ending;
            line.remove_suffix(2);
        }
        // Others might take these for the end of a line, and so see other fields.
        if (line.find_first_of(std::string_view{"\r\0", 2}) != std::string_view::npos) return error::bad_value;
        const auto failed = status_ == 0 ? read_status(line) : line.empty() ? end() : read_field(line, cut);
        line_.clear();
        line_size_ = 0;
        return failed;
    }
    [[nodiscard]] error_code read_status(std::string_view line) {
        using boost::beast::http::error;
        const auto digit = [](char c) { return c >= '0' && c <= '9'; };
        constexpr auto at = version.size(); // of the minor version
        if (line.size() < at + 1 || !digit(line[at])) return error::bad_version;
        const auto number = line.substr(at + 1, 4);
        const bool ends = line.size() == at + 5 || (line.size() > at + 5 && line[at + 5] == ' ');
        if (!ends || number[0] != ' ' || number[1] == '0' || !std::all_of(number.begin() + 1, number.end(), digit))
            return error::bad_status;
        for (const char c : number.substr(1)) status_ = status_ * 10 + static_cast<std::size_t>(c - '0');
        text_.append(version).append(line[at] == '0' ? "0" : "1").append(number).append(" \r\n");
        return {};
    }
    [[nodiscard]] error_code read_field(std::string_view line, bool cut) {
        using boost::beast::http::error;
        if (line.front() == ' ' || line.front() == '\t') { // more of the field before, in an obsolete form
            if (!any_field_) return error::bad_field;
            if (!kept_) return {};
            text_.resize(text_.size() - 2);
        } else {
            const auto name = line.substr(0, line.find(':'));
            if (name.size() == line.size() || !is_header_name(name)) return error::bad_field;
            any_field_ = true;
            kept_ = is_needed(name);
        }
        if (!kept_) return {};
        if (cut || text_.size() + line.size() + 2 > most_kept) return error::header_limit;
        text_.append(line).append("\r\n");
        return {};
    }
    [[nodiscard]] error_code end() {
        text_.append("\r\n");
        done_ = true;
        return {};
    }
    [[nodiscard]] static bool is_needed(std::string_view name) noexcept {
        for (const std::string_view needed : {"Content-Length", "Transfer-Encoding", "Content-Encoding", "Connection",
                                              "Proxy-Connection", "Upgrade", "Retry-After"})
            if (equal_ignoring_case(name, needed)) return true;
        return false;
    }

    std::string text_;
    std::string line_;          ///< as much of it as is kept
    std::size_t line_size_ = 0; ///< all of it
    std::size_t read_ = 0;
    std::size_t status_ = 0;
    bool any_field_ = false;
    bool kept_ = false; ///< the field read last
    bool done_ = false;
};

} // namespace bulkhead::inline v1::detail
