"""Hooks for schemathesis: values that a schema cannot describe, and small pictures instead of large ones."""

import base64
import json
import re
import struct
import zlib

import schemathesis
from hypothesis import strategies as st


def png(side: int) -> bytes:
    """Return a gray PNG file of side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x80" * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SMALL = png(64)
URI = "data:image/png;base64," + base64.b64encode(SMALL).decode()
SIZE = re.compile(r"^[0-9]+x[0-9]+$")

sides = st.integers(4, 128).map(lambda n: 16 * n)
schemathesis.openapi.format("binary", st.just(SMALL))
schemathesis.openapi.format("picture-size", st.one_of(st.builds("{}x{}".format, sides, sides), st.just("auto")))
schemathesis.openapi.format("picture-uris", st.sampled_from(["[]", json.dumps([URI])]))


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


def make_sendable(body: dict) -> None:
    """Drop the fields whose names cannot stand in the header of a form's part: empty, or with control characters."""
    for name in list(body):
        if not name or any(ord(c) < 32 or ord(c) == 127 for c in name):
            del body[name]


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict):
        make_smaller(case.body)
        if case.media_type == "multipart/form-data":
            make_sendable(case.body)
        # Otherwise schemathesis would validate the changed body again, and reject the bytes of a file, which are no
        # string.
        case._sync_validated_hashes()
