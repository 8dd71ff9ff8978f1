"""What the built pages must have: links that lead somewhere, texts for images, headings in order."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# made by Sphinx, of which no reader sees more than the box to type in
UNCHECKED = {"search.html"}


class Page(HTMLParser):
    """The ids of a page, what it links to, and what is wrong in it."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.faults, self.level = set(), [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given:
            self.ids.add(given["id"])
        for key in ("href", "src"):
            if given.get(key):
                self.links.append(given[key])
        if tag == "img" and not (given.get("alt") or "").strip():
            self.faults.append(f"no text for the image {given.get('src')}")
        if tag in HEADINGS:
            level = HEADINGS.index(tag) + 1
            if level > self.level + 1:
                self.faults.append(f"<{tag}> after <h{self.level}>")
            self.level = level


def check(app, exception):
    if exception or app.builder.name != "html":
        return
    root = Path(app.outdir).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    for path, page in pages.items():
        if path.name in UNCHECKED:
            continue
        found = list(page.faults)
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file() or not target.is_relative_to(root):
                found.append(f"{link} leads nowhere")
            elif anchor and target in pages and anchor not in pages[target].ids:
                found.append(f"{link}: the page has no such place")
        for fault in found:
            LOGGER.warning("%s: %s", path.relative_to(root), fault)


def setup(app):
    # after the files that other extensions copy
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
