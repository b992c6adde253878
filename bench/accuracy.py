#!/usr/bin/env python3
"""How true the CPU profile is.

    python3 bench/accuracy.py [SECONDS]      10 s of CPU time a row unless told otherwise

Programs whose CPU time the kernel billed and whose shares they measured themselves run with the agent and with
gperftools' profiler at the same 100 Hz, in turn. Needs the build that `sh tests/run.sh` makes (BUILD=folder names
another) and, for its column, google-perftools. docs/accuracy.md holds a run.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
AGENT = os.path.join(BUILD, "preload", "libcprof.so")
HOST = os.path.join(BUILD, "tests", "hosts", "cpu")
PEERS = glob.glob("/usr/lib/*/libprofiler.so.0")
NS = 1e9


def run_host(args, folder, **extra):
    """Runs the program; it leaves what it measured in the file `numbers`, a name and a value a line."""
    subprocess.run([HOST, *args], cwd=folder, env=dict(os.environ, **extra), check=True, stdout=subprocess.DEVNULL)
    with open(folder + "/numbers", encoding="ascii") as f:
        return {name: float(value) for name, value in (line.split() for line in f)}


def ask(files, *question):
    command = [sys.executable, os.path.join(ROOT, "tests", "strict_pprof.py"), *question, *files]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])


class Agent:
    """One run under the agent; functions' nanoseconds by name."""

    def __init__(self, args, rate):
        self.folder = tempfile.TemporaryDirectory()
        self.host = run_host(args, self.folder.name, LD_PRELOAD=AGENT, CPROF=f"cpu={rate}hz",
                             CPROF_OUT=self.folder.name + "/%k-%n.pb.gz")
        self.files = glob.glob(self.folder.name + "/*.pb.gz")
        self.total = ask(self.files, "--total")

    def share(self, function):
        return ask(self.files, "--share", function)


class Peer:
    """The same under gperftools: counts of samples by function, cumulative."""

    def __init__(self, args, rate):
        with tempfile.TemporaryDirectory() as folder:
            out = folder + "/prof"
            self.host = run_host(args, folder, LD_PRELOAD=PEERS[0], CPUPROFILE=out, CPUPROFILE_FREQUENCY=str(rate))
            text = subprocess.run(["google-pprof", "--text", HOST, out], capture_output=True, text=True).stdout
        total = re.search(r"Total: (\d+) samples", text)
        self.samples = int(total.group(1)) if total else 0
        self.total = self.samples * NS / rate
        self.cumulative = {m.group(2): int(m.group(1))
                           for m in re.finditer(r"^\s*\d+\s+\S+%\s+\S+%\s+(\d+)\s+\S+%\s+(\S+)", text, re.M)}

    def share(self, function):
        return self.cumulative.get(function, 0) / self.samples if self.samples else 0.0


def error_of_total(run):
    return f"{(run.total - run.host['usage']) / run.host['usage'] * 100:+.2f} %"


def worst_tenth(run):
    parts = [f"f{i}" for i in range(10)]
    return f"{max(abs(run.share(f) - run.host[f] / run.host['usage']) for f in parts) * 100:.2f} points"


def attributed(run):
    return f"{run.share('work') * run.total / run.host['work'] * 100:.1f} %"


def ratio(run):
    parallel = run.share("parallel_work")
    return f"{run.share('serial_work') / parallel:.3f}" if parallel else "none seen"


def rows(seconds):
    ms = seconds * 1000
    for n in (1, 2, 8, 64):
        yield f"total, {n} thread{'s' if n > 1 else ''}", "within 1 %", ["threads", str(n), str(ms // n)], 100, error_of_total
    yield "total, requested 1 kHz", "within 1 %", ["threads", "1", str(ms)], 1000, error_of_total
    yield "two equal threads: share of one", "50 +- 3", ["twins", str(ms // 2)], 100, lambda r: f"{r.share('left') * 100:.1f} %"
    yield "ten functions of 10 %: worst error", "3 sigma", ["ten", str(ms)], 100, worst_tenth
    yield "serial work : equal parallel work", "0.95-1.05", ["phases", str(ms // 2)], 100, ratio
    yield "10,000 threads of 2 ms: attributed", ">= 95 %", ["mayflies", "10000"], 100, attributed


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"| {'what':36} | {'goal':10} | {'libcprof':12} | {'gperftools':12} |\n|---|---|---|---|")
    for what, goal, args, rate, measure in rows(seconds):
        ours = measure(Agent(args, rate))
        theirs = measure(Peer(args, rate)) if PEERS else "not installed"
        print(f"| {what:36} | {goal:10} | {ours:12} | {theirs:12} |", flush=True)


if __name__ == "__main__":
    main()
