"""10,000 damaged or foreign files: each refused with what is wrong, nothing touched."""

from __future__ import annotations

import copy
import hashlib
import io
import re
import zipfile
from collections import Counter

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.errors import StateError
from microgradopt.state import DIGITS, SEAL

COUNT = 10_000
PORTIONS = 4


class Net(nn.Module):
    """Parameters of several shapes and dtypes, a frozen one, a buffer and a random generator."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.first = nn.Linear(2, 3, rng=self.rng)
        self.second = nn.Linear(3, 2, rng=self.rng, dtype=np.float32)
        self.slope = mg.Value(0.5)
        self.average = nn.Buffer(self.rng.normal(size=3))
        self.freeze("second.bias")


def trained(seed=0):
    model = Net(seed)
    optimizer = optim.Adam(model.named_parameters(), lr=0.01)
    for p in model.parameters():
        p.grad = p.data * 0.5
    optimizer.step()
    return model, optimizer


def exact(x):
    """Something to compare bit for bit."""
    if isinstance(x, dict):
        return {k: exact(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [exact(v) for v in x]
    return (x.dtype.str, x.shape, x.tobytes()) if isinstance(x, np.ndarray) else repr(x)


def flip(data, rng):
    i = int(rng.integers(len(data)))
    data[i] ^= 1 << int(rng.integers(8))
    return data


def flip_many(data, rng):
    for _ in range(int(rng.integers(2, 20))):
        flip(data, rng)
    return data


def truncate(data, rng):
    return data[: int(rng.integers(len(data)))]


def lose_the_start(data, rng):
    return data[int(rng.integers(1, len(data))) :]


def insert(data, rng):
    i, n = int(rng.integers(len(data) + 1)), int(rng.integers(1, 10))
    return data[:i] + rng.bytes(n) + data[i:]


def delete(data, rng):
    i, n = int(rng.integers(len(data))), int(rng.integers(1, 10))
    return data[:i] + data[i + n :]


def blank(data, rng):
    """A block that never reached the disk."""
    i = int(rng.integers(len(data)))
    n = min(int(rng.integers(64, 512)), len(data) - i)
    return data[:i] + bytes(n) + data[i + n :]


def repeat(data, rng):
    i = int(rng.integers(len(data)))
    return data[:i] + data[i : i + 64] + data[i:]


BYTES = [flip, flip, flip_many, truncate, lose_the_start, insert, delete, blank, repeat]


def places(tree):
    """Every dict entry of a state, with the dict it is in."""
    for key, x in tree.items():
        yield tree, key
        if isinstance(x, dict):
            yield from places(x)
        elif isinstance(x, list):
            for branch in x:
                if isinstance(branch, dict):
                    yield from places(branch)


def arrays_in(tree):
    return [(d, k) for d, k in places(tree) if isinstance(d[k], np.ndarray)]


def pick(found, rng):
    return found[int(rng.integers(len(found)))]


def drop(tree, rng):
    where, key = pick(list(places(tree)), rng)
    del where[key]


def add(tree, rng):
    inside = [where for where, _ in places(tree) if where is not tree]  # above, more is welcome
    pick(inside, rng)[f"extra{rng.integers(100)}"] = np.zeros(2)


def rename(tree, rng):
    where, key = pick(list(places(tree)), rng)
    where[f"{key}_"] = where.pop(key)


def swap_names(tree, rng):
    found = arrays_in(tree)
    (a, i), (b, j) = pick(found, rng), pick(found, rng)
    if (a[i].shape, a[i].dtype) == (b[j].shape, b[j].dtype):
        return rename(tree, rng)  # two of one form: nothing could tell
    a[i], b[j] = b[j], a[i]
    return None


def reshape(tree, rng):
    where, key = pick(arrays_in(tree), rng)
    x = where[key]
    where[key] = pick([x[None], x.reshape(-1, 1, 1), np.concatenate([x.ravel(), [0]])], rng).astype(
        x.dtype
    )


def retype(tree, rng):
    where, key = pick(arrays_in(tree), rng)
    x = where[key]
    others = [np.float32, np.float64, np.int64, np.float16, x.dtype.newbyteorder(">")]
    where[key] = x.astype(pick([d for d in others if np.dtype(d) != x.dtype], rng))


def another_kind(tree, rng):
    where, key = pick(list(places(tree)), rng)
    others = ["text", [1.0, 2.0], {"a": 1.0}, np.zeros((1, 7))]
    where[key] = pick(others, rng) if not isinstance(where[key], str) else 7


STRUCTURE = [drop, add, rename, swap_names, reshape, retype, another_kind]


def sealed(members):
    """A well-formed file with a valid checksum."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = SEAL + b"0" * DIGITS
    body = file.getvalue()[:-DIGITS]
    return body + hashlib.sha256(body).hexdigest().encode()


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def swap_members(members, rng):
    while True:
        i, j = (int(k) for k in rng.integers(1, len(members), 2))
        if members[i][1] != members[j][1]:
            break
    (a, x), (b, y) = members[i], members[j]
    members[i], members[j] = (a, y), (b, x)


