"""Sparse coding and dictionary learning of data that is larger than memory, on many machines."""

from sparsedef.streams.batch_encoder import BatchEncoder
from sparsedef.streams.codes import CodeRows, StoredCodes, read_codes
from sparsedef.streams.coding import Coding
from sparsedef.streams.encode import encode
from sparsedef.streams.learn import learn
from sparsedef.streams.sources import Signals, open_signals

__all__ = [
    "BatchEncoder",
    "CodeRows",
    "Coding",
    "Signals",
    "StoredCodes",
    "encode",
    "learn",
    "open_signals",
    "read_codes",
]
