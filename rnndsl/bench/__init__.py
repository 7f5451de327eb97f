"""``rnndsl bench``: a cell of ours beside its peers, on the same weights, in one process."""
