#!/usr/bin/python3
"""Runs the Windows programs under Wine, and takes a screenshot after each step in the window. It runs the Go tests of
the packages with code for Windows, the command line in a console, the server, and the window on a virtual screen.

    tools/window/test_wine.py FOLDER OUT

FOLDER contains the .zip that make package or make windows-window wrote. OUT is the folder for the screenshots. Run it
with a display of 1440 × 900 (xvfb-run). If something does not do what it should, the test fails with a sentence.

Wine's drive and the home folder, with its bin, lie in a temporary folder without links to the outside: the folders that
Wine links to the user's are replaced by real ones, and drive Z:, which is the whole machine, is removed.
"""

import contextlib
import fcntl
import http.client
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import zipfile
from pathlib import Path

from Xlib import display as xdisplay

from test_window import (BUTTON, CANVAS, CANVAS_EDGE, GROUND, IN_NOTICE_EDGE, IN_SLOT1, IN_THUMB1, PROMPT, SLOT1,
                         Window, colourful, near, png, xdo)

SCREEN = (1440, 900)
PROJECT = Path(__file__).resolve().parents[2]
# Linux may use instructions for tiles, which Windows does not, and each system measures its own fastest path.
ONE_PATH = {"KLEINBILD_SIMD": "AVX2"}
HOUSE = ["-p", "a red house under a yellow sun", "--seed", "7", "--model", "demo"]

# Wine 8 lacks the DLL from which Go's runtime gets random numbers.
PRIMITIVES = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T n) { return SystemFunction036(to, (ULONG)n); }
"""


class Wine:
    """A Windows installation in a temporary folder."""

    def __init__(self, work):
        self.home = work / "home"
        self.prefix = work / "prefix"
        self.drive = self.prefix / "drive_c"
        (self.home / ".local/share").mkdir(parents=True)  # Wine makes its bin only if this folder exists
        foreign = ("XDG_", "FYNE_", "KLEINBILD_", "WINE")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env |= ONE_PATH
        self.env |= {
            "HOME": str(self.home), "WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all", "LANG": "C.UTF-8",
            "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=", "LIBGL_ALWAYS_SOFTWARE": "1",
            "FYNE_THEME": "dark",
        }
        self.run("wineboot", "-i")
        # Wine writes the registry when its server ends.
        subprocess.run(["wineserver", "-w"], env=self.env, timeout=120)
        library = self.drive / "windows/system32/bcryptprimitives.dll"
        if not library.exists():
            source = work / "primitives.c"
            source.write_text(PRIMITIVES)
            subprocess.run(["x86_64-w64-mingw32-gcc", "-shared", "-o", library, source, "-ladvapi32"], check=True)
        for link in self.links():
            if link.name == "c:":
                continue
            link.unlink()
            if link.parent.name != "dosdevices":
                link.mkdir()
        self.user = next(p for p in (self.drive / "users").iterdir() if p.name != "Public")

    def links(self):
        found = []
        for folder, folders, files in os.walk(self.prefix):
            found += [Path(folder) / name for name in folders + files if (Path(folder) / name).is_symlink()]
        return found

    def path(self, file):
        """Returns the Windows path of a file."""
        return "C:\\" + str(Path(file).relative_to(self.drive)).replace("/", "\\")

    def command(self, program, *args):
        """Returns a command line. program is a file, or the name of one of Wine's own programs."""
        return ["wine", self.path(program) if isinstance(program, Path) else program, *map(str, args)]

    def run(self, program, *args):
        """Runs a program and waits for its end."""
        folder = self.drive if self.drive.is_dir() else None
        return subprocess.run(self.command(program, *args), env=self.env, cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)

    def console(self, *args, timeout=60):
        """Runs a program in a console of 100 columns. Returns its exit code and the console's text."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        process = subprocess.Popen(self.command(*args), env=self.env, cwd=self.drive, stdin=slave, stdout=slave,
                                   stderr=slave, start_new_session=True)
        os.close(slave)
        shown, end = b"", time.monotonic() + timeout
        with contextlib.suppress(OSError):  # reading fails in this way when the program has ended
            while time.monotonic() < end:
                if select.select([master], [], [], 0.2)[0]:
                    shown += os.read(master, 65536)
                elif process.poll() is not None:
                    break
        os.close(master)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            sys.exit(f"{args}: not ended after {timeout} s: {shown!r}")
        return process.returncode, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))

    def stop(self):
        subprocess.run(["wineserver", "-k"], env=self.env)
        subprocess.run(["wineserver", "-w"], env=self.env, timeout=60)


class WineWindow(Window):
    """A window of the Windows program, in the size with which it opens."""

    def __init__(self, display, wine, program, out, **env):
        self.display, self.out = display, out
        self.log = open(out / "log.txt", "a")
        before = set(self.ids())
        self.id = display.screen().root.id  # if no window opens, the screenshot shows the whole screen
        self.process = subprocess.Popen(wine.command(program), env=wine.env | env, cwd=wine.drive, stdout=self.log,
                                        stderr=self.log)
        self.id = self.until("a window", lambda: next(iter(set(self.ids()) - before), None), 120)
        self.target = self.display.create_resource_object("window", self.id)
        self.until("the panels", lambda: self.at(10, 400) != (0, 0, 0), 60)
        xdo("windowfocus", self.id)

    def place(self):
        """Returns the window's content on the screen: x, y, width, height."""
        size, corner = self.target.get_geometry(), self.target.translate_coords(self.display.screen().root, 0, 0)
        return -corner.x, -corner.y, size.width, size.height

    def crash(self):
        self.end(signal.SIGKILL)
        while self.id in self.ids():  # the next window may get the same id
            time.sleep(0.05)


