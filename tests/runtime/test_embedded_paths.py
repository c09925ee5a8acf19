from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from routerone.embedded import paths as embedded
from routerone.embedded.paths import can_enter, embedded_paths, load_or_create_secrets, private_folder, write_private

NOBODY = 65534


@pytest.mark.parametrize("home", ["/srv/clone", "/srv/" + "a" * 90, "/srv/with space", "/srv/q?uery", "/srv/名字"])
def test_socket_paths_fit_the_system_limit_and_need_no_quoting(home: str) -> None:
    found = embedded_paths(Path(home))
    for path in (found.postgres_socket / ".s.PGSQL.5432", found.valkey_socket):
        assert len(os.fsencode(path)) <= 103
        assert not set(str(path)) & set(" ?#%,:@")


def test_two_clones_with_long_paths_share_no_socket() -> None:
    one, other = (embedded_paths(Path(f"/srv/{'a' * 120}/{name}")) for name in ("one", "two"))
    assert one.postgres_socket != other.postgres_socket
    assert one.valkey_socket != other.valkey_socket
    assert one.postgres_socket != one.valkey_socket.parent


def test_the_paths_are_the_same_before_and_after_the_home_exists(tmp_path: Path) -> None:
    before = embedded_paths(tmp_path / "home")
    embedded.make_home(before)
    assert embedded_paths(tmp_path / "home") == before


def test_another_user_may_pass_only_where_every_folder_above_lets_him(tmp_path: Path) -> None:
    open_folder = tmp_path / "closed" / "open"
    open_folder.mkdir(parents=True)
    for folder in (tmp_path, open_folder):
        folder.chmod(0o755)
    (tmp_path / "closed").chmod(0o700)
    assert not can_enter(open_folder, NOBODY, NOBODY)
    assert can_enter(open_folder, os.geteuid(), os.getegid()) or os.geteuid() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL another user")
def test_below_a_private_folder_root_keeps_the_cluster_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    found = embedded_paths(tmp_path / "private" / "home")
    assert not found.clusters.is_relative_to(tmp_path)
    assert not found.postgres_socket.is_relative_to(tmp_path)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700


def test_secrets_are_made_once_with_mode_600(tmp_path: Path) -> None:
    first = load_or_create_secrets(tmp_path / "home")
    assert load_or_create_secrets(tmp_path / "home") == first
    assert set(first) == {"SECRET_KEY", "API_KEY_PEPPER", "CREDENTIAL_KEY", "RECEIPT_SIGNING_KEY"}
    assert stat.S_IMODE((tmp_path / "home" / "secrets.json").stat().st_mode) == 0o600


def test_the_credential_key_is_a_fernet_key(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    box = Fernet(load_or_create_secrets(tmp_path)["CREDENTIAL_KEY"])
    assert box.decrypt(box.encrypt(b"x")) == b"x"


def test_secrets_of_an_older_version_keep_their_values_and_gain_what_is_new(tmp_path: Path) -> None:
    write_private(tmp_path / "secrets.json", '{"SECRET_KEY": "old"}')
    first = load_or_create_secrets(tmp_path)
    assert first["SECRET_KEY"] == "old" and len(first["RECEIPT_SIGNING_KEY"]) == 64
    assert load_or_create_secrets(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_the_secrets(tmp_path: Path) -> None:
    program = "import sys; from routerone.embedded.paths import *; print(load_or_create_secrets(Path(sys.argv[1])))"
    root = Path(__file__).resolve().parents[2]
    children = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", program, str(tmp_path / "home")], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    answers = {child.communicate()[0] for child in children}
    assert len(answers) == 1
    assert "SECRET_KEY" in answers.pop()


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "one")
    write_private(tmp_path / "file", "two")
    assert (tmp_path / "file").read_text() == "two"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_socket_folder_is_narrowed_to_its_owner(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    private_folder(tmp_path / "run")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "run")
