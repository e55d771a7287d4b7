"""The Streamlit dashboard: reads the log, shows verdicts."""
