"""A case beside a reference group: a table of its places, and the person among the curves."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app.services import Services
from app.views.words import DASH, plain, show_error
from core.cases.case import Case
from core.cases.study import Study, study_of
from core.errors import HippoViewError
from core.references.comparison import (
    Comparison,
    Standing,
    compare,
    why_none,
)
from core.references.group import FEMALE, MEASURES, Group
from core.references.groups import References
from core.references.words import (
    NOT_COMPARABLE,
    interval_words,
    ordinal,
    people_words,
    place_words,
    protocol_words,
    reach_words,
    value_words,
)
from core.wording import counted, minus

CURVES = (5, 25, 50, 75, 95)
_PLOT_PX = 340
_REFERENCE = "#8A8F98"
_PERSON = {"dark": "#4FC1A6", "light": "#0B6B5A"}
_TEXT = {"dark": "#E4E6E9", "light": "#0B0E11"}
_STEPS = 60
_TITLES = {
    "left": "Left hippocampus (ml)", "right": "Right hippocampus (ml)",
    "total": "Both hippocampi (ml)", "asymmetry": "Asymmetry (%), left larger above 0",
}  # fmt: skip
_WHOSE = {"F": "Women", "M": "Men"}


@st.fragment
def show_comparison(shared: Services, case: Case) -> None:
    """The case beside a group of the visitor's choice; computed when it is unfolded."""
    if not case.report.get("head"):
        st.caption(f"Reference groups: {why_none(case, Study())}")
        return
    with st.expander(
        "Compared with a reference group", on_change="rerun", key=f"compared-{case.id}"
    ) as opened:
        if not opened.open:
            return
        study = study_of(case)
        if why_not := why_none(case, study):
            st.info(why_not, icon=":material/info:")
            return
        try:
            groups = References(shared.storage).all()
        except HippoViewError as error:
            show_error(error)
            return
        group = _chosen(groups)
        chosen_group()["case"] = case.id
        comparison = _compared(case, study, group, case.id, case.mask_version, study, group.id)
        st.caption(
            f"**{plain(group.name)}**, {group.in_words}. {plain(group.source)} "
            f"{plain(_compared_with(comparison, group, study))}"
        )
        for remark in comparison.remarks:
            st.warning(plain(remark), icon=":material/info:")
        if comparison.why_not:
            st.info(comparison.why_not, icon=":material/info:")
        else:
            _show(case, study, comparison)


def chosen_group() -> dict[str, str]:
    """What the visitor chose, by what is asked for: *group*; and *case*, whose part was opened.

    One object a visit, so that a download made later knows what was chosen last.
    """
    chosen: dict[str, str] = st.session_state.setdefault("chosen-group", {})
    return chosen


def group_in_use(groups: Sequence[Group], chosen: Mapping[str, str]) -> Group:
    """The chosen group; without a choice, or where it is gone, the first of ours."""
    first = next(group for group in groups if group.is_ours)
    return next((group for group in groups if group.id == chosen.get("group")), first)


def _chosen(groups: list[Group]) -> Group:
    """Ask for a group; the choice holds for all cases of the visit."""
    ids = {group.id: group for group in groups}
    # The key is the same for other groups: a choice is kept by name, not by its place in the list.
    chosen = st.selectbox(
        "Group", list(ids), index=list(ids).index(group_in_use(groups, {}).id),
        key="reference-group", format_func=lambda key: f"{ids[key].name} "
        f"({protocol_words(ids[key])})",
        persist_state="session", width=480,
    )  # fmt: skip
    chosen_group()["group"] = chosen
    return ids[chosen]


def _compared_with(found: Comparison, group: Group, study: Study) -> str:
    """How many people the percentiles rest on, and whether they can be compared."""
    if found.comparability is None:
        return f"{protocol_words(group).capitalize()}."
    people = people_words(found.people, study.sex)
    return f"Compared with {people}; {found.comparability.in_words}."


@st.cache_data(show_spinner="Comparing", max_entries=40)
def _compared(
    _case: Case, _study: Study, _group: Group, case_id: str, version: int, study: Study, group: str
) -> Comparison:
    return compare(_case, _study, _group)


