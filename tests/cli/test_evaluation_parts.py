"""`avct evaluate` in parts: who measures what, and what becomes of a part that is lost."""

from typing import ClassVar

import pytest

from avct_jax import compile_cache, errors
from avct_jax.cli import evaluation_parts
from avct_jax.cli.commands import evaluate
from avct_jax.data.clips import worker_pool
from avct_jax.evaluation import reports
from avct_jax.evaluation.scorers import scorers
from avct_jax.workers import engine, shard

NAMES = [f"video {number}" for number in range(150)]


class PoolHere(engine.Engine):
    """An engine that starts nothing, and loses or refuses parts."""

    odd: ClassVar[dict] = {}

    def pool(self):
        """What does one after the other."""

        def run(work, items, shared, *, jobs, option):
            assert (jobs, option) == (3, "--workers")
            for item in items:
                told = []
                answer = self.odd.get(item.number) or work(item, shared, told.append)
                yield from ((item, worker_pool.WorkProgress(amount)) for amount in told)
                yield item, answer

        return run


@pytest.fixture
def looked(monkeypatch):
    """Videos that are looked at; loads of networks come as "loaded"."""
    seen = []
    monkeypatch.setattr(compile_cache, "enable", lambda: None)
    monkeypatch.setattr(scorers, "make", lambda *files: seen.append("loaded") or files)
    evaluation_parts._networks.cache_clear()

    def of_videos(*, generated, real, networks, part, show, output):
        assert (generated, real, networks, output) == ({"ours": "made"}, "real", ("f", None), "out")
        own = part.of(NAMES)
        for done, name in enumerate(own):
            show(done, len(own), name)
            seen.append(name)
        show(len(own), len(own), "")

    monkeypatch.setattr(reports, "of_videos", of_videos)
    yield seen
    evaluation_parts._networks.cache_clear()


ASKED = evaluation_parts.AskedEvaluation(
    None, {"generated": {"ours": "made"}, "real": "real", "output": "out"}, ("f", None)
)


def measure(part, odd=None):
    pool, shown, lines = PoolHere(), [], []
    PoolHere.odd = odd or {}
    show = lambda *state: shown.append(state)
    evaluation_parts.measure(ASKED, part, pool, 3, show=show, tell=lines.append)
    return shown, lines


@pytest.mark.parametrize("part", [shard.WHOLE, shard.Shard(2, 3)])
def test_parts_are_all_of_it_once_by_networks_that_are_loaded_once(part, looked):
    shown, lines = measure(part)
    assert looked[0] == "loaded" and sorted(looked[1:]) == sorted(part.of(NAMES)) and not lines
    assert shown[-1] == (64, 64, f"{len(part.of(NAMES))} videos")


def test_a_part_that_is_lost_is_told_and_the_rest_goes_on(looked):
    _, lines = measure(shard.WHOLE, {3: worker_pool.WorkFailure("it died", died=True)})
    assert lines == ["part 3/64: it died"]
    assert set(NAMES) - set(looked) == set(shard.Shard(3, 64).of(NAMES))


def test_what_a_user_can_mend_ends_it(looked):
    with pytest.raises(errors.UserError, match="no such folder"):
        measure(shard.WHOLE, {2: worker_pool.WorkFailure("x", errors.UserError("no such folder; name one"))})
    assert "video 2" not in looked


def test_what_is_asked_is_plain_data():
    options = evaluate.Options(
        "out",
        made=evaluate.MadeVideos(protocol="speech", clips="clips", checkpoint="c"),
        network=evaluate.ScorerOptions(fid="f"),
        measure=evaluate.MeasureOptions(videos=5, no_baselines=True),
    )
    asked = evaluate.asked_of(options)
    assert asked.protocol == "speech" and asked.scorers == ("f", None, None, None)
    assert asked.given == {
        "output": "out", "videos": 5, "baselines": False, "shown": 6, "clips": "clips", "portraits": None,
        "voices": None, "checkpoint": "c", "transcribed": False,
    }  # fmt: skip
