#!/usr/bin/env python3
"""A strict reader of pprof files that shares no line with libcprof's own decoder.

It checks every rule that docs/format.md gives the writer, and those of the stricter consumers (Parca wants
ids 1, 2, 3...; Pyroscope wants valid UTF-8 and no '-' in a type; speedscope wants deduplicated strings).

    strict_pprof.py FILE...                one summary line each; violations one per line and exit status 1
    strict_pprof.py --exe PATH FILE...     mapping 1 must be PATH
    strict_pprof.py --json FILE            the profile as JSON
    strict_pprof.py --cum FILE...          every value of every function, with all that it called, added up
    strict_pprof.py --top N | --total | --share NAME | --flat NAME | --depth | --by KEY | --comment KEY FILE...
                                           numbers of the main value, over all the files together
    ... --value NAME --where KEY=VALUE     of this sample type instead, and only of samples with this label; VALUE
                                           may be a list (a|b), an empty one stands for no such label

Python's standard library only.
"""
import argparse
import json
import re
import sys
import zlib

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
U64 = 1 << 64

# The fields of profile.proto: number -> (name, type). A type that is a dict is a message; a trailing *
# means repeated.
LABEL = {1: ("key", "int"), 2: ("str", "int"), 3: ("num", "int"), 4: ("num_unit", "int")}
VALUE_TYPE = {1: ("type", "int"), 2: ("unit", "int")}
LINE = {1: ("function_id", "int"), 2: ("line", "int"), 3: ("column", "int")}
SAMPLE = {1: ("location_id", "int*"), 2: ("value", "int*"), 3: ("label", LABEL)}
MAPPING = {1: ("id", "int"), 2: ("start", "int"), 3: ("limit", "int"), 4: ("offset", "int"),
           5: ("filename", "int"), 6: ("build_id", "int"), 7: ("has_functions", "int"),
           8: ("has_filenames", "int"), 9: ("has_line_numbers", "int"), 10: ("has_inline_frames", "int")}
LOCATION = {1: ("id", "int"), 2: ("mapping_id", "int"), 3: ("address", "int"), 4: ("line", LINE),
            5: ("is_folded", "int")}
FUNCTION = {1: ("id", "int"), 2: ("name", "int"), 3: ("system_name", "int"), 4: ("filename", "int"),
            5: ("start_line", "int")}
PROFILE = {1: ("sample_type", VALUE_TYPE), 2: ("sample", SAMPLE), 3: ("mapping", MAPPING),
           4: ("location", LOCATION), 5: ("function", FUNCTION), 6: ("string_table", "bytes*"),
           7: ("drop_frames", "int"), 8: ("keep_frames", "int"), 9: ("time_nanos", "int"),
           10: ("duration_nanos", "int"), 11: ("period_type", VALUE_TYPE), 12: ("period", "int"),
           13: ("comment", "int*"), 14: ("default_sample_type", "int"), 15: ("doc_url", "int")}
SINGLE_MESSAGES = {"period_type"}

# Sample types -> (period type, windowed). The last value is the main one.
KINDS = {
    (("samples", "count"), ("cpu", "nanoseconds")): (("cpu", "nanoseconds"), True),
    (("samples", "count"), ("wall", "nanoseconds")): (("wall", "nanoseconds"), True),
    (("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"),
     ("inuse_space", "bytes")): (("space", "bytes"), False),
    (("inuse_objects", "count"), ("inuse_space", "bytes")): (("space", "bytes"), False),
    (("contentions", "count"), ("delay", "nanoseconds")): (("contentions", "count"), False),
    (("threads", "count"),): (("threads", "count"), False),
    (("goroutine", "count"),): (("goroutine", "count"), False),
    (("threadcreate", "count"),): (("threadcreate", "count"), False),
}


class Broken(Exception):
    """The bytes cannot be read at all."""


def varint(b, at):
    value = shift = 0
    while True:
        if at >= len(b):
            raise Broken("a varint runs past the end")
        c = b[at]
        at += 1
        value |= (c & 0x7F) << shift
        if not c & 0x80:
            break
        shift += 7
        if shift > 63:
            raise Broken("a varint of more than 10 bytes")
    if value >= U64:
        raise Broken("a varint of more than 64 bits")
    return value, at


def signed(v):
    return v - U64 if v >= U64 >> 1 else v


