"""Kills, faults of the database, rollouts and slow clients under load; longer with SOAK=1."""
