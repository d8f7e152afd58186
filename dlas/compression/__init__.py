"""Layer 3 of the stack: model optimizations, one file each.

The name of a technique is the name of its file, which has the functions of
`dlas.compression.plugin.Technique`. Its description (`PLUGIN`, see `dlas.plugins`) names the dtype
that it computes in and says whether it creates zero weights.
"""

from dlas.compression.plugin import Task, check_level, load, names, restore
