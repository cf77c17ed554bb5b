"""Files with valid checksums whose manifest contradicts itself: refused for what is wrong."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.errors import StateError
from microgradopt.state import DIGITS, MANIFEST, SEAL


def members(path):
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(found.pop(MANIFEST)), found


def forge(path, manifest, arrays):
    """A sealed file of this manifest and these arrays."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {MANIFEST: text.encode(), **arrays}.items():
            archive.writestr(name, content)
        archive.comment = SEAL + b"0" * DIGITS
    body = file.getvalue()[:-DIGITS]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "run.npz"
    mg.save(path, w=np.arange(3.0), epoch=2)
    return path


def test_a_file_forged_without_a_change_loads(good):
    forge(good, *members(good))
    assert mg.load(good)["epoch"] == 2


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_a_version_that_never_was(good, version):
    manifest, arrays = members(good)
    forge(good, {**manifest, "version": version}, arrays)
    with pytest.raises(StateError, match="which never was"):
        mg.load(good)


def test_an_array_that_nothing_refers_to(good):
    manifest, arrays = members(good)
    manifest["tree"]["w"] = 1
    forge(good, manifest, arrays)
    with pytest.raises(StateError, match=r"nothing refers to the array 'w\.npy'"):
        mg.load(good)


def test_an_array_that_is_not_there_or_is_taken_twice(good):
    manifest, arrays = members(good)
    for name in ("v.npy", "w.npy"):
        forge(good, {**manifest, "tree": {**manifest["tree"], "v": {"array": name}}}, arrays)
        with pytest.raises(StateError, match="refers to an array"):
            mg.load(good)


def test_a_name_that_is_twice_in_the_manifest(good):
    manifest, arrays = members(good)
    text = json.dumps(manifest).replace('"epoch": 2', '"epoch": 2, "epoch": 3')
    forge(good, text, arrays)
    with pytest.raises(StateError, match="a name is in its manifest twice"):
        mg.load(good)


@pytest.mark.parametrize("entry", [{"dtype": "<f4"}, {"shape": [1, 3]}, {"shape": [2]}])
def test_an_array_of_another_form_than_the_manifest_says(good, entry):
    manifest, arrays = members(good)
    manifest["arrays"]["w.npy"].update(entry)
    forge(good, manifest, arrays)
    with pytest.raises(StateError, match=r"the array 'w.npy' is <f8 of shape \(3,\), and"):
        mg.load(good)


def test_an_array_that_goes_on_after_its_end(good):
    manifest, arrays = members(good)
    arrays["w.npy"] += b"more"
    manifest["arrays"]["w.npy"]["sha256"] = hashlib.sha256(arrays["w.npy"]).hexdigest()
    forge(good, manifest, arrays)
    with pytest.raises(StateError, match="more bytes than the array has"):
        mg.load(good)


def test_an_entry_of_unknown_kind(good):
    manifest, arrays = members(good)
    manifest["tree"]["epoch"] = {"code": "print()"}
    forge(good, manifest, arrays)
    with pytest.raises(StateError, match="entry of unknown kind 'code'"):
        mg.load(good)


def test_a_node_takes_only_data_of_its_own_form(good):
    for node in (mg.Tensor(np.zeros(2)), mg.Tensor(np.zeros(3, np.float32)), mg.Value(1.0)):
        before = np.copy(node.data)
        with pytest.raises(StateError, match="here, ndarray of dtype float64 and shape"):
            mg.load(good, w=node)
        np.testing.assert_array_equal(node.data, before)
