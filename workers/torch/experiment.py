"""A torch network learns which of two spirals a point lies on; after a kill, it resumes from the last epoch."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import qexp

torch.set_num_threads(1)  # one thread, because one experiment runs per core


def spirals(count: int, generator: torch.Generator) -> TensorDataset:
    """Return points near two arms of a spiral, and the arm of each: 0 or 1."""
    arms = torch.randint(2, (count,), generator=generator)
    radii = torch.rand(count, generator=generator).sqrt()
    angles = 2 * math.pi * radii + math.pi * arms
    points = torch.stack([radii * angles.cos(), radii * angles.sin()], dim=1)
    return TensorDataset(points + 0.03 * torch.randn(count, 2, generator=generator), arms.float())


class Network(nn.Module):
    """Two hidden layers with normalization and dropout."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(2, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(hidden, 1),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return a score for each point; positive scores mean arm 1."""
        return self.layers(points).squeeze(1)

    @torch.no_grad()
    def accuracy(self, data: TensorDataset) -> float:
        """Return the share of points whose arm is predicted correctly."""
        points, arms = data.tensors
        self.eval()
        return float(((self(points) > 0) == (arms > 0)).float().mean())


def train(hidden: int, dropout: float, seed: int = 0, epochs: int = 15, *, context: qexp.Context) -> dict[str, float]:
    """Train, and return the accuracy on the training points and on new points."""
    torch.manual_seed(seed)  # for the first weights and for dropout
    generator = torch.Generator().manual_seed(seed)
    known, new = spirals(1000, generator), spirals(1000, generator)
    batches = DataLoader(known, batch_size=50, shuffle=True, generator=generator)
    net = Network(hidden, dropout)
    opt = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.03, total_steps=epochs * len(batches))
    # everything that changes in the loop; torch stands for its global generator, which dropout uses
    state = {"net": net, "opt": opt, "schedule": schedule, "generator": generator, "torch": torch}

    for epoch in context.resumable(range(epochs), state, steps=1):  # without steps=1, it saves every 30 seconds
        net.train()
        total = 0.0
        for points, arms in batches:
            opt.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(net(points), arms)
            loss.backward()
            opt.step()
            schedule.step()
            total += loss.item()
        context.metric(epoch, train_loss=total / len(batches), test_accuracy=net.accuracy(new))

    torch.save(net.state_dict(), context.workdir / "net.pt")
    context.artifact("net.pt", context.workdir / "net.pt")
    return {"train_accuracy": net.accuracy(known), "test_accuracy": net.accuracy(new)}
