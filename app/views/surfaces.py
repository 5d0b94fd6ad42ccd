"""The labels' surfaces as a 3-D figure that can be turned."""

import plotly.graph_objects as go

from core.anatomy import LABEL_COLOURS
from core.exports.mesh import Surface

_AXES = {"xaxis": "L to R (mm)", "yaxis": "P to A (mm)", "zaxis": "I to S (mm)"}


def surface_figure(surfaces: dict[str, Surface], height_px: int) -> go.Figure:
    """Both labels in their colours, equal axes, mm (RAS)."""
    figure = go.Figure()
    for name, s in surfaces.items():
        x, y, z = s.vertices_mm.T
        i, j, k = s.faces.T
        figure.add_trace(go.Mesh3d(
            x=x, y=y, z=z, i=i, j=j, k=k, name=name, color=LABEL_COLOURS[name],
            showlegend=True, hovertemplate="%{x:.0f}, %{y:.0f}, %{z:.0f} mm<extra>" + name
            + "</extra>", lighting={"ambient": 0.5, "diffuse": 0.7, "specular": 0.1},
        ))  # fmt: skip
    figure.update_layout(
        height=height_px,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        legend={"x": 0, "y": 1},
        scene={
            "aspectmode": "data",
            "camera": {"eye": {"x": -1.9, "y": 1.1, "z": 0.7}},
            **{axis: {"title": {"text": title}} for axis, title in _AXES.items()},
        },
        uirevision="keep",
    )
    return figure
