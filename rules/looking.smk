# To look at a study in a folder that cannot be written to, such as another user's: its plan, summary and report.

import atexit
import shutil
from contextlib import suppress
from tempfile import mkdtemp

RECORDS = Path(".snakemake")


def look_at(folder, place):
    """Fill the folder `place` with links to all in `folder`, for a Snakemake that keeps its locks there."""
    (place / RECORDS).mkdir()
    # Snakemake does without its records if it cannot read them.
    readable = all(os.access(file, os.R_OK) for file in records())
    for path in folder.iterdir():
        if path.name in ("results", "plots"):
            # Snakemake plans no job whose outputs it cannot write to, unless they are links.
            with suppress(shutil.Error):  # a folder that cannot be read
                shutil.copytree(path, place / path.name, copy_function=link)
        elif path.name != RECORDS.name:
            link(path, place / path.name)
    for name in ("metadata", "incomplete"):
        if readable and (folder / RECORDS / name).is_dir():
            link(folder / RECORDS / name, place / RECORDS / name)
    # Nothing that is meant to stay is written here.
    place.chmod(0o500)


def link(path, place):
    """Make a link with the time stamp of what it leads to."""
    with suppress(FileNotFoundError):  # a link that leads nowhere
        time = os.stat(path).st_mtime_ns
        os.symlink(path, place)
        os.utime(place, ns=(time, time), follow_symlinks=False)


def remove(place):
    """Remove the folder of links, and nothing that they lead to."""
    for folder, _, _ in os.walk(place):
        os.chmod(folder, 0o700)
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
