"""A few seconds of an interpreter at work: a pure loop, JSON, dictionaries. work.py [scale]"""
import json
import sys


def primes(limit):
    sieve = bytearray([1]) * (limit + 1)
    for i in range(2, int(limit**0.5) + 1):
        if sieve[i]:
            for j in range(i * i, limit + 1, i):
                sieve[j] = 0
    return sum(sieve) - 2


def documents(n):
    total = 0
    for i in range(n):
        text = json.dumps({"id": i, "name": "user%d" % i, "tags": ["a", "b", str(i)], "at": {"x": i * 0.5}})
        total += len(json.loads(text)["name"])
    return total


def words(n):
    count = {}
    for i in range(n):
        word = "w%d" % (i * 7919 % 50021)
        count[word] = count.get(word, 0) + 1
    return len(sorted(count.items(), key=lambda kv: (-kv[1], kv[0])))


scale = int(sys.argv[1]) if len(sys.argv) > 1 else 10
for _ in range(scale):
    primes(1000000)
    documents(15000)
    words(200000)
