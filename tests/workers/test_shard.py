"""Parts of a list of work."""

import pytest

from avct_jax import errors
from avct_jax.workers import shard


def test_each_item_is_in_one_part_and_parts_are_alike():
    items = [f"item {number}" for number in range(29)]
    for count in range(1, 40):
        parts = [shard.Shard(number, count).of(items) for number in range(1, count + 1)]
        assert sorted(item for part in parts for item in part) == sorted(items)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert shard.Shard(2, 3).of("abcdefg") == ["b", "e"] and shard.WHOLE.of("ab") == ["a", "b"]


def test_a_part_divides_into_smaller_ones():
    items = list(range(50))
    whole, small = shard.Shard(2, 3), shard.Shard(2, 3).split(4)
    assert small == [(2, 12), (5, 12), (8, 12), (11, 12)]
    assert sorted(item for part in small for item in part.of(items)) == whole.of(items)


def test_a_part_is_read_and_written():
    assert shard.parse("2/8", {}) == (2, 8) and str(shard.Shard(2, 8)) == "2/8"
    assert shard.parse(None, {}).is_whole and shard.parse("1/1", {}).is_whole
    assert not shard.parse("1/2", {}).is_whole


def array(task, first, last, count, step=None):
    found = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last}
    found |= {"SLURM_ARRAY_TASK_COUNT": count} | ({} if step is None else {"SLURM_ARRAY_TASK_STEP": step})
    return {name: str(value) for name, value in found.items()}


@pytest.mark.parametrize(
    ("text", "environment", "wanted"),
    [
        ("auto", array(1, 1, 8, 8), (1, 8)),
        ("auto", array(0, 0, 7, 8, 1), (1, 8)),
        ("auto", array(7, 0, 7, 8, 1), (8, 8)),
        ("auto", array(14, 10, 16, 4, 2), (3, 4)),
        ("auto/8", array(7, 3, 7, 2), (7, 8)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "0"}, (1, 8)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "7"}, (8, 8)),
    ],
)
def test_clusters_tell_which_part_is_ones_own(text, environment, wanted):
    assert shard.parse(text, environment) == wanted


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("2", {}, "'2' is no part; write I/N, such as 2/8"),
        ("0/8", {}, "0/8 is no part; they count from 1/N to N/N"),
        ("9/8", {}, "9/8 is no part"),
        ("1/0", {}, "1/0 is no part"),
        ("-1/8", {}, "'-1/8' is no part"),
        ("1/x", {}, "'1/x' is no part"),
        ("auto", {}, "SLURM_ARRAY_TASK_ID is not set.*; write I/N"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "write auto/N, N being the job's completions"),
        ("auto", array(3, 3, 7, 2), r"gaps \(2 tasks, 3 to 7\).*write auto/N"),
        ("auto", array(3, 1, 8, "many"), "SLURM_ARRAY_TASK_COUNT is 'many'"),
        ("auto/8", {}, "neither SLURM_ARRAY_TASK_ID .* nor JOB_COMPLETION_INDEX"),
        ("auto/8", {"JOB_COMPLETION_INDEX": "8"}, r"JOB_COMPLETION_INDEX \+ 1: 9/8 is no part"),
        ("auto/8", array(0, 0, 7, 8), "SLURM_ARRAY_TASK_ID: 0/8 is no part; they count from 1/N"),
    ],
)
def test_what_is_no_part_is_refused_with_the_remedy(text, environment, said):
    with pytest.raises(errors.UserError, match=said) as raised:
        shard.parse(text, environment)
    assert "\n" not in str(raised.value)
