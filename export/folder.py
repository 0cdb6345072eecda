"""A folder that is either there and whole, or not there at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from export.errors import BundleExists


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write into, and rename it to the target once the caller is done.

    Args:
        target: ``<models>/<name>/<version>``.

    Raises:
        BundleExists: The target is there already. A version, once written, never changes.
    """
    if target.exists():
        raise BundleExists(
            f"{target.parent.name} version {target.name} is already there, and a version never "
            "changes: leave --version out to write the next one."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # The dot keeps a half-written bundle from being taken for a version.
    draft = Path(mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
