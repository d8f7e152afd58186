"""The sections of the config, in the order of config.yaml: keys, types, bounds and meanings."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from dlas import registry
from dlas.config.fields import (
    Dataset,
    Error,
    Format,
    Like,
    Model,
    Names,
    Observation,
    OneOrMore,
    Peer,
    Plain,
    Positive,
    Primitive,
    Section,
    Technique,
    Tuning,
    choice,
    optional,
    plugin_changes,
    plugin_sections,
    section,
)
from dlas.plugins import Count, Distinct, Expanded, Location, Matches, Name, Points, Text

# The source of a data set whose archive is downloaded.
DOWNLOAD = "download"
# Sources of weights; any other value is the path of a weight file.
TRAIN, PUBLISHED = "train", "imagenet1k"


class Study(Section):
    """The values that take part, layer by layer."""

    datasets: Names[Dataset] = Field(description="data sets; each has a section in `datasets`")
    models: dict[Dataset, Names[Model]] = Field(description="the models of each data set")
    compression: Names[Name] = Field(
        description="techniques and pipelines; `none`, the baseline of all others, must be one of "
        "them"
    )
    primitives: Names[Primitive] = Field(description="convolution algorithms")
    formats: Names[Format] = Field(
        description="formats of the weights; sparse ones are for techniques that make weights zero"
    )
    tuning: Names[Tuning] = Field(
        description="ways to schedule; all but `untuned` are for what `tuning.select` selects"
    )
    platforms: Names[Name] = Field(description="platforms; each has a section in `platforms`")
    peers: Annotated[list[Peer], Distinct()] = Field(
        description="runtimes in which the uncompressed networks are timed as well, on platforms "
        "whose target is `host`; `[]` for none"
    )
    strict: bool = Field(
        False,
        description="whether `snakemake all` ends with an error, after everything is written, "
        "if the status of a row is not ok",
    )


class DatasetSection(Section):
    """The settings of a data set, as its plugin lists them."""

    @model_validator(mode="after")
    def _check_download(self) -> Self:
        if getattr(self, "source", None) == DOWNLOAD:
            needed = {"mirrors", "sha256"}
            if not needed <= type(self).model_fields.keys():
                raise ValueError("it has no archive to download; source must be a path")
            if missing := sorted(needed - self.model_fields_set):
                raise PydanticCustomError("missing_keys", "", {"keys": missing})
        return self


class Recipe(Section):
    """The hyperparameters of training."""

    optimizer: Literal["sgd", "adamw"] = Field(description="sgd (Nesterov, momentum 0.9) or adamw")
    schedule: Literal["one_cycle", "cosine"] = Field(
        description="of the learning rate: one_cycle rises and falls, cosine falls"
    )
    learning_rate: Positive = Field(description="the peak of the learning rate")
    weight_decay: Annotated[float, Ge(0)] = Field(
        description="weight decay; none for biases and batch normalization"
    )
    epochs: Count = Field(description="passes over the training images")
    batch_size: Count = Field(description="images per step")
    pad_crop: Annotated[int, Ge(0)] = Field(
        description="pixels of reflected padding before a random crop; 0 switches it off"
    )
    horizontal_flip: bool = Field(description="whether half of the images are mirrored")
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = Field(
        description="share of the target that is spread over all classes"
    )
    bfloat16: bool = Field(description="whether training is in mixed precision")


RecipeChanges = optional(Recipe, "RecipeChanges")


class Training(Recipe):
    """The training recipe of a data set, and the changes for single models."""

    models: dict[Model, Annotated[Plain, Like(RecipeChanges)]] = Field(
        {}, description="the keys that differ for a model"
    )


class Models(Section):
    """Layer 2: models and neural architectures."""

    width: Annotated[Positive, Le(4)] = Field(
        description="multiplies the channels of every layer; 1 is the published network"
    )
    device: Literal["cpu", "cuda"] = Field(
        description="device of training, fine-tuning and their accuracy"
    )
    processes: Count = Field(description="processes that share each batch, with a GPU each")
    weights: dict[
        Dataset,
        dict[
            Model,
            Annotated[
                str,
                Matches(
                    rf"{TRAIN}|{PUBLISHED}|.*[^/]\.(safetensors|pth)",
                    f"{TRAIN}, {PUBLISHED}, or the path of a .safetensors or .pth file",
                ),
                Expanded(),
            ],
        ],
    ] = Field(
        {},
        description=f"where the weights of a model come from: `{TRAIN}` (the default), "
        f"`{PUBLISHED}` (torchvision's), or a file",
    )
    archive: Location | None = Field(
        None,
        description="an [archive of networks](../how-to/machines.md) from `make networks`: with it "
        "no network is trained or compressed here",
    )
    training: dict[Dataset, Annotated[Plain, Like(Training)]] = Field(
        description="the recipe of each data set"
    )


Step = Annotated[
    Annotated[Technique, Tag("<word>")]
    | Annotated[Plain, Like(plugin_changes("compression")), Tag("<value>")],
    choice("a technique, or one technique with settings", dict),
]


class Compression(Section):
    """Layer 3: model optimizations."""

    tolerance: Points = Field(
        description="percentage points of validation top-1 that the chosen level may lose"
    )
    give_up: Points = Field(
        description="percentage points of validation top-1 that a level may lose if stronger ones "
        "are to be made"
    )
    fine_tuning: dict[Dataset, Annotated[Plain, Like(optional(Training, "FineTuning"))]] = Field(
        description="keys of the recipe that differ in fine-tuning, which follows each step of "
        "pruning"
    )
    techniques: Annotated[dict[str, Plain], Like(plugin_sections("compression"))] = Field(
        description="the settings of each technique that has any"
    )
    pipelines: dict[Name, Annotated[list[Step], MinLen(1)]] = Field(
        {},
        description="techniques in steps, each applied to the network of the one before; the last "
        "step may have settings of its own, as `{int8: {epochs: 2}}`",
    )


class Tolerance(Section):
    """The largest error of a library's outputs against the framework's."""

    float32: Error = Field(description="largest error of a logit, relative to the largest logit")
    float16: Error = Field(description="norm of the error of the logits, relative to their norm")
    int8: Error = Field(description="share of the logits that differ from exact integer arithmetic")


TOP1 = (
    "percentage points that the compiled top-1 on the test split may differ from the framework's "
    "by; "
    "one image is always allowed"
)


class Top1Tolerance(Section):
    """The largest difference between a library's top-1 and the framework's."""

    float32: Points = Field(description=TOP1)
    float16: Points = Field(description=TOP1)
    int8: Points = Field(description=TOP1)


class Check(Section):
    """The comparison of each library with the framework."""

    images: Count = Field(description="test images whose logits are compared")
    tolerance: Tolerance = Field(description="by the type that the network computes in")
    top1_tolerance: Top1Tolerance = Field(description="by the type that the network computes in")


class Compiler(Section):
    """Layer 5: systems software."""

    check: Check = Field(description="how each library is compared with the framework")


class Selector(Section):
    """Names of some layers; it selects the configurations that match all of them."""

    dataset: OneOrMore[Dataset] | None = Field(None, description="data sets")
    model: OneOrMore[Model] | None = Field(None, description="models")
    compression: OneOrMore[Name] | None = Field(None, description="techniques and pipelines")
    primitive: OneOrMore[Primitive] | None = Field(None, description="primitives")
    format: OneOrMore[Format] | None = Field(None, description="formats")
    tuning: OneOrMore[Tuning] | None = Field(None, description="ways to schedule")
    platform: OneOrMore[Name] | None = Field(None, description="platforms")

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must name at least 1 layer")
        return self

    def layers(self) -> dict[str, list[str]]:
        """Return the selected names by layer."""
        return {
            layer: [names] if isinstance(names, str) else names
            for layer, names in self.plain().items()
        }


class Trials(Section):
    """The most candidates to measure."""

    layer: Count = Field(description="most candidates of a layer that are measured")
    network: Count = Field(
        description="most candidates of all layers of a network, under one primitive and format"
    )


class Measurement(Section):
    """The measurement of a candidate."""

    repeats: Count = Field(
        description="samples of a candidate, of which the lower quartile counts: "
        "disturbances make samples slower"
    )
    min_repeat_ms: Positive = Field(description="a sample is the mean over at least this long")
    timeout_s: Positive = Field(
        description="seconds after which the build or the run of a candidate is given up; "
        "where the default code takes longer than a tenth of it, ten times as long as that"
    )


class Confirmation(Section):
    """The second measurement of a layer's fastest candidates."""

    finalists: Count = Field(
        description="candidates of a layer that are measured again, in the network, beside the "
        "default"
    )
    repeats: Annotated[int, Ge(5)] = Field(
        description="samples of each; fewer than 5 cannot tell a gain from luck"
    )


