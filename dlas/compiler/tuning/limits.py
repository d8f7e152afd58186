"""How long a candidate may take before it is given up."""

# For default code, while nothing is known of the machine's speed.
DEFAULT_TIMEOUT_S = 600.0
# A candidate may take this many times as long as the default code.
SLOWER = 10


class TimeLimit:
    """The limit for the build or the run of a candidate, which scales with the default code's time.

    Parameters
    ----------
    timeout_s : float
        The least limit in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.default_s: float | None = None

    def default_took(self, seconds: float) -> None:
        """Record how long the default code of a layer took."""
        self.default_s = max(seconds, self.default_s or 0.0)

    @property
    def seconds(self) -> float:
        """The limit in seconds."""
        if self.default_s is None:
            return DEFAULT_TIMEOUT_S
        return max(self.timeout_s, SLOWER * self.default_s)
