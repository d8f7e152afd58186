"""The columns that several tables share: one name for one list."""

MODEL = ["dataset", "model"]
NETWORK = [*MODEL, "compression"]
PLACE = ["platform", *MODEL]
DEPLOYED = ["platform", *NETWORK]
STORED = [*DEPLOYED, "format"]
# Everything about a configuration but its tuning.
SCHEDULED = [*STORED, "primitive"]
VARIANT = ["compression", "primitive", "format", "tuning"]
CONFIGURATION = [*MODEL, *VARIANT, "platform"]

LATENCY = ["latency_ms", "latency_ms_low", "latency_ms_high"]
SPEEDUP = ["speedup", "low", "high"]

# The roles of samples that are not a peer's, see `dlas.hardware.timing`.
MEASURED, AA_REPLICATE, REFERENCE = "measured", "aa_replicate", "reference"
