"""What the gateways of one installation share in a directory: signing keys, the first token."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from services.chassis.errors import Refused
from services.chassis.ids import new_id, token

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)
SIGNING_FILE, TOKEN_FILE = "signing.pem", "admin.token"
SHORTEST_TOKEN = 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DoorKeys:
    """The keys that sign tokens, the newest first; `is_first_start`: the token was just made."""

    signing: tuple[Ed25519PrivateKey, ...] = field(repr=False)
    admin_token: SecretStr
    token_file: Path
    is_first_start: bool = False


def load(directory: Path, given: SecretStr | None) -> DoorKeys:
    """Return what is kept, made if it is missing; `given` stands for the kept admin token.

    Raises Refused when a file cannot be read or made.
    """
    try:
        signing = _kept(directory / SIGNING_FILE, _new_signing)[0]
        kept = (given.get_secret_value().encode(), False) if given else None
        admin, is_new = kept or _kept(directory / TOKEN_FILE, lambda: token().encode())
    except OSError as error:
        what = f"{error.filename}: {error.strerror}"
        raise Refused(f"the gateway's keys can be neither read nor made: {what}") from error
    text = admin.decode("ascii", "replace").strip()
    if len(text) < SHORTEST_TOKEN:
        raise Refused(f"{directory / TOKEN_FILE} holds no token of {SHORTEST_TOKEN} characters")
    return DoorKeys(_signing(signing, directory), SecretStr(text), directory / TOKEN_FILE, is_new)


def announce(keys: DoorKeys, host: str, port: int, out: TextIO) -> None:
    """Tell whoever starts this for the first time where it is and what opens it.

    Only a terminal is told the token: what is written elsewhere is kept, and read by others.
    """
    if not keys.is_first_start:
        return
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    log.info("first start", url=url, kept_in=str(keys.token_file))
    if out.isatty():
        token = keys.admin_token.get_secret_value()
        out.write(f"Quartermaster is at {url}\nadmin token: {token}\n")
        out.flush()


def _signing(pem: bytes, directory: Path) -> tuple[Ed25519PrivateKey, ...]:
    found = []
    for block in _PEM.findall(pem):
        try:
            key = serialization.load_pem_private_key(block, None)
        except (ValueError, TypeError) as error:
            raise Refused(f"{directory / SIGNING_FILE} holds a key we cannot read") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Refused(f"{directory / SIGNING_FILE} holds a key that is not Ed25519")
        found.append(key)
    if not found:
        raise Refused(f"{directory / SIGNING_FILE} holds no private key")
    return tuple(found)


def _kept(file: Path, make: Callable[[], bytes]) -> tuple[bytes, bool]:
    """Return a file's content, and whether it was made now: by one of many who start at once."""
    if file.exists():
        return _read(file), False
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f".{new_id(file.name)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(make())
            opened.flush()
            os.fsync(opened.fileno())
        os.link(beside, file)
    except FileExistsError:
        return _read(file), False
    finally:
        beside.unlink()
    return _read(file), True


def _read(file: Path) -> bytes:
    if stat.S_IMODE(file.stat().st_mode) & _OTHERS:
        log.warning("others than us may read a key", file=str(file))
    return file.read_bytes()


def _new_signing() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
