"""Columns that several tables share."""

MODEL = ["dataset", "model"]
NETWORK = [*MODEL, "compression"]
PLACE = ["platform", *MODEL]
DEPLOYED = ["platform", *NETWORK]
STORED = [*DEPLOYED, "format"]
# A configuration without its tuning.
SCHEDULED = [*STORED, "primitive"]
VARIANT = ["compression", "primitive", "format", "tuning"]
CONFIGURATION = [*MODEL, *VARIANT, "platform"]

LATENCY = ["latency_ms", "latency_ms_low", "latency_ms_high"]
SPEEDUP = ["speedup", "low", "high"]

# Roles of the samples of libraries, see `dlas.hardware.timing`; a peer's role is its name.
MEASURED, AA_REPLICATE, REFERENCE = "measured", "aa_replicate", "reference"
