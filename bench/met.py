#!/usr/bin/env python3
"""The addresses of one file's code that profiles met, as offsets into the file, for `build/bench/unwind FILE ADDRESSES`.

    python3 bench/met.py FILE PROFILE... >ADDRESSES

In the order of the profiles, each address once.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
import strict_pprof


def offsets(profile, path):
    names = profile["string_table"]
    maps = {m["id"]: m["offset"] - m["start"] for m in profile["mapping"]
            if os.path.realpath(names[m["filename"]]) == os.path.realpath(os.fsencode(path))}
    return [loc["address"] + maps[loc["mapping_id"]] for loc in profile["location"] if loc["mapping_id"] in maps]


def main():
    seen = {}
    for path in sys.argv[2:]:
        seen.update(dict.fromkeys(offsets(strict_pprof.load(path), sys.argv[1])))
    for offset in seen:
        print(f"{offset:x}")


main()
