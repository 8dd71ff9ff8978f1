"""Links of pages to files of the repository that are no pages: each gets a page of its own, to be read in the browser.

The same links work where the repository is looked at: a script, a test, a table of results, a folder. A page that is
nothing but a link to a file at the root, as to CHANGELOG.md, shows that file.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
# published as it is, but for its links
INTERACTIVE = ROOT / "docs" / "interactive"
FOLDER = "repository"
IMAGES = {".png", ".svg"}
HIDDEN = {"__pycache__", ".git"}
STAND_IN = re.compile(r"\[(\w+\.md)\]\(\.\./\1\)\s*")


def page_of(path):
    """Return the name of the page that shows a file or folder of the repository."""
    if path.is_relative_to(INTERACTIVE):
        return path.relative_to(ROOT / "docs").with_suffix("").as_posix()
    if path == ROOT / "README.md":
        return "index"
    stand_in = ROOT / "docs" / path.name.lower()
    if path.parent == ROOT and stand_in.is_file() and STAND_IN.fullmatch(stand_in.read_text(encoding="utf-8")):
        return stand_in.stem
    return "/".join([FOLDER, *path.relative_to(ROOT).parts])


def stand_in(app, docname, source):
    """Put the file at the root into its page, its links as seen from the folder of the pages."""
    if not (match := STAND_IN.fullmatch(source[0])):
        return
    path = ROOT / match[1]
    app.env.note_dependency(str(path))

    def link(found):
        target = found[2]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        return f"{found[1]}({os.path.relpath(ROOT / target, ROOT / 'docs')})"

    source[0] = re.sub(r"(\])\(([^()\s]+)\)", link, path.read_text(encoding="utf-8"))


class Links(SphinxTransform):
    """Turn links to files and folders into links to their pages, before Sphinx makes downloads of them."""

    default_priority = 9

    def apply(self):
        here = Path(self.env.doc2path(self.env.docname)).parent
        for kind in (addnodes.download_reference, addnodes.pending_xref):
            for node in list(self.document.findall(kind)):
                target = node["reftarget"]
                if node.get("reftype") != "myst" or target in self.env.found_docs:
                    continue
                # a page outside of the documentation has the name of a document, without its suffix
                path = Path(os.path.normpath(here / (f"{target}.md" if node.get("refdomain") == "doc" else target)))
                if target.startswith("#") or not path.exists() or not path.is_relative_to(ROOT):
                    continue
                shown = self.env.metadata.setdefault(self.env.docname, {}).setdefault("repository", [])
                shown.append(str(path))
                uri = self.app.builder.get_relative_uri(self.env.docname, page_of(path))
                text = nodes.inline("", "", *node[0].children)
                node.replace_self(nodes.reference("", "", text, refuri=uri, internal=True))


def shown(env):
    """Return all paths that have a page: what is linked, and what linked folders hold."""
    paths = {Path(path) for data in env.metadata.values() for path in data.get("repository", [])}
    paths = {path for path in paths if page_of(path).startswith(FOLDER)}
    for folder in [path for path in paths if path.is_dir()]:
        paths |= {path for path in folder.rglob("*") if not HIDDEN & set(path.parts)}
    return sorted(paths)


def body_of(path):
    if path.is_dir():
        inside = sorted(child for child in path.iterdir() if child.name not in HIDDEN)
        items = "".join(
            f'<li><a href="{path.name}/{child.name}.html">{html.escape(child.name)}</a></li>' for child in inside
        )
        return f"<ul>{items}</ul>"
    if path.suffix in IMAGES:
        return f'<p><img src="{path.name}" alt="The image {path.name}"></p>'
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return MarkdownIt("commonmark").enable("table").render(text)
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(text, lexer, HtmlFormatter(linenos="inline", lineanchors="L", wrapcode=True))


def collect(app):
    for path in shown(app.env):
        page = page_of(path)
        name = path.relative_to(ROOT).as_posix()
        title = "" if path.suffix == ".md" else f"<h1>{html.escape(name)}</h1>"
        yield page, {"title": name, "body": title + body_of(path), "parents": []}, "page.html"


def publish(folder):
    """Copy the interactive page, whose links lead to the sources in a checkout and to the pages made of them here."""
    shutil.copytree(INTERACTIVE, folder, dirs_exist_ok=True)
    page = folder / "index.html"
    page.write_text(re.sub(r'(href="\.\./\w+)\.md"', r'\1.html"', page.read_text(encoding="utf-8")), encoding="utf-8")


def copy_files(app, exception):
    if exception or app.builder.format != "html":
        return
    if INTERACTIVE.is_dir():
        publish(Path(app.outdir) / INTERACTIVE.name)
    for path in shown(app.env):
        if path.suffix in IMAGES:
            (Path(app.outdir) / page_of(path)).write_bytes(path.read_bytes())


def setup(app):
    app.add_transform(Links)
    app.connect("source-read", stand_in)
    app.connect("html-collect-pages", collect)
    app.connect("build-finished", copy_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
