"""Measures of what a world shows, against what its prompts asked for."""
