#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The documentation as a folder of pages: README.md, SECURITY.md and docs/*.md into build/site, with one template, and a
search that works when a page is opened as a file. Doxygen's pages are there already, in reference/. Fails when a link of a
page leads nowhere.
"""
import html
import json
import os
import pathlib
import re
import shutil
import sys
import xml.etree.ElementTree

import markdown

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "build" / "site"
HERE = pathlib.Path(__file__).resolve().parent
NAMES = {"README.md": "index.html", "docs/README.md": "contents.html", "SECURITY.md": "reporting.html"}

TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – bulkhead</title><link rel="stylesheet" href="{up}style.css"></head><body>
<header><a class="name" href="{up}index.html">bulkhead</a>
<input id="search" type="search" placeholder="Search ( / )" autocomplete="off" aria-label="Search"></header>
<nav>{nav}</nav>
<main><div id="results" hidden></div><article>{body}</article></main>
<script>const UP = "{up}";</script><script src="{up}search_index.js"></script><script src="{up}search.js"></script>
</body></html>
"""


def slug(text, _separator="-"):
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def site_name(path):
    """A page's file below build/site, for a path below the repository."""
    path = str(path)
    return NAMES.get(path) or (pathlib.Path(path).stem + ".html" if path.endswith(".md") else f"source/{path}.html")


def pages():
    """(path, title) in the order of docs/README.md."""
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    found = [("README.md", "bulkhead"), ("docs/README.md", "Documentation")]
    found += [(f"docs/{name}", title) for title, name in re.findall(r"^\| \[([^]]+)\]\(([\w-]+\.md)\)", text, re.M)]
    return found + [("SECURITY.md", "Reporting a vulnerability")]


def navigation(current, headings, up):
    lines = []
    for path, title in pages():
        here = path == current
        lines.append(f'<a href="{up}{site_name(path)}"{" class=here" if here else ""}>{html.escape(title)}</a>')
        if here:
            lines += [f'<a class="part" href="#{anchor}">{text}</a>' for level, anchor, text in headings if level == 2]
    lines.append(f'<a href="{up}reference/index.html">Reference (Doxygen)</a>')
    return "\n".join(lines)


def source_page(path):
    """A file or a folder of ours, as a page, and what it leads to."""
    target = SITE / site_name(path)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * (len(target.relative_to(SITE).parts) - 1)
    full = ROOT / path
    if full.is_dir():
        rows = "".join(f'<li><a href="{os.path.relpath(SITE / site_name(one.relative_to(ROOT)), target.parent)}">{one.name}</a>'
                       for one in sorted(full.iterdir()) if one.name != "__pycache__")
        body = f"<h1>{path}</h1><ul>{rows}</ul>"
    else:
        body = f"<h1>{path}</h1><pre><code>{html.escape(full.read_text(encoding='utf-8', errors='replace'))}</code></pre>"
    target.write_text(TEMPLATE.format(title=path, up=up, nav=navigation("", [], up), body=body), encoding="utf-8")
    if full.is_dir():
        for one in full.iterdir():
            if one.name != "__pycache__":
                source_page(one.relative_to(ROOT))


def with_links(path, body):
    """Links between files become links between pages."""
    def one(match):
        attribute, target = match[1], html.unescape(match[2])
        if re.match(r"\w+:|#", target):
            return match[0]
        name, mark, anchor = target.partition("#")
        to = pathlib.Path(os.path.normpath((ROOT / path).parent / name)).relative_to(ROOT)
        if to.suffix in (".svg", ".png"):
            (SITE / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / to, SITE / to)
            return f'{attribute}="{to}"'
        if to.suffix != ".md":
            source_page(to)
        return f'{attribute}="{site_name(to)}{mark}{anchor}"'
    return re.sub(r'(href|src)="([^"]*)"', one, body)


