"""The config: config.yaml with its overlays, checked and typed.

Importing pydantic takes a fifth of a second, so only code that plans a study imports this package.
Jobs receive plain values as parameters of their rules.
"""

from dlas.config.fields import Section
from dlas.config.files import check_file, of_command_line, read
from dlas.config.messages import typed
from dlas.config.sections import (
    DOWNLOAD,
    PUBLISHED,
    TRAIN,
    BundledPlatform,
    Config,
    Platform,
)
