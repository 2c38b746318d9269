"""What the trainings share: a number of threads that can change while they run, checkpoints that survive a kill, and
the log."""

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


# One process with a GPU, or one process for each core.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
RANKS = 1 if DEVICE.type == "cuda" else os.cpu_count()
# bf16 products are worthwhile if the hardware supports them: with AMX they are four times as fast as float32, without
# it no faster.
BF16 = DEVICE.type == "cuda" or torch.cpu._is_amx_tile_supported()


def threads(state):
    """Sets the threads of this process: the number in the file STATE/threads, else KLEINBILD_THREADS, else the number
    of cores."""
    file = pathlib.Path(state) / "threads"
    count = int(file.read_text()) if file.exists() else int(os.environ.get("KLEINBILD_THREADS", os.cpu_count()))
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def seed(value):
    random.seed(value)
    numpy.random.seed(value)
    torch.manual_seed(value)


def write(path, values):
    """Saves values atomically: after a kill, either the old or the new file is there."""
    torch.save(values, str(path) + ".part")
    os.replace(str(path) + ".part", path)


def save(path, state):
    """Writes a checkpoint together with the states of the random generators."""
    device = torch.cuda.get_rng_state() if DEVICE.type == "cuda" else None
    write(path, state | {"rng": (random.getstate(), numpy.random.get_state(), torch.get_rng_state(), device)})


def load(path):
    """Reads a checkpoint that save wrote and restores the random generators. Returns None if there is no checkpoint."""
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
    """Reads a checkpoint and does not change the random generators."""
    return torch.load(path, weights_only=False, map_location="cpu")


def rate(step, steps, flat=0.3, warm=60, floor=0.01):
    """Returns the factor of the learning rate: a short rise to 1, then constant, then half a cosine down to floor."""
    at = step / steps
    down = 1 if at < flat else floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1, (at - flat) / (1 - flat))))
    return min(1, (step + 1) / warm) * down


def ranks(train, args, name):
    """Runs train(rank, args) in args.ranks processes with one thread each. The processes can average their
    parameters."""
    state = pathlib.Path(args.state)
    meeting = state / f"{name}.meeting"
    meeting.unlink(missing_ok=True)
    torch.multiprocessing.spawn(_ranked, (train, args, str(meeting.resolve())), args.ranks)
    meeting.unlink(missing_ok=True)


def _ranked(rank, train, args, meeting):
    # Each process gets a session of its own, because a scheduler may divide the processors among sessions. A signal to
    # the parent's process group then no longer reaches it, so it asks to be ended with its parent (1 is
    # PR_SET_PDEATHSIG).
    if sys.platform == "linux":
        os.setsid()
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=args.ranks)
    train(rank, args)
    torch.distributed.destroy_process_group()


@torch.no_grad()
def average(params):
    """Replaces the parameters of every process by their mean over all processes. Averaging only every few steps lets
    the processes run independently in between: on a machine with other users, waiting for each other in every step
    doubled the time."""
    if torch.distributed.get_world_size() == 1:
        return
    flat = torch.cat([p.flatten() for p in params])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for p, mean in zip(params, flat.split([p.numel() for p in params])):
        p.copy_(mean.view_as(p))


class Log:
    """Prints lines with the time and appends them to a file."""
    def __init__(self, path):
        self.path, self.start = pathlib.Path(path), time.time()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, text):
        line = f"{time.strftime('%H:%M:%S')} {time.time() - self.start:7.0f}s {text}"
        print(line, flush=True)
        with open(self.path, "a") as f:
            f.write(line + "\n")
