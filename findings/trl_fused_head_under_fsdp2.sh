#!/usr/bin/env bash
# TRL: where fully_shard takes the language-model head on its own, the fused head of GRPOTrainer and SFTTrainer gathers
# the weight by weight.full_tensor(). The backward of that takes the gradient for the same on all processes and gives each
# shard its slice of its own process's gradient: nothing is averaged over the processes, as fully_shard does for every
# other parameter, and no warning is given. The first half of the head learns from the batch of process 0 alone, the
# second from that of process 1. full_tensor(grad_placements=[Partial("avg")]) has the gradient that fully_shard has.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q torch==2.13.0 transformers==5.24.0 trl==1.16.0
cat > "$work/step.py" <<'PYTHON'
import copy
import sys

import torch
import torch.distributed as dist
import transformers
import trl
from torch.distributed.fsdp import fully_shard
from trl.trainer.utils import add_fused_lm_head

path, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
)
model = transformers.LlamaForCausalLM(config)
plain = copy.deepcopy(model)
ids = torch.randint(0, 32, (2, 8))
apart = []
for k in range(2):
    (gradient,) = torch.autograd.grad(plain(input_ids=ids[k : k + 1], labels=ids[k : k + 1]).loss, plain.lm_head.weight)
    apart.append(gradient)
# both sequences have as many tokens: the loss of both is the mean of their losses
plain(input_ids=ids, labels=ids).loss.backward()
add_fused_lm_head(model)
mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
fully_shard(model.lm_head, mesh=mesh)
fully_shard(model, mesh=mesh)
own = ids[rank : rank + 1]
model(input_ids=own, labels=own, fused_lm_head=True).loss.backward()
head = model.lm_head.weight.grad.full_tensor()
norm = model.model.norm.weight.grad.full_tensor()
if rank == 0:
    print("torch", torch.__version__, "trl", trl.__version__)
    want = plain.lm_head.weight.grad
    print("gradient of the last norm, off by", (norm - plain.model.norm.weight.grad).abs().max().item())
    print("gradient of the head, off by", (head - want).abs().max().item(), "of at most", want.abs().max().item())
    torch.testing.assert_close(norm, plain.model.norm.weight.grad)
    assert not torch.allclose(head, want, rtol=0.1)
    torch.testing.assert_close(head, torch.cat([apart[0][:16], apart[1][16:]]))
dist.barrier()
dist.destroy_process_group()
PYTHON
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
"$work/venv/bin/python" "$work/step.py" "$work" 1 >/dev/null &
"$work/venv/bin/python" "$work/step.py" "$work" 0
wait
