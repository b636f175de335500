// SPDX-License-Identifier: BSL-1.0
// Lists a file of dead letters as `bulkhead::FileSink` writes it, or sends them again.
//
//     dead_letters list FILE [--type document_parsing_exception]
//     dead_letters replay FILE --url http://127.0.0.1:9200 [--type T] [--remaining FILE]
//
// A replay does not change the file: move it away first, and remove it when exit status 0 says that all is indexed.
#include "letters.hpp"

#include <CLI/CLI.hpp>

#include <iostream>

int main(int argc, char** argv) {
    letters::Options options;
    CLI::App app{"Lists a file of dead letters, or sends them again."};
    app.require_subcommand(1);
    auto* const list = app.add_subcommand("list", "one line for each letter");
    auto* const replay = app.add_subcommand("replay", "send them again");
    for (auto* const command : {list, replay}) {
        command->add_option("FILE", options.file, "as bulkhead::FileSink writes it")->required();
        command->add_option("--type", options.type, "only letters of this error type");
    }
    replay->add_option("--url", options.url, "http://HOST[:PORT][/PATH] of the search server")->required();
    replay->add_option("--header", options.header, "sent along, e.g. 'Authorization: ApiKey …'");
    replay->add_option("--remaining", options.remaining, "where those go that are not indexed (FILE.remaining)");
    CLI11_PARSE(app, argc, argv);
    if (options.remaining.empty()) options.remaining = options.file + ".remaining";
    try {
        if (list->parsed()) {
            std::cout << letters::list(options, std::cout) << " dead letters\n";
            return std::cout.flush() ? 0 : 1;
        }
        const auto result = letters::replay(options);
        std::cout << result.letters << " dead letters: " << result.indexed << " indexed, " << result.left_out
                  << " left out, " << result.remaining << " remaining";
        if (result.remaining != 0) std::cout << " (in " << options.remaining << ')';
        if (result.skipped != 0) std::cout << "; " << result.skipped << " lines skipped: torn, or no dead letters";
        std::cout << '\n';
        return std::cout.flush() && result.complete() ? 0 : 1;
    } catch (const bulkhead::InvalidOption& wrong) {
        std::cerr << "dead_letters: " << wrong.what() << '\n';
        return 2;
    } catch (const std::exception& failed) {
        std::cerr << "dead_letters: " << failed.what() << '\n';
        return 1;
    }
}
