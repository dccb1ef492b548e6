"""A design as things to copy: a spec file, Python, command lines. What they print are the page's figures."""

from __future__ import annotations

from otoyol.spec import Spec, dumps, to_text

PYTHON = """\
import otoyol
from otoyol.cost import count, training

spec = otoyol.parse("{spec}")
cost = count(spec, batch={batch}, dtype="{dtype}")
step = training(spec, "standard", batch={batch}, dtype="{dtype}", optimizer="{optimizer}")
print(f"parameters  {{cost.params:,}}")
print(f"MACs        {{cost.macs:,}}")
print(f"activations {{cost.activations:,}}")
print(f"train bytes {{cost.train_bytes:,}}")
print(f"peak bytes  {{step.peak_bytes:,}}")

# model = otoyol.nn.build(spec)  # the torch module: pip install 'otoyol[torch]'
"""


def code(spec: Spec, batch: int, dtype: str, optimizer: str) -> dict[str, str]:
    """``text``, ``yaml``, ``python`` and ``cli``, each whole and ready to run."""
    text = to_text(spec)
    cost = f"otoyol cost {text} --batch {batch} --dtype {dtype}"
    memory = f"otoyol memory {text} --batch {batch} --dtype {dtype} --optimizer {optimizer}"
    return {
        "text": text,
        "yaml": dumps(spec),
        "python": PYTHON.format(spec=text, batch=batch, dtype=dtype, optimizer=optimizer),
        "cli": f"{cost}\n{memory}\n",
    }
