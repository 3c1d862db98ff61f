"""Plausible mistakes in this track, each an edit of the solution's source.

They name the suspect in a verdict, name wrong models for the pair's own tests, and test the
checks.
"""

from reimpl_helpers.texts.mistakes import Bug

COUNTERPART_OF_SOFTMAX = "scipy.special.softmax(x, axis=-1)"

GELU = "return x * (1 + jax.scipy.special.erf(x / 2**0.5)) / 2"
GELU_IN_NUMPY = GELU.replace("jax.", "")
TANH = "return x * (1 + jnp.tanh((2 / jnp.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2"
SIGMOID = "return x / (1 + jnp.exp(-1.702 * x))"
RELU = "return jnp.maximum(x, 0)"

NORM = "(x - mean) / jnp.sqrt(variance + eps)"
VARIANCE = "jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)"
SAMPLE_VARIANCE = "jnp.var(x, axis=-1, keepdims=True, ddof=1)"
MEAN = "mean = jnp.mean(x, axis=-1"
BOTH = f"""\
    {MEAN}, keepdims=True)
    variance = {VARIANCE}
"""
BOTH_OVER_BATCH = BOTH.replace("axis=-1", "axis=0")
BOTH_OVER_WORDS = BOTH.replace("axis=-1", "axis=-2")
BOTH_OVER_ALL = BOTH.replace("axis=-1, ", "")

SPLIT = "rows.reshape(batch, seq, heads, width // heads).swapaxes(1, 2)"
MASKED = "jnp.where(is_real[:, None, None, :], scores, -1e9)"
SOFTMAX = f"    weights = jax.nn.softmax({MASKED})\n"
SOFTMAX_IN_NUMPY = f"    weights = scipy.special.softmax({MASKED}, axis=-1)\n".replace(
    "jnp.", "np."
)
OVERFLOWS = """\
    weights = jnp.exp(scores) * is_real[:, None, None, :]
    weights = weights / weights.sum(axis=-1, keepdims=True)
"""
MASKED_LATE = """\
    weights = jax.nn.softmax(scores) * is_real[:, None, None, :]
"""
MASKED_LATE_IN_NUMPY = """\
    weights = scipy.special.softmax(scores, axis=-1) * is_real[:, None, None, :]
"""
JOINED = "(weights @ value).swapaxes(1, 2).reshape(batch, seq, width)"
LAST_LAYER = """return nn_layer(params["out"]["weight"].T, mixed, params["out"]["bias"])"""

ATTENDED = """\
layer_norm(params["attention_norm"], x + attention(params["attention"], x, is_real, heads))"""
NORMED_BEFORE = """x + attention(
        params["attention"], layer_norm(params["attention_norm"], x), is_real, heads
    )"""
BLOCK_END = """\
    inner = gelu(nn_layer(expand["weight"].T, x, expand["bias"]))
    worked_on = nn_layer(contract["weight"].T, inner, contract["bias"])
"""
GELU_LAST = """\
    inner = nn_layer(expand["weight"].T, x, expand["bias"])
    worked_on = gelu(nn_layer(contract["weight"].T, inner, contract["bias"]))
"""

POOL = """\
    sums = jnp.sum(x * is_real[:, :, None], axis=1)
    return sums / jnp.sum(is_real, axis=1)[:, None]
"""
POOLED_ALL = """\
    return jnp.mean(x, axis=1)
"""
POOLED_FIRST = """\
    return x[:, 0]
"""
POOLED_LARGEST = """\
    return jnp.max(jnp.where(is_real[:, :, None], x, -jnp.inf), axis=1)
"""
POOLED_SUM = """\
    return jnp.sum(x * is_real[:, :, None], axis=1)
"""

BLOCKS = """\
    for number in range(len(params["layers"])):
        rows = transformer_block(params["layers"][str(number)], rows, is_real, heads)
"""
BLOCKS_OF_DICT = """\
    for layer in params["layers"].values():
        rows = transformer_block(layer, rows, is_real, heads)
"""
BLOCKS_BACKWARDS = """\
    for number in reversed(range(len(params["layers"]))):
        rows = transformer_block(params["layers"][str(number)], rows, is_real, heads)
"""
SCALED = "pooled / jnp.linalg.norm(pooled, axis=1, keepdims=True)"

LINEAR_DRAWN = "jax.random.uniform(part_key, shape, minval=-bound, maxval=bound)"
LINEAR_DRAWN_IN_NUMPY = "rng.uniform(-bound, bound, size=shape)"
NORMAL_DRAWN = """jax.random.normal(keys[0], shapes["weight"])"""
NORMAL_DRAWN_IN_NUMPY = """rng.normal(size=shapes["weight"])"""
NORM_MADE = """{"weight": jnp.ones(shapes["weight"]), "bias": jnp.zeros(shapes["bias"])}"""

STATE_DICT = """\
        *above, name = path.split(".")
        inside = params
        for part in above:
            inside = inside.setdefault(part, {})
        inside[name] = value
"""

CUT = """\
        numbers.append(vocabulary[before + word[start : ends[-1]]])
        start = ends[-1]
"""
CUT_SHORTEST = CUT.replace("ends[-1]", "ends[0]")

LOSS = """\
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - right)
"""
LOSS_BY_HAND = """\
    return jnp.mean(jnp.log(jnp.sum(jnp.exp(scores), axis=1)) - right)
"""


def in_numpy(text):
    """Write an edit as it stands before the port."""
    return text.replace("jnp.", "np.")


def both(old, new):
    """Give the edit of the NumPy version, where that differs by `np` alone."""
    return in_numpy(old), in_numpy(new)


