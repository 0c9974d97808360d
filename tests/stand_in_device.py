"""A stand-in for a GPU: tensors that hold numbers of the CPU and claim to lie on another device, `DEVICE`.

Inside `stand_in_device()`, `torch.zeros(2, device=DEVICE)` and `tensor.to(DEVICE)` give such tensors.
Numbers come from the CPU's kernels, so tokens must be the CPU's and floats nearly so. As on a GPU,

- an operation on tensors of both devices raises `MixedDevices` (allowed: a CPU scalar without dimensions,
  a copy, and an index on the CPU, which is uploaded);
- whatever makes the host wait for the device is a synchronisation: a value read (`.item()`, `bool(tensor)`,
  `.tolist()`, `.cpu()`), a result whose size depends on values (`nonzero`, a mask as index, NMS), and a
  blocking copy from the CPU, which PyTorch follows with a synchronisation on CUDA;
- every copy between the devices is an event with the file and line of the project that caused it.

Registering the device changes PyTorch for the whole process: use it in a process of its own
(`tests/model/test_stand_in_device.py` starts one). It knows no streams, no memory limits and no autocast.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

# A name that safetensors takes; no such accelerator is used.
DEVICE = "musa"
_PROJECT = Path(__file__).resolve().parents[1]
_aten = torch.ops.aten
_READS = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero"}
_SIZES_OF_VALUES = {
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_consecutive",
    "aten::unique_dim",
    "aten::bincount",
    "torchvision::nms",
}
_WITHOUT_KERNEL = {"aten::_unsafe_view", "aten::detach", "aten::empty", "aten::new_empty", "aten::empty_like"}
# Composite here, but with a kernel of its own on CUDA.
_FUSED_ON_CUDA = {"aten::rms_norm"}
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class MixedDevices(RuntimeError):
    """Tensors of the CPU and of the stand-in device met in one operation."""


@dataclass(frozen=True)
class Event:
    """`kind`: read, size, upload, download or index upload; `waits`: whether the host waits for it."""

    kind: str
    operation: str
    place: str
    waits: bool


class Log(list[Event]):
    """What happened between the devices, in order. kernels: how often each operation ran on the device.

    Views and memory without contents start no kernel and do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()

    def synchronisations(self) -> list[str]:
        """Each as `kind operation file:line`."""
        return [f"{event.kind} {event.operation} {event.place}" for event in self if event.waits]


class _BackendModule(_DummyBackendModule):
    """What PyTorch asks of a device's module."""

    def get_rng_state(self, device: object = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def synchronize(self, device: object = None) -> None:
        pass

    @contextmanager
    def device(self, index: object) -> Iterator[None]:
        yield


class StandInTensor(torch.Tensor):
    """Claims to lie on the stand-in device; its numbers are in `on_cpu`."""

    on_cpu: torch.Tensor

    @staticmethod
    def __new__(cls, on_cpu: torch.Tensor) -> "StandInTensor":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            on_cpu.size(),
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            layout=on_cpu.layout,
            device=torch.device(DEVICE, 0),
        )
        made.on_cpu = on_cpu.detach()
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"StandInTensor({self.on_cpu})"

    @classmethod
    def __torch_function__(
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func is torch.Tensor.tolist:  # PyTorch refuses it for subclasses
                return args[0].cpu().tolist()
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {}, None)


class _Operations(TorchDispatchMode):
    """Every operation passes here, those of tensors on the CPU too."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            before = self.log.kernels.copy()
            # Without autograd above it, a mode is handed composite operations too.
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                if func._schema.name in _FUSED_ON_CUDA:
                    self.log.kernels = before + Counter([func._schema.name])
                return out
        if _is_kernel(func) and _is_on_device(args, kwargs):
            self.log.kernels[func._schema.name] += 1
        return _run(func, args, kwargs, self.log)


class _TensorsOfData(TorchFunctionMode):
    """Makes tensors of Python's numbers and of arrays, which PyTorch makes without asking a dispatch mode."""

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and _is_stand_in(kwargs.get("device")):
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


@contextmanager
def stand_in_device() -> Iterator[Log]:
    """The device exists inside; gives the log of what happens between it and the CPU."""
    if not hasattr(torch, DEVICE):
        _setup_privateuseone_for_python_backend(DEVICE, backend_module=_BackendModule())
    log = Log()
    with _TensorsOfData(), _Operations(log):
        yield log


