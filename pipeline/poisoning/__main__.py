"""Print the grid: `python -m pipeline.poisoning`."""

from pipeline.poisoning.experiment import main

raise SystemExit(main())
