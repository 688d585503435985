"""All promises of a method, tried one after the other."""

from collections.abc import Callable, Iterator

from vosbench.audit.method_checks import Broken, Subject, declarations, predictions, repetition, stored_weights
from vosbench.audit.training_checks import falling_loss, gradients, labels_unseen

Check = Callable[[Subject], str]
CHECKS: dict[str, Check] = {
    "declarations": declarations,
    "predictions": predictions,
    "repetition": repetition,
    "stored weights": stored_weights,
    "gradients": gradients,
    "labels unseen": labels_unseen,
    "falling loss": falling_loss,
}


def tried(subject: Subject) -> Iterator[tuple[str, str, bool]]:
    """The name of each check, what it found, and whether the promise is kept. The first broken one ends it, since later
    ones rely on it."""
    for name, check in CHECKS.items():
        try:
            yield name, check(subject), True
        except Broken as error:
            yield name, str(error), False
            return
