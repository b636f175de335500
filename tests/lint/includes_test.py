#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""includes.py finds Asio behind other headers, circles, parts without tests, and what examples and docs take from inside."""
import pathlib
import tempfile
import unittest

import includes

TREE = {
    "include/bulkhead/transport.hpp": "#include <boost/asio/awaitable.hpp>\n",
    "include/bulkhead/stats.hpp": "#include <bulkhead/settlement.hpp>\n",
    "include/bulkhead/settlement.hpp": "#include <boost/asio/buffer.hpp>\n#include <vector>\n",
    "include/bulkhead/detail/send/retry.hpp": "#include <bulkhead/stats.hpp>\n",
    "include/bulkhead/http/http_transport.hpp": "#  include <boost/beast/http.hpp>\n",
    "include/bulkhead/kafka/offset_tracker.hpp": "",
    "tests/unit/send/retry_test.cpp": "#include <bulkhead/detail/send/retry.hpp>\n#include \"support/catch.hpp\"\n",
    "tests/support/catch.hpp": "",
    "examples/first.cpp": "#include <bulkhead/stats.hpp>\nboost::asio::detail::x y;\n",
    "docs/start.md": "`detail::x`\n```cpp\nbulkhead::BulkIndexer x;\n```\n",
}


def found_in(**changes):
    """The faults of TREE with some files changed; a name's __ is a slash, its last _ the dot."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        texts = dict(TREE)
        for name, text in changes.items():
            path = ".".join(name.replace("__", "/").rsplit("_", 1))
            texts[path] = texts.get(path, "") + text
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        (root / "README.md").write_text("", encoding="utf-8")
        found = includes.check(root)[1]
    return {what: why for what, why in found.items() if not what.startswith("part ") or what.startswith("part retry has")}


class Includes(unittest.TestCase):
    def test_nothing_found(self):
        self.assertEqual(found_in(), {})

    def test_asio_through_another_header(self):
        found = found_in(include__bulkhead__settlement_hpp="#include <bulkhead/transport.hpp>\n")
        self.assertEqual(found["stats.hpp reaches Asio"],
                         "stats.hpp -> settlement.hpp -> transport.hpp -> boost/asio/awaitable.hpp")
        self.assertEqual(set(found), {"stats.hpp reaches Asio", "settlement.hpp reaches Asio",
                                      "detail/send/retry.hpp reaches Asio", "retry_test.cpp reaches Asio"})

    def test_pure_in_a_folder_with_asio(self):
        self.assertEqual(set(found_in(include__bulkhead__kafka__offset_tracker_hpp="#include <boost/asio.hpp>\n")),
                         {"kafka/offset_tracker.hpp reaches Asio"})

    def test_circle(self):
        found = found_in(include__bulkhead__settlement_hpp="#include <bulkhead/detail/send/retry.hpp>\n")
        self.assertEqual([why.count("->") for why in found.values()], [3])

    def test_part_without_its_test(self):
        self.assertEqual(set(found_in(include__bulkhead__detail__settle__retry_hpp="")), set())
        text = TREE.pop("tests/unit/send/retry_test.cpp")
        try:
            self.assertEqual(set(found_in()), {"part retry has no test"})
        finally:
            TREE["tests/unit/send/retry_test.cpp"] = text

    def test_what_is_internal(self):
        what = "examples/first.cpp uses what is internal"
        self.assertEqual(found_in(examples__first_cpp="#include <bulkhead/detail/send/retry.hpp>\n"),
                         {what: "includes bulkhead/detail/send/retry.hpp"})
        self.assertEqual(found_in(examples__first_cpp="using bulkhead::kafka::detail::ConfPtr;\n"),
                         {what: "names bulkhead::kafka::detail::ConfPtr"})
        self.assertEqual(found_in(examples__first_cpp="detail::f();\n"), {what: "names detail::f"})
        self.assertEqual(found_in(examples__first_cpp="namespace own::detail { int f(); }\nint x = detail::f();\n"), {})
        self.assertEqual(found_in(docs__start_md="```cpp\nbulkhead::detail::f();\n```\n"),
                         {"docs/start.md uses what is internal": "names bulkhead::detail::f"})


if __name__ == "__main__":
    unittest.main()