def sections(body, title, url):
    """What the search looks through: [page, heading, address, text]."""
    plain = lambda text: html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))).strip()
    parts = re.split(r'<h[1-4] id="([^"]*)">(.*?)</h[1-4]>', body)
    for anchor, heading, text in zip(parts[1::3], parts[2::3], parts[3::3]):
        rows = re.findall(r"<tr>\s*<td>(<code>[^<]*</code>.*?)</tr>", text, re.S) if "options" in url else []
        yield [title, plain(heading), f"{url}#{anchor}", plain(text)]
        for row in rows:  # each option by its name
            yield [title, plain(row).split(" ")[0], f"{url}#{anchor}", plain(row)]


def names_of_the_reference():
    tags = ROOT / "build" / "doxygen.tag"
    if not tags.exists():
        return
    for compound in xml.etree.ElementTree.parse(tags).getroot().iter("compound"):
        kind, name = compound.get("kind"), compound.findtext("name")
        if kind not in ("class", "struct", "namespace", "concept") or not name.startswith("bulkhead"):
            continue
        short = name.replace("bulkhead::", "")
        file = compound.findtext("filename")
        if kind != "namespace":
            yield ["Reference", short, "reference/" + file + ("" if file.endswith(".html") else ".html"), kind]
        for member in compound.iter("member"):
            own = member.findtext("name")
            full = own if kind == "namespace" else f"{short}::{own}"
            yield ["Reference", full, f"reference/{member.findtext('anchorfile')}#{member.findtext('anchor')}",
                   member.get("kind")]


def dead_links():
    """Links of our own pages that lead nowhere."""
    ids = {}
    for page in sorted(SITE.rglob("*.html")):
        if "reference" in page.relative_to(SITE).parts:
            continue
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'(?:href|src)="([^"]*)"', re.sub(r"<pre>.*?</pre>", "", text, flags=re.S)):
            if re.match(r"\w+:", target):
                continue
            name, _, anchor = target.partition("#")
            to = pathlib.Path(os.path.normpath(page.parent / name)) if name else page
            if to not in ids and to.exists():
                ids[to] = set(re.findall(r'id="([^"]*)"', to.read_text(encoding="utf-8"))) if to.suffix == ".html" else set()
            if to not in ids or (anchor and anchor not in ids[to]):
                yield f"{page.relative_to(SITE)}: {target} leads nowhere"


def main():
    shutil.rmtree(SITE / "source", ignore_errors=True)
    SITE.mkdir(parents=True, exist_ok=True)
    index = []
    for path, title in pages():
        converter = markdown.Markdown(extensions=["tables", "fenced_code", "toc", "sane_lists"],
                                      extension_configs={"toc": {"slugify": slug}})
        text = (ROOT / path).read_text(encoding="utf-8")
        text = re.sub(r"(?m)^(?![ \t]*[-*\d|>#])(.+)\n(?=(?:[-*]|\d+\.) )", r"\1\n\n", text)  # a list needs no blank line
        body = with_links(path, converter.convert(text))
        body = re.sub(r"(<table>.*?</table>)", r'<div class="wide">\1</div>', body, flags=re.S)
        headings = [(int(level), anchor, re.sub(r"<[^>]+>", "", heading))
                    for level, anchor, heading in re.findall(r'<h(\d) id="([^"]*)">(.*?)</h\d>', body)]
        (SITE / site_name(path)).write_text(
            TEMPLATE.format(title=title, up="", nav=navigation(path, headings, ""), body=body), encoding="utf-8")
        index += sections(body, title, site_name(path))
    index += names_of_the_reference()
    (SITE / "search_index.js").write_text(f"const INDEX = {json.dumps(index, ensure_ascii=False)};\n", encoding="utf-8")
    for name in ("style.css", "search.js"):
        shutil.copy(HERE / name, SITE / name)
    faults = list(dead_links())
    print("\n".join(faults) if faults else f"{len(pages())} pages, {len(index)} places to be found: build/site/index.html")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
