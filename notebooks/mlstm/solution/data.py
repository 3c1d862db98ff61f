"""The multiplicative LSTM's data: made up, and real."""

import numpy as np


def encode_proteins(proteins):
    """Turn proteins, as text, into letters: numbers, after the number 24, which says "start".

    Shapes: list of batch texts -> (batch, 1 + length of the longest), filled up with 0
    Raises: ValueError for a character that is no letter of a protein, naming it
    Source: the table of UniRep: M 1, R 2, H 3, K 4, D 5, E 6, S 7, T 8, N 9, Q 10, C 11, U 12,
        G 13, P 14, A 15, V 16, I 17, F 18, Y 19, W 20, L 21, O 22, and 23 for any of X, Z, B, J
    """
    numbers = {letter: number for number, letter in enumerate("MRHKDESTNQCUGPAVIFYWLO", 1)}
    numbers |= dict.fromkeys("XZBJ", 23)
    letters = np.zeros((len(proteins), 1 + max(map(len, proteins))), dtype=int)
    letters[:, 0] = 24
    for row, protein in zip(letters, proteins, strict=True):
        for place, letter in enumerate(protein, 1):
            if letter not in numbers:
                raise ValueError(f"{letter!r} is no letter of a protein")
            row[place] = numbers[letter]
    return letters


def next_letters(letters):
    """Say for each letter which one comes next: after the last one 25, "stop", and then none.

    Shapes: (batch, seq) -> (batch, seq)
    Source: the targets that UniRep is trained on
    """
    following = np.zeros_like(letters)
    following[:, :-1] = letters[:, 1:]
    following[(letters > 0) & (following == 0)] = 25
    return following


def dummy_protein_data(key=0, batch=8, seq=12):
    """Make up proteins of different lengths, of 1 to seq - 1 letters, and what comes next.

    Shapes: -> x (batch, seq), y (batch, seq); x starts with 24, letters are 1 to 23, then 0
    Source: record.py, whose made-up proteins look the same
    """
    rng = np.random.default_rng(key)
    x = rng.integers(1, 24, size=(batch, seq))
    x[:, 0] = 24
    lengths = rng.integers(2, seq + 1, size=batch)
    x[np.arange(seq) >= lengths[:, None]] = 0
    return x, next_letters(x)


def checked_proteins(x, longest=12):
    """Return proteins that the model may be given, and refuse all others.

    A row begins with 24, the start. Letters from 1 to 23 follow, and then 0 to its end. It has
    longest numbers at most, start and zeros included.

    Shapes: x (batch, seq), whole numbers, the batch may be empty -> the same
    Raises: ValueError where anything of this is not so
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in "iu":
        raise ValueError(f"expected whole numbers in two axes, got {x.dtype}, {x.shape}")
    if not 1 <= x.shape[1] <= longest:
        raise ValueError(f"expected 1 to {longest} numbers in a row, got {x.shape[1]}")
    starts, letters = x[:, 0], x[:, 1:]
    if (starts != 24).any():
        raise ValueError(f"expected 24 to begin each protein, got {starts[starts != 24][0]}")
    wrong = (letters < 0) | (letters > 23)
    if wrong.any():
        raise ValueError(f"expected letters from 1 to 23, then 0, got {letters[wrong][0]}")
    if ((letters[:, :-1] == 0) & (letters[:, 1:] > 0)).any():
        raise ValueError("expected 0 behind the last letter alone, got a letter after 0")
    return x
