"""What every version is tested on, beside crops: whole heads, and its time for a scan.

A version is tested together with the one in service, which is tested only on what it was not tested
on before. `core.training.job` does so at the end of a training, `measure_version` for a version
that was added by hand.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

from loguru import logger

from core import limits
from core.cases.store import Cases
from core.errors import ConflictError
from core.image import volume
from core.image.intake import vetted
from core.image.volume import Volume
from core.models.folder import Model
from core.models.registry import Registry, Version, reference_of
from core.predictor.predictor import InferenceOptions
from core.settings import Settings
from core.state.storage import Storage
from core.training.data.dataset import Dataset, file_names
from core.training.evaluation import head_figures
from core.training.evaluation.evaluate import FORMAT, evaluate
from core.training.evaluation.head_sets import HeadSet, reviewed_set, synthetic_set
from core.training.evaluation.heads import evaluate_heads
from core.training.evaluation.latency import KIND as LATENCY
from core.training.evaluation.latency import latency
from core.wording import counted

Tell = Callable[[str], None]
Figures = dict[str, Any]
_FOLDER = "test-heads"


@dataclass(frozen=True, eq=False)
class Bench:
    """Whole heads and crops, ready to test versions on.

    Attributes
    ----------
    heads : sequence of HeadSet
    scans : sequence of Volume
        Crops to time versions on.
    scratch : Path
    options : InferenceOptions
    tell
        Called with what is being done.
    """

    heads: Sequence[HeadSet]
    scans: Sequence[Volume]
    scratch: Path
    options: InferenceOptions
    tell: Tell

    def on_heads(self, model: Model, seen: Collection[str], whose: str) -> dict[str, Figures]:
        """A version's figures on all heads, by the key of each set.

        Parameters
        ----------
        seen
            ``content_sha256`` of what it was trained on.
        whose
            What is tested, in words: *the new version*.
        """
        total = sum(len(one.heads) for one in self.heads)
        by_key: dict[str, Figures] = {}
        before = 0
        for one in self.heads:
            figures = evaluate_heads(
                model, one, self.scratch, self.options, seen,
                lambda done, of_set, before=before: self.tell(  # type: ignore[misc]
                    f"Testing {whose} on whole heads: {before + done} of {total}"
                ),
            )  # fmt: skip
            by_key[figures["test_key"]] = figures
            before += len(one.heads)
        return by_key

    def serving_on_heads(self, registry: Registry, serving: Version) -> None:
        """Test the version in service on the heads that it was not tested on yet."""
        known = {
            key for key, figures in serving.of_kind(head_figures.KIND).items()
            if figures["format"] == head_figures.FORMAT
            and figures.get("options") == asdict(self.options)
        }  # fmt: skip
        missing = [one for one in self.heads if one.test_key not in known]
        if not missing:
            return
        with registry.open(serving.number) as model:
            seen = {case["content_sha256"] for case in reference_of(model)}
            rest = Bench(missing, self.scans, self.scratch, self.options, self.tell)
            by_key = rest.on_heads(model, seen, f"version {serving.number}, in service,")
        for key, figures in by_key.items():
            registry.add_evaluation(serving.number, key, figures)

    def latency(self, model: Model, registry: Registry, serving: Version) -> dict[str, Figures]:
        """A version's time against that of the one in service, by its key; empty without scans."""
        if not self.scans:
            return {}
        self.tell("Timing the new version against the one in service")
        with registry.open(serving.number) as serving_model:
            figures = latency(model, serving, serving_model, self.scans, self.options)
        return {LATENCY: figures}


@contextmanager
def bench(
    cases: Cases,
    storage: Storage,
    dataset: Dataset | None,
    files: Path,
    scratch: Path,
    settings: Settings,
    tell: Tell,
) -> Iterator[Bench]:
    """Make and read what versions are tested on, for as long as the block lasts.

    Parameters
    ----------
    cases, storage
        The reviewed heads come from there.
    dataset, files
        The data set whose frozen test set the versions are timed on, and its files.
    scratch
        The heads lie in a folder of it until the block ends.
    """
    folder = scratch / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sets = [
            synthetic_set(
                settings.test_heads, folder,
                lambda done, total: tell(f"Making whole heads to test on: {done} of {total}"),
            )
        ] if settings.test_heads else []  # fmt: skip
        reviewed = reviewed_set(cases, storage, folder, scratch)
        if reviewed is not None:
            sets.append(reviewed)
            for name, why in reviewed.left_out.items():
                logger.warning("Head {} is not tested on: {}", name, why)
        scans = [] if dataset is None else list(_scans(dataset, files, scratch))
        yield Bench(sets, scans, scratch, InferenceOptions.from_settings(settings), tell)
    finally:
        rmtree(folder, ignore_errors=True)


