#!/usr/bin/env bash
# torchmetrics: the information measures of InfoLM do not share a sign. kl_divergence and alpha_divergence are minus the
# divergence, renyi_divergence is plus it, of the same two distributions; and yet one is the limit of the other at α = 1.
# All are of the reference from the prediction. To take the larger for the better, or the smaller, is wrong for one of
# them, and a search over measures and α that keeps the best compares scores of opposite direction.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q torch==2.13.0 transformers==5.24.0 torchmetrics==1.9.0 numpy==2.4.6
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
import warnings
from pathlib import Path

import torch
import torchmetrics
import transformers
from torchmetrics.functional.text import infolm

warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
# a model of random weights serves: the signs do not depend on it
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "sat", "ran"]
folder = Path(sys.argv[1]) / "model"
folder.mkdir()
(folder / "vocab.txt").write_text("\n".join(words))
transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
torch.manual_seed(2)
config = transformers.BertConfig(
    vocab_size=len(words),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
    initializer_range=0.5,
)
transformers.BertForMaskedLM(config).save_pretrained(folder)
print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__, "transformers", transformers.__version__)
found = {}
for measure, alpha in (("kl_divergence", None), ("alpha_divergence", 0.5), ("renyi_divergence", 0.999)):
    options = {"information_measure": measure, "alpha": alpha, "idf": False, "max_length": 8, "verbose": False}
    found[measure] = float(infolm(["a cat sat"], ["a dog ran"], model_name_or_path=str(folder), **options))
    print(f"{measure:17} alpha={alpha}: {found[measure]:.6g}")
assert found["kl_divergence"] < -0.01
assert found["alpha_divergence"] < -0.01
assert abs(found["renyi_divergence"] + found["kl_divergence"]) < 0.05 * found["renyi_divergence"]
PYTHON
