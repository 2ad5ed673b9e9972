"""Torch models, optimizers, schedulers and generators resume from a checkpoint bit for bit."""

import copy
from dataclasses import dataclass

import pytest
from tests_support import again, restore_into, state_of

import qexp
from qexp.errors import CheckpointError

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn, optim  # noqa: E402
from torch.optim import lr_scheduler as schedules  # noqa: E402
from torch.optim.swa_utils import SWALR, AveragedModel  # noqa: E402
from torch_support import bits  # noqa: E402

torch.set_num_threads(1)
EPOCHS = 5


# Trainings: an exception in every epoch stands for a kill, and the next attempt resumes


class KilledError(Exception):
    """Stands for a killed process."""


class Net(nn.Module):
    """Has parameters, buffers, a tied weight and layers in lists."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.layers[1].weight = self.layers[0].weight
        self.norm, self.drop, self.out = nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.out(self.drop(self.norm(x)))


OPTIMIZERS = {
    name: getattr(optim, name)
    for name in (
        "ASGD",
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "LBFGS",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SGD",
    )
}


class Factor:
    """A schedule object, whose attributes are part of the scheduler's state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, epoch):
        self.calls += 1
        return 0.9**self.calls


SCHEDULERS = {
    "LambdaLR": lambda opt: schedules.LambdaLR(opt, lambda epoch: 0.9**epoch),
    "LambdaLR of an object": lambda opt: schedules.LambdaLR(opt, Factor()),
    "MultiplicativeLR": lambda opt: schedules.MultiplicativeLR(opt, lambda epoch: 0.9),
    "StepLR": lambda opt: schedules.StepLR(opt, 2),
    "MultiStepLR": lambda opt: schedules.MultiStepLR(opt, [1, 3]),
    "ConstantLR": schedules.ConstantLR,
    "LinearLR": schedules.LinearLR,
    "ExponentialLR": lambda opt: schedules.ExponentialLR(opt, 0.9),
    "PolynomialLR": schedules.PolynomialLR,
    "CosineAnnealingLR": lambda opt: schedules.CosineAnnealingLR(opt, 4),
    "CosineAnnealingWarmRestarts": lambda opt: schedules.CosineAnnealingWarmRestarts(opt, 2),
    "CyclicLR": lambda opt: schedules.CyclicLR(opt, 0.01, 0.1, step_size_up=2, cycle_momentum=False),
    "OneCycleLR": lambda opt: schedules.OneCycleLR(opt, 0.1, total_steps=10),
    "ReduceLROnPlateau": lambda opt: schedules.ReduceLROnPlateau(opt, patience=0, threshold=0.5),
    "SequentialLR": lambda opt: schedules.SequentialLR(
        opt, [schedules.ConstantLR(opt), schedules.ExponentialLR(opt, 0.9)], [2]
    ),
    "ChainedScheduler": lambda opt: schedules.ChainedScheduler(
        [schedules.ConstantLR(opt), schedules.ExponentialLR(opt, 0.9)]
    ),
    "SWALR": lambda opt: SWALR(opt, 0.05, anneal_epochs=3),
}


def train(context, optimizer="Adam", scheduler="StepLR", killed_in=None):
    """Train on random batches with dropout from the global generator; return the learnt state as bytes."""
    torch.manual_seed(1)  # like the seed of each attempt
    net = Net()
    ema = AveragedModel(net)
    opt = OPTIMIZERS[optimizer](net.parameters())
    schedule = SCHEDULERS[scheduler](opt)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2, enabled=optimizer != "LBFGS")
    batches = torch.Generator().manual_seed(2)
    state = {
        "models": [net, ema],
        "opt": opt,
        "schedule": schedule,
        "scaler": scaler,
        "batches": batches,
        "torch": torch,
        "losses": [],
        "best": None,
    }
    for epoch in context.resumable(range(EPOCHS), state, steps=1):
        x = torch.randn(8, 4, generator=batches)

        def closure(x=x):
            opt.zero_grad()
            loss = (net(x) - x.sum(dim=1, keepdim=True)).square().mean()
            scaler.scale(loss).backward()
            return loss

        if optimizer == "LBFGS":
            loss = opt.step(closure)
        else:
            loss = closure()
            scaler.step(opt)
            scaler.update()
        schedule.step(*[loss.item()] * (scheduler == "ReduceLROnPlateau"))
        ema.update_parameters(net)
        state["losses"].append(loss.detach())
        state["best"] = copy.deepcopy(net.state_dict())
        if epoch == killed_in:
            raise KilledError
    return bits({**state_of(state), "next": torch.randn(3), "rate": opt.param_groups[0]["lr"]})


