"""The documentation as a site: ``nox -s docs``. It is built, and read, without a network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent), str(HERE.parent / "adapters")]

import renyi_core  # noqa: E402

project = "renyi-core"
author = "The renyi-core developers"
copyright = author  # noqa: A001
release = version = renyi_core.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "checks",
    "formulas",
    "frameworks",
    "pages",
    "repository",
]
exclude_patterns = ["interactive"]
templates_path = ["_templates"]
nitpicky = True
# of libraries that are not looked up, since that would need a network
ELSEWHERE = (
    "array_api_compat collections dask jax matplotlib np numpy torch typing "
    "sb3_contrib stable_baselines3 transformers trl"
)
nitpick_ignore_regex = [
    (r"py:.*", rf"({ELSEWHERE.replace(' ', '|')})\b.*"),
    # annotations that are private names: Array is any library's
    (r"py:(class|obj)", r"(Any|Array|Kind|Source|Kernel|Tensor|Base|renyi_(core|training\.torch)\._\w+.*)"),
]

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autosummary_generate = True
# file systems that do not tell cases apart have Summary and summary as one
autosummary_filename_map = {"renyi_core.Summary": "renyi_core.Summary-type"}
numpydoc_show_class_members = False
maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "renyi-core"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["scroll.js"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