def decode(b, fields, where):
    """A message as a dict; 'seen' counts the fields on the wire."""
    m = {name: [] if isinstance(t, dict) and name not in SINGLE_MESSAGES or t in ("int*", "bytes*") else
         None if isinstance(t, dict) else 0 for name, t in fields.values()}
    seen = m["seen"] = {}
    at = 0
    while at < len(b):
        tag, at = varint(b, at)
        number, wire = tag >> 3, tag & 7
        if number not in fields:
            raise Broken(f"{where}: unknown field {number}")
        name, t = fields[number]
        seen[name] = seen.get(name, 0) + 1
        if wire == VARINT and t in ("int", "int*"):
            v, at = varint(b, at)
            if t == "int":
                m[name] = v
            else:
                m[name].append(v)
        elif wire == BYTES and t != "int":
            n, at = varint(b, at)
            if at + n > len(b):
                raise Broken(f"{where}.{name}: {n} bytes announced, {len(b) - at} left")
            part = b[at:at + n]
            at += n
            if t == "bytes*":
                m[name].append(part)
            elif t == "int*":
                i = 0
                while i < len(part):
                    v, i = varint(part, i)
                    m[name].append(v)
            elif name in SINGLE_MESSAGES:
                m[name] = decode(part, t, name)
            else:
                m[name].append(decode(part, t, name))
        else:
            raise Broken(f"{where}.{name}: wire type {wire}")
    return m


def load(path):
    with open(path, "rb") as f:
        raw = f.read()
    if raw[:2] != b"\x1f\x8b":
        raise Broken("not gzip")
    z = zlib.decompressobj(31)
    try:
        plain = z.decompress(raw)
    except zlib.error as e:
        raise Broken(f"gzip: {e}")
    if not z.eof:
        raise Broken("gzip: the file ends early")
    if z.unused_data:
        raise Broken("gzip: bytes after the end")
    return decode(plain, PROFILE, "profile")


