"""Whether a configuration can be run as it is; if not, one line that names the key and what is allowed."""

from collections.abc import Collection, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import relevance

from dlas import registry, study
from dlas.errors import StudyError, unknown
from dlas.plugins import LAYERS

Schema = Mapping[str, Any]

# JSON Schema's keywords in words; {} stands for the keyword's value.
MEANINGS = {
    "type": "must be a {}",
    "enum": "allowed: {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be greater than {}",
    "exclusiveMaximum": "must be less than {}",
    "minItems": "must name at least {}",
    "minProperties": "must name at least {}",
    "minLength": "must not be empty",
    "uniqueItems": "must not name anything twice",
}


def validate(config: study.Config, schema: Schema) -> None:
    """Raise a StudyError unless `config` has the shape of the JSON Schema `schema` and its names exist."""
    errors = list(Draft202012Validator(schema).iter_errors(config))
    if errors:
        raise StudyError(f"config: {_explain(max(errors, key=relevance), schema)}")
    check_names(config)


def _explain(error: ValidationError, schema: Schema) -> str:
    key = ".".join(str(part) for part in error.absolute_path) or "the top level"
    value, keyword, limit = error.instance, str(error.validator), error.validator_value
    if "propertyNames" in error.schema_path:
        return f"unknown key {value!r} in {key}; allowed: {error.schema['description']}"
    if keyword in ("additionalProperties", "unevaluatedProperties"):
        allowed = _keys(error.schema, schema)
        return f"unknown key {_join(set(value) - set(allowed))} in {key}; allowed: {_join(allowed)}"
    if keyword == "required":
        return f"{key} lacks {_join(set(limit) - set(value))}"
    if "description" in error.schema:
        return f"{key} is {value!r}; allowed: {error.schema['description']}"
    if keyword in MEANINGS:
        meaning = MEANINGS[keyword].format(_join(limit) if isinstance(limit, list) else limit)
        return f"{key} is {value!r}; {meaning}"
    return f"{key}: {error.message}"