class TuningSettings(Section):
    """Layer 5: the search for schedules."""

    select: Annotated[
        Annotated[Literal["all"], Tag("<word>")]
        | Annotated[list[Selector], MinLen(1), Tag("<value>")],
        choice("all, or a list of choices of layers", list, "all"),
    ] = Field(
        description="the configurations that are compiled in the other ways of `study.tuning` too"
    )
    strategy: Literal["evolutionary", "replay-trace"] = Field(
        description="how candidates are found, by MetaSchedule's names: `evolutionary`, from the "
        "fastest so far; `replay-trace`, at random"
    )
    trials: dict[Tuning, Trials] = Field(
        description="how many candidates are measured, for each way to schedule that searches"
    )
    batch: Count = Field(
        description="candidates that are built side by side and then measured one after the other"
    )
    measurement: Measurement = Field(description="of a candidate")
    confirmation: Confirmation = Field(description="of a layer's fastest candidates")


class Target(Section):
    """A TVM target."""

    model_config = ConfigDict(extra="allow")

    kind: Text = Field(
        description="TVM's name of the kind of code, such as `llvm`; other keys are TVM's"
    )


class Timing(Section):
    """The timing of a platform's libraries."""

    warmup: Annotated[int, Ge(0)] = Field(
        description="runs of each library before the first sample"
    )
    rounds: Annotated[int, Ge(2)] = Field(
        description="samples of each library; in a round each library has one turn"
    )
    min_repeat_ms: Positive = Field(description="a sample is the mean over at least this long")