class Check:
    """Collects violations; every rule is one method or one line of a method."""

    def __init__(self, profile, exe=None):
        self.p, self.exe, self.bad = profile, exe, []
        self.texts = []
        for rule in (self.strings, self.types, self.window, self.mappings, self.functions, self.locations,
                     self.flags, self.samples, self.comments):
            rule()

    def want(self, good, what):
        if not good:
            self.bad.append(what)
        return good

    def text(self, index, what):
        if not self.want(0 <= index < len(self.texts), f"{what}: string {index} of {len(self.texts)}"):
            return ""
        return self.texts[index]

    def strings(self):
        table = self.p["string_table"]
        self.want(table and table[0] == b"", "string_table[0] is not empty")
        first = {}
        for i, b in enumerate(table):
            try:
                s = b.decode("utf-8")
            except UnicodeDecodeError:
                self.want(False, f"string {i} is not UTF-8: {b!r}")
                s = b.decode("utf-8", "replace")
            self.texts.append(s)
            self.want("\0" not in s, f"string {i} holds a NUL")
            if s in first:
                self.want(False, f"string {i} repeats string {first[s]}: {s!r}")
            first.setdefault(s, i)

    def types(self):
        p = self.p
        self.types_ = [(self.text(t["type"], "sample_type"), self.text(t["unit"], "sample_type"))
                       for t in p["sample_type"]]
        self.want(self.types_, "no sample type")
        for name, unit in self.types_:
            self.want(name and unit, f"sample type {name!r}/{unit!r} is half empty")
            self.want("-" not in name, f"sample type {name!r} holds a '-'")
        names = [name for name, _ in self.types_]
        self.want(len(set(names)) == len(names), f"sample types repeat: {names}")
        self.kind = KINDS.get(tuple(self.types_))
        self.want(self.kind, f"sample types {self.types_} are none of ours (the main value goes last)")
        default = p["default_sample_type"]
        if default:
            self.want(default in [t["type"] for t in p["sample_type"]],
                      f"default_sample_type {self.text(default, 'default_sample_type')!r} is no sample type")
        for key in ("drop_frames", "keep_frames"):
            try:
                re.compile(self.text(p[key], key))
            except re.error as e:
                self.want(False, f"{key}: {e}")
        self.text(p["doc_url"], "doc_url")

    def window(self):
        p = self.p
        t = p["period_type"]
        if self.want(t is not None and p["seen"].get("period_type") == 1, "period_type is not there once"):
            got = (self.text(t["type"], "period_type"), self.text(t["unit"], "period_type"))
            self.want(got[0] and got[1], f"period type {got} is half empty")
            if self.kind:
                self.want(got == self.kind[0], f"period type {got}, expected {self.kind[0]}")
        self.want(p["seen"].get("period") == 1 and signed(p["period"]) > 0, f"period {signed(p['period'])}")
        self.want(p["seen"].get("time_nanos") == 1, "time_nanos is not there exactly once")
        year_ns = 365 * 86400 * 10 ** 9
        self.want(50 * year_ns < signed(p["time_nanos"]) < 130 * year_ns, f"time_nanos {signed(p['time_nanos'])}")
        if self.kind:
            d = signed(p["duration_nanos"])
            self.want(d > 0 if self.kind[1] else d == 0, f"duration_nanos {d}, windowed: {self.kind[1]}")

    def ids(self, what):
        for i, m in enumerate(self.p[what]):
            if not self.want(m["id"] == i + 1, f"{what} {i + 1} has id {m['id']}"):
                return

    def mappings(self):
        self.ids("mapping")
        seen = set()
        for m in self.p["mapping"]:
            what = f"mapping {m['id']}"
            name, build_id = self.text(m["filename"], what), self.text(m["build_id"], what)
            self.want(name, f"{what} has no file name")
            self.want(m["start"] < m["limit"], f"{what}: start {m['start']:#x}, limit {m['limit']:#x}")
            self.want(m["start"] % 4096 == 0 and m["offset"] % 4096 == 0,
                      f"{what}: start {m['start']:#x} or offset {m['offset']:#x} is not a page")
            self.want(re.fullmatch("([0-9a-f]{2})*", build_id), f"{what}: build id {build_id!r}")
            key = tuple(m[k] for k in ("start", "limit", "offset", "filename", "build_id", "has_functions"))
            self.want(key not in seen, f"{what} repeats another: {name}")
            seen.add(key)
        if self.want(self.p["mapping"] or not self.p["location"], "no mapping") and self.p["mapping"]:
            main = self.text(self.p["mapping"][0]["filename"], "mapping 1")
            self.want(not main.startswith("["), f"mapping 1 is {main}, not the main binary")
            if self.exe:
                self.want(main == self.exe, f"mapping 1 is {main}, the main binary is {self.exe}")

    def functions(self):
        self.ids("function")
        seen = set()
        for f in self.p["function"]:
            what = f"function {f['id']}"
            self.want(self.text(f["name"], what), f"{what} has no name")
            for k in ("system_name", "filename"):
                self.text(f[k], what)
            self.want(signed(f["start_line"]) >= 0, f"{what}: start line {signed(f['start_line'])}")
            key = tuple(f[k] for k in ("name", "system_name", "filename", "start_line"))
            self.want(key not in seen, f"{what} repeats another: {self.text(f['name'], what)}")
            seen.add(key)

    def locations(self):
        self.ids("location")
        mappings, functions = self.p["mapping"], self.p["function"]
        seen = set()
        for loc in self.p["location"]:
            what = f"location {loc['id']}"
            if loc["mapping_id"]:
                if self.want(loc["mapping_id"] <= len(mappings), f"{what}: mapping {loc['mapping_id']}"):
                    m = mappings[loc["mapping_id"] - 1]
                    self.want(m["start"] <= loc["address"] < m["limit"],
                              f"{what}: address {loc['address']:#x} outside mapping {m['id']} "
                              f"[{m['start']:#x}, {m['limit']:#x})")
            else:
                self.want(loc["address"] or loc["line"], f"{what}: no mapping, no address, no name")
            for line in loc["line"]:
                self.want(1 <= line["function_id"] <= len(functions), f"{what}: function {line['function_id']}")
                self.want(signed(line["line"]) >= 0, f"{what}: line {signed(line['line'])}")
            key = (loc["mapping_id"], loc["address"],
                   tuple((line["function_id"], line["line"]) for line in loc["line"]))
            self.want(key not in seen, f"{what} repeats another: {loc['address']:#x}")
            seen.add(key)

    def flags(self):
        """A flag that is set says that nothing is left to do for anybody else: then it must be so."""
        for m in self.p["mapping"]:
            names, files, lines, inlines = (m[k] for k in ("has_functions", "has_filenames", "has_line_numbers",
                                                           "has_inline_frames"))
            what = f"mapping {m['id']}"
            if not (names or files or lines or inlines):
                continue
            self.want(names and files and lines,
                      f"{what}: some has_ flags are set and others not, pprof would improve nothing")
            for loc in self.p["location"]:
                if loc["mapping_id"] != m["id"]:
                    continue
                self.want(loc["line"], f"{what} has_functions, location {loc['id']} has none")
                for line in loc["line"]:
                    f = self.p["function"][line["function_id"] - 1] if \
                        1 <= line["function_id"] <= len(self.p["function"]) else None
                    self.want(not files or f and f["filename"], f"{what} has_filenames, location {loc['id']} none")
                    self.want(not lines or line["line"], f"{what} has_line_numbers, location {loc['id']} none")

    def samples(self):
        seen = set()
        for i, s in enumerate(self.p["sample"]):
            what = f"sample {i}"
            self.want(len(s["value"]) == len(self.types_), f"{what}: {len(s['value'])} values of {len(self.types_)}")
            self.want(all(signed(v) >= 0 for v in s["value"]), f"{what}: negative value")
            for loc in s["location_id"]:
                if not self.want(1 <= loc <= len(self.p["location"]), f"{what}: location {loc}"):
                    break
            keys = [label["key"] for label in s["label"]]
            self.want(len(set(keys)) == len(keys), f"{what}: a label key twice")
            for label in s["label"]:
                key = self.text(label["key"], what)
                self.want(key and not key.startswith("pprof::"), f"{what}: label key {key!r}")
                # proto3 leaves a zero out: a unit alone is the number 0 (the label bytes of malloc(0)).
                has_num = "num" in label["seen"] or bool(label["num_unit"])
                self.want(bool(label["str"]) != has_num, f"{what}: label {key!r} is not a string or a number")
                self.text(label["str"], what)
                self.text(label["num_unit"], what)
            self.want(len(s["label"]) <= 100, f"{what}: {len(s['label'])} labels")
            identity = (tuple(s["location_id"]),
                        tuple(sorted((x["key"], x["str"], x["num"], x["num_unit"]) for x in s["label"])))
            self.want(identity not in seen, f"{what} repeats another: same stack, same labels")
            seen.add(identity)

    def comments(self):
        for c in self.p["comment"]:
            s = self.text(c, "comment")
            self.want(s and s.isprintable(), f"comment {s!r} is empty or not printable")


