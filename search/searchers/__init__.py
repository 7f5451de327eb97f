"""Searchers: who proposes the next cell."""
