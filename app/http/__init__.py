"""The HTTP side: API, administration, sign-in, what the viewer fetches; no Streamlit."""