def view(profile, texts):
    """The profile with its references followed: what tests look at."""
    def number(v):
        return signed(v)

    def text(i):
        return texts[i] if 0 <= i < len(texts) else ""

    names = []
    for loc in profile["location"]:
        lines = [text(profile["function"][line["function_id"] - 1]["name"]) for line in loc["line"]
                 if 1 <= line["function_id"] <= len(profile["function"])]
        names.append(lines or [f"{loc['address']:#x}"])
    samples = []
    for s in profile["sample"]:
        samples.append({
            "stack": [name for i in s["location_id"] if 1 <= i <= len(names) for name in names[i - 1]],
            "values": [number(v) for v in s["value"]],
            "labels": {text(x["key"]): text(x["str"]) if x["str"] else number(x["num"]) for x in s["label"]},
        })
    return {
        "sample_types": [[text(t["type"]), text(t["unit"])] for t in profile["sample_type"]],
        "default_sample_type": text(profile["default_sample_type"]),
        "period_type": [text(profile["period_type"]["type"]), text(profile["period_type"]["unit"])]
        if profile["period_type"] else None,
        "period": number(profile["period"]),
        "time": number(profile["time_nanos"]),
        "duration": number(profile["duration_nanos"]),
        "comments": [text(c) for c in profile["comment"]],
        "mappings": [{"file": text(m["filename"]), "build_id": text(m["build_id"]), "start": m["start"],
                      "limit": m["limit"], "offset": m["offset"]} for m in profile["mapping"]],
        "functions": [{"name": text(f["name"]), "system_name": text(f["system_name"])}
                      for f in profile["function"]],
        "samples": samples,
    }


def read(path, exe=None):
    """(view or None, violations) of one file."""
    try:
        profile = load(path)
    except (Broken, OSError) as e:
        return None, [str(e)]
    check = Check(profile, exe)
    return view(profile, check.texts), check.bad


