"""Word what was seen: values and messages of a pair's, whatever they are."""


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def shorten(value):
    text = shown(repr, value).replace("\n", " ")
    return f"{type(value).__name__} {text[:40]}{'…' if len(text) > 40 else ''}"


def shown(how, value):
    """Turn a value of the pair's into text, whatever its class makes of that."""
    try:
        return how(value)
    except Exception:
        return "(cannot be shown)"


def first_line(text):
    """Make one sentence of a message, however long it is."""
    line = next(iter(text.strip()[:1000].splitlines()), "(no message)")[:200]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def indent(text):
    return "\n".join(f"    {line}" for line in text.splitlines())


def sentences(*parts: str) -> str:
    """Join the parts of what is said, those that there are."""
    return " ".join(filter(None, parts))
