"""Checks what NVIDIA's assembler makes of the committed PTX, and writes the tables of kernels/SPEED.md.

Needs ptxas and nvdisasm of CUDA 13. PyPI has them without the rest of the toolkit:
    python3 -m venv ../cuda-tools && ../cuda-tools/bin/pip install nvidia-cuda-nvcc nvidia-cuda-nvdisasm
Fails if a kernel spills registers, has a stack frame, or causes a remark that an instruction was dropped or emulated
(C75xx).
"""

import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEED = ROOT / "kernels" / "SPEED.md"
# The GPU architectures for which the PTX of each target is assembled.
ARCHES = {"sm_80": ["sm_80", "sm_86", "sm_89", "sm_90", "sm_120"], "sm_89": ["sm_89", "sm_120"], "sm_90a": ["sm_90a"]}
COLUMNS = sorted({a for arches in ARCHES.values() for a in arches}, key=lambda a: (int(re.sub(r"\D", "", a)), a))
# The architectures whose loops are counted: the first with tensor cores for these kernels, and later ones whose code
# differs.
LOOPS = ["sm_80", "sm_90", "sm_120", "sm_90a"]


def find(tools, name):
    found = next(pathlib.Path(tools).rglob(f"bin/{name}"), None)
    if found is None:
        sys.exit(f"check.py: {tools}: no {name}: see the top of check.py")
    return str(found)


def assemble(ptxas, arch, ptx, out):
    """Returns {kernel: (registers, bytes of static shared memory)} and a list of complaints."""
    run = subprocess.run([ptxas, "-v", f"-arch={arch}", "-o", out, ptx], capture_output=True, text=True)
    text = run.stdout + run.stderr
    if run.returncode:
        return {}, [f"{ptx.name} for {arch}: {text.strip()}"]
    found, wrong, kernel = {}, [], None
    for line in text.splitlines():
        if m := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = m[1]
        elif m := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if m[0] != "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads":
                wrong.append(f"{kernel} for {arch}: {m[0]}")
        elif m := re.search(r"Used (\d+) registers", line):
            static = re.search(r"(\d+) bytes smem", line)
            found[kernel] = int(m[1]), int(static[1]) if static else 0
        elif "C75" in line or "warning" in line:
            wrong.append(f"{kernel} for {arch}: {line.strip()}")
    return found, wrong


def loops(nvdisasm, cubin):
    """Returns {kernel: {mnemonic: count}} for one loop of each kernel: the instructions between a label and the branch
    back to it. It is the loop with most HMMA, IMMA or QMMA instructions (of nested loops the innermost), or the loop
    with the largest share of HGMMA or IGMMA instructions. Those are also counted by their whole names with modifiers.
    Products of 8 bits, IMMA, QMMA and IGMMA, are counted as HMMA and HGMMA. "all" is the number of instructions."""
    text = subprocess.run([nvdisasm, "-c", cubin], capture_output=True, text=True, check=True).stdout
    result = {}
    for part in re.split(r"^\.text\.", text, flags=re.M)[1:]:
        kernel = part.split(":", 1)[0]
        labels, code, best = {}, [], None
        for line in part.splitlines():
            if m := re.match(r"(\.L_x_\d+):", line):
                labels[m[1]] = len(code)
            elif m := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Za-z0-9_.]*)(.*)", line):
                code.append(m[1])
                target = re.search(r"`\((\.L_x_\d+)\)", m[2])
                if m[1].startswith("BRA") and target and target[1] in labels:
                    body = code[labels[target[1]] :]
                    names = ("HMMA", "IMMA", "QMMA"), ("HGMMA", "IGMMA")
                    hmma, hgmma = (sum(x.startswith(n) for x in body) for n in names)
                    rank = hmma + hgmma / len(body)
                    if rank and (best is None or rank > best[0]):
                        best = rank, body
        if best:
            count = {"all": len(best[1])}
            for x in best[1]:
                name = re.sub("^[IQ](G?MMA)$", r"H\1", x.split(".")[0])
                count[name] = count.get(name, 0) + 1
                if name == "HGMMA":
                    count[x] = count.get(x, 0) + 1
            result[kernel] = count
    return result


