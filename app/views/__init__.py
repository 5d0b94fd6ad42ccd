"""What two pages share: the case, reviewing, versions, trainings, drift. Streamlit."""