class ConnectionSection(Section):
    """The settings that all connections share; plugins add their own."""

    timeout_s: Positive = Field(
        60, description="most seconds to wait for a free device and for each reply"
    )


def _connections() -> Any:
    """Return the type of a connection: a section with the key of one kind."""
    kinds = registry.all_of("connection")

    def tag(value: Any) -> str | None:
        named = [kind for kind in kinds if isinstance(value, dict) and kind in value]
        return f"<{named[0]}>" if len(named) == 1 else None

    sections: Any = [
        Annotated[
            section(f"connection_{kind}", plugin.settings, ConnectionSection), Tag(f"<{kind}>")
        ]
        for kind, plugin in kinds.items()
    ]
    union = sections[0]
    for each in sections[1:]:
        union |= each
    message = f"must have exactly one of the keys {', '.join(kinds)}"
    return Annotated[union, Discriminator(tag, "allowed", message)]


class Platform(Section):
    """A platform of layer 6."""

    label: Text | None = Field(
        None, description="the name that readers know it by; its own name by default"
    )
    target: Annotated[
        Annotated[Literal["host", "cuda"], Tag("<word>")] | Annotated[Target, Tag("<value>")],
        choice("host, cuda, or a TVM target with its kind", dict, "host", "cuda"),
    ] = Field(
        description="`host`: all that this machine has; `cuda`: its NVIDIA GPU; or a "
        "[TVM target](https://tvm.apache.org/docs/), such as `{kind: llvm, mcpu: x86-64-v3}`"
    )
    host: Target | None = Field(
        None, description="with a GPU, the target of the CPU beside it; this machine's by default"
    )
    linker: Annotated[list[Location], MinLen(1)] | None = Field(
        None, description="the command that links, as a list; ziglang's LLVM linker by default"
    )
    connection: Annotated[Plain, Like(_connections())] | None = Field(
        None, description="how another machine is reached; this machine by default"
    )
    boards: Count = Field(1, description="how many devices of the kind a tracker has")
    simulated: bool = Field(
        False, description="whether an emulator stands for the device; its times say nothing"
    )
    threads: Annotated[
        Annotated[Literal["all"], Tag("<word>")] | Annotated[Count, Tag("<value>")],
        choice("all, or a number of at least 1", int, "all"),
    ] = Field(
        description="threads of a network: a number, or `all` for one on each physical core of "
        "the fastest kind that affinity and quotas leave to the study"
    )
    models: Names[Model] | None = Field(
        None, description="the models that it takes part with; all by default"
    )
    timing: Timing = Field(description="how its libraries are timed")

    @model_validator(mode="after")
    def _check_devices(self) -> Self:
        """Check the requirements of GPUs and of devices behind a connection."""
        gpu = self.target == "cuda" or (
            isinstance(self.target, Target) and self.target.kind != "llvm"
        )
        if self.host and not gpu:
            raise ValueError("host is of no use without a GPU; allowed: a target alone")
        if not self.connection:
            for name in sorted({"boards", "simulated"} & self.model_fields_set):
                raise ValueError(f"{name} is of no use without a connection")
            return self
        if "server" in self.connection and self.boards > 1:
            raise ValueError(f"boards is {self.boards}; allowed with a server: 1")
        if isinstance(self.target, str):
            raise ValueError(
                f"target is {self.target!r}, which is this machine; "
                "allowed with a connection: a TVM target"
            )
        if gpu and not self.host:
            raise ValueError("host is missing: the target of the CPU beside the GPU")
        if self.threads == "all":
            raise ValueError("threads is 'all'; allowed with a connection: a number")
        return self


