"""
Classifiers whose labels are strings, as functions of classifiers of numbers.

The number of the label is computed in native code as ever; which string it stands for,
is looked up on the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onnx import AttributeProto, FunctionProto, NodeProto, helper

_ML: Final = "ai.onnx.ml"
# The attributes that hold labels: strings, and numbers in their place.
_LABELS: Final = {
    "LinearClassifier": ("classlabels_strings", "classlabels_ints"),
    "SVMClassifier": ("classlabels_strings", "classlabels_ints"),
    "TreeEnsembleClassifier": ("classlabels_strings", "classlabels_int64s"),
}
# The first version of LabelEncoder that maps numbers to strings.
_ENCODER_VERSION: Final = 2


def function_of_string_labels(
    node: NodeProto, attributes: Mapping[str, AttributeProto], opsets: Mapping[str, int]
) -> FunctionProto | None:
    """
    The function that stands for a classifier with labels that are strings.

    None if the node is no such classifier.
    """
    names = _LABELS.get(node.op_type) if node.domain == _ML else None
    if names is None or names[0] not in attributes:
        return None
    labels = list(attributes[names[0]].strings)
    if not labels:
        return None
    numbers = list(range(len(labels)))
    inputs = [f"x{i}" for i in range(len(node.input))]
    classifier = helper.make_node(
        node.op_type, inputs, ["number", "scores"], domain=_ML, name="classifier"
    )
    for name, attribute in attributes.items():
        if name not in names:
            classifier.attribute.add().CopyFrom(attribute)
            classifier.attribute[-1].name = name
    classifier.attribute.append(helper.make_attribute(names[1], numbers))
    encoder = helper.make_node(
        "LabelEncoder",
        ["number"],
        ["label"],
        domain=_ML,
        name="labels",
        keys_int64s=numbers,
        values_strings=labels,
    )
    version = max(opsets.get(_ML, 1), _ENCODER_VERSION)
    return helper.make_function(
        "",
        node.op_type,
        inputs,
        ["label", "scores"],
        [classifier, encoder],
        [helper.make_opsetid(_ML, version), helper.make_opsetid("", opsets.get("", 1))],
    )
