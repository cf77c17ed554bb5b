"""The loops of simplify.py that no NumPy function does, in LLVM's language."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from microgradopt.compiler.native.compiler import built
from microgradopt.engine.graph import Array

NUMBER_EQUAL = """
define void @number_equal(ptr %op, ptr %args, ptr %label, i64 %count, i64 %base, ptr %table,
                          i64 %mask) {
entry:
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %next, label %done
next:
  %k = phi i64 [ 0, %entry ], [ %k.next, %labelled ]
  %op.at = getelementptr i64, ptr %op, i64 %k
  %o = load i64, ptr %op.at
  %row = mul i64 %k, 3
  %a.at = getelementptr i64, ptr %args, i64 %row
  %b.at = getelementptr i64, ptr %a.at, i64 1
  %c.at = getelementptr i64, ptr %a.at, i64 2
  %a.arg = load i64, ptr %a.at
  %b.arg = load i64, ptr %b.at
  %c.arg = load i64, ptr %c.at
  %a.label = getelementptr i64, ptr %label, i64 %a.arg
  %b.label = getelementptr i64, ptr %label, i64 %b.arg
  %c.label = getelementptr i64, ptr %label, i64 %c.arg
  %a = load i64, ptr %a.label
  %b = load i64, ptr %b.label
  %c = load i64, ptr %c.label
  %h0 = add i64 %o, 1
  %h1 = xor i64 %h0, %a
  %h2 = mul i64 %h1, -7046029254386353131
  %h3 = lshr i64 %h2, 29
  %h4 = xor i64 %h2, %h3
  %h5 = xor i64 %h4, %b
  %h6 = mul i64 %h5, -7046029254386353131
  %h7 = lshr i64 %h6, 29
  %h8 = xor i64 %h6, %h7
  %h9 = xor i64 %h8, %c
  %h10 = mul i64 %h9, -7046029254386353131
  %h11 = lshr i64 %h10, 29
  %h12 = xor i64 %h10, %h11
  %mine = add i64 %base, %k
  br label %probe
probe:
  %h = phi i64 [ %h12, %next ], [ %h.next, %other ]
  %slot = and i64 %h, %mask
  %slot.at = getelementptr i64, ptr %table, i64 %slot
  %known = load i64, ptr %slot.at
  %is.free = icmp eq i64 %known, 0
  br i1 %is.free, label %new, label %compare
new:
  store i64 %mine, ptr %slot.at
  br label %labelled
compare:
  %j = sub i64 %known, %base
  %j.op.at = getelementptr i64, ptr %op, i64 %j
  %j.o = load i64, ptr %j.op.at
  %j.row = mul i64 %j, 3
  %j.a.at = getelementptr i64, ptr %args, i64 %j.row
  %j.b.at = getelementptr i64, ptr %j.a.at, i64 1
  %j.c.at = getelementptr i64, ptr %j.a.at, i64 2
  %j.a.arg = load i64, ptr %j.a.at
  %j.b.arg = load i64, ptr %j.b.at
  %j.c.arg = load i64, ptr %j.c.at
  %j.a.label = getelementptr i64, ptr %label, i64 %j.a.arg
  %j.b.label = getelementptr i64, ptr %label, i64 %j.b.arg
  %j.c.label = getelementptr i64, ptr %label, i64 %j.c.arg
  %j.a = load i64, ptr %j.a.label
  %j.b = load i64, ptr %j.b.label
  %j.c = load i64, ptr %j.c.label
  %same.o = icmp eq i64 %o, %j.o
  %same.a = icmp eq i64 %a, %j.a
  %same.b = icmp eq i64 %b, %j.b
  %same.c = icmp eq i64 %c, %j.c
  %same.1 = and i1 %same.o, %same.a
  %same.2 = and i1 %same.b, %same.c
  %same = and i1 %same.1, %same.2
  br i1 %same, label %labelled, label %other
other:
  %h.next = add i64 %h, 1
  br label %probe
labelled:
  %found = phi i64 [ %mine, %new ], [ %known, %compare ]
  %label.at = getelementptr i64, ptr %label, i64 %mine
  store i64 %found, ptr %label.at
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %count
  br i1 %more, label %next, label %done
done:
  ret void
}
"""
MARK_NEEDED = """
define void @mark_needed(ptr %args, ptr %needed, i64 %count, i64 %base) {
entry:
  br label %next
next:
  %after = phi i64 [ %count, %entry ], [ %k, %mark ], [ %k, %body ]
  %any = icmp sgt i64 %after, 0
  br i1 %any, label %body, label %done
body:
  %k = sub i64 %after, 1
  %mine = add i64 %base, %k
  %at = getelementptr i8, ptr %needed, i64 %mine
  %wanted = load i8, ptr %at
  %is.wanted = icmp ne i8 %wanted, 0
  br i1 %is.wanted, label %mark, label %next
mark:
  %row = mul i64 %k, 3
  %a.at = getelementptr i64, ptr %args, i64 %row
  %b.at = getelementptr i64, ptr %a.at, i64 1
  %c.at = getelementptr i64, ptr %a.at, i64 2
  %a = load i64, ptr %a.at
  %b = load i64, ptr %b.at
  %c = load i64, ptr %c.at
  %a.needed = getelementptr i8, ptr %needed, i64 %a
  %b.needed = getelementptr i8, ptr %needed, i64 %b
  %c.needed = getelementptr i8, ptr %needed, i64 %c
  store i8 1, ptr %a.needed
  store i8 1, ptr %b.needed
  store i8 1, ptr %c.needed
  br label %next
done:
  ret void
}
"""


def numbered(op: Array, args: Array, leaves: Array) -> Array:
    """The same as the function of simplify.py, by a hash table."""
    slots = 2 << len(op).bit_length()
    label = np.concatenate([leaves, np.zeros(len(op), np.int64)])
    table = np.zeros(slots, np.int64)
    op, args = np.ascontiguousarray(op), np.ascontiguousarray(args)
    _functions()["number_equal"](
        op.ctypes.data, args.ctypes.data, label.ctypes.data, len(op), len(leaves),
        table.ctypes.data, slots - 1,
    )  # fmt: skip
    return label


def needed(args: Array, seeds: Array, base: int) -> Array:
    """The same as the function of simplify.py."""
    args, marked = np.ascontiguousarray(args), seeds.copy()
    _functions()["mark_needed"](args.ctypes.data, marked.ctypes.data, len(args), base)
    return marked


@cache
def _functions() -> dict[str, Any]:
    address, number = ctypes.c_void_p, ctypes.c_int64
    library = built(NUMBER_EQUAL + MARK_NEEDED, ["number_equal", "mark_needed"])
    many = ctypes.CFUNCTYPE(None, address, address, address, number, number, address, number)
    few = ctypes.CFUNCTYPE(None, address, address, number, number)
    return {
        "number_equal": many(library["number_equal"]),
        "mark_needed": few(library["mark_needed"]),
        "library": library,  # which must not be freed
    }