BUGS = [
    # --- 1 forward pass ---
    Bug(
        "numpy_counterparts",
        "columns looked up in embedding",
        "weight[tokens]",
        "weight.T[tokens]",
        why="A linear layer's weight is transposed before use, and the habit is carried over.",
        question="Which axis of embedding's weight counts the words?",
        hint="Look up word 0 in a table of two rows and three columns.",
    ),
    Bug(
        "numpy_counterparts",
        "weight as it is in linear",
        "x @ weight.T",
        "x @ weight",
        why="On paper a layer is x times weight; PyTorch keeps its weight with the outputs first.",
        question="Which axis of linear's weight is as long as a row of x?",
        hint="Try a weight of shape (2, 3) on a row of three numbers.",
    ),
    Bug(
        "numpy_counterparts",
        "product entry by entry",
        "first @ second",
        "first * second",
        why="In many languages the star multiplies matrices, and in NumPy it runs on squares.",
        question="Which product of two arrays do you take for matmul?",
        hint="Multiply a (2, 3) array by a (3, 4) array.",
    ),
    Bug(
        "numpy_counterparts",
        "mask the wrong way round in masked_fill",
        "np.where(mask, -1e9, scores)",
        "np.where(mask, scores, -1e9)",
        why="np.where names first what is kept where True; masked_fill replaces where True.",
        question="What does masked_fill do where its mask is True?",
        hint="Fill one of three scores and look at the other two.",
    ),
    Bug(
        "numpy_counterparts",
        "softmax over everything",
        COUNTERPART_OF_SOFTMAX,
        "scipy.special.softmax(x)",
        why="SciPy's softmax runs without an axis, and takes the whole array for one row.",
        question="What do the values that leave your softmax add up to?",
        hint="Assert that each row sums to 1.",
    ),
    Bug(
        "numpy_counterparts",
        "softmax over the first axis",
        COUNTERPART_OF_SOFTMAX,
        "scipy.special.softmax(x, axis=0)",
        why="axis=0 is the first that comes to mind, and in square arrays it shows little.",
        question="Over which axis does your softmax sum to 1?",
        hint="Assert that each row sums to 1.",
    ),
    Bug(
        "numpy_counterparts",
        "softmax that overflows",
        COUNTERPART_OF_SOFTMAX,
        "np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)",
        why="The formula in every textbook has no maximum in it.",
        question="What does your softmax make of a score of 1000?",
        hint="Ask for the softmax of 1000 and -1000.",
    ),
    Bug(
        "gelu",
        "tanh approximation",
        GELU,
        TANH,
        before_port=(GELU_IN_NUMPY, in_numpy(TANH)),
        why="The first GPTs compute it this way, and it is never further off than 0.0005.",
        question="Is your curve the bell curve's own share, or one that comes close to it?",
        hint="Compare with a table of the bell curve, to a millionth.",
    ),
    Bug(
        "gelu",
        "sigmoid approximation",
        GELU,
        SIGMOID,
        before_port=(GELU_IN_NUMPY, in_numpy(SIGMOID)),
        why="With 1.702 a sigmoid looks like the bell curve's share, and is quick to write.",
        question="Does the sigmoid stand in the original?",
        hint="Compare with a table of the bell curve at 1.",
    ),
    Bug(
        "gelu",
        "root of two left out",
        "erf(x / 2**0.5)",
        "erf(x)",
        why="The error function belongs to a narrower bell than the one with spread 1.",
        question="How wide is the bell curve of your error function?",
        hint="gelu(1) is 0.8413, as in every table of the bell curve.",
    ),
    Bug(
        "gelu",
        "share alone",
        "return x * (1",
        "return (1",
        why="The share is the interesting part of the formula, and is taken for the whole.",
        question="What is the share multiplied by?",
        hint="Assert that gelu of 0 is 0.",
    ),
    Bug(
        "gelu",
        "not halved",
        "2**0.5)) / 2",
        "2**0.5))",
        why="The error function goes from -1 to 1, so adding 1 seems to be enough for a share.",
        question="How large can your share get?",
        hint="Assert that gelu of 30 is 30.",
    ),
    Bug(
        "gelu",
        "error function not raised",
        "(1 + jax.scipy.special.erf(x / 2**0.5))",
        "jax.scipy.special.erf(x / 2**0.5)",
        before_port=(
            "(1 + scipy.special.erf(x / 2**0.5))",
            "scipy.special.erf(x / 2**0.5)",
        ),
        why="The error function is taken for the share itself.",
        question="What is your share for a very negative number?",
        hint="Assert that gelu of -30 is 0.",
    ),
    Bug(
        "gelu",
        "relu for gelu",
        GELU,
        RELU,
        before_port=(GELU_IN_NUMPY, in_numpy(RELU)),
        why="The two are alike but around zero, and one of them is known by heart.",
        question="What does your curve do a little below zero?",
        hint="Assert that gelu of -1 is below zero.",
    ),
    Bug(
        "layer_norm",
        "eps outside the root",
        "jnp.sqrt(variance + eps)",
        "(jnp.sqrt(variance) + eps)",
        before_port=both("jnp.sqrt(variance + eps)", "(jnp.sqrt(variance) + eps)"),
        why="Both keep the division from failing, and on ordinary rows no digit differs.",
        question="Is eps added before or after the root is taken?",
        hint="Ask for a row of -1 and 1 with an eps of 3.",
    ),
    Bug(
        "layer_norm",
        "variance instead of spread",
        "jnp.sqrt(variance + eps)",
        "(variance + eps)",
        before_port=both("jnp.sqrt(variance + eps)", "(variance + eps)"),
        why="Rows are divided by how much they vary, and the variance is at hand.",
        question="What is the spread of a row after your division?",
        hint="Assert that the standard deviation of each row is 1.",
    ),
    Bug(
        "layer_norm",
        "sample variance",
        VARIANCE,
        SAMPLE_VARIANCE,
        before_port=both(VARIANCE, SAMPLE_VARIANCE),
        why="Statistics divides by one less than the count, and so does torch.var by default.",
        question="By how many is the sum of squares divided?",
        hint="Assert that the standard deviation of a short row is exactly 1.",
    ),
    Bug(
        "layer_norm",
        "normalised over the batch",
        BOTH,
        BOTH_OVER_BATCH,
        before_port=both(BOTH, BOTH_OVER_BATCH),
        why="Batch normalisation is older and better known.",
        question="Which numbers share a mean with each other?",
        hint="Ask for a row alone and among others.",
    ),
    Bug(
        "layer_norm",
        "normalised over the words",
        BOTH,
        BOTH_OVER_WORDS,
        before_port=both(BOTH, BOTH_OVER_WORDS),
        why="With three axes the last but one looks like the one to go along.",
        question="Does each word have a mean of its own?",
        hint="Assert that the mean of every row is zero.",
    ),
    Bug(
        "layer_norm",
        "normalised all together",
        BOTH,
        BOTH_OVER_ALL,
        before_port=both(BOTH, BOTH_OVER_ALL),
        why="Without an axis a mean is taken over everything, and the whole looks normal.",
        question="How many means do you take?",
        hint="Try rows that differ a lot.",
    ),
    Bug(
        "layer_norm",
        "mean not taken away",
        NORM,
        "x / jnp.sqrt(variance + eps)",
        before_port=both(NORM, "x / jnp.sqrt(variance + eps)"),
        why="The mean is used for the variance, and is then thought to be done with.",
        question="What is the mean of a row that leaves your norm?",
        hint="Try rows far from zero.",
    ),
    Bug(
        "layer_norm",
        "PyTorch's usual eps",
        "eps=1e-12",
        "eps=1e-5",
        why="1e-5 is what nn.LayerNorm takes when nothing is said.",
        question="Which eps does the original give to nn.LayerNorm?",
        hint="Try rows of a millionth, where eps counts.",
    ),
    Bug(
        "layer_norm",
        "eps not asked for",
        "variance + eps",
        "variance + 1e-12",
        why="The number that the original has is written where it is used.",
        question="What happens to the eps that is handed over?",
        hint="Ask with an eps of 3.",
    ),
    Bug(
        "layer_norm",
        "scaled after the shift",
        f"""{NORM} * params["weight"] + params["bias"]""",
        f"""({NORM} + params["bias"]) * params["weight"]""",
        before_port=both(
            f"""{NORM} * params["weight"] + params["bias"]""",
            f"""({NORM} + params["bias"]) * params["weight"]""",
        ),
        why="Fresh weights are ones, and with them the order makes no difference.",
        question="Is your bias multiplied by anything?",
        hint="Take a weight of 3 and a bias of 1.",
    ),
    Bug(
        "layer_norm",
        "scale left out",
        """ * params["weight"]""",
        "",
        why="It is said to normalise, and there it seems to end.",
        question="What are the two arrays of params for?",
        hint="Take a weight of 3.",
    ),
    Bug(
        "attention",
        "root left out",
        " / (width // heads) ** 0.5",
        "",
        why="The products work without it, and small ones hardly change the weights.",
        question="What do you do to the scores before softmax sees them?",
        hint="Work the weights of two words out by hand.",
    ),
    Bug(
        "attention",
        "root of the whole width",
        "(width // heads) ** 0.5",
        "width**0.5",
        why="The formula has a d under the root, and there are two sizes of that name.",
        question="How many numbers does one of your products add up?",
        hint="Compare two heads with the halves they look at, each alone.",
    ),
    Bug(
        "attention",
        "head size without its root",
        "(width // heads) ** 0.5",
        "(width // heads)",
        why="Dividing by the number of terms is what a mean does.",
        question="By how much do your scores shrink when a head is four times as wide?",
        hint="Work the weights of two words out by hand.",
    ),
    Bug(
        "attention",
        "padding looked at",
        MASKED,
        "scores",
        before_port=both(MASKED, "scores"),
        why="Without padding in the first example, is_real seems to do nothing.",
        question="How much weight does padding get?",
        hint="Compare a padded sentence with the bare one.",
    ),
    Bug(
        "attention",
        "padding masked as the one who looks",
        "is_real[:, None, None, :]",
        "is_real[:, None, :, None]",
        why="Scores have two axes of the same length, and the mask broadcasts along either.",
        question="Which axis of scores is the word that is looked at?",
        hint="Compare a padded sentence with the bare one.",
    ),
    Bug(
        "attention",
        "mask upside down",
        MASKED,
        "jnp.where(is_real[:, None, None, :], -1e9, scores)",
        before_port=both(MASKED, "jnp.where(is_real[:, None, None, :], -1e9, scores)"),
        why="PyTorch's masked_fill replaces where True, np.where keeps the first where True.",
        question="Which words get a score that no real one comes near?",
        hint="Compare a padded sentence with the bare one.",
    ),
    Bug(
        "attention",
        "masked with zero",
        "scores, -1e9)",
        "scores, 0.0)",
        why="Nothing is commonly written as zero, and a score of zero is a score.",
        question="What does softmax make of the score that padding has?",
        hint="Compare a padded sentence with the bare one.",
    ),
    Bug(
        "attention",
        "masked after softmax",
        SOFTMAX,
        MASKED_LATE,
        before_port=(SOFTMAX_IN_NUMPY, MASKED_LATE_IN_NUMPY),
        why="A weight of zero is what is wanted, so zero is what weights are multiplied by.",
        question="What do the weights of one word add up to, where there is padding?",
        hint="Compare a padded sentence with the bare one.",
    ),
    Bug(
        "attention",
        "softmax over the one who looks",
        SOFTMAX,
        SOFTMAX.replace("-1e9))", "-1e9), axis=-2)"),
        before_port=(SOFTMAX_IN_NUMPY, SOFTMAX_IN_NUMPY.replace("axis=-1", "axis=-2")),
        why="Scores are square in their last two axes, so either axis runs.",
        question="Over which words do the weights of one word add up to 1?",
        hint="Work the weights of two words out by hand.",
    ),
    Bug(
        "attention",
        "softmax over the batch",
        SOFTMAX,
        SOFTMAX.replace("-1e9))", "-1e9), axis=0)"),
        before_port=(SOFTMAX_IN_NUMPY, SOFTMAX_IN_NUMPY.replace("axis=-1", "axis=0")),
        why="axis=0 is typed by habit, and here it is the batch.",
        question="Does a sentence get the same weights in other company?",
        hint="Ask for a sentence alone and among others.",
    ),
    Bug(
        "attention",
        "scores that overflow",
        SOFTMAX,
        OVERFLOWS,
        before_port=(SOFTMAX_IN_NUMPY, in_numpy(OVERFLOWS)),
        why="The formula in every textbook has no maximum in it, and small scores need none.",
        question="What is the exponential of your largest score?",
        hint="Try queries and keys a hundred times as large.",
    ),
    Bug(
        "attention",
        "key and query swapped",
        "query @ key.swapaxes(2, 3)",
        "key @ query.swapaxes(2, 3)",
        why="Both have the same shape, and their product is square.",
        question="Which word does a row of your scores belong to?",
        hint="Give the two words of a sentence different queries, and work it out by hand.",
    ),
    Bug(
        "attention",
        "keys passed on",
        "weights @ value",
        "weights @ key",
        why="What is found by its key is thought to be the key.",
        question="What does a word take up from those that it looks at?",
        hint="Make the value's weight twice as large, and assert that the answer changes.",
    ),
    Bug(
        "attention",
        "heads cut across words",
        SPLIT,
        "rows.reshape(batch, heads, seq, width // heads)",
        why="The shape is the right one, so one reshape seems to do the work of two steps.",
        question="Do the numbers of one head come from one word?",
        hint="Compare two heads with the halves they look at, each alone.",
    ),
    Bug(
        "attention",
        "heads interleaved",
        SPLIT,
        "rows.reshape(batch, seq, width // heads, heads).transpose(0, 3, 1, 2)",
        why="Both ways share the width out evenly; one deals it out like cards.",
        question="Which numbers of a word belong to the first head?",
        hint="Compare two heads with the halves they look at, each alone.",
    ),
    Bug(
        "attention",
        "heads not brought back",
        JOINED,
        "(weights @ value).reshape(batch, seq, width)",
        why="reshape takes any order of axes without a word.",
        question="Which axis comes before the last when heads are joined again?",
        hint="Compare two heads with the halves they look at, each alone.",
    ),
    Bug(
        "attention",
        "last layer left out",
        LAST_LAYER,
        "return mixed",
        why="The formula in the paper ends with the values, and the last layer is in the text.",
        question="What happens after the heads are joined?",
        hint="Make the last weight zeros: only its bias should come out.",
    ),
    Bug(
        "transformer_block",
        "attention not added to what was there",
        "x + attention(",
        "attention(",
        why="What attention returns has the shape that is wanted, so it is taken as it is.",
        question="What becomes of a word that finds nothing to take up?",
        hint="Make the last layer of attention zeros: the word should still be there.",
    ),
    Bug(
        "transformer_block",
        "second layer not added to what was there",
        "x + worked_on",
        "worked_on",
        why="The first sum is remembered, and the second looks the same.",
        question="How many sums are there in the original's block?",
        hint="Make contract zeros: the words should still be there.",
    ),
    Bug(
        "transformer_block",
        "normalised before attention",
        ATTENDED,
        NORMED_BEFORE,
        why="Newer models normalise what goes in, and most drawings show those.",
        question="Is it the sum that is normalised, or one of its terms?",
        hint="Assert that rows have the mean 0 after a block with fresh norms.",
    ),
    Bug(
        "transformer_block",
        "gelu after contract",
        BLOCK_END,
        GELU_LAST,
        why="Both layers are followed by something, and only one by gelu.",
        question="Which of the two layers does gelu follow?",
        hint="Work one word through a block by hand.",
    ),
    Bug(
        "transformer_block",
        "no gelu",
        'gelu(nn_layer(expand["weight"].T, x, expand["bias"]))',
        'nn_layer(expand["weight"].T, x, expand["bias"])',
        why="Two layers are copied from the two lines above, and those had nothing between.",
        question="What stands between the two layers?",
        hint="Work one word through a block by hand.",
    ),
    Bug(
        "transformer_block",
        "one norm for both",
        'params["output_norm"]',
        'params["attention_norm"]',
        why="The last line is copied from the first, and fresh norms are all alike.",
        question="Does each norm of a block get its own params?",
        hint="Give the two norms different biases.",
    ),
    Bug(
        "transformer_block",
        "last norm left out",
        'layer_norm(params["output_norm"], x + worked_on)',
        "x + worked_on",
        why="The sum looks like an end.",
        question="What does the original do last in a block?",
        hint="Assert that rows have the mean 0 after a block with fresh norms.",
    ),
    Bug(
        "embed",
        "positions left out",
        "words + places",
        "words",
        why="Words are looked up, and nothing seems to be missing: the shape is right.",
        question="Would your model know the first word from the last?",
        hint="Swap two words and assert that the sentence's vector changes.",
    ),
    Bug(
        "embed",
        "first position only",
        '["weight"][:seq]',
        '["weight"][0]',
        why="A table is indexed with a number, and the row of it broadcasts.",
        question="How many different positions do your words have?",
        hint="Swap two words and assert that the sentence's vector changes.",
    ),
    Bug(
        "embed",
        "last positions taken",
        '["weight"][:seq]',
        '["weight"][-seq:]',
        why="A slice of the right length fits from either end.",
        question="Which row of the table belongs to the first word?",
        hint="Look up a sentence of two words by hand.",
    ),
    Bug(
        "embed",
        "words scaled by the root of the width",
        "words + places",
        "words * words.shape[-1] ** 0.5 + places",
        why="The paper of 2017 does so, and later models do not.",
        question="Is a row of the table used as it stands there?",
        hint="Look up one word by hand.",
    ),
    Bug(
        "embed",
        "positions added after the norm",
        'layer_norm(params["embedding_norm"], words + places)',
        'layer_norm(params["embedding_norm"], words) + places',
        why="Two things are done to the words, and either order runs.",
        question="What is normalised: the words, or the sum?",
        hint="Assert that rows have the mean 0 with fresh norms.",
    ),
    Bug(
        "embed",
        "embeddings not normalised",
        'return layer_norm(params["embedding_norm"], words + places)',
        "return words + places",
        why="The paper of 2017 has no norm there, and BERT has.",
        question="What does the original do with the sum of word and position?",
        hint="Assert that rows have the mean 0 with fresh norms.",
    ),
    Bug(
        "embed",
        "embeddings rounded",
        "words + places)",
        "(words + places).round(2))",
        why="Numbers shortened for a printout are gone on with.",
        question="Are all digits of the sum still there?",
        hint="Take the gradient: rounding has none.",
    ),
    Bug(
        "pool",
        "mean over padding too",
        POOL,
        POOLED_ALL,
        before_port=both(POOL, POOLED_ALL),
        why="A mean over the words is one call, and padding has rows like words.",
        question="Which rows is your mean taken over?",
        hint="Compare a padded sentence with the bare one.",
    ),
    Bug(
        "pool",
        "divided by the padded length",
        "jnp.sum(is_real, axis=1)[:, None]",
        "x.shape[1]",
        before_port=both("jnp.sum(is_real, axis=1)[:, None]", "x.shape[1]"),
        why="Padding is left out of the sum, and that it is counted too is overlooked.",
        question="By how many is the sum of a short sentence divided?",
        hint="Work the mean of a padded sentence out by hand.",
    ),
    Bug(
        "pool",
        "divided by the words of all sentences",
        "jnp.sum(is_real, axis=1)[:, None]",
        "jnp.sum(is_real)",
        before_port=both("jnp.sum(is_real, axis=1)[:, None]", "jnp.sum(is_real)"),
        why="Without an axis a sum is one number, and it divides all the same.",
        question="Whose words are counted for the mean of one sentence?",
        hint="Work the means of two sentences out by hand.",
    ),
    Bug(
        "pool",
        "first word for the sentence",
        POOL,
        POOLED_FIRST,
        before_port=both(POOL, POOLED_FIRST),
        why="BERT's own classifier reads the first token alone.",
        question="Which words of a sentence does its vector come from?",
        hint="Change the last word and assert that the mean changes.",
    ),
    Bug(
        "pool",
        "largest instead of mean",
        POOL,
        POOLED_LARGEST,
        before_port=both(POOL, POOLED_LARGEST),
        why="Pooling takes the largest in networks for images.",
        question="How do the words of a sentence become one row?",
        hint="Work the mean of two words out by hand.",
    ),
    Bug(
        "pool",
        "sum of the words",
        POOL,
        POOLED_SUM,
        before_port=both(POOL, POOLED_SUM),
        why="The vectors get the length 1 in the end, and then no division shows.",
        question="Does your mean grow with the length of a sentence?",
        hint="Repeat a word and assert that the mean stays.",
    ),
    Bug(
        "transformer_model",
        "length left as it is",
        SCALED,
        "pooled",
        before_port=both(SCALED, "pooled"),
        why="Pooling gives one row for each sentence, and that looks like the end.",
        question="What does the original do to the mean before it is returned?",
        hint="Assert that every vector has the length 1.",
    ),
    Bug(
        "transformer_model",
        "divided by the squared length",
        SCALED,
        "pooled / jnp.sum(pooled**2, axis=1, keepdims=True)",
        before_port=both(SCALED, "pooled / jnp.sum(pooled**2, axis=1, keepdims=True)"),
        why="The sum of squares is on the way to a length, and its root is forgotten.",
        question="How long is a vector that you divide by its sum of squares?",
        hint="Assert that every vector has the length 1.",
    ),
    Bug(
        "transformer_model",
        "scaled over the batch",
        "norm(pooled, axis=1,",
        "norm(pooled, axis=0,",
        why="axis=0 is typed by habit, and here it is the batch.",
        question="Whose length becomes 1?",
        hint="Ask for a sentence alone and among others.",
    ),
    Bug(
        "transformer_model",
        "words not pooled",
        "pooled = pool(rows, is_real)",
        "pooled = rows",
        why="Words come out of the last block, and what comes out of it looks like the answer.",
        question="How many vectors does a sentence have in the end?",
        hint="Assert the shape of what comes out.",
    ),
    Bug(
        "transformer_model",
        "same block each time",
        '["layers"][str(number)]',
        '["layers"]["0"]',
        why="The line is tried out with the first block, and then put into the loop.",
        question="Which params does the second block use?",
        hint="Change the last block and assert that the vectors change.",
    ),
    Bug(
        "transformer_model",
        "first block only",
        'range(len(params["layers"]))',
        "range(1)",
        why="A loop that was tried out with one turn is left at one.",
        question="How often does your loop run?",
        hint="Change the last block and assert that the vectors change.",
    ),
    Bug(
        "transformer_model",
        "blocks as the dict has them",
        BLOCKS,
        BLOCKS_OF_DICT,
        why="A dict keeps the order that it was filled in, and JAX sorts its keys as text.",
        question="In which order do your blocks run if the dict is filled in another one?",
        hint="Hand over the blocks in another order of the dict.",
    ),
    Bug(
        "transformer_model",
        "blocks in the order of their names",
        'for number in range(len(params["layers"])):',
        'for number in sorted(params["layers"]):',
        why="The names are numbers, but they are text, and text is sorted letter by letter.",
        question="Where does block 10 come when names are sorted as text?",
        hint="Try a model of eleven blocks.",
    ),
    Bug(
        "transformer_model",
        "blocks backwards",
        BLOCKS,
        BLOCKS_BACKWARDS,
        why="In drawings of the model the last block is on top, and is read first.",
        question="Which block sees the embeddings?",
        hint="Take two blocks that differ and call them by hand.",
    ),
    Bug(
        "transformer_model",
        "always three heads",
        "rows, is_real, heads)",
        "rows, is_real, 3)",
        why="The default sizes have three, so it seems to be right.",
        question="What happens to the heads that are asked for?",
        hint="Ask for two heads and for three, and assert that they differ.",
    ),
    # --- 2 shapes ---
    Bug(
        "param_shapes",
        "weights with inputs first",
        '"weight": (out_features, in_features)',
        '"weight": (in_features, out_features)',
        why="On paper a layer leads from inputs to outputs, and the weight is read the same way.",
        question="Which of a weight's axes comes first in PyTorch?",
        hint="Ask for an inner size other than the width.",
    ),
    Bug(
        "param_shapes",
        "expand and contract swapped",
        """\
        "expand": linear(width, inner),
        "contract": linear(inner, width),
""",
        """\
        "expand": linear(inner, width),
        "contract": linear(width, inner),
""",
        why="The two lines look the same, and which is which is in their arguments alone.",
        question="Which of the two layers makes rows longer?",
        hint="Ask for an inner size other than the width.",
    ),
    Bug(
        "param_shapes",
        "norms as a column",
        '"bias": (width,)}',
        '"bias": (width, 1)}',
        why="Vectors are written as columns in most textbooks.",
        question="How many axes does a norm's bias have?",
        hint="Assert the whole shape of a norm's bias.",
    ),
    Bug(
        "param_shapes",
        "a number of heads among the shapes",
        '"weight": (words, width)',
        '"weight": (words, width // 3)',
        why="Heads split the width, so the split is looked for in the params.",
        question="Does the table of words know of heads?",
        hint="Assert the shape of the table of words.",
    ),
    Bug(
        "param_shapes",
        "tables turned round",
        '"weight": (positions, width)',
        '"weight": (width, positions)',
        why="A weight is (out_features, in_features), and a table is called weight too.",
        question="What does one row of the table of positions belong to?",
        hint="Ask for fewer positions than the width.",
    ),
    Bug(
        "param_shapes",
        "blocks counted from one",
        "str(number): block for number in range(layers)",
        "str(number + 1): block for number in range(layers)",
        why="People count from one, nn.ModuleList does not.",
        question="What is the first block called in the state_dict?",
        hint="Assert the names of three blocks.",
    ),
    Bug(
        "param_shapes",
        "always two blocks",
        "range(layers)",
        "range(2)",
        why="The default sizes have two blocks, and the number is copied.",
        question="How many blocks come for one layer?",
        hint="Ask for three layers and count the blocks.",
    ),
    Bug(
        "activation_shapes",
        "every head as wide as all",
        "head_size = width // heads",
        "head_size = width",
        why="Several heads sound like several attentions, each as wide as the model.",
        question="How many numbers do all heads have together?",
        hint="Ask for three heads of a width of 12.",
    ),
    Bug(
        "activation_shapes",
        "heads behind the words",
        '"query": (batch, heads, seq, head_size)',
        '"query": (batch, seq, heads, head_size)',
        why="That is the order before the two axes are swapped.",
        question="Which axis comes second after the original's split?",
        hint="Assert the shape of query with as many heads as there are not words.",
    ),
    Bug(
        "activation_shapes",
        "scores without heads",
        '"scores": (batch, heads, seq, seq)',
        '"scores": (batch, seq, seq)',
        why="One attention has one score for two words, and the heads are forgotten.",
        question="How many scores do two words have?",
        hint="Assert how many axes scores has.",
    ),
    Bug(
        "activation_shapes",
        "scores over the head",
        '"scores": (batch, heads, seq, seq)',
        '"scores": (batch, heads, head_size, head_size)',
        why="Two matrices can be multiplied on either side, and one side gives this.",
        question="For which two things is there a score?",
        hint="Assert the shape of scores with more words than numbers in a head.",
    ),
    Bug(
        "activation_shapes",
        "words kept in pool",
        '"pool": (batch, width)',
        '"pool": (batch, 1, width)',
        why="keepdims keeps an axis of one where a mean was taken.",
        question="How many axes does the mean over the words have left?",
        hint="Assert the shape of what comes out of pool.",
    ),
    Bug(
        "activation_shapes",
        "contract as wide as expand",
        '"contract": (batch, seq, width)',
        '"contract": (batch, seq, inner)',
        why="The line is copied from the one above it.",
        question="What can be added to x in the last line of a block?",
        hint="Ask for an inner size other than the width.",
    ),
    # --- 3 params ---
    Bug(
        "make_transformer_params",
        "bound without its root",
        'shapes["weight"][1] ** -0.5',
        '1 / shapes["weight"][1]',
        why="Dividing by the number of inputs keeps a sum small as well.",
        question="How does the bound shrink when a layer has four times the inputs?",
        hint="Draw many, and compare the largest with 1 / sqrt(in_features).",
    ),
    Bug(
        "make_transformer_params",
        "bound from the outputs",
        'shapes["weight"][1] ** -0.5',
        'shapes["weight"][0] ** -0.5',
        why="A weight has two sizes, and PyTorch keeps the outputs first.",
        question="Which size of a weight decides the bound?",
        hint="Draw an expand layer and compare its largest with 1 / sqrt(in_features).",
    ),
    Bug(
        "make_transformer_params",
        "layers drawn from a normal distribution",
        LINEAR_DRAWN,
        "bound / 3**0.5 * jax.random.normal(part_key, shape)",
        before_port=(LINEAR_DRAWN_IN_NUMPY, "bound / 3**0.5 * rng.normal(size=shape)"),
        why="The spread is right, and most papers draw weights this way.",
        question="How far from zero can a value of nn.Linear be at most?",
        hint="Draw many, and assert that none is beyond 1 / sqrt(in_features).",
    ),
    Bug(
        "make_transformer_params",
        "no value below zero",
        "minval=-bound",
        "minval=0.0",
        before_port=("rng.uniform(-bound", "rng.uniform(0.0"),
        why="A uniform distribution begins at 0 unless it is told otherwise.",
        question="Do the values of a layer have both signs?",
        hint="Draw many, and look for the smallest.",
    ),
    Bug(
        "make_transformer_params",
        "tables as BERT draws them",
        NORMAL_DRAWN,
        f"0.02 * {NORMAL_DRAWN}",
        before_port=(NORMAL_DRAWN_IN_NUMPY, f"0.02 * {NORMAL_DRAWN_IN_NUMPY}"),
        why="BERT's papers name a spread of 0.02, and this original keeps nn.Embedding's.",
        question="What spread does nn.Embedding draw with?",
        hint="Draw many, and look at the spread of the table of words.",
    ),
    Bug(
        "make_transformer_params",
        "norms that start at zero",
        "ones(shapes",
        "zeros(shapes",
        why="Nothing added and nothing scaled sounds like zeros for both.",
        question="What does a fresh norm multiply by?",
        hint="Assert that a fresh norm's weight is ones.",
    ),
    Bug(
        "make_transformer_params",
        "numbers shared by weight and bias",
        "uniform(part_key",
        "uniform(key",
        before_port=(
            LINEAR_DRAWN_IN_NUMPY,
            "np.random.default_rng(key).uniform(-bound, bound, size=shape)",
        ),
        why="One key for a layer sounds like enough, and a layer holds two arrays.",
        question="Where do the random numbers of a second array come from?",
        hint="Assert that no two values of the params are equal.",
    ),
    Bug(
        "make_transformer_params",
        "another key's params",
        "jax.random.key(key)",
        "jax.random.key(0)",
        before_port=("default_rng(key)", "default_rng(0)"),
        why="A number typed to make the first runs repeat is still there in the end.",
        question="What changes when the key does?",
        hint="Draw with two keys and assert that the values differ.",
    ),
    Bug(
        "params_from_state_dict",
        "turned round on the way",
        "inside[name] = value",
        "inside[name] = value.T",
        why="A weight has to be turned round somewhere, and doing it here is soon forgotten.",
        question="Does every array keep its shape on the way?",
        hint="Take a weight that is not square and compare its shape before and after.",
    ),
    Bug(
        "params_from_state_dict",
        "two levels only",
        STATE_DICT,
        """\
        above, name = path.rsplit(".", 1)
        params.setdefault(above, {})[name] = value
""",
        why="It was enough for a model whose layers lie side by side.",
        question="How many dicts lie inside each other for a name with four dots?",
        hint="Look a query's weight up as attention will.",
    ),
    Bug(
        "params_from_state_dict",
        "all names kept whole",
        "inside[name] = value",
        "params[path] = value",
        why="A copy with the old names prints much like what is asked for.",
        question="Under which names will embed look for its params?",
        hint="Hand the result to embed.",
    ),
    Bug(
        "params_from_state_dict",
        "begun anew for each array",
        "inside.setdefault(part, {})",
        "inside[part] = {}",
        why="A dict is made where one is needed, and is there already the second time.",
        question="What happens to a dict when a second array goes into it?",
        hint="Assert that a layer holds a weight and a bias.",
    ),
    Bug(
        "params_from_state_dict",
        "numbers of blocks as numbers",
        "inside = inside.setdefault(part, {})",
        "inside = inside.setdefault(int(part) if part.isdigit() else part, {})",
        why="A block is counted, so its number is made one.",
        question="Is a block's name the number 0, or the text?",
        hint="Look block 0 up as transformer_model will.",
    ),
    Bug(
        "params_from_state_dict",
        "digits lost on the way",
        "inside[name] = value",
        'inside[name] = value.astype("float32")',
        why="float32 is PyTorch's default, so the cast seems to change nothing.",
        question="Does every number arrive as precise as it was?",
        hint="Switch JAX to float64, hand over float64 and compare the dtypes.",
    ),
    # --- 5 training test ---
    Bug(
        "dummy_sentence_data",
        "each belongs to itself",
        "np.arange(batch) ^ 1",
        "np.arange(batch)",
        why="A row's number is at hand, and the other one of the pair takes a thought.",
        question="To which row does the first sentence belong?",
        hint="Assert that nobody belongs to itself.",
    ),
    Bug(
        "dummy_sentence_data",
        "each belongs to the next",
        "np.arange(batch) ^ 1",
        "(np.arange(batch) + 1) % batch",
        why="The next one is right for the first of a pair, and is taken for all.",
        question="To which row does the second sentence of a pair belong?",
        hint="Assert that y of y is where one started.",
    ),
    Bug(
        "dummy_sentence_data",
        "pairs far apart",
        "np.repeat(rng.integers(1, words, size=(batch // 2, seq)), 2, axis=0)",
        "np.tile(rng.integers(1, words, size=(batch // 2, seq)), (2, 1))",
        why="tile and repeat differ in their order alone.",
        question="Which rows hold the two sentences of a pair?",
        hint="Compare rows 0 and 1.",
    ),
    Bug(
        "dummy_sentence_data",
        "padding among the words",
        "rng.integers(1, words, size=(batch // 2, seq))",
        "rng.integers(words, size=(batch // 2, seq))",
        why="Numbers begin at 0 in most places, and here 0 is taken.",
        question="Which number does padding have?",
        hint="Assert that no real word is 0.",
    ),
    Bug(
        "dummy_sentence_data",
        "longest sentence left out",
        "rng.integers(3, seq + 1,",
        "rng.integers(3, seq,",
        why="The generator leaves out its upper end.",
        question="How long can your longest sentence be?",
        hint="Make 200 sentences and look for one without padding.",
    ),
    Bug(
        "dummy_sentence_data",
        "words behind the end",
        '{"tokens": tokens * is_real',
        '{"tokens": tokens',
        why="is_real says what counts, so the rest seems to be of no account.",
        question="What stands in tokens where there is no word?",
        hint="Assert that padding is 0.",
    ),
    Bug(
        "dummy_sentence_data",
        "padding marked instead of words",
        "np.arange(seq) < np.repeat",
        "np.arange(seq) >= np.repeat",
        why="A mask says what is hidden, in other libraries.",
        question="What does True stand for?",
        hint="Assert that the first word of every sentence is real.",
    ),
    Bug(
        "dummy_sentence_data",
        "all pairs the same sentence",
        "rng.integers(1, words, size=(batch // 2, seq))",
        "np.tile(rng.integers(1, words, size=seq), (batch // 2, 1))",
        why="Repeating one drawn sentence gives a batch of the right shape.",
        question="How many different sentences does a batch hold?",
        hint="Count the different rows of a large batch.",
    ),
    Bug(
        "dummy_sentence_data",
        "seed left to chance",
        "default_rng(key)",
        "default_rng()",
        why="A generator runs without a seed too, so a forgotten key raises no error.",
        question="Do you get the same sentences when you ask again with the same key?",
        hint="Draw twice with one key and compare.",
    ),
    Bug(
        "contrastive_loss",
        "compared with itself",
        "jnp.where(jnp.eye(len(scores), dtype=bool), -jnp.inf, scores)",
        "scores",
        why="Every sentence is nearest to itself, and in the product it stands among the others.",
        question="With which sentences is a sentence compared?",
        hint="Work the loss of three vectors out by hand.",
    ),
    Bug(
        "contrastive_loss",
        "itself scored as zero",
        "dtype=bool), -jnp.inf, scores)",
        "dtype=bool), 0.0, scores)",
        why="Multiplying a score by zero seems to take it away.",
        question="What does the exponential make of the score that you took away?",
        hint="Work the loss of three vectors out by hand.",
    ),
    Bug(
        "contrastive_loss",
        "not sharpened",
        "20 * vectors @",
        "vectors @",
        why="Cross-entropy takes any scores, and cosines are such.",
        question="How far apart can two of your scores be at most?",
        hint="Work the loss of three vectors out by hand.",
    ),
    Bug(
        "contrastive_loss",
        "divided by twenty",
        "20 * vectors @ vectors.T",
        "vectors @ vectors.T / 20",
        why="Papers divide by a temperature, of 0.05, and code multiplies by its inverse.",
        question="Do your scores grow or shrink by the factor?",
        hint="Work the loss of three vectors out by hand.",
    ),
    Bug(
        "contrastive_loss",
        "sum over the batch",
        "jnp.mean(jax.nn",
        "jnp.sum(jax.nn",
        why="Losses are summed in most textbooks.",
        question="Does your loss grow with the number of sentences?",
        hint="Work the loss of three vectors out by hand.",
    ),
    Bug(
        "contrastive_loss",
        "next row for the right one",
        "scores[jnp.arange(len(scores)), y]",
        "scores[jnp.arange(len(scores)), jnp.arange(len(scores)) ^ 1]",
        why="In made-up sentences the right one is always next to it, so y is not missed.",
        question="Does y reach your loss?",
        hint="Hand over a y that is not in pairs.",
    ),
    Bug(
        "contrastive_loss",
        "columns picked for rows",
        "scores[jnp.arange(len(scores)), y]",
        "scores[:, y].mean(axis=1)",
        why="Indexing with one array picks whole columns, and the mean makes the shape fit.",
        question="How many scores do you pick for one sentence?",
        hint="Work the loss of three vectors out by hand.",
    ),
    Bug(
        "contrastive_loss",
        "exponentials that overflow",
        LOSS,
        LOSS_BY_HAND,
        why="The formula is written as it stands, and small scores give no trouble.",
        question="What is the exponential of your largest score?",
        hint="Take vectors a hundred times as long.",
    ),
    Bug(
        "wordpieces",
        "shortest piece first",
        CUT,
        CUT_SHORTEST,
        why="The search begins with one letter, and stops at the first that fits.",
        question="Which of the pieces that fit do you take?",
        hint="Cut a word that begins with two pieces of different length.",
    ),
    Bug(
        "wordpieces",
        "no mark on what continues a word",
        'before = "##" if start else ""',
        'before = ""',
        why="The pieces are letters of the word, and the mark is no part of it.",
        question="What do pieces look like that do not begin a word?",
        hint="Cut a word into two pieces that are both words, too.",
    ),
    Bug(
        "wordpieces",
        "mark on the first piece too",
        'before = "##" if start else ""',
        'before = "##"',
        why="The mark is remembered, and that the first piece has none is not.",
        question="What does the piece that begins a word look like?",
        hint="Cut a word that is one piece.",
    ),
    Bug(
        "wordpieces",
        "the beginning kept of an unknown word",
        'return [vocabulary["[UNK]"]]',
        'return [*numbers, vocabulary["[UNK]"]]',
        why="What was found so far seems too good to be thrown away.",
        question="How many numbers does a word have of which only the beginning is known?",
        hint="Cut a word that ends with an unknown letter.",
    ),
    Bug(
        "wordpieces",
        "unknown letters skipped",
        """\
            return [vocabulary["[UNK]"]]
""",
        """\
            start += 1
            continue
""",
        why="Going on with the next letter keeps the most of a word.",
        question="What becomes of a word with a letter that nothing fits?",
        hint="Cut a word that ends with an unknown letter.",
    ),
    Bug(
        "wordpieces",
        "last letter left out",
        "range(start + 1, len(word) + 1)",
        "range(start + 1, len(word))",
        why="A range leaves out its end, and a slice does so too.",
        question="Can a piece reach to the end of the word?",
        hint="Cut a word that is one piece.",
    ),
    Bug(
        "published_params",
        "token type forgotten",
        " + sentence_type",
        "",
        why="There is no token type in our model, so its table is left alone.",
        question="What does BERT add to every word besides its position?",
        hint="Compare the positions with those of the file.",
    ),
    Bug(
        "published_params",
        "second token type",
        'token_type_embeddings.weight"][0]',
        'token_type_embeddings.weight"][1]',
        why="The table has two rows, and 1 sounds like the first.",
        question="Which token type does a single sentence have?",
        hint="Compare the positions with those of the file.",
    ),
    Bug(
        "published_params",
        "norms of a block swapped",
        """\
            "attention_norm": layer(f"{name}.attention.output.LayerNorm"),
""",
        """\
            "attention_norm": layer(f"{name}.output.LayerNorm"),
""",
        why="The two names differ in one word, and both arrays have one shape.",
        question="Where does the norm after attention get its arrays from?",
        hint="Give every array of the file numbers of its own.",
    ),
    Bug(
        "published_params",
        "attention's last layer for contract",
        'layer(f"{name}.output.dense")',
        'layer(f"{name}.attention.output.dense")',
        why="Two layers of a block are called output.dense.",
        question="Which of the two layers called output.dense comes last in a block?",
        hint="Give every array of the file numbers of its own.",
    ),
    Bug(
        "published_params",
        "key and value swapped by name",
        """\
                "key": layer(f"{name}.attention.self.key"),
                "value": layer(f"{name}.attention.self.value"),
""",
        """\
                "key": layer(f"{name}.attention.self.value"),
                "value": layer(f"{name}.attention.self.key"),
""",
        why="Lines that look the same are copied and changed, and both have one shape.",
        question="Does each of the four layers of attention get its own arrays?",
        hint="Give every array of the file numbers of its own.",
    ),
    Bug(
        "published_params",
        "turned round for our layers",
        '{"weight": tensors[f"{name}.weight"],',
        '{"weight": tensors[f"{name}.weight"].T,',
        why="nn_layer takes its weight the other way round, and that is done elsewhere already.",
        question="Does every array keep its shape on the way?",
        hint="Compare the shape of expand's weight with the file's.",
    ),
    Bug(
        "published_params",
        "six blocks always",
        'sum(name.endswith("self.query.weight") for name in tensors)',
        "6",
        why="all-MiniLM-L6-v2 has six, it says so in its name.",
        question="How many blocks does the file have?",
        hint="Hand over a file with two blocks.",
    ),
]