def cut_off(killed_in, **choices):
    """Return the final state of a training that is killed in an epoch and resumes in another attempt."""
    first = qexp.Context.local()
    with pytest.raises(KilledError):
        train(first, killed_in=killed_in, **choices)
    return train(qexp.Context.local(journal=first.journal, attempt=2), **choices)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_with_any_optimizer_resumes_bit_for_bit(optimizer):
    undisturbed = train(qexp.Context.local(), optimizer=optimizer)
    for epoch in range(EPOCHS):
        assert cut_off(epoch, optimizer=optimizer) == undisturbed, f"killed in epoch {epoch}"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_training_with_any_scheduler_resumes_bit_for_bit(scheduler):
    undisturbed = train(qexp.Context.local(), scheduler=scheduler)
    for epoch in range(EPOCHS):
        assert cut_off(epoch, scheduler=scheduler) == undisturbed, f"killed in epoch {epoch}"


def test_all_schedulers_of_torch_are_tried():
    known = {name for name, kind in vars(schedules).items() if isinstance(kind, type) and name[0] != "_"}
    kinds = {name for name in known if name.endswith(("LR", "Restarts", "Scheduler", "Plateau"))} - {"LRScheduler"}
    assert kinds <= SCHEDULERS.keys()


@pytest.mark.parametrize("order", [["net", "best", "weight"], ["weight", "best", "net"]])
def test_a_best_state_that_began_as_the_models_own_tensors_stays_separate(order):
    # Given a loop that keeps a copy of its best state, at first the live state_dict
    def made():
        net = nn.Linear(2, 1)
        parts = {"net": net, "best": net.state_dict(), "weight": net.weight}
        return net, {name: parts[name] for name in order}

    net, state = made()
    context = qexp.Context.local()
    items = context.resumable(range(3), state, steps=1)
    next(items)
    state["best"] = copy.deepcopy(net.state_dict())
    nn.init.constant_(net.weight, 7.0)
    best, last = bits(state["best"]), bits(net.state_dict())
    next(items)
    # When another attempt resumes
    net, state = made()
    weight = net.weight
    list(qexp.Context.local(journal=context.journal, attempt=2).resumable(range(3), state))
    # Then both are unchanged, and the weight still belongs to the model
    assert (bits(state["best"]), bits(net.state_dict())) == (best, last)
    assert state["weight"] is weight is net.weight


@dataclass
class Trainer:
    net: nn.Module
    opt: optim.Optimizer
    epoch: int = 0


def test_models_in_dataclasses_objects_and_tuples_are_restored_in_place():
    def made(value):
        net = nn.Linear(2, 1)
        nn.init.constant_(net.weight, value)
        return Trainer(net, optim.SGD(net.parameters(), lr=value, momentum=0.9), int(value))

    for holder in (lambda it: it, lambda it: {"deep": [it]}, lambda it: (it, it.net)):
        trainer = made(1.0)
        net, weight = trainer.net, trainer.net.weight
        restore_into(holder(trainer), again(state_of(holder(made(2.0)))))
        assert (trainer.net, trainer.epoch, trainer.opt.param_groups[0]["lr"]) == (net, 2, 2.0)
        assert trainer.net.weight is weight and weight.tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("target", "saved", "text"),
    [
        (
            lambda: {"net": nn.Linear(3, 2)},
            lambda: {"net": nn.Linear(4, 2)},
            "state['net']: Linear cannot take the checkpoint's state (RuntimeError: Error(s) in loading state_dict",
        ),
        (
            lambda: {"w": nn.Parameter(torch.zeros(3))},
            lambda: {"w": torch.zeros(2)},
            "state['w']: the checkpoint holds a tensor of torch.float32 of shape (2,), "
            "expected a tensor of torch.float32 of shape (3,); 'qexp",
        ),
        (
            lambda: torch.zeros(3),
            lambda: torch.zeros(3, dtype=torch.int64),
            "state: the checkpoint holds a tensor of torch.int64",
        ),
    ],
)
def test_a_state_of_another_shape_is_refused_in_one_line(target, saved, text):
    with pytest.raises(CheckpointError) as caught:
        restore_into(target(), again(state_of(saved())))
    message = str(caught.value)
    assert message.startswith(text) and "\n" not in message and "'qexp requeue ID --fresh'" in message
    if "Linear" in text:
        assert "weight" in message and "[2, 4]" in message and "[2, 3]" in message


def test_an_optimizer_that_keeps_no_data_is_refused_by_its_place_after_the_first_epoch():
    net = nn.Linear(1, 1)
    opt = optim.SGD(net.parameters(), lr=0.1)
    items = qexp.Context.local().resumable(range(3), {"net": net, "opt": opt}, steps=1)
    next(items)
    opt.state[net.weight]["callback"] = print
    with pytest.raises(
        CheckpointError, match=r"^state\['opt'\]\['state'\]\[0\]\['callback'\]: a builtins.builtin_func"
    ):
        next(items)


def test_a_compiled_module_resumes():
    source, target = (torch.compile(nn.Linear(2, 2), backend="eager") for _ in range(2))
    restore_into({"net": target}, again(state_of({"net": source})))
    assert bits(target.state_dict()) == bits(source.state_dict())


def test_a_state_dict_keeps_the_versions_of_its_modules():
    read = again(nn.BatchNorm1d(1).state_dict())
    assert read._metadata == nn.BatchNorm1d(1).state_dict()._metadata
