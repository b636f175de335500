// SPDX-License-Identifier: BSL-1.0
#include "command.hpp"

#include "tool/server_options.hpp"
#include "tool/usage.hpp"
#include "tool/version_text.hpp"

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

#include <exception>
#include <optional>
#include <ostream>

namespace letters {

namespace {

enum class What : unsigned char { list, replay };
struct Command {
    What what = What::list;
    Options options;
};

constexpr const char* footer =
    "Exit status: 0 listed, or all letters of the file are indexed; 1 something remains, or went wrong; 2 wrong "
    "usage;\n"
    "4 the search server cannot be reached, is none, or does not take the credentials. A replay does not change the\n"
    "file: move it away first, and remove it when the status is 0.";

/// Nothing when `--help` or `--version` was asked for and answered. Throws `tool::UsageError`.
std::optional<Command> parse(int argc, const char* const* argv, std::ostream& out) {
    Command command;
    auto& options = command.options;
    std::vector<std::string> urls;
    tool::ServerOptions server;
    CLI::App app{"Lists a file of dead letters, or sends them again.", "dead_letters"};
    app.footer(footer);
    app.require_subcommand(1);
    app.set_version_flag("--version",
                         tool::version_text("dead_letters", {{"OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)}}));
    auto* const list = app.add_subcommand("list", "One line for each letter");
    auto* const replay = app.add_subcommand("replay", "Send them again");
    for (auto* const one : {list, replay}) {
        one->add_option("FILE", options.file, "As bulkhead::FileSink or kafka_replay --dead-letter-file writes it")
            ->required();
        one->add_option("--type", options.type, "Only letters of this error type");
        one->footer(footer);
    }
    replay->add_option("--remaining", options.remaining, "Where those go that are not indexed (FILE.remaining)")
        ->type_name("FILE");
    const auto group = "Search server";
    replay->add_option("--url", urls, "http[s]://HOST[:PORT][/PATH], several nodes of one cluster separated by commas")
        ->delimiter(',')
        ->envname("ELASTICSEARCH_URL")
        ->required()
        ->group(group);
    server.add_to(*replay, group);
    replay
        ->add_option(
            "--header", options.header,
            "Sent along, NAME: VALUE. Other users of the machine can read it: a key belongs into --api-key-file")
        ->group(group);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {
        app.exit(asked, out, out);
        return std::nullopt;
    } catch (const CLI::ParseError& wrong) {
        throw tool::UsageError{tool::one_line(wrong.what())};
    }
    if (options.remaining.empty()) options.remaining = options.file + ".remaining";
    if (list->parsed()) return command;
    command.what = What::replay;
    if (!options.header.empty() && options.header.find(':') == std::string::npos)
        throw tool::UsageError{"--header: expected NAME: VALUE, found no colon"}; // what it is may be a secret
    server.finish(urls, options.http, options.tls);
    options.url = options.http.url;
    return command;
}

int replay_and_say(const Options& options, std::ostream& out, std::ostream& err) {
    const auto result = replay(options);
    out << result.letters << " dead letters: " << result.indexed << " indexed, " << result.left_out << " left out, "
        << result.remaining << " remaining";
    if (result.remaining != 0) out << " (in " << options.remaining << ')';
    if (result.records != 0) out << "; " << result.records << " are Kafka records that never became an operation";
    if (result.skipped != 0) out << "; " << result.skipped << " lines skipped: torn, or no dead letters";
    out << '\n';
    for (const auto& failure : result.failures)
        err << "dead_letters: " << failure.count << " times " << failure.type << " (status " << failure.status << ")\n";
    return out.flush() && result.complete() ? exit_ok : exit_fault;
}

} // namespace

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
    const auto complain = [&err](const std::string& what, Exit status) {
        err << "dead_letters: " << what << '\n';
        return status;
    };
    try {
        const auto command = parse(argc, argv, out);
        if (!command) return out.flush() ? exit_ok : exit_fault;
        if (command->what == What::replay) return replay_and_say(command->options, out, err);
        out << list(command->options, out) << " dead letters\n";
        return out.flush() ? exit_ok : exit_fault;
    } catch (const tool::UsageError& wrong) {
        return complain(std::string{wrong.what()} + " (--help says more)", exit_usage);
    } catch (const bulkhead::InvalidOption& wrong) {
        return complain(tool::in_our_options(wrong.what()) + " (--help says more)", exit_usage);
    } catch (const NoServer& none) {
        return complain(tool::in_our_options(none.what()), exit_search);
    } catch (const std::exception& failed) {
        return complain(failed.what(), exit_fault);
    }
}

} // namespace letters
