#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Every option of the headers in one page: writes docs/options.md; with --check, complains.

A field's text is the doc comment beside it; what follows "When to change:" in it is a column of its own. Limits are those
of `validate`, and a comment that names other limits is a fault; so is a field without a comment, and a default in the
README's table that is not the header's.
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "options.md"
INCLUDE = ROOT / "include" / "bulkhead"

# Header, struct, prefix of its fields, the struct by whose `validate` they are checked, heading. Parts of an options
# struct follow it. A prefix of None: what belongs to one document, of which nobody asks when to change it.
STRUCTS = [
    ("options.hpp", "IndexerOptions", "", "IndexerOptions", "The indexer: `IndexerOptions`"),
    ("options.hpp", "RequestDefaults", "request.", "IndexerOptions", ""),
    ("options.hpp", "RetryOptions", "retry.", "IndexerOptions", ""),
    ("options.hpp", "FloodOptions", "flood.", "IndexerOptions", ""),
    ("options.hpp", "VerdictRule", "verdicts.", "IndexerOptions", ""),
    ("http/http_options.hpp", "HttpOptions", "", "HttpOptions", "The network: `HttpOptions`"),
    ("tls/tls_options.hpp", "TlsOptions", "", "TlsOptions", "TLS: `TlsOptions`"),
    ("tls/aws_sigv4.hpp", "AwsSigV4Options", "", "AwsSigV4Options", "AWS: `AwsSigV4Options`, `AwsCredentials`"),
    ("tls/aws_sigv4.hpp", "AwsCredentials", "credentials.", "AwsCredentials", ""),
    ("sinks/file_sink.hpp", "FileSinkOptions", "", "", "Dead letters in a file: `FileSinkOptions`"),
    ("kafka/source_options.hpp", "KafkaSourceOptions", "", "KafkaSourceOptions", "From Kafka: `KafkaSourceOptions`"),
    ("kafka/rdkafka/driver_options.hpp", "DriverOptions", "", "DriverOptions", "The librdkafka driver: `kafka::DriverOptions`"),
    ("operation.hpp", "Operation", None, "", "One document: `Operation`"),
]
FIELD = re.compile(r"(?P<type>[\w:<>, ()&]+?)\s+(?P<name>\w+)\s*(?:=\s*(?P<equals>[^;]+)|(?P<braces>\{[^;]*\}))?;"
                   r"(?:\s*///<\s*(?P<text>.*))?")
TIME = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ANY = 2**64 - 1
UNLIMITED = 2**63 - 1


class Field:
    def __init__(self, kind, name, default, text):
        self.kind, self.name, self.default = kind, name, default
        self.text, _, self.change = (part.strip() for part in text.partition("When to change:"))


def body_of(source, opening):
    """What stands between the braces of the first that follows `opening`."""
    at = source.index("{", source.index(opening))
    depth = 0
    for end in range(at, len(source)):
        depth += {"{": 1, "}": -1}.get(source[end], 0)
        if depth == 0:
            return source[at + 1:end]
    raise ValueError(opening)


def fields_of(header, struct):
    fields, comment, depth, last = [], [], 0, None
    for line in body_of((INCLUDE / header).read_text(encoding="utf-8"), f"\nstruct {struct} {{").splitlines():
        line = line.strip()
        if line.startswith("///<"):
            last.append(line[4:].strip())
        elif line.startswith("///"):
            comment.append(line[3:].strip())
        elif depth == 0 and (match := FIELD.fullmatch(line)) and "static" not in line:
            last = comment + [match["text"] or ""]
            fields.append([match, last])
            comment = []
        elif not line.startswith("//"):
            code = line.split("//")[0]
            depth += code.count("{") - code.count("}")
            comment = []
    return [Field(m["type"], m["name"], m["equals"] or (m["braces"] or "{}")[1:-1], " ".join(text).strip())
            for m, text in fields]


def values_of(enum):
    """[(value, text)] of an enum of the headers: what a value means stands above it or beside it."""
    for path in sorted(INCLUDE.rglob("*.hpp")):
        source = path.read_text(encoding="utf-8")
        if f"\nenum class {enum} :" in source:
            break
    else:
        return []
    values, comment = [], []
    for line in body_of(source, f"\nenum class {enum} :").splitlines():
        line = line.strip()
        if line.startswith("///<"):
            values[-1][1].append(line[4:].strip())
        elif line.startswith("///"):
            comment.append(line[3:].strip())
        elif match := re.match(r"(\w+),?\s*(?:///<\s*(.*))?$", line):
            values.append((match[1], comment + [match[2] or ""]))
            comment = []
    return [(value, " ".join(text).strip()) for value, text in values]


