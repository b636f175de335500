// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/http/credentials.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace bulkhead;

namespace {

/// A file in a folder of this test's own, gone at the end.
class TemporaryFile {
public:
    explicit TemporaryFile(std::string_view content) {
        folder_ = (std::filesystem::temp_directory_path() / "bulkhead-XXXXXX").string();
        REQUIRE(::mkdtemp(folder_.data()) != nullptr);
        path_ = folder_ + "/secret";
        write(content);
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { std::filesystem::remove_all(folder_); }
    /// Without a stream, whose buffer would keep a copy on the heap.
    void write(std::string_view content) const {
        const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        REQUIRE(fd >= 0);
        const auto written = ::write(fd, content.data(), content.size());
        ::close(fd);
        REQUIRE(written == static_cast<ssize_t>(content.size()));
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    std::string folder_;
    std::string path_;
};

/// An environment variable, unset at the end.
class Variable {
public:
    Variable(const char* name, const char* value) : name_{name} { set(value); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() { ::unsetenv(name_); }
    void set(const char* value) const { ::setenv(name_, value, 1); }

private:
    const char* name_;
};

std::string text_of(const SecretSource& source) {
    const auto answer = source.ask();
    CHECK(answer.problem.empty() != answer.secret.empty());
    return std::string{answer.secret.reveal()};
}
std::string problem_of(const SecretSource& source) {
    const auto answer = source.ask();
    CHECK(answer.secret.empty());
    return answer.problem;
}
std::string header_of(const Credentials& credentials) {
    const auto answer = credentials.authorization();
    CHECK(answer.problem.empty() != answer.secret.empty());
    return std::string{answer.secret.reveal()};
}
std::string base64(std::string_view bytes) {
    std::string out(bulkhead::detail::base64_size(bytes.size()), '?');
    bulkhead::detail::write_base64(bytes, out.data());
    return out;
}
template <class T>
std::string streamed(const T& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}
/// All that anybody is ever told about credentials.
std::string all_that_is_shown(const Credentials& credentials) {
    std::string all = streamed(credentials);
    if (const auto wrong = validate(credentials)) {
        all += wrong->message();
        all += InvalidOption{*wrong}.what();
    }
    const auto answer = credentials.authorization();
    return all + answer.problem + streamed(answer.secret);
}
/// Every kind of credentials with this secret, from a value and from a callback.
std::vector<Credentials> all_kinds(const std::string& secret) {
    std::vector<Credentials> all;
    for (const auto& source : {SecretSource{secret}, SecretSource::callback([secret] { return Secret{secret}; })}) {
        all.push_back(Credentials::basic("elastic", source));
        all.push_back(Credentials::api_key("id", source));
        all.push_back(Credentials::api_key(source));
        all.push_back(Credentials::bearer(source));
    }
    return all;
}
bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

} // namespace

// ---- Secret ---------------------------------------------------------------------------------------------------------

TEST_CASE("a secret is not copied, not converted, and not shown", "[secret]") {
    static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
    static_assert(std::is_nothrow_move_constructible_v<Secret> && std::is_nothrow_move_assignable_v<Secret>);
    static_assert(!std::is_convertible_v<std::string_view, Secret> && !std::is_convertible_v<const char*, Secret>);
    static_assert(!std::is_convertible_v<Secret, std::string_view> && !std::is_convertible_v<Secret, std::string>);
    static_assert(!std::is_constructible_v<std::string, Secret> && !std::is_constructible_v<std::string_view, Secret>);
    const Secret secret{"hunter2"};
    CHECK(streamed(secret) == "[secret]");
    std::wostringstream wide;
    wide << secret;
    CHECK(wide.str() == L"[secret]");
    CHECK(streamed(Secret{}) == "[secret]"); // not even whether there is one
}

TEST_CASE("a secret holds its bytes, whatever they are, until it is moved from", "[secret]") {
    CHECK(Secret{}.empty());
    CHECK(Secret{""}.empty());
    CHECK(Secret{""}.reveal().empty());
    const std::string_view bytes{"a\0\xFF\n", 4};
    Secret secret{bytes};
    CHECK(secret.reveal() == bytes);
    CHECK(secret.size() == 4);
    Secret other{std::move(secret)};
    CHECK(secret.empty()); // NOLINT: what it holds then is part of the promise
    CHECK(secret.reveal().empty());
    CHECK(other.reveal() == bytes);
    secret = std::move(other);
    CHECK(other.empty()); // NOLINT
    CHECK(secret.reveal() == bytes);
    auto& itself = secret;
    secret = std::move(itself);
    CHECK(secret.reveal() == bytes);
    secret = Secret{"x"};
    CHECK(secret.reveal() == "x");
    CHECK(Secret::joined({"a", "", "bc", std::string_view{}}).reveal() == "abc");
    CHECK(Secret::joined({}).empty());
    const auto part = Secret::written(8, [](std::span<char> room) {
        CHECK(room.size() == 8);
        room[0] = 'x';
        return std::size_t{2};
    });
    CHECK(part.reveal() == std::string_view{"x\0", 2});
    CHECK(Secret{"abc"} == Secret{"abc"});
    CHECK(Secret{} == Secret{""});
    for (const char* const other_text : {"", "ab", "abcd", "xbc", "axc", "abx"})
        CHECK_FALSE(Secret{"abc"} == Secret{other_text});
}

// The heap's own memory, looked at just before it is given back. Each test has words of its own: see FreedMemory.
TEST_CASE("a secret's memory is overwritten before it is given back", "[secret]") {
    static constexpr std::string_view text = "correct horse battery staple";
    bulkhead_test::FreedMemory freed{text};
    const auto before = freed.blocks();
    { const Secret destroyed{text}; }
    const auto after = freed.blocks();
    CHECK(after == before + 1);
    {
        Secret first{text};
        Secret second{text};
        second = std::move(first); // what the second held goes
        second = Secret{"short"};
    }
    {
        const auto joined = Secret::joined({text.substr(0, 9), text.substr(9)});
        CHECK((joined.reveal() == text));
        const auto partly = Secret::written(64, [](std::span<char> room) {
            std::copy(text.begin(), text.end(), room.begin());
            return std::size_t{3}; // also what does not count in the end
        });
        CHECK(partly.size() == 3);
    }
    CHECK_THROWS_AS(Secret::written(64,
                                    [](std::span<char> room) -> std::size_t {
                                        std::copy(text.begin(), text.end(), room.begin());
                                        throw std::runtime_error{"no"};
                                    }),
                    std::runtime_error);
    CHECK(freed.blocks() >= before + 7);
    CHECK(freed.found() == 0);
    {                                       // the watcher does see what is left
        char* volatile left = new char[64]; // volatile, since a compiler may leave all three of these out
        std::copy(text.begin(), text.end(), left);
        delete[] left;
    }
    CHECK(freed.found() == 1);
}

TEST_CASE("nothing on the way from a source to the header leaves the secret in memory", "[secret]") {
    static constexpr std::string_view password = "Tr0ub4dor&3 in the night";
    static constexpr std::string_view encoded = "VHIwdWI0ZG9yJjMgaW4gdGhlIG5pZ2h0"; // of it, at a multiple of three
    static const Variable variable{"BULKHEAD_TEST_SECRET", password.data()};
    const TemporaryFile file{password};
    for (const auto looked_for : {password, encoded}) {
        CAPTURE(looked_for == encoded);
        bulkhead_test::FreedMemory freed{looked_for};
        const auto use = [](const Credentials& credentials) {
            const auto copy = credentials;
            CHECK_FALSE(validate(copy));
            const auto answer = copy.authorization();
            CHECK((answer.secret.reveal().substr(answer.secret.size() - encoded.size()) == encoded));
            (void)streamed(copy);
        };
        use(Credentials::basic("al", password));
        use(Credentials::basic("al", SecretSource::environment("BULKHEAD_TEST_SECRET")));
        use(Credentials::basic("al", SecretSource::file(file.path())));
        use(Credentials::api_key("id", SecretSource::callback([] { return Secret{password}; })));
        use(Credentials::api_key(encoded));
        use(Credentials::bearer(encoded));
        (void)Credentials::bearer(password).authorization(); // refused
        const auto from_url = credentials_from_userinfo("al:Tr0ub4dor&3%20in%20the%20night");
        REQUIRE(from_url);
        use(*from_url);
        CHECK(freed.blocks() > 50);
        CHECK(freed.found() == 0);
    }
}

TEST_CASE("a string that is handed over is overwritten where it stood", "[secret]") {
    // What the string's object itself holds: its own bytes, when it is small.
    const auto left_in = [](const std::string& text) {
        const auto* const object = reinterpret_cast<const unsigned char*>(&text);
        std::size_t left = 0;
        for (const std::string_view part : {"hun", "unt", "nte", "ter", "er2"})
            left +=
                std::search(object, object + sizeof text, part.begin(), part.end()) != object + sizeof text ? 1U : 0U;
        return left;
    };
    std::string small = "hunter2";
    CHECK(left_in(small) == 5);
    const SecretSource from_small{std::move(small)};
    CHECK(text_of(from_small) == "hunter2");
    CHECK(small.empty()); // NOLINT: what it holds then is part of the promise
    CHECK(left_in(small) == 0);

    std::string large(1000, 'x');
    const auto* const memory = large.data();
    const SecretSource from_large{std::move(large)};
    CHECK(text_of(from_large) == std::string(1000, 'x'));
    CHECK(large.data() == memory); // NOLINT
    CHECK(std::count(memory, memory + 1000, '\0') == 1000);

    std::string shortened = "hunter2";
    shortened.resize(1);
    CHECK(left_in(shortened) > 0);
    bulkhead::detail::wipe(shortened);
    CHECK(shortened.empty());
    CHECK(left_in(shortened) == 0);
}

// ---- SecretSource ---------------------------------------------------------------------------------------------------

TEST_CASE("a value that was given is the secret; an empty one is a problem", "[credentials]") {
    const std::string kept = "s3cret";
    const char* const nobody = nullptr;
    CHECK(text_of("s3cret") == "s3cret");
    CHECK(text_of(kept) == "s3cret");
    CHECK(kept == "s3cret");
    CHECK(text_of(std::string_view{kept}) == "s3cret");
    CHECK(text_of(Secret{"s3cret"}) == "s3cret");
    CHECK_FALSE(SecretSource{"s3cret"}.can_change());
    for (const SecretSource& empty :
         {SecretSource{""}, SecretSource{nobody}, SecretSource{Secret{}}, SecretSource{std::string{}}})
        CHECK(problem_of(empty) == "the given value is empty");
    SecretSource source{"s3cret"};
    const auto copy = source;
    const auto moved = std::move(source);
    CHECK(text_of(copy) == "s3cret");
    CHECK(text_of(moved) == "s3cret");
    CHECK_FALSE(problem_of(source).empty()); // NOLINT: it does not crash
}

TEST_CASE("an environment variable is read at each asking; missing or empty is a problem with its name",
          "[credentials]") {
    const auto source = SecretSource::environment("BULKHEAD_TEST_KEY");
    CHECK(source.can_change());
    CHECK(source.origin() == "environment variable BULKHEAD_TEST_KEY");
    CHECK(problem_of(source) == "environment variable BULKHEAD_TEST_KEY is not set");
    const Variable variable{"BULKHEAD_TEST_KEY", ""};
    CHECK(problem_of(source) == "environment variable BULKHEAD_TEST_KEY is empty");
    variable.set("first");
    CHECK(text_of(source) == "first");
    variable.set("second");
    CHECK(text_of(source) == "second");
    for (const std::string& name : {std::string{}, std::string{"A=B"}, std::string{"A\0B", 3}}) {
        const auto nameless = SecretSource::environment(name);
        CHECK_FALSE(nameless.fault().empty());
        CHECK(problem_of(nameless) == nameless.fault());
    }
}

TEST_CASE("a file's content is the secret, without one newline at its end, read at each asking", "[credentials]") {
    const std::pair<const char*, const char*> contents[] = {
        {"key", "key"},           {"key\n", "key"},           {"key\r\n", "key"},
        {"key\n\n", "key\n"},     {"key\r\n\r\n", "key\r\n"}, {"key\r", "key\r"},
        {"a\r\nb\r\n", "a\r\nb"}, {" key ", " key "},         {"\nkey", "\nkey"},
    };
    const TemporaryFile file{""};
    const auto source = SecretSource::file(file.path());
    CHECK(source.can_change());
    for (const auto& [content, secret] : contents) {
        CAPTURE(content);
        file.write(content);
        CHECK(text_of(source) == secret);
    }
    file.write({"a\0b\n", 4});
    CHECK(text_of(source) == std::string("a\0b", 3));
    for (const char* const nothing : {"", "\n", "\r\n"}) {
        file.write(nothing);
        CHECK(problem_of(source) == "file " + file.path() + " is empty");
    }
    file.write(std::string(65536, 'x'));
    CHECK(text_of(source).size() == 65536);
    file.write(std::string(65535, 'x') + "\n");
    CHECK(text_of(source).size() == 65535);
    file.write(std::string(65536, 'x') + "\n");
    CHECK(problem_of(source) == "file " + file.path() + " is larger than 65536 bytes");
    file.write(std::string(1'000'000, 'x'));
    CHECK(problem_of(source) == "file " + file.path() + " is larger than 65536 bytes");
}

TEST_CASE("what is no readable file is a problem with its name, and holds nobody up", "[credentials]") {
    const TemporaryFile file{"key"};
    const auto source = SecretSource::file(file.path());
    std::filesystem::remove(file.path());
    CHECK(problem_of(source) == "file " + file.path() + " cannot be read: No such file or directory");
    std::filesystem::create_directory(file.path());
    CHECK(problem_of(source) == "file " + file.path() + " is not a regular file");
    {
        std::ofstream{file.path() + "/target"} << "through a link\n";
        std::filesystem::create_symlink("target", file.path() + "/link"); // as Kubernetes does it
        CHECK(text_of(SecretSource::file(file.path() + "/link")) == "through a link");
    }
    std::filesystem::remove_all(file.path());
    REQUIRE(::mkfifo(file.path().c_str(), 0600) == 0);
    CHECK(problem_of(source) == "file " + file.path() + " is not a regular file"); // nobody writes into it
    CHECK(problem_of(SecretSource::file("/dev/null")) == "file /dev/null is not a regular file");
    for (const std::string& path : {std::string{}, std::string{"/etc/hostname\0x", 15}})
        CHECK(contains(problem_of(SecretSource::file(path)), "has a name that is empty or holds NUL"));
}

TEST_CASE("a callback is called at each asking, and whatever goes wrong in it is a problem", "[credentials]") {
    int calls = 0;
    const auto source = SecretSource::callback([&] { return Secret{"key-" + std::to_string(++calls)}; });
    const auto copy = source;
    CHECK(calls == 0); // not before it is asked
    CHECK(text_of(source) == "key-1");
    CHECK(text_of(copy) == "key-2"); // the same function, not a copy with a state of its own
    CHECK(text_of(source) == "key-3");
    CHECK(source.can_change());
    CHECK(problem_of(SecretSource::callback([] { return Secret{}; })) == "the callback is empty");
    CHECK(problem_of(SecretSource::callback([]() -> Secret { throw std::runtime_error{"hunter2"}; })) ==
          "the callback threw an exception");
    CHECK(problem_of(SecretSource::callback([]() -> Secret { throw 7; })) == "the callback threw an exception");
    const auto nobody = SecretSource::callback(nullptr);
    CHECK(nobody.fault() == "the callback is not there");
    CHECK(problem_of(nobody) == nobody.fault());
    CHECK_THROWS_AS(SecretSource::callback([]() -> Secret { throw std::bad_alloc{}; }).ask(), std::bad_alloc);
}

TEST_CASE("a source's name is fit for a log, however long and strange", "[credentials]") {
    for (const auto& strange : {std::string{"a\r\nfake: line\x1b[31m\x7f"}, std::string(100'000, 'x')}) {
        for (const auto& source : {SecretSource::environment(strange), SecretSource::file(strange)}) {
            const auto problem = problem_of(source);
            CHECK(problem.size() < 512);
            CHECK(std::none_of(problem.begin(), problem.end(),
                               [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }));
        }
    }
}

// ---- Credentials ----------------------------------------------------------------------------------------------------

TEST_CASE("base64 is that of RFC 4648", "[credentials]") {
    const std::pair<const char*, const char*> vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (const auto& [bytes, text] : vectors) CHECK(base64(bytes) == text);
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto text = base64(all);
    std::string back; // decoded by other means
    unsigned bits = 0;
    int count = 0;
    for (const char c : text.substr(0, text.find('='))) {
        bits = bits << 6U | static_cast<unsigned>(digits.find(c));
        count += 6;
        if (count < 8) continue;
        count -= 8;
        back += static_cast<char>(bits >> static_cast<unsigned>(count) & 0xFFU);
    }
    CHECK(back == all);
    CHECK(text.size() == 344);
}

TEST_CASE("each kind of credentials makes its Authorization field", "[credentials]") {
    CHECK(header_of(Credentials::basic("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); // RFC 7617
    CHECK(header_of(Credentials::basic("test", "123\xC2\xA3")) == "Basic dGVzdDoxMjPCow==");                // the same
    CHECK(header_of(Credentials::basic("u", "a:b")) == "Basic " + base64("u:a:b"));
    CHECK(header_of(Credentials::api_key("VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==")) ==
          "ApiKey VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==");
    CHECK(header_of(Credentials::api_key("VuaCfGcBCdbkQm-e5aOx", "ui2lp2axTNmsyakw9tvNnw")) ==
          "ApiKey VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==");
    CHECK(header_of(Credentials::bearer("mF_9.B5f-4.1JqM~+/==")) == "Bearer mF_9.B5f-4.1JqM~+/==");
    for (const auto& credentials : all_kinds("key")) {
        CHECK_FALSE(credentials.empty());
        CHECK_FALSE(validate(credentials));
        CHECK_FALSE(header_of(credentials).empty());
    }
    CHECK(streamed(Credentials::basic("elastic", "x")) == "basic [secret]");
    CHECK(streamed(Credentials::api_key("x")) == "api_key [secret]");
    CHECK(streamed(Credentials::api_key("id", "x")) == "api_key [secret]");
    CHECK(streamed(Credentials::bearer("x")) == "bearer [secret]");
}

TEST_CASE("no credentials are no field and no problem", "[credentials]") {
    const Credentials none;
    CHECK(none.empty());
    CHECK_FALSE(none.can_change());
    CHECK_FALSE(validate(none));
    CHECK(none.authorization().secret.empty());
    CHECK(none.authorization().problem.empty());
    CHECK(streamed(none) == "none");
}

TEST_CASE("a rotated secret is in the next field, and its absence is a problem and not the old field",
          "[credentials]") {
    const TemporaryFile file{"first\n"};
    const auto credentials = Credentials::bearer(SecretSource::file(file.path()));
    CHECK(credentials.can_change());
    CHECK(header_of(credentials) == "Bearer first");
    file.write("second\n");
    CHECK(header_of(credentials) == "Bearer second");
    std::filesystem::remove(file.path());
    const auto answer = credentials.authorization();
    CHECK(answer.secret.empty());
    CHECK(answer.problem == "credentials.token: expected a secret, found none: file " + file.path() +
                                " cannot be read: No such file or directory");
    CHECK_FALSE(Credentials::bearer("fixed").can_change());
}

TEST_CASE("validating asks nobody: only what was given is looked at", "[credentials]") {
    bool asked = false;
    const auto source = SecretSource::callback([&] {
        asked = true;
        return Secret{"a\nb"};
    });
    CHECK_FALSE(validate(Credentials::bearer(source)));
    CHECK_FALSE(validate(Credentials::basic("elastic", SecretSource::environment("BULKHEAD_TEST_NOT_SET"))));
    CHECK_FALSE(validate(Credentials::bearer(SecretSource::file("/nowhere"))));
    CHECK(validate(Credentials::basic("a:b", source))->field == "credentials.user");
    CHECK_FALSE(asked);
    CHECK(validate(Credentials::bearer(SecretSource::file("")))->field == "credentials.token");
    CHECK(validate(Credentials::bearer(SecretSource::environment("A=B")))->field == "credentials.token");
    CHECK(validate(Credentials::bearer(SecretSource::callback(nullptr)))->message() ==
          "credentials.token: expected a secret, found none: the callback is not there");
    CHECK(validate(Credentials::api_key(""))->message() ==
          "credentials.api_key: expected a secret, found none: the given value is empty");
    CHECK(validate(Credentials::basic("elastic", ""))->field == "credentials.password");
}

TEST_CASE("what could end a header field, or is no text, is never sent", "[credentials][F163]") {
    for (const std::string& bad :
         {std::string{"hunter2\r\nX-Forged: yes"}, std::string{"hunter2\n"}, std::string{"\rhunter2"},
          std::string{"hunter2\0", 8}, std::string{"\0hunter2", 8}, std::string{"hunter2\x7f"},
          std::string{"hunter2\t"}, std::string{"\x1bhunter2"}, std::string{"hunter2\xFF"},
          std::string{"hunter2\xC0\x80"}, std::string{"hunter2\xED\xA0\x80"}, std::string(8192, 'h')}) {
        CAPTURE(bad);
        for (const auto& credentials : all_kinds(bad)) {
            CAPTURE(streamed(credentials));
            const auto answer = credentials.authorization();
            CHECK(answer.secret.empty());
            CHECK_FALSE(answer.problem.empty());
            CHECK(validate(credentials).has_value() == !credentials.can_change());
            CHECK_FALSE(contains(all_that_is_shown(credentials), "hunter2"));
            CHECK_FALSE(contains(all_that_is_shown(credentials), "hhh"));
        }
    }
    for (const std::string& user : {std::string{}, std::string{"a:b"}, std::string{":"}, std::string{"a\r\nb"},
                                    std::string{"a\0", 2}, std::string{"\xFF"}, std::string(8192, 'u')}) {
        CAPTURE(user);
        CHECK(validate(Credentials::basic(user, "key")));
        CHECK(validate(Credentials::api_key(user, "key")));
        CHECK(Credentials::basic(user, SecretSource::callback([] { return Secret{"key"}; }))
                  .authorization()
                  .secret.empty());
    }
}

TEST_CASE("API keys and tokens with what a slip of the hand brings along are refused", "[credentials][F163]") {
    for (const std::string text : {"ApiKey aGk=", "Bearer aGk=", "id:hunter2", "\"aGk=\"", "aGk= ", " aGk=", "aG=k",
                                   "=", "==", "a,b", "\xC3\xA4", "$ES_KEY", "{aGk}"}) {
        CAPTURE(text);
        CHECK(validate(Credentials::api_key(text)));
        CHECK(validate(Credentials::bearer(text)));
        CHECK_FALSE(validate(Credentials::basic("elastic", text))); // a password may hold all of that
    }
    CHECK(
        validate(Credentials::api_key("id:hunter2"))->message() ==
        "credentials.api_key: expected base64 of id:api_key, which the server calls `encoded`, found something else in "
        "the given value");
}

TEST_CASE("a field is at most 8192 bytes, and every one is visible ASCII or the space after the scheme",
          "[credentials][F163]") {
    const auto fits = [](const Credentials& credentials) { return credentials.authorization().problem.empty(); };
    CHECK(fits(Credentials::bearer(std::string(8192 - 7, 'x'))));
    CHECK_FALSE(fits(Credentials::bearer(std::string(8192 - 6, 'x'))));
    CHECK(fits(Credentials::api_key(std::string(8192 - 7, 'x'))));
    CHECK_FALSE(fits(Credentials::api_key(std::string(8192 - 6, 'x'))));
    CHECK(fits(Credentials::basic("u", std::string(6138 - 2, 'x'))));       // 6 and 8184
    CHECK_FALSE(fits(Credentials::basic("u", std::string(6138 - 1, 'x')))); // 6 and 8188
    std::string any;
    for (int c = 0x20; c < 0x7F; ++c) any += static_cast<char>(c);
    for (const auto& credentials : {Credentials::basic("u \"'\\", any + "\xF0\x9F\x94\x91"),
                                    Credentials::api_key("id", any), Credentials::bearer("a-._~+/b=")}) {
        const auto header = header_of(credentials);
        CHECK(std::all_of(header.begin(), header.end(), [](char c) { return c >= 0x20 && c < 0x7F; }));
        CHECK(std::count(header.begin(), header.end(), ' ') == 1);
    }
}

TEST_CASE("nothing that is shown of credentials holds the secret, in any form", "[credentials]") {
    // Good ones, refused ones, and those of every kind: the secret, its base64 and that of the pair are nowhere.
    for (const std::string secret : {"hunter2hunter2", "hunter2hunter2\n", "hunter2 hunter2", "hunter2:hunter2"}) {
        for (const auto& credentials : all_kinds(secret)) {
            const auto shown = all_that_is_shown(credentials);
            CAPTURE(shown);
            CHECK_FALSE(contains(shown, "hunter2"));
            CHECK_FALSE(contains(shown, base64("hunter2").substr(0, 8)));
            CHECK_FALSE(contains(shown, base64("elastic:hunter2").substr(10, 8)));
            CHECK_FALSE(contains(shown, base64("id:hunter2").substr(4, 8)));
        }
    }
}

// ---- In a URL -------------------------------------------------------------------------------------------------------

TEST_CASE("user and password of a URL are decoded once", "[credentials][F162]") {
    const auto header = [](std::string_view userinfo) {
        const auto found = credentials_from_userinfo(userinfo);
        REQUIRE(found);
        CHECK(streamed(*found) == "basic [secret]");
        CHECK_FALSE(found->can_change());
        return header_of(*found);
    };
    CHECK(header("user:p%40ss") == "Basic " + base64("user:p@ss"));
    CHECK(header("user:p%2540ss") == "Basic " + base64("user:p%40ss")); // once
    CHECK(header("user:a:b%3Ac") == "Basic " + base64("user:a:b:c"));   // the first colon separates
    CHECK(header("us%65r:p+s%20%2b") == "Basic " + base64("user:p+s +"));
    CHECK(header("%C3%A4:%f0%9f%94%91") == "Basic " + base64("\xC3\xA4:\xF0\x9F\x94\x91"));
    CHECK(header("a-._~!$&'()*+,;=:%25") == "Basic " + base64("a-._~!$&'()*+,;=:%"));
}

TEST_CASE("what is no user and password of a URL is refused whole", "[credentials][F162][F163]") {
    for (const std::string_view wrong :
         {"",          "user",          ":",          "user:",    ":password",     "user:%",    "user:%4",
          "user:%4g",  "user:%g4",      "user:%%41",  "us%er:x",  "user:a@b",      "user:a/b",  "user:a b",
          "user:a\"b", "user:\xC3\xA4", "u%3Aser:x",  "user:%00", "user:a%0d%0ab", "us%0Aer:x", "user:%7f",
          "user:%FF",  "user:%C0%80",   "user:a\r\nb"}) {
        CAPTURE(wrong);
        CHECK_FALSE(credentials_from_userinfo(wrong));
    }
    CHECK_FALSE(credentials_from_userinfo(std::string_view{"user:a\0", 7}));
    CHECK_FALSE(credentials_from_userinfo(std::string_view{"user:%41"}.substr(0, 7))); // what comes after is not ours
    CHECK_FALSE(credentials_from_userinfo("user:" + std::string(10'000, 'x')));
}
