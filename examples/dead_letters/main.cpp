// SPDX-License-Identifier: BSL-1.0
// Lists a file of dead letters as `bulkhead::FileSink` writes it, or sends them again.
//
//     dead_letters list FILE [--type document_parsing_exception]
//     dead_letters replay FILE --url https://search:9200 --ca-file ca.pem --api-key-file key [--type T] [--remaining
//     FILE]
//
// A replay does not change the file: move it away first, and remove it when exit status 0 says that all is indexed.
#include "command.hpp"

#include <iostream>

int main(int argc, char** argv) { return letters::run(argc, argv, std::cout, std::cerr); }
