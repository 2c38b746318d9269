#!/usr/bin/python3
"""Runs a command on a terminal of its own and types answers like a user.

    tools/setup/answer.py [QUESTION=ANSWER...] -- COMMAND...

Each ANSWER is typed, with Enter, when its QUESTION appears; they come in this order. The command's output goes to
standard output, and its exit code is this program's. An answer that was not asked for is an error.
"""

import os
import pty
import sys

split = sys.argv.index("--")
answers = [argument.split("=", 1) for argument in sys.argv[1:split]]
process, terminal = pty.fork()
if process == 0:
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])
text = b""
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:  # all programs have closed the terminal
        break
    if not piece:
        break
    os.write(1, piece.replace(b"\r\n", b"\n"))
    text += piece
    if answers and answers[0][0].encode() in text:
        os.write(terminal, answers.pop(0)[1].encode() + b"\n")
        text = b""
code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
if answers:
    sys.exit(f"answer.py: never asked: {answers[0][0]}")
sys.exit(code if code >= 0 else 128 - code)
