"""What pages written for a Git host lack on the site: names that lead to the reference, and break where they may."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

MODULES = (
    "renyi_core",
    "renyi_core.schedules",
    "renyi_core.regularizers",
    "renyi_core.monitoring",
    "renyi_training.stable_baselines3",
    "renyi_training.distributions",
    "renyi_training.transformers",
    "renyi_training.trl",
    "renyi_training.torch",
)
NAMES = re.compile(r'(?:<span class="pre">|<td><p>)[^<]+')
BREAKS = re.compile(r"(?<=[a-z])[_.(](?=\w\w)")


def names():
    """Return where each public name leads, whether it is written with its module or without."""
    found = {}
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            if f"{module}.{name}" not in MODULES:
                target = f"{module}.{name}"
                found |= {target: target, f"{module.rpartition('.')[2]}.{name}": target}
                found.setdefault(name, target)
    return found


class Names(SphinxTransform):
    """Turn the names of functions, where they stand as code in a page, into links to the reference."""

    default_priority = 9

    def apply(self):
        if self.env.docname.startswith("generated/") or Path(self.env.doc2path(self.env.docname)).suffix != ".md":
            return
        known = names()
        for node in list(self.document.findall(nodes.literal)):
            name = node.astext().partition("(")[0]
            inside = node.parent
            while inside and not isinstance(inside, nodes.reference | addnodes.pending_xref | nodes.title):
                inside = inside.parent
            if name in known and inside is None:
                link = addnodes.pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=known[name], refdoc=self.env.docname, refexplicit=True
                )
                node.replace_self(link)
                link += node


class Blocks(SphinxTransform):
    """Leave out the empty line that ends an example, which doctest needs and a reader does not."""

    default_priority = 9

    def apply(self):
        for node in self.document.findall(nodes.literal_block):
            node.rawsource = text = node.astext().rstrip()
            node[:] = [nodes.Text(text)]


class Ratios(SphinxTransform):
    """Mark the tables whose last column is their result, for a narrow screen to keep it in sight."""

    default_priority = 9

    def apply(self):
        for head in self.document.findall(nodes.thead):
            if re.search("÷|ratio", head[0][-1].astext()):
                head.parent.parent["classes"].append("ratios")


def arrays(app, what, name, obj, options, signature, returns):
    """Write Array, of whatever library, where the annotation says so and not Any, which it is for type checkers."""
    if not signature or not callable(obj):
        return None
    try:
        found = inspect.signature(obj)
    except (TypeError, ValueError):
        return None
    for parameter in found.parameters.values():
        if str(parameter.annotation).startswith("Array"):
            signature = re.sub(rf"\b{parameter.name}: (~typing\.)?Any\b", f"{parameter.name}: Array", signature)
    if str(found.return_annotation).startswith("Array"):
        returns = re.sub(r"(~typing\.)?Any\b", "Array", returns or "", count=1)
    return signature, returns


def finish(app, pagename, templatename, context, doctree):
    """Let long names break on a narrow screen, and say of what level the headings of the sidebar are."""
    if "body" in context:
        context["body"] = NAMES.sub(lambda found: BREAKS.sub(r"\g<0><wbr>", found[0]), context["body"])
    if "furo_navigation_tree" in context:
        tree = context["furo_navigation_tree"]
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app):
    # after the theme has made its sidebar
    app.connect("html-page-context", finish, priority=900)
    app.connect("autodoc-process-signature", arrays)
    app.add_transform(Names)
    app.add_transform(Blocks)
    app.add_transform(Ratios)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