def number(expression, kind=""):
    """A C++ constant's value; durations in milliseconds. None where it is no number."""
    text = expression.replace("'", "").strip()
    text = re.sub(r"std::(?:size_t|uint64_t|uint32_t)\{(\w+)\}", r"\1", text)
    text = re.sub(r"std::chrono::(minutes|seconds)\{(\w+)\}",
                  lambda m: str(int(m[2]) * {"minutes": 60_000, "seconds": 1000}[m[1]]), text)
    text = re.sub(r"\b(\d+)(ms|min|s|h)\b", lambda m: str(int(m[1]) * TIME[m[2]]), text)
    text = re.sub(r"\bgib\b", str(1 << 30), text)
    text = re.sub(r"\bany\b", str(ANY), text)
    text = re.sub(r"\bunlimited\b", str(UNLIMITED), text)
    return eval(text) if re.fullmatch(r"[\d<>*+ ]+", text) else None


def unit_of(kind, name):
    if "chrono" in kind:
        return "time"
    if re.search(r"bytes$|bytes_", name):
        return "bytes"
    return ""


def shown(value, unit):
    if value in (ANY, UNLIMITED):
        return "no limit" if value == ANY else "`unlimited`"
    if unit == "time":
        for name, size in reversed(TIME.items()):
            if value % size == 0 and value >= size:
                return f"{value // size:,} {name}"
        return "0 ms"
    if unit == "bytes":
        for name, size in reversed(SIZE.items()):
            if value % size == 0 and value >= size:
                return f"{value // size:,} {name}"
        return f"{value:,} B"
    return f"{value:,}"


def read(text):
    """The value of a number with or without a unit as people write it, e.g. `5 MiB`, `1,000`, `60 s`."""
    match = re.fullmatch(r"([\d,.]+)\s*(%|\w+)?", text.strip())
    if not match:
        return None
    return float(match[1].replace(",", "")) * {**TIME, **SIZE}.get(match[2] or "", 1)


def limits_of(header, struct):
    """Field -> [(low, high) or a text]: what `validate` of the struct refuses."""
    source = (INCLUDE / header).read_text(encoding="utf-8")
    match = re.search(rf"validate\(const {struct}& \w+\) {{", source)
    if not match:
        return {}
    body = body_of(source, match[0])
    named = dict(re.findall(r'constexpr auto\* (\w+) = "([^"]*)"', body))
    # Strings that are written side by side are one.
    body = re.sub(r'"\s*\n\s*"', "", body)
    found = {}
    for name, low, high in re.findall(r'out_of_range(?:<[^>]*>)?\(\s*"([\w.]+)",\s*[\w.]+,\s*([^,]+),\s*([^;]+?)\)\)?\s*'
                                      r'(?:\n\s*)?(?:return e;|;)', body):
        found.setdefault(name, []).append((low, high))
    for name, limit in re.findall(r'FieldError\{"([\w.]+)"(?: \+ \w+)?,\s*"([^"]*)"', body):
        found.setdefault(name.rstrip("."), []).append(limit)
    for name, rest in re.findall(r'not_made_of\("(\w+)",([^;]*?)\)\)?\s*(?:return e)?;', body, re.S):
        text = re.search(r'"([^"]*)"', rest)
        found.setdefault(name, []).append(text[1] if text else named[rest.split(",")[3].strip()])
    return found


def end_of_range(expression, unit):
    value = number(expression)
    return f"`{expression.split('.')[-1]}`" if value is None else shown(value, unit)


def limit_text(limit, unit):
    if isinstance(limit, str):
        return limit
    low, high = (end_of_range(end, unit) for end in limit)
    return f"at least {low}" if high == "no limit" else f"{low} to {high}"


def ranges_said(text):
    """The ranges that a comment names, as pairs of values or of names in backticks."""
    one = r"(`\w+`|[\d,]+(?: (?:ms|min|s|h|B|KiB|MiB|GiB))?)"
    value = lambda end: end if end[0] == "`" else read(end)
    # "1 to 30 s": the unit stands once.
    for low, high in re.findall(one + r" to " + one, text):
        if low[0] != "`" and high[0] != "`" and " " in high and " " not in low and low != "0":
            low += " " + high.split()[1]
        yield value(low), value(high)
    for low in re.findall(r"[Aa]t least " + one, text):
        yield value(low), None


def without_limits(text):
    """A comment without the sentences that say a range and nothing else: that is a column of its own."""
    one = r"(?:`\w+`|[\d,]+(?: (?:ms|min|s|h|B|KiB|MiB|GiB))?)"
    return re.sub(rf"(^|(?<=\.)|(?<=\)))\s*(?:{one} to {one}|At least {one})\.(?= |$)", "", text).strip()


def faults_of(where, field, limits, unit):
    if not field.text:
        yield f"{where} has no doc comment"
        return
    said = list(ranges_said(field.text))
    for limit in limits:
        if isinstance(limit, str):
            continue
        ends = [f"`{end.split('.')[-1]}`" if number(end) is None else number(end) for end in limit]
        if ends[1] == ANY:
            ends[1] = None
        if ends[1] == UNLIMITED:
            continue
        if tuple(ends) not in said:
            yield f"{where}: validate() allows {limit_text(limit, unit)}, the doc comment says {said or 'nothing'}"


