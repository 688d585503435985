"""Errors of loggers' packages, in one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from vosbench.util.errors import UserError, one_line

REMEDIES = {
    "wandb": "use `wandb login`, or logger.offline=true, which needs no account",
    "tensorboard": "set logger.tensorboard.save_dir to a folder that can be written",
    "mlflow": "start its server, or set logger.mlflow.tracking_uri=<address>, or null for a folder",
}


@contextmanager
def told(name: str) -> Iterator[None]:
    """Makes a UserError of what a logger's package raises, and of a package that is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if name not in REMEDIES:
            raise
        raise UserError(f"logger={name} needs a package: pip install 'vosbench[{name}]'") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in (name, "requests", "urllib3") or name not in REMEDIES:
            raise
        raise UserError(f"logger={name}: {one_line(error).rstrip('.')}: {REMEDIES[name]}") from error