class BundledPlatform(Section):
    """A platform of layer 6 that was measured on another machine."""

    label: Text | None = Field(
        None, description="the name that readers know it by; its own name by default"
    )
    bundle: OneOrMore[Location] = Field(
        description="with it nothing is measured here: the folder of a "
        "[bundle](../how-to/machines.md); or a "
        "list of bundles of one machine, whose rounds are put together"
    )
    bundle_code: Literal["any", "same"] = Field(
        "any",
        description="whether rows of a bundle that were measured with other code take part (`any`) "
        "or are `unreachable` (`same`)",
    )
    models: Names[Model] | None = Field(
        None, description="the models that it takes part with; all by default"
    )

    @property
    def folders(self) -> list[str]:
        """The folders of the bundles."""
        return [self.bundle] if isinstance(self.bundle, str) else self.bundle


def _of_bundle(value: Any) -> str:
    bundled = isinstance(value, BundledPlatform) or (isinstance(value, dict) and "bundle" in value)
    return "<bundle>" if bundled else "<measured>"


AnyPlatform = Annotated[
    Annotated[Platform, Tag("<measured>")] | Annotated[BundledPlatform, Tag("<bundle>")],
    Discriminator(_of_bundle),
]


class BundleSettings(Section):
    """The content of the bundle that `make bundle` packs."""

    platform: Name = Field(description="the platform whose measurements are packed")


class Recommendation(Section):
    """The fastest configuration of each platform and data set that is accurate enough."""

    top1_floor: dict[Dataset, Points] = Field(
        description="percent of the test split that a recommended configuration must get right"
    )


class Config(Section):
    """config.yaml with all its overlays."""

    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = Field(
        description="seed of the splits, the initial weights and the order of training"
    )
    study: Study = Field(description="what takes part, layer by layer")
    datasets: Annotated[dict[str, Plain], Like(plugin_sections("dataset", DatasetSection))] = Field(
        description="layer 1: data sets and problem spaces"
    )
    models: Models = Field(description="layer 2: models and neural architectures")
    compression: Compression = Field(description="layer 3: model optimizations")
    compiler: Compiler = Field(description="layer 5: how libraries are checked")
    tuning: TuningSettings = Field(description="layer 5: how schedules are found")
    platforms: dict[Name, AnyPlatform] = Field(description="layer 6: hardware")
    bundle: BundleSettings = Field(description="what `make bundle` packs")
    observations: dict[
        Annotated[str, Matches("[0-9]{2}", "numbers of two digits, in quotes")], Observation
    ] = Field(description="the observations, by their number in the report")
    recommendation: Recommendation = Field(description="what is recommended")
