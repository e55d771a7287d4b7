"""The file of API keys: how keys come and go, what a broken file does, and the program."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from starlette.testclient import TestClient

from api.auth.api_keys import ROLES, ApiKeys, KeysFileError, create_key, edit_keys, read_keys
from tests.api.conftest import add_key
from tests.programs import invoke, run


def wait_until(answer: Callable[[], int], status: int) -> None:
    deadline = time.monotonic() + 10
    while answer() != status:
        assert time.monotonic() < deadline, f"never {status}"
        time.sleep(0.05)


def test_keys_come_and_go_without_a_restart(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    kept = add_key(keys_file, "read")
    client = guarded()

    late = add_key(keys_file, "read")
    wait_until(lambda: client.get("/predictions", headers=late).status_code, 200)
    late_id = read_keys(keys_file)[1].id
    assert invoke("keys", "revoke", late_id, keys_file=keys_file).returncode == 0
    wait_until(lambda: client.get("/predictions", headers=late).status_code, 401)

    assert client.get("/predictions", headers=kept).status_code == 200


def test_a_key_that_is_revoked_through_a_link_is_revoked_in_the_file(
    tmp_path: Path, keys_file: Path
) -> None:
    add_key(keys_file, "read")
    link = tmp_path / "elsewhere" / "keys.json"
    link.parent.mkdir()
    link.symlink_to(keys_file)

    assert invoke("keys", "--file", str(link), "revoke", read_keys(keys_file)[0].id).stdout
    assert read_keys(keys_file) == []
    assert link.is_symlink()


def test_a_file_that_breaks_rejects_all_requests_until_it_is_repaired(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    key = add_key(keys_file, "read")
    client, whole = guarded(), keys_file.read_bytes()

    keys_file.write_bytes(whole[:-20])
    wait_until(lambda: client.get("/predictions", headers=key).status_code, 503)
    assert client.get("/readyz").status_code == 503
    keys_file.write_bytes(whole)

    wait_until(lambda: client.get("/predictions", headers=key).status_code, 200)


def look_again(keyring: ApiKeys) -> None:
    """Ask as if a second had passed."""
    keyring._next_check = 0.0
    keyring.check()


def test_a_file_that_could_not_be_read_for_a_while_is_read_again_though_it_did_not_change(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = add_key(keys_file, "read")["Authorization"].removeprefix("Bearer ").encode()
    keyring = ApiKeys(keys_file)
    keys_file.touch()

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "denied")))
        with pytest.raises(KeysFileError):
            look_again(keyring)
        with pytest.raises(KeysFileError):
            keyring.authenticate(text)
    look_again(keyring)

    assert keyring.authenticate(text) is not None


def test_a_change_of_mode_alone_is_noticed(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(keys_file, "read")
    keyring = ApiKeys(keys_file)

    keys_file.chmod(0o000)
    # Root may read it all the same.
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "denied")))
    with pytest.raises(KeysFileError):
        look_again(keyring)


STRANGE = {
    "nested": "[" * 200_000,
    "a list for an id": json.dumps({"keys": [{
        "id": ["x"], "name": "", "roles": ["read"], "sha256": "0" * 64, "created_at": ""}]}),
    "a number for a name": json.dumps({"keys": [{
        "id": "a", "name": 1, "roles": ["read"], "sha256": "0" * 64, "created_at": ""}]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
def test_a_file_that_becomes_invalid_rejects_all_requests(keys_file: Path, kind: str) -> None:
    text = add_key(keys_file, "read")["Authorization"].removeprefix("Bearer ").encode()
    keyring = ApiKeys(keys_file)

    keys_file.write_text(STRANGE[kind])
    with pytest.raises(KeysFileError, match=r"cardiowatch keys"):
        look_again(keyring)
    with pytest.raises(KeysFileError):
        keyring.authenticate(text)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"keys": [{}]}', '{"keys": 1}',
     '{"keys": [{"id": "a", "name": "", "roles": ["root"], "sha256": "00", "created_at": ""}]}'],
)  # fmt: skip
def test_a_file_that_is_not_a_keys_file_is_rejected_at_the_start(
    keys_file: Path, model_dir: Path, content: str
) -> None:
    keys_file.write_text(content)

    with pytest.raises(KeysFileError, match=r"cardiowatch keys"):
        ApiKeys(keys_file)


def test_a_file_that_an_editor_saved_with_its_mark_is_read_and_a_wrong_key_is_named(
    keys_file: Path,
) -> None:
    add_key(keys_file, "read")
    add_key(keys_file, "admin")
    text = keys_file.read_text()
    keys_file.write_text("\ufeff" + text)
    assert len(read_keys(keys_file)) == 2

    keys_file.write_text(text.replace('"admin"', '"boss"'))
    with pytest.raises(KeysFileError, match="key 2"):
        read_keys(keys_file)


def test_the_service_does_not_start_without_its_keys(model_dir: Path, keys_file: Path) -> None:
    ended = run("-m", "api", model_dir=model_dir, keys_file=keys_file)

    assert ended.returncode == 4
    assert "cardiowatch keys create" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_program_prints_a_key_once_and_lists_without_it(keys_file: Path) -> None:
    made = invoke(
        "keys", "create", "--name", "ward 3", "--roles", "predict,read",
        keys_file=keys_file,
    )  # fmt: skip
    key = made.stdout.strip()
    listed = invoke("keys", "list", keys_file=keys_file).stdout

    found = ApiKeys(keys_file).authenticate(key.encode())
    assert found is not None
    assert found.roles == ("predict", "read")
    assert found.id in listed
    assert "ward 3" in listed
    assert key not in listed + made.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["revoke", "12345678"], "no such key"),
        (["create", "--name", "a", "--roles", "root"], ", ".join(ROLES)),
        (["create", "--name", "a\nb", "--roles", "read"], "printable"),
    ],
)
def test_what_the_program_cannot_do_it_says(
    keys_file: Path, arguments: list[str], says: str
) -> None:
    add_key(keys_file, "read")
    ended = invoke("keys", *arguments, keys_file=keys_file)

    assert ended.returncode != 0
    assert says in ended.stderr


def test_a_name_that_was_written_by_hand_forges_no_line_of_the_list(keys_file: Path) -> None:
    with edit_keys(keys_file) as keys:
        keys.append(create_key("wärd\n\x1b[2K12345678  admin", ("read",))[0])
    listed = invoke("keys", "list", keys_file=keys_file).stdout

    assert len(listed.splitlines()) == 1
    assert r"\n\x1b[2K12345678" in listed
