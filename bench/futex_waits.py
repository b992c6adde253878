#!/usr/bin/env python3
"""How much of what the kernel says about a program's waits the block profile knows.

    python3 bench/futex_waits.py [PROGRAM...]      hog, xz, gil, rust_hog, parking_lot_hog, redis_threads, nginx_threads

Each program (a driver of tests/programs) runs under `strace -f -T -e trace=futex` with the agent preloaded, so that both
look at the same waits; strace makes them longer, for both. A second run has a stack for each call (strace -k), which says
what share went through our doors; the rest is libc's own. Needs the build that `sh tests/run.sh` makes (BUILD=folder
names another) and strace. docs/accuracy.md holds a run.
"""
import collections
import glob
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "programs"))
import strace_waits  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
AGENT = os.path.join(BUILD, "preload", "libcprof.so")
PROGRAMS = {
    "hog": ["traced_hog.sh"],
    "xz": ["xz.sh"],
    "gil": ["gil.sh"],
    "rust_hog": ["rust_hog.sh", "40"],
    "parking_lot_hog": ["parking_lot_hog.sh", "40"],
    "redis_threads": ["redis_threads.sh"],
    "nginx_threads": ["nginx_threads.sh"],
}

def ask(files, *question):
    command = [sys.executable, os.path.join(ROOT, "tests", "strict_pprof.py"), *question, *files]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def seconds_by(files, label, *where):
    lines = ask(files, *where, "--by", label).splitlines()
    return {value: float(ns) / 1e9 for ns, value in (line.split() for line in lines) if value != "spin"}


def settled(folder):
    """The tracers end after their programs: wait until their files stop growing."""
    sizes = None
    while sizes != (sizes := {f: os.path.getsize(f) for f in glob.glob(folder + "/*.txt")}):
        time.sleep(1)


def run(driver, stacks):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/run")
        os.mkdir(folder + "/traces")
        env = dict(os.environ, PRELOAD=AGENT, TRACES=folder + "/traces", TRACE_OPTIONS="-k" if stacks else "",
                   CPROF="mutex=1ns,block=1ns", CPROF_EXIT="term", HOSTS=os.path.join(BUILD, "tests", "hosts"))
        subprocess.run(["sh", os.path.join(ROOT, "tests", "programs", driver[0]), *driver[1:]], cwd=folder + "/run", env=env,
                       check=True, stdout=subprocess.DEVNULL)
        settled(folder + "/traces")
        waits = [w for f in glob.glob(folder + "/traces/*.txt") for w in strace_waits.waits(f)]
        files = glob.glob(folder + "/run/**/*-block-*.pb.gz", recursive=True)
        ended = seconds_by(files, "kind", "--where", "state=done|timeout")
        return waits, ended, sum(seconds_by(files, "kind", "--where", "state=waiting").values())


def total(waits):
    return sum(w["seconds"] for w in waits)


def compared(name):
    waits, kinds, waiting = run(PROGRAMS[name], False)
    stacked = [w for w in run(PROGRAMS[name], True)[0] if w["stack"]]
    ended, last = [w for w in waits if w["ended"]], [w for w in waits if not w["ended"]]
    seen, block, n = total(ended), sum(kinds.values()), max(len(ended), 1)
    through = total([w for w in stacked if w["door"]]) / max(total(stacked), 1e-9)
    print(f"| {name} | {len(ended)} | {seen / n * 1e3:.2f} ms | {seen:.3f} s | {block:.3f} s | {(block / seen - 1) * 100:+.1f} % "
          f"| {(block - seen) / n * 1e6:.0f} us | {total(last):.2f} s, {waiting:.2f} s | {through * 100:.1f} % |")
    print("   ", ", ".join(f"{kind} {s:.3f} s" for kind, s in sorted(kinds.items(), key=lambda k: -k[1])))
    rest = collections.Counter()
    for w in stacked:
        rest[" < ".join(w["stack"][:4])] += 0 if w["door"] else w["seconds"]
    print("    not through a door:", ", ".join(f"{where} {s:.3f} s" for where, s in rest.most_common(3) if s), flush=True)


def main():
    print("| program | waits | mean | strace | block profile | differs | a wait | never ended: strace, block | through our doors |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or PROGRAMS:
        compared(name)


main()
