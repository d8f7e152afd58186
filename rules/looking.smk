# To look at a study in a folder that cannot be written to, such as another user's: its plan, summary and report.

import atexit
import shutil
from contextlib import suppress
from tempfile import mkdtemp

RECORDS = Path(".snakemake")


def look_at(folder, place):
    """Fill the folder `place` with links to all in `folder`, for a Snakemake that keeps its locks there."""
    (place / RECORDS).mkdir()
    found = [path for path in folder.iterdir() if path.name != RECORDS.name]
    # Snakemake does without those that it cannot read.
    if all(os.access(file, os.R_OK) for file in records()):
        found += [RECORDS.absolute() / name for name in ("metadata", "incomplete")]
    for path in found:
        if path.exists():
            link = place / path.relative_to(folder)
            link.symlink_to(path)
            os.utime(link, ns=(path.stat().st_mtime_ns,) * 2, follow_symlinks=False)
    # Nothing that is meant to stay is written here.
    place.chmod(0o500)


def remove(place):
    """Remove the folder of links, and nothing that they lead to."""
    place.chmod(0o700)
    shutil.rmtree(place)


def records():
    """The files in which Snakemake keeps what made each artifact."""
    return [path for path in (RECORDS / "metadata").rglob("*") if path.is_file()]


def share_records():
    """Let those read the records whom the umask allows to; Snakemake makes them for the owner and the group alone."""
    umask = os.umask(0o077)
    os.umask(umask)
    for file in records():
        # Some may be of another user who shares the folder.
        with suppress(OSError):
            file.chmod(0o666 & ~umask)


LOOKED_AT = None
if workflow.is_main_process and not os.access(RECORDS if RECORDS.exists() else ".", os.W_OK):
    LOOKED_AT, links = Path.cwd(), Path(mkdtemp(prefix="dlas-"))
    atexit.register(remove, links)
    look_at(LOOKED_AT, links)
    os.chdir(links)
