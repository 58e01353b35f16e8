"""`avct train pack` asks for what is typed, and says what came of it."""

import pytest

from avct_jax.cli import main
from avct_jax.data.records import packing
from avct_jax.workers import shard


@pytest.mark.parametrize(
    ("words", "asked", "said"),
    [
        (["--jobs", "3"], {"images": True, "processes": 3, "part": shard.WHOLE}, "7 shards are packed\n"),
        (
            ["--columns-only", "--jobs", "1", "--shard", "2/8"],
            {"images": False, "processes": 1, "part": shard.Shard(2, 8)},
            "7 shards are packed of part 2/8; without --shard the index is written\n",
        ),
    ],
)
def test_pack_does_what_is_typed(monkeypatch, capsys, words, asked, said):
    seen = {}

    def pack(folder, **options):
        seen.update(options, folder=folder)
        return packing.PackProgress(7, 7)

    monkeypatch.setattr(packing, "pack", pack)
    assert main.main(["train", "pack", "--clips", "here", *words]) == 0
    assert seen["folder"] == "here" and {name: seen[name] for name in asked} == asked
    assert capsys.readouterr().out == f"here: {said}"
