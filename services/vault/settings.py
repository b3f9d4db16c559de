"""What can be tuned about the vault."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KEY_BYTES = 32


class Settings(BaseSettings):
    """Where the broker and the secrets are, and the key that opens them."""

    model_config = SettingsConfigDict(
        env_prefix="QM_",
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    amqp_url: str = Field(
        repr=False, description="The broker, with the vault's own user; change it with its address."
    )
    database_url: str = Field(
        repr=False,
        validation_alias=AliasChoices("QM_DATABASE_URL", "DATABASE_URL"),
        description="The database of the secrets, with the role qm_vault; change it with its"
        " address.",
    )
    vault_key_file: Path | None = Field(
        default=None,
        description="A file with 32 bytes in base64, the key of all secrets; prefer it to"
        " QM_VAULT_KEY wherever files can be mounted, since environments are easily read.",
    )
    vault_key: SecretStr | None = Field(
        default=None,
        description="The same key as text, where no file can be mounted.",
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.vault_key is None) == (self.vault_key_file is None):
            raise ValueError("set one of QM_VAULT_KEY_FILE and QM_VAULT_KEY")
        self.key()
        return self

    def key(self) -> bytes:
        """Return the key; raises ValueError, which never quotes it."""
        text = self.vault_key.get_secret_value() if self.vault_key else self._file()
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except binascii.Error:
            raise ValueError("the vault's key is not base64") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"the vault's key has {len(key)} bytes, not {KEY_BYTES}")
        return key

    def _file(self) -> str:
        path = self.vault_key_file or Path()
        try:
            return path.read_text("ascii")
        except (OSError, UnicodeError) as error:
            raise ValueError(f"{path} cannot be read: {type(error).__name__}") from None