def main_index(v):
    names = [name for name, _ in v["sample_types"]]
    return names.index(v["default_sample_type"]) if v["default_sample_type"] in names else len(names) - 1


def value_index(v, name):
    """Of the sample type of that name, or of the main one."""
    return [t for t, _ in v["sample_types"]].index(name) if name else main_index(v)


def weighted(views, name=None, where=()):
    """Every sample that has these labels with its value."""
    wanted = [(key, values.split("|")) for key, _, values in (w.partition("=") for w in where)]
    return [(s, s["values"][value_index(v, name)]) for v in views for s in v["samples"]
            if all(str(s["labels"].get(key, "")) in values for key, values in wanted)]


def table(rows, n):
    flat, cum = {}, {}
    for s, value in rows:
        if s["stack"]:
            flat[s["stack"][0]] = flat.get(s["stack"][0], 0) + value
        for name in set(s["stack"]):
            cum[name] = cum.get(name, 0) + value
    for name in sorted(cum, key=lambda x: (-flat.get(x, 0), -cum[x], x))[:n]:
        print(flat.get(name, 0), cum[name], name)


def cumulative(views):
    """"VALUE... NAME" of every function; of the file's sample types, in their order."""
    sums = {}
    for v in views:
        for s in v["samples"]:
            for name in set(s["stack"]):
                sums[name] = [a + b for a, b in zip(sums.get(name, [0] * len(s["values"])), s["values"])]
    for name in sorted(sums, key=lambda n: (-sums[n][-1], n)):
        print(*sums[name], name)


def answer(args, views):
    rows = weighted(views, args.value, args.where)
    total = sum(value for _, value in rows)
    if args.cum:
        cumulative(views)
    elif args.top is not None:
        table(rows, args.top)
    elif args.total:
        print(total)
    elif args.samples:
        print(sum(s["values"][0] for s, _ in rows))
    elif args.share is not None:
        print(sum(value for s, value in rows if args.share in s["stack"]) / total if total else 0)
    elif args.flat is not None:
        print(sum(value for s, value in rows if s["stack"] and s["stack"][0] == args.flat) / total if total else 0)
    elif args.depth:
        print(max((len(s["stack"]) for s, _ in rows), default=0))
    elif args.by is not None:
        sums = {}
        for s, value in rows:
            key = s["labels"].get(args.by, "")
            sums[key] = sums.get(key, 0) + value
        for key in sorted(sums, key=lambda k: -sums[k]):
            print(sums[key], key)
    elif args.comment is not None:
        for v in views:
            for c in v["comments"]:
                if args.comment in c:
                    print(c)


def main():
    a = argparse.ArgumentParser(description="strict reader of pprof files")
    a.add_argument("--exe", help="the main binary")
    a.add_argument("--json", action="store_true")
    a.add_argument("--top", type=int)
    a.add_argument("--cum", action="store_true", help="all values of every function, callees included")
    a.add_argument("--total", action="store_true")
    a.add_argument("--samples", action="store_true", help="the sum of the first value")
    a.add_argument("--share", help="part of the main value with this function on the stack, 0 to 1")
    a.add_argument("--flat", help="part of the main value with this function at the leaf, 0 to 1")
    a.add_argument("--depth", action="store_true", help="frames of the deepest stack")
    a.add_argument("--by", help="main value by the values of this label")
    a.add_argument("--value", help="name of the sample type that is asked about")
    a.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only samples with this label")
    a.add_argument("--comment", help="the comments that hold this text")
    a.add_argument("files", nargs="+")
    args = a.parse_args()
    question = args.json or args.cum or args.total or args.samples or args.depth or any(
        x is not None for x in (args.top, args.share, args.flat, args.by, args.comment))
    views, broken = [], False
    for path in args.files:
        v, bad = read(path, args.exe)
        broken |= bool(bad)
        for what in bad:
            print(f"{path}: {what}", file=sys.stderr if question else sys.stdout)
        if v:
            views.append(v)
            if not question and not bad:
                print(f"{path}: {len(v['samples'])} samples, {len(v['functions'])} functions, "
                      f"{'/'.join(v['sample_types'][-1])} {sum(value for _, value in weighted([v]))}")
    if args.json:
        for v in views:
            json.dump(v, sys.stdout, indent=1)
            print()
    elif question:
        answer(args, views)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
