"""Stands for an input method of X11, such as ibus or fcitx, so far that a test sees whether a program looks for it.

    method = Server("name")
    ... start the program with XMODIFIERS=@im=name ...
    method.asked()

needs python3-xlib. A program that wants the input method asks the server's selection for the locales that it serves.
This server then says that it serves none, so that the program goes on without it.
"""

import threading

from Xlib import X, Xatom
from Xlib import display as xdisplay
from Xlib.protocol import event


class Server:
    def __init__(self, name):
        # The program waits for each answer, so the answers come from a connection and a thread of their own.
        self.display = xdisplay.Display()
        self.root = self.display.screen().root
        self.window = self.root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        self.locales = self.display.intern_atom("LOCALES")
        self.servers = self.display.intern_atom("XIM_SERVERS")
        selection = self.display.intern_atom("@server=" + name)
        self.window.set_selection_owner(selection, X.CurrentTime)
        self.root.change_property(self.servers, Xatom.ATOM, 32, [selection])
        self.display.sync()
        self.event = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            request = self.display.next_event()
            if request.type != X.SelectionRequest:
                continue
            if request.target == self.locales:
                self.event.set()
            request.requestor.send_event(event.SelectionNotify(
                time=request.time, requestor=request.requestor, selection=request.selection, target=request.target,
                property=X.NONE))
            self.display.flush()

    def asked(self, seconds=10):
        """Says whether a program has asked for the server's locales, and waits for that."""
        return self.event.wait(seconds)

    def end(self):
        """Takes the server off the list that programs read."""
        self.root.delete_property(self.servers)
        self.display.sync()
