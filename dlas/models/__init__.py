"""Layer 2 of the stack: the neural architectures, one file each, and their training.

The name of an architecture is the name of its file, which has the function of
`dlas.models.plugin.Architecture`.
"""

from dlas.models.architecture import STEMS, build, build_for, check_size
