"""Training that FX mode began, and PT2E goes on with: the same bits.

From one trained state, both train on with the same 12 batches, three times. A third model takes
the weights alone to PT2E, and its fake quantizers begin anew.
Source: torchao.quantization.pt2e.quantize_pt2e.prepare_qat_pt2e; handbook.fixed_quantizer.
"""

# %% load
import copy
import logging
import warnings

import torch

logging.disable(logging.WARNING)  # torchao mentions the GPU kernels that it does not find
from torch.ao.quantization.fake_quantize import disable_observer
from torch.nn.functional import cross_entropy
from torchao.quantization import pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from handbook import export
from handbook.data import fashion_mnist
from handbook.fixed_quantizer import FixedQuantizer, marked
from handbook.fx_qat import load_fx_qat
from handbook.record import artifact, table
from handbook.running_example import load_running_example, predict

warnings.simplefilter("ignore")  # deprecation notices of FX mode, and of its tensor types
torch.set_num_threads(1)
torch.backends.quantized.engine = "onednn"
test_images, labels = fashion_mnist("test")
example_inputs = (torch.from_numpy(test_images[:2]),)  # two: one would fix the batch at 1
any_batch = ({0: torch.export.Dim("batch")},)
start = load_fx_qat(artifact("pytorch/export/fx_qat_to_pt2e_qat/training.pt"))

# %% carry
floats = marked(start, training=True)  # batch normalization is not folded
exported = torch.export.export(floats, example_inputs, dynamic_shapes=any_batch).module()
carried = prepare_qat_pt2e(exported, FixedQuantizer(start, live=True))
names = [node.name for node in carried.graph.nodes if node.op != "get_attr"]
print(*names[names.index("sqrt") : names.index("relu") + 1], sep="\n")  # of the first convolution

# %% weights_alone
floats = load_running_example().train()
state = {key.replace("conv.bn", "bn"): value for key, value in start.state_dict().items()}
floats.load_state_dict({key: state[key] for key in floats.state_dict()})
exported = torch.export.export(floats, example_inputs, dynamic_shapes=any_batch).module()
quantizer = x86.X86InductorQuantizer()
quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
anew = prepare_qat_pt2e(exported, quantizer)

# %% train
train_images, train_labels = map(torch.from_numpy, fashion_mnist("train"))
starts = {"FX": start, "PT2E, carried over": carried, "PT2E, from the weights alone": anew}
models, logits = {}, {}
for seed in range(3):
    for name, model in starts.items():
        models[name] = model = copy.deepcopy(model)
        if name != "FX":
            pt2e.allow_exported_model_train_eval(model)
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9)
        generator = torch.Generator().manual_seed(seed)  # of its own: see the page
        order = torch.randperm(len(train_images), generator=generator)[:1536]
        for batch in order.split(128):  # 12 batches
            loss = cross_entropy(model(train_images[batch]), train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.apply(disable_observer).apply(pt2e.disable_observer).eval()
        logits[name, seed] = predict(model, test_images)

# %% results
import numpy as np

from handbook.conversions import conversions, parity
from handbook.measure import accuracy, agreement

rows, ELSEWHERE = [], "training on another CPU ends elsewhere"
for name in starts:
    runs = [(logits[name, seed], logits["FX", seed]) for seed in range(3)]
    scores = [accuracy(run[0], labels).percent for run in runs]
    half_width = 4.303 * np.std(scores, ddof=1) / 3**0.5  # Student's t, two degrees of freedom
    row = {"goes on in": name, "accuracy, mean %": round(float(np.mean(scores)), 2)}
    row["95 % interval, \N{PLUS-MINUS SIGN}"] = round(float(half_width), 2)
    row["same answer as FX %"] = min(agreement(*run) for run in runs)
    row["equal logits %"] = min(round(100 * float((a == b).mean()), 2) for a, b in runs)
    rows.append(row)
wide = {key: 2 for key in rows[0] if key not in ("goes on in", "equal logits %")}
table("results", rows, tolerance=wide, because=ELSEWHERE)
assert rows[1]["equal logits %"] == 100 and rows[2]["equal logits %"] < 50

# %% convert
converted = convert_pt2e(models["PT2E, carried over"])  # of the last seed
reference = export.fx_prepared_to_pt2e(models["FX"], example_inputs, any_batch)
assert (predict(converted, test_images) == predict(reference, test_images)).all()
row = parity(logits["PT2E, carried over", 2], logits["FX", 2], labels)
edge = ("PyTorch FX, QAT", "PyTorch PT2E, QAT", "Quantizer that goes on observing")
conversions({edge: row | {"equal parameters %": 100.0}}, because=ELSEWHERE)
