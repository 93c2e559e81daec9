"""Running exported files in their own runtimes; numpy and that runtime alone are imported."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from modelswitch.errors import UserError, missing_extra


class Runtime(Protocol):
    """An opened file: from a batch, as the file takes it, to probabilities float32 [N, K]."""

    def __call__(self, batch: np.ndarray, /) -> np.ndarray: ...


def sidecar(path: str | Path) -> Path:
    """The JSON file beside an exported one, which says what it is and what it takes."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def describe(path: str | Path) -> dict[str, Any]:
    """What is known of a file: of an exported one what lies beside it, of weights their header.

    Raises:
        UserError: it does not say.
    """
    if Path(path).suffix == _WEIGHTS:
        return _describe_weights(Path(path))
    beside = sidecar(path)
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{beside}: no such file; an exported model goes with it") from None
    except ValueError as error:
        raise UserError(f"{beside}: not JSON ({error})") from error


def open_file(path: str | Path, threads: int = 1) -> Runtime:
    """The runtime for a file, by its suffix, with so many threads where the runtime lets one say.

    Raises:
        UserError: the file or the runtime is missing, or the runtime does not take the file.
    """
    path = Path(path)
    _check_there(path)
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        raise UserError(f"{path}: unknown kind of file; known are {', '.join(_OPENERS)}")
    extra, start = opener
    with _telling(path, extra):
        return start(path, threads)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file")


@contextlib.contextmanager
def _telling(path: Path, extra: str) -> Iterator[None]:
    """One line of a `UserError` where a file's runtime, of ``extra``, is missing or refuses it."""
    try:
        yield
    except ImportError as error:
        raise missing_extra(extra, error, str(path)) from error
    except UserError:
        raise
    except Exception as error:
        # Every runtime has its own kinds of error for a file that it does not take.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UserError(f"{path}: refused by its runtime ({reason})") from error


def open_selector(path: str | Path, threads: int = 1) -> Callable[..., list[np.ndarray]]:
    """Recognisers and selector in one ONNX file: from batches, one a modality, to its outputs.

    Raises:
        UserError: the file or ONNX Runtime is missing, or it does not take the file.
    """
    path = Path(path)
    _check_there(path)
    with _telling(path, "onnx"):
        session = _onnx_session(path, threads)
    names = [given.name for given in session.get_inputs()]

    def run(batches: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return session.run(None, {name: batches[name] for name in names})

    return run


def _onnx_session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _onnx(path: Path, threads: int) -> Runtime:
    session = _onnx_session(path, threads)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        names = ", ".join(given.name for given in inputs)
        raise UserError(f"{path}: takes {len(inputs)} images at once ({names}), expected one")
    [given] = inputs
    if len(outputs) != 1:
        raise UserError(f"{path}: has {len(outputs)} outputs, expected one")

    def run(batch: np.ndarray) -> np.ndarray:
        return session.run(None, {given.name: batch})[0]

    return run


def _openvino(path: Path, threads: int) -> Runtime:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32"}  # fmt: skip
    model = openvino.Core().compile_model(str(path), "CPU", settings)

    def run(batch: np.ndarray) -> np.ndarray:
        return np.asarray(model(batch)[0])

    return run


def _executorch(path: Path, threads: int) -> Runtime:
    # Its runtime takes as many threads as the process may use processors.
    import torch
    from executorch.runtime import Runtime as Program

    method = Program.get().load_program(str(path)).load_method("forward")
    assert method is not None

    def run(batch: np.ndarray) -> np.ndarray:
        answers = []
        for i in range(len(batch)):
            # Cloned: the strides of one image or channel are ambiguous, and refused if unusual.
            one = torch.from_numpy(batch[i : i + 1]).clone(memory_format=torch.contiguous_format)
            # Copied: the runtime gives the same memory each time.
            answers.append(method.execute([one])[0].numpy().copy())
        return np.concatenate(answers)

    return run


def _litert(path: Path, threads: int) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    [given], [output] = interpreter.get_input_details(), interpreter.get_output_details()

    def run(batch: np.ndarray) -> np.ndarray:
        answers = []
        for i in range(len(batch)):
            interpreter.set_tensor(given["index"], batch[i : i + 1])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(output["index"]))
        return np.concatenate(answers)

    return run


def _torch(path: Path, threads: int) -> Runtime:
    """A network as this project trains it: what exported files are compared with."""
    import torch

    from modelswitch.deployment.predictor import load

    torch.set_num_threads(threads)
    return load(path).probabilities


def _describe_weights(path: Path) -> dict[str, Any]:
    from modelswitch.storage import artifacts

    passport = artifacts.read_passport(path)
    artifacts.check_passport(path, passport, {"kind": "model"})
    known = {key: passport[key] for key in ("lineage", "branch", "classes")}
    about = {"dataset": passport["job"]["dataset"], "shape": passport["input"]["shape"]}
    size = path.stat().st_size
    return known | about | {"format": "torch", "preprocessing": True, "bytes": size}


# By suffix: the extra that brings the runtime, and what opens a file in it.
_WEIGHTS = ".safetensors"
_OPENERS: dict[str, tuple[str, Callable[[Path, int], Runtime]]] = {
    ".onnx": ("onnx", _onnx),
    ".xml": ("openvino", _openvino),
    ".pte": ("executorch", _executorch),
    ".tflite": ("litert", _litert),
    _WEIGHTS: ("", _torch),
}
