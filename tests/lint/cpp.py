# SPDX-License-Identifier: BSL-1.0
"""Finds the classes and functions of C++ source by its braces: no preprocessor, no templates, but fast, and enough for
source that clang-format has laid out. Used by sizes.py; tests in sizes_test.py."""
import dataclasses
import re

BLANKED = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z_])\'(?:\\.|[^\'\\\n])+\''
                     r"|^[ \t]*#(?:\\\n|[^\n])*", re.S | re.M)
TOKEN = re.compile(r"\n|\w+|::|->|[^\w\s]")
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, set(")]}")
NO_MEMBER = {"using", "typedef", "friend", "static_assert", "static", "enum", "class", "struct", "union", "extern", "concept",
             "public", "private", "protected", "template"}


@dataclasses.dataclass
class Class:
    name: str
    first: int
    last: int = 0
    key: str = "class"
    members: int = 0
    functions: int = 0
    aggregate: bool = True

    @property
    def lines(self):
        return self.last - self.first + 1


@dataclasses.dataclass
class Function:
    name: str
    first: int
    last: int = 0

    @property
    def lines(self):
        return self.last - self.first + 1


def without_comments(text):
    """The text with comments and preprocessor lines as blanks, and with literals as `0`; its lines keep their numbers."""

    def blank(match):
        lines = "\n" * match[0].count("\n")
        return lines if match[0].lstrip()[:1] in ("#", "/") else "0" + lines

    return BLANKED.sub(blank, text)


def tokens_of(text):
    found, line = [], 1
    for token in TOKEN.findall(without_comments(text)):
        if token == "\n":
            line += 1
        else:
            found.append((token, line))
    return found


def after_angles(words, at):
    """Where the template argument list that begins at `at` ends, or `at + 1` when `<` is a comparison."""
    depth, inner, i = 0, 0, at
    while i < len(words):
        word = words[i]
        if word in OPEN:
            inner += 1
        elif word in CLOSE:
            inner -= 1
        elif word == "<" and inner == 0:
            depth += 1
        elif word == ">" and inner == 0 and words[i - 1] != "-":
            depth -= 1
            if depth == 0:
                return i + 1
        if inner < 0 or word == ";":
            break
        i += 1
    return at + 1


def top_level(head):
    """The words of a declaration outside of brackets and template argument lists; a bracket pair stays as its opening one."""
    words, found, i = [word for word, _ in head], [], 0
    while i < len(words):
        word = words[i]
        if word == "operator":  # operator(), operator<=>, operator bool
            found.append(word)
            i += 1
            if words[i:i + 2] == ["(", ")"]:
                i += 2
            while i < len(words) and not re.match(r"[\w(]", words[i]):
                i += 1
            continue
        if word == "<" and found and re.match(r"\w", found[-1]) and "=" not in found:
            i = after_angles(words, i)
            continue
        found.append(word)
        if word in OPEN:
            depth = 0
            while i < len(words):
                depth += (words[i] in OPEN) - (words[i] in CLOSE)
                i += 1
                if depth == 0:
                    break
            continue
        i += 1
    return found


def declaration(head):
    """`top_level` without attributes, `alignas(...)`, and the template header with its requires clause's brackets."""
    found = top_level(head)
    kept, i = [], 0
    while i < len(found):
        if found[i] in ("alignas", "explicit", "noexcept", "decltype", "requires") and found[i + 1:i + 2] == ["("]:
            if found[i] == "decltype":
                kept.append("auto")
            i += 2
        elif found[i] == "[" and (not kept or kept[-1] in ("class", "struct")):
            i += 1
        elif found[i] in ("template", "inline", "mutable", "constexpr", "requires") and not kept:
            i += 1
        else:
            kept.append(found[i])
            i += 1
    return kept


def kind_of(head, in_class):
    """What the brace after `head` opens: namespace, class, enum, function, or initializer (anything else)."""
    words = declaration(head)
    if "namespace" in words[:2]:
        return "namespace"
    if words[:1] == ["extern"] and words[-1:] == ["0"]:
        return "namespace"  # extern "C"
    if words[:1] == ["enum"]:
        return "enum"
    operator = "operator" in words
    assigned = "=" in words and not operator
    for key in ("class", "struct", "union"):
        if key in words and "(" not in words[:words.index(key)] and not assigned:
            if "(" not in words or in_class is None:
                return "class"
    if assigned or not ("(" in words or operator):
        return "initializer"
    last = head[-1][0]
    if ":" in words and "(" in words[:words.index(":")]:  # the members' initializers of a constructor
        return "function" if last in (")", "}") else "initializer"
    ends = ("const", "noexcept", "override", "final", "mutable", "try")
    if re.match(r"\w", last) and last not in ends and not operator and not {"->", "requires"} & {word for word, _ in head}:
        return "initializer"
    return "function"


def is_requires_expression(head):
    words = [word for word, _ in head]
    if not words:
        return False
    if words[-1] == "requires":
        return True
    if words[-1] != ")":
        return False
    depth = 0
    for i in range(len(words) - 1, -1, -1):
        depth += (words[i] in CLOSE) - (words[i] in OPEN)
        if depth == 0:
            break
    return words[i - 1:i] == ["requires"] and words[i - 2:i - 1] in (["requires"], ["="], ["&"], ["|"], ["("], ["!"])


