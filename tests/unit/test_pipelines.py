"""Named pipelines are text that `nnc-opt` parses to the same passes."""

import pytest
from xdsl.utils.arg_spec import parse_pipeline

from nnc.errors import CompileError
from nnc.pipelines import (
    PIPELINES,
    PipelineOptions,
    Stage,
    expand,
    steps,
    stop_after,
    to_text,
)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("target", ["avx2", "avx512+avx512vnni-f16c"])
def test_pipeline_printed_and_parsed_is_the_same(name: str, target: str):
    specs = tuple(s.spec for s in steps(name, PipelineOptions(target)))
    assert specs
    assert tuple(parse_pipeline(to_text(specs))) == specs


def test_expand_spells_named_pipelines_out_between_passes():
    specs = expand("dce,nnc-default{target=avx2},cse")
    named = tuple(s.spec for s in steps("nnc-default", PipelineOptions("avx2")))
    assert [s.name for s in specs] == ["dce", *(s.name for s in named), "cse"]
    assert specs[1:-1] == named


def test_expand_uses_the_default_options_where_the_text_gives_none():
    defaults = PipelineOptions("generic")
    named = tuple(s.spec for s in steps("nnc-default", defaults))
    assert expand("nnc-default", defaults=defaults) == named
    assert expand("nnc-default{target=avx2}", defaults=defaults) != named


def test_stop_after_keeps_a_prefix_of_the_pipeline():
    everything = steps("nnc-default", PipelineOptions())
    lengths: list[int] = []
    assert steps("nnc-nn", PipelineOptions()) == stop_after(everything, Stage.NN)
    for stage in Stage:
        kept = stop_after(everything, stage)
        assert kept == everything[: len(kept)]
        assert all(s.stage is not stage for s in everything[len(kept) :])
        lengths.append(len(kept))
    assert lengths[0] == 0
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == len(everything)


def test_expand_stops_named_pipelines_only():
    assert [s.name for s in expand("dce,nnc-default,cse", stop=Stage.IMPORT)] == [
        *("dce", "cse")
    ]


def test_unknown_names_and_options_are_refused():
    with pytest.raises(CompileError, match="unknown pipeline 'x'; known are: nnc-def"):
        steps("x", PipelineOptions())
    with pytest.raises(CompileError, match="has no option 'cpu'; it has: target"):
        expand("nnc-default{cpu=zen}")
