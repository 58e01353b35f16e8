"""Codes of people: looked up by row, strangers having the mean one."""

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.train.mesh_stages import person_embeddings


def test_strangers_have_the_mean_code_or_their_own():
    table = jnp.array([[1.0, 0, 0], [3, 0, 6]])
    found = person_embeddings.lookup({"table": table}, jnp.array([1, person_embeddings.STRANGER, 0]))
    np.testing.assert_array_equal(found, [[3, 0, 6], [2, 0, 3], [1, 0, 0]])
    told = person_embeddings.lookup({"table": table}, jnp.array([-1, 0]), jnp.array([7.0, 8, 9]))
    np.testing.assert_array_equal(told, [[7, 8, 9], [1, 0, 0]])


def test_people_of_the_training_are_numbered_by_name():
    persons, held_out = ["eve", "bob", "eve", "ann"], np.array([False, False, True, True])
    names = person_embeddings.names_of(persons, held_out)
    assert names == ["bob", "eve"]
    np.testing.assert_array_equal(
        person_embeddings.numbers_of(persons, names), [1, 0, 1, person_embeddings.STRANGER]
    )


def test_codes_begin_apart():
    table = person_embeddings.initial(jax.random.key(0), 3, 4, spread=0.3)["params"]["table"]
    assert table.shape == (3, 4) and 0.05 < float(table.std()) < 0.6
