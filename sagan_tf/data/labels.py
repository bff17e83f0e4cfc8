"""Arrays of labels as people store them: which array holds them, and what its values mean."""

import re
import typing

import numpy as np

from sagan_tf.system import class_names as names
from sagan_tf.system.errors import UserError

NO_LABEL = -1  # the label of an image that has none
_MEANT = re.compile(r"(^|_)(y|labels?|targets?|class(es)?|cls|categor(y|ies)|onehot|one_hot)(_|$)", re.I)
_NAMES = "class_names"  # array of text: the names of the classes
_UNKNOWN = 255  # in uint8 labels: no class, where the classes end well below
_LOOKED_AT = 64  # rows of an array that show whether it can be one-hot
_MOST = 1000  # labels may go so far beyond the number of images


class Labels(typing.NamedTuple):
    """Labels of images.

    Attributes:
      values: int32 (n,); `NO_LABEL` where an image has none.
      class_names: a name for each class.
    """

    values: np.ndarray
    class_names: tuple[str, ...]


def read(arrays: dict, count: int, choose) -> Labels:
    """The labels of `count` images among some arrays; all 0, of one class "all", if there are none.

    Understood are integers (count,) or (count, 1), the same as floats, one-hot rows (count, classes) and
    text (the names of the classes). An array `class_names` of text names the classes of numbers.

    Args:
      arrays: NumPy arrays or HDF5 datasets by name, without that of the images.
      count: number of images.
      choose: returns one name of several candidates, by the split; raises UserError if it cannot.

    Raises:
      UserError: an array that is called labels has values that are not labels.
    """
    found = {}
    candidates = {name: array for name, array in arrays.items() if _may_be_labels(name, array, count)}
    meant = [name for name in candidates if _MEANT.search(name)]
    for name in meant or candidates:
        labels = _understood(name, candidates[name])
        if labels is not None and (meant or len(np.unique(labels)) < count):  # not the images' numbers
            found[name] = labels
        elif meant:
            raise UserError(
                f"the array {_shown(name, candidates[name])}, does not hold labels: allowed are"
                " whole numbers from 0, one row of 0 and 1 an image with a single 1, and text; rename the"
                " array if it is something else"
            )
    if not meant:
        _check_none_is_meant(arrays, count)
    if not found:
        return Labels(np.zeros(count, np.int32), ("all",))
    name = choose(found)
    return _named(name, found[name], _class_names(arrays))


def _shown(name: str, array) -> str:
    return f"{name}, {array.dtype}{tuple(array.shape)}"


def _check_none_is_meant(arrays: dict, count: int) -> None:
    """Raises UserError if an array that is called labels has another length than the images."""
    for name, array in arrays.items():
        if _MEANT.search(name) and not _names_classes(name, array) and array.shape:
            raise UserError(
                f"the array {_shown(name, array)}, does not have one label for each of the {count} images;"
                " rename the array if it is something else"
            )


def _names_classes(name: str, array) -> bool:
    """Whether an array is text that names the classes, not the images."""
    return name == _NAMES or array.dtype.kind in "USO"


def _may_be_labels(name: str, array, count: int) -> bool:
    if not array.shape or array.shape[0] != count or name == _NAMES or len(array.shape) > 2:
        return False
    if _MEANT.search(name):
        return True
    return array.dtype.kind in "iufbUSO" and (len(array.shape) == 1 or array.shape[1] < count + _MOST)


def _understood(name: str, array) -> np.ndarray | None:
    """Labels as int64 (n,) or text (n,); None if the array does not hold labels."""
    if array.dtype.kind in "SO":  # bytes, or text of any length in HDF5
        array = np.asarray(array)
        if not all(isinstance(each, bytes | str) for each in array.flat):
            return None
        array = np.array([_text(name, each) for each in array.flat]).reshape(array.shape)
    if len(array.shape) == 2 and array.shape[1] > 1:
        if array.dtype.kind not in "iufb" or not _is_one_hot(np.asarray(array[:_LOOKED_AT])):
            return None
        rows = np.asarray(array)
        return rows.argmax(axis=1).astype(np.int64) if _is_one_hot(rows) else None
    values = np.asarray(array).reshape(-1)
    if values.dtype.kind == "U":
        return values
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**31)
        return values.astype(np.int64) if whole.all() else None
    if values.dtype.kind not in "iu" or (len(values) and values.max() >= 2**31):
        return None
    return values.astype(np.int64)


def _is_one_hot(rows: np.ndarray) -> bool:
    return bool((((rows == 0) | (rows == 1)).all(axis=1) & ((rows == 1).sum(axis=1) == 1)).all())


def _class_names(arrays) -> list[str]:
    array = arrays.get(_NAMES)
    if array is None or len(array.shape) != 1 or array.dtype.kind not in "USO":
        return []
    return [_text(_NAMES, each) for each in array[:]]


def _text(array_name: str, value) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise UserError(f"the array {array_name} has {bytes(value)!r}, which is not text in UTF-8") from error


def _named(array_name: str, values: np.ndarray, class_names: list[str]) -> Labels:
    if values.dtype.kind == "U":
        values = np.array([names.normal(value) for value in values])
        found, numbers = np.unique(values, return_inverse=True)
        return Labels(numbers.astype(np.int32), names.checked(map(str, found)))
    _check_range(array_name, values, max(len(values), _MOST))
    values = _without_unknown(values)
    count = int(values.max()) + 1
    if count < 1:
        raise UserError(f"the array {array_name} has the label {NO_LABEL}, which stands for none, everywhere")
    if len(class_names) >= count:
        return Labels(values.astype(np.int32), names.checked(class_names))
    return Labels(values.astype(np.int32), tuple(map(str, range(count))))


def _check_range(array_name: str, values: np.ndarray, limit: int) -> None:
    if values.min() < NO_LABEL or values.max() >= limit:
        raise UserError(
            f"the labels in {array_name} go from {values.min()} to {values.max()}; they must count from 0"
        )


def _without_unknown(values: np.ndarray) -> np.ndarray:
    """The labels with `NO_LABEL` for 255 where that stands for unknown: the others end well below it."""
    others = values[values != _UNKNOWN]
    if values.max() == _UNKNOWN and len(others) and others.max() < _UNKNOWN // 2:
        return np.where(values == _UNKNOWN, NO_LABEL, values)
    return values
