"""What c2pa's report says of a film, and of what it was made from."""

import json

import pytest

from avct_jax.marks import credential_report, verification

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def manifest(name, source=None, *ingredients):
    """Of a program; its ingredients are relation, label and failures."""
    actions = [{"action": "c2pa.opened"}] + ([{"digitalSourceType": SOURCE + source}] if source else [])
    rows = [
        {
            "title": f"{label}.mp4",
            "format": "video/mp4",
            "relationship": relation,
            "active_manifest": label,
            "validation_results": {
                "activeManifest": {
                    "failure": [{"code": code} for code in (credential_report.UNTRUSTED, *failures)]
                }
            },
        }
        for relation, label, *failures in ingredients
    ]
    return {
        "claim_generator_info": [{"name": name, "version": "1"}],
        "signature_info": {"common_name": f"{name} Inc."},
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        "ingredients": rows,
    }


AI, CAMERA = manifest("Sora", "trainedAlgorithmicMedia"), manifest("Camera", "digitalCapture")


def claim(source=None, *ingredients, **manifests):
    """Of a film by an editor."""
    told = {"active": manifest("Editor", source, *ingredients), "ai": AI, "camera": CAMERA} | manifests
    return credential_report.claim({"active_manifest": "active", "manifests": told})


@pytest.mark.parametrize(
    "source, ingredients, synthetic",
    [
        (None, [], None),
        ("digitalCapture", [], False),
        ("compositeSynthetic", [], True),
        (None, [("parentOf", "ai")], True),
        ("digitalCapture", [("componentOf", "camera"), ("componentOf", "ai")], True),
        (None, [("inputTo", "ai")], None),
        (None, [("parentOf", "camera")], None),
        (None, [("parentOf", "ai", "assertion.bmffHash.mismatch")], None),
        (None, [("parentOf", "gone")], None),
    ],
)
def test_a_film_is_synthetic_where_what_is_in_it_is(source, ingredients, synthetic):
    found = claim(source, *ingredients)
    assert found.synthetic is synthetic
    assert found.declared is {None: None, "digitalCapture": False}.get(source, True)


def test_what_was_edited_twice_is_followed_and_circles_come_to_an_end():
    between = manifest("Cutter", None, ("parentOf", "ai"))
    assert claim(None, ("parentOf", "between"), between=between).synthetic is True
    circle = manifest("Cutter", None, ("parentOf", "circle"))
    assert claim(None, ("parentOf", "circle"), circle=circle).synthetic is None
    both = {
        f"l{i}": manifest("Cutter", None, ("parentOf", f"l{i + 1}"), ("componentOf", f"l{i + 1}"))
        for i in range(40)
    }
    assert claim(None, ("parentOf", "l0"), **both, l40=AI).synthetic is True
    assert credential_report.claim({}) is None


@pytest.mark.parametrize(
    "ingredient, line",
    [
        (("parentOf", "ai"), "made from a synthetic film with Content Credentials: ai.mp4 "
         "(made by Sora 1, signed by Sora Inc.)"),
        (("componentOf", "camera"), "contains a film that is not synthetic with Content Credentials: "
         "camera.mp4 (made by Camera 1, signed by Camera Inc.)"),
        (("inputTo", "ai", "x.mismatch"), "Content Credentials that are NOT valid in what it was made from: "
         "ai.mp4 (x.mismatch)"),
        (("parentOf", "gone"), None),
    ],
)  # fmt: skip
def test_an_ingredient_is_told_in_a_line(ingredient, line):
    (found,) = claim(None, ingredient).ingredients
    assert found.line == line and found.relation == ingredient[0]


def test_what_is_in_a_film_marks_it():
    report = {
        "active_manifest": "a",
        "manifests": {"a": manifest("Editor", None, ("parentOf", "ai")), "ai": AI},
    }
    found = verification._of_report("a.mp4", report | {"validation_state": "Valid"}, None)
    assert found.marked and found.lines[1] == "made by Editor 1, of unknown kind"
    assert found.lines[2].startswith("made from a synthetic film")
    told = json.loads(json.dumps(found.record))
    assert told["synthetic"] is True and told["declared"] is None
    assert told["ingredients"] == [
        {"title": "ai.mp4", "noun": "film", "relation": "parentOf", "state": "valid", "signer": "Sora Inc.",
         "generator": "Sora 1", "synthetic": True, "failures": []},
    ]  # fmt: skip
    assert not verification._of_report("a.mp4", report | {"validation_state": "Invalid"}, None).marked
