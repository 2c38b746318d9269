"""Drops files on an X11 window like a file manager: the source side of the XDND protocol, version 5.

    drop(display, window, x, y, paths, hold=0, while_held=None)

needs python3-xlib. x and y are relative to the window's corner. The drop waits for hold seconds over the window and
calls while_held before the files are released.
"""

import select
import time
from pathlib import Path

from Xlib import X
from Xlib.protocol import event

VERSION = 5


class Refused(Exception):
    """The target refuses the drop."""


class Drop:
    def __init__(self, display, target, paths):
        self.display, self.target = display, target
        self.payload = "".join(Path(p).absolute().as_uri() + "\r\n" for p in paths).encode()
        root = display.screen().root
        self.root = root
        self.source = root.create_window(0, 0, 1, 1, 0, display.screen().root_depth)
        self.uri_list = self.atom("text/uri-list")

    def atom(self, name):
        return self.display.intern_atom(name)

    def send(self, message, *words):
        data = (self.source.id, *words) + (0,) * (4 - len(words))
        self.target.send_event(event.ClientMessage(window=self.target, client_type=self.atom(message), data=(32, data)))
        self.display.flush()

    def serve(self, request):
        """Answers the target's request for the dragged data."""
        known = request.target == self.uri_list
        if known:
            request.requestor.change_property(request.property, self.uri_list, 8, self.payload)
        request.requestor.send_event(event.SelectionNotify(
            time=request.time, requestor=request.requestor, selection=request.selection,
            target=request.target, property=request.property if known else X.NONE))
        self.display.flush()

    def wait(self, message, seconds=10):
        """Serves requests until the target sends message. Returns the data of that message."""
        wanted, end = self.atom(message), time.monotonic() + seconds
        while time.monotonic() < end:
            while self.display.pending_events():
                e = self.display.next_event()
                if e.type == X.SelectionRequest:
                    self.serve(e)
                elif e.type == X.ClientMessage and e.client_type == wanted:
                    return e.data[1]
            select.select([self.display], [], [], 0.05)
        raise Refused(f"no {message} within {seconds} s")

    def run(self, x, y, hold, while_held):
        if not self.target.get_full_property(self.atom("XdndAware"), X.AnyPropertyType):
            raise Refused("the window is not XdndAware")
        self.source.set_selection_owner(self.atom("XdndSelection"), X.CurrentTime)
        origin = self.target.translate_coords(self.root, 0, 0)
        root_x, root_y = x - origin.x, y - origin.y
        self.send("XdndEnter", VERSION << 24, self.uri_list)
        for step in (8, 4, 0):  # the pointer moves before it rests
            position = (int(root_x - step) << 16) | int(root_y)
            self.send("XdndPosition", 0, position, X.CurrentTime, self.atom("XdndActionCopy"))
            status = self.wait("XdndStatus")
        if not status[1] & 1:
            raise Refused("the target refuses the drop")
        time.sleep(hold)
        if while_held:
            while_held()
        self.send("XdndDrop", 0, X.CurrentTime)
        self.wait("XdndFinished")
        self.source.destroy()
        self.display.flush()


def drop(display, window, x, y, paths, hold=0, while_held=None):
    Drop(display, display.create_resource_object("window", window), paths).run(x, y, hold, while_held)
