"""Pools and datasets of ZFS, by its programs: each call takes some 10 ms, so callers ask for much at once.

What the programs say becomes the OSError that a system call would give where callers tell cases apart: ENOENT, EEXIST,
EBUSY, ENOSPC. Everything else is a HostError that quotes them. Source: zfs(8), zpool(8), zfsprops(7).
"""

import errno
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lightervisor.errors import Failure, HostError
from lightervisor.kernel import modules, process, syscalls

PROGRAMS = ("zfs", "zpool")
CONTROL = Path("/dev/zfs")
_CASES = {
    "does not exist": errno.ENOENT,
    "no such pool": errno.ENOENT,
    "no pools available": errno.ENOENT,
    "already exists": errno.EEXIST,
    "is busy": errno.EBUSY,
    "out of space": errno.ENOSPC,
    "No space left": errno.ENOSPC,
    "quota exceeded": errno.EDQUOT,
}
Properties = Mapping[str, str]


def _failure(words: Sequence[str], said: str) -> Exception:
    for text, number in _CASES.items():
        if text in said:
            return OSError(number, said)
    return HostError("program", words[0], cause=said)


def _run(*words: str, timeout_s: float | None = None) -> str:
    try:
        return process.run(words, timeout_s=timeout_s).decode()
    except HostError as error:
        raise _failure(words, error.cause) from error


def _options(letter: str, properties: Properties) -> list[str]:
    return [word for key, value in properties.items() for word in (letter, f"{key}={value}")]


def is_there() -> bool:
    """Whether the kernel has ZFS, loaded now if need be."""
    if not CONTROL.exists():
        with suppress(Failure):
            modules.load(["zfs"])
    return CONTROL.exists()


# Pools


def create_pool(name: str, device: Path, properties: Properties) -> None:
    """Make a pool of one file or device, whose datasets inherit these properties."""
    _run("zpool", "create", "-m", "legacy", "-o", "cachefile=none", *_options("-O", properties), name, str(device))


def import_pool(name: str, where: Path | None = None) -> None:
    """Make a pool known that is on a file, or on any of the host's devices; nothing is mounted."""
    place = ["-f", "-d", str(where)] if where else []  # a file is in use by nobody else, whatever host made it
    _run("zpool", "import", "-N", "-o", "cachefile=none", *place, name)


def export_pool(name: str) -> None:
    """Let go of a pool, of which nothing is mounted; its file or device may be taken elsewhere then."""
    _run("zpool", "export", name)


def destroy_pool(name: str) -> None:
    """Take a pool away with all that is in it; nothing happens when it is gone."""
    try:
        _run("zpool", "destroy", "-f", name)
    except FileNotFoundError:
        return


def grow_pool(name: str, device: Path) -> None:
    """Let a pool take what its file or device has become larger by."""
    _run("zpool", "online", "-e", name, str(device))


def flush_pool(name: str) -> None:
    """Bring all that was written to disk, after which figures are true."""
    _run("zpool", "sync", name)


# Datasets and snapshots


def create(dataset: str, properties: Properties, *, parents: bool = True) -> None:
    """Make an empty dataset."""
    _run("zfs", "create", *(["-p"] if parents else []), *_options("-o", properties), dataset)


def clone(snapshot: str, dataset: str, properties: Properties) -> None:
    """Make a dataset of what a snapshot holds."""
    _run("zfs", "clone", "-p", *_options("-o", properties), snapshot, dataset)


def snapshot(name: str) -> None:
    """Keep what a dataset holds, as `dataset@name`."""
    _run("zfs", "snapshot", name)


def rename(old: str, new: str) -> None:
    """Give a dataset, mounted or not, or a snapshot another name."""
    _run("zfs", "rename", *([] if "@" in old else ["-p"]), old, new)


def promote(dataset: str) -> None:
    """Let a clone have the snapshot that it was made of, and those before; who had them becomes its clone."""
    _run("zfs", "promote", dataset)


