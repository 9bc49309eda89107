"""Makes samples.json: arguments that each operator of libtorch accepts, as PyTorch's own tests (OpInfo, ModuleInfo) call it.

    pip install torch==2.13.0 numpy expecttest && python test/torch/fuzz/make_samples.py

Operators are recorded as the dispatcher sees them, those of backward passes among them; composite ones, which it takes apart
before, are called directly. Two calls an overload are kept. A tensor is kept as dtype "d" and shape "s", with strides "t"
where it isn't contiguous, values "v" where it is a small index, and its largest value "m" where it is a larger one.
"""

import json
import pathlib
import signal
import warnings

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.utils._python_dispatch import TorchDispatchMode

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.manual_seed(0)
most_text, most_samples, most_elements, seconds = 300, 4, 4096, 5
corpus: dict[str, list[str]] = {}


def encode(value):
    if isinstance(value, torch.Tensor):
        if value.numel() > most_elements:
            raise TypeError("slow")
        one = {"d": str(value.dtype)[6:], "s": list(value.shape)}
        if value.layout == torch.strided and not value.is_contiguous():
            one["t"] = list(value.stride())
        if value.dtype in (torch.int64, torch.int32) and value.layout == torch.strided and value.numel() > 0:
            if value.numel() <= 16:
                one["v"] = value.reshape(-1).tolist()
            else:
                one["m"] = int(value.max())
        return one
    if isinstance(value, (list, tuple)):
        return [encode(one) for one in value]
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else {"n": "NaN" if value != value else str(value)}
    if isinstance(value, complex):
        return value.real
    if isinstance(value, torch.dtype):
        return {"dtype": str(value)[6:]}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, (torch.layout, torch.memory_format, torch.Generator)):
        return None
    raise TypeError(type(value))


def note(function, args, kwargs):
    schema = function._schema
    if not schema.name.startswith("aten::"):
        return
    key = schema.name[6:] + ("." + schema.overload_name if schema.overload_name else "")
    try:
        values = {argument.name: encode(value) for argument, value in zip(schema.arguments, args)}
        values |= {name: encode(value) for name, value in kwargs.items()}
    except TypeError:
        return
    text = json.dumps(values, separators=(",", ":"))
    known = corpus.setdefault(key, [])
    if len(text) <= most_text and text not in known and len(known) < most_samples:
        known.append(text)


class Recorder(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        note(function, args, kwargs or {})
        return function(*args, **(kwargs or {}))


def plain(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


def call_directly(op, sample):
    last = op.name.split(".")[-1]
    whole = (op.aten_name or op.name).replace(".", "_")
    for base in sorted({whole, whole + "_", last, last + "_"}):
        packet = getattr(torch.ops.aten, base, None)
        for name in packet.overloads() if packet is not None else []:
            function = getattr(packet, name)
            args = [plain(one) for one in (sample.input, *sample.args)]
            if any(one.is_out for one in function._schema.arguments) or len(args) > len(function._schema.arguments):
                continue
            try:
                if base.endswith("_"):
                    args[0] = args[0].clone()
                function(*args, **sample.kwargs)
            except TimeoutError:
                raise
            except Exception:  # another overload's arguments
                continue
            note(function, args, sample.kwargs)


def record(body):
    """Runs a generator that may fail, or take too long, at any step."""

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        body()
    except Exception:
        pass
    finally:
        signal.alarm(0)


def backward(outputs, inputs):
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    sums = [torch.view_as_real(o).sum() if o.is_complex() else o.sum()
            for o in outputs if isinstance(o, torch.Tensor) and o.requires_grad]
    inputs = [i for i in inputs if isinstance(i, torch.Tensor) and i.requires_grad]
    if sums and inputs:
        torch.autograd.grad(sums, inputs, allow_unused=True)


def from_op(op, dtype):
    samples = op.sample_inputs("cpu", dtype, requires_grad=dtype.is_floating_point and op.supports_autograd)
    for _, sample in zip(range(12), samples):
        call_directly(op, sample)
        try:
            with Recorder():
                backward(op(sample.input, *sample.args, **sample.kwargs), [sample.input, *sample.args])
        except TimeoutError:
            raise
        except Exception:
            pass


def from_module(module):
    for one in module.module_inputs_func(module, device="cpu", dtype=torch.float32, requires_grad=True, training=True):
        made = module.module_cls(*one.constructor_input.args, **one.constructor_input.kwargs)
        with Recorder():
            backward(made(*one.forward_input.args, **one.forward_input.kwargs), list(made.parameters()))


for op in op_db:
    for dtype in (torch.float32, torch.int64, torch.complex64):
        if dtype in op.dtypes:
            record(lambda: from_op(op, dtype))
for module in module_db:
    record(lambda: from_module(module))

lines = []
for key, texts in sorted(corpus.items()):
    texts.sort(key=len)
    # The shortest says least.
    kept = texts if len(texts) <= 2 else [texts[len(texts) // 2], texts[-1]]
    if kept:
        lines.append(f'{json.dumps(key)}:[{",".join(kept)}]')
out = pathlib.Path(__file__).with_name("samples.json")
out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(f"{len(lines)} overloads")
