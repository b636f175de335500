// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/http/credentials.hpp>
#include <bulkhead/http/detail/header_field.hpp>
#include <bulkhead/http/http_options.hpp>
#include <bulkhead/http/secret.hpp>
#include <bulkhead/http/signer.hpp>

#include <boost/asio/buffer.hpp>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// The head of a request: its line, its header fields, credentials and signature. Pure.
namespace bulkhead::inline v1::detail {

/// The `Authorization` field of every request. Thread-safe.
class Authorization {
public:
    [[nodiscard]] std::optional<FieldError> configure(const Credentials& credentials) {
        credentials_ = credentials;
        return validate(credentials_);
    }
    [[nodiscard]] bool present() const noexcept { return !credentials_.empty(); }

    /// Appends the field. False with `problem` when there are no credentials now. `generation` identifies those used.
    [[nodiscard]] bool append_to(std::string& head, std::uint64_t& generation, std::string& problem) {
        if (!present()) return true;
        const std::lock_guard lock{mutex_};
        if (stale_) {
            auto answer = credentials_.authorization();
            if (!answer.problem.empty()) {
                problem = std::move(answer.problem);
                return false;
            }
            current_ = std::move(answer.secret);
            ++generation_;
            stale_ = false;
        }
        generation = generation_;
        make_room(head, current_.size() + 32);
        head.append("Authorization: ").append(current_.reveal()).append("\r\n");
        return true;
    }
    /// The server refused the credentials of this generation: their source is asked again, once for each generation.
    void refused(std::uint64_t generation) noexcept {
        const std::lock_guard lock{mutex_};
        if (generation == generation_ && credentials_.can_change()) stale_ = true;
    }

private:
    Credentials credentials_;
    std::mutex mutex_;
    Secret current_;
    std::uint64_t generation_ = 0;
    bool stale_ = true;
};

/// Writes the heads of the requests to one node. Thread-safe, but for the head that is written.
class RequestHead {
public:
    /// What one request differs in.
    struct Line {
        std::string_view method;
        std::string_view target; ///< path and query; the node's path goes before
        bool is_bulk = true;     ///< NDJSON, encoded as the transport's encoder does; otherwise JSON as it is
    };
    /// The result of `write`.
    struct Written {
        error_code error;             ///< `errc::credentials_unavailable`; the head is then not complete
        std::string problem;          ///< the cause of the error
        std::uint64_t generation = 0; ///< of the credentials used
    };

    /// `host_field` and `path` are the URL's; `content_encoding` is the encoder's, or empty.
    RequestHead(std::string host_field, std::string path, const HttpOptions& options, std::string_view content_encoding)
        : host_field_{std::move(host_field)}, path_{std::move(path)} {
        const auto type = [version = options.compatible_with](const std::string& plain) {
            if (version == 0) return "application/" + plain;
            return "application/vnd.elasticsearch+" + plain + "; compatible-with=" + std::to_string(version);
        };
        fields_ = " HTTP/1.1\r\nHost: " + host_field_ + "\r\nUser-Agent: " + options.user_agent +
                  "\r\nAccept: " + type("json") + "\r\nAccept-Encoding: identity\r\n";
        for (const auto& [name, value] : options.headers) fields_.append(name + ": " + value + "\r\n");
        bulk_fields_ = "Content-Type: " + type("x-ndjson") + "\r\n";
        if (!content_encoding.empty())
            bulk_fields_.append("Content-Encoding: ").append(content_encoding).append("\r\n");
    }

    /// The value of the `Host` field.
    [[nodiscard]] const std::string& host_field() const noexcept { return host_field_; }

    /// Exchanges `head` for the head of this request, the empty line included. `now`: when it is signed.
    [[nodiscard]] Written write(std::string& head, const Line& line, std::span<const asio::const_buffer> body,
                                Authorization& authorization, const Signer& signer,
                                std::chrono::system_clock::time_point now) const {
        Written result;
        head.clear();
        make_room(head, path_.size() + line.target.size() + fields_.size() + 64);
        head.append(line.method).append(" ").append(path_).append(line.target).append(fields_);
        if (!authorization.append_to(head, result.generation, result.problem)) {
            result.error = errc::credentials_unavailable;
            return result;
        }
        try {
            if (signer) sign(head, line, body, signer, now);
        } catch (...) {
            result.problem = current_error();
            result.error = errc::credentials_unavailable;
            return result;
        }
        make_room(head, bulk_fields_.size() + 128);
        if (!body.empty())
            head.append(line.is_bulk ? bulk_fields_ : "Content-Type: application/json\r\n")
                .append("Content-Length: ")
                .append(std::to_string(asio::buffer_size(body)))
                .append("\r\n");
        head.append("\r\n");
        return result;
    }

private:
    void sign(std::string& head, const Line& line, std::span<const asio::const_buffer> body, const Signer& signer,
              std::chrono::system_clock::time_point now) const {
        const std::string target = path_ + std::string{line.target};
        const auto mark = target.find('?');
        const std::string_view whole{target};
        SigningInput input;
        input.method = line.method;
        input.host = host_field_;
        input.path = whole.substr(0, mark);
        if (mark != std::string::npos) input.query = whole.substr(mark + 1);
        input.body = body;
        input.now = now;
        HeaderFields fields;
        signer(input, fields);
        for (auto& [name, value] : fields) {
            if (!is_header_name(name) || !is_header_value(value) || is_own_header(name))
                throw std::runtime_error{"the signer made a header field that cannot be sent"};
            make_room(head, name.size() + value.size() + 4);
            head.append(name).append(": ").append(value).append("\r\n");
            wipe(value);
        }
    }

    std::string host_field_;
    std::string path_;
    std::string fields_;      ///< of every request, with the end of the request line before them
    std::string bulk_fields_; ///< of every bulk
};

} // namespace bulkhead::inline v1::detail
