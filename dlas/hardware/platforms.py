"""Platforms: what a library is compiled for, and whether this host can run it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tvm.target import Target, codegen

from dlas.errors import StudyError, unknown
from dlas.hardware import host

_VECTOR_BITS = {
    "avx512f": 512,
    "avx": 256,
}  # the widest vectors that an extension brings; 128 without any


@dataclass(frozen=True)
class Platform:
    """One entry of the config's `platforms`.

    `target` is "host", which means every instruction that this machine has, or a TVM target such as
    {"kind": "llvm", "mcpu": "x86-64-v3"}, which limits the code to that CPU's instructions. `threads` is a number, or
    "all" for one on each physical core.
    """

    name: str
    target: Literal["host"] | Mapping[str, Any] = "host"
    threads: Literal["all"] | int = "all"


def threads(platform: Platform) -> int:
    """Return the number of threads that a network runs on."""
    return len(host.cores()) if platform.threads == "all" else platform.threads


def target(platform: Platform) -> dict[str, Any]:
    """Return the platform's complete TVM target.

    An explicit target keeps all that it names; what it leaves out is this host's triple, the vector width in bits
    that its instructions allow (TVM's own guess is 512 on any x86 CPU) and the number of cores that tuning may use.

    Raises a StudyError for a kind, CPU or attribute that TVM or LLVM does not know: left alone, LLVM falls back to a
    generic CPU without an error.
    """
    if platform.target == "host":
        has = host.features()
        cpu = {"kind": "llvm", "mtriple": host.triple(), "mcpu": host.cpu_name()}
        implied = codegen.llvm_get_cpu_features(Target(cpu))
        wrong = sorted(feature for feature in has if has[feature] != (feature in implied))
        described: dict[str, Any] = cpu
        if wrong:
            described["mattr"] = [f"{'+' if has[feature] else '-'}{feature}" for feature in wrong]
    else:
        described = dict(platform.target)
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
        described.setdefault("vector-width", vector_bits(described))
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
                f"platform {name!r}: unknown attribute {attribute!r}; allowed: + or - and a feature that LLVM knows"
            )


def vector_bits(target: Mapping[str, Any]) -> int:
    """Return the width in bits of the widest vectors that the instructions of a CPU target offer."""
    implied = codegen.llvm_get_cpu_features(Target(dict(target)))
    return max((bits for feature, bits in _VECTOR_BITS.items() if feature in implied), default=128)


def host_lacks(target: Mapping[str, Any]) -> list[str]:
    """Return what code compiled for `target` needs and this host does not have, sorted; empty if it can run here.

    That is the architecture where it is another one, else the missing instruction-set extensions.
    """
    if target["kind"] != "llvm":
        return [f"a device of kind {target['kind']}"]
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
    """Raise a StudyError if a library compiled for `target` cannot run here; to be called before it is loaded.

    It would load and then die with an illegal instruction.
    """
    if lacking := host_lacks(target):
        cpu = target.get("mcpu", target["kind"])
        raise StudyError(
            f"{library} was built for another CPU ({cpu}): this host ({host.cpu_name()}) lacks {', '.join(lacking)}; "
            "allowed: libraries built for this host"
        )


def status(platform: Platform) -> str:
    """Return "ok", or "unavailable: " and the reason why this host cannot run the platform's code.

    Raises a StudyError for a target that does not exist at all.
    """
    if lacking := host_lacks(target(platform)):
        return f"unavailable: the host lacks {', '.join(lacking)}"
    if threads(platform) > len(host.cores()):
        return f"unavailable: the host has {len(host.cores())} cores, the platform asks for {threads(platform)} threads"
    return "ok"
