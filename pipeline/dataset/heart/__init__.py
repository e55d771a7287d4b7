"""What only the UCI heart-disease data need; all else is derived from the schema.

`csv_reader` reads a file of patients and is what training, audit, gate and drift go through;
`codings` writes and reads categories on the wire; `label_check` and `units` judge values;
`missingness` and `drift_scenarios` imitate hospitals; `options` and `mapping` are the command
line's. The other modules serve these.
"""
