"""Platforms: the target, the connection, and whether this host can run the code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tvm.target import Target, codegen

from dlas.errors import StudyError, unknown
from dlas.hardware import gpu, host
from dlas.primitives.instruction_sets import extension
from dlas.primitives.vector import native
from dlas.status import OK, UNREACHABLE, UNSUPPORTED, because

DTYPES = ("float32", "float16", "int8")

# Without a GPU to ask, code is compiled for this one: it builds, but cannot run here.
_NO_CUDA = {
    "arch": "sm_80",
    "max_threads_per_block": 1024,
    "max_shared_memory_per_block": 48 << 10,
    "thread_warp_size": 32,
}


@dataclass(frozen=True)
class Platform:
    """One entry of the config's `platforms`.

    Attributes
    ----------
    name : str
        Its key.
    target : str or mapping
        "host", with every instruction of this machine; "cuda", for this machine's GPU; or a TVM
        target such as {"kind": "llvm", "mcpu": "x86-64-v3"}, limited to that CPU's instructions.
    threads : int or "all"
        Threads of a network; "all" is one per physical core.
    host : mapping, optional
        Target of the CPU beside a GPU, by default this machine's.
    linker : sequence of str
        Words of the linker's command, see `compiler.library.link`.
    connection : mapping, optional
        Connection to another machine, see `connections`; None for this machine.
    simulated : bool
        Whether an emulator runs the code; its latencies say nothing about the processor.
    cpu_model : str, optional
        The processor of the resolved platform. An opened device must have the same one; None skips
        the check.
    """

    name: str
    target: Literal["host", "cuda"] | Mapping[str, Any] = "host"
    threads: Literal["all"] | int = "all"
    host: Mapping[str, Any] | None = None
    linker: Sequence[str] = ()
    connection: Mapping[str, Any] | None = None
    simulated: bool = False
    cpu_model: str | None = None

    @property
    def kind(self) -> str:
        """TVM's device kind of the code: llvm for a CPU, else the kind of GPU."""
        if isinstance(self.target, str):
            return {"host": "llvm"}.get(self.target, self.target)
        return str(self.target["kind"])

    @property
    def fresh(self) -> bool:
        """Whether its device needs a new interpreter: a GPU driver does not survive a fork."""
        return self.kind != "llvm" and self.connection is None


def resolve(platform: Platform) -> dict[str, Any]:
    """Resolve the properties that every job of a platform needs, once for all of them.

    Returns
    -------
    dict
        "target", the complete TVM target; "threads", the number of threads; "native", for each
        dtype whether kernels compute in it without widening, see `dlas.primitives.vector.native`;
        "cpu_model", this machine's processor if the platform is this machine, else None.

    Raises
    ------
    StudyError
        For a target that does not exist.
    """
    complete = target(platform)
    return {
        "target": complete,
        "threads": threads(platform),
        "native": {dtype: native(Target(complete), dtype) for dtype in DTYPES},
        "cpu_model": host.cpu_model() if platform.connection is None else None,
    }


def resolved(
    platform: Platform, facts: Mapping[str, Any], found: Mapping[str, Any] | None = None
) -> Platform:
    """Return a platform with the facts that `resolve` recorded.

    Parameters
    ----------
    platform : Platform
        The platform of the config.
    facts : mapping
        The record of `resolve`.
    found : mapping, optional
        For jobs that measure: a record with the "cpu_model" that the platform must have.
    """
    model = found["cpu_model"] if found else None
    return replace(
        platform, target=facts["target"], threads=facts["threads"], host=None, cpu_model=model
    )


def other_machine(platform: Platform, cpu_model: str) -> str | None:
    """Check that a device is the resolved platform's machine.

    Measurements of two machines must not mix in one table.

    Parameters
    ----------
    platform : Platform
        The platform, resolved.
    cpu_model : str
        The device's processor.

    Returns
    -------
    str or None
        The reason if it is another machine.
    """
    if platform.cpu_model in (None, cpu_model):
        return None
    return (
        f"it was resolved on {platform.cpu_model!r}, this is {cpu_model!r}; allowed: a machine of "
        f"the same kind, a "
        "platform of another name, or to measure it anew with snakemake all --forcerun "
        "resolve_target"
    )


def require_same_host(platform: Platform) -> None:
    """Raise StudyError unless this machine is the resolved platform's."""
    if reason := other_machine(platform, host.cpu_model()):
        raise StudyError(f"platform {platform.name!r}: {reason}")


def threads(platform: Platform) -> int:
    """Return the number of threads that a network runs on."""
    return len(host.cores()) if platform.threads == "all" else platform.threads


def target(platform: Platform) -> dict[str, Any]:
    """Return the platform's complete TVM target.

    An explicit target keeps its attributes. Missing ones are filled in: this host's triple; the
    vector width in bits of its instructions, as TVM guesses 512 on any x86 CPU; and the number of
    cores for tuning. A GPU's target has the target of its CPU as "host".

    Raises
    ------
    StudyError
        For a kind, CPU or attribute that TVM or LLVM does not know. LLVM itself would silently
        compile for a generic CPU.
    """
    if platform.target == "host":
        return _complete(platform, _of_this_cpu())
    if platform.target == "cuda":
        return _complete(platform, _of_this_gpu() | {"host": _beside_gpu(platform)})
    described = dict(platform.target)
    if platform.host is not None:
        described["host"] = _beside_gpu(platform)
    return _complete(platform, described)


