"""Reads a folder or tar in the Decathlon's layout: images and labels, paired by name."""

import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import limits
from core.errors import InputError
from core.image.header import is_nifti_name, stem_of
from core.wording import counted

IMAGES, LABELS = "imagesTr", "labelsTr"
FIRST_CHANNEL = "_0000"
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """The folder that holds ``imagesTr``, unpacked if needed; it is only read.

    Raises
    ------
    InputError
        The source does not have this layout.
    """
    if source.is_dir():
        yield _root_of(source)
        return
    if not source.is_file() or not tarfile.is_tarfile(source):
        raise InputError(
            "The source is neither a folder nor a tar archive",
            "Give the folder or the .tar with imagesTr and labelsTr in it.",
            code="bad_source",
        )
    with tempfile.TemporaryDirectory(prefix="hippoview-") as folder:
        _unpack(source, Path(folder))
        yield _root_of(Path(folder))


def pairs_of(root: Path) -> tuple[dict[str, tuple[Path, Path]], dict[str, str], list[str]]:
    """Image and label of each case of a folder in the Decathlon's layout; see `paired`."""
    return paired(root / IMAGES, root / LABELS)


def paired(
    images_folder: Path, labels_folder: Path
) -> tuple[dict[str, tuple[Path, Path]], dict[str, str], list[str]]:
    """Image and label of each case of two folders.

    An image and a label with the same name are a pair. Of the remaining images, one whose name ends
    in ``_0000``, nnU-Net's mark of the first channel, belongs to the label named without it.

    Returns
    -------
    pairs : dict of str to (Path, Path)
        By the case's name, which is the label's; in order.
    left_out : dict of str to str
        By folder and file, why a file is in no pair.
    rules : list of str
        Sentences: how many were paired by which rule.
    """
    left_out: dict[str, str] = {}
    images = _files(images_folder, left_out)
    labels = _files(labels_folder, left_out)
    pairs = {name: (images[name], labels[name]) for name in images.keys() & labels.keys()}
    others = {name: path for name, path in images.items() if name not in pairs}
    by_full_name = len(pairs)
    for name in sorted(others):
        case = name.removesuffix(FIRST_CHANNEL)
        if case != name and case in labels and case not in pairs:
            pairs[case] = (others.pop(name), labels[case])
    for name, path in others.items():
        left_out[f"{images_folder.name}/{path.name}"] = _why_alone(name, pairs, labels)
    for name in labels.keys() - pairs.keys():
        left_out[f"{labels_folder.name}/{labels[name].name}"] = "a label without an image"
    by_channel = len(pairs) - by_full_name
    rules = [
        f"{counted(count, 'image')} paired with the label of {which}"
        for count, which in (
            (by_full_name, "the same name"), (by_channel, f"their name without {FIRST_CHANNEL}")
        )
        if count
    ]  # fmt: skip
    return dict(sorted(pairs.items())), left_out, rules


def _why_alone(name: str, pairs: dict[str, tuple[Path, Path]], labels: dict[str, Path]) -> str:
    """Why an image is in no pair: it has no label, or it is a further channel of a case."""
    match = _CHANNEL.fullmatch(name)
    if match is None or match[1] not in labels:
        return "an image without a label"
    case, channel = match.groups()
    if case not in pairs:
        return f"channel {channel} of case {case}, whose first channel ({FIRST_CHANNEL}) is missing"
    used = FIRST_CHANNEL if stem_of(pairs[case][0].name) != case else "the one named as its label"
    return f"channel {channel} of case {case}: the model takes one image, and {used} is used"


def _files(folder: Path, left_out: dict[str, str]) -> dict[str, Path]:
    """The NIfTI files of a folder by name without the suffix; notes others in ``left_out``."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        where = f"{folder.name}/{path.name}"
        name = stem_of(path.name)
        if path.name.startswith("._"):
            left_out[where] = "a stray of macOS (AppleDouble), not a scan"
        elif path.name.startswith("."):
            left_out[where] = "a hidden file"
        elif not is_nifti_name(path.name) or not path.is_file():
            left_out[where] = "not a .nii or .nii.gz file"
        elif not _CASE.fullmatch(name):
            left_out[where] = "its name has other than letters, digits, . _ and -"
        elif name in files:
            left_out[where] = f"{name} is there twice"
        else:
            files[name] = path
    return files


def _root_of(folder: Path) -> Path:
    for root in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if (root / IMAGES).is_dir() and (root / LABELS).is_dir():
            return root
    raise InputError(
        f"The source has no folders {IMAGES} and {LABELS}",
        "Lay it out as the Medical Segmentation Decathlon does.",
        code="bad_source",
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the plain files of a tar, within the size limit and only into ``folder``."""
    left = limits.MAX_UNPACKED_MIB * limits.MIB
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                left -= member.size
                if left < 0:
                    raise InputError(
                        f"The archive unpacks to more than {limits.MAX_UNPACKED_MIB} MiB",
                        "Split it into two data sets.",
                        code="too_large",
                    )
                _write_member(tar, member, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(
            "The archive is damaged or holds names that lead outside of it",
            "Pack it again: tar -cf dataset.tar FOLDER",
            code="bad_source",
        ) from error


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one plain file of a tar; ``extract(filter=...)`` is not in every Python 3.11."""
    target = (folder / member.name.lstrip("/")).resolve()
    content = tar.extractfile(member)
    if content is None or folder.resolve() not in target.parents:
        raise tarfile.ExtractError(f"{member.name!r} leads outside of the archive")
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as out:
        shutil.copyfileobj(content, out)
