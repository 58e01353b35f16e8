"""The code of a mark: words are far from each other, and the likeliest is read, wherever it begins."""

import numpy as np

from avct_jax.marks import tail_biting_code as code


def test_words_of_few_bits_differ_in_many_signs():
    assert np.all(code.encode(np.zeros(64, int)) == 1)
    one = code.encode(np.eye(64, dtype=int)[0])
    assert (one < 0).sum() == sum(int(x).bit_count() for x in code.GENERATORS)
    for bits in range(1, 2**9, 2):
        word = np.array([bits >> place & 1 for place in range(64)])
        assert (code.encode(word) < 0).sum() >= 100


def test_a_word_goes_around():
    word = np.random.default_rng(0).integers(0, 2, 64)
    turned = code.encode(np.roll(word, 5))
    np.testing.assert_array_equal(turned, np.roll(code.encode(word), 5 * code.RATE))
    np.testing.assert_array_equal(code.decode(turned.astype(float))[0], np.roll(word, 5))


def test_the_list_has_words_that_lose_to_others():
    rng = np.random.default_rng(3)
    first = listed = 0
    for _ in range(8):
        word = rng.integers(0, 2, 64)
        words = code.decode(code.encode(word) * np.sqrt(90 / 1024) + rng.normal(0, 1, 1024))
        assert words.shape == (code.LISTED, 64)
        first += bool((words[0] == word).all())
        listed += bool((words == word).all(1).any())
    assert listed > first and listed >= 4