def _keys(part: Schema, schema: Schema) -> list[str]:
    """Return the keys that a part of the schema knows, its definition's included."""
    shared = schema["$defs"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else {}
    return [*part.get("properties", {}), *shared.get("properties", {})]


def _join(names: Collection[str]) -> str:
    return ", ".join(sorted(str(name) for name in names))


def check_names(config: study.Config) -> None:
    """Raise a StudyError for a name that nothing defines and for a combination that cannot be run."""
    chosen, training = config["study"], config["models"]["training"]
    datasets, models = registry.names("dataset"), registry.names("model")
    _check("dataset", "datasets", config["datasets"], datasets)
    _check("dataset", "study.datasets", chosen["datasets"], config["datasets"])
    _check("dataset", "study.models", chosen["models"], config["datasets"])
    _check("dataset", "models.training", training, config["datasets"])
    for dataset in chosen["datasets"]:
        _check("dataset", "a training recipe (models.training)", [dataset], training)
        _check("dataset", "a choice of models (study.models)", [dataset], chosen["models"])
    for dataset, names in chosen["models"].items():
        _check("model", f"study.models.{dataset}", names, models)
    for dataset, common in training.items():
        _check("model", f"models.training.{dataset}.models", common.get("models", {}), models)
    _check_weights(config)
    _check_compression(config)
    _check_batches(config)
    _check("primitive", "study.primitives", chosen["primitives"], registry.names("primitive"))
    _check("format", "study.formats", chosen["formats"], registry.names("format"))
    _check("tuning", "study.tuning", chosen["tuning"], registry.names("tuning"))
    _check("platform", "study.platforms", chosen["platforms"], config["platforms"])
    _check("peer", "study.peers", chosen["peers"], registry.names("runtime"))
    for platform, settings in config["platforms"].items():
        _check("model", f"platforms.{platform}.models", settings.get("models", []), models)
        _check_platform(f"platforms.{platform}", settings)
    timed = {platform for platform, _, _ in study.timings(config)}
    for platform in set(chosen["platforms"]) - timed:
        taking_part = {model for _, model in study.pairs(config)}
        raise StudyError(
            f"config: platforms.{platform}.models names no model that takes part; allowed: {_join(taking_part)}"
        )
    _check_tuning(config)
    floors = config["recommendation"]["top1_floor"]
    _check("dataset", "recommendation.top1_floor", floors, config["datasets"])
    _check("dataset", "an accuracy floor (recommendation.top1_floor)", chosen["datasets"], floors)
    for number, name in config["observations"].items():
        _check("observation", f"observations.{number}", [name], registry.names("observation"))
        layer, file = study.observation_category(config, number), f"observations/{name}.py"
        _check("layer", f"layer in dlas/analysis/{file}", [layer], LAYERS)


def _check_weights(config: study.Config) -> None:
    """Check that published weights are asked for only of networks which they are of."""
    section = config["models"].get("weights", {})
    _check("dataset", "models.weights", section, config["datasets"])
    for dataset, names in section.items():
        _check("model", f"models.weights.{dataset}", names, registry.names("model"))
    for dataset, model in study.pairs(config):
        if not study.from_torchvision(config, dataset, model):
            continue
        key = f"models.weights.{dataset}.{model} is {study.PUBLISHED}"
        try:
            study.published(config, model)
        except StudyError as error:
            raise StudyError(f"config: {key}: {error}") from error
        width, stem = config["models"]["width"], study.stem(config, dataset)
        if width != 1:
            raise StudyError(f"config: {key}, so models.width must be 1; it is {width}")
        if stem != "large_input":
            raise StudyError(
                f"config: {key}, which is of networks for large images; allowed with {dataset}: "
                f"{study.TRAIN}, or a file"
            )


def _check_compression(config: study.Config) -> None:
    chosen, settings = config["study"]["compression"], config["compression"]
    techniques, models = registry.names("compression"), registry.names("model")
    _check("compression", "study.compression", chosen, techniques)
    if study.BASELINE not in chosen:
        raise StudyError(
            f"config: study.compression lacks {study.BASELINE}, which every technique is compared with"
        )
    for name in chosen:
        kinds = config["compiler"]["check"]["tolerance"]
        _check("type", f"dtype in dlas/compression/{name}.py", [study.dtype(name)], kinds)
    _check("compression", "compression.techniques", settings["techniques"], techniques)
    for name, technique in settings["techniques"].items():
        levels = technique.get("levels", [])
        names = [study.level_name(level) for level in levels]
        if levels != sorted(levels) or len(set(names)) < len(names):
            raise StudyError(
                f"config: compression.techniques.{name}.levels is {levels}; must ascend, "
                "in steps that six digits show"
            )
    tuning = settings["fine_tuning"]
    _check("dataset", "compression.fine_tuning", tuning, config["datasets"])
    for dataset, common in tuning.items():
        key = f"compression.fine_tuning.{dataset}.models"
        _check("model", key, common.get("models", {}), models)


def _check_batches(config: study.Config) -> None:
    """Check that the processes of a training can share its batches."""
    processes = config["models"]["processes"]
    for dataset, model in study.pairs(config):
        recipes = [("models.training", study.recipe(config, dataset, model))]
        for technique in config["study"]["compression"]:
            fine_tuning = study.fine_tuning(config, technique, dataset, model)
            recipes.append(("compression.fine_tuning", fine_tuning))
        for section, recipe in recipes:
            batch = recipe["batch_size"]
            if batch % processes or batch < 2 * processes:
                raise StudyError(
                    f"config: batch_size of {model} in {section}.{dataset} is {batch}; allowed with "
                    f"models.processes {processes}: a multiple of that, at least twice as large"
                )


def _check_platform(key: str, settings: Mapping[str, Any]) -> None:
    """Check what a platform must say if it is a GPU, or reached over a connection."""
    target, connection = settings["target"], settings.get("connection")
    gpu = target == "cuda" or (target != "host" and target["kind"] != "llvm")
    if "host" in settings and not gpu:
        raise StudyError(f"config: {key}.host is of no use without a GPU; allowed: a target alone")
    if connection is None:
        for name in ("boards", "simulated"):
            if name in settings:
                raise StudyError(f"config: {key}.{name} is of no use without a connection")
        return
    kinds = registry.names("connection")
    named = [kind for kind in kinds if kind in connection]
    if len(named) != 1:
        raise StudyError(
            f"config: {key}.connection names {_join(named) or 'no kind'}; allowed: one of {_join(kinds)}"
        )
    needed = list(registry.describe("connection", named[0]).settings)
    allowed = [*needed, "timeout_s"]
    if wrong := set(connection) - set(allowed):
        raise StudyError(
            f"config: unknown key {_join(wrong)} in {key}.connection; allowed: {_join(allowed)}"
        )
    if missing := set(needed) - set(connection):
        raise StudyError(f"config: {key}.connection lacks {_join(missing)}")
    if named == ["server"] and settings.get("boards", 1) > 1:
        raise StudyError(f"config: {key}.boards is {settings['boards']}; allowed with a server: 1")
    if isinstance(target, str):
        raise StudyError(
            f"config: {key}.target is {target!r}, which is this machine; allowed with a connection: a TVM target"
        )
    if gpu and "host" not in settings:
        raise StudyError(f"config: {key} lacks host, the target of the CPU beside the GPU")
    if settings["threads"] == "all":
        raise StudyError(f"config: {key}.threads is 'all'; allowed with a connection: a number")


def _check_tuning(config: study.Config) -> None:
    allowed = {
        "dataset": config["datasets"],
        "model": registry.names("model"),
        "compression": registry.names("compression"),
        "primitive": registry.names("primitive"),
        "format": registry.names("format"),
        "platform": config["platforms"],
    }
    for number, selector in enumerate(study.selectors(config)):
        key = f"tuning.select.{number}"
        for layer, names in selector.items():
            _check(layer, f"{key}.{layer}", names, allowed[layer])
        alone = {**config, "tuning": {"select": [selector]}}
        searched = any(map(study.searches, config["study"]["tuning"]))
        if searched and not study.tuned_choices(alone):
            raise StudyError(
                f"config: {key} is {config['tuning']['select'][number]}, which selects no configuration; "
                "allowed: choices that some configuration of the study makes"
            )


def _check(kind: str, key: str, names: Collection[str], allowed: Collection[str]) -> None:
    for name in names:
        if name not in allowed:
            raise StudyError(f"config: {key}: {unknown(kind, name, allowed)}")
