"""What the trainings share: threads that can be changed while they run, checkpoints that a kill cannot break, the log."""

import math
import os
import pathlib
import random
import time

import numpy
import torch


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
    write(path, state | {"rng": (random.getstate(), numpy.random.get_state(), torch.get_rng_state())})


def load(path):
    """Reads a checkpoint of save and takes up its generators' states; None if there is none."""
    if not pathlib.Path(path).exists():
        return None
    state = torch.load(path, weights_only=False)
    random.setstate(state["rng"][0])
    numpy.random.set_state(state["rng"][1])
    torch.set_rng_state(state["rng"][2])
    return state


def peek(path):
    """Reads a checkpoint and leaves the generators alone."""
    return torch.load(path, weights_only=False)


def rate(step, steps, flat=0.3, warm=60, floor=0.01):
    """The share of the learning rate: a short rise, flat, then half a cosine down to floor."""
    at = step / steps
    down = 1 if at < flat else floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1, (at - flat) / (1 - flat))))
    return min(1, (step + 1) / warm) * down


class Log:
    def __init__(self, path):
        self.path, self.start = pathlib.Path(path), time.time()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, text):
        line = f"{time.strftime('%H:%M:%S')} {time.time() - self.start:7.0f}s {text}"
        print(line, flush=True)
        with open(self.path, "a") as f:
            f.write(line + "\n")
