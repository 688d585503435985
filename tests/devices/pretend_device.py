"""A pretend accelerator for machines without a GPU: tensors that claim a device of their own and compute on the CPU.

As on a GPU, an operation on tensors of two devices raises, and numpy sees a tensor only after `.cpu()`. A fault that
needs a GPU to show, such as a mask made on the CPU and used on the device, is thus found anywhere. What is not
pretended: speed, memory, other kernels' rounding, and autocast, which does nothing here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("pretend")  # once per process: torch has room for one such device
torch.pretend.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]  # type: ignore[attr-defined]

DEVICE = torch.device("pretend:0")
COPIES = ("_to_copy", "copy_", "set_", "index_put_", "_index_put_impl_")  # may see both devices
READS_AT = ("index", "_unsafe_index")  # a GPU's tensor takes indices that lie on the CPU


class Pretend(Tensor):
    """A tensor of the pretend device, around one on the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "Pretend":
        made: Pretend = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=held.requires_grad,
        )
        return made

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"Pretend({self.held})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Makes tensors on the device where an operation without tensors names it: `torch.zeros(…, device=…)`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _BelowTheDispatcher(TorchFunctionMode):
    """Replaces what reads or fills memory where no dispatcher sees it: `torch.tensor`, `new_tensor`, `tolist`, and
    lists as indices."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_ours(kwargs.get("device")):
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.new_tensor and isinstance(args[0], Pretend):
            return torch.tensor(_inner(args[1]), dtype=kwargs.get("dtype") or args[0].dtype).to(DEVICE)
        if func is Tensor.tolist and isinstance(args[0], Pretend):
            return args[0].held.tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1], dtype=torch.long), *args[2:])
        return func(*args, **kwargs)


@contextmanager
def pretending() -> Iterator[torch.device]:
    """The pretend device, to which modules can move meanwhile."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(
        True
    )  # parameters become Pretend, instead of getting its data
    try:
        with _BelowTheDispatcher(), _Factories():  # type: ignore[no-untyped-call]
            yield DEVICE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def _run(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The result of one operation, on the device that a GPU's would be on."""
    name = func.overloadpacket.__name__  # type: ignore[attr-defined]
    if name == "_has_compatible_shallow_copy_type":
        return False
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    _refuse_a_mixture(func, name, args, tensors)
    plain = {**kwargs, "device": "cpu"} if _is_ours(kwargs.get("device")) else kwargs
    found = func(*_inner(args), **_inner(plain))
    if name == "_local_scalar_dense":
        return found
    if name.endswith("_") and not name.endswith("__") and args and isinstance(args[0], Tensor):
        return args[0]
    return _outer(found, tensors) if _stays(name, args, kwargs, tensors) else found


def _refuse_a_mixture(func: object, name: str, args: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    """Scalars may lie on the CPU."""
    strangers = [each for each in tensors if not isinstance(each, Pretend) and each.dim() > 0]
    if len(strangers) == len(tensors) or not any(isinstance(each, Pretend) for each in tensors) or name in COPIES:
        return
    if strangers and not (name in READS_AT and isinstance(args[0], Pretend)):
        seen = [(tuple(each.shape), str(each.device)) for each in tensors]
        raise RuntimeError(f"{func}: tensors on two devices: {seen}")


def _stays(name: str, args: Sequence[Any], kwargs: dict[str, Any], tensors: Sequence[Tensor]) -> bool:
    """Whether the result is on the pretend device."""
    if name == "copy_":
        return isinstance(args[0], Pretend)
    target = kwargs.get("device")
    return any(isinstance(each, Pretend) for each in tensors) if target is None else _is_ours(target)


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _inner(tree: Any) -> Any:
    return tree_map_only(Pretend, lambda each: each.held, tree)


def _outer(tree: Any, tensors: Sequence[Tensor]) -> Any:
    """Wraps results; what is one of the arguments stays that argument."""
    known = {id(each.held): each for each in tensors if isinstance(each, Pretend)}
    with torch.inference_mode(False):  # a part of a parameter is no tensor of the inference mode
        return tree_map_only(Tensor, lambda each: known.get(id(each)) if id(each) in known else Pretend(each), tree)
