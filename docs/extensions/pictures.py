"""Pictures that have a twin for dark pages (`name-dark.png` beside `name.png`) are shown as the theme wants them.

On GitHub that takes `<picture>`; here such a block is the image it falls back on, and the twin is found by its name.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_PICTURE = re.compile(r"<picture>.*?<img ([^>]*)>.*?</picture>", re.S)


class Twins(SphinxTransform):
    """Puts the twin after each picture that has one."""

    default_priority = 100  # before Sphinx looks for the files

    def apply(self) -> None:
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for image in list(self.document.findall(nodes.image)):
            path = Path(image["uri"])
            dark = path.with_stem(f"{path.stem}-dark")
            if (folder / dark).is_file():
                twin = image.deepcopy()
                twin["uri"] = dark.as_posix()
                image["classes"].append("only-light")
                twin["classes"].append("only-dark")
                image.parent.insert(image.parent.index(image) + 1, twin)


def read(app: Sphinx, page: str, content: list[str]) -> None:
    """Handler of source-read: HTML pictures as Markdown images."""

    def image(found: re.Match[str]) -> str:
        told = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
        return f"![{told.get('alt', '')}]({told['src']})"

    content[0] = _PICTURE.sub(image, content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(Twins)
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
