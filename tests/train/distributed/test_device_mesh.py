"""Devices stand where their links are fast, and in the order of their processes."""

import types

import pytest

from avct_jax import errors
from avct_jax.train.core import sharding
from avct_jax.train.distributed import device_mesh


def test_number_that_does_not_divide_the_devices_is_refused_with_those_that_do():
    with pytest.raises(
        errors.UserError, match="--fsdp 3 does not divide the 8 devices; pass one of 1, 2, 4, 8"
    ):
        sharding.make_mesh(8, 3)


def devices(slices, processes, each):
    """Of a cluster: `slices` of `processes` with `each`."""
    places = [(s, s * processes + p) for s in range(slices) for p in range(processes) for _ in range(each)]
    kind = {"platform": "gpu", "device_kind": "gpu"}
    return [
        types.SimpleNamespace(id=i, slice_index=s, process_index=p, **kind) for i, (s, p) in enumerate(places)
    ]


@pytest.mark.parametrize("parts, between", [(2, 1), (4, 1), (8, 2), (16, 4)])
def test_a_state_is_split_within_a_slice_as_far_as_it_goes(parts, between):
    """Four slices of two processes with two devices each."""
    grid = device_mesh.grid(devices(4, 2, 2), parts)
    assert grid.shape == (16 // parts, parts)
    assert {len({d.slice_index for d in row}) for row in grid} == {between}
    assert [d.id for d in grid.flat] == [*range(16)]


def test_slices_whose_processes_take_turns_are_told_apart(monkeypatch):
    """Processes 0, 2, 4, 6 are in one slice; each draws the part of the batch that its devices hold."""
    cluster = [*devices(1, 8, 2)]
    for device in cluster:
        device.slice_index = device.process_index % 2
    grid = device_mesh.grid(cluster, 4)
    assert [{d.slice_index for d in row} for row in grid] == [{0}, {0}, {1}, {1}]
    mesh, parts = types.SimpleNamespace(devices=grid), []
    for process in range(8):
        monkeypatch.setattr(device_mesh.jax, "process_index", lambda process=process: process)
        parts.append(getattr(device_mesh.part, "__wrapped__", device_mesh.part)(mesh))
    assert parts == [(place, 8) for place in (0, 4, 1, 5, 2, 6, 3, 7)]


def test_parts_of_slices_are_refused():
    with pytest.raises(
        errors.UserError, match=r"--fsdp 4 does not fit 2 slices or machines of 6 .* --fsdp 6"
    ):
        device_mesh.grid(devices(2, 1, 6), 4)


def test_an_order_that_tears_processes_apart_is_not_taken(monkeypatch):
    """As a physical one may be: the batch's parts would not be the processes'."""
    torn = lambda shape, given: sharding.np.array(given, object).reshape(shape[::-1]).T
    monkeypatch.setattr(device_mesh.mesh_utils, "create_device_mesh", torn)
    assert [d.id for d in device_mesh.grid(devices(1, 2, 4), 4).flat] == [*range(8)]
