"""What the image's environment tells the application."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Settings:
    """Values baked into the image at build."""

    version: str
    commit_sha: str
    page_secret: str = field(repr=False)  # Must not reach a log through a printed object.

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; an empty variable counts as one that is not there."""
        return cls(
            version=environ.get("APP_VERSION") or UNKNOWN,
            commit_sha=environ.get("COMMIT_SHA") or UNKNOWN,
            page_secret=environ.get("PAGE_SECRET") or "",
        )
