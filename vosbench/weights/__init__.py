"""Shipped weights with their model cards, where weights come from, and loading them into a method."""
