"""The ways in which a model may write a label: in upper or lower case, with a space before or without."""


def bare(text: str) -> str:
    """What all spellings of a label have in common."""
    return text.strip().lower()


def spellings(label: str) -> tuple[str, ...]:
    """All of them, as it was given first."""
    word = label.strip()
    cases = (word, word.lower(), word.capitalize(), word.upper())
    return tuple(dict.fromkeys([label, *(space + case for case in cases for space in ("", " "))]))
