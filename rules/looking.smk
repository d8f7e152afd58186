# Look at a study in a read-only folder, such as another user's: its plan, summary and report.

import atexit
import shutil
from contextlib import suppress
from tempfile import mkdtemp

RECORDS = Path(".snakemake")


def look_at(folder, place):
    """Fill `place`, where Snakemake keeps its locks, with links to the content of `folder`."""
    (place / RECORDS).mkdir()
    # Snakemake works without its records if it cannot read them.
    readable = all(os.access(file, os.R_OK) for file in records())
    for path in folder.iterdir():
        if path.name in ("results", "plots"):
            # Snakemake plans no job whose outputs it cannot write to, unless they are links.
            # A folder may be unreadable.
            with suppress(shutil.Error):
                shutil.copytree(path, place / path.name, copy_function=link)
        elif path.name != RECORDS.name:
            link(path, place / path.name)
    for name in ("metadata", "incomplete"):
        if readable and (folder / RECORDS / name).is_dir():
            link(folder / RECORDS / name, place / RECORDS / name)
    # Nothing written here would stay.
    place.chmod(0o500)


def link(path, place):
    """Make a link with the time stamp of its target."""
    # The path may be a dangling link.
    with suppress(FileNotFoundError):
        time = os.stat(path).st_mtime_ns
        os.symlink(path, place)
        os.utime(place, ns=(time, time), follow_symlinks=False)


def remove(place):
    """Remove the folder of links, but not their targets."""
    for folder, _, _ in os.walk(place):
        os.chmod(folder, 0o700)
    shutil.rmtree(place)


def records():
    """Return the files in which Snakemake records how each artifact was made."""
    return [path for path in (RECORDS / "metadata").rglob("*") if path.is_file()]


def share_records():
    """Make the records as readable as the umask allows: Snakemake limits them to the group."""
    umask = os.umask(0o077)
    os.umask(umask)
    for file in records():
        # Another user who shares the folder may own the file.
        with suppress(OSError):
            file.chmod(0o666 & ~umask)


LOOKED_AT = None
if workflow.is_main_process and not os.access(RECORDS if RECORDS.exists() else ".", os.W_OK):
    LOOKED_AT, links = Path.cwd(), Path(mkdtemp(prefix="dlas-"))
    atexit.register(remove, links)
    look_at(LOOKED_AT, links)
    os.chdir(links)
