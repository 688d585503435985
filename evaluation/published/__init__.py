"""The papers' own numbers: their tables as data, checked and printed again."""
