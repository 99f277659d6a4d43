"""Pack outputs that are too much for one letter: gzip, or a zip where there are many files.

The same outputs give the same files, so that a crash costs nothing but time: neither holds a time
or an owner. They lie among the spool's letters, named after the job, as long as it is kept.
"""

import hashlib
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from mailgate import crash
from mailgate.model import Job, Member, Method, Parcel, Stream, StreamRole
from mailgate.reply.attachments import mail_names
from mailgate.reply.mime import BLOCK
from mailgate.reply.streams import OpenStream, blocks_of, changed, opened, opened_for
from mailgate.spool.files import durable, sync_folder

MANY = 10
"""More files than this go into one zip: nobody saves attachments by the dozen."""

_WORTH = 0.9
"""Packed that is not smaller than this part of it, a stream stays as it is."""

_SMALL = 4 << 10
"""What is smaller stays as it is: it is read without any tool."""

_SAMPLE = 64 << 10
_FIRST = 16 << 10
_BIG = 16 << 20
_LEVEL = 6
_GZIP = 31
"""zlib's word for a gzip header, without time stamp, around the largest window."""

_LOCAL_HEADER = 30
ZIP = "outputs.zip"


class Packer:
    """Packs outputs of one job; ``folder`` is that of the spool's letters."""

    def __init__(self, folder: Path, job: Job, open_stream: OpenStream) -> None:
        self._folder = folder
        self._job = job
        self._open = open_stream

    def pack(self, chosen: Sequence[int]) -> list[Parcel]:
        """Return the chosen streams as parcels, in order; the packed ones' files are durable.

        Raises
        ------
        Changed
            A stream is not what was recorded.
        OSError
            A file cannot be written.
        """
        files = [n for n in chosen if self._job.streams[n].role is StreamRole.FILE]
        alone = [n for n in chosen if n not in set(files)] if len(files) > MANY else list(chosen)
        parcels = [self._single(n) for n in alone]
        if len(files) > MANY:
            parcels.append(self._zip(files))
        # What is small is all in the first letter, whatever comes of the rest.
        parcels.sort(key=lambda parcel: parcel.size > _FIRST)
        names = mail_names(parcel.name for parcel in parcels)
        return [
            Parcel(
                name=name,
                size=one.size,
                sha256=one.sha256,
                members=one.members,
                file=one.file,
            )
            for name, one in zip(names, parcels, strict=True)
        ]

    def likely(self, chosen: Sequence[int], room: int) -> list[int]:
        """Return those streams that may fit into ``room`` bytes, by a look at some of each.

        Nobody waits for gigabytes to be packed that no mails carry.
        """
        likely: list[int] = []
        for number in chosen:
            stream = self._job.streams[number]
            # What the sample does not tell is given the benefit of the doubt.
            guess = int(stream.size * self._ratio(stream) * 0.8) if stream.size > _BIG else 0
            if guess <= room:
                likely.append(number)
                room -= guess
        return likely

    def _single(self, number: int) -> Parcel:
        stream = self._job.streams[number]
        packed = self._gzip(stream) if self._pays(stream) else None
        if packed is None:
            member = Member(stream=number, at=0, size=stream.size)
            name, sha256 = stream.name, stream.sha256
            return Parcel(name=name, size=stream.size, sha256=sha256, members=(member,))
        size, sha256 = _summed(packed)
        member = Member(stream=number, at=0, size=size, method=Method.GZIP)
        name = f"{stream.name}.gz"
        return Parcel(name=name, size=size, sha256=sha256, members=(member,), file=packed.name)

    def _pays(self, stream: Stream) -> bool:
        """Tell whether a stream gets smaller by enough to be worth it."""
        return stream.size >= _SMALL and self._ratio(stream) < _WORTH

    def _ratio(self, stream: Stream) -> float:
        """Guess from its beginning, middle and end how small a stream gets, 1 if not at all."""
        raw = packed = 0
        with closing(opened(stream, self._open)) as source:
            for offset in sorted({0, stream.size // 2, max(0, stream.size - _SAMPLE)}):
                block = b"".join(blocks_of(stream, source, offset, _SAMPLE))
                raw += len(block)
                packed += len(zlib.compress(block, _LEVEL))
        return min(packed / raw, 1.0) if raw else 1.0

    # --- files ------------------------------------------------------------------------------------

    def _gzip(self, stream: Stream) -> Path | None:
        """Return the stream's gzip file; None if it is hardly smaller."""
        path = self._path(stream.sha256, ".gz")
        if not path.exists():
            with durable(self._draft(path)) as file:
                packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
                for block in self._checked(stream):
                    file.write(packer.compress(block))
                file.write(packer.flush())
            self._keep(path)
        if path.stat().st_size < stream.size * _WORTH:
            return path
        path.unlink()
        return None

    def _zip(self, numbers: Sequence[int]) -> Parcel:
        streams = [self._job.streams[number] for number in numbers]
        told = "".join(f"{stream.name}\0{stream.sha256}\0" for stream in streams)
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        path = self._path(digest, ".zip")
        if not path.exists():
            with durable(self._draft(path)) as file, zipfile.ZipFile(
                file, "w", compresslevel=_LEVEL
            ) as archive:  # fmt: skip
                for stream, name in zip(streams, _members(streams), strict=True):
                    self._add(archive, stream, name)
            self._keep(path)
        size, sha256 = _summed(path)
        found = zip(numbers, _places(path), strict=True)
        members = tuple(
            Member(stream=number, at=at, size=packed, method=method)
            for number, (at, packed, method) in found
        )
        return Parcel(name=ZIP, size=size, sha256=sha256, members=members, file=path.name)

    def _add(self, archive: zipfile.ZipFile, stream: Stream, name: str) -> None:
        about = zipfile.ZipInfo(name)
        about.create_system = 3
        about.external_attr = 0o644 << 16
        pays = self._pays(stream)
        about.compress_type = zipfile.ZIP_DEFLATED if pays else zipfile.ZIP_STORED
        about.file_size = stream.size
        with archive.open(about, "w") as out:
            for block in self._checked(stream):
                out.write(block)

    def _checked(self, stream: Stream) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        with closing(opened(stream, self._open)) as source:
            for block in blocks_of(stream, source):
                digest.update(block)
                size += len(block)
                yield block
        if size != stream.size or digest.hexdigest() != stream.sha256:
            raise changed(stream.name)

    def _path(self, digest: str, ending: str) -> Path:
        return self._folder / f"{self._job.id}.{digest[:24]}{ending}"

    def _draft(self, path: Path) -> Path:
        """Return where a file is written before it has its name: two letters may be composed."""
        return path.with_name(f"{path.name}.{threading.get_ident()}")

    def _keep(self, path: Path) -> None:
        crash.point("reply:packing")
        self._draft(path).replace(path)
        sync_folder(self._folder)


def _members(streams: Sequence[Stream]) -> list[str]:
    """Return what the streams are called in a zip: paths that lead nowhere else, each once."""
    names: list[str] = []
    taken: set[str] = set()
    for stream in streams:
        parts = stream.name.replace("\\", "_").replace(":", "_").split("/")
        kept = "/".join(part for part in parts if part not in ("", ".", "..")) or "output"
        name, number = kept.encode("utf-8", "replace").decode(), 2
        free = name
        while free.casefold() in taken:
            free, number = f"{number}-{name}", number + 1
        taken.add(free.casefold())
        names.append(free)
    return names


def _places(path: Path) -> list[tuple[int, int, Method]]:
    """Return where each member's bytes lie in a zip of ours, how many they are, and how packed."""
    found: list[tuple[int, int, Method]] = []
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        for about in archive.infolist():
            file.seek(about.header_offset + _LOCAL_HEADER - 4)
            lengths = file.read(4)
            behind = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            at = about.header_offset + _LOCAL_HEADER + behind
            deflated = about.compress_type == zipfile.ZIP_DEFLATED
            method = Method.DEFLATE if deflated else Method.STORED
            found.append((at, about.compress_size, method))
    return found


def _summed(path: Path) -> tuple[int, str]:
    """Return a file's size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def open_parcel(parcel: Parcel, job: Job, folder: Path, open_stream: OpenStream) -> BinaryIO:
    """Open a parcel for reading; raises Changed where it is gone."""
    stream = job.streams[parcel.members[0].stream]
    if parcel.file is None:
        return opened(stream, open_stream)
    return opened_for(stream, lambda _: (folder / str(parcel.file)).open("rb"))
