"""False alarms and power of the drift test, measured."""
