"""Print the grid: `python -m pipeline.poisoning`."""

from pipeline.poisoning.grid import main

raise SystemExit(main())
