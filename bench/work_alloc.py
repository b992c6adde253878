"""An interpreter that does little but allocate: trees, strings, lists of short life. work_alloc.py [scale]

With PYTHONMALLOC=malloc each object is a call of malloc; else of them only those above 512 bytes, and arenas, are.
"""
import sys


class Node:
    def __init__(self, key):
        self.key = key
        self.left = self.right = None


def tree(depth, key=1):
    node = Node("node%d" % key)
    if depth:
        node.left = tree(depth - 1, 2 * key)
        node.right = tree(depth - 1, 2 * key + 1)
    return node


def count(node):
    return 0 if node is None else 1 + count(node.left) + count(node.right)


def texts(n):
    parts = []
    for i in range(n):
        parts.append(",".join([str(i + k) for k in range(10)]) * (1 + i % 20))
        if len(parts) > 100:
            parts = parts[50:]
    return sum(len(p) for p in parts)


scale = int(sys.argv[1]) if len(sys.argv) > 1 else 10
total = 0
for _ in range(scale):
    total += count(tree(14))
    total += texts(15000)
print(total, file=sys.stderr)
