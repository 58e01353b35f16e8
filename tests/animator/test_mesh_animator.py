"""The mesh system from an image and a recording to frames: reproducible, in sync with its track, refusing
what it must.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from scipy.io import wavfile
from scipy.spatial import transform

from avct_jax import demo, errors, weights_file
from avct_jax.animator import base, factory, head_start, mesh_animator, options, scales
from avct_jax.data.faces import face_basis, head_motion_bank, head_pose
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io, mesh_features
from avct_jax.inference import mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import face_mesh, mouth_painter, speech_motion
from tests import portraits, quick

TINY = mesh_system.MeshSystemConfig(
    speech_motion=speech_motion.SpeechMotionConfig(d_model=16, num_heads=2, feedforward=16),
    mouth_painter=mouth_painter.MouthPainterConfig(channels=(8, 8), canvas=2),
)
SIZE = 256  # px, the least of a video
STILL = scales.Scales(head_motion=0.0)
SMALL = 128  # of frames whose program has to be compiled anew


def random_variables(config, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32)
    parts = {
        part: jax.tree.map(draw, mesh_system.expected(config, part)) for part in mesh_system.parts(config)
    }
    parts["face_basis"]["params"] = face_basis.embedded()._asdict()
    return parts


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "tiny.safetensors"
    weights_file.save(path, weights_file.System(TINY, random_variables(TINY)))
    return path


@pytest.fixture(scope="module")
def animator(checkpoint):
    return factory.load(checkpoint)


@pytest.fixture(scope="module")
def wav():
    with demo.sentence() as path:
        return audio_io.read_audio(path)[4000:16000]  # 0.75 s


def test_checkpoint_of_the_mesh_family_makes_a_mesh_animator(animator):
    assert isinstance(animator, mesh_animator.MeshAnimator) and animator.config == TINY


def test_network_of_the_checkpoint_hears_in_hamas_place(tmp_path, wav, monkeypatch):
    monkeypatch.setattr(mesh_features, "_network", lambda: pytest.fail("hama was asked"))
    config = dataclasses.replace(TINY, phoneme_source="network")
    variables = random_variables(config)
    weights_file.save(tmp_path / "n.safetensors", weights_file.System(config, variables))
    animator = factory.load(tmp_path / "n.safetensors")
    track = lambda audio: animator._track(
        mesh_features.listen(audio, animator._recognise), 1, None, STILL, []
    )
    assert np.abs(track(wav).speech - track(wav[::-1].copy()).speech).max() > 0.01
    del variables["phoneme_net"]
    weights_file.save(tmp_path / "none.safetensors", weights_file.System(config, variables))
    with pytest.raises(errors.UserError, match="lacks phoneme_net"):
        factory.load(tmp_path / "none.safetensors")


def test_same_seed_draws_the_same_frames_and_another_moves_otherwise(animator, wav):
    draw = lambda seed: np.concatenate(
        list(animator.frames(skimage.data.astronaut(), wav[: 8 * 640], size=SIZE, seed=seed))
    )
    first, again, other = draw(1), draw(1), draw(2)
    assert first.shape == (8, SIZE, SIZE, 3)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 0.1


def test_a_head_start_changes_nothing_and_is_of_its_own_inputs_alone(animator, wav, tmp_path, monkeypatch):
    path, image = str(tmp_path / "a.wav"), skimage.data.astronaut()
    wavfile.write(path, 16000, np.int16(wav * 32767))
    slow = animator.prepare(image, path, size=SIZE)
    mean = animator._canonical()
    monkeypatch.setattr(head_start, "canonical", lambda: mean)
    begun = head_start.HeadStart(image, path, base.Request(size=SIZE))
    monkeypatch.setattr(animator, "head_start", begun)
    begun.layers.result([]), begun.hearing.result([])
    with monkeypatch.context() as patched:
        for module, name in ((mesh_animator.portrait_layers, "make"), (base, "hear")):
            patched.setattr(module, name, None)  # neither is called again
        fast = animator.prepare(image, path, size=SIZE)
    for one, other in zip(*map(jax.tree.leaves, (slow[:2], fast[:2])), strict=True):
        np.testing.assert_array_equal(one, other)
    assert fast.notes == slow.notes and fast.seed == slow.seed and fast.frames == slow.frames
    monkeypatch.setattr(head_start, "canonical", lambda: mean + 1)  # of other weights: made anew
    monkeypatch.setattr(animator, "head_start", head_start.HeadStart(image, path, base.Request(size=SIZE)))
    anew = animator.prepare(image, path, size=SIZE)
    np.testing.assert_array_equal(anew.portrait.portrait.vertices, slow.portrait.portrait.vertices)


def test_video_is_written_at_the_size_asked_for(animator, wav, tmp_path):
    report = animator.animate(skimage.data.astronaut(), wav[: 8 * 640], tmp_path / "a.mp4", size=320)
    assert report.frames == 8 and video_io.probe(tmp_path / "a.mp4").size == (320, 320)


@pytest.mark.parametrize("size", [128, 255, 301, 2000])
def test_sizes_that_cannot_be_drawn_are_refused(animator, wav, tmp_path, size):
    with pytest.raises(errors.UserError, match="must be even and from 256 to 1024"):
        animator.animate(skimage.data.astronaut(), wav, tmp_path / "a.mp4", size=size)
    assert not list(tmp_path.iterdir())


def test_poses_are_taken_since_the_first(animator, wav):
    poses = np.zeros((19, 6))
    poses[:, 5] = 250
    poses[10:, 1] = 0.1
    speech = mesh_features.listen(wav)
    track = animator._track(speech, 0, poses, scales.Scales(), [])
    np.testing.assert_allclose(track.behaviour.rotation[:6], 0, atol=1e-6)
    np.testing.assert_allclose(track.behaviour.rotation[14:, 1], 0.1, atol=1e-6)


def test_trembling_of_tracked_poses_is_smoothed():
    poses = np.zeros((60, 6))
    poses[:, 0] = 0.1 * np.sin(np.arange(60) / 12)
    trembling = poses + np.where(np.arange(60) % 2, 0.01, -0.01)[:, None] * np.eye(6)[0]
    calm, _ = head_pose.since_first(trembling)
    plain, _ = head_pose.since_first(poses)
    bends = lambda x: np.abs(np.diff(x[5:-5, 0], 2)).mean()
    assert bends(calm) < 2 * bends(plain) < 0.2 * bends(trembling)
    np.testing.assert_array_equal(calm[0], 0)


def test_lips_open_as_far_as_peoples_do(animator):
    wanted, rng = animator.config.mouth_amplitude, np.random.default_rng(0)
    way = np.asarray(mesh_inference.opening(animator.variables))
    shy = 0.8 * wanted * rng.normal(size=(2000, 1)) * way / (way @ way)
    silent = np.arange(2000) % 2 == 0
    after = lambda moved, silent: (moved * animator._liveliness(moved, silent) @ way)[~silent].std()
    np.testing.assert_allclose(after(shy, silent), wanted, rtol=0.03)
    loud = np.where(silent[:, None], 50, 1) * shy  # what silence does is not asked
    np.testing.assert_allclose(after(loud, silent), wanted, rtol=0.03)
    least, most = mesh_animator.LIVELINESS
    assert (
        animator._liveliness(shy / 100, silent) <= most and animator._liveliness(100 * shy, silent) >= least
    )
    short = animator._liveliness(shy[:20], silent[:20])
    assert abs(np.log(short)) < 0.6 * abs(np.log(wanted / (shy[:20] @ way)[~silent[:20]].std()))
    assert animator._liveliness(shy, np.ones(2000, bool)) == 1


def test_still_heads_blink_and_move_nothing_else(animator, wav):
    track = animator._track(mesh_features.listen(wav), 0, None, STILL, [])
    assert not track.behaviour.rotation.any() and not track.behaviour.shift.any()


def test_scales_of_the_mouth_move_it_alone(animator, wav):
    speech, way = mesh_features.listen(wav), np.asarray(mesh_inference.opening(animator.variables))
    tracks = {
        factor: animator._track(speech, 0, None, scales.Scales(mouth=factor), [])
        for factor in (0.0, 0.5, 1.0, 2.0)
    }
    usual = tracks[1.0].speech
    assert not tracks[0.0].speech.any(), "at rest: shut"
    np.testing.assert_allclose(tracks[0.5].speech, 0.5 * usual, rtol=1e-5)
    assert 1.6 < (tracks[2.0].speech @ way).std() / (usual @ way).std() < 2.2
    for track in tracks.values():
        for one, other in zip(track.behaviour, tracks[1.0].behaviour, strict=True):
            np.testing.assert_array_equal(one, other)


def test_scales_of_head_and_blinks_leave_the_mouths_amplitude(animator, wav):
    speech = mesh_features.listen(wav)
    predict = lambda **given: animator._track(speech, 0, None, scales.Scales(**given), []).speech
    np.testing.assert_array_equal(predict(blink=0.0), predict())
    assert np.corrcoef(predict(head_motion=3.0).ravel(), predict().ravel())[0, 1] > 0.95


def test_mouths_are_the_same_in_calls_of_any_length(animator, wav, monkeypatch):
    speech = mesh_features.listen(wav)
    behaviour = animator._track(speech, 0, None, scales.Scales(), []).behaviour
    whole = animator.predict(speech, behaviour)
    monkeypatch.setattr(mesh_animator, "SPEECH_CHUNK", 7)
    np.testing.assert_allclose(animator.predict(speech, behaviour), whole, rtol=1e-3, atol=1e-3)


def test_told_phonemes_change_the_mouth(animator, wav):
    speech = mesh_features.listen(wav)
    told = mesh_features.told(speech, np.full(19, 21, np.int32))
    behaviour = animator._track(speech, 0, None, STILL, []).behaviour
    assert np.abs(animator.predict(told, behaviour) - animator.predict(speech, behaviour)).max() > 1e-3


def test_gradients_reach_portrait_weights_and_controls(animator):
    portrait, _ = animator._read_portrait(skimage.data.astronaut(), [], size=SMALL)
    zeros = jnp.zeros
    turn = jnp.float32([[0.02, 0.03, 0.01]])
    controls = face_mesh.Controls(
        zeros((1, 16)) + 0.3, *2 * [zeros((1, 2))], turn, zeros((1, 3)), brow=zeros(1)
    )
    layers = {name: getattr(portrait.portrait, name) for name in ("skin", "image", "cover", "background")}

    def brightness(variables, layers, moved):
        given = portrait._replace(portrait=portrait.portrait._replace(**layers))
        frame = mesh_inference.draw(TINY, variables, given, controls._replace(**moved))
        return (frame * jnp.linspace(0, 1, SMALL)[None, :, None, None]).mean()

    moved = {"speech": controls.speech, "rotation": controls.rotation}
    grads = quick.jit_wiring(jax.grad(brightness, argnums=(0, 1, 2)))(animator.variables, layers, moved)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
    reached = {**grads[1], **grads[2], "components": grads[0]["face_basis"]["params"]["components"]}
    assert not [name for name, slope in reached.items() if not np.abs(slope).max() > 0]


def test_draw_maps_over_people(animator):
    """jax.vmap over portraits of one size."""
    portrait, _ = animator._read_portrait(skimage.data.astronaut(), [], size=SMALL)
    two = jax.tree.map(lambda x: jnp.stack([x, x]), portrait)
    zeros = jnp.zeros
    controls = face_mesh.Controls(zeros((2, 16)) + 0.5, *2 * [zeros((2, 2))], *2 * [zeros((2, 3))], zeros(2))
    draw = lambda p: mesh_inference.draw(TINY, animator.variables, p, controls)
    one, both = quick.jit(draw)(portrait), quick.jit(jax.vmap(draw))(two)
    np.testing.assert_allclose(both[1], one, atol=1e-4)


@pytest.mark.parametrize("given", [[0, 41], [-1], [[1]], [0.5]])
def test_phonemes_that_are_none_are_refused(given):
    request = base.Request(phonemes=np.array(given))
    with pytest.raises(errors.UserError, match="whole numbers from 0 to 40"):
        base.labels(mesh_features.silence(2), request, [])


@pytest.mark.parametrize("given, said", [(7, ["silence follows"]), (40, ["cut"]), (30, []), (29, [])])
def test_phonemes_of_another_length_are_noted(given, said):
    notes = []
    request = base.Request(phonemes=np.zeros(given, np.int32))
    assert len(base.labels(mesh_features.silence(30), request, notes)) == 30
    assert len(notes) == len(said) and all(word in notes[0] for word in said), notes


def test_a_recogniser_beside_phonemes_is_noted():
    notes = []
    request = base.Request(phonemes=np.zeros(30, np.int32), recogniser="hama")
    base.labels(mesh_features.silence(30), request, notes)
    assert notes == ["the recogniser hama is not asked: phonemes are given"]


def test_head_turn_is_the_rotation_without_the_size():
    vector = np.array([0.1, -0.4, 0.05])
    head = 0.3 * transform.Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(head_pose.head_turn(head), vector, atol=1e-9)


def test_what_may_be_told_is_what_a_request_holds():
    assert tuple(options.Told.__annotations__) == base.Request._fields


def test_a_face_of_several_is_animated(animator, wav):
    picture = portraits.two_faces()
    ready = {face: animator.prepare(picture, wav, face=face, size=SIZE) for face in (None, 1, 2)}
    skin = {face: np.asarray(one.portrait.portrait.skin) for face, one in ready.items()}
    np.testing.assert_array_equal(skin[2], skin[None])
    assert np.abs(skin[1] - skin[2]).max() > 0.02
    assert ready[1].notes[0] == "2 faces in the image: animating number 1"


def test_what_is_prepared_draws_the_frames_and_bears_the_notes(animator, wav):
    told = {"size": SIZE, "seed": 3, "poses": np.tile(np.float32([0, 0, 0, 0, 0, 250]), (11, 1))}
    told["mark"] = False
    spoken = wav[: 12 * 640]  # more than one call draws
    ready = animator.prepare(skimage.data.astronaut(), spoken, **told)
    assert (ready.size, ready.frames) == (SIZE, 12)
    assert ready.notes == ("11 poses, 12 frames: the last pose is held",)
    drawn = np.concatenate(list(animator.draw(ready.portrait, ready.track)))
    shown = np.concatenate(list(animator.frames(skimage.data.astronaut(), spoken, **told)))
    np.testing.assert_array_equal(drawn, shown)


def test_direction_moves_what_it_says_and_nothing_else(animator, wav):
    prepare = lambda **told: animator.prepare(skimage.data.astronaut(), wav, size=SIZE, seed=1, **told).track
    plain = prepare()
    told = prepare(
        blinks=[0.2],
        direction=[
            {"time": 0.4, "what": "smile", "value": 0.5, "ease": "hold"},
            {"time": 0, "what": "yaw", "value": 10},
            {"time": 0, "what": "gaze", "value": [20, 0]},
        ],
    )
    assert plain.shown is None and told.shown is not None
    moved = np.abs(told.shown.offset()).max((1, 2))
    assert (moved[:10] == 0).all() and (moved[10:] > 0.03).all()
    added = told.behaviour.rotation - plain.behaviour.rotation
    np.testing.assert_allclose(added, np.radians([[0, -10, 0]] * 19), atol=1e-6)
    assert told.behaviour.blink[5].min() == 1 and (told.behaviour.blink[12:] < 0.1).all()
    assert (told.behaviour.gaze[:, 0] > 0.015).all()
    np.testing.assert_array_equal(told.behaviour.shift, plain.behaviour.shift)
    np.testing.assert_array_equal(told.behaviour.brow, plain.behaviour.brow)


def test_mouths_factor_changes_over_the_film(animator, wav):
    speech = mesh_features.listen(wav)
    still = head_motion_bank.Behaviour(*(np.zeros((19, n), np.float32) for n in (3, 3, 2, 2, 1)))
    small, usual, large = (animator.predict(speech, still, scale) for scale in (0.5, 1.0, 1.5))
    scale = np.repeat([0.5, 1.0, 1.5], (6, 6, 7))
    found = animator.predict(speech, still, scale)
    np.testing.assert_allclose(found, np.concatenate([small[:6], usual[6:12], large[12:]]), atol=1e-6)
