"""What a method promises about its training, each promise tried on two made-up clips: see `method_checks`."""

from dataclasses import replace

import torch

from vosbench.audit.method_checks import Broken, Subject
from vosbench.audit.scene import clip
from vosbench.contract import Clip
from vosbench.method import Method
from vosbench.util.errors import UserError
from vosbench.util.supervision import Supervision

STEPS = 20


def gradients(subject: Subject) -> str:
    """The loss is finite, and every parameter gets a gradient. What cannot be trained says so."""
    method = subject.made().train()
    if method.supervision == "none":
        return _untrainable(method)
    terms = method.loss(clip())
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    if not total.isfinite():
        raise Broken(f"the loss is {total.item()}")
    for key, parameter in method.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            raise Broken(f"{key} gets no gradient: let the loss depend on it, or set requires_grad to false")
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise Broken(f"the gradient of {key} is not finite")
    return "loss " + " + ".join(f"{name} {term.item():.3g}" for name, term in terms.items())


def labels_unseen(subject: Subject) -> str:
    """A self-supervised loss is the same without the clips' labels."""
    supervision: Supervision = subject.made().supervision
    if supervision != "self-supervised":
        return f"not asked of methods whose supervision is {supervision}"
    labelled = clip()
    with_labels, without = (_losses(subject, each) for each in (labelled, replace(labelled, labels=None)))
    if not torch.equal(with_labels, without):
        raise Broken("the loss depends on clip.labels, so the method is not self-supervised: give its supervision")
    return "the loss is the same without labels"


def falling_loss(subject: Subject) -> str:
    """The recipe's optimizer lowers the loss on one batch."""
    if subject.optimizer is None:
        return "no optimizer, nothing to train"
    losses = losses_of(subject)
    first, last = (sum(part) / len(part) for part in (losses[:5], losses[-5:]))
    if not last < first:
        raise Broken(f"{STEPS} steps on one batch take the loss from {first:.3g} to {last:.3g}: check optimizer.lr")
    return f"{STEPS} steps on one batch: {first:.3g} → {last:.3g}"


def losses_of(subject: Subject, steps: int = STEPS) -> list[float]:
    """The losses of steps on one small batch, with the recipe's own optimizer."""
    assert subject.optimizer is not None
    method, batch, losses = subject.made().train(), clip(32), []
    optimizer = subject.optimizer(method.named_parameters())
    for step in range(steps):
        torch.manual_seed(step)
        loss = torch.stack(list(method.loss(batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _losses(subject: Subject, batch: Clip) -> torch.Tensor:
    method = subject.made()
    torch.manual_seed(1)
    return torch.stack(list(method.loss(batch).values()))


def _untrainable(method: Method[object, object]) -> str:
    try:
        method.loss(clip())
    except UserError:
        return "has nothing to train, and says so"
    raise Broken("supervision is 'none', but loss raises no UserError: say that there is nothing to train")
