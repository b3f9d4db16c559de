"""`python -m deploy.compose.vault_key FILE`: make the key of all secrets, once, where it stays.

It is made inside of the volume that only the vault mounts, so it never is anywhere else. Keep a
copy of that volume: without the key no stored secret can be read again.
"""

import base64
import os
import secrets
import sys
from pathlib import Path

KEY_BYTES = 32


def make(path: Path) -> bool:
    """Make the key unless it is there; return whether it was made."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(file, "wb") as opened:
        opened.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)))
    return True


if __name__ == "__main__":
    print("made" if make(Path(sys.argv[1])) else "there already")
