"""Layer 1 of the stack: image classification data sets, one file each, in one shared form.

The name of a data set is the name of its file. Each file describes itself (`PLUGIN`, see
`dlas.plugins`) and has the function of `dlas.datasets.plugin.DatasetModule`.
"""

from dlas.datasets.dataset import SPLITS, Dataset, Normalized, Split, normalize, normalized, top1
from dlas.datasets.plugin import prepare
from dlas.datasets.splits import assemble, hold_out, split
from dlas.datasets.storage import load, save
