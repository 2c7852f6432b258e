"""Where a page comes from: the commit of the code and the settings."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CODE: Final = ("pipeline", "stages", "storage", "params.yaml")
"""What a report depends on beside the data: code and settings."""

N_SHA_DIGITS: Final = 12
"""As many digits of a commit are shown."""


@dataclass(frozen=True)
class Commit:
    """A state of ``CODE``."""

    sha: str
    """Its first ``N_SHA_DIGITS`` digits."""
    date: str
    """Date of the commit, YYYY-MM-DD."""
    changed: tuple[str, ...]
    """Files of ``CODE`` that differ from the commit or are new."""


def last_commit(root: Path) -> Commit | None:
    """The last commit that changed ``CODE``; None outside a repository that has it.

    Notes
    -----
    Stores and results hold no date, so that equal inputs give equal bytes; the page has that of the
    commit instead. Commits of anything else, such as docs or ``dvc.lock``, do not count: the page
    stays the same, byte for byte, as long as the code, the settings and the results do. DVC knows
    nothing of commits: it rewrites the page when the content of a dependency changes, and the page
    names the commit at which it was written.
    """
    if shutil.which("git") is None:
        return None
    # The full digest: how far git abbreviates it depends on the repository.
    logged = _git(root, "log", "-1", "--format=%H %cs", "--", *CODE)
    if not logged:
        return None
    sha, date = logged.split()
    tracked = _git(root, "diff", "--name-only", "--relative", "-z", "HEAD", "--", *CODE)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE)
    changed = sorted(filter(None, (tracked + new).split("\0")))
    return Commit(sha[:N_SHA_DIGITS], date, tuple(changed))


def _git(root: Path, *arguments: str) -> str:
    """Output of git; empty if it refuses, as it does outside a repository."""
    # No lock on the index, which another process may be using.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
