"""What the trainings share: threads that can be changed while they run, checkpoints that a kill cannot break, the log."""

import ctypes
import math
import os
import pathlib
import random
import signal
import sys
import time

import numpy
import torch
import torch.distributed
import torch.multiprocessing


# One GPU and one process, or a process a core.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
RANKS = 1 if DEVICE.type == "cuda" else os.cpu_count()
# Products in bf16 pay where the hardware has them: four times float32's rate with AMX, no more than float32's without.
BF16 = DEVICE.type == "cuda" or torch.cpu._is_amx_tile_supported()


def threads(state):
    """Sets the threads of this process: what the file STATE/threads says, else KLEINBILD_THREADS, else every core."""
    file = pathlib.Path(state) / "threads"
    count = int(file.read_text()) if file.exists() else int(os.environ.get("KLEINBILD_THREADS", os.cpu_count()))
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def seed(value):
    random.seed(value)
    numpy.random.seed(value)
    torch.manual_seed(value)


def write(path, values):
    """torch.save into place: a kill leaves the old file or the new one."""
    torch.save(values, str(path) + ".part")
    os.replace(str(path) + ".part", path)


def save(path, state):
    """Writes a checkpoint, the generators' states with it."""
    device = torch.cuda.get_rng_state() if DEVICE.type == "cuda" else None
    write(path, state | {"rng": (random.getstate(), numpy.random.get_state(), torch.get_rng_state(), device)})


def load(path):
    """Reads a checkpoint of save and takes up its generators' states; None if there is none."""
    if not pathlib.Path(path).exists():
        return None
    state = peek(path)
    random.setstate(state["rng"][0])
    numpy.random.set_state(state["rng"][1])
    torch.set_rng_state(state["rng"][2])
    if DEVICE.type == "cuda":
        torch.cuda.set_rng_state(state["rng"][3])
    return state


def peek(path):
    """Reads a checkpoint and leaves the generators alone."""
    return torch.load(path, weights_only=False, map_location="cpu")


def rate(step, steps, flat=0.3, warm=60, floor=0.01):
    """The share of the learning rate: a short rise, flat, then half a cosine down to floor."""
    at = step / steps
    down = 1 if at < flat else floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1, (at - flat) / (1 - flat))))
    return min(1, (step + 1) / warm) * down


def ranks(train, args, name):
    """Runs train(rank, args) in args.ranks processes of one thread that can average their parameters."""
    state = pathlib.Path(args.state)
    meeting = state / f"{name}.meeting"
    meeting.unlink(missing_ok=True)
    torch.multiprocessing.spawn(_ranked, (train, args, str(meeting.resolve())), args.ranks)
    meeting.unlink(missing_ok=True)


def _ranked(rank, train, args, meeting):
    # A session of its own, so that a scheduler that shares processors out by session gives every process a share; and, as a signal to the
    # parent's group no longer reaches it, an end with the parent (1 is PR_SET_PDEATHSIG).
    if sys.platform == "linux":
        os.setsid()
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=args.ranks)
    train(rank, args)
    torch.distributed.destroy_process_group()


@torch.no_grad()
def average(params):
    """Makes the parameters of every process the mean of all. Averaging them every few steps lets the processes run apart in between:
    on a machine that others use too, waiting for each other in every step cost half the time."""
    if torch.distributed.get_world_size() == 1:
        return
    flat = torch.cat([p.flatten() for p in params])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for p, mean in zip(params, flat.split([p.numel() for p in params])):
        p.copy_(mean.view_as(p))


class Log:
    def __init__(self, path):
        self.path, self.start = pathlib.Path(path), time.time()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, text):
        line = f"{time.strftime('%H:%M:%S')} {time.time() - self.start:7.0f}s {text}"
        print(line, flush=True)
        with open(self.path, "a") as f:
            f.write(line + "\n")