def warpgroup_row(kernel, c):
    """Returns a row: what one iteration of a loop costs one warpgroup, in clocks of a multiprocessor that runs nothing
    else.

    wgmma m64nNk16 takes N/2 clocks, since a multiprocessor computes 2,048 products a clock (peak: 989 TFLOP/s), and so
    does m64nNk32 of int8, which has twice that rate. It reads N rows of 32 bytes, and 64 more if A is not in registers, from shared memory, which delivers 128 bytes a
    clock. A warp's MUFU instruction takes eight clocks of one of the four quarters, and any instruction one clock of
    its issuer."""
    wgmma = shared = 0
    for name, n in c.items():
        if m := re.match(r"HGMMA\.64x(\d+)x16|IGMMA\.64x(\d+)x32", name):
            columns = int(m[1] or m[2])
            wgmma += n * columns // 2
            shared += n * (columns + 64) * 32 // 128
    mufu = c.get("MUFU", 0)
    clocks = {"wgmma": wgmma, "shared memory": shared, "MUFU": 8 * mufu, "issue": c["all"]}
    limit = max(clocks, key=clocks.get)
    share = f"{limit}: {100 * wgmma // clocks[limit]} %"
    return [kernel, c["HGMMA"], c.get("SYNCS", 0), mufu, c["all"], *clocks.values(), share]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in r) + " |" for r in rows])


def section(text, name, body):
    """Replaces the text between the markers of a section."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if begin not in text or end not in text:
        sys.exit(f"check.py: {SPEED.name}: no markers {begin}")
    return text[: text.index(begin) + len(begin)] + "\n\n" + body + "\n\n" + text[text.index(end) :]


def main(tools):
    ptxas, nvdisasm = find(tools, "ptxas"), find(tools, "nvdisasm")
    files = sorted((ROOT / "kernels" / "ptx").glob("*.ptx"))
    registers, mixes, wrong = {}, {}, []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        jobs = [
            (a, f, pathlib.Path(folder) / f"{f.stem}.{a}.cubin") for f in files for a in ARCHES[f.name.split(".")[1]]
        ]
        for (arch, file, cubin), (found, bad) in zip(jobs, pool.map(lambda j: assemble(ptxas, *j), jobs)):
            wrong += bad
            for kernel, figures in found.items():
                registers.setdefault((file.name.split(".")[0], kernel), {})[arch] = figures
            if arch in LOOPS and not bad:
                for kernel, count in loops(nvdisasm, cubin).items():
                    mixes.setdefault((file.name.split(".")[0], kernel), {})[arch] = count

    rows = []
    for (family, kernel), by_arch in sorted(registers.items()):
        shared = max(figures[1] for figures in by_arch.values())
        rows.append([family, kernel] + [by_arch[a][0] if a in by_arch else "" for a in COLUMNS] + [shared or ""])
    text = SPEED.read_text()
    text = section(text, "registers", table(["family", "kernel"] + COLUMNS + ["static shared bytes"], rows))

    rows, wide = [], []
    for (_, kernel), by_arch in sorted(mixes.items()):
        for arch, c in by_arch.items():
            if "HGMMA" in c:
                wide.append(warpgroup_row(kernel, c))
                continue
            hmma, ldsm = c["HMMA"], c.get("LDSM", 0)
            # Clocks of one of the four quarters of a multiprocessor. On sm_80 an m16n8k16 of bfloat16 takes eight, and so
            # does an m16n8k32 of int8. ldmatrix.x4 takes four clocks of the shared memory, which serves all quarters. An instruction takes one clock of the
            # issuer.
            clocks = {"mma": 8 * hmma, "shared memory": 16 * ldsm, "issue": c["all"]}
            limit = max(clocks, key=clocks.get)
            prediction = f"{limit}: {100 * clocks['mma'] // clocks[limit]} %" if arch == "sm_80" else ""
            rows.append([kernel, arch, hmma, ldsm, c.get("LDGSTS", 0), c.get("MUFU", 0), c.get("BAR", 0), c["all"],
                         f"{hmma / c['all']:.2f}", prediction])
    head = ["kernel", "for", "HMMA, IMMA, QMMA", "LDSM", "LDGSTS", "MUFU", "BAR", "all", "HMMA/all",
            "bound by, and mma's share (prediction)"]
    text = section(text, "loops", table(head, rows))
    head = ["kernel", "HGMMA, IGMMA", "SYNCS", "MUFU", "all", "clocks: wgmma", "shared memory", "MUFU", "issue",
            "bound by, and wgmma's share (prediction)"]
    text = section(text, "warpgroup loops", table(head, wide))
    SPEED.write_text(text)
    for line in wrong:
        print(line)
    print(f"{len(registers)} kernels for {', '.join(COLUMNS)}: {len(wrong)} complaints; "
          "tables written to kernels/SPEED.md")
    return 1 if wrong or not registers else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: check.py FOLDER-WITH-PTXAS-AND-NVDISASM")
    sys.exit(main(sys.argv[1]))
