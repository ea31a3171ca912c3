"""PT2E refactoring: what fixes the batch at the size of the example.

The same network around the same line, written nine ways: which of them leave the batch free, and
the message when one does not.
Source: torch.export.Dim, PyTorch 2.13.
"""

# %% load
import logging

import torch
from torch.export import Dim, export

from handbook.data import fashion_mnist
from handbook.record import expected
from handbook.tracing import Around

logging.disable(logging.WARNING)
torch.set_num_threads(1)
images = torch.from_numpy(fashion_mnist("test")[0][:500])
example_inputs = (images[:2],)

# %% not_asked_for
fixed = export(Around().network, example_inputs).module()
with expected(AssertionError, "Guard failed: x.size()[0] == 2"):
    fixed(images)

# %% any_batch
any_batch = ({0: Dim("batch")},)  # dimension 0 of the first input
exported = export(Around().network, example_inputs, dynamic_shapes=any_batch).module()
print(*exported(images).shape)

# %% limits
up_to_64 = ({0: Dim("batch", max=64)},)
limited = export(Around().network, example_inputs, dynamic_shapes=up_to_64).module()
with expected(AssertionError, "Guard failed: x.size()[0] <= 64"):
    limited(images)


# %% patterns
class Pattern(Around):
    def __init__(self, forward):
        super().__init__()
        self.written = forward

    def forward(self, x):
        return self.written(self.network, x)


patterns = {
    "x.view(2, 1, 28, 28)": lambda net, x: net(x.view(2, 1, 28, 28)),
    "x.view(len(x), 1, 28, 28)": lambda net, x: net(x.view(len(x), 1, 28, 28)),
    "x.view(int(x.shape[0]), 1, 28, 28)": lambda net, x: net(x.view(int(x.shape[0]), 1, 28, 28)),
    "for image in x": lambda net, x: torch.cat([net(image[None]) for image in x]),
    "torch.vmap(...)(x)": lambda net, x: torch.vmap(lambda image: net(image[None])[0])(x),
    "if x.shape[0] > 8": lambda net, x: net(x) * 2 if x.shape[0] > 8 else net(x),
    "x.view(-1, 1, 28, 28)": lambda net, x: net(x.view(-1, 1, 28, 28)),
    "x.view(x.shape[0], 1, 28, 28)": lambda net, x: net(x.view(x.shape[0], 1, 28, 28)),
    "F.adaptive_avg_pool2d(x, 28)": lambda net, x: net(
        torch.nn.functional.adaptive_avg_pool2d(x, 28)
    ),
}

# %% specialized
from handbook.record import table

rows = []
for written, forward in patterns.items():
    shapes = ({0: Dim.AUTO},)  # dynamic if it can be
    found = export(Pattern(forward), example_inputs, dynamic_shapes=shapes)
    upper = [str(limits.upper) for limits in found.range_constraints.values()]
    free = upper == ["int_oo"]  # no upper limit
    batch = "any" if free else f"2 to {upper[0]}" if upper else "2 only"
    rows.append({"written": f"`{written}`", "batch after export": batch})
    if free:
        difference = (found.module()(images) - forward(Around().network, images)).abs().max()
        assert difference < 1e-4
table("specialized", rows)
assert [row["batch after export"] for row in rows] == ["2 only"] * 5 + ["2 to 8"] + ["any"] * 3

# %% refused
with expected(torch._dynamo.exc.UserError, "your code specialized it to be a constant (2)"):
    written = Pattern(patterns["x.view(len(x), 1, 28, 28)"])
    export(written, example_inputs, dynamic_shapes=any_batch)

# %% too_narrow
with expected(torch._dynamo.exc.UserError, "satisfy the generated guard"):
    export(Pattern(patterns["if x.shape[0] > 8"]), example_inputs, dynamic_shapes=any_batch)

# %% one_image
with expected(torch._dynamo.exc.UserError, "your code specialized it to be a constant (1)"):
    export(Around().network, (images[:1],), dynamic_shapes=any_batch)
