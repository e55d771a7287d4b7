"""The output of wrk and kubectl, and the script that wrk runs."""
