"""The transformer's data: made up, and sentences as people write them."""

import unicodedata

import numpy as np


def dummy_sentence_data(key=0, batch=8, seq=6, words=30):
    """Make up sentences in pairs, next to each other, that differ in one word at most.

    A sentence has 3 to seq words, numbered from 1. Behind them it is padded with zeros, and the
    two of a pair are equally long. y is the row of the other one of the pair. batch is even.

    Shapes: -> x, y (batch,), with x["tokens"] (batch, seq), whole numbers, and x["is_real"]
        (batch, seq), True where there is a word
    Source: record.py, sentences
    """
    rng = np.random.default_rng(key)
    pairs = np.arange(batch // 2)
    length = rng.integers(3, seq + 1, size=batch // 2)
    tokens = np.repeat(rng.integers(1, words, size=(batch // 2, seq)), 2, axis=0)
    tokens[2 * pairs, rng.integers(length)] = rng.integers(1, words, size=batch // 2)
    is_real = np.arange(seq) < np.repeat(length, 2)[:, None]
    return {"tokens": tokens * is_real, "is_real": is_real}, np.arange(batch) ^ 1


def wordpieces(word, vocabulary):
    """Cut a word into the longest pieces that there are, from left to right.

    A piece that does not begin the word stands in the vocabulary with ## before it. Where no
    piece fits, the whole word becomes [UNK].

    Shapes: vocabulary gives the number of each piece -> list of numbers
    """
    numbers, start = [], 0
    while start < len(word):
        before = "##" if start else ""
        ends = [
            end for end in range(start + 1, len(word) + 1) if before + word[start:end] in vocabulary
        ]
        if not ends:
            return [vocabulary["[UNK]"]]
        numbers.append(vocabulary[before + word[start : ends[-1]]])
        start = ends[-1]
    return numbers


def is_punctuation(letter):
    """Tell whether a character stands alone: in ASCII all but letters, digits and spaces do."""
    is_sign = "!" <= letter <= "~" and not letter.isalnum()
    return is_sign or unicodedata.category(letter).startswith("P")


def is_ideograph(letter):
    """Tell whether a character is a word by itself, as Chinese ones are."""
    ranges = ("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0002fa1f")
    return any(first <= letter <= last for first, last in ranges)


def is_dropped(letter):
    """Tell whether a character is an accent, or nothing that shows."""
    category = unicodedata.category(letter)
    return category == "Mn" or letter == "\ufffd" or (category[0] == "C" and not letter.isspace())


def words_of(sentence):
    """Split a sentence into words and punctuation, in lower case and without accents."""
    letters = unicodedata.normalize("NFD", sentence.lower())
    letters = [letter for letter in letters if not is_dropped(letter)]
    spaced = [f" {a} " if is_punctuation(a) or is_ideograph(a) else a for a in letters]
    return "".join(spaced).split()


def tokenise(sentences, vocabulary, longest=256):
    """Turn sentences into what the model reads: the numbers of pieces of words, padded.

    Each begins with [CLS] and ends with [SEP]. What has more pieces than `longest` is cut off, and
    a word of more than 100 letters is [UNK].

    Shapes: vocabulary gives the number of each piece -> x, with x["tokens"] (batch, seq), whole
        numbers, and x["is_real"] (batch, seq)
    Source: BERT's tokenizer, as all-MiniLM-L6-v2 uses it
    """
    unknown, rows = vocabulary["[UNK]"], []
    for sentence in sentences:
        words = words_of(sentence)
        cut = [wordpieces(word, vocabulary) if len(word) <= 100 else [unknown] for word in words]
        inside = [number for pieces in cut for number in pieces][: longest - 2]
        rows.append([vocabulary["[CLS]"], *inside, vocabulary["[SEP]"]])
    lengths = np.array([len(row) for row in rows])
    tokens = np.zeros((len(rows), max(lengths)), dtype=int)
    for row, numbers in enumerate(rows):
        tokens[row, : len(numbers)] = numbers
    return {"tokens": tokens, "is_real": np.arange(max(lengths)) < lengths[:, None]}


def checked_sentences(x, words=30, positions=8):
    """Return sentences that the model may be given, and refuse all others.

    Every number in x["tokens"] has a row in the table of words, that of padding too. x["is_real"]
    says True or False for each, and True at least once in every sentence.

    Shapes: x["tokens"], whole numbers, x["is_real"], bools, both (batch, seq), the batch may be
        empty, seq is at most positions -> the same
    Raises: ValueError where anything of this is not so
    """
    tokens, is_real = np.asarray(x["tokens"]), np.asarray(x["is_real"])
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise ValueError(f"expected whole numbers in two axes, got {tokens.dtype}, {tokens.shape}")
    if is_real.shape != tokens.shape or is_real.dtype != bool:
        raise ValueError(
            f"expected True or False for each word, got {is_real.dtype}, {is_real.shape}"
        )
    if tokens.shape[1] > positions:
        raise ValueError(f"expected {positions} words at most, got {tokens.shape[1]}")
    wrong = (tokens < 0) | (tokens >= words)
    if wrong.any():
        raise ValueError(f"expected numbers from 0 to {words - 1}, got {tokens[wrong][0]}")
    if not is_real.any(axis=1).all():
        raise ValueError("expected a word in every sentence, found one without any")
    return {"tokens": tokens, "is_real": is_real}
