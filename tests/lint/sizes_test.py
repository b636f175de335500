#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""cpp.py finds classes and functions, and sizes.py and open_entries.py fail when they should."""
import pathlib
import tempfile
import unittest

import cpp
import open_entries
import sizes

CODE = r'''
#define NOT_A_BRACE {
namespace a::inline v1 {
/// class Comment { int x; };
enum class Kind : int { one, two };
struct Plain {
    int a = 1, b{2};
    std::map<int, std::vector<int>> c;
    std::function<void(int)> d = [](int x) { return; };
    static constexpr int not_counted = 3;
    using alias = int;
    enum { begins, ends } step = begins;
    Jitter jitter = std::is_same_v<Clock, steady> ? Jitter{} : Jitter{1};
};
template <class T>
    requires requires(T t) { t.x(); }
class [[nodiscard]] Whole : public Base<T> {
public:
    explicit Whole(int x) : a_{x}, b_(x) {
        if (x < 0) throw "{";
    }
    bool operator()(int) const { return '{' == 0; }
    bool operator<(const Whole& other) const noexcept { return a_ < other.a_; }
    auto trailing() -> std::vector<int> { return {}; }
    static void nothing() {}
    void declared(std::vector<int> x = {1, 2}) const;
    Whole(const Whole&) = delete;
    friend bool operator==(const Whole&, const Whole&) = default;
    struct Inner {
        alignas(64) std::atomic<int> x{0};
    };

private:
    const int a_;
    int b_ = 5;
    void (*c_)(int) = nullptr;
};
inline std::string
long_head(int a,
          int b) {
    struct Local {
        void f() {}
    };
    return R"(})";
}
} // namespace
'''


class Parsing(unittest.TestCase):
    def setUp(self):
        classes, functions = cpp.parse(CODE)
        self.classes = {found.name: found for found in classes}
        self.functions = {found.name: found for found in functions}

    def test_classes(self):
        self.assertEqual(list(self.classes), ["Plain", "Whole", "Whole::Inner"])
        self.assertEqual([found.members for found in self.classes.values()], [6, 3, 1])
        self.assertEqual([found.aggregate for found in self.classes.values()], [True, False, True])
        self.assertEqual(self.classes["Plain"].lines, 9)

    def test_functions(self):
        self.assertEqual(list(self.functions), ["Whole::Whole", "Whole::operator()", "Whole::operator<", "Whole::trailing",
                                                "Whole::nothing", "long_head"])
        self.assertEqual(self.functions["Whole::Whole"].lines, 3)
        self.assertEqual(self.functions["long_head"].lines, 8)

    def test_lines_keep_their_numbers(self):
        text = cpp.without_comments(CODE)
        self.assertEqual(text.count("\n"), CODE.count("\n"))
        self.assertNotIn("Comment", text)


def measured(text):
    found = sizes.Sizes()
    sizes.measure_text(found, text)
    return found.above()


class Limits(unittest.TestCase):
    def test_members(self):
        members = "".join(f"int m{i};\n" for i in range(21))
        self.assertEqual(measured(f"class A {{ {members} }};"), {"members of A": (21, 20)})
        self.assertEqual(measured(f"struct A {{ A(); {members} }};"), {"members of A": (21, 20)})
        self.assertEqual(measured(f"struct A {{ {members} }};"), {})
        self.assertEqual(measured(f"struct A {{ {members} {'void f() {} ' * 4} }};"), {"members of A": (21, 20)})
        self.assertEqual(measured(f"class A {{ {members[:members.rindex('int')]} }};"), {})
        self.assertEqual(measured(f"class IndexerCore {{ {members} }};"), {})

    def test_functions(self):
        self.assertEqual(measured("void f() {" + "\n" * 60 + "}"), {"lines of function f": (61, 60)})
        self.assertEqual(measured("void f() {" + "\n" * 59 + "}"), {})
        self.assertEqual(sizes.measure_text(sizes.Sizes(), "void f() {" + "\n" * 40 + "}"), 1)

    def test_core(self):
        self.assertEqual(measured("class IndexerCore {" + "\n" * 350 + "};"), {"lines of class IndexerCore": (351, 350)})

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for i in range(13):
                path = root / f"include/bulkhead/http/a{i}.hpp"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n" * 351, encoding="utf-8")
            (root / "tests").mkdir()
            above = sizes.measure(root).above()
        self.assertEqual(above.pop("files in include/bulkhead/http"), (13, 12))
        self.assertEqual(above.pop("median of the library's headers"), (351, 120))
        self.assertEqual(set(above), {f"lines of include/bulkhead/http/a{i}.hpp" for i in range(13)})


class OpenEntries(unittest.TestCase):
    def test_only_shrink(self):
        found = {"a": (5, 4)}
        self.assertEqual(list(open_entries.faults(found, {"a": 5})), [])
        self.assertEqual(list(open_entries.faults(found, {"a": 6})), [])
        self.assertEqual(len(list(open_entries.faults(found, {}))), 1)
        self.assertEqual(len(list(open_entries.faults(found, {"a": 4}))), 1)
        self.assertEqual(len(list(open_entries.faults({}, {"a": 5}))), 1)

    def test_round(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "open.tsv"
            self.assertEqual(open_entries.read(path), {})
            open_entries.write(path, {"lines of a b": (5, 4)}, "why")
            self.assertEqual(open_entries.read(path), {"lines of a b": 5})


if __name__ == "__main__":
    unittest.main()
