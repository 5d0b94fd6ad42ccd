"""A page with niivue-streamlit for `benchmarks.viewer`: ``streamlit run`` it on SCAN and MASK."""

import sys
from pathlib import Path

import streamlit as st
from niivue_component import niivue_viewer

scan, mask = (Path(name) for name in sys.argv[1:3])
opacity = st.slider("Opacity", 0, 100, 50)
if st.button("Show"):
    st.session_state["shown"] = st.session_state.get("shown", 0) + 1
if shown := st.session_state.get("shown"):
    overlay = {
        "data": mask.read_bytes(), "name": mask.name, "colormap": "red", "opacity": opacity / 100,
    }  # fmt: skip
    niivue_viewer(
        scan.read_bytes(), scan.name, overlays=[overlay], update_interval_ms=None, key=f"v{shown}"
    )