def destroy(dataset: str) -> None:
    """Remove a dataset with its snapshots and what is below it."""
    _run("zfs", "destroy", "-r", dataset)


def destroy_snapshots(dataset: str, names: Sequence[str]) -> None:
    """Remove snapshots of a dataset; those that clones need go with the last of them."""
    _run("zfs", "destroy", "-d", f"{dataset}@{','.join(names)}")


def set_properties(dataset: str, properties: Properties) -> None:
    """Set properties, all at once."""
    _run("zfs", "set", *(f"{key}={value}" for key, value in properties.items()), dataset)


def get(dataset: str, *names: str) -> dict[str, str]:
    """Properties of one dataset: sizes in bytes, "-" for what is not set."""
    (row,) = _rows(_run("zfs", "list", "-H", "-p", "-o", ",".join(names), dataset))
    return dict(zip(names, row, strict=True))


def exists(dataset: str) -> bool:
    """Whether a dataset is there, in a pool that is known."""
    try:
        _run("zfs", "list", "-H", "-o", "name", dataset)
    except FileNotFoundError:
        return False
    return True


def tree(datasets: Sequence[str], columns: Sequence[str], types: str = "filesystem") -> list[list[str]]:
    """What is in datasets, themselves included, by rows with these columns; those that are not there have none."""
    words = ["zfs", "list", "-H", "-p", "-t", types, "-o", ",".join(columns), "-r", *datasets]
    with process.spawn(words, stdout=process.PIPE, stderr=process.PIPE) as child:
        said, complaints = child.communicate()
    missing = [line for line in complaints.decode().splitlines() if "does not exist" not in line]
    if child.returncode and (missing or not complaints):
        raise _failure(words, process.last_words("\n".join(missing).encode(), child.returncode))
    return _rows(said.decode())


def _rows(said: str) -> list[list[str]]:
    return [line.split("\t") for line in said.splitlines()]


def copy(snapshot: str, dataset: str, properties: Properties, *, since: str = "") -> None:
    """Make a dataset of a snapshot by a stream: nothing is shared, but for the snapshot `since`, whose clone it is."""
    sent = ["zfs", "send", *(["-i", since] if since else []), snapshot]
    options = [*_options("-o", properties), *(["-o", f"origin={since}"] if since else [])]
    received = ["zfs", "receive", "-u", *options, dataset]
    with process.spawn(sent, stdout=process.PIPE, stderr=process.PIPE) as sender:
        if sender.stdout is None or sender.stderr is None:
            raise RuntimeError("the stream has no pipe")
        with process.spawn(received, stdin=sender.stdout.fileno(), stderr=process.PIPE) as receiver:
            sender.stdout.close()
            _, complaints = receiver.communicate()
        complaint = sender.stderr.read()
    for words, status, text in ((sent, sender.returncode, complaint), (received, receiver.returncode, complaints)):
        if status:
            raise _failure(words, process.last_words(text, status))


# Mounts


def mount(name: str, target: Path, *, readonly: bool = False) -> None:
    """Mount a dataset or snapshot whose mount point is `legacy`, without its program. Raises OSError."""
    syscalls.mount(name, target, "zfs", syscalls.MS_RDONLY if readonly else 0, "")


def mounted() -> dict[Path, str]:
    """What of ZFS is mounted where, the uppermost last. Source: proc_pid_mountinfo(5)."""
    found: dict[Path, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words, _, rest = line.partition(" - ")
        if rest.startswith("zfs "):
            found[Path(_plain(words.split()[4]))] = _plain(rest.split()[1])
    return found


def holders(dataset: str) -> list[int]:
    """Processes, one of each mount namespace, that see a mount of a dataset or of its snapshots."""
    found: dict[str, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            seen = [line.partition(" - ")[2].split() for line in (place / "mountinfo").read_text().splitlines()]
            if any(one[0] == "zfs" and one[1].partition("@")[0] == dataset for one in seen):
                found.setdefault(str((place / "ns/mnt").readlink()), int(place.name))
        except OSError:
            continue
    return sorted(found.values())


def _plain(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
