# SPDX-License-Identifier: BSD-2-Clause
"""Building kernels and modules: the parts that need no compiler."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ci import kmod
from ci.kernels import RECIPES, _btf, _build, _cache, _source
from ci.steps import ROOT


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_s_fragments_are_there(name: str) -> None:
    assert _build._settings(_build._wanted(RECIPES[name]))


def test_an_option_that_kconfig_left_out_is_named() -> None:
    wanted = "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_D=3\n"
    config = "CONFIG_A=y\nCONFIG_C=y\nCONFIG_D=3\n"
    assert _build.refused(wanted, config) == ["CONFIG_B=n", "CONFIG_C=y"]


def test_a_later_fragment_overrules_an_earlier() -> None:
    text = "CONFIG_A=y\n# CONFIG_A is not set\n"
    assert _build._settings(text) == {"CONFIG_A": "n"}
    assert not _build.refused(text, "")


def test_only_the_latest_builds_of_a_name_are_kept(tmp_path: Path) -> None:
    for age, key in enumerate(("a", "b", "c", "d")):
        place = tmp_path / f"uml-{key}"
        place.mkdir()
        done = _cache.stamp(place)
        done.touch()
        os.utime(done, (age, age))
    (tmp_path / "uml-debug-a").mkdir()
    (tmp_path / "uml-debug-a" / "complete").touch()
    (tmp_path / "uml-e").mkdir()  # being built
    _cache.forget(tmp_path, "uml")
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["uml-c", "uml-d", "uml-debug-a", "uml-e"]


def _image(payload: bytes, sectors: int = 3) -> bytes:
    head = bytearray((sectors + 1) * _btf.SECTOR_BYTES)
    head[_btf.SETUP_SECTS] = sectors
    head[_btf.MAGIC : _btf.MAGIC + 4] = b"HdrS"
    head[_btf.PAYLOAD_OFFSET : _btf.PAYLOAD_OFFSET + 4] = (16).to_bytes(4, "little")
    length = len(payload).to_bytes(4, "little")
    head[_btf.PAYLOAD_LENGTH : _btf.PAYLOAD_LENGTH + 4] = length
    return bytes(head) + bytes(16) + payload


def test_the_kernel_is_found_in_a_boot_image() -> None:
    assert _btf.payload(_image(b"kernel") + b"more") == b"kernel"


@pytest.mark.parametrize("image", [b"", bytes(4096), _image(b"kernel")[:-1]])
def test_what_is_no_boot_image_is_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match="boot image"):
        _btf.payload(image)


def test_patches_touch_only_user_mode_linux() -> None:
    """Else they would have to be part of every kernel's key."""
    for patch in _source.PATCHES:
        files = re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.MULTILINE)
        assert files
        assert all(f.startswith("arch/x86/um/") for f in files)


def test_a_stage_follows_its_sources_and_keeps_objects(tmp_path: Path) -> None:
    source, stage = tmp_path / "source", tmp_path / "stage"
    source.mkdir()
    for name in ("a.c", "b.c", "Kbuild", "Kbuild.probes", "notes.md"):
        (source / name).write_text(name)
    kmod._copy(source, stage)
    for name in ("a.o", "multistack.mod.c"):
        (stage / name).touch()
    before = (stage / "a.c").stat().st_mtime_ns
    (source / "b.c").unlink()
    kmod._copy(source, stage)
    left = sorted(p.name for p in stage.iterdir())
    assert left == ["Kbuild", "Kbuild.probes", "a.c", "a.o", "multistack.mod.c"]
    assert (stage / "a.c").stat().st_mtime_ns == before


def test_a_compiler_s_and_a_linker_s_warnings_are_seen() -> None:
    for line in (
        "a.c:1:2: warning: unused variable",
        "a.c:3:1: error: no such thing",
        "WARNING: modpost: missing MODULE_LICENSE()",
    ):
        assert kmod._WARNING.findall(f"  CC a.o\n{line}\n") == [line]
    assert not kmod._WARNING.findall("Skipping BTF generation: no vmlinux")


def test_the_module_s_version_is_the_project_s() -> None:
    of_meson = re.search(r"version: '(.*?)'", (ROOT / "meson.build").read_text())
    conf = (ROOT / "sys/os/linux/dkms.conf").read_text()
    of_dkms = re.search(r'^PACKAGE_VERSION="(.*)"', conf, re.MULTILINE)
    assert of_meson and of_dkms
    assert of_meson[1] == of_dkms[1]
