#!/usr/bin/env python3
"""The Open POSIX Test Suite, test by test, without the agent and with it: the verdicts must be equal.

    python3 tests/conformance.py SUITE BUILD [PATTERN]

SUITE holds conformance/interfaces: the folder that `apt-get source posixtestsuite` unpacks, or LTP's
testcases/open_posix_testsuite. PATTERN chooses tests by name; the threads' and the semaphores' parts if left out. A
test that differs is repeated ten times each way, since some of the suite have races of their own: it fails if the agent
shows a verdict that is not there without it. CONFORMANCE_JOBS (4) interfaces at once, CONFORMANCE_TIMEOUT (90) seconds a
test."""
import collections
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile

FINEST = "cpu=1000hz,heap=1,mutex=1ns,block=1ns"
WAYS = {"alone": None, "usual": {}, "finest": {"CPROF": FINEST, "CPROF_EXIT": "term"}}
# The answers that the suite knows; what is killed has the signal's negative number.
VERDICTS = {0: "pass", 1: "FAIL", 2: "unresolved", 4: "unsupported", 5: "untested", None: "HANG"}
# It sets the clock and has a race of its own.
LEFT_OUT = {"pthread_cond_init/1-2"}
# No test may set the clock of the machine it runs on.
KEEP_CLOCK = ["setpriv", "--bounding-set", "-sys_time", "--inh-caps", "-sys_time"] if os.geteuid() == 0 else []


def sources(suite, pattern):
    interfaces = os.path.join(suite, "conformance", "interfaces")
    found = glob.glob(interfaces + "/*/*.c") + glob.glob(interfaces + "/*/speculative/*.c")
    names = {os.path.relpath(path, interfaces)[:-2]: path for path in found}
    return {
        name: path
        for name, path in sorted(names.items())
        if re.search(r"/\d+-\d+$", name) and re.search(pattern, name) and name not in LEFT_OUT
    }


def built(suite, path, folder):
    command = ["cc", "-w", "-std=gnu99", "-O1", "-D_GNU_SOURCE"]
    command += ["-I", suite + "/include", "-o", folder + "/test", path]
    command += glob.glob(suite + "/lib/common.c") + ["-lpthread", "-lrt", "-lm"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, cwd=os.path.dirname(path), check=False).returncode == 0


def verdict(folder, agent, settings):
    env = {k: v for k, v in os.environ.items() if not k.startswith("CPROF") and k != "LD_PRELOAD"}
    if settings is not None:
        env.update(settings, LD_PRELOAD=agent)
    with tempfile.TemporaryDirectory(dir=folder) as cwd, open(folder + "/output", "wb") as out:
        child = subprocess.Popen(KEEP_CLOCK + [folder + "/test"], env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=out, start_new_session=True)
        try:
            return child.wait(timeout=float(os.environ.get("CONFORMANCE_TIMEOUT", "90")))
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()


def judged(folder, agent):
    seen = collections.defaultdict(collections.Counter)
    for turn in range(11):
        for way, settings in WAYS.items():
            seen[way][verdict(folder, agent, settings)] += 1
        if turn == 0 and seen["usual"] == seen["alone"] == seen["finest"]:
            break
    return seen


def words(counter):
    return ", ".join(f"{n} {VERDICTS.get(v, f'ended with {v}')}" for v, n in counter.items())


def interface(suite, agent, tests):
    """The tests of one interface after each other: they use the same names for semaphores and shared memory."""
    results = {}
    for name, path in tests.items():
        with tempfile.TemporaryDirectory() as folder:
            results[name] = judged(folder, agent) if built(suite, path, folder) else None
    return results


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    suite, agent = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2] + "/preload/libcprof.so")
    pattern = sys.argv[3] if len(sys.argv) > 3 else r"^(pthread_|sem_)"
    groups = collections.defaultdict(dict)
    for name, path in sources(suite, pattern).items():
        groups[name.split("/")[0]][name] = path
    passed, failed, unbuilt, sums = 0, 0, 0, collections.defaultdict(collections.Counter)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("CONFORMANCE_JOBS", "4"))) as pool:
        work = [pool.submit(interface, suite, agent, tests) for tests in groups.values()]
        for name, seen in (item for done in work for item in done.result().items()):
            if seen is None:
                unbuilt += 1
                print(f"does not compile here: {name}")
                continue
            for way in WAYS:
                sums[way][next(iter(seen[way]))] += 1
            new = set(seen["usual"]) | set(seen["finest"])
            good = new <= set(seen["alone"])
            passed, failed = passed + good, failed + (not good)
            if not good or len(seen["alone"]) > 1 or new != {0}:
                print("[PASS]" if good else "[FAIL]", name, *(f"{way}: {words(seen[way])};" for way in WAYS), flush=True)
    for way in WAYS:
        print(f"{way + ':':8}{words(sums[way])}")
    print(f"Synthesis: Tested: {passed + failed} | Passing: {passed} | Failing: {failed} | Crashing: 0")
    print(f"{unbuilt} did not compile")
    sys.exit(failed != 0 or passed == 0)


main()
