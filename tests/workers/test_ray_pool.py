"""Ray's actors on three nodes, of which one is killed in mid-work; and what is refused."""

import contextlib
import os
import pathlib

import pytest

from avct_jax import errors
from avct_jax.data.clips import worker_pool
from avct_jax.workers import engine, ray_pool
from tests.workers import light

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_engines_are_read():
    assert engine.parse("local") == engine.HERE == engine.Engine("local", None, 1, 0)
    assert engine.parse("ray") == ("ray", None, 1, 0)
    assert engine.parse("ray://auto", gpus=0.5) == ("ray", "auto", 1, 0.5)
    assert engine.parse("ray://head:10001", cpus=0.0) == ("ray", "ray://head:10001", 0, 0)
    assert engine.HERE.count(None, 3) == 3 and engine.HERE.count(5, 3) == 5
    assert engine.parse("ray").count(None, 3) == 0 and engine.parse("ray").count(5, 3) == 5
    for text in ("ray://", "ray:head", "Ray", "spark://auto", ""):
        with pytest.raises(errors.UserError, match="none; choose local, ray"):
            engine.parse(text)


def test_the_local_pool_is_one():
    assert engine.HERE.pool() is worker_pool.run and isinstance(worker_pool.run, engine.WorkPool)


def test_ray_sends_nothing_to_its_makers(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    ray_pool.library()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_room_is_counted_by_machine():
    node = lambda alive=True, **has: {"Alive": alive, "Resources": has}
    nodes = [node(CPU=4.0, GPU=1.0), node(CPU=3.0), node(False, CPU=99.0)]
    ray = type("Ray", (), {"nodes": staticmethod(lambda: nodes)})
    assert [
        ray_pool._room(ray, *asked) for asked in ((1.0, 0.0), (2.0, 0.0), (1.0, 0.5), (8.0, 0.0), (0.0, 0.0))
    ] == [
        7,
        3,
        2,
        1,
        3,
    ]


@contextlib.contextmanager
def three_nodes(monkeypatch):
    """A cluster of three machines of one core, here; and the driver's of none."""
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ray = ray_pool.library()
    from ray import cluster_utils

    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_killed_costs_time_alone(tmp_path, monkeypatch):
    with three_nodes(monkeypatch) as (cluster, nodes):
        items, found, amount = [f"{number}.txt" for number in range(9)], {}, 0
        for item, answer in ray_pool.run(light.slowly, items, str(tmp_path)):
            if isinstance(answer, worker_pool.WorkProgress):
                amount += answer.amount
                continue
            assert item not in found
            found[item] = answer
            if len(found) == 2:
                cluster.remove_node(nodes[0], allow_graceful=False)
        hosts = {node for node, _ in found.values()}
        assert {item: content for item, (_, content) in found.items()} == {item: item * 5 for item in items}
        assert sorted(os.listdir(tmp_path)) == items and len(hosts) >= 2 and amount >= 9
        answers = dict(ray_pool.run(light.work, ["fail", "die"], "x", jobs=1))
        assert answers["fail"].text == "KeyError: 'odd'" and not answers["fail"].died
        assert answers["die"].died and "3 workers were lost over it" in answers["die"].text
