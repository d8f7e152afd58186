"""Layer 3 of the stack: model optimizations, one file each.

A technique is found by the name of its file, which has the functions of
`dlas.compression.plugin.Technique`. Its description (`PLUGIN`, see `dlas.plugins`) names the dtype
that it computes in and says whether it makes weights zero.
"""

from dlas.compression.plugin import Task, check_level, load, names, restore