def expect(ok, sentence, *shown):
    if not ok:
        sys.exit(" ".join([sentence, *map(repr, shown)]))


@contextlib.contextmanager
def step(name):
    start = time.monotonic()
    yield
    print(f"ok: {name}, {time.monotonic() - start:.0f} s", flush=True)


def rooms(wine):
    """Runs the Go tests of the packages with code for Windows."""
    go = dict(os.environ, GOOS="windows", CGO_ENABLED="0")
    for room in "dialog", "shell":
        program = wine.drive / f"{room}.exe"
        build = [os.environ.get("GO", "go"), "test", "-c", "-o", program, f"./app/{room}"]
        subprocess.run(build, cwd=PROJECT, env=go, check=True)
        r = wine.run(program, "-test.v", "-test.timeout=100s")
        expect(r.returncode == 0 and "--- PASS" in r.stdout, f"the tests of app/{room} fail:", r.stdout, r.stderr)
    binned = wine.home / ".local/share/Trash/files/kleinbild test.png"
    expect(binned.is_file(), "the file that was moved to the bin is not there:", binned)


def command_line(wine, cli, gui):
    """Checks exit codes, output and progress in a console and in a batch file."""
    batch = cli.parent / "try.bat"
    lines = ["@echo off"]
    for n, args in enumerate(["version", "nonsense", "info C:\\none.png", "doctor"]):
        lines += [f'"%~dp0kleinbild-cli.exe" {args} >C:\\said{n}.txt 2>&1', f"echo {n} %errorlevel%"]
    batch.write_bytes("\r\n".join(lines + [""]).encode())
    r = wine.run("cmd", "/c", wine.path(batch))
    said = [(wine.drive / f"said{n}.txt").read_text() for n in range(4)]
    expect(r.stdout.split("\n")[:4] == ["0 0", "1 2", "2 1", "3 0"], "error levels in a batch file:", r.stdout, said)
    version = re.fullmatch(r"kleinbild (\S+)\n", said[0])
    expect(version, "version says", said[0])
    expect("unexpected argument nonsense" in said[1] and "none.png" in said[2], "errors:", said[1], said[2])
    expect("windows/amd64" in said[3] and "ready to make pictures" in said[3], "doctor says", said[3])

    code, shown = wine.console(cli, "generate", *HOUSE, "-o", "C:\\console.png")
    expect(code == 0 and (wine.drive / "console.png").is_file(), "generate in a console:", code, shown)
    expect("█" in shown and "steps" in shown and shown.count("\r") > 5, "a console shows no progress:", shown)
    code, shown = wine.console(cli, "nonsense")
    expect(code == 2 and "unexpected argument" in shown, "a mistake in a console:", code, shown)
    # The program with the window also prints to the console in which it was started.
    code, shown = wine.console(gui, "version")
    expect(code == 0 and version[0].strip() in shown, "the window's program in a console:", code, shown)
    return version[1]


