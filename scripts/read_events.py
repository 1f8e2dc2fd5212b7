"""Reads event files with TensorBoard's own reader, as a check of what the `TensorBoard` callback writes.

    TIDEGATE_KEEP_EVENTS=/tmp/events cargo test --release -p rnn-model --test callbacks event_files
    python scripts/read_events.py /tmp/events        (needs `pip install tensorboard`)

Prints every tag with its steps and values, and fails where a folder has none.
"""

import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

def shown(array):
    """A number, or of a histogram its range and how many values it counts."""
    if array.ndim == 0:
        return float(array)
    left, right, counts = array.T
    return f"{int(counts.sum())} values from {left[0]:.4g} to {right[-1]:.4g} in {len(counts)} intervals"


for part in ("train", "validation"):
    events = EventAccumulator(str(Path(sys.argv[1]) / part))
    events.Reload()
    tags = events.Tags()["tensors"] + events.Tags()["scalars"]
    if not tags:
        sys.exit(f"{part}: no numbers")
    print(part)
    for tag in events.Tags()["scalars"]:
        print(f"  {tag}: {[(e.step, e.value) for e in events.Scalars(tag)]}")
    for tag in events.Tags()["tensors"]:
        plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
        values = [(e.step, shown(tensor_util.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        print(f"  {tag} ({plugin}): {values}")
