"""Training the running example.

The float network that every chapter quantizes, trained from scratch on the 20 000 images.
Source: AdamW (arXiv:1711.05101), one-cycle schedule (arXiv:1708.07120), label smoothing
(arXiv:1512.00567).
"""

# %% load
import numpy as np
import torch
from torch.nn import functional as F

from handbook.data import fashion_mnist
from handbook.running_example import RunningExample

torch.manual_seed(0)
torch.set_num_threads(1)  # more threads sum in another order, and training ends elsewhere
train_images, train_labels = map(torch.from_numpy, fashion_mnist("train"))
test_images, test_labels = fashion_mnist("test")
model = RunningExample().to(memory_format=torch.channels_last)  # trains faster on a CPU

# %% augment
padded_images = F.pad(train_images, (1, 1, 1, 1), value=train_images.min().item())


def augmented(batch):
    """Shift the images of a batch by up to one pixel, and flip half of them."""
    top, left = torch.randint(3, (2,)).tolist()
    images = padded_images[batch, :, top : top + 28, left : left + 28]
    flipped = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(flipped, images.flip(3), images)


# %% train
from handbook.record import table

EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 128, 0.02
optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.02)
steps = -(-len(train_images) // BATCH_SIZE)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * steps)
rows = []
for epoch in range(1, EPOCHS + 1):
    losses = []
    for batch in torch.randperm(len(train_images)).split(BATCH_SIZE):
        logits = model(augmented(batch))
        loss = F.cross_entropy(logits, train_labels[batch], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    if epoch % 4 == 0:
        rate = round(schedule.get_last_lr()[0], 4)
        mean_loss = round(float(np.mean(losses)), 3)
        rows.append({"epoch": epoch, "learning rate": rate, "training loss": mean_loss})

ANOTHER_CPU = "another CPU sums in another order, and training ends at other weights"
table("epochs", rows, tolerance={"training loss": 0.05}, because=ANOTHER_CPU)

# %% test
from handbook.measure import accuracy
from handbook.record import record
from handbook.running_example import predict

correct = accuracy(predict(model.eval(), test_images), test_labels)
print(f"{correct.percent} % of {len(test_labels)} test images ({correct.interval})")
record(accuracy=correct.percent, tolerance=1, because=ANOTHER_CPU)
record(parameters=sum(parameter.numel() for parameter in model.parameters()))
assert correct.percent >= 88

# %% save
from handbook.record import artifact

# This file, made once, is examples/data/running_example/weights.npz.
weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
np.savez(artifact("running_example/train/weights.npz"), **weights)