def crops_of_serving(
    registry: Registry, serving: Version, dataset: Dataset, files: Path, scratch: Path,
    options: InferenceOptions, tell: Tell,
) -> None:  # fmt: skip
    """Test the version in service on a frozen test set that it was not tested on yet."""
    earlier = serving.evaluations.get(dataset.test_key)
    is_of_now = earlier is not None and earlier.get("format") == FORMAT
    if earlier is not None and is_of_now and earlier.get("options") == asdict(options):
        return
    with registry.open(serving.number) as model:
        figures = crops_of(
            model, dataset, files, scratch, options, tell,
            f"version {serving.number}, in service",
        )  # fmt: skip
    registry.add_evaluation(serving.number, dataset.test_key, figures)


def crops_of(
    model: Model, dataset: Dataset, files: Path, scratch: Path, options: InferenceOptions,
    tell: Tell, whose: str,
) -> Figures:  # fmt: skip
    """A registered version's figures on a frozen test set."""
    seen = {case["content_sha256"] for case in reference_of(model)}
    return evaluate(
        model, dataset, dataset.test, files, scratch, options, seen,
        lambda done, total: tell(f"Testing {whose}: {done} of {total} cases"),
    )  # fmt: skip


def measure_version(
    number: int,
    registry: Registry,
    cases: Cases,
    storage: Storage,
    dataset: Dataset | None,
    settings: Settings,
    tell: Tell = lambda words: None,
) -> list[str]:
    """Test a registered version, and the one in service, and keep the figures of both.

    Parameters
    ----------
    dataset
        Its frozen test set is tested on as well, and timed on; None tests on heads alone.

    Returns
    -------
    list of str
        What was measured, in words.

    Raises
    ------
    ConflictError
        There is nothing to test on.
    NotFoundError
        There is no such version.
    """
    version, serving = registry.get(number), registry.serving()
    options = InferenceOptions.from_settings(settings)
    done: list[str] = []
    with TemporaryDirectory(prefix="hippoview-") as name, ExitStack() as stack:
        scratch = Path(name)
        files = scratch
        if dataset is not None:
            files = stack.enter_context(storage.local(f"datasets/{dataset.name}"))
        ready = stack.enter_context(bench(cases, storage, dataset, files, scratch, settings, tell))
        if dataset is None and not ready.heads:
            raise ConflictError(
                "There is nothing to test on",
                "Name a data set, or set HIPPOVIEW_TEST_HEADS to a number above 0.",
            )
        with registry.open(number) as model:
            by_key: dict[str, Figures] = {}
            if dataset is not None:
                by_key[dataset.test_key] = crops_of(
                    model, dataset, files, scratch, options, tell, f"version {number}"
                )
                done.append(f"{counted(len(dataset.test), 'crop')} of {dataset.name}")
            seen = {case["content_sha256"] for case in reference_of(model)}
            by_key |= ready.on_heads(model, seen, f"version {number}")
            done += [f"{counted(len(one.heads), one.source + ' head')}" for one in ready.heads]
            if number != serving.number:
                timed = ready.latency(model, registry, serving)
                by_key |= timed
                done += [
                    f"time: {figures['ratio']:.2f} of that of version {serving.number}"
                    for figures in timed.values()
                ]
        for key, figures in by_key.items():
            registry.add_evaluation(version.number, key, figures)
        if number != serving.number:
            if dataset is not None:
                crops_of_serving(registry, serving, dataset, files, scratch, options, tell)
            ready.serving_on_heads(registry, serving)
    return done


def _scans(dataset: Dataset, files: Path, scratch: Path) -> Iterator[Volume]:
    """The first crops of the frozen test set, read into memory."""
    for name in sorted(dataset.test)[: limits.LATENCY_CASES]:
        image, _ = file_names(name, dataset.cases[name])
        with (files / image).open("rb") as stream, vetted(stream, scratch) as file:
            scan = volume.load(file)
            _ = scan.unit  # read before its private copy goes
        yield scan
