"""What `import vosbench` offers in Python. It is imported when it is first used, since it needs torch."""

from pathlib import Path
from typing import Any

from vosbench.cli import configuration
from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.scoring.evaluate import Scores
from vosbench.evaluation.scoring.evaluate import evaluate as score
from vosbench.inference.predictor import Predictor
from vosbench.inference.propagator import Propagator
from vosbench.settings.recipe import text
from vosbench.util.errors import UsageError
from vosbench.util.hub import is_on_hub
from vosbench.video.video import Dataset

Segmenter = Propagator


def load(method: str, *overrides: str, **settings: Any) -> Propagator[Any, Any]:
    """A method with its weights, ready for a video: call its `step` on every frame in order.

    method     as on the command line: mamp, mask_embedding_small, munet_small, features, …
    overrides  of the keys of `vosbench predict`, as on the command line: "device=cuda", "precision=bf16-mixed",
               "checkpoint=runs/mamp/mine", "inference.short_side=240"
    settings   the same for keys without a dot: device="cuda", checkpoint=Path("runs/mamp/mine")

    Raises UsageError for an unknown method or key, and UserError for weights that do not fit.
    """
    if Path(method).is_file() or is_on_hub(method):
        raise UsageError(f'{method} is no method: vosbench.load("<its method>", checkpoint="{method}")')
    words = [f"{key}={text(value)}" for key, value in settings.items()]
    config = configuration.resolve(configuration.compose("predict", [f"method={method}", *overrides, *words]))
    return Predictor.load(configuration.options(configuration.task("predict"), config)).propagator()


def evaluate(predictions: str | Path, dataset: Dataset, protocol: str | None = None, workers: int = 0) -> Scores:
    """The scores, as fractions, of a folder of label maps (`<video>/<frame>.png`) or of COCO RLE as .json.

    protocol  as on the command line; None: the data set's own
    workers   processes; 0 scores in this one

    Raises UserError that lists everything wrong with the predictions.
    """
    return score(dataset, open_source(Path(predictions)), protocol_named(protocol or dataset.protocol), workers)