def _show(case: Case, study: Study, found: Comparison) -> None:
    words, picture = st.columns([2, 3], gap="large")
    with words:
        st.table(place_rows(found), hide_index=True, border="horizontal")
        st.caption(interval_words())
    with picture:
        standings = {standing.measure: standing for standing in found.standings}
        chosen = st.segmented_control(
            "Curves of", list(standings), default=next(iter(standings)), required=True,
            format_func=str.capitalize, key=f"curves-{case.id}",
        )  # fmt: skip
        st.plotly_chart(
            figure_of(standings[chosen], found, study, st.context.theme.type or "dark"),
            config={"displayModeBar": False}, key=f"curve-{case.id}-{chosen}",
            alt=standings[chosen].sentence,
        )  # fmt: skip


def place_rows(found: Comparison) -> list[dict[str, str]]:
    """A row for each measure; each says itself whether the group can be compared."""
    comparability = found.comparability
    if comparability is None:
        return []
    return [
        {
            "": standing.measure.capitalize(),
            "Measured": minus(value_words(standing.measure, standing.value)),
            "Place": f"{place_words(standing.place, len(found.people))}, "
            f"{plain(comparability.in_words)}",
            "By the measure": reach_words(standing.reach, len(found.people))
            if standing.reach
            else DASH,
        }
        for standing in found.standings
    ]


def figure_of(
    standing: Standing, found: Comparison, study: Study, theme: str = "dark"
) -> go.Figure:
    """The group's percentiles of one measure by age, and this person as a point.

    Parameters
    ----------
    theme
        ``dark`` or ``light``.
    """
    measure = MEASURES[standing.measure]
    factor = 1.0 if measure.unit == "%" else 0.001
    same = [person for person in found.people if person.sex == study.sex]
    ages = [person.age_years for person in same]
    at = np.linspace(min(ages), max(ages), _STEPS)
    curves = {
        percent: factor * standing.percentiles.curve(percent, at, is_female=study.sex == FEMALE)
        for percent in CURVES
    }
    figure = go.Figure()
    for low, high, opacity in ((5, 95, 0.18), (25, 75, 0.28)):
        figure.add_scatter(
            x=[*at, *at[::-1]], y=[*curves[low], *curves[high][::-1]], fill="toself",
            fillcolor=_REFERENCE, opacity=opacity, mode="none", hoverinfo="skip",
        )  # fmt: skip
    for percent, curve in curves.items():
        figure.add_scatter(
            x=at, y=curve, mode="lines", hoverinfo="skip",
            line={"color": _REFERENCE, "width": 2.5 if percent == 50 else 1},
        )  # fmt: skip
        figure.add_annotation(
            x=at[-1], y=curve[-1], text=ordinal(percent), xanchor="left", showarrow=False,
            xshift=4, font_color=_TEXT.get(theme, _TEXT["dark"]),
        )  # fmt: skip
    figure.add_scatter(
        x=ages, y=[factor * measure.of(person.left_mm3, person.right_mm3) for person in same],
        mode="markers", hoverinfo="skip", marker={"color": _REFERENCE, "size": 4, "opacity": 0.7},
    )  # fmt: skip
    colour = _PERSON.get(theme, _PERSON["dark"])
    unit = measure.unit if measure.unit == "%" else "ml"
    if standing.interval is not None:
        # A line of its own: an expert's volume may be expected beside the measured one.
        figure.add_scatter(
            x=[study.age_years] * 2, y=[factor * end for end in standing.interval],
            mode="lines+markers", hoverinfo="skip", line={"color": colour, "width": 2},
            marker={"color": colour, "size": 12, "symbol": "line-ew", "line_width": 2,
                    "line_color": colour},
        )  # fmt: skip
    figure.add_scatter(
        x=[study.age_years], y=[factor * standing.value], mode="markers",
        marker={"color": colour, "size": 13, "symbol": "diamond"},
        hovertemplate=f"%{{x}} years, %{{y:.2f}} {unit}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(
        height=_PLOT_PX, showlegend=False, margin={"l": 10, "r": 48, "t": 48, "b": 10},
        title=_title(found, study),
        xaxis_title="Age (years)", yaxis_title=_TITLES[standing.measure],
    )  # fmt: skip
    return figure


def _title(found: Comparison, study: Study) -> str:
    comparable = found.comparability
    warning = "" if comparable is None or comparable.is_given else f"<br>{NOT_COMPARABLE}"
    same = sum(person.sex == study.sex for person in found.people)
    points = counted(same, "point")
    return f"{_WHOSE[study.sex]} of the group, {points}; this person is the diamond{warning}"
