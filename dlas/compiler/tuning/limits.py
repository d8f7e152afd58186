"""Time limits for building and running a candidate."""

# Limit for default code, while nothing is known of the machine's speed.
DEFAULT_TIMEOUT_S = 600.0
# Limit for a candidate in units of the default code's time.
SLOWER = 10


class TimeLimit:
    """The time limit for building or running a candidate, in proportion to the default code's time.

    Parameters
    ----------
    timeout_s : float
        Minimum limit in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.default_s: float | None = None

    def default_took(self, seconds: float) -> None:
        """Record how many seconds the default code of a layer took."""
        self.default_s = max(seconds, self.default_s or 0.0)

    @property
    def seconds(self) -> float:
        """The limit in seconds."""
        if self.default_s is None:
            return DEFAULT_TIMEOUT_S
        return max(self.timeout_s, SLOWER * self.default_s)
