"""Archives of networks: equal files come out; what is damaged or does not fit is one line."""

import zipfile
from pathlib import Path

import pytest

from dlas.compression import archive
from dlas.errors import StudyError

NAME = "digits/resnet18/none"
NETWORK = dict(zip(("dataset", "model", "compression"), NAME.split("/"), strict=True))
SETTINGS = {"width": 0.25, "datasets": {"digits": 32}, "compressions": {"none": ["none"]}}
CONTENT = {"chosen": b"weights" * 1000, "summary": b"{}", "curve": b"level,top1\n"}


@pytest.fixture
def files(tmp_path):
    found = {}
    for kind, content in CONTENT.items():
        (tmp_path / kind).write_bytes(content)
        found[kind] = str(tmp_path / kind)
    (tmp_path / "answers").write_bytes(b"answers")
    return found


@pytest.fixture
def packed(tmp_path, files):
    archive.pack(tmp_path / "networks.zip", SETTINGS, {NAME: files}, tmp_path / "answers")
    return str(tmp_path / "networks.zip")


def test_networks_come_out_as_they_went_in(tmp_path, packed):
    archive.check(packed, SETTINGS, [NETWORK])
    outputs = {kind: str(tmp_path / "out" / kind) for kind in archive.FILES}
    archive.unpack(packed, NAME, outputs)
    for kind, content in CONTENT.items():
        assert (tmp_path / "out" / kind).read_bytes() == content
    assert archive.read(packed, archive.ANSWERS) == b"answers"


def test_equal_networks_give_equal_bytes(tmp_path, packed, files):
    archive.pack(tmp_path / "again.zip", SETTINGS, {NAME: files}, tmp_path / "answers")
    assert (tmp_path / "again.zip").read_bytes() == Path(packed).read_bytes()
    before = archive.digest(packed)
    (tmp_path / "summary").write_bytes(b"{ }")
    archive.pack(tmp_path / "again.zip", SETTINGS, {NAME: files}, tmp_path / "answers")
    assert archive.digest(str(tmp_path / "again.zip")) != before


def line(path, settings=SETTINGS, network=NETWORK):
    with pytest.raises(StudyError) as error:
        archive.check(path, settings, [network])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_archive_that_does_not_fit_is_one_line(tmp_path, packed):
    prefix = f"config: models.archive: {packed}: "
    other = line(packed, network=NETWORK | {"compression": "int8"})
    assert other.startswith(f"{prefix}it lacks digits/resnet18/int8/chosen.safetensors; allowed: ")
    assert line(packed, SETTINGS | {"width": 1}) == f"{prefix}models.width was 0.25, here it is 1"
    sizes = SETTINGS | {"datasets": {"digits": 64}}
    assert line(packed, sizes) == f"{prefix}dataset digits was 32, here it is 64"
    assert "it does not exist; allowed: what `make networks` wrote" in line(f"{tmp_path}/no.zip")


def test_a_file_that_is_no_archive_is_one_line(tmp_path):
    file = tmp_path / "networks.zip"
    file.write_bytes(b"no archive")
    assert "it is damaged, or no archive of networks" in line(str(file))
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("manifest.json", '{"schema": 9, "settings": {}, "files": {}}')
    assert "manifest.json has the schema 9; allowed: 1" in line(str(file))


def refuses_to_unpack(path, folder, reason):
    outputs = {kind: str(folder / kind) for kind in archive.FILES}
    with pytest.raises(StudyError, match=f"{NAME}/chosen.safetensors {reason}"):
        archive.unpack(str(path), NAME, outputs)
    assert not folder.exists()


def test_a_changed_byte_of_a_network_is_found(tmp_path, packed):
    content = Path(packed).read_bytes()
    at = content.index(b"weightsweights") + 100
    Path(packed).write_bytes(content[:at] + b"X" + content[at + 1 :])
    refuses_to_unpack(packed, tmp_path / "out", "is missing or damaged: Bad CRC-32")


def test_a_network_that_was_exchanged_is_found_though_the_zip_file_is_right(tmp_path, packed):
    with zipfile.ZipFile(packed) as before, zipfile.ZipFile(tmp_path / "other.zip", "w") as after:
        for name in before.namelist():
            after.writestr(name, before.read(name).replace(b"weights", b"Weights"))
    refuses_to_unpack(tmp_path / "other.zip", tmp_path / "out", "was changed after it was packed")


def test_a_truncated_archive_is_one_line(packed):
    content = Path(packed).read_bytes()
    Path(packed).write_bytes(content[: len(content) // 2])
    assert "it is damaged, or no archive of networks" in line(packed)
