"""A cell as text at every stage of compilation."""