def default_text(field, unit):
    text = field.default.strip()
    if field.kind == "bool":
        return text or "false"
    value = number(text, field.kind) if text else None
    if value is not None:
        return shown(value, unit)
    if not text:
        return "none" if re.search(r"string|vector|optional|function|Credentials|Signer|variant", field.kind) else "(below)"
    return f"`{text.split('::')[-1]}`"


def kind_text(field, unit):
    kind = field.kind
    if unit:
        return unit
    for pattern, text in (("vector<std::pair", "pairs of texts"), ("vector<std::string", "texts"), ("vector<", "list"),
                          ("function|Signer", "function"), ("string", "text"), ("bool", "yes or no"),
                          ("int|size_t|unsigned", "number")):
        if re.search(pattern, kind):
            return text
    return f"`{kind.replace('std::optional<', '').replace('>', '')}`"


def page():
    """The page and its faults."""
    changeable = {f.name for f in fields_of("options.hpp", "Limits")}
    parts = {"request", "retry", "flood"}
    faults, defaults, choices = [], {}, []
    lines = ["<!-- Written by tests/docs/options.py from the headers. Change the comments there. -->", "# Options", "",
             "Every option, as the headers say it. A value out of its limits throws `InvalidOption`, which names the field, the "
             "limit", "and the value, when the object is made. Begin with the defaults: they are what is tested and measured. "
             "Times are", "`std::chrono::milliseconds`. An option marked *live* can be changed by `BulkIndexer::change_limits` "
             "while the indexer runs.", ""]
    for header, struct, prefix, checked_by, heading in STRUCTS:
        if heading:
            lines += ["", f"## {heading}", "", f"`#include <bulkhead/{header}>`", "",
                      "| option | type or unit | default | limits | what it is | when to change it |",
                      "|---|---|---|---|---|---|"]
        limits = limits_of(header, checked_by) if checked_by else {}
        for field in fields_of(header, struct):
            where = f"{header}: {struct}::{field.name}"
            unit = unit_of(field.kind, field.name)
            key = (prefix or "") + field.name
            limit = limits.get(key if struct != "AwsCredentials" else field.name, [])
            faults += faults_of(where, field, limit, unit)
            if prefix is not None and not field.change and not (struct == "IndexerOptions" and field.name in parts):
                faults.append(f'{where} does not say "When to change:"')
            defaults[key if struct != "Operation" else "Operation." + key] = default_text(field, unit)
            if struct == "IndexerOptions" and field.name in parts:
                continue
            if (kind := kind_text(field, unit)).startswith("`") and kind not in choices:
                choices.append(kind)
            name = f"`{key}`" + (" *live*" if struct == "IndexerOptions" and field.name in changeable else "")
            cells = [name, kind_text(field, unit), default_text(field, unit),
                     "; ".join(dict.fromkeys(limit_text(one, unit) for one in limit)) or "–",
                     without_limits(field.text), field.change or "–"]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "## What there is to choose from", "", "| type | value | means |", "|---|---|---|"]
    for kind in choices:
        for value, meaning in values_of(kind.strip("`")):
            lines.append(f"| {kind} | `{value}` | {meaning} |")
            if not meaning:
                faults.append(f"{kind}: {value} has no doc comment")
    lines += ["", "`IndexSink` takes the `IndexerOptions` of an indexer of its own and a time within which a bulk of dead letters "
              "must be stored", "(30 s). Compressed bodies: `HttpOptions::compression_level`, see "
              "[recipes](recipes.md#compressed-bodies)."]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n", faults, defaults


def readme_faults(defaults):
    """A default in the README's table that is another than the header's."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("### Options of `BulkIndexer`"):]
    table = table[:table.index("\n## ")]
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", table, re.M)
    if not rows:
        yield "README.md: no table of options"
    for names, said in rows:
        names = re.findall(r"`([\w.]+)`", names)
        names = names[:1] + [name if name in defaults else names[0].split(".")[0] + "." + name for name in names[1:]]
        said = said.strip()
        if names == ["request"]:
            continue
        if names == ["flood"]:
            names, values = ["flood.percent", "flood.operations"], said.split(" of ")
        else: # a comma that is followed by a blank parts two values
            values = said.split(", ")
        for name, value in zip(names, values):
            default = defaults.get(name)
            if default != value and (read(value) is None or default is None or read(value) != read(default)):
                yield f"README.md: the default of {name} is {default}, not {value}"
        if len(names) != len(values):
            yield f"README.md: {len(names)} options and {len(values)} defaults in the row of {names[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text, faults, defaults = page()
    faults += readme_faults(defaults)
    if not args.check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        faults.append("docs/options.md is not what python3 tests/docs/options.py writes")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
