"""The subcommands of ``rnndsl`` that have no better home."""
