import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelswitch.errors import UserError
from modelswitch.lineage import Lineage, ModelFolder, Replicate, Step
from modelswitch.randomness import derive_seed

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,8}", fullmatch=True)


@given(names, st.lists(st.tuples(names, names), max_size=4))
def test_a_lineage_is_read_back_as_it_was_written(first, switches):
    lineage = Lineage((Step(first), *(Step(*switch) for switch in switches)))
    assert Lineage.parse(str(lineage)) == lineage
    branch = Replicate(3, 1, 5)
    assert Replicate.parse(str(branch)) == branch


def test_the_parent_folder_is_the_teacher():
    lineage = Lineage.parse("teacher/assistant@kd/student@hint")
    assert str(lineage.parent) == "teacher/assistant@kd"
    assert [str(a) for a in lineage.ancestors()] == ["teacher/assistant@kd", "teacher"]
    place = ModelFolder("e", "d", Replicate(0), lineage)
    assert place.folder == "e/d/seed0/teacher/assistant@kd/student@hint"


@pytest.mark.parametrize(
    "text", ["", " ", "a/b", "a@t", "a/b@", "a//b@t", "../b@t", "a/b@t@u", "a b", "a/b@t/"]
)
def test_what_is_no_lineage_is_refused(text):
    with pytest.raises(UserError):
        Lineage.parse(text)


def test_seeds_of_different_streams_differ_and_stay_the_same():
    assert derive_seed(0, "teacher", "epoch", 1) == derive_seed(0, "teacher", "epoch", 1)
    streams = {derive_seed(s, n, e) for s in range(3) for n in ("a", "b") for e in range(50)}
    assert len(streams) == 300
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
