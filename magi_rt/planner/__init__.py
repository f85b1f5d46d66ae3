"""What fits where, by plain arithmetic: size, steps, window and precision against a chip."""
