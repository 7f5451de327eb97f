"""Syntax tree to typed cell, or to the list of mistakes."""
