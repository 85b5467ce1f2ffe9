"""Makes small AEDAT 4 files (uncompressed), byte by byte, from the format's public description.

Layout: a first line, a size-prefixed FlatBuffer with the XML description of the streams, then
packets of (stream, size, size-prefixed FlatBuffer of events).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_XML = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/">
<attr key="compression" type="string">NONE</attr>
<attr key="originalModuleName" type="string">capture</attr>
<attr key="originalOutputName" type="string">events</attr>
<attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
<attr key="typeIdentifier" type="string">{kind}</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/">
<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr>
<attr key="source" type="string">DVXplorer_0</attr>
</node></node></node></dv>"""

_EVENT = np.dtype(
    {
        "names": ["t", "x", "y", "on"],
        "formats": ["<i8", "<i2", "<i2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)


def _padded(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def _header(xml: str) -> bytes:
    """IOHeader {compression: int32 = 0, dataTablePosition: int64 = -1, infoNode: string}."""
    vtable = struct.pack("<HHHHH", 10, 20, 4, 8, 16)
    start = 8 + len(_padded(vtable, 4)) + 2
    start += -(start - 4) % 8  # so that the int64 at +8 is aligned to 8 behind the size prefix
    table_at = start
    body = struct.pack("<I", table_at) + b"IOHE"
    body = body.ljust(table_at - len(vtable), b"\0") + vtable
    table = struct.pack("<iiqI", len(vtable), 0, -1, 4)
    text = xml.encode()
    data = body + table + struct.pack("<I", len(text)) + text + b"\0"
    data = _padded(data, 4)
    return struct.pack("<I", len(data)) + data


def _packet(t, x, y, on) -> bytes:
    """EventPacket {elements: [Event]}, as a stream 0 packet."""
    events = np.zeros(len(t), dtype=_EVENT)
    events["t"], events["x"], events["y"], events["on"] = t, x, y, on
    vtable = struct.pack("<HHH", 6, 8, 4)
    body = struct.pack("<I", 16) + b"EVTS" + b"\0\0" + vtable  # the table begins at 16
    table = struct.pack("<iI", len(vtable), 4)
    data = body + table + struct.pack("<I", len(events))  # events at 28 + 4 = 32: aligned
    data += events.tobytes()
    data = struct.pack("<I", len(data)) + data
    return struct.pack("<ii", 0, len(data)) + data


def write_aedat4(path: Path, t, x, y, p, *, width=128, height=128, kind="EVTS", packets=2) -> None:
    """Write events into a new AEDAT 4 file."""
    out = b"#!AER-DAT4.0\r\n" + _header(_XML.format(kind=kind, width=width, height=height))
    for part in np.array_split(np.arange(len(t)), packets):
        if len(part):
            out += _packet(*(np.asarray(v)[part] for v in (t, x, y, p)))
    path.write_bytes(out)
