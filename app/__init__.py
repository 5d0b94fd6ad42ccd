"""The Streamlit shell and the HTTP side of the same process."""
