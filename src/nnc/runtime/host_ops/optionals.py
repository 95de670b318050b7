"""Optionals: an element, or None where there is none."""

from __future__ import annotations

import numpy as np

from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import UNKNOWN, HostType, optional, tensor
from nnc.runtime.host_ops.values import HostOpError, HostValue


def _optional_types(call: TypeCall) -> HostType:
    if call.has(0):
        return optional(call.input(0))
    declared = call.attributes.get("type")
    return optional(declared if isinstance(declared, HostType) else None)


@host_op("Optional", since=15, types=_optional_types)
def _optional(call: Call) -> HostValue:
    return call.value(0)


def _element_types(call: TypeCall) -> HostType:
    wrapped = call.input(0)
    return (wrapped.element or UNKNOWN) if wrapped.kind == "optional" else wrapped


@host_op("OptionalGetElement", since=15, types=_element_types)
def _get_element(call: Call) -> HostValue:
    if not call.has(0):
        raise HostOpError("the optional has no element")
    return call.value(0)


def _has_element_types(call: TypeCall) -> HostType:
    return tensor("bool", ())


@host_op("OptionalHasElement", since=15, types=_has_element_types)
def _has_element(call: Call) -> HostValue:
    return np.array(call.has(0))


def _identity_types(call: TypeCall) -> HostType:
    return call.input(0)


@host_op("Identity", types=_identity_types)
def _identity(call: Call) -> HostValue:
    return call.value(0)