def same_picture(wine, cli, work):
    """Checks that the demo picture has the same bytes as on Linux, also under unusual and long paths."""
    linux = work / "kleinbild"
    subprocess.run([os.environ.get("GO", "go"), "build", "-trimpath", "-o", linux, "."], cwd=PROJECT,
                   env=dict(os.environ, CGO_ENABLED="0"), check=True)
    want = work / "linux.png"
    subprocess.run([linux, "generate", *HOUSE, "-o", want], env=dict(os.environ, HOME=str(wine.home), **ONE_PATH),
                   check=True, capture_output=True)
    deep = wine.drive / "Bilder ä ö"
    for _ in range(6):
        deep /= "ein tiefer Ordner mit einem langen Namen " + 10 * "ü"
    deep.mkdir(parents=True)
    files = [wine.drive / "Bilder ä ö" / "ein Häuschen +#%20.png", deep / "ein Häuschen.png"]
    expect(len(wine.path(files[1])) > 260, "the long path is short", files[1])
    for file in files:
        r = wine.run(cli, "generate", *HOUSE, "-o", wine.path(file))
        expect(r.returncode == 0, "generate:", r.returncode, r.stderr)
        expect(r.stdout.strip() == wine.path(file), "the path on stdout:", r.stdout)
        expect(file.read_bytes() == want.read_bytes(), "the picture differs from Linux's:", str(file))
        r = wine.run(cli, "info", wine.path(file))
        expect(r.returncode == 0 and "a red house under a yellow sun" in r.stdout, "info:", r.stdout, r.stderr)
    r = wine.run(cli, "generate", "-p", "winter", "--seed", "3", "--model", "demo", "-i", wine.path(files[1]),
                 "-o", wine.path(deep / "winter.png"))
    expect(r.returncode == 0 and (deep / "winter.png").is_file(), "a reference with a long path:", r.stderr)


def serve(wine, cli):
    """Checks that the server answers on loopback and makes pictures."""
    command = wine.command(cli, "serve", "--listen", "127.0.0.1:0", "--token", "a-token-of-the-test", "--model", "demo")
    with subprocess.Popen(command, env=wine.env, cwd=wine.drive, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as server:
        try:
            said = []
            address = None
            while not address:
                said.append(server.stdout.readline())
                expect(said[-1], "the server ends:", said)
                address = re.search(r"127\.0\.0\.1:\d+", said[-1])

            def ask(method, path, body=None, **headers):
                client = http.client.HTTPConnection(address[0], timeout=60)
                client.request(method, path, body, headers)
                answer = client.getresponse()
                return answer.status, answer.read()

            expect(ask("GET", "/healthz")[0] == 200, "health")
            form = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                           for name, value in [("prompt", HOUSE[1]), ("seed", HOUSE[3])]) + "--b--\r\n"
            kind = {"Content-Type": "multipart/form-data; boundary=b"}
            status, answer = ask("POST", "/v1/generate", form, **kind)
            expect(status == 401, "without a token:", status, answer[:200])
            status, answer = ask("POST", "/v1/generate", form, **kind, Authorization="Bearer a-token-of-the-test")
            expect(status == 200 and answer.startswith(b"\x89PNG"), "a request:", status, answer[:200])
        finally:
            server.kill()