def drop_member(members, rng):
    del members[int(rng.integers(len(members)))]


def add_member(members, rng):
    members.append((f"extra{rng.integers(9)}.npy", pick(members, rng)[1]))


def change_member(members, rng):
    i = int(rng.integers(1, len(members)))
    members[i] = (members[i][0], bytes(flip(bytearray(members[i][1]), rng)))


def newer_version(members, rng):
    older, newer = b'"version":1', b'"version":%d' % rng.integers(2, 99)
    members[0] = (members[0][0], members[0][1].replace(older, newer))


def other_format(members, rng):
    members[0] = (members[0][0], pick([b"{}", b"[1]", b"null", b'{"format":"x"}', b"{"], rng))


MEMBERS = [swap_members, drop_member, add_member, change_member, newer_version, other_format]

SAYS = re.compile(
    r"damaged|truncated|not a file of mg\.save|a zip|empty|is missing|not expected|in the state|"
    r"is not what was saved|manifest|version \d+ of the format|nothing named|was refused|"
    r"in the form"
)


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_every_corruption_is_refused_and_nothing_is_touched(tmp_path, portion):
    rng = np.random.default_rng(portion)
    model, optimizer = trained()
    path = mg.save(tmp_path / "good.npz", model=model, optimizer=optimizer)
    good = path.read_bytes()
    plain = mg.load(path)
    model, optimizer = trained(seed=7)  # another, so that a load that works would show
    before = exact([model.state_dict(), optimizer.state_dict()])
    bad = tmp_path / "bad.npz"
    seen: Counter[str] = Counter()
    for i in range(COUNT // PORTIONS):
        how = pick([BYTES, BYTES, STRUCTURE, MEMBERS][i % 4], rng)
        content = None
        if how in BYTES:
            content = bytes(how(bytearray(good), rng))
        elif how in MEMBERS:
            members = members_of(good)
            how(members, rng)
            content = sealed(members)
        else:
            tree = copy.deepcopy(plain)
            how(tree, rng)
            if exact(tree) == exact(plain):
                continue
            mg.save(bad, **tree) if tree else bad.write_bytes(b"")
        if content == good:
            continue
        if content is not None:
            bad.write_bytes(content)
        things = {"model": model, "optimizer": optimizer}
        if i % 8 >= 4:  # whichever comes first is rolled back when the second refuses
            things = dict(reversed(things.items()))
        with pytest.raises(StateError, match=SAYS):
            mg.load(bad, **things)
        seen[how.__name__] += 1
        if i % 10 == 0 or how not in BYTES:
            assert exact([model.state_dict(), optimizer.state_dict()]) == before
    assert exact([model.state_dict(), optimizer.state_dict()]) == before
    assert seen.keys() == {how.__name__ for how in (*BYTES, *STRUCTURE, *MEMBERS)}
    assert sum(seen.values()) > 0.97 * COUNT / PORTIONS


def test_the_good_file_loads(tmp_path):
    model, optimizer = trained()
    path = mg.save(tmp_path / "good.npz", model=model, optimizer=optimizer)
    other, its = trained(seed=7)
    assert mg.load(path, model=other, optimizer=its) == {}
    assert exact([other.state_dict(), its.state_dict()]) == exact(
        [model.state_dict(), optimizer.state_dict()]
    )
