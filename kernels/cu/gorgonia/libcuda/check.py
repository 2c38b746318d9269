"""Compares cuda.h and calls.h with the cuda.h of NVIDIA's toolkit, version 12: numbers, layouts of structures, functions.

    python3 check.py FOLDER     # with the toolkit's cuda.h, such as that of PyPI's nvidia-cuda-runtime-cu12

The compiler does it: one file has the toolkit's header, our declarations once more, and our numbers as assertions.
"""
import pathlib, re, subprocess, sys

here = pathlib.Path(__file__).parent
ours = (here / "cuda.h").read_text()
numbers = re.findall(r"\b(CU\w+) = (\d+),", ours)
structures = {name: re.findall(r"(\w+)[,;]", re.sub(r"\(\*(\w+)\)", r"\1", body))
              for body, name in re.findall(r"typedef struct \{\n([^}]*)\} (CUDA_\w+);", ours)}


def compile_c(text, *options):
    return subprocess.run(["cc", *options, "-x", "c", "-"], input=text, text=True, check=True)


places = [f"offsetof({s}, {f})" for s, fields in structures.items() for f in fields] + [f"sizeof({s})" for s in structures]
program = here / "check-places"
try:
    prints = "".join(f'  printf("%zu\\n", {p});\n' for p in places)
    compile_c('#include "cuda.h"\n#include <stdio.h>\nint main() {\n' + prints + "}\n", f"-I{here}", "-o", str(program))
    found = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
finally:
    program.unlink(missing_ok=True)

text = "#include <cuda.h>\n#include <stddef.h>\n"
text += "".join(f'_Static_assert({n} == {v}, "{n}");\n' for n, v in numbers)
# The toolkit's nodes of kernels and fills have newer versions; ours are the first, which the first functions take.
first = lambda p: re.sub(r"CUDA_(KERNEL|MEMSET|HOST)_NODE_PARAMS\b", r"CUDA_\1_NODE_PARAMS_v1", p)
text += "".join(f'_Static_assert({first(p)} == {v}, "{p}");\n' for p, v in zip(places, found))
text += "#undef cuGraphAddKernelNode\n#define CALL0(name) CUresult name(void);\n#define CALL1(name, ...) CUresult name(__VA_ARGS__);\n"
calls = (here / "calls.h").read_text()
text += "".join(f"#define CALL{n} CALL1\n" for n in (2, 3, 4, 5, 6, 8, 11, 12)) + first(calls)
compile_c(text, f"-I{sys.argv[1]}", "-Werror", "-fsyntax-only")
functions = len(re.findall(r"^CALL", calls, re.M))
print(f"{len(numbers)} numbers, {len(places)} places in {len(structures)} structures and {functions} functions agree")
