#!/usr/bin/env python3
"""The strict reader can fail: one good profile, and one mutation for every rule that must be refused."""
import copy
import gzip
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import strict_pprof  # noqa: E402


def varint(v):
    v %= 1 << 64
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(pairs):
    """[(number, int | bytes | list of pairs)...] as bytes."""
    return b"".join(field(n, message(v) if isinstance(v, list) else v) for n, v in pairs)


STRINGS = ["", "samples", "count", "cpu", "nanoseconds", "/usr/bin/demo", "00ff", "main", "work", "thread", "demo",
           "tid", "libcprof 0.1.0", "/lib/libc.so.6", "abcd"]


def good():
    """The parts of a valid profile, to be bent and put together by build()."""
    return {
        "types": [[(1, 1), (2, 2)], [(1, 3), (2, 4)]],
        "samples": [[(1, varint(1) + varint(2)), (2, varint(3) + varint(30)), (3, [(1, 9), (2, 10)]),
                     (3, [(1, 11), (3, 77)])],
                    [(1, varint(2)), (2, varint(1) + varint(10))]],
        "mappings": [[(1, 1), (2, 0x1000), (3, 0x3000), (4, 0), (5, 5), (6, 6)],
                     [(1, 2), (2, 0x7000), (3, 0x9000), (4, 0), (5, 13), (6, 14)]],
        "locations": [[(1, 1), (2, 1), (3, 0x1010), (4, [(1, 2)])], [(1, 2), (2, 1), (3, 0x1020), (4, [(1, 1)])]],
        "functions": [[(1, 1), (2, 7), (3, 7)], [(1, 2), (2, 8), (3, 8)]],
        "strings": [s.encode() for s in STRINGS],
        "rest": [(9, 1_700_000_000_000_000_000), (10, 1_000_000_000), (11, [(1, 3), (2, 4)]), (12, 10_000_000),
                 (13, 12)],
    }


def build(p):
    return message([(1, x) for x in p["types"]] + [(2, x) for x in p["samples"]] + [(3, x) for x in p["mappings"]] +
                   [(4, x) for x in p["locations"]] + [(5, x) for x in p["functions"]] +
                   [(6, x) for x in p["strings"]] + p["rest"])


def violations(p=None, raw=None, exe=None):
    with tempfile.NamedTemporaryFile(suffix=".pb.gz") as f:
        f.write(raw if raw is not None else gzip.compress(build(p)))
        f.flush()
        return strict_pprof.read(f.name, exe)[1]


def set_rest(number, *values):
    def change(p):
        p["rest"] = [x for x in p["rest"] if x[0] != number] + [(number, v) for v in values]
    return change


def set_part(part, index, number, value):
    def change(p):
        p[part][index] = [x for x in p[part][index] if x[0] != number] + [(number, value)]
    return change


def add(part, value):
    def change(p):
        p[part].append(value)
    return change


def set_string(index, value):
    def change(p):
        p["strings"][index] = value
    return change


def swap(part):
    def change(p):
        p[part].reverse()
    return change


def label(*pairs):
    return set_part("samples", 1, 3, list(pairs))


def two_labels(p):
    p["samples"][1] += [(3, [(1, 9), (2, 10)]), (3, [(1, 9), (2, 8)])]


def has_functions_without(p):
    p["mappings"][0] += [(7, 1), (8, 1), (9, 1)]


def has_functions_only(p):
    p["mappings"][1] += [(7, 1)]


