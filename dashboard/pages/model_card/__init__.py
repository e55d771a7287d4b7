"""The model card: sections from the training bundle, shown as a page and written as HTML."""
