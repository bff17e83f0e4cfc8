"""Writes any source as prepared records (see `sagan_tf.data.records`)."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import typing

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.data import images, records, tfrecord
from sagan_tf.data.labels import NO_LABEL
from sagan_tf.system import files, paths
from sagan_tf.system.errors import UserError, failure_of_the_system, naming
from sagan_tf.system.progress import Progress

_STATE = "preparing.json"  # settings and identity of the source, while the records are incomplete
_IMAGES_IN_FLIGHT = 32  # for each worker


class Converted(typing.NamedTuple):
    """An image as it is to be stored."""

    data: bytes
    label: int
    short_side: int


class Shard(typing.NamedTuple):
    """What is known of a finished file."""

    file: str
    bytes: int
    sha256: str
    offsets: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray


def prepare(examples, settings: records.Settings, output: str, workers: int, report) -> records.Manifest:
    """Writes records, or goes on where an earlier call was stopped.

    Files are written under another name and renamed when complete, so each is there whole or
    not at all. Their contents depend on the examples and the settings alone, not on the
    number of workers or on interruptions.

    Args:
      examples: the source: `labels`, `class_names`, `__len__`, `get`, `describe`.
      settings: how to prepare them.
      output: directory to write to.
      workers: threads that decode and encode; Pillow's work runs outside of Python's lock.
      report: called with lines for the user.

    Raises:
      UserError: an image that cannot be read, or a directory that holds something else.
    """
    identity = examples.identify().identity
    with naming("output", output), _lock(output):
        finished = _claim(output, settings, identity)
        if finished:
            report(f"{output}: complete already, {finished.num_examples:,} images")
            return finished
        return _prepare(examples, settings, identity, output, workers, report)


@contextlib.contextmanager
def _lock(output):
    """Makes the directory and keeps other processes out of it. Raises UserError."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(output))
        except BlockingIOError:
            raise UserError("another process is preparing it") from None
        except OSError as error:
            raise UserError(f"cannot be written ({error.strerror})") from error
        yield


def _prepare(examples, settings, identity, output, workers, report):
    total = -(-len(examples) // settings.images_per_shard)
    paths = [os.path.join(output, f"images-{number:05d}-of-{total:05d}.tfrecord") for number in range(total)]
    waiting = []
    # While a file is flushed to the disk and read again, the next one is made.
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        concurrent.futures.ThreadPoolExecutor(1) as closer,
        Progress(output, len(examples), report=report, seconds_between_lines=5.0) as progress,
    ):
        try:
            for number, path in enumerate(paths):
                start = number * settings.images_per_shard
                indices = range(start, min(start + settings.images_per_shard, len(examples)))
                if not os.path.isfile(path):
                    _write_shard(
                        path, examples, indices, settings, pool, workers * _IMAGES_IN_FLIGHT, progress
                    )
                waiting.append(closer.submit(_close, path))
                progress(indices.stop)
            shards = [future.result() for future in waiting]
        except (tf.errors.OpError, OSError) as error:
            raise UserError(f"cannot be written ({failure_of_the_system(error) or error})") from error
    skipped, short_sides = [], collections.Counter()
    for path in paths:
        notes = files.read_json(_notes_path(path))
        skipped += notes["skipped"]
        short_sides.update(notes["short_sides"])
    about = records.Manifest(
        settings, list(examples.class_names), [], [], "", {}, skipped, source_identity=identity
    )
    manifest = _finish(output, about, shards, short_sides)
    report(f"{output}: {manifest.num_examples:,} images in {total} files, {len(skipped)} skipped")
    return manifest


def _claim(output, settings, identity: str) -> records.Manifest | None:
    """Makes the directory ours, or returns the manifest if the work is done. Raises UserError."""
    try:
        present = os.listdir(output)
        state = os.path.join(output, _STATE)
        if records.MANIFEST in present:
            manifest = records.read_manifest(output)
            _refuse_other(_recorded(manifest.settings, manifest.source_identity), settings, identity)
            return manifest
        if _STATE in present:
            _refuse_other(files.read_json(state), settings, identity)
        elif set(present) - {_STATE + files.PARTIAL}:
            raise UserError("holds other files; name a new or an empty directory")
        else:
            files.write(state, json.dumps(_recorded(settings, identity)))
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{state}: is damaged ({error}); remove {output}") from error
    return None


def _recorded(settings: records.Settings, identity: str) -> dict:
    return dataclasses.asdict(settings) | {"source_identity": identity}


def _refuse_other(before: dict, settings: records.Settings, identity: str) -> None:
    """Raises UserError if records were begun with other settings, or of images that have changed since."""
    now = dataclasses.asdict(settings)
    del now["source_digest"]  # names and sizes, which the identity has too
    if before.get("source_identity"):  # the images count, not their place
        is_same = before["source_identity"] == identity
        del now["source"]
    else:  # an earlier version began
        is_same = before.get("source_digest") == settings.source_digest
        if paths.same(str(before.get("source")), settings.source):
            now["source"] = before["source"]
    changed = [
        f"{key}: {before.get(key)} before, {now[key]} now" for key in now if before.get(key) != now[key]
    ]
    if changed:
        raise UserError(f"holds records of other settings ({'; '.join(changed)}); name another folder")
    if not is_same:
        raise UserError(
            "holds records of other images: the source has changed since (names, sizes or contents of files);"
            " name another folder, or remove this one"
        )


