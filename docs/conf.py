"""The documentation's site: python -m sphinx -W --keep-going -n -b html docs build/docs (no network needed)."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

import moe_theory  # noqa: E402

project = "moe_theory"
author = "the authors of moe_theory"
version = release = moe_theory.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "docstrings",  # these six in docs/extensions
    "formulas",
    "command_line",
    "claims_list",
    "included",
    "pictures",
]
exclude_patterns = ["extensions", "static", "tables"]
highlight_language = "none"
smartquotes_action = "q"  # quotes only: `--` is an option's beginning

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"  # ours: MathML in the page, so that nothing is fetched when it is read

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autosummary_generate = False
python_maximum_signature_line_length = 140
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

nitpicky = True
# What signatures name and no page of ours describes.
nitpick_ignore_regex = [
    # The standard library and other packages: their inventories would have to be fetched.
    ("py:.*", r"(collections|pathlib|typing|numpy|np|sympy|sp|mpmath|matplotlib|rich|pandas|markupsafe)\..*"),
    ("py:.*", r"Array(Like)?|Figure|DataFrame|RenderableType"),
    # Parts that are filled in by the functions that return them; nobody has to name them.
    ("py:.*", r"moe_theory\..*\.(Layout|Softmax|Design|Columns|Row|Terms|NormalExpert|Polished|Experts|AnyFit)"),
    ("py:.*", r"P|Verdict|\w+\[~.*"),  # a ParamSpec, a Literal, types in quotes, which Sphinx splits at a comma
]

html_theme = "furo"
html_title = f"moe_theory {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "github-dark"
