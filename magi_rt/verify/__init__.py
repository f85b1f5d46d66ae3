"""Golden cases: recorded inputs and outputs of the published model, computed again and compared."""
