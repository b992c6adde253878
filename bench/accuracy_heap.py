#!/usr/bin/env python3
"""How true the heap profile is.

    python3 bench/accuracy_heap.py [TIMES]      repeats of the program with known sizes, 10 unless told otherwise

Programs that know what they allocated (tests/hosts/heap.c, heap_leak.c) run with the agent; the table says how far
the profile is off, and how far an unbiased estimate may be: its standard error, from theory (docs/accuracy.md).
Needs the build that `sh tests/run.sh` makes (BUILD=folder names another).
"""
import glob
import math
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
AGENT = os.path.join(BUILD, "preload", "libcprof.so")
HOSTS = os.path.join(BUILD, "tests", "hosts")
ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE = range(4)


def ask(files, *question):
    command = [sys.executable, os.path.join(ROOT, "tests", "strict_pprof.py"), *question, *files]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Run:
    """A host under CPROF=heap=RATE: what it says of itself, and the profile's four sums of each function."""

    def __init__(self, rate, *args):
        with tempfile.TemporaryDirectory() as folder:
            env = dict(os.environ, LD_PRELOAD=AGENT, CPROF=f"heap={rate}", CPROF_OUT=folder + "/%k-%n.pb.gz")
            subprocess.run([os.path.join(HOSTS, args[0]), *map(str, args[1:])], cwd=folder, env=env, check=True,
                           stdout=subprocess.DEVNULL)
            self.numbers = {}
            if os.path.exists(folder + "/numbers"):
                with open(folder + "/numbers", encoding="ascii") as f:
                    self.numbers = {name: float(value) for name, value in (line.split() for line in f)}
            files = glob.glob(folder + "/*.pb.gz")
            rows = ask(files, "--cum")
            adapted = re.search(r"one sample in (\d+) bytes", ask(files, "--comment", "rate adapted"))
        self.most_rate = int(adapted.group(1)) if adapted else None
        self.sums = {}
        for line in rows.splitlines():
            *values, name = line.split(" ", 4)
            self.sums[name] = [float(v) for v in values]

    def of(self, function):
        return self.sums.get(function, [0.0] * 4)


def error(n, size, rate):
    """Standard error of the number of n blocks."""
    return math.sqrt(n / math.expm1((size + 1) / rate)) if (size + 1) / rate < 700 else 0.0


def row(what, truth, got, sigma):
    off = got - truth
    times = f"{off / sigma:+.1f}" if sigma else "exact" if off == 0 else "WRONG"
    print(f"| {what} | {truth:,.0f} | {got:,.0f} | {off / truth * 100 if truth else 0:+.2f} % | "
          f"{sigma / truth * 100 if truth else 0:.2f} % | {times} |", flush=True)


def sizes(times):
    rate = 16384
    runs = [Run(rate, "heap", "sizes", rate) for _ in range(times)]
    for i, x in enumerate(("0.001", "0.01", "0.1", "0.5", "1", "2", "4", "8")):
        n, kept, size = (runs[0].numbers[f"{key}{i}"] for key in ("n", "kept", "size"))
        mean = [sum(r.of(f"site{i}")[value] for r in runs) / times for value in range(4)]
        at = f"blocks of {x} rates ({size:.0f} B), mean of {times} runs:"
        row(f"{at} objects", n, mean[ALLOC_OBJECTS], error(n, size, rate) / math.sqrt(times))
        row(f"{at} bytes in use", kept * size, mean[INUSE_SPACE], size * error(kept, size, rate) / math.sqrt(times))


def one_stack():
    small, large, rate = 2 << 20, 2 << 20, 32768
    s = Run(rate, "heap", "one_stack", small, large).of("site0")
    sigma = error(small, 16, rate)
    row("one stack, 16 B x 2 M and 2 MB x 16: objects", small + 16, s[ALLOC_OBJECTS], sigma)
    row("... bytes", small * 16 + 16 * large, s[ALLOC_SPACE], 16 * sigma)


def interleaved():
    rate, run = 16384, Run(16384, "heap", "interleaved", 100000)
    for i, size in enumerate((65536, 1024, 32768, 512, 16384, 256)):
        row(f"six sizes in turn: blocks of {size}", 1e5, run.of(f"site{i}")[ALLOC_OBJECTS], error(1e5, size, rate))


def others():
    run = Run("64k", "heap", "mayflies", 100000)
    row("100,000 threads that allocate 1000 B once", 1e5, run.of("site0")[ALLOC_OBJECTS], error(1e5, 1000, 65536))
    run = Run("512k", "heap", "large", 1000000, 1 << 20)
    rate = run.most_rate or 524288
    row(f"1,000,000 blocks of 1 MiB in a loop (rate adapted up to {rate >> 10}k)", 1e6, run.of("site0")[ALLOC_OBJECTS],
        error(1e6, 1 << 20, rate))
    run = Run(1, "heap", "swap", 4, 500000)
    row("heap=1, four threads free each other's blocks: made", run.numbers["n"], run.of("swap_one")[ALLOC_OBJECTS], 0)
    row("... in use when all is freed", 0, run.of("swap_one")[INUSE_OBJECTS], 0)
    for rate, name in ((65536, "64k"), (524288, "512k")):
        run = Run(name, "heap_leak", 3)
        n, size = run.numbers["forgotten2"], run.numbers["record"]
        row(f"a leak in a busy service, heap={name}: bytes in use", n * size, run.of("remember_client")[INUSE_SPACE],
            size * error(n, size, rate))


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print("| what | truth | profile | off by | standard error | in standard errors |\n|---|---|---|---|---|---|")
    sizes(times)
    one_stack()
    interleaved()
    others()


if __name__ == "__main__":
    main()
