"""Pure computation: arrays and frames in, named results out."""
