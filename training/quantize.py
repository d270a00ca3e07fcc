"""Make the int8 form of the embedded model: ``make quantize DATA=folder``.

NNCF quantizes after training, with the ranges of activations measured on training texts. OpenVINO
runs the result without a conversion at the first start.

Two choices follow from the CPU's kernels. The ranges of activations are symmetric around zero, so
that products need no second sum for the zero point. The products of attention stay as they are,
since converting and transposing their operands would cost more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

# nncf and openvino report their use to their makers unless this package is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import nncf
import openvino
from openvino import opset13
from valence_service.backends.bert_graph import left_as_it_is

from training.data import read_rows, train_file
from training.evaluate import compare, table
from training.exits import load
from training.forms import INT8, compiled_form, graph_of, read_int8
from training.measures import ask, development

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# As many texts from each kind that the model was trained on.
CALIBRATION_FILES = (
    "sst2_detok.train_phrases",
    "vader_rated.movie",
    "cad_imdb.train_original",
    "yelp10k.train80",
    "goemotions.train",
    "semeval_twitter.train",
)
TEXTS_EACH = 100
MAX_TOKENS = 256
SEED = 20_260


def calibration(data: Path, tokenizer: Tokenizer) -> list[dict[str, np.ndarray]]:
    """Return inputs of one text each, arrays of shape [1, tokens]."""
    rng = np.random.default_rng(SEED)
    inputs = []
    for name in CALIBRATION_FILES:
        rows = list(read_rows(train_file(data, name)))
        for index in rng.choice(len(rows), TEXTS_EACH, replace=False):
            ids = np.array([tokenizer.encode(rows[index][1]).ids[:MAX_TOKENS]])
            inputs.append({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return inputs


def gather_in_int8(model: openvino.Model) -> None:
    """Convert the rows that a text looks up to float32, instead of the whole table of words.

    Otherwise each compiled form keeps the table in float32, at four times its size. The result is
    the same to the last bit.
    """
    for gather in model.get_ordered_ops():
        scaled = gather.input_value(0).get_node() if gather.get_type_name() == "Gather" else None
        if scaled is None or scaled.get_type_name() != "Multiply":
            continue
        table, scale = scaled.input_value(0).get_node().input_value(0), scaled.input_value(1)
        where = (gather.input_value(1), gather.input_value(2))
        rows = opset13.convert(opset13.gather(table, *where), "f32")
        looked_up = opset13.multiply(rows, opset13.gather(scale, *where))
        for target in gather.output(0).get_target_inputs():
            target.replace_source_output(looked_up.output(0))
    model.validate_nodes_and_infer_types()


def main() -> None:
    """Quantize a model, save it, and print how the forms compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    arguments = parser.parse_args()
    folder: Path = arguments.model
    reference, tokenizer = load(folder)
    model = graph_of(reference)
    names = [node.get_friendly_name() for node in model.get_ops()]
    quantized = nncf.quantize(
        model.clone(),
        nncf.Dataset(calibration(arguments.data, tokenizer)),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.PERFORMANCE,
        ignored_scope=nncf.IgnoredScope(names=[name for name in names if left_as_it_is(name)]),
        subset_size=len(CALIBRATION_FILES) * TEXTS_EACH,
    )
    gather_in_int8(quantized)
    xml = folder / INT8
    xml.parent.mkdir(exist_ok=True)
    openvino.save_model(quantized, xml)
    print(f"{xml.with_suffix('.bin').stat().st_size / 1e6:.1f} MB")
    rows = development(arguments.data)
    forms = {
        "f32": ask(compiled_form(model, tokenizer), rows),
        "bf16": ask(compiled_form(model, tokenizer, precision="bf16"), rows),
        "int8": ask(compiled_form(read_int8(folder), tokenizer, precision="bf16"), rows),
    }
    print(compare(forms, rows))
    print(table(forms["int8"], rows, reference.depths, reference.model.config.exits["confidence"]))


if __name__ == "__main__":
    main()
