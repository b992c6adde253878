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
        kinds = {kind: float(ns) / 1e9 for ns, kind in (line.split() for line in ask(files, "--by", "kind").splitlines())}
        return waits, kinds


def total(waits):
    return sum(w["seconds"] for w in waits)


def main():
    print(f"{'program':16}{'waits':>7}{'mean':>10}{'strace':>10}{'block':>10}{'differs':>9}  through doors; kinds; the rest")
    for name in sys.argv[1:] or PROGRAMS:
        waits, kinds = run(PROGRAMS[name], False)
        kinds.pop("spin", None)
        seen, block = total(waits), sum(kinds.values())
        stacked = [w for w in run(PROGRAMS[name], True)[0] if w["stack"]]
        through = total([w for w in stacked if w["door"]]) / max(total(stacked), 1e-9)
        rest = collections.Counter()
        for w in stacked:
            if not w["door"]:
                rest[" < ".join(w["stack"][:4])] += w["seconds"]
        print(f"{name:16}{len(waits):7}{seen / max(len(waits), 1) * 1e3:7.2f} ms{seen:8.3f} s{block:8.3f} s"
              f"{(block / seen - 1) * 100:+8.2f}%  {through * 100:.1f}%;",
              ", ".join(f"{kind} {s:.3f}" for kind, s in sorted(kinds.items(), key=lambda k: -k[1])) + ";",
              ", ".join(f"{where} {s:.3f}" for where, s in rest.most_common(3)), flush=True)


main()