# rule -> (change, a part of the expected complaint)
MUTATIONS = {
    "string_zero_is_empty": (set_string(0, b"x"), "string_table[0]"),
    "strings_are_unique": (set_string(8, b"main"), "repeats string"),
    "strings_are_utf8": (set_string(8, b"\xff\xfe"), "UTF-8"),
    "strings_hold_no_nul": (set_string(8, b"a\0b"), "NUL"),
    "string_indexes_exist": (set_part("functions", 1, 2, 99), "string 99"),
    "types_exist": (lambda p: p["types"].clear(), "no sample type"),
    "types_hold_no_hyphen": (set_string(3, b"cpu-time"), "'-'"),
    "main_value_is_last": (swap("types"), "main value"),
    "types_have_units": (set_part("types", 0, 2, 0), "half empty"),
    "types_differ": (set_part("types", 0, 1, 3), "repeat"),
    "default_type_is_a_type": (set_rest(14, 8), "default_sample_type"),
    "drop_frames_is_a_regex": (lambda p: (p["strings"].append(b"(("), p["rest"].append((7, 15))), "drop_frames"),
    "period_type_is_there": (set_rest(11), "period_type"),
    "period_type_fits_the_kind": (set_rest(11, [(1, 1), (2, 2)]), "expected"),
    "period_is_positive": (set_rest(12, 0), "period 0"),
    "period_is_there": (set_rest(12), "period"),
    "time_is_there": (set_rest(9), "time_nanos"),
    "time_is_there_once": (set_rest(9, 1_700_000_000_000_000_000, 1_700_000_000_000_000_000), "exactly once"),
    "time_is_plausible": (set_rest(9, 12345), "time_nanos 12345"),
    "windowed_has_a_duration": (set_rest(10), "duration_nanos"),
    "mapping_ids_run": (set_part("mappings", 1, 1, 5), "mapping 2 has id 5"),
    "mapping_has_a_name": (set_part("mappings", 1, 5, 0), "no file name"),
    "mapping_range_is_not_empty": (set_part("mappings", 1, 3, 0x7000), "limit"),
    "mapping_starts_on_a_page": (set_part("mappings", 1, 2, 0x7001), "page"),
    "build_id_is_lower_case_hex": (set_string(6, b"00FF"), "build id"),
    "main_binary_is_no_vdso": (set_string(5, b"[vdso]"), "main binary"),
    "mappings_differ": (add("mappings", [(1, 3), (2, 0x7000), (3, 0x9000), (4, 0), (5, 13), (6, 14)]), "repeats"),
    "function_ids_run": (swap("functions"), "function 1 has id 2"),
    "function_has_a_name": (set_part("functions", 0, 2, 0), "no name"),
    "functions_differ": (add("functions", [(1, 3), (2, 8), (3, 8)]), "repeats another"),
    "location_ids_run": (swap("locations"), "location 1 has id 2"),
    "location_is_inside_its_mapping": (set_part("locations", 0, 3, 0x5000), "outside mapping"),
    "location_mapping_exists": (set_part("locations", 0, 2, 9), "mapping 9"),
    "location_function_exists": (set_part("locations", 0, 4, [(1, 9)]), "function 9"),
    "location_line_has_a_function": (set_part("locations", 0, 4, [(2, 9)]), "function 0"),
    "locations_differ": (add("locations", [(1, 3), (2, 1), (3, 0x1010), (4, [(1, 2)])]), "repeats another"),
    "nameless_location_has_an_address": (add("locations", [(1, 3)]), "no mapping, no address"),
    "has_flags_are_true": (has_functions_without, "has_filenames"),
    "has_flags_go_together": (has_functions_only, "some has_"),
    "sample_has_every_value": (set_part("samples", 0, 2, varint(3)), "values"),
    "sample_value_is_not_negative": (set_part("samples", 0, 2, varint(3) + varint(-1)), "negative"),
    "sample_location_exists": (set_part("samples", 0, 1, varint(9)), "location 9"),
    "sample_location_is_not_zero": (set_part("samples", 0, 1, varint(0)), "location 0"),
    "samples_differ": (add("samples", [(1, varint(2)), (2, varint(1) + varint(10))]), "same stack"),
    "label_key_is_not_empty": (label((2, 10)), "label key"),
    "label_is_not_string_and_number": (label((1, 9), (2, 10), (3, 1)), "string or a number"),
    "label_is_something": (label((1, 9)), "string or a number"),
    "label_unit_needs_a_number": (label((1, 9), (2, 10), (4, 4)), "string or a number"),
    "label_key_once": (two_labels, "key twice"),
    "label_prefix_is_reserved": (lambda p: (p["strings"].append(b"pprof::base"), label((1, 15), (2, 10))(p)),
                                 "pprof::base"),
    "comments_are_printable": (set_string(12, b"a\x1b[1mb"), "printable"),
}


class StrictReader(unittest.TestCase):
    def test_good_profile_passes(self):
        self.assertEqual(violations(good()), [])
        self.assertEqual(violations(good(), exe="/usr/bin/demo"), [])

    def test_main_binary_is_the_one_asked_for(self):
        self.assertTrue(violations(good(), exe="/usr/bin/other"))

    def test_not_windowed_has_no_duration(self):
        p = good()
        p["strings"] += [b"contentions", b"delay"]
        p["types"] = [[(1, 15), (2, 2)], [(1, 16), (2, 4)]]
        set_rest(11, [(1, 15), (2, 2)])(p)
        self.assertIn("duration_nanos", violations(p)[0])
        set_rest(10)(p)
        self.assertEqual(violations(p), [])

    def test_damaged_bytes(self):
        packed = gzip.compress(build(good()))
        for name, raw in {"plain": build(good()), "cut": packed[:-9], "tail": packed + b"x", "empty": b"",
                          "two": packed + packed, "flip": packed[:-6] + b"zz" + packed[-4:],
                          "unknown field": gzip.compress(build(good()) + field(31, 1)),
                          "cut message": gzip.compress(build(good()) + b"\x12\x7f\x00"),
                          "wire type": gzip.compress(build(good()) + b"\x4d\0\0\0\0")}.items():
            with self.subTest(name):
                self.assertTrue(violations(raw=raw))

    def test_view_follows_references(self):
        with tempfile.NamedTemporaryFile(suffix=".pb.gz") as f:
            f.write(gzip.compress(build(good())))
            f.flush()
            v, _ = strict_pprof.read(f.name)
        self.assertEqual(v["samples"][0], {"stack": ["work", "main"], "values": [3, 30],
                                           "labels": {"thread": "demo", "tid": 77}})
        self.assertEqual(strict_pprof.main_index(v), 1)
        self.assertEqual(strict_pprof.weighted([v], "samples")[0][1], 3)
        self.assertEqual(len(strict_pprof.weighted([v], None, ["thread=other|demo", "tid=77"])), 1)
        self.assertEqual(strict_pprof.weighted([v], None, ["thread=other"]), [])
        self.assertEqual(len(strict_pprof.weighted([v], None, ["lock="])), 2)


def mutation_test(change, expected):
    def test(self):
        p = copy.deepcopy(good())
        change(p)
        bad = violations(p)
        self.assertTrue([b for b in bad if expected in b], f"{expected!r} not in {bad}")
    return test


for rule, (change, expected) in MUTATIONS.items():
    setattr(StrictReader, "test_" + rule, mutation_test(change, expected))


if __name__ == "__main__":
    result = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromTestCase(StrictReader))
    failed = len(result.failures) + len(result.errors)
    print(f"[====] Synthesis: Tested: {result.testsRun} | Passing: {result.testsRun - failed} | "
          f"Failing: {failed} | Crashing: 0")
    sys.exit(1 if failed else 0)
