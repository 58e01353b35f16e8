"""The paper's run as commands: each after what it needs, all of them understood, and what it takes."""

import pathlib
import tomllib

import pytest

from avct_jax.cli import main
from scripts import paper_run
from scripts.benchmarks import paper_cost

GIVEN = ["--videos=v", "--people=p.csv", "--speaker=anna", "--output=out", "--vgg=vgg.pth", "--ablations"]


@pytest.fixture
def options():
    return paper_run.parse([*GIVEN, "--words=w.csv", "--fid=f.npz", "--steps=7", "--shards=5", "--nodes=3"])


def test_every_step_comes_after_those_it_needs(options):
    seen: set[str] = set()
    for step in paper_run.plan(options):
        assert set(step.after) <= seen, step.name
        seen.add(step.name)
    assert {"preprocess", *paper_run.STAGES, "export", "evaluate-one-shot", "ablate"} <= seen


def test_every_command_is_understood(options):
    """By the command line itself; files that are missing are looked for later."""
    for step in paper_run.plan(options):
        run, read = main._read(list(step.words))
        assert callable(run) and read


def test_paper_wants_a_vgg(capsys):
    with pytest.raises(SystemExit):
        paper_run.parse([word for word in GIVEN if "vgg" not in word])
    assert "--vgg" in capsys.readouterr().err
    paper_run.parse([*(word for word in GIVEN if "vgg" not in word), "--preset=tiny"])


def test_slurm_begins_a_step_when_all_it_needs_has_ended(options, capsys):
    asked: list[list[str]] = []

    def sbatch(words):
        asked.append(words)
        return str(100 + len(asked))

    steps = paper_run.plan(options)
    jobs = paper_run.submit(steps, options, sbatch)
    by_number = {str(101 + i): words for i, words in enumerate(asked)}
    parts, together = asked[:2]
    assert "--array=1-5" in parts and parts[-len(steps[0].words) :] == list(steps[0].words)
    assert "--dependency=afterany:101" in together and jobs["preprocess"] == "102"
    trained = by_number[jobs["avct"]]
    needs = ":".join(jobs[name] for name in ("preprocess", "renderer", "sync"))
    assert f"--dependency=afterok:{needs}" in trained and "--nodes=3" in trained
    script = trained.index(paper_run.TRAIN)
    assert trained[script + 1 : script + 4] == ["avct", "--preset", "paper"]
    assert pathlib.Path(paper_run.TRAIN).exists() and pathlib.Path(paper_run.SHARDS).exists()
    assert set(jobs) == {step.name for step in steps}


def test_hours_grow_with_arithmetic_and_stop_falling_where_gpus_are_idle():
    cost = paper_cost.StageCost(steps=3600, batch_size=8, gflop=1000.0, parameters=1)
    assert paper_cost.hours(cost, 4, 1e12) == pytest.approx(2.0)  # 2 s a step
    assert paper_cost.hours(cost, 8, 1e12) == paper_cost.hours(cost, 64, 1e12) == pytest.approx(1.0)
    assert paper_cost.hours(cost, 8, 1e18) == pytest.approx(paper_cost.LEAST)
    assert "| all | | | 1.0 | 16 |" in paper_cost.table({"a": cost}, 8, 1e12, 2.0)


def test_arithmetic_of_a_step_is_counted_for_one_example():
    """E_h at TINY, against what its products alone have at least."""
    cost = paper_cost.count("head-motion", "TINY")
    frames = 3 * 2 * cost.parameters  # forward and twice backward, a product and a sum for each number
    assert cost.gflop * 1e9 > frames and cost.steps > 0 and cost.parameters > 1000


def test_configs_of_the_paper_name_its_preset():
    for stage in paper_run.STAGES:
        file = pathlib.Path(paper_run.__file__).parent.parent / "configs" / "paper" / f"{stage}.toml"
        assert tomllib.loads(file.read_text())["preset"] == "paper"
