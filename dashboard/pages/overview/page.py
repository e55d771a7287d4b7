"""Overview: a verdict in one sentence, then the metrics behind it."""

import streamlit as st

from dashboard.auth import login
from dashboard.pages.overview import data, panels, texts
from dashboard.shared import data_access, widgets
from dashboard.shared import texts as shared_texts


@st.fragment(run_every=widgets.REFRESH_S)
@login.requires_page("overview")
def overview() -> None:
    """Draw the page, and refresh it automatically."""
    with widgets.log_errors_shown("Overview"):
        top = st.container()
        chosen, source = panels.controls()
        seen = data.overview_data(chosen, source) if source else None
        window, ready = data_access.WINDOWS[chosen], data_access.is_ready()
        with top:
            if seen is None:
                widgets.heading(f"{texts.STATE[ready]}. No predictions yet.", texts.LEAD)
            else:
                panels.verdict(seen, window, ready=ready)
        if ready and not data_access.is_key_accepted():
            widgets.notice(shared_texts.KEY_REJECTED_TITLE, shared_texts.KEY_REJECTED)
        if seen is None:
            widgets.empty_log()
            return
        if not ready:
            widgets.notice(shared_texts.API_DOWN_TITLE, texts.API_DOWN)
        panels.monitoring_status(seen)
        if seen.summary.n == 0:
            panels.no_recent_predictions(seen, window)
        else:
            panels.summary_metrics(seen)
            panels.history(seen, window)
            panels.override_rates(data.override_rates(chosen, seen.source), window)
        panels.rejections(seen, window)


overview()