def name_of_class(head):
    words = declaration(head)
    for key in ("class", "struct", "union"):
        if key in words:
            after = [word for word in words[words.index(key) + 1:] if word not in ("final", "[", "(")]
            names = []
            for word in after:
                if word == ":":
                    break
                names.append(word)
            return key, "".join(names) or "(unnamed)"
    return "class", "(unnamed)"


def name_of_function(head):
    words = [word for word, _ in head]
    if "operator" in words:
        at = words.index("operator")
        end = at + 1
        while end < len(words) and (words[end] != "(" or end == at + 1):
            end += 1
        return "".join(words[at:end])
    flat = declaration(head)
    if "(" not in flat:
        return "(unnamed)"
    at = flat.index("(")
    name = flat[at - 1] if at else "(unnamed)"
    if at > 1 and flat[at - 2] == "~":
        name = "~" + name
    while at > 2 and flat[at - 2] == "::":
        at -= 2
        name = flat[at - 1] + "::" + name
    return name


def members_of(head):
    """How many data members a declaration in a class declares."""
    words = declaration(head)
    while len(words) > 1 and words[0] in ("public", "private", "protected") and words[1] == ":":
        words = words[2:]
    if words[:1] == ["enum"]:
        return int("{" in words and words[-1] != "{")  # `enum { a, b } step = a;`
    if not words or words[0] in NO_MEMBER or "operator" in words or "static" in words or "friend" in words:
        return 0
    before = words[:words.index("=")] if "=" in words else words
    if "(" in before and not before[before.index("("):][1:2] == ["("]:
        return 0  # a function; "( (" is a pointer to one
    # Another declarator, not an argument of a template in an initializer.
    ends = ["=", "{", "[", ","]
    return 1 + sum(words[i] == "," and (i + 2 == len(words) or words[i + 2:i + 3][0] in ends) for i in range(len(words) - 1))


class Parser:
    def __init__(self, text):
        self.tokens = tokens_of(text)
        self.at = 0
        self.classes, self.functions = [], []
        self.scope([], None)

    def skip_braces(self):
        """From an opening brace to behind its closing one; returns the line of that."""
        depth = 0
        while self.at < len(self.tokens):
            word, line = self.tokens[self.at]
            depth += (word == "{") - (word == "}")
            self.at += 1
            if depth == 0:
                return line
        return self.tokens[-1][1]

    def scope(self, names, inside):
        """The declarations of a namespace or class, up to and with its closing brace."""
        head, depth = [], 0
        while self.at < len(self.tokens):
            word, line = self.tokens[self.at]
            if word == "}" and depth == 0:
                self.at += 1
                return line
            if word in "([":
                depth += 1
            elif word in ")]":
                depth -= 1
            if word == ";" and depth == 0:
                self.at += 1
                self.finish(head, inside)
                head = []
            elif word == "{":
                head = self.brace(head, depth, names, inside)
            elif (word == ":" and inside and depth == 0 and len(head) == 1 and
                  head[0][0] in ("public", "private", "protected")):
                inside.aggregate &= head[0][0] == "public"
                self.at += 1
                head = []
            else:
                head.append((word, line))
                self.at += 1
        return self.tokens[-1][1] if self.tokens else 0

    def finish(self, head, inside):
        if not head or inside is None:
            return
        inside.members += members_of(head)
        words = declaration(head)
        if "virtual" in words:
            inside.aggregate = False
        self.note_constructor(words, inside)

    def note_constructor(self, words, inside):
        if "(" in words and words.index("(") > 0 and "=" not in words[:words.index("(")]:
            before = words[:words.index("(")]
            if before[-1] == inside.name.split("::")[-1] and "~" not in before and "friend" not in before:
                inside.aggregate = False

    def brace(self, head, depth, names, inside):
        line = self.tokens[self.at][1]
        first = head[0][1] if head else line
        if depth == 0 and not is_requires_expression(head):
            kind = kind_of(head, inside)
            if kind == "namespace":
                self.at += 1
                self.scope(names, None)
                return []
            if kind == "class":
                key, name = name_of_class(head)
                found = Class("::".join([*names, name]), first, key=key, aggregate=key != "class")
                self.classes.append(found)
                self.at += 1
                found.last = self.scope([*names, name], found)
                return [("struct", line), ("0", line)] if self.at < len(self.tokens) and self.tokens[self.at][0] == ";" else [
                    ("auto", line)]  # a variable of that type may follow
            if kind == "function":
                found = Function("::".join([*names, name_of_function(head)]), first)
                self.functions.append(found)
                if inside:
                    inside.functions += 1
                    self.note_constructor(declaration(head), inside)
                found.last = self.skip_braces()
                return []
        start = self.at
        self.skip_braces()
        return [*head, *self.tokens[start:self.at]]


def parse(text):
    parser = Parser(text)
    return parser.classes, parser.functions