def _write_shard(path, examples, indices, settings, pool, in_flight, progress) -> None:
    skipped, short_sides = [], collections.Counter()
    with tf.io.TFRecordWriter(path + files.PARTIAL) as writer:
        for index, converted in _in_order(
            lambda index: _convert(examples, index, settings), indices, pool, in_flight
        ):
            if isinstance(converted, str):
                skipped.append([examples.describe(index), converted])
            else:
                writer.write(_serialize(converted.data, converted.label))
                short_sides[converted.short_side] += 1
            progress(index + 1)
    # Notes first: once the images are complete, the notes are too.
    notes = {"skipped": skipped, "short_sides": short_sides}
    files.write(_notes_path(path), json.dumps(notes))


def _close(path) -> Shard:
    if not os.path.isfile(path):
        files.publish(path + files.PARTIAL, path)
    return _scan(path)


def _in_order(function, indices, pool, in_flight):
    """Yields (index, function(index)) in order, the next `in_flight` under way in the pool."""
    waiting = collections.deque()
    try:
        for index in indices:
            waiting.append((index, pool.submit(function, index)))
            if len(waiting) >= in_flight:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _convert(examples, index, settings) -> Converted | str:
    """An image in the form to store, or why it cannot be read."""
    try:
        data, label = examples.get(index)
        side = images.short_side(data)
        to_square = images.square if isinstance(data, np.ndarray) else images.decode
        return Converted(_encode(to_square(data, settings.image_size), settings), int(label), side)
    except (images.BadImageError, OSError) as error:
        if settings.bad_images == "refuse":
            raise UserError(
                f"{examples.describe(index)}: {error}; mend or remove it, or leave such images out",
                option="dataset",
                value=settings.source,
                remedy={"bad_images": "skip"},
            ) from error
        return str(error)


def _encode(pixels, settings) -> bytes:
    if settings.encoding == "raw":
        return pixels.tobytes()
    file = io.BytesIO()
    options = {} if settings.encoding == "png" else {"quality": settings.quality}
    Image.fromarray(pixels).save(file, settings.encoding.upper(), **options)
    return file.getvalue()


def _serialize(data: bytes, label: int) -> bytes:
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(data)
    example.features.feature["label"].int64_list.value.append(label)
    return example.SerializeToString(deterministic=True)


def _scan(path) -> Shard:
    """Reads a finished file again, so that index and checksum describe the bytes on the disk."""
    starts, sizes = tfrecord.index(path)
    reader = tfrecord.RecordReader([path])
    offsets, lengths, labels = [], [], []
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        record = reader.read(0, start, size)
        features = tf.train.Example.FromString(record).features.feature
        data = features["image"].bytes_list.value[0]
        offsets.append(start + record.index(data))
        lengths.append(len(data))
        labels.append(features["label"].int64_list.value[0])
    return Shard(
        os.path.basename(path),
        os.path.getsize(path),
        files.sha256(path),
        np.array(offsets, np.int64),
        np.array(lengths, np.int32),
        np.array(labels, np.int32),
    )


def _notes_path(path) -> str:
    return f"{path}.notes.json"


def _finish(output, about: records.Manifest, shards, short_sides) -> records.Manifest:
    """Writes the index and the manifest: `about` with what is known of the shards."""
    labels = np.concatenate([shard.labels for shard in shards])
    if not len(labels):
        raise UserError("none of the images can be read", option="dataset", value=about.settings.source)
    index = io.BytesIO()
    np.savez(
        index,
        offsets=np.concatenate([shard.offsets for shard in shards]),
        lengths=np.concatenate([shard.lengths for shard in shards]),
        labels=labels,
    )
    index_path = os.path.join(output, records.INDEX)
    files.write(index_path, index.getvalue())
    labelled = labels[labels != NO_LABEL]
    manifest = dataclasses.replace(
        about,
        class_counts=np.bincount(labelled, minlength=len(about.class_names)).tolist(),
        shards=[
            {"file": shard.file, "examples": len(shard.labels), "bytes": shard.bytes, "sha256": shard.sha256}
            for shard in shards
        ],
        index_sha256=files.sha256(index_path),
        short_sides={side: short_sides[side] for side in sorted(short_sides, key=int)},
        unlabelled=len(labels) - len(labelled),
    )
    files.write(os.path.join(output, records.MANIFEST), manifest.to_json())
    for name in os.listdir(output):
        if name == _STATE or name.endswith((files.PARTIAL, ".notes.json")):
            os.remove(os.path.join(output, name))
    return manifest
