"""The log: tables, the only writer, the only reader."""
