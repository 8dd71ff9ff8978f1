"""Questions to a language model, how its answer begins, and a program that knows the right ones."""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import pycountry

ENDS = re.compile(r"[^\w\s'’\ufffd-]|\n")
"""What ends an answer: punctuation; \ufffd is a part of a letter that takes several tokens."""
GO_ON = {"and", "or", "but", "in", "on", "at", "with", "for", "to", "because", "as", "since", "where", "which", "next"}
"""Words that may follow a country; another one ("Jordan River") makes it something else."""
ALIASES = {
    "AE": ["emirates", "uae"],
    "BA": ["bosnia"],
    "BN": ["brunei"],
    "CD": ["dr congo", "drc", "democratic republic of congo", "democratic republic of the congo"],
    "CG": ["republic of the congo", "republic of congo"],
    "CI": ["ivory coast"],
    "CV": ["cape verde"],
    "CZ": ["czech republic"],
    "FM": ["micronesia"],
    "FK": ["falkland islands"],
    "GB": ["uk", "great britain", "britain", "england", "scotland", "wales", "northern ireland"],
    "IE": ["republic of ireland"],
    "MK": ["macedonia"],
    "MM": ["burma"],
    "MO": ["macau"],
    "NL": ["holland"],
    "PS": ["palestine"],
    "RU": ["russia"],
    "SZ": ["swaziland"],
    "TL": ["east timor"],
    "TR": ["turkey"],
    "TT": ["trinidad"],
    "US": ["usa", "america", "united states of america"],
    "VA": ["holy see", "vatican", "vatican city"],
    "VN": ["vietnam"],
}
"""What people call countries, beside ISO 3166's names; the parts of the United Kingdom stand for it."""


def plain(text):
    """Return the words of a text in lower case, without accents and a leading article."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"^(the|The) ", "", " ".join(letters.replace("-", " ").split())).lower()


def _names():
    found = {}
    for country in pycountry.countries:
        names = [country.name, getattr(country, "common_name", ""), getattr(country, "official_name", "")]
        # "Bolivia, Plurinational State of"
        names += [names[0].partition(",")[0], *ALIASES.get(country.alpha_2, [])]
        found.update({plain(name): country.alpha_2 for name in names if name})
    # what two countries have before the comma
    return found | {"korea": "KR", "congo": "CG"}


NAMES = _names()


def country(text):
    """Return the code of the country or territory of ISO 3166 that an answer names, None if it names none."""
    words = plain(ENDS.split(text)[0]).split()
    for count in range(len(words), 0, -1):
        code = NAMES.get(" ".join(words[:count]))
        if code and (count == len(words) or words[count] in GO_ON):
            return code
    return None


def multiple(text):
    """Return the multiple of 3 between 100 and 999 that an answer gives, as digits; None if it gives none."""
    number = re.fullmatch(r"([1-9][0-9]{2})(?:[.,;:!?]\s*)?", text.strip())
    return number[1] if number and int(number[1]) % 3 == 0 else None


class Task(NamedTuple):
    """A question, the beginning of its answer, and what gives the right answer that a text is, or None."""

    question: str
    begun: str
    right: Callable


TASKS = {
    "countries": Task("Which country would you like to visit?", "I would like to visit", country),
    "multiples": Task("Tell me a number between 100 and 999 that is divisible by 3.", "My number is ", multiple),
}