def window(wine, gui, cli, out, display):
    """Makes a picture with a dropped reference, copies it, opens a second window, and checks that a kill loses
    nothing."""
    pictures = wine.user / "Pictures/Kleinbild"

    def made():
        return sorted(pictures.glob("*.png")) if pictures.is_dir() else []

    source = wine.drive / "rot ä +#%20.png"
    png(source, 160, 128, (220, 60, 40))
    w = WineWindow(display, wine, gui, out, KLEINBILD_MODEL="demo")
    w.shot("windows-01-start")
    w.drop(*SLOT1, source)
    w.until("the dropped picture in slot 1", lambda: w.at(*IN_SLOT1)[0] > 80 > w.at(*IN_SLOT1)[1])
    w.click(*PROMPT)
    w.type("a red house on a hill")
    w.key("ctrl+Return")
    w.until("a saved picture", made, 120)
    w.until("the picture on the canvas", lambda: not near(w.at(*CANVAS), GROUND))
    w.until("its thumbnail", lambda: colourful(w.at(*IN_THUMB1)))
    w.shot("windows-02-picture")
    r = wine.run(cli, "info", wine.path(made()[0]))
    expect("a red house on a hill" in r.stdout and source.name in r.stdout,
           "the saved picture does not say how it was made:", r.stdout, r.stderr)

    # Wine passes its clipboard to X11: the file as image/png, the bitmap as image/bmp.
    w.click(*CANVAS)
    # Until then, a further click could count as a double click.
    w.until("the focus on the canvas", lambda: colourful(w.at(*CANVAS_EDGE)))
    w.key("ctrl+c")

    def copied(kind):
        paste = ["xclip", "-selection", "clipboard", "-target", kind, "-out"]
        return subprocess.run(paste, capture_output=True, timeout=20).stdout

    w.until("the picture on the clipboard", lambda: b"a red house on a hill" in copied("image/png"))
    bitmap = copied("image/bmp")
    expect(bitmap[:2] == b"BM" and len(bitmap) > 3 * 160 * 128,
           "the bitmap on the clipboard:", bitmap[:64], len(bitmap))

    second = WineWindow(display, wine, gui, out, KLEINBILD_MODEL="demo")
    second.until("the history in a second window", lambda: colourful(second.at(*IN_THUMB1)))
    second.shot("windows-03-second")
    second.crash()
    xdo("windowfocus", "--sync", w.id)
    w.click(*PROMPT)
    idle = w.pixels(*BUTTON)
    w.key("ctrl+Return")
    w.until("progress on the button", lambda: w.pixels(*BUTTON) != idle)
    w.crash()
    whole = made()
    w = WineWindow(display, wine, gui, out, KLEINBILD_MODEL="demo")
    w.until("the history after the kill", lambda: colourful(w.at(*IN_THUMB1)))
    w.shot("windows-04-after-kill")
    for file in whole:
        r = wine.run(cli, "info", wine.path(file))
        expect(r.returncode == 0, "a picture is damaged:", str(file), r.stderr)
    w.until("what waits from last time", lambda: not near(w.at(*IN_NOTICE_EDGE), GROUND))
    w.crash()


def scaled(wine, gui, out, display):
    """Checks that the window fits on the screen at every scale, also if its size was remembered at a smaller scale."""
    for dots in 144, 192:
        wine.run("reg", "add", "HKCU\\Control Panel\\Desktop", "/v", "LogPixels", "/t", "REG_DWORD", "/d", str(dots),
                 "/f")
        wine.stop()
        w = WineWindow(display, wine, gui, out, KLEINBILD_MODEL="demo")
        x, y, width, height = w.place()
        w.shot(f"windows-05-{dots}-dpi")
        expect(x >= 0 and y >= 0 and x + width <= SCREEN[0] and y + height <= SCREEN[1] and width >= 1100,
               f"at {dots} dots per inch the window is not on the screen:", (x, y, width, height))
        w.crash()


def main(folder, out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    archives = Path(folder).glob("kleinbild-*-windows-amd64.zip")
    archive = max(archives, key=lambda file: file.stat().st_mtime, default=None)
    expect(archive, f"no kleinbild-*-windows-amd64.zip in {folder}: make windows-window")
    work = Path(tempfile.mkdtemp(prefix="kleinbild-wine-"))
    display = xdisplay.Display()  # one for the whole test, because an X server without clients resets
    try:
        with step("a Windows installation"):
            wine = Wine(work)
            outward = [link for link in wine.links() if link.name != "c:"]
            expect(not outward, "links lead out of it:", outward)
            programs = wine.drive / "Programme ä"
            zipfile.ZipFile(archive).extractall(programs)
            gui, cli = next(programs.glob("*/kleinbild.exe")), next(programs.glob("*/kleinbild-cli.exe"))
        try:
            with step("dialogs, clipboard, bin"):
                rooms(wine)
            with step("the command line in a console"):
                command_line(wine, cli, gui)
            with step("the same picture as on Linux"):
                same_picture(wine, cli, work)
            with step("the server"):
                serve(wine, cli)
            with step("the window"):
                window(wine, gui, cli, out, display)
            with step("144 and 192 dots per inch"):
                scaled(wine, gui, out, display)
        finally:
            wine.stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{archive.name} works under Wine; screenshots in {out}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
