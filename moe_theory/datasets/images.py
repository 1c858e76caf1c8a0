"""Labelled images to learn from and to test on: Fashion-MNIST, where it can be had, and scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_theory.datasets.idx import read_idx
from moe_theory.errors import InputError
from moe_theory.validation import Array, whole_number

#: SHA-256 of each file's content, and MD5 of the gzipped file at the data set's home
FASHION = {
    "train-images-idx3-ubyte": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ),
    "train-labels-idx1-ubyte": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "25c81989df183df01b3e8a0aad5dffbe",
    ),
    "t10k-images-idx3-ubyte": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "bef4ecab320f06d8554ea6380940ec79",
    ),
    "t10k-labels-idx1-ubyte": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}
HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
PACKAGED = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
HELD_OUT = 7  # one digit in so many is for testing, as of Fashion-MNIST's images


@dataclass(frozen=True, eq=False)
class Images:
    """Images as rows of pixels in [-1, 1], so that the inverted image is minus the image.

    train (n, p), test (t, p): float32. train_labels (n,), test_labels (t,): 0 … C-1. shape: of an image. classes:
    names. name: of the data set; of files that are not Fashion-MNIST to the last byte, their folder's.
    """

    name: str
    train: Array
    train_labels: Array
    test: Array
    test_labels: Array
    shape: tuple[int, int]
    classes: tuple[str, ...]

    def first(self, rows: int | None) -> Images:
        """With the first so many images to learn from; InputError for more than there are."""
        if rows is None:
            return self
        if whole_number("rows", rows, least=1) > len(self.train):
            raise InputError(f"rows: expected at most {len(self.train)}, got {rows}")
        kept = self.train[:rows], self.train_labels[:rows]
        return Images(self.name, *kept, self.test, self.test_labels, self.shape, self.classes)

    def held_out(self) -> Images:
        """The first five sixths of the training images to learn from, the rest of them to test on."""
        cut = len(self.train) * 5 // 6
        kept, rest = (self.train[:cut], self.train_labels[:cut]), (self.train[cut:], self.train_labels[cut:])
        return Images(self.name, *kept, *rest, self.shape, self.classes)


def fashion_mnist(folder: str | Path | None = None) -> Images:
    """Zalando's 60,000 + 10,000 images of clothes, 28 x 28 (Xiao, Rasul and Vollgraf, arXiv 1708.07747).

    folder: with the four idx files, gzipped or not. Without it Debian's package `dataset-fashion-mnist` is looked for,
    then the files are taken from a cache, or fetched from their home into it and compared with their checksums (needs
    the extra `data`). InputError, saying what to do, for a folder without them, files that are damaged, no network.
    """
    if folder is None and (PACKAGED / "train-images-idx3-ubyte.gz").is_file():
        folder = PACKAGED
    find = _fetched() if folder is None else lambda name: _inside(Path(folder), name)
    arrays, genuine = [], True
    for name, (checksum, _) in FASHION.items():
        path = find(name)
        array, found = read_idx(path, 3 if "images" in name else 1)
        if found != checksum and folder in (None, PACKAGED):
            raise InputError(f"{path}: expected the checksum of Fashion-MNIST's {name}, got another: fetch it again")
        arrays.append(array)
        genuine &= found == checksum
    images, labels, test, test_labels = arrays
    for what, pictures, own in (("train", images, labels), ("t10k", test, test_labels)):
        if len(pictures) != len(own) or len(own) == 0:
            raise InputError(f"{folder}: expected a label for each {what} image, got {len(own)} for {len(pictures)}")
    if images.shape[1:] != test.shape[1:]:
        raise InputError(f"{folder}: expected t10k images as large as those of train, got {test.shape[1:]}")
    if (largest := int(max(labels.max(), test_labels.max()))) > 9:
        raise InputError(f"{folder}: expected labels 0 to 9, got {largest}")
    name = "Fashion-MNIST" if genuine else f"the idx files in {folder}"
    classes = CLOTHES if genuine else tuple(map(str, range(10)))
    shape = (int(images.shape[1]), int(images.shape[2]))
    scaled = lambda pixels: (pixels.reshape(len(pixels), -1) / np.float32(127.5) - 1).astype(np.float32)
    return Images(name, scaled(images), labels.astype(int), scaled(test), test_labels.astype(int), shape, classes)


def digits() -> Images:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 (of UCI's optical recognition data), every seventh for testing.

    InputError without scikit-learn (extra `sklearn`).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("digits: expected scikit-learn, which has them: pip install 'moe-theory[sklearn]'") from error
    found = load_digits()
    x, y = (found.data / 8 - 1).astype(np.float32), found.target.astype(int)
    test = np.arange(len(y)) % HELD_OUT == 0
    return Images("digits", x[~test], y[~test], x[test], y[test], (8, 8), tuple("0123456789"))


def _inside(folder: Path, name: str) -> Path:
    """A file of that name, gzipped or not."""
    if not folder.is_dir():
        raise InputError(f"data folder: expected the folder of the four idx files, got {folder}, which is none")
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise InputError(
        f"data folder: expected {name} or {name}.gz in {folder}, found neither: name the folder of Fashion-MNIST's four"
        " files, or install Debian's package dataset-fashion-mnist"
    )


def _fetched() -> Callable[[str], Path]:
    """From the cache, or from the home into it."""
    otherwise = "install Debian's package dataset-fashion-mnist, name a folder (--data-dir), or take --dataset digits"
    try:
        import pooch
    except ImportError as error:
        raise InputError(
            f"Fashion-MNIST: expected its files or the means to fetch them: {otherwise}, or pip install"
            " 'moe-theory[data]' to download them"
        ) from error
    registry = {f"{name}.gz": f"md5:{md5}" for name, (_, md5) in FASHION.items()}
    cache = pooch.create(pooch.os_cache("moe-theory"), HOME, registry=registry, env="MOE_THEORY_CACHE")
    pooch.get_logger().setLevel("WARNING")

    def fetch(name: str) -> Path:
        try:
            return Path(cache.fetch(f"{name}.gz"))
        except (OSError, ValueError) as error:  # no network, no such page, another checksum
            reason = "a wrong checksum" if isinstance(error, ValueError) else type(error).__name__
            raise InputError(f"Fashion-MNIST: could not fetch {name} from its home ({reason}): {otherwise}") from error

    return fetch