def _is_kernel(func: Any) -> bool:
    return not func.is_view and func._schema.name not in _WITHOUT_KERNEL


def _is_on_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    leaves = pytree.tree_leaves((args, kwargs))
    return _is_stand_in(kwargs.get("device")) or any(isinstance(leaf, StandInTensor) for leaf in leaves)


def _is_stand_in(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], log: Log | None) -> Any:
    """Run an operation on the CPU and give the result the device that it would have."""
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    inputs = [leaf for leaf in leaves if isinstance(leaf, StandInTensor)]
    name = func._schema.name
    device = kwargs.get("device")
    event = _event(func, name, args, kwargs, leaves, inputs)
    if event is not None and log is not None:
        log.append(event)
    plain_args, plain_kwargs = pytree.tree_map_only(
        StandInTensor, lambda tensor: tensor.on_cpu, (args, kwargs)
    )
    if _is_stand_in(device):
        plain_kwargs["device"] = torch.device("cpu")
    out = func(*plain_args, **plain_kwargs)
    if device is not None:
        on_device = _is_stand_in(device)
    elif name == "aten::copy_":
        on_device = isinstance(args[0], StandInTensor)
    else:
        on_device = bool(inputs)
    if not on_device:
        return args[0] if name == "aten::copy_" else out
    if name == "aten::_to_copy" and inputs and inputs[0].on_cpu is out:
        out = out.clone()
    # A view of a tensor with a version counter has one too, in inference mode as well.
    is_counted_view = func.is_view and not inputs[0].is_inference()
    with torch.inference_mode(torch.is_inference_mode_enabled() and not is_counted_view):
        wrapped = pytree.tree_map_only(torch.Tensor, StandInTensor, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if inputs else wrapped


def _event(
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    leaves: list[torch.Tensor],
    inputs: list[StandInTensor],
) -> Event | None:
    """What an operation means between the devices; raises MixedDevices for one that a GPU would refuse."""
    if name in ("aten::_to_copy", "aten::copy_"):
        return _copy_event(name, args, kwargs)
    if not inputs:
        return None
    if name in _READS:
        return Event("read", name, project_line(), waits=True)
    if name in _SIZES_OF_VALUES or (name == "aten::repeat_interleave" and kwargs.get("output_size") is None):
        return Event("size", name, project_line(), waits=True)
    others = [leaf for leaf in leaves if not isinstance(leaf, StandInTensor) and leaf.dim()]
    if name in _INDEXING and isinstance(args[0], StandInTensor):
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            return Event("size", name, project_line(), waits=True)
        on_host = [index for index in indices if not isinstance(index, StandInTensor)]
        others = [leaf for leaf in others if not any(leaf is index for index in on_host)]
        if on_host and not others:
            return Event("index upload", name, project_line(), waits=True)
    if others:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in others)
        raise MixedDevices(f"{func} at {project_line()}: {shapes} on the CPU, the rest on {DEVICE}")
    return None


def _copy_event(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Event | None:
    if name == "aten::copy_":
        source, to_device = args[1], isinstance(args[0], StandInTensor)
        non_blocking = bool(args[2]) if len(args) > 2 else bool(kwargs.get("non_blocking"))
    else:
        source, device = args[0], kwargs.get("device")
        to_device = _is_stand_in(device) if device is not None else isinstance(source, StandInTensor)
        non_blocking = bool(kwargs.get("non_blocking"))
    if isinstance(source, StandInTensor) == to_device:
        return None
    return Event("upload" if to_device else "download", name, project_line(), waits=not non_blocking)


def project_line() -> str:
    """`file:line` of the innermost caller in the project's packages, else of the innermost test."""
    frame: FrameType | None = sys._getframe(1)
    of_test = "?"
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PROJECT) and path != Path(__file__).resolve():
            relative = path.relative_to(_PROJECT)
            place = f"{relative}:{frame.f_lineno}"
            if relative.parts[0] == "fo1_data":
                return place
            if of_test == "?" and relative.parts[0] == "tests":
                of_test = place
        frame = frame.f_back
    return of_test