def cpu_target(platform: Platform) -> dict[str, Any]:
    """Return the complete TVM target of a platform's CPU; with a GPU, of the CPU beside it."""
    complete = target(platform)
    return complete if complete["kind"] == "llvm" else complete.get("host", _of_this_cpu())


def _of_this_cpu() -> dict[str, Any]:
    has = host.features()
    cpu = {"kind": "llvm", "mtriple": host.triple(), "mcpu": host.cpu_name()}
    implied = codegen.llvm_get_cpu_features(Target(cpu))
    wrong = sorted(feature for feature in has if has[feature] != (feature in implied))
    attributes = {"mattr": [f"{'+' if has[feature] else '-'}{feature}" for feature in wrong]}
    return cpu | attributes if wrong else cpu


def _of_this_gpu() -> dict[str, Any]:
    return {"kind": "cuda"} | (gpu.facts("cuda") or _NO_CUDA)


def _beside_gpu(platform: Platform) -> dict[str, Any]:
    return _complete(platform, _of_this_cpu() if platform.host is None else dict(platform.host))


def _complete(platform: Platform, described: dict[str, Any]) -> dict[str, Any]:
    """Fill in a target's missing attributes; raise StudyError if there is no such target."""
    if described.get("kind") == "llvm":
        described.setdefault("mtriple", host.triple())
        described.setdefault("num-cores", threads(platform))
        _check_cpu(platform.name, described)
    try:
        Target(described)
    except (ValueError, TypeError) as error:
        raise StudyError(
            f"platform {platform.name!r}: {str(error).strip().splitlines()[-1]}"
        ) from error
    if described["kind"] == "llvm":
        described.setdefault("vector-width", extension(Target(described), "float32").bits)
    return described


def _check_cpu(name: str, described: Mapping[str, Any]) -> None:
    architecture = Target({"kind": "llvm", "mtriple": described["mtriple"]})
    cpus = [str(cpu) for cpu in codegen.llvm_get_cpu_archlist(architecture)]
    if described.get("mcpu", "generic") not in cpus:
        raise unknown(f"CPU on platform {name!r}:", described["mcpu"], cpus)
    for attribute in described.get("mattr", []):
        alone = Target(
            {"kind": "llvm", "mtriple": described["mtriple"], "mattr": [f"+{attribute[1:]}"]}
        )
        if attribute[:1] not in ("+", "-") or attribute[1:] not in codegen.llvm_get_cpu_features(
            alone
        ):
            raise StudyError(
                f"platform {name!r}: unknown attribute {attribute!r}; allowed: + or - and a "
                f"feature that LLVM knows"
            )


def host_lacks(target: Mapping[str, Any]) -> list[str]:
    """Return the requirements of code compiled for `target` that this host lacks.

    Parameters
    ----------
    target : mapping
        A TVM target.

    Returns
    -------
    list of str
        The other architecture, the missing GPU, or the missing instruction-set extensions, sorted;
        empty if the code can run here.
    """
    if (kind := target["kind"]) != "llvm":
        return [] if gpu.facts(kind) else [f"a device of kind {kind}"]
    architecture, ours = (
        str(name).split("-")[0] for name in (target.get("mtriple", host.triple()), host.triple())
    )
    if architecture != ours:
        return [f"the architecture {architecture}"]
    needed = codegen.llvm_get_cpu_features(Target(dict(target)))
    return sorted(
        feature for feature, has in host.features().items() if feature in needed and not has
    )


def require_host(library: str, target: Mapping[str, Any]) -> None:
    """Raise StudyError if a library compiled for `target` cannot run here. Call it before loading.

    The library would load and then die with an illegal instruction.

    Parameters
    ----------
    library : str
        Its name, for the message.
    target : mapping
        Its TVM target.
    """
    if lacking := host_lacks(target):
        cpu = target.get("mcpu", target["kind"])
        raise StudyError(
            f"{library} was built for another CPU ({cpu}): this host ({host.cpu_name()}) lacks "
            f"{', '.join(lacking)}; "
            "allowed: libraries built for this host"
        )


def status(platform: Platform) -> str:
    """Return `ok`, or why this host cannot run the platform's code.

    A platform with a connection is always `ok`: its device is checked when it is opened.

    Raises
    ------
    StudyError
        For a target that does not exist.
    """
    described = target(platform)
    if platform.connection is not None:
        return OK
    if lacking := host_lacks(described):
        if described["kind"] == "cuda":
            return because(UNREACHABLE, "this machine has no CUDA GPU")
        return because(UNSUPPORTED, f"the host lacks {', '.join(lacking)}")
    if (granted := host.quota()) is not None and granted < 1:
        return because(UNSUPPORTED, f"a quota grants {granted:g} CPUs; allowed: 1 or more")
    if (asked := threads(platform)) > (cores := len(host.cores())):
        return because(UNSUPPORTED, f"{asked} threads asked for, the host has {cores} cores")
    return OK
