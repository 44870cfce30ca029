"""Reads and writes tar archives with Python's tarfile: the other side of the interop tests of archives.

usage: python tools/check_tar.py read ARCHIVE...
       python tools/check_tar.py write ENTRIES.json OUT_DIR

read   prints one JSON line for each archive: {"file", "ok", "entries": [{name, type, size, mode, mtime, uid, gid, sha256}]},
       or {"file", "ok": false, "error"}; .tar and .tar.gz are told apart by their content.
write  ENTRIES.json is a list of {name, type, text, target, mtime, comment}; type is file (default), folder, symlink, hardlink or
       fifo; `name` is escaped as os.fsencode does, so that it may hold any byte; `comment` becomes a global header. Writes
       OUT_DIR/{ustar,pax,gnu}.tar and .tar.gz, and prints the list of those that could be written.
"""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}
TYPES = {
    "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE,
}
KINDS = {value: key for key, value in TYPES.items()} | {tarfile.AREGTYPE: "file"}


def read(path):
    """Everything that tarfile finds in an archive."""
    entries = []
    try:
        with tarfile.open(path, "r:*", errorlevel=2) as archive:
            for member in archive:
                content = archive.extractfile(member).read() if member.isreg() else b""
                if member.isreg() and len(content) != member.size:
                    raise tarfile.ReadError("unexpected end of data")
                entries.append({
                    "name": member.name, "type": KINDS.get(member.type, "other"), "size": member.size, "mode": member.mode,
                    "mtime": member.mtime, "uid": member.uid, "gid": member.gid, "sha256": hashlib.sha256(content).hexdigest(),
                })
        return {"file": str(path), "ok": True, "entries": entries}
    except Exception as error:
        return {"file": str(path), "ok": False, "error": f"{type(error).__name__}: {error}"}


def write(entries, path, mode, format_):
    """Writes the entries in one format."""
    comments = {f"comment{i}": entry["comment"] for i, entry in enumerate(entries) if "comment" in entry}
    with tarfile.open(path, mode, format=FORMATS[format_], pax_headers=comments) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry["name"])
            info.type = TYPES[entry.get("type", "file")]
            info.mtime = entry.get("mtime", 0)
            info.linkname = entry.get("target", "")
            content = entry.get("text", "").encode()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_all(entries, out):
    """Writes the entries in every format that can hold them."""
    written = []
    for format_ in FORMATS:
        for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
            path = out / (format_ + suffix)
            try:
                write(entries, path, mode, format_)
                written.append(path.name)
            except ValueError:
                # A name that is too long for ustar.
                path.unlink(missing_ok=True)
    return written


def main(command, *args):
    if command == "read":
        for path in args:
            print(json.dumps(read(path)), flush=True)
    else:
        entries, out = args
        print(json.dumps(write_all(json.loads(Path(entries).read_text()), Path(out))))


if __name__ == "__main__":
    main(*sys.argv[1:])
