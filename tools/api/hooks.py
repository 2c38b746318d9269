"""Hooks for schemathesis: values that a schema cannot describe, and small pictures instead of large ones."""

import base64
import json
import re
import struct
import zlib

import schemathesis
from hypothesis import strategies as st


def png(side: int, alpha: bool = False) -> bytes:
    """Return a gray PNG file of side x side pixels, or a transparent one."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + (b"\x80\0" if alpha else b"\x80") * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 4 if alpha else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SMALL = png(64)
CLEAR = png(64, alpha=True)  # a mask of /v1/images/edits, where transparent changes
URI = "data:image/png;base64," + base64.b64encode(SMALL).decode()
SIZE = re.compile(r"^[0-9]+x[0-9]+$")

sides = st.integers(4, 128).map(lambda n: 16 * n)
schemathesis.openapi.format("binary", st.just(SMALL))
schemathesis.openapi.format("picture-size", st.one_of(st.builds("{}x{}".format, sides, sides), st.just("auto")))
schemathesis.openapi.format("lora-list", st.just("[]"))
schemathesis.openapi.format("picture-uris", st.sampled_from(["[]", json.dumps([URI])]))
schemathesis.openapi.format("picture-area", st.just("0,0,64,64"))
schemathesis.openapi.format("picture-extension", st.sampled_from(["16,0,0,32", "0,8,0,0", "16:9", "square"]))


def is_number(low: float, high: float, whole: bool):
    """Return a check for numbers from low to high."""
    kinds = int if whole else (int, float)
    return lambda v: isinstance(v, kinds) and not isinstance(v, bool) and low <= v <= high


# The fields of an edit, and what the server takes for each, apart from the rules between them.
EDIT = {
    "mask": lambda v: getattr(v, "data", v) == SMALL,
    "strength": lambda v: is_number(0, 1, False)(v) and v > 0,
    "extend": lambda v: v in ("16,0,0,32", "0,8,0,0", "16:9", "square"),
    "feather": is_number(0, 1000, True),
    "context": is_number(0, 10000, True),
    "area": lambda v: v == "0,0,64,64",
    "whole": lambda v: isinstance(v, bool),
    "match_colours": lambda v: isinstance(v, bool),
    "source": lambda v: v in ("reference", "hidden"),
    "keep_unchanged": is_number(0, 1, False),
    "remove": lambda v: isinstance(v, bool),
}


def make_consistent(path: str, body: dict) -> None:
    """Drop fields of an edit that exclude each other, which the schema does not say. A bad value stays."""
    # Schemathesis's class of files is a string that is empty.
    given = [name for name in EDIT if name in body and getattr(body[name], "data", body[name]) != ""]
    if not given or not all(EDIT[name](body[name]) for name in given):
        return

    def drop(*names: str) -> None:
        for name in names:
            body.pop(name, None)

    pictures = body.get("image") if path.endswith("edits") else body.get("images")
    if body.get("remove") is True:
        drop("remove")  # it takes the place of the prompt, which the schema requires
    if not pictures:
        drop(*EDIT)
        return
    if "strength" in given:
        body["strength"] = max(body["strength"], 0.5)  # a very small one leaves no step
    paints = True
    if "mask" in given:
        drop("extend", "keep_unchanged")
        if path.endswith("edits"):
            body["mask"] = CLEAR
    elif "extend" in given:
        drop("keep_unchanged")
    else:
        paints = False
        drop("feather", "context")
    if "mask" not in given:
        drop("area")
    if body.get("whole") is True:
        drop("context", "area")
    elif "area" in given:
        drop("context")
    if not paints:
        drop("source")
    if paints or "strength" in given or "keep_unchanged" in given:
        drop("aspect_ratio", "size")


def make_smaller(body: dict) -> None:
    """Replace valid numbers and sizes by small valid ones, which take little time."""
    for name, low, high, small in (("steps", 1, 1000, 2), ("n", 1, 10, 2)):
        value = body.get(name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and low <= value <= high and value == int(value):
            body[name] = min(value, small)
    size = body.get("size")
    if isinstance(size, str) and SIZE.match(size) and all(
        64 <= int(side) <= 2048 and int(side) % 16 == 0 for side in size.split("x")
    ):
        body["size"] = "64x80"


def ask_for_prompt(body: dict) -> None:
    """Do not allow an empty prompt: the schema says that a prompt is required, as it is without that field."""
    if body.get("allow_empty_prompt") in (True, "true"):
        body["allow_empty_prompt"] = False


def make_sendable(body: dict) -> None:
    """Drop the fields whose names cannot stand in the header of a form's part: empty, or with control characters."""
    for name in list(body):
        if not name or any(ord(c) < 32 or ord(c) == 127 for c in name):
            del body[name]


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict):
        make_smaller(case.body)
        ask_for_prompt(case.body)
        make_consistent(case.path, case.body)
        if case.media_type == "multipart/form-data":
            make_sendable(case.body)
        # Otherwise schemathesis would validate the changed body again, and reject the bytes of a file, which are no
        # string.
        case._sync_validated_hashes()
