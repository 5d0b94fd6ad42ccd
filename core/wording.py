"""Small words of sentences that people read."""


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    Parameters
    ----------
    many
        Of more than one; left out, with an s.

    >>> counted(1, "whole head"), counted(0, "case"), counted(1200, "person", "people")
    ('1 whole head', '0 cases', '1,200 people')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
