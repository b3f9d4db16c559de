"""What others wrote is what the lock says."""

from __future__ import annotations

import shutil

from deploy import vendor


def test_every_vendored_file_is_what_the_lock_says_and_has_its_licence():
    assert vendor.check() == []
    for name, package in vendor.locked():
        assert package["integrity"].startswith("sha512-"), name
        assert any(each["as"].endswith("LICENSE") for each in package["files"].values()), name


def test_a_changed_file_and_a_stray_one_are_told(tmp_path):
    folder = tmp_path / "vendor"
    shutil.copytree(vendor.VENDOR, folder)
    (folder / "htmx.min.js").write_text("alert(1)")
    (folder / "stray.js").write_text("")
    assert vendor.check(folder) == [
        "htmx.min.js is not what the lock says",
        "stray.js is in no lock",
    ]
