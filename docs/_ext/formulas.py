"""Formulas as drawings within the page, for which a reader needs no script, no font and no network."""

from __future__ import annotations

import html
import re

import ziamath
from docutils.nodes import SkipNode

ziamath.config.svg2 = False
SIZE = 18


def drawing(tex):
    """Return a formula as SVG, in the color of the text, with its source as what is read aloud."""
    tex = " ".join(tex.split())
    drawn = re.sub(r"\\operatorname\{([^}]*)\}", r"\\,\\text{\1}\\,", tex.replace(r"arg\,max", "arg max"))
    # what the library that draws does not know, or sets too tightly
    drawn = drawn.replace(r"\'a", "á").replace(r"\!", "").replace(r"\det ", r"\det\,")
    formula = ziamath.Math.fromlatex(drawn, size=SIZE, color="currentColor")
    label = f'<svg role="img" aria-label="{html.escape(tex)}" '
    return formula.svg().replace("<svg ", label, 1), formula.getyofst()


def inline(self, node):
    svg, below = drawing(node.astext())
    self.body.append(svg.replace("<svg ", f'<svg style="vertical-align: {below:.1f}px" ', 1))
    raise SkipNode


def block(self, node):
    # one line for each formula, so that a narrow screen has them all
    for tex in re.split(r",?\s*\\qquad\b", node.astext()):
        self.body.append(f'<div class="formula">{drawing(tex)[0]}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("drawn", inline_renderers=(inline, None), block_renderers=(block, None))
    app.config.html_math_renderer = "drawn"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
