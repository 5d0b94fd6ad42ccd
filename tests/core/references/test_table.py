"""What an uploaded table may be, and what is said of one that cannot be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import HippoViewError, InputError, TooLargeError
from core.references.group import Person
from core.references.table import MAX_TABLE_BYTES, read_table

HEADER = "age,sex,left_mm3,right_mm3\n"


def problem_of(text):
    with pytest.raises(InputError) as caught:
        read_table(text.encode() if isinstance(text, str) else text)
    return f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "63,F,2400,2500\n",
        "Age (years),Sex,Left (ml),Right [mm3]\n63,female,2.4,2500\n",
        "age_years;sex;left_cm3;right_ml\r\n63;w;2,4;2,5\r\n\r\n",
        "id\tage\tsex\tright_mm^3\tleft_mm\N{SUPERSCRIPT THREE}\n=1+1\t63\tF\t2500\t2400",
        "\ufeff" + HEADER + '"63","F","2400","2500"\n,,,\n',
    ],
)
def test_units_delimiters_and_other_columns_are_understood(text):
    assert read_table(text.encode()) == (Person(63.0, "F", 2400.0, 2500.0),)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("63,F,2400,", "row 3: right is empty"),
        ("63,F,2400", "row 3: right is empty"),
        (",F,2400,2500", "row 3: age is empty"),
        ("63,,2400,2500", "row 3: sex is empty"),
        ("63,1,2400,2500", "row 3: sex is neither F nor M"),
        ("63,F,nan,2500", "row 3: left is no number above 0"),
        ("63,F,inf,2500", "row 3: left is no number above 0"),
        ("63,F,-2400,2500", "row 3: left is no number above 0"),
        ("63,F,=A1,2500", "row 3: left is no number above 0"),
        ("63,F,1e3,2500", "row 3: left is no number above 0"),
        ("63,F,2.4,2500", "row 3: left is 2.4 mm3, and a hippocampus has 200 to 20,000 mm3"),
        ("63,F,2400,5,2500,5", "row 3: more cells than the first row has columns"),
        ("163,F,2400,2500", "row 3: an age of 163 years"),
    ],
)
def test_a_gap_or_an_impossible_value_is_refused_with_its_row(row, words):
    assert words in problem_of(f"{HEADER}63,F,2400,2500\n{row}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        (HEADER, "no rows"),
        ("age,sex,left,right_mm3\n1,F,2,3\n", "The unit of the column left is missing"),
        ("age,sex,left_mm,right_mm3\n1,F,2,3\n", "The unit of the column left is not known"),
        ("sex,left_ml\nF,2\n", "no column age and no column right"),
        ("age_months,sex,left_ml,right_ml\n1,F,2,3\n", "no column age"),
        ("age,age,sex,left_ml,right_ml\n1,1,F,2,3\n", "two columns age"),
        (b"PK\x03\x04\xff\xfe", "no text in UTF-8"),
        (HEADER + '63,F,"2400,2500\n', "no CSV"),
        ("a," * 200 + "\n1\n", "201 columns"),
        (HEADER + "63,F,x,y\n" * 9, "and 13 more"),
        ("age,sex,median_ml,p5_ml,p95_ml\n60,F,3.3,2.7,3.9\n", "percentiles of people, and no"),
        ("age,sex,left_p50_mm3,right_p50_mm3\n60,F,3300,3300\n", "a row each"),
        ("Age;Sex;Side;5th;25th;Median\n60;F;L;2,7;3,0;3,3\n", "measure controls here"),
        ("age,sex,n,left mean,left sd\n60,F,31,3300,340\n", "single values (age, sex"),
    ],
)
def test_a_table_that_is_none_is_refused_in_words(text, words):
    assert words in problem_of(text)


def test_a_table_has_a_size():
    for text in (b"a" * (MAX_TABLE_BYTES + 1), (HEADER + "63,F,2400,2500\n" * 5001).encode()):
        with pytest.raises(TooLargeError):
            read_table(text)


def test_no_text_of_the_table_is_said():
    assert "Miller" not in problem_of(HEADER + "Miller,Miller,Miller,Miller\n")
    assert "Miller" not in problem_of("Miller,sex,left Miller,right\n1,2,3,4\n")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: (HEADER + t).encode(
    errors="ignore"))))  # fmt: skip
def test_anything_else_is_a_table_or_refused(data):
    try:
        people = read_table(data)
    except HippoViewError:
        return
    assert all(200 <= person.left_mm3 <= 20_000 for person in people)
